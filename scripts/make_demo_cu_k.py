"""Make the Cu K spectra of the demo: known crystals through our own FEFF10 simulator, noise seeded.

In: literature crystal structures (below). Out: src/matterscope/spectra/shipped/demo_cu_k.h5, with the
truth (coordination number, bond length, formal charge) in each measurement's attributes.
    python scripts/make_demo_cu_k.py        (about ten CPU minutes)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from matterscope.core.random import generator
from matterscope.core.schema import measurement
from matterscope.io.measurement import write
from matterscope.physics.structures import first_shell, site_classes
from matterscope.spectra.simulators.broadening import gaussian_broaden
from matterscope.spectra.simulators.contract import cached
from matterscope.spectra.simulators.feff import NOTICE, Feff

SEED = 11
NOISE = 0.003
INSTRUMENT = 0.6
"""Standard deviation of the instrument's Gaussian, eV (a Si(111) monochromator at 9 keV)."""
TARGET = Path(__file__).parents[1] / "src/matterscope/spectra/shipped/demo_cu_k.h5"
CRYSTALS: dict[str, tuple[float, str, Atoms]] = {
    "Cu2O": (
        1.0,
        "Restori and Schwarzenbach 1986",
        crystal(["Cu", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=224, cellpar=[4.2696] * 3 + [90] * 3),
    ),
    "CuAlO2": (
        1.0,
        "Ishiguro 1981",
        crystal(
            ["Cu", "Al", "O"], [(0, 0, 0), (0, 0, 0.5), (0, 0, 0.1099)], spacegroup=166,
            cellpar=[2.858, 2.858, 16.958, 90, 90, 120],
        ),
    ),
    "CuO": (
        2.0,
        "Åsbrink and Norrby 1970",
        crystal(
            ["Cu", "O"], [(0.25, 0.25, 0), (0, 0.4184, 0.25)], spacegroup=15,
            cellpar=[4.6837, 3.4226, 5.1288, 90, 99.54, 90],
        ),
    ),
    "CaCuO2": (
        2.0,
        "Siegrist 1988",
        crystal(
            ["Cu", "Ca", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0)], spacegroup=123,
            cellpar=[3.8556, 3.8556, 3.1805, 90, 90, 90],
        ),
    ),
    "La2CuO4": (
        2.0,
        "Longo and Raccah 1973",
        crystal(
            ["Cu", "La", "O", "O"], [(0, 0, 0), (0, 0, 0.3605), (0, 0.5, 0), (0, 0, 0.1828)],
            spacegroup=139, cellpar=[3.7873, 3.7873, 13.2883, 90, 90, 90],
        ),
    ),
    "LaCuO3": (
        3.0,
        "Demazeau 1972",
        crystal(
            ["La", "Cu", "O"], [(0, 0, 0.25), (0, 0, 0), (0.5552, 0, 0.25)], spacegroup=167,
            cellpar=[5.501, 5.501, 13.216, 90, 90, 120],
        ),
    ),
}  # fmt: skip


def average(atoms: Atoms, engine: Feff, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return energy (eV) and µ of the copper sites, averaged before normalisation."""
    total, energy, norm = 0.0, None, 0.0
    for first, sites in site_classes(atoms, 29).items():
        found = cached(engine, engine.task(atoms, first, "K"), cache)
        weight = len(sites) * found.attrs["normalisation"]
        energy = found.energy.values if energy is None else energy
        total = total + weight * np.interp(energy, found.energy.values, found.mu.values)
        norm += weight
    assert energy is not None
    return energy, total / norm


def as_measured(energy: np.ndarray, mu: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectrum on a beamline's grid, with the Lorentzian tail below, width and noise."""
    grid = np.concatenate([np.arange(8920.0, 8970, 2), np.arange(8970.0, 9120.0, 0.5)])
    half = energy[np.argmax(mu > 0.5 * np.median(mu[-10:]))]
    tail = mu[0] * (half - energy[0]) / np.maximum(half - grid, 1.0)
    curve = np.where(grid < energy[0], tail, np.interp(grid, energy, mu))
    fine = np.arange(grid[0], grid[-1], 0.1)
    wide = gaussian_broaden(fine, np.interp(fine, grid, curve), INSTRUMENT)
    noisy = np.interp(grid, fine, wide)
    noisy += generator(SEED, "demo Cu K noise", index).normal(0.0, NOISE, len(grid))
    return grid, np.round(noisy, 5)


def main() -> None:
    engine = Feff(quality="scf", radius=5.4, scf_radius=4.2, k_max=6.1, k_step=0.07, edge_step=0.3)
    made = []
    for index, (name, (charge, source, atoms)) in enumerate(CRYSTALS.items()):
        shell = first_shell(atoms, int(np.flatnonzero(atoms.numbers == 29)[0]))
        print(name, shell.numbers, np.round(shell.distances, 3), flush=True)
        energy, mu = as_measured(
            *average(atoms, engine, Path("/tmp/matterscope-demo-cache")), index
        )
        made.append(
            measurement(
                "spectrum",
                {"energy": (energy, "eV")},
                {"mu": (("energy",), mu, "1")},
                source={"uri": "demo_cu_k.h5", "selector": name},
                label=name,
                element="Cu",
                edge="K",
                simulated=f"{engine.version}, SCF, FMS {engine.radius} Å; {NOTICE}",
                structure=source,
                noise=NOISE,
                seed=SEED,
                truth={
                    "coordination_number": shell.coordination_number,
                    "bond_length": round(shell.bond_length, 4),
                    "oxidation_state": charge,
                },
            )
        )
    TARGET.parent.mkdir(exist_ok=True)
    write(made, TARGET)


if __name__ == "__main__":
    main()
