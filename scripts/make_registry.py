"""Write the checksums of the public data sets: ``python scripts/make_registry.py DATA_FOLDER``."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from matterscope.core.files import sha256_of
from matterscope.datasets.registry import DATASETS

LARCH = "https://raw.githubusercontent.com/xraypy/xraylarch/0a3aa5e7992661229cf844b6d796e527163fd08d/examples/xafsdata/AthenaProjectFiles/"
QUDI = "https://raw.githubusercontent.com/dineshpinto/qudi-hira-analysis/65f90b361ac7155950118886a8d51d14978fc4f3/tests/data/"
ADDRESSES = {
    **{
        f"spectra/athena/{n}": LARCH + n
        for n in (
            "CuHERFD_standards.prj",
            "Vathena.prj",
            "P_CAMD.prj",
            "Se_Standards.prj",
            "zn_solution.prj",
            "cuybco.prj",
            "FeO.prj",
            "athena1.prj",
        )
    },
    "emitters/qudi/nv_autocorrelation.dat": QUDI
    + "Autocorrelation/20230306-1732-05_with_LP550nm_SP800nm_autocorrelation.dat",
    "emitters/qudi/spectrum.dat": QUDI + "Spectrometry/20230306-2324-19_spectrum.dat",
    "emitters/qudi/saturation_curve.xlsx": QUDI + "saturation_curve.xlsx",
}
"""Files published, byte for byte, at an address with a fixed commit."""


def main(root: Path) -> None:
    target = Path(__file__).parents[1] / "src/matterscope/datasets/files.csv"
    with target.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(["path", "size", "sha256", "url"])
        for entry in DATASETS.values():
            for path in sorted(p for p in (root / entry.folder).rglob("*") if p.is_file()):
                name = path.relative_to(root).as_posix()
                table.writerow(
                    [name, path.stat().st_size, sha256_of(path), ADDRESSES.get(name, "")]
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
