"""Geometry of atomic structures: clusters around a site, shells, equivalent sites, digests.

In: `ase.Atoms` (periodic or not; Å). Out: arrays that do not depend on the choice of the cell or
on the order of the atoms. No material's constant stands here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

TIE = 4
"""Decimals (Å) to which distances count as equal when atoms are ordered."""


@dataclass(frozen=True)
class Cluster:
    """Atoms around a centre, nearest first; the centre itself is the first.

    Parameters
    ----------
    numbers : array of shape (n,)
        Atomic numbers.
    positions : array of shape (n, 3), Å
        Relative to the centre.
    distances : array of shape (n,), Å
        From the centre.
    indices : array of shape (n,)
        Which atom of the structure each one is an image of.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    distances: NDArray[np.float64]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


def images(atoms: Atoms, radius: float) -> NDArray[np.float64]:
    """Return the lattice translations (m, 3) in Å that can bring an atom within `radius` of another."""
    cell = np.asarray(atoms.cell.array, dtype=float)
    repeats = np.zeros(3, dtype=int)
    if atoms.pbc.any():
        height = 1.0 / np.linalg.norm(np.linalg.pinv(cell), axis=0)
        reach = np.ceil(radius / height).astype(int) + 1  # +1: atoms may lie outside the cell
        repeats = np.where(atoms.pbc, reach, 0)
    axes = [np.arange(-n, n + 1) for n in repeats]
    shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(shifts @ cell, dtype=float)


def cluster(atoms: Atoms, site: int, radius: float) -> Cluster:
    """Return the atoms within `radius` of atom `site`.

    Parameters
    ----------
    atoms : Atoms
        Structure, Å.
    site : int
        0-based index of the centre.
    radius : float, Å

    Returns
    -------
    Cluster
        Ordered by distance, then atomic number, then position: the same for every choice of cell
        that describes the same crystal in the same orientation.

    Examples
    --------
    >>> from ase.build import bulk
    >>> len(cluster(bulk("Cu", "fcc", 3.6), 0, 2.6))
    13
    """
    wrapped = atoms.get_positions(wrap=bool(atoms.pbc.any()))
    places = wrapped[None] + images(atoms, radius)[:, None] - wrapped[site]
    positions = places.reshape(-1, 3)
    indices = np.tile(np.arange(len(atoms)), len(places))
    distances = np.linalg.norm(positions, axis=1)
    near = distances <= radius
    positions, indices, distances = positions[near], indices[near], distances[near]
    numbers = atoms.numbers[indices]
    rounded = np.round(positions, TIE) + 0.0  # + 0.0 turns −0 into 0
    keys = (rounded[:, 2], rounded[:, 1], rounded[:, 0], numbers, np.round(distances, TIE))
    order = np.lexsort(keys)
    return Cluster(numbers[order], positions[order], distances[order], indices[order])


@dataclass(frozen=True)
class Shell:
    """The first coordination shell of a site: numbers and distances (Å), nearest first."""

    numbers: NDArray[np.int64]
    distances: NDArray[np.float64]

    @property
    def coordination_number(self) -> int:
        """Number of neighbours."""
        return len(self.distances)

    @property
    def bond_length(self) -> float:
        """Mean distance, Å; NaN for a lone atom."""
        return float(self.distances.mean()) if len(self.distances) else float("nan")


def first_shell(atoms: Atoms, site: int, ratio: float = 1.25, reach: float = 3.3) -> Shell:
    """Return the neighbours within `ratio` × the nearest distance (and within `reach` Å).

    Examples
    --------
    >>> from ase.build import bulk
    >>> first_shell(bulk("NaCl", "rocksalt", 5.64), 0).coordination_number
    6
    """
    around = cluster(atoms, site, reach)
    distances, numbers = around.distances[1:], around.numbers[1:]
    if not len(distances):
        return Shell(numbers, distances)
    inside = distances <= ratio * distances[0]
    return Shell(numbers[inside], distances[inside])


def shortest_distance(atoms: Atoms, reach: float = 3.0) -> tuple[float, int, int]:
    """Return the shortest distance (Å) between two atoms and their indices.

    Examples
    --------
    >>> from ase.build import bulk
    >>> round(shortest_distance(bulk("Cu", "fcc", 3.6))[0], 3)
    2.546
    """
    best = (float("inf"), -1, -1)
    for site in range(len(atoms)):
        around = cluster(atoms, site, reach)
        if len(around) > 1 and around.distances[1] < best[0]:
            best = (float(around.distances[1]), site, int(around.indices[1]))
    return best


def site_classes(atoms: Atoms, element: int, radius: float = 6.0) -> dict[int, list[int]]:
    """Group the sites of an element by their surroundings up to `radius`.

    Two sites are in one class when the distances by element agree to 2·10⁻³ Å and the cosines between
    the nearest dozen neighbours to 0.02: what an orientation-averaged spectrum can see.

    Returns
    -------
    dict of int to list of int
        First site of each class → all its sites.
    """
    found: list[tuple[list[NDArray[np.float64]], list[int]]] = []
    for site in np.flatnonzero(atoms.numbers == element):
        prints = _fingerprint(cluster(atoms, int(site), radius))
        for known, members in found:
            if all(
                len(a) == len(b) and np.allclose(a, b, rtol=0.0, atol=tolerance)
                for a, b, tolerance in zip(known, prints, (2e-3, 0.5, 2e-2), strict=True)
            ):
                members.append(int(site))
                break
        else:
            found.append((prints, [int(site)]))
    return {members[0]: members for _, members in found}


def _fingerprint(around: Cluster) -> list[NDArray[np.float64]]:
    order = np.lexsort((around.distances, around.numbers))
    last = around.distances[min(13, len(around) - 1)] + 1e-2  # whole shells, or none of a shell
    near = around.positions[1:][around.distances[1:] <= last]
    unit = near / np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-9)
    return [
        around.distances[order],
        around.numbers[order].astype(float),
        np.sort((unit @ unit.T).ravel()),
    ]


def structure_digest(atoms: Atoms) -> str:
    """Return the sha256 of cell, species and positions (to 10⁻⁸ Å), in the order given."""
    digest = hashlib.sha256()
    for part in (atoms.cell.array, atoms.positions):
        digest.update((np.round(np.asarray(part, dtype="<f8"), 8) + 0.0).tobytes())
    digest.update(np.asarray(atoms.numbers, dtype="<i4").tobytes())
    digest.update(np.asarray(atoms.pbc, dtype="u1").tobytes())
    return digest.hexdigest()


def as_record(atoms: Atoms) -> dict[str, Any]:
    """Return the structure as plain JSON data."""
    return {
        "cell": atoms.cell.array.tolist(),
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "pbc": [bool(p) for p in atoms.pbc],
    }


def from_record(record: dict[str, Any]) -> Atoms:
    """Return the structure that `as_record` wrote."""
    return Atoms(
        numbers=record["numbers"],
        positions=record["positions"],
        cell=record["cell"],
        pbc=record["pbc"],
    )
