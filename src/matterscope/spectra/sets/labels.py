"""Labels of a site from its structure: coordination, bond length, valence by bond-valence sums.

In: an `ase.Atoms` and the index of the absorber. Out: what a model learns to read from its spectrum.
The first shell is every neighbour within 1.25 × the nearest distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

Floats = NDArray[np.float64]

SHELL_RATIO = 1.25
CUTOFF = 3.3
"""Å; neighbours beyond it belong to no first shell."""

BOND_VALENCE: dict[tuple[str, int], float] = {
    ("Cu", 1): 1.593,
    ("Cu", 2): 1.679,
    ("Cu", 3): 1.739,
}
"""R0 (Å) of ion–O bonds, s = exp((R0 − r)/0.37). Brese and O'Keeffe, Acta Cryst. B47, 192 (1991)."""

VALENCE_SOFTNESS = 0.37
VALENCE_TOLERANCE = 0.35
"""A site whose own sum misses every state by more than this stays without a valence."""


@dataclass(frozen=True)
class SiteLabels:
    """What stands around one absorber."""

    coordination: int
    bond: float
    """Å; mean distance of the first shell."""
    ligand: str
    """The commonest element of the first shell; empty on a tie."""
    pure: bool
    """Every first neighbour is `ligand`."""
    valence: int | None = None
    distances: Floats = field(default_factory=lambda: np.zeros(0))
    """Å; the sorted distances of all neighbours within the cut-off."""
    elements: tuple[str, ...] = ()


def neighbours(atoms: Atoms, site: int, cutoff: float = CUTOFF) -> tuple[Floats, NDArray[np.int64]]:
    """Return the sorted distances (Å) and atom indices of every neighbour of `site` within `cutoff`.

    Periodic images are counted in every direction in which the cell repeats.

    Examples
    --------
    >>> from ase.build import bulk
    >>> d, i = neighbours(bulk("Cu", "fcc", a=3.61), 0, cutoff=2.6)
    >>> len(d), round(float(d[0]), 3)
    (12, 2.553)
    """
    cell = np.asarray(atoms.cell.array, dtype=float)
    offsets = np.asarray(atoms.positions) - atoms.positions[site]
    shifts = np.zeros((1, 3))
    if any(atoms.pbc):
        fractional = np.linalg.solve(cell.T, offsets.T).T
        wrap = np.where(atoms.pbc, np.floor(fractional + 0.5), 0.0)
        offsets = offsets - wrap @ cell
        volume = abs(np.linalg.det(cell))
        cross = [np.linalg.norm(np.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])) for k in range(3)]
        # offsets lie within half a cell: images up to cutoff/height + 1/2 can matter
        counts = [
            int(np.ceil(cutoff * c / volume + 0.5)) if p else 0
            for c, p in zip(cross, atoms.pbc, strict=True)
        ]
        grids = np.meshgrid(*[np.arange(-n, n + 1) for n in counts], indexing="ij")
        shifts = np.stack([g.ravel() for g in grids], axis=1) @ cell
    lengths = np.linalg.norm(offsets[:, None, :] + shifts[None, :, :], axis=2)
    index, _ = keep = np.nonzero((lengths > 1e-3) & (lengths <= cutoff))
    found = lengths[keep]
    order = np.argsort(found, kind="stable")
    return found[order], index[order]


def site_labels(atoms: Atoms, site: int) -> SiteLabels | None:
    """Return the labels of one site; None when it has no neighbour within the cut-off."""
    distances, index = neighbours(atoms, site)
    if distances.size == 0:
        return None
    symbols = np.array(list(atoms.symbols))
    names = symbols[index]
    first = distances <= SHELL_RATIO * distances[0]
    kinds, counts = np.unique(names[first], return_counts=True)
    commonest = kinds[counts == counts.max()]
    ligand = str(commonest[0]) if commonest.size == 1 else ""
    pure = kinds.size == 1
    valence = None
    if pure and ligand == "O":
        valence = bond_valence_state(str(symbols[site]), distances[names == "O"])
    return SiteLabels(
        int(first.sum()),
        float(distances[first].mean()),
        ligand,
        pure,
        valence,
        distances,
        tuple(str(n) for n in names),
    )


def bond_valence_state(element: str, oxygen_distances: Floats) -> int | None:
    """Return the formal charge whose own bond-valence sum is nearest to it, or None.

    V_q = Σ_i exp((R0(q) − r_i)/0.37); the state q minimises |V_q − q|, which must be below 0.35.

    Examples
    --------
    >>> bond_valence_state("Cu", np.full(2, 1.849)), bond_valence_state("Cu", np.full(4, 1.956))
    (1, 2)
    """
    misses = {
        charge: abs(np.exp((r0 - oxygen_distances) / VALENCE_SOFTNESS).sum() - charge)
        for (symbol, charge), r0 in BOND_VALENCE.items()
        if symbol == element
    }
    if not misses:
        return None
    best = min(misses, key=lambda q: misses[q])
    return best if misses[best] <= VALENCE_TOLERANCE else None
