"""The simulators against measurement and against other codes' numbers.

    python benchmarks/spectra_simulators.py feff [quick|scf] [default|sphere|warm] [five|others|NAME]
                                                                measured edges (MATTERSCOPE_DATA)
    python benchmarks/spectra_simulators.py multiplet           CPU per spectrum beside EDRIXS' path
    python benchmarks/spectra_simulators.py surrogate           forward surrogate, train → val

In: public spectra. Out: tables on stdout with the baseline beside each number.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from ase.spacegroup import crystal

from matterscope.core.schema import measurement
from matterscope.core.verbs import as_input
from matterscope.physics.structures import site_classes
from matterscope.spectra.measured.comparison import Match, match
from matterscope.spectra.measured.reduction import locate_rise
from matterscope.spectra.measured.shapes import shape_of, shapes_of
from matterscope.spectra.settings import SimulateSettings
from matterscope.spectra.simulators.contract import cached
from matterscope.spectra.simulators.multiplet import IONS, Field, sticks
from matterscope.spectra.simulators.simulation import engine_for, site_average

DATA = Path(os.environ.get("MATTERSCOPE_DATA", "../shared/data")) / "spectra"
HEMATITE = crystal(
    ["Fe", "O"],
    [(0, 0, 0.3553), (0.3059, 0, 0.25)],
    spacegroup=167,
    cellpar=[5.0356, 5.0356, 13.7489, 90, 90, 120],
)

KEPT = Path(os.environ["MATTERSCOPE_KEPT"]) if "MATTERSCOPE_KEPT" in os.environ else None
"""Folder in which spectra stay between calls, so that a fit can be changed without simulating again."""


class Row(NamedTuple):
    """One measured edge, its crystal, and the baseline as r / RMSE / CPU s."""

    name: str
    atoms: Atoms
    element: str
    file: str
    scf: str = "-"
    quick: str = "-"
    shell: str = "K"


EDGES = [
    Row("FeO", bulk("FeO", "rocksalt", 4.311), "Fe", "xdi/data/feo_rt1.xdi", "0.988 / 0.053 / 28", "0.958 / - / 3.8"),
    Row("Fe2O3", HEMATITE, "Fe", "xdi/data/fe2o3_rt.xdi", "0.990 / 0.074 / 38", "0.980 / - / 3.9"),
    Row("Cu", bulk("Cu", "fcc", 3.6149), "Cu", "xdi/data/cu_metal_rt.xdi", "0.978 / 0.091 / 13", "0.956 / - / 5.8"),
    Row("ZnSe", bulk("ZnSe", "zincblende", 5.668), "Se", "xdi/data/se_znse_rt.xdi", "0.989 / 0.071 / 7", "0.853 / - / 3.9"),
    Row("ZnSe", bulk("ZnSe", "zincblende", 5.668), "Zn", "xdi/data/zn_znse_rt.xdi", "0.967 / 0.093 / 7", "0.962 / - / 3.8"),
]  # fmt: skip
OTHERS = [
    Row("Ni", bulk("Ni", "fcc", 3.524), "Ni", "columns/ni_metal_rt.xdi"),
    Row("V", bulk("V", "bcc", 3.024), "V", "columns/v_foil.xdi"),
    Row("Pt", bulk("Pt", "fcc", 3.9242), "Pt", "columns/pt_metal_rt.xdi", shell="L3"),
]


def fitted(theory: tuple[np.ndarray, np.ndarray], row: Row) -> Match:
    """Lay a simulated edge on its measurement as `spectra compare` does, E0−10 … E0+45 eV (E0: steepest rise)."""
    spectrum = measurement(
        "spectrum",
        {"energy": (theory[0], "eV")},
        {"mu": (("energy",), theory[1], "1")},
        source={"selector": "average"}, element=row.element, edge=row.shell, simulated="true",
    )  # fmt: skip
    reference = shapes_of([as_input(DATA / row.file)])[0]
    other = shape_of(spectrum, as_input(spectrum))
    start = locate_rise(reference.energy, reference.mu).position - reference.position
    return match(reference, other, window=(start - 10, start + 45), photoelectron=True)


SETTINGS = {
    # what `simulate` does when nothing is said; the sphere of 55 atoms; and what was found on Zn K of ZnSe
    "default": {},
    "sphere": {"radius": 0.0},
    "warm": {"radius": 0.0, "extra_width": -0.7, "disorder": 0.006},
}


def feff(quality: str = "scf", setting: str = "default", which: str = "five") -> None:
    """Measured edges under one setting for all: the five with a baseline, others never used to choose, or one."""
    rows = {"five": EDGES, "others": OTHERS}.get(which)
    rows = rows or [r for r in (*EDGES, *OTHERS) if which in (r.name, r.element)]
    print(f"{quality}, {setting} {SETTINGS[setting] or ''}")
    print(f"{'sample':8}{'edge':7}{'r':>8}{'RMSE':>8}{'CPU s':>8}   baseline r, RMSE, CPU s   fit")
    for row in rows:
        given = SimulateSettings(quality=quality, **SETTINGS[setting])
        engine = engine_for(given)
        classes = site_classes(row.atoms, atomic_numbers[row.element])
        tasks = [engine.task(row.atoms, site, row.shell) for site in classes]
        found = [cached(engine, task, KEPT) for task in tasks]
        theory = site_average(found, [len(m) for m in classes.values()])
        fit = fitted(theory, row)
        base = row.scf if quality == "scf" else row.quick
        widths = f"shift {fit.shift:.2f} scale {fit.scale:.2f} Γ {fit.lorentzian:.2f} σ {fit.gaussian:.2f} photoelectron {fit.photoelectron:.2f}"
        cpu = sum(float(f.attrs.get("cpu_s", "nan")) for f in found) / len(found)
        print(
            f"{row.name:8}{row.element + ' ' + row.shell:7}{fit.r:8.4f}{fit.rmse:8.3f}{cpu:8.1f}   {base:24}  {widths}",
            flush=True,
        )


def multiplet() -> None:
    """CPU of one spectrum with warm operators, and of the first (operators included)."""
    edrixs = {"Ni2+": 0.4, "Co3+": 2.8, "Ni3+": 1.0, "Ni4+": 3.0, "Mn4+": 4.8, "Cu2+": 0.1}
    fields = {"Ni2+": 1.1, "Co3+": 2.4, "Ni3+": 2.8, "Ni4+": 2.8, "Mn4+": 2.4, "Cu2+": 1.3}
    print(
        f"{'ion':6}{'first':>8}{'next':>8}{'EDRIXS':>8}{'ratio':>8}   CPU s (ratio: first/EDRIXS)"
    )
    for name, base in edrixs.items():
        times = []
        for scale in (1.0, 1.01):
            start = time.process_time()
            sticks(IONS[name], Field(fields[name] * scale).matrix())
            times.append(time.process_time() - start)
        print(f"{name:6}{times[0]:8.2f}{times[1]:8.2f}{base:8.1f}{times[0] / base:8.2f}")


def surrogate() -> None:
    """Train → val of the Cu K set; rate and ridge by 5 folds of the train materials, never by val."""
    from matterscope.learn.splits import grouped_folds
    from matterscope.spectra.sets.trainingsets import read_structures
    from matterscope.spectra.simulators.surrogate import describe, fit_surrogate

    folder = Path(os.environ.get("MATTERSCOPE_DATA", "../shared/data")) / "spectra" / "cu_k_feff"
    stored = np.load(folder / "spectra.npz", allow_pickle=False)
    atoms = read_structures(folder / "structures.extxyz.gz")
    start = time.process_time()
    described = np.array(
        [
            describe(atoms[str(m)], int(s))
            for m, s in zip(stored["material"], stored["site"], strict=True)
        ]
    )
    print(
        f"{described.shape[1]} descriptors of {len(described)} sites: {time.process_time() - start:.1f} CPU s (baseline: 84, 148 CPU s)"
    )
    grid = np.arange(8986.0, 9021.01, 0.25)
    mu = np.array(
        [np.interp(grid, e, m) for e, m in zip(stored["energy_ev"], stored["mu"], strict=True)]
    )
    train = stored["split"] == "train"
    x, y, groups = described[train], mu[train], stored["material"][train]
    best = (np.inf, 1.0, 0.003)
    for rate in (0.3, 1.0, 3.0):
        for noise in (0.003, 0.02):
            errors = []
            for one, other in grouped_folds(groups, 5):
                found, _ = fit_surrogate(x[one], y[one], grid, rate=rate, noise=noise).predict(
                    x[other]
                )
                errors.append(((found - y[other]) ** 2).mean(axis=1))
            mse = float(np.concatenate(errors).mean())
            best = min(best, (mse, rate, noise))
            print(
                f"  rate {rate:4.1f} ridge {noise:5.3f}: MSE {mse:.5f} (folds of train)", flush=True
            )
    found, sigma = fit_surrogate(x, y, grid, rate=best[1], noise=best[2]).predict(described[~train])
    errors = ((found - mu[~train]) ** 2).mean(axis=1)
    flat = ((mu[~train] - y.mean(axis=0)) ** 2).mean()
    rank = np.corrcoef(np.argsort(np.argsort(sigma)), np.argsort(np.argsort(errors)))[0, 1]
    print(
        f"val: MSE {errors.mean():.5f}, median {np.median(errors):.5f}; mean spectrum {flat:.5f}; goal 0.0050"
    )
    print(
        "baselines: kNN 0.0098, Laplacian KRR 0.0067 (median 0.0046), OmniXAS tutorial 0.0041 on its grid"
    )
    print(f"Spearman(σ, error) {rank:.2f}")


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "multiplet"
    if what == "feff":
        feff(*sys.argv[2:])
    else:
        {"multiplet": multiplet, "surrogate": surrogate}[what]()
