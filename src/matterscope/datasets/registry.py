"""The registry of public data: what each set is, whose it is, and the sha256 of every file.

In: nothing. Out: `DATASETS`, and the files of a set with size, checksum and, where the very bytes
are published at a fixed address, that address. The package ships none of these files.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

from matterscope.core.errors import ConfigError


@dataclass(frozen=True)
class Dataset:
    """A public data set: its folder, where it comes from, its licence and what to cite."""

    folder: str
    summary: str
    source: str
    licence: str
    citation: str


@dataclass(frozen=True)
class File:
    """One file of a data set; `url` is empty where upstream holds it in another form."""

    path: str
    size: int
    sha256: str
    url: str


DATASETS: dict[str, Dataset] = {
    "cu-k-feff": Dataset("spectra/cu_k_feff", "3,756 computed Cu K-edge XANES of 1,626 materials with structures", "github.com/AI-multimodal/OmniXAS: tutorial_omnixas", "BSD-3-Clause", "OmniXAS, AI-multimodal (FEFF 9.9 spectra of Materials Project structures)"),
    "nmc-ni-k": Dataset("spectra/nmc_ni_k_experiment", "8 measured Ni K-edge spectra of NMC622 at four states of charge", "github.com/MaterialEyes/FeatureXAS: dataset", "GPL-3.0 repository: not for training of shipped models", "arXiv:2310.07049"),
    "nmc-si-eels": Dataset("spectra/nmc_si_doped_eels", "STEM-EELS of Si-doped NMC and electrochemistry tables", "github.com/HailiJia/MultimodalEELS-XAS: Data/Exp_data", "MIT", "arXiv:2501.08919"),
    "fdmnes-inputs": Dataset("spectra/fdmnes_inputs", "four FDMNES input files", "github.com/HailiJia/MultimodalEELS-XAS: Data/Sim_data", "MIT", "arXiv:2501.08919"),
    "athena": Dataset("spectra/athena", "11 Athena projects of measured XAFS, 200 groups", "github.com/xraypy/xraylarch: examples/xafsdata; github.com/bruceravel/demeter", "MIT; Artistic (Fe-K-ALS-10.3.2)", "M. Newville, J. Phys. Conf. Ser. 430, 012007 (2013)"),
    "xafs-columns": Dataset("spectra/columns", "14 column files of measured XAFS", "github.com/xraypy/xraylarch: examples/xafsdata", "MIT", "M. Newville, J. Phys. Conf. Ser. 430, 012007 (2013)"),
    "xdi": Dataset("spectra/xdi", "XDI files, 36 of them deliberately broken", "github.com/XraySpectroscopy/XAS-Data-Interchange", "see repository", "B. Ravel and M. Newville, J. Phys. Conf. Ser. 712, 012148 (2016)"),
    "emitters": Dataset("emitters", "photon streams, maps, spectra, histograms of emitters in hBN and diamond; computed hBN defects", "timetag/ETA, tsbischof/libpicoquant, dineshpinto/qudi-hira-analysis, penn-qel, karaev-uchicago/NVision, livhawkins/hBN_PL, QCS-Theory/hBN-database, Shibu778/defectpl", "per folder: GPL-2.0, BSD-3-Clause, Apache-2.0, MIT, none stated", "see docs/data.md"),
    "speckle-reference": Dataset("speckle", "reference first moments and polydispersity values", "github.com/uw-cmg/ML4XraySpecklePattern", "MIT", "arXiv:2211.08194"),
    "defect-levels": Dataset("defects", "impurity and native-defect levels (PBE), HSE defect energies, CdTe potentials", "lmjacoby/ai_semiconductors; dsom55/pycct; mannodiarun/perovs_defects_ML; SMTG-Bham/doped", "MIT; none stated; none stated; MIT", "Patterns 3, 100450 (2022); arXiv:2203.10349"),
    "perovskites-229": Dataset("perovskites", "229 halide perovskite alloys with 8 computed properties and 45 descriptors", "github.com/mannodiarun/perovs_ml", "none stated: models are made on the spot, none ships", "arXiv:2109.10798"),
}  # fmt: skip


def lookup(name: str) -> Dataset:
    """Return the data set called `name`."""
    if name not in DATASETS:
        raise ConfigError(
            f"there is no data set '{name}'", expected="one of " + ", ".join(DATASETS)
        )
    return DATASETS[name]


@cache
def files_of(name: str) -> tuple[File, ...]:
    """Return the files of a data set, relative to the data folder."""
    folder = lookup(name).folder + "/"
    with resources("matterscope.datasets").joinpath("files.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(
        File(r["path"], int(r["size"]), r["sha256"], r["url"])
        for r in rows
        if r["path"].startswith(folder)
    )
