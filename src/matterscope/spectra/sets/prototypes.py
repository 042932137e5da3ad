"""Any crystal as the parent of a set: substitutions, orderings and vacancies that a recipe names.

In: a space group with its atoms, what may replace and leave which element, and a random stream. Out: plans,
one a structure, plain data; the unrelaxed structure of each plan, and its labels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import reduce
from math import gcd
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from matterscope.core.settings import Settings
from matterscope.physics.structures import first_shell


def _element(name: str) -> str:
    if name not in atomic_numbers or name == "X":
        raise ValueError(f"'{name}' is no element")
    return name


class SiteRecipe(Settings):
    """One atom of the asymmetric unit."""

    element: str
    position: tuple[float, float, float]

    _known = field_validator("element")(staticmethod(_element))


class ReplaceRecipe(Settings):
    """Which element replaces which on what share of its sites."""

    element: str
    by: str
    low: float = Field(0.0, ge=0, le=1)
    high: float = Field(0.5, ge=0, le=1)

    _known = field_validator("element", "by")(staticmethod(_element))


class LeaveRecipe(Settings):
    """What share of an element's sites is left empty, and in what share of the structures."""

    element: str
    low: float = Field(0.0, ge=0, le=1)
    high: float = Field(1.0, ge=0, le=1)
    share: float = Field(1.0, ge=0, le=1)

    _known = field_validator("element")(staticmethod(_element))


class PrototypeRecipe(Settings):
    """The parent crystal (Å, degrees) and what is done to it."""

    spacegroup: int = Field(ge=1, le=230)
    setting: int = Field(1, ge=1, le=2)
    cell: tuple[float, float, float, float, float, float]
    atoms: tuple[SiteRecipe, ...] = Field(min_length=1)
    primitive: bool = True
    repeat: tuple[int, int, int] = (1, 1, 1)
    replace: tuple[ReplaceRecipe, ...] = ()
    leave: tuple[LeaveRecipe, ...] = ()
    orderings: tuple[Literal["random", "clustered"], ...] = ("random", "clustered")

    @model_validator(mode="after")
    def _named_elements_are_there(self) -> PrototypeRecipe:
        own = {a.element for a in self.atoms}
        entries: list[ReplaceRecipe | LeaveRecipe] = [*self.replace, *self.leave]
        for entry in entries:
            if entry.element not in own:
                raise ValueError(f"there is no {entry.element} among the atoms of the prototype")
            if entry.low > entry.high:
                raise ValueError(f"low exceeds high for {entry.element}")
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """All elements that a structure can hold."""
        return tuple(
            dict.fromkeys([*(a.element for a in self.atoms), *(r.by for r in self.replace)])
        )


@dataclass(frozen=True)
class PrototypePlan:
    """One structure to be made: everything that determines it beside the recipe, as plain data.

    Children of one parent share what replaces what and where; each leaves its own sites empty.
    """

    index: int
    parent: str
    family: str
    ordering: str
    parent_seed: int
    seed: int
    replaced: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PrototypePlan:
        """Return the plan that `as_record` wrote."""
        return cls(**record)


def parent_crystal(recipe: PrototypeRecipe) -> Atoms:
    """Return the undoped, complete crystal.

    Examples
    --------
    >>> salt = PrototypeRecipe(
    ...     spacegroup=225, cell=(4.2,) * 3 + (90.0,) * 3,
    ...     atoms=({"element": "Mg", "position": (0, 0, 0)}, {"element": "O", "position": (0.5, 0.5, 0.5)}),
    ... )
    >>> parent_crystal(salt).get_chemical_formula()
    'MgO'
    """
    from ase.spacegroup import crystal

    made = crystal(
        [a.element for a in recipe.atoms],
        [a.position for a in recipe.atoms],
        spacegroup=recipe.spacegroup,
        setting=recipe.setting,
        cellpar=list(recipe.cell),
        primitive_cell=recipe.primitive,
    ).repeat(recipe.repeat)
    # reproducible order and no left-overs of the space group in the records
    return Atoms(made.numbers, positions=np.round(made.positions, 8), cell=made.cell, pbc=True)


def formula_units(recipe: PrototypeRecipe) -> int:
    """Return how many formula units the parent crystal holds."""
    counts = np.bincount(parent_crystal(recipe).numbers)
    return reduce(gcd, (int(c) for c in counts if c))


def enumerate_prototype(
    recipe: PrototypeRecipe, count: int, children: int, rng: np.random.Generator
) -> list[PrototypePlan]:
    """Return `count` plans, drawn uniformly between the bounds that the recipe gives."""
    numbers = parent_crystal(recipe).numbers
    present = {e: int(np.sum(numbers == atomic_numbers[e])) for e in recipe.elements}
    plans: list[PrototypePlan] = []
    while len(plans) < count:
        number, left_over = len(plans) // children, dict(present)
        replaced = {}
        for entry in recipe.replace:
            amount = min(_share(entry.low, entry.high, present[entry.element], rng), left_over[entry.element])  # fmt: skip
            replaced[f"{entry.element}:{entry.by}"] = amount
            left_over[entry.element] -= amount
        ordering = recipe.orderings[int(rng.integers(len(recipe.orderings)))]
        parent_seed = int(rng.integers(2**31))
        formula = "-".join(f"{k}{v}" for k, v in replaced.items()) or "parent"
        for _ in range(min(children, count - len(plans))):
            left = {
                e.element: _share(e.low, e.high, left_over[e.element], rng)
                if rng.random() < e.share
                else 0
                for e in recipe.leave
            }
            plans.append(
                PrototypePlan(
                    len(plans), f"p{number:04d}", f"{formula}:{ordering}", ordering, parent_seed,
                    int(rng.integers(2**31)), replaced, left,
                )
            )  # fmt: skip
    return plans


def _share(low: float, high: float, sites: int, rng: np.random.Generator) -> int:
    """Return a number of sites between two shares, every whole number as likely."""
    first, last = int(np.ceil(low * sites - 1e-9)), int(np.floor(high * sites + 1e-9))
    return int(rng.integers(first, max(first, last) + 1))


def fill_prototype(recipe: PrototypeRecipe, plan: PrototypePlan) -> Atoms:
    """Return the unrelaxed structure of a plan."""
    atoms = parent_crystal(recipe)
    parent, child = np.random.default_rng(plan.parent_seed), np.random.default_rng(plan.seed)
    numbers, host = atoms.numbers.copy(), atoms.numbers
    for entry in recipe.replace:
        amount = plan.replaced.get(f"{entry.element}:{entry.by}", 0)
        free = np.flatnonzero((numbers == atomic_numbers[entry.element]) & (host == numbers))
        order = parent.permutation(free)
        if plan.ordering == "clustered" and len(order):
            order = _outwards(atoms, order)
        numbers[order[:amount]] = atomic_numbers[entry.by]
    empty: list[int] = []
    for gap in recipe.leave:
        own = np.flatnonzero(numbers == atomic_numbers[gap.element])
        empty += child.permutation(own)[: plan.left.get(gap.element, 0)].tolist()
    atoms.numbers[:] = numbers
    kept = np.setdiff1d(np.arange(len(atoms)), np.array(empty, dtype=int))
    return atoms[kept]


def _outwards(atoms: Atoms, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sites by their distance (through the periodic cell) from the first of them."""
    far = atoms.get_distances(int(order[0]), order, mic=True)
    return np.asarray(order[np.argsort(np.round(far, 6), kind="stable")])


def prototype_labels(
    recipe: PrototypeRecipe, plan: PrototypePlan, atoms: Atoms, simulated: tuple[str, ...]
) -> dict[str, Any]:
    """Return what a model can be trained on: contents per formula unit, shells of the simulated elements.

    ``vacancy_X`` tells whether sites of X are empty, ``volume`` is in Å³ per formula unit.
    """
    units = formula_units(recipe)
    count = np.bincount(atoms.numbers, minlength=120)
    labels: dict[str, Any] = {
        f"content_{e}": float(count[atomic_numbers[e]] / units) for e in recipe.elements
    }
    labels |= {
        f"vacancy_{gap.element}": int(plan.left.get(gap.element, 0) > 0) for gap in recipe.leave
    }
    for element in simulated:
        shells = [
            first_shell(atoms, int(i))
            for i in np.flatnonzero(atoms.numbers == atomic_numbers[element])
        ]
        labels[f"bond_length_{element}"] = (
            float(np.mean([s.bond_length for s in shells])) if shells else float("nan")
        )
        labels[f"coordination_number_{element}"] = (
            float(np.mean([s.coordination_number for s in shells])) if shells else float("nan")
        )
    labels["volume"] = float(atoms.get_volume() / units)
    labels["formula"] = atoms.get_chemical_formula("metal")
    return labels
