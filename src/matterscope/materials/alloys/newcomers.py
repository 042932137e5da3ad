"""Species that no training row holds: which members of a stack carry over to them, and how far off they are.

In: fitted members and their training rows. Out: for each site weights and a factor on σ, from leaving the
species of that site out in turn. Random folds cannot tell: there every species stays in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.process import Fractions

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Answer = tuple[Array, Array | None]

FEWEST_SPECIES = 3
"""On a site, to leave one out and still see how a property changes from one species to another."""
FEWEST_ROWS = 20
MOST_GROUPS = 6
TREND = "trend-process"


@dataclass(frozen=True)
class Newcomers:
    """How to answer for a species that is new on one site: weights of the members, factor on σ."""

    weights: Array
    scale: float


@dataclass(frozen=True)
class LeftOut:
    """Rows left out together, and what each member says of them: value and σ, shape (members, rows)."""

    rows: Rows
    values: Array
    sigmas: Array


def species_groups(fractions: Fractions) -> dict[str, list[Rows]]:
    """Return by site the rows that hold a species (or one of several), for sites with enough species."""
    groups = {}
    for site, part in zip(SITES, fractions, strict=True):
        held = np.flatnonzero((part > 0).any(0))
        if len(held) < FEWEST_SPECIES:
            continue
        dealt = [held[i::MOST_GROUPS] for i in range(min(MOST_GROUPS, len(held)))]
        rows = [np.flatnonzero((part[:, names] > 0).any(1)) for names in dealt]
        groups[site] = [r for r in rows if len(part) - len(r) >= FEWEST_ROWS]
    return {site: rows for site, rows in groups.items() if len(rows) >= FEWEST_SPECIES}


def learn_newcomers(
    names: list[str], answer: Callable[[Rows], list[Answer]], fractions: Fractions, target: Array,
    weigh: Callable[[Array, Array], Array], combine: Callable[[Array, Array, Array], Array],
) -> dict[str, Newcomers]:  # fmt: skip
    """Choose weights for new species on each site.

    Parameters
    ----------
    names : list of str
        Of the members.
    answer : callable
        Rows → value and σ of each member learnt without them; a member that cannot say gives NaN.
    target : array of shape (n,)
    weigh : callable
        Left-out answers (members, n) and target → weights.
    combine : callable
        Weights, values and σ of the members → σ of the stack before scaling.

    Returns
    -------
    dict of site to Newcomers
        On a site with too few species to leave one out, the weights of the other sites together; half of them
        goes to the trend, if it does better than the mean on new species of every other site.
    """
    found = {
        site: [_left_out(rows, answer(rows)) for rows in groups]
        for site, groups in species_groups(fractions).items()
    }
    if not found:
        return {}
    chosen = {site: _learn(parts, target, weigh, combine) for site, parts in found.items()}
    few = [s for s in SITES if s not in found]
    if few:
        every = [part for parts in found.values() for part in parts]
        place = names.index(TREND) if TREND in names else -1
        trusted = place >= 0 and all(_skill(p, place, target) > 0 for p in found.values())
        # two species show no trend to be tested, yet nothing else can go on beyond them
        half = place if trusted else None
        chosen |= dict.fromkeys(few, _learn(every, target, weigh, combine, half))
    return chosen


def new_rows(site: str, seen: Fractions, asked: Fractions) -> NDArray[np.bool_]:
    """Return which compounds hold a species on `site` that no row of `seen` holds there."""
    place = SITES.index(site)
    missing = ~(seen[place] > 0).any(0)
    return np.asarray((asked[place][:, missing] > 0).any(1))


def _left_out(rows: Rows, answers: list[Answer]) -> LeftOut:
    values = np.array([value for value, _ in answers])
    sigmas = np.array([np.full(len(rows), np.nan) if s is None else s for _, s in answers])
    return LeftOut(rows, values, sigmas)


def _learn(
    parts: list[LeftOut], target: Array, weigh: Callable[[Array, Array], Array],
    combine: Callable[[Array, Array, Array], Array], half: int | None = None,
) -> Newcomers:  # fmt: skip
    values, sigmas = (np.hstack([getattr(p, k) for p in parts]) for k in ("values", "sigmas"))
    truth = np.concatenate([target[p.rows] for p in parts])
    able = np.isfinite(values).all(1)
    weights = np.zeros(len(values))
    weights[able] = weigh(values[able], truth)
    if half is not None:
        weights = 0.5 * (weights + np.eye(len(weights))[half])
    value = weights[able] @ values[able]
    z = np.abs(value - truth) / combine(weights, values, sigmas)
    # the next new species may be as hard as the hardest of these few
    ends = np.cumsum([len(p.rows) for p in parts])[:-1]
    worst = max(float(np.sqrt(np.mean(group**2))) for group in np.split(z, ends))
    return Newcomers(weights, worst)


def _skill(parts: list[LeftOut], place: int, target: Array) -> float:
    """Return 1 − MSE of a member over MSE of the mean of the rows that stayed in."""
    own = rest = 0.0
    for part in parts:
        stayed = np.delete(target, part.rows).mean()
        own += float(np.sum((part.values[place] - target[part.rows]) ** 2))
        rest += float(np.sum((stayed - target[part.rows]) ** 2))
    return 1.0 - own / rest


def as_json(newcomers: Mapping[str, Newcomers]) -> dict[str, object]:
    """Return what a card stores."""
    return {s: {"weights": n.weights.tolist(), "scale": n.scale} for s, n in newcomers.items()}


def from_json(stored: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Newcomers]:
    """Return what `as_json` stored."""
    return {s: Newcomers(np.array(n["weights"]), float(n["scale"])) for s, n in stored.items()}  # type: ignore[arg-type]
