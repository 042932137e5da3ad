"""Structures: N disks in a box, with a law of radii and a rule of placement.

In: a recipe of numbers and a random generator. Out: positions and radii of one configuration.
Radii are drawn anew for every pattern: one list per N would carry N in its fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError

Floats = NDArray[np.float64]

JAMMING = 0.547
"""Largest area fraction that random sequential addition reaches (Feder, J. Theor. Biol. 87, 237 (1980))."""
TRIES = 20_000
LAWS = ("fixed", "constant-area", "normal", "lognormal", "schulz")
EQUAL_LAWS = ("fixed", "constant-area")
"""Laws under which all disks of a pattern have one radius."""


@dataclass(frozen=True)
class Disks:
    """Positions and radii of the disks of one configuration, in the length unit of the box."""

    x: Floats
    y: Floats
    radius: Floats

    @property
    def polydispersity(self) -> float:
        """Return PDI = N Σr⁴/(Σr²)² = 1 + CV² of the areas."""
        area = self.radius**2
        return float(area.size * (area**2).sum() / area.sum() ** 2)


@dataclass(frozen=True)
class Recipe:
    """How configurations are made.

    Parameters
    ----------
    box : float, length
        Side of the square box.
    radius : float, length
        Radius of the fixed law; the other laws hold the total area at two disks of this radius.
    law : str
        ``fixed`` R for all; ``constant-area`` R·√(2/N); ``normal``, ``lognormal``, ``schulz``: areas
        of the law with coefficient of variation `scatter`, total area held at two disks of R.
    scatter : float
        Coefficient of variation of the areas (arXiv 2211.08194 has Normal(3, 1), that is 1/3).
    gap : float, length
        Least distance between the rims of two disks.
    placement : str
        ``rsa`` or ``equilibrium`` (hard-disk Monte Carlo started from rsa).
    """

    box: float = 2000.0
    radius: float = 90.0
    law: str = "fixed"
    scatter: float = 1.0 / 3.0
    gap: float = 2.0
    placement: str = "rsa"


def draw_radii(n: int, recipe: Recipe, rng: np.random.Generator) -> Floats:
    """Return n radii of the recipe's law, drawn for this configuration.

    Examples
    --------
    >>> r = draw_radii(5, Recipe(law="normal"), np.random.default_rng(0))
    >>> bool(np.isclose((r**2).sum(), 2 * 90.0**2))
    True
    """
    if recipe.law == "fixed":
        return np.full(n, recipe.radius)
    if recipe.law == "constant-area":
        return np.full(n, recipe.radius * np.sqrt(2.0 / n))
    areas = _areas(n, recipe, rng)
    return np.asarray(recipe.radius * np.sqrt(2.0 * areas / areas.sum()), dtype=float)


def _areas(n: int, recipe: Recipe, rng: np.random.Generator) -> Floats:
    cv = recipe.scatter
    if recipe.law == "normal":
        areas = rng.normal(1.0, cv, n)
        while (bad := areas <= 0).any():
            areas[bad] = rng.normal(1.0, cv, int(bad.sum()))
        return areas
    if recipe.law == "lognormal":
        width = np.sqrt(np.log1p(cv**2))
        return rng.lognormal(-0.5 * width**2, width, n)
    if recipe.law == "schulz":
        return rng.gamma(1.0 / cv**2, cv**2, n)
    raise ConfigError(
        "unknown law of radii", got=repr(recipe.law), expected="one of " + ", ".join(LAWS)
    )


def place(n: int, recipe: Recipe, rng: np.random.Generator) -> Disks:
    """Return a configuration of n disks.

    Raises
    ------
    ConfigError
        If random sequential addition cannot place them in a bounded number of tries.
    """
    radii = draw_radii(n, recipe, rng)
    x, y = _add_sequentially(radii, recipe, rng)
    disks = Disks(x, y, radii)
    return equilibrate(disks, recipe, rng) if recipe.placement == "equilibrium" else disks


def _add_sequentially(
    radii: Floats, recipe: Recipe, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    n = radii.size
    # the published rule keeps centres one (largest) radius R off the walls for every disk
    wall = (
        max(recipe.radius, float(radii.max(initial=0.0)))
        if recipe.law == "fixed"
        else recipe.radius
    )
    wall = min(wall, 0.49 * recipe.box)
    x, y = np.empty(n), np.empty(n)
    for k in range(n):
        reach2 = (radii[:k] + radii[k] + recipe.gap) ** 2
        for _ in range(TRIES):
            px, py = wall + (recipe.box - 2 * wall) * rng.random(2)
            if k == 0 or ((x[:k] - px) ** 2 + (y[:k] - py) ** 2 >= reach2).all():
                x[k], y[k] = px, py
                break
        else:
            fraction = float(np.pi * (radii**2).sum() / recipe.box**2)
            raise ConfigError(
                f"random sequential addition cannot place {n} disks in a box of {recipe.box:g}",
                got=f"area fraction {fraction:.3f}, {k} disks placed after {TRIES} tries",
                expected=f"well below the jamming limit {JAMMING}",
                hint="fewer or smaller disks, or a larger box",
            )
    return x, y


def equilibrate(disks: Disks, recipe: Recipe, rng: np.random.Generator, sweeps: int = 200) -> Disks:
    """Return the configuration after hard-disk Monte Carlo: single moves, overlaps refused.

    Metropolis with a uniform step; started anywhere it samples the equilibrium of hard disks in
    a box with hard walls.
    """
    x, y, radii = disks.x.copy(), disks.y.copy(), disks.radius
    wall = min(recipe.radius, 0.49 * recipe.box)
    step = max(0.2 * recipe.box / np.sqrt(max(radii.size, 1)), recipe.gap)
    for _ in range(sweeps):
        for k in range(radii.size):
            px, py = x[k] + step * (rng.random() - 0.5), y[k] + step * (rng.random() - 0.5)
            if not (wall <= px <= recipe.box - wall and wall <= py <= recipe.box - wall):
                continue
            apart = (x - px) ** 2 + (y - py) ** 2 >= (radii + radii[k] + recipe.gap) ** 2
            apart[k] = True
            if apart.all():
                x[k], y[k] = px, py
    return Disks(x, y, radii)


def align(found: Disks, truth: Disks) -> tuple[Disks, Any, float]:
    """Return `found` moved onto `truth` (translation and inversion twin), the pairing and the rms distance.

    A pattern shows a structure up to a shift and a rotation by 180°, so an error of positions has
    a meaning only after this. Every pair of disks is tried as the anchor.
    """
    from scipy.optimize import linear_sum_assignment

    best: tuple[float, Any, Any] = (np.inf, None, None)
    target = np.stack([truth.x, truth.y], axis=1)
    for sign in (1.0, -1.0):
        points = sign * np.stack([found.x, found.y], axis=1)
        for i in range(len(points)):
            for j in range(len(target)):
                moved = points - points[i] + target[j]
                cost = np.minimum(((moved[:, None] - target[None]) ** 2).sum(-1), 1e12)
                total = float(np.sqrt(cost.min(axis=1)).clip(max=3.0 * truth.radius.mean()).sum())
                if total < best[0]:
                    best = (total, moved, cost)
    _, moved, cost = best
    rows, columns = linear_sum_assignment(np.sqrt(cost))
    shift = np.median(target[columns] - moved[rows], axis=0)
    moved = moved + shift
    away = np.hypot(*(moved[rows] - target[columns]).T)
    placed = Disks(moved[:, 0], moved[:, 1], found.radius)
    return placed, (rows, columns), float(np.sqrt((away**2).mean()))
