"""Search on the integer lattice of compositions: moves that keep every site full, and two selections.

In: a function that scores counts, a space, a seed. Out: the last population and how the search went.
Every individual is a compound of the space at all times; there is nothing to decode or to round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.spaces import Space
from matterscope.materials.screens.frontiers import crowding, non_dominated_ranks

Array = NDArray[np.float64]
Counts = dict[str, NDArray[np.int64]]
Score = Callable[[Counts], Array]
"""Counts of n compounds → objectives of shape (n, m), all to be maximised."""


@dataclass
class Search:
    """Result of a search."""

    counts: Counts
    objectives: Array
    history: list[float]


def random_counts(space: Space, count: int, rng: np.random.Generator) -> Counts:
    """Return compounds drawn evenly from the space."""
    index = rng.integers(0, space.size, count)
    return {s: c.astype(np.int64) for s, c in space.unrank(index).items()}


def project(shares: Array, steps: int) -> NDArray[np.int64]:
    """Return non-negative integers of sum `steps` next to shares, by largest remainders.

    Examples
    --------
    >>> project(np.array([[0.5, 0.26, 0.24]]), 8).tolist()
    [[4, 2, 2]]
    """
    scaled = np.maximum(shares, 0.0)
    total = scaled.sum(1, keepdims=True)
    scaled = (
        np.where(total > 0, scaled / np.where(total > 0, total, 1.0), 1.0 / shares.shape[1]) * steps
    )
    whole = np.floor(scaled + 1e-9).astype(np.int64)
    missing = steps - whole.sum(1)
    order = np.argsort(-(scaled - whole), axis=1, kind="stable")
    for i in np.flatnonzero(missing):
        whole[i, order[i, : missing[i]]] += 1
    return whole


def offspring(parents: Counts, space: Space, rng: np.random.Generator) -> Counts:
    """Return one child for each parent: blended or exchanged sites, then single exchanges of species."""
    n = len(parents["A"])
    partner = rng.permutation(n)
    child: Counts = {}
    for site, grid in zip(SITES, space.grids, strict=True):
        own = parents[site]
        other = own[partner]
        way = rng.random(n)
        blended = project((own + other) / 2.0 + 1e-6 * rng.random(own.shape), grid.steps)
        mixed = np.where((way < 0.3)[:, None], other, own)
        mixed = np.where((way > 0.8)[:, None], blended, mixed)
        for _ in range(2):
            mixed = _exchange(mixed, rng, 0.5)
        child[site] = _allowed(mixed, own, grid.max_mixed)
    return child


def _exchange(
    counts: NDArray[np.int64], rng: np.random.Generator, probability: float
) -> NDArray[np.int64]:
    result = counts.copy()
    kinds = counts.shape[1]
    if kinds < 2:
        return result
    for i in np.flatnonzero(rng.random(len(counts)) < probability):
        giver = rng.choice(np.flatnonzero(result[i]))
        taker = rng.choice(np.delete(np.arange(kinds), giver))
        amount = rng.integers(1, result[i, giver] + 1) if rng.random() < 0.3 else 1
        result[i, giver] -= amount
        result[i, taker] += amount
    return result


def _allowed(
    counts: NDArray[np.int64], fallback: NDArray[np.int64], max_mixed: int | None
) -> NDArray[np.int64]:
    if max_mixed is None:
        return counts
    too_many = (counts > 0).sum(1) > max_mixed
    return np.where(too_many[:, None], fallback, counts)


def evolve(
    score: Score, space: Space, rng: np.random.Generator, population: int, generations: int
) -> Search:
    """Return the population of NSGA-II; with one objective it is a plain elitist genetic search.

    References
    ----------
    Deb, Pratap, Agarwal and Meyarivan, IEEE Trans. Evol. Comput. 6, 182 (2002).
    """
    counts = random_counts(space, population, rng)
    objectives = score(counts)
    history = [float(objectives[:, 0].max())]
    for _ in range(generations):
        children = offspring(_tournament(counts, objectives, rng), space, rng)
        both = {s: np.concatenate([counts[s], children[s]]) for s in SITES}
        every = np.concatenate([objectives, score(children)])
        _, first = np.unique(space_key(both), axis=0, return_index=True)
        keep = first[survivors(every[first], population)]
        counts = {s: both[s][keep] for s in SITES}
        objectives = every[keep]
        history.append(float(objectives[:, 0].max()))
    return Search(counts, objectives, history)


def space_key(counts: Counts) -> NDArray[np.int64]:
    """Return all counts side by side, a key of the compound."""
    return np.column_stack([counts[s] for s in SITES])


def survivors(objectives: Array, count: int) -> NDArray[np.intp]:
    """Return the best rows by front, then by crowding within the last front."""
    ranks = non_dominated_ranks(objectives)
    chosen: list[int] = []
    for level in range(int(ranks.max()) + 1):
        front = np.flatnonzero(ranks == level)
        if len(chosen) + len(front) > count:
            order = np.argsort(-crowding(objectives[front]), kind="stable")
            front = front[order[: count - len(chosen)]]
        chosen += [int(i) for i in front]
        if len(chosen) >= count:
            break
    return np.array(chosen, dtype=np.intp)


def _tournament(counts: Counts, objectives: Array, rng: np.random.Generator) -> Counts:
    ranks = non_dominated_ranks(objectives)
    n = len(ranks)
    one, two = rng.integers(0, n, n), rng.integers(0, n, n)
    winner = np.where(ranks[one] <= ranks[two], one, two)
    return {s: counts[s][winner] for s in SITES}
