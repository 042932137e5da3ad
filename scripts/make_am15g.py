"""Write the AM1.5G table of the package from pvlib: run in an environment that has pvlib 0.16.

In: ASTM G173-03 as pvlib (BSD-3) ships it. Out: materials/shipped/am15g.csv, wavelength in nm and
global tilted irradiance in W/m²/nm, 2,002 rows.
"""

from __future__ import annotations

from pathlib import Path

import pvlib

TARGET = Path(__file__).parents[1] / "src/matterscope/materials/shipped/am15g.csv"


def main() -> None:
    spectrum = pvlib.spectrum.get_reference_spectra()["global"]
    rows = [f"{w:.1f},{g:.6g}" for w, g in spectrum.items()]
    head = [
        "# ASTM G173-03 global tilted irradiance (AM1.5G), from pvlib 0.16.1 (BSD-3-Clause)",
        "# written by scripts/make_am15g.py",
        "wavelength_nm,irradiance_W_m2_nm",
    ]
    TARGET.write_text("\n".join(head + rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
