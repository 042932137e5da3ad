"""Chemical potentials: the polytope in which the host is stable, its corners, and what precipitates outside.

In: formation energies per formula unit of the host and of competing phases. Out: corners and verdicts.
Δμ are relative to the elements, in eV per atom: Σ n Δμ = ΔH(host), Δμ ≤ 0, Σ m Δμ ≤ ΔH(phase).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from matterscope.core.errors import DataError

TOLERANCE = 1e-7


@dataclass(frozen=True)
class Phase:
    """A compound with its formation energy, eV per formula unit."""

    name: str
    formula: Mapping[str, float]
    energy: float


@dataclass(frozen=True)
class Corner:
    """A vertex of the stability region: Δμ of each element and the phases in equilibrium there."""

    delta_mu: dict[str, float]
    phases: tuple[str, ...]


def stability_corners(host: Phase, competing: Sequence[Phase] = ()) -> list[Corner]:
    """Return the corners of the region in which `host` is stable.

    Raises
    ------
    DataError
        If the host is unstable against the phases given.

    Examples
    --------
    >>> corners = stability_corners(Phase("CdTe", {"Cd": 1, "Te": 1}, -1.17))
    >>> sorted(round(c.delta_mu["Cd"], 2) for c in corners)
    [-1.17, 0.0]
    """
    elements = sorted({e for p in (host, *competing) for e in p.formula})
    rows = [[1.0 if e == f else 0.0 for f in elements] for e in elements]
    rows += [[p.formula.get(e, 0.0) for e in elements] for p in competing]
    limits = [0.0] * len(elements) + [p.energy for p in competing]
    names = [*elements, *(p.name for p in competing)]
    bounds, right = np.array(rows), np.array(limits)
    equal = np.array([host.formula.get(e, 0.0) for e in elements])
    corners: dict[tuple[float, ...], set[str]] = {}
    for active in combinations(range(len(rows)), len(elements) - 1):
        system = np.vstack([equal, bounds[list(active)]])
        if abs(np.linalg.det(system)) < 1e-10:
            continue
        point = np.linalg.solve(system, np.array([host.energy, *right[list(active)]]))
        if (bounds @ point <= right + TOLERANCE).all():
            place = tuple((np.round(point, 9) + 0.0).tolist())
            corners.setdefault(place, set()).update(names[i] for i in active)
    if not corners:
        raise DataError(
            f"{host.name} is not stable against the phases given",
            hint="check formation energies per formula unit and their signs",
        )
    return [
        Corner(dict(zip(elements, place, strict=True)), tuple(sorted(phases)))
        for place, phases in sorted(corners.items())
    ]


def precipitates(
    delta_mu: Mapping[str, float], competing: Sequence[Phase], elements: Sequence[str]
) -> list[tuple[str, float]]:
    """Return the phases that form at these Δμ, and by how many eV per formula unit."""
    found = [(e, delta_mu.get(e, 0.0)) for e in elements if delta_mu.get(e, 0.0) > TOLERANCE]
    for phase in competing:
        excess = sum(n * delta_mu.get(e, 0.0) for e, n in phase.formula.items()) - phase.energy
        if excess > TOLERANCE:
            found.append((phase.name, excess))
    return found
