"""From a structure to the parameters of a multiplet: valence of a site and its crystal field.

In: a structure, a site, optionally its magnetic moment. Out: the ion and its D4h field (10Dq, Ds, Dt).
The field comes from an angular-overlap model: each oxygen at distance d along n raises z²(n) by e_σ and
xz(n), yz(n) by e_π = e_σ/4, with e_σ = 10Dq_ref/2·(d_ref/d)⁵ (an octahedron: 10Dq = 3e_σ − 4e_π).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from matterscope.core.errors import DataError
from matterscope.physics.structures import cluster
from matterscope.spectra.simulators.multiplet import IONS, Field

REFERENCES: dict[str, tuple[float, float, float]] = {
    # 10Dq (eV) at a metal–oxygen distance (Å), and the least 10Dq: below it the ionic model turns
    # high-spin at fields where the covalent oxide stays low-spin (0: no such floor)
    "Ni2+": (1.1, 2.09, 0.0),
    "Ni3+": (2.8, 1.97, 2.75),
    "Ni4+": (2.8, 1.88, 2.6),
    "Co2+": (1.0, 2.10, 0.0),
    "Co3+": (2.4, 1.92, 2.3),
    "Mn2+": (0.9, 2.20, 0.0),
    "Mn3+": (2.0, 2.02, 0.0),
    "Mn4+": (2.4, 1.90, 0.0),
    "Fe2+": (1.2, 2.15, 0.0),
    "Fe3+": (1.5, 2.02, 0.0),
    "Cu2+": (1.3, 2.05, 0.0),
}
"""Starting values, inferred from oxides; to be fitted where an L edge was measured."""
BOND_VALENCE = {
    "Mn2+": 1.790, "Mn3+": 1.760, "Mn4+": 1.753, "Fe2+": 1.734, "Fe3+": 1.759, "Co2+": 1.692,
    "Co3+": 1.700, "Ni2+": 1.654, "Ni3+": 1.686, "Ni4+": 1.734, "Cu2+": 1.679,
}  # fmt: skip
"""R₀ (Å) of s = exp((R₀ − d)/0.37) to oxygen; Brese and O'Keeffe, Acta Cryst. B47, 192 (1991); Ni³⁺, Ni⁴⁺
from Brown's list of accumulated parameters."""
CUTOFF = 2.75
ROUNDING = 0.02
"""eV; fields are rounded to this step, so that like sites share one diagonalisation."""


@dataclass(frozen=True)
class Site:
    """The ion at a site and its field."""

    ion: str
    field: Field
    oxygens: int
    bond_valence: float


def oxygen_bonds(atoms: Atoms, site: int) -> NDArray[np.float64]:
    """Return the vectors (n, 3) in Å to the oxygens within `CUTOFF`, nearest first, at most six."""
    around = cluster(atoms, site, CUTOFF)
    bonds: NDArray[np.float64] = around.positions[around.numbers == 8][:6]
    if len(bonds) < 3:
        raise DataError(
            "the site has fewer than three oxygen neighbours", where=f"site {site}", got=len(bonds)
        )
    return bonds


def site_ion(
    element: str, bonds: NDArray[np.float64], moment: float = float("nan")
) -> tuple[str, float]:
    """Return the ion whose own bond-valence sum is nearest to its charge, and that sum.

    Where a magnetic moment (µB, CHGNet r2SCAN) is given, it decides between the charges of Ni and Mn:
    Ni⁴⁺ < 0.5 ≤ Ni³⁺ ≤ 1.25 < Ni²⁺; Mn⁴⁺ < 3.15 ≤ Mn³⁺.
    """
    lengths = np.linalg.norm(bonds, axis=1)
    sums = {
        name: float(np.exp((radius - lengths) / 0.37).sum())
        for name, radius in BOND_VALENCE.items()
        if IONS[name].element == element
    }
    if not sums:
        raise DataError("no multiplet parameters for this element", got=element)
    best = min(sums, key=lambda name: abs(sums[name] - IONS[name].charge))
    if np.isfinite(moment) and element == "Ni":
        best = "Ni4+" if moment < 0.5 else "Ni3+" if moment <= 1.25 else "Ni2+"
    if np.isfinite(moment) and element == "Mn":
        best = "Mn4+" if moment < 3.15 else "Mn3+"
    if np.isfinite(moment) and element == "Co":
        best = "Co3+"
    return best, sums[best]


def overlap_field(bonds: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return the angular-overlap field (5, 5) in eV on (xy, yz, zx, x²−y², z²), barycentre removed."""
    reference, distance, _ = REFERENCES[name]
    field = np.zeros((5, 5))
    for bond in bonds:
        length = float(np.linalg.norm(bond))
        n = bond / length
        other = np.eye(3)[int(np.argmin(np.abs(n)))]
        u = np.cross(n, other) / np.linalg.norm(np.cross(n, other))
        v = np.cross(n, u)
        sigma = 0.5 * reference * (distance / length) ** 5
        axial = np.sqrt(1.5) * (np.outer(n, n) - np.eye(3) / 3)
        tilted = [(np.outer(n, w) + np.outer(w, n)) / np.sqrt(2) for w in (u, v)]
        for tensor, strength in ((axial, sigma), *((t, sigma / 4) for t in tilted)):
            amplitude = _components(tensor)
            field += strength * np.outer(amplitude, amplitude)
    return np.asarray(field - np.trace(field) / 5 * np.eye(5))


def _components(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a traceless symmetric tensor on the orthonormal basis xy, yz, zx, x²−y², z²."""
    return np.array(
        [
            np.sqrt(2) * tensor[0, 1],
            np.sqrt(2) * tensor[1, 2],
            np.sqrt(2) * tensor[2, 0],
            (tensor[0, 0] - tensor[1, 1]) / np.sqrt(2),
            np.sqrt(1.5) * tensor[2, 2],
        ]
    )


def octahedral_axes(bonds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (rows x, y, z) to the orthogonal axes that the bonds follow most closely."""
    unit = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)
    axes = [unit[0]]
    for candidate in unit[1:]:
        if len(axes) < 3 and all(abs(candidate @ axis) < 0.6 for axis in axes):
            axes.append(candidate)
    if len(axes) < 3:
        axes = [*axes[:2], np.cross(axes[0], axes[1])] if len(axes) == 2 else list(np.eye(3))
    rough = np.array(axes)
    left, _, right = np.linalg.svd(rough)  # nearest orthogonal matrix
    return np.asarray(left @ right)


def tetragonal_field(bonds: NDArray[np.float64], name: str) -> Field:
    """Return 10Dq, Ds, Dt of the octahedron's axes; the tetragonal axis is the one that differs most.

    The trigonal part of the field is left out. An oxygen vacancy at a corner is a missing ligand on
    the tetragonal axis, exactly what D4h can hold.
    """
    frame = octahedral_axes(bonds)
    best: tuple[float, Field] | None = None
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turned = bonds @ frame[list(order)].T
        xy, yz, zx, x2y2, z2 = np.diag(overlap_field(turned, name))
        xz = 0.5 * (yz + zx)
        # b1g = 6Dq + 2Ds − Dt, a1g = 6Dq − 2Ds − 6Dt, b2g = −4Dq + 2Ds − Dt, eg = −4Dq − Ds + 4Dt
        dt = ((x2y2 - z2) * 3 - 4 * (xy - xz)) / 35
        ds = (x2y2 - z2 - 5 * dt) / 4
        ten_dq = x2y2 - xy
        spread = abs(x2y2 - z2) + abs(xy - xz)
        if best is None or spread > best[0] + 1e-9:
            best = spread, Field(float(ten_dq), float(ds), float(dt))
    assert best is not None
    found = best[1]
    ten_dq = max(found.ten_dq, REFERENCES[name][2])
    step = ROUNDING
    return Field(
        round(round(ten_dq / step) * step, 4),
        round(round(found.ds / step) * step, 4),
        round(round(found.dt / step) * step, 4),
    )


def site_parameters(atoms: Atoms, site: int, moment: float = float("nan")) -> Site:
    """Return ion and field of a site."""
    bonds = oxygen_bonds(atoms, site)
    name, valence = site_ion(str(atoms.get_chemical_symbols()[site]), bonds, moment)
    return Site(name, tetragonal_field(bonds, name), len(bonds), valence)
