"""Relax positions and cell with a learned potential, or leave the structure as it is.

In: `ase.Atoms`. Out: the relaxed atoms, the residual force, and magnetic moments (µB) by site.
CHGNet r2SCAN (BSD-3-Clause, weights inside its own package) runs on one thread, so that the result
does not depend on the machine's load.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from matterscope.core.errors import require

POTENTIAL = "chgnet-r2scan"


@dataclass(frozen=True)
class Relaxed:
    """A relaxed structure.

    Parameters
    ----------
    atoms : Atoms
        Å, without a calculator.
    force : float, eV/Å
        Largest residual force component.
    moments : array of shape (n,), µB
        Absolute magnetic moments; NaN where the potential gives none.
    steps : int
        Steps taken.
    potential : str
        Name and version, or "none".
    """

    atoms: Atoms
    force: float
    moments: NDArray[np.float64]
    steps: int
    potential: str


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _network() -> Any:
    """Return CHGNet with the r2SCAN weights, read as plain tensors (no pickled objects)."""
    require("chgnet", "relaxing structures")
    import chgnet
    import torch
    from chgnet.model.model import CHGNet

    folder = Path(chgnet.__file__).parent / "pretrained" / "r2scan"
    stored = torch.load(next(folder.glob("*.tar")), map_location="cpu", weights_only=True)
    network = CHGNet.from_dict(stored["model"])
    network.requires_grad_(False)  # only positions and strain are differentiated
    network.graph_converter.set_isolated_atom_response("ignore")
    return network


def evaluate(network: Any, atoms: Atoms) -> dict[str, Any]:
    """Return energy (eV), forces (eV/Å), stress (3, 3; eV/Å³) and moments (µB) of a structure.

    One backward pass gives forces and stress together; chgnet's own calculator makes two that can
    be differentiated again, at twice the cost.
    """
    import torch
    from chgnet.model.model import BatchedGraph
    from pymatgen.io.ase import AseAtomsAdaptor

    graph = network.graph_converter(AseAtomsAdaptor.get_structure(atoms))
    batch = BatchedGraph.from_graphs(
        [graph], network.bond_basis_expansion, network.angle_basis_expansion, compute_stress=True
    )
    found = network._compute(batch, compute_magmom=True)
    energy = found["e"].sum() * len(atoms)
    by_position, by_strain = torch.autograd.grad(
        energy, [batch.atom_positions[0], batch.strains[0]]
    )
    shift = network.composition_model([graph]).sum() * len(atoms)
    return {
        "energy": float((energy + shift).detach()),
        "forces": -by_position.numpy().astype(float),
        "stress": by_strain.numpy().astype(float) / atoms.get_volume(),
        "magmoms": found["m"][0].detach().numpy().astype(float),
    }


def _calculator(network: Any) -> Any:
    from ase.calculators.calculator import Calculator, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress

    class Potential(Calculator):  # type: ignore[misc]
        implemented_properties: ClassVar = ["energy", "forces", "stress", "magmoms"]

        def calculate(
            self, atoms: Atoms = None, properties: Any = None, system_changes: Any = all_changes
        ) -> None:
            super().calculate(atoms, properties, system_changes)
            self.results = evaluate(network, self.atoms)
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.results["stress"])

    return Potential()


def potential_version(potential: str = POTENTIAL) -> str:
    """Return name and version of a potential, as stored in hashes."""
    if potential == "none":
        return "none"
    from importlib.metadata import version

    require("chgnet", "relaxing structures")
    return f"{POTENTIAL} {version('chgnet')}"


def relax(
    atoms: Atoms, *, steps: int = 10, force: float = 0.08, potential: str = POTENTIAL
) -> Relaxed:
    """Relax positions and cell by quasi-Newton steps (BFGS on positions and Frechet cell).

    Parameters
    ----------
    atoms : Atoms
        Start; not changed.
    steps : int
        Largest number of steps.
    force : float, eV/Å
        Stop below this force.
    potential : str
        "chgnet-r2scan", or "none": atoms come back as they are, without moments.
    """
    start = atoms.copy()
    if potential == "none":
        return Relaxed(start, float("nan"), np.full(len(start), np.nan), 0, "none")
    # chgnet prints where it runs and warns of numpy's future: neither is for the user
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = _network()
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS

        with one_thread():
            start.calc = _calculator(network)
            search = BFGS(FrechetCellFilter(start), logfile=None, maxstep=0.15, alpha=40.0)
            search.run(fmax=force, steps=steps)
            residual = float(np.abs(start.get_forces()).max())
            moments = np.abs(np.asarray(start.get_magnetic_moments(), dtype=float))
    start.calc = None
    return Relaxed(start, residual, moments, int(search.nsteps), potential_version())
