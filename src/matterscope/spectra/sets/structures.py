"""Enumerate layered oxides: compositions, lithium contents, orderings, vacancies and antisites.

In: a recipe (counts and shares) and a random stream. Out: plans, one a structure, plain data; and
the unrelaxed structure of each plan. Lattice: O3-LiMO₂ (R-3m), a ≈ 2.815 + 0.055x, c ≈ 14.25 + 0.25 sin πx Å.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

OXYGEN_HEIGHT = 0.2585
"""z of oxygen with the transition metal at 0 and lithium at ½ (LiNiO₂ family, layered R-3m)."""
METALS = {"Ni": 28, "Mn": 25, "Co": 27}
CELLS = {
    9: ((1, 1, 0), (-1, 2, 0), 3),
    10: ((2, 1, 0), (-1, 2, 0), 2),
    12: ((2, 0, 0), (0, 2, 0), 3),
}
"""Formula units → two in-plane vectors (in units of a, hexagonal) and the number of layers."""
NAMED = {
    9: ((3, 3, 3), (5, 2, 2), (6, 2, 1), (7, 1, 1), (4, 3, 2)),
    10: ((5, 3, 2), (6, 2, 2), (7, 1, 2), (8, 1, 1), (4, 4, 2)),
    12: ((4, 4, 4), (6, 4, 2), (7, 3, 2), (8, 2, 2), (10, 1, 1)),
}
"""Ni, Mn, Co per cell, the closest to 111, 532, 622, 712 and 811 (exact in the cell of ten)."""
ORDERINGS = ("random", "clustered", "striped")
DEFECTS = ("pristine", "vacancy", "antisite", "both")
DOPANTS = {"Al": 13, "Mg": 12}
"""Elements that may replace a metal, with their charges 3+ and 2+."""


@dataclass(frozen=True)
class Plan:
    """One structure to be made: everything that determines it, as plain data."""

    index: int
    parent: str
    family: str
    units: int
    metals: tuple[int, int, int]
    ordering: str
    parent_seed: int
    lithium: int
    lithium_ordering: str
    vacancies: int
    antisites: int
    seed: int
    dopant: str = ""
    dopants: int = 0

    def as_record(self) -> dict[str, Any]:
        """Return plain JSON data; without dopants the record that sets had before there were any."""
        record = asdict(self) | {"metals": list(self.metals)}
        if not self.dopants:
            del record["dopant"], record["dopants"]
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Plan:
        """Return the plan that `as_record` wrote."""
        return cls(**{**record, "metals": tuple(record["metals"])})


def enumerate_layered(count: int, children: int, rng: np.random.Generator) -> list[Plan]:
    """Return `count` plans: parents (cell, composition, ordering) with `children` structures each.

    Half of the parents have a named composition, half a random one with each metal present.
    Lithium is drawn uniformly in 0–1 per metal, independently of the composition and the defects,
    so that neither predicts the other; antisites need a lithium to swap with.
    """
    plans: list[Plan] = []
    while len(plans) < count:
        number = len(plans) // children
        units = int(rng.choice(list(CELLS)))
        metals = _composition(units, number, rng)
        ordering = ORDERINGS[int(rng.integers(len(ORDERINGS)))]
        parent_seed = int(rng.integers(2**31))
        formula = "-".join(str(n) for n in metals)
        for _ in range(min(children, count - len(plans))):
            plans.append(
                _child(len(plans), (units, metals, ordering, parent_seed), number, formula, rng)
            )
    return plans


def doped(plan: Plan, elements: tuple[str, ...], share: float, most: int) -> Plan:
    """Return the plan with 1 … `most` atoms of one of `elements` in a `share` of all plans, drawn by its own seed."""
    rng = np.random.default_rng([plan.seed, 3])
    if not elements or rng.random() >= share:
        return plan
    dopant, count = elements[int(rng.integers(len(elements)))], int(rng.integers(1, most + 1))
    return replace(plan, dopant=dopant, dopants=count)


def _composition(units: int, number: int, rng: np.random.Generator) -> tuple[int, int, int]:
    if number % 2 == 0:
        named = NAMED[units]
        nickel, manganese, cobalt = named[int(rng.integers(len(named)))]
        return nickel, manganese, cobalt
    nickel = int(rng.integers(max(2, units // 4), units - 1))
    manganese = int(rng.integers(1, units - nickel))
    return nickel, manganese, units - nickel - manganese


def _child(
    index: int,
    parent: tuple[int, tuple[int, int, int], str, int],
    number: int,
    formula: str,
    rng: np.random.Generator,
) -> Plan:
    units, metals, ordering, parent_seed = parent
    defect = DEFECTS[int(rng.choice(4, p=(0.3, 0.26, 0.26, 0.18)))]
    lithium = int(rng.integers(0, units + 1))
    twofold = bool(rng.random() < 0.3)
    antisites = (2 if twofold else 1) if defect in ("antisite", "both") else 0
    if antisites:
        lithium = max(lithium, antisites)
    return Plan(
        index=index,
        parent=f"p{number:04d}",
        family=f"{units}:{formula}:{ordering}",
        units=units,
        metals=metals,
        ordering=ordering,
        parent_seed=parent_seed,
        lithium=lithium,
        lithium_ordering=("random", "rows")[int(rng.integers(2))],
        vacancies=(2 if twofold else 1) if defect in ("vacancy", "both") else 0,
        antisites=min(antisites, metals[0]),
        seed=int(rng.integers(2**31)),
    )


def layered_cell(
    units: int, content: float
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return the cell (3, 3) in Å and the sites of metal, lithium and oxygen in it.

    Layers of an O3 stacking follow each other by (a₁ + 2a₂)/3 and c/3, so two layers make a
    (monoclinic-shaped) cell as well as three do.
    """
    a = 2.815 + 0.055 * content
    c = 14.25 + 0.25 * np.sin(np.pi * content)
    a1, a2 = np.array([a, 0.0, 0.0]), np.array([-a / 2, a * np.sqrt(3) / 2, 0.0])
    step = (2 * a1 + a2) / 3 + np.array([0.0, 0.0, c / 3])  # obverse rhombohedral centring
    first, second, layers = CELLS[units]
    in_plane = np.array([first[0] * a1 + first[1] * a2, second[0] * a1 + second[1] * a2])
    third = layers * step
    if layers == 3:  # three steps come back above the origin: c itself
        third = np.array([0.0, 0.0, c])
    cell = np.vstack([in_plane, third])
    lattice = np.array([i * a1 + j * a2 for i in range(-3, 4) for j in range(-3, 4)])
    inverse = np.linalg.inv(cell)
    sites: dict[str, list[NDArray[np.float64]]] = {"metal": [], "lithium": [], "oxygen": []}
    up = np.array([0.0, 0.0, c])
    offsets = {"metal": (0.0,), "lithium": (0.5,), "oxygen": (OXYGEN_HEIGHT, -OXYGEN_HEIGHT)}
    for kind, heights in offsets.items():
        for height in heights:
            for layer in range(layers):
                places = lattice + layer * step + height * up
                fractional = np.round((places @ inverse) % 1.0, 6) % 1.0
                sites[kind].append(np.unique(fractional, axis=0) @ cell)
    return cell, {kind: np.vstack(parts) for kind, parts in sites.items()}


def _order(places: NDArray[np.float64], kind: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the sequence in which sites are filled: at random, from a seed outwards, or row by row."""
    jitter = rng.random(len(places)) * 1e-3
    if kind == "clustered":
        centre = places[int(rng.integers(len(places)))]
        return np.argsort(np.linalg.norm(places - centre, axis=1) + jitter)
    if kind in ("striped", "rows"):
        angle = np.pi / 3 * int(rng.integers(3)) + np.pi / 6
        return np.argsort(places @ np.array([np.cos(angle), np.sin(angle), 0.02]) + jitter)
    return np.asarray(rng.permutation(len(places)))


def _dope(numbers: NDArray[np.int64], plan: Plan) -> None:
    """Replace metals by the dopant in place, never the last atom of a metal."""
    left = plan.dopants
    for site in np.random.default_rng([plan.seed, 4]).permutation(len(numbers)):
        kind = numbers[site]
        if left and kind in METALS.values() and np.sum(numbers == kind) > 1:
            numbers[site] = DOPANTS[plan.dopant]
            left -= 1


def make_structure(plan: Plan) -> Atoms:
    """Return the unrelaxed structure of a plan; `arrays["layer"]` is 1 for sites of the lithium layer.

    The metals are placed by the parent's seed (children of one parent share their metal ordering),
    lithium, vacancies and antisites by the child's own.
    """
    cell, sites = layered_cell(plan.units, plan.lithium / plan.units)
    parent, child = np.random.default_rng(plan.parent_seed), np.random.default_rng(plan.seed)
    metals = np.repeat(list(METALS.values()), plan.metals)
    numbers = np.empty(plan.units, dtype=int)
    numbers[_order(sites["metal"], plan.ordering, parent)] = metals
    filled = np.sort(_order(sites["lithium"], plan.lithium_ordering, child)[: plan.lithium])
    lithium = np.full(plan.lithium, 3)
    if plan.antisites:
        nickel = child.permutation(np.flatnonzero(numbers == METALS["Ni"]))[: plan.antisites]
        numbers[nickel] = 3
        lithium[child.permutation(plan.lithium)[: plan.antisites]] = METALS["Ni"]
    kept = np.sort(child.permutation(len(sites["oxygen"]))[plan.vacancies :])
    if plan.dopants:
        _dope(numbers, plan)
    atoms = Atoms(
        numbers=np.concatenate([lithium, numbers, np.full(len(kept), 8)]),
        positions=np.vstack([sites["lithium"][filled], sites["metal"], sites["oxygen"][kept]]),
        cell=cell,
        pbc=True,
    )
    atoms.set_array("layer", np.array([1] * plan.lithium + [0] * (len(atoms) - plan.lithium)))
    return atoms
