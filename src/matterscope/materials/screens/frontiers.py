"""Choosing among many: non-dominated compounds, and a diverse list of the best.

In: objectives and compositions. Out: indices of the Pareto front, and of a list whose members differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pareto_front(objectives: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the rows that no other row beats in every objective, all to be maximised.

    Parameters
    ----------
    objectives : array of shape (n, m)

    Notes
    -----
    Rows are visited from the largest sum down: a row can only be dominated by one of larger sum, so
    every survivor at its turn is final.

    Examples
    --------
    >>> pareto_front(np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4], [0.3, 0.3]])).tolist()
    [0, 1, 2]
    """
    values = np.asarray(objectives, dtype=float)
    if len(values) == 0:
        return np.empty(0, dtype=np.intp)
    order = np.argsort(-values.sum(1), kind="stable")
    ranked = values[order]
    alive = order
    front: list[int] = []
    while len(alive):
        best = ranked[0]
        front.append(int(alive[0]))
        beaten = (ranked <= best).all(1) & (ranked < best).any(1)
        beaten[0] = True
        ranked, alive = ranked[~beaten], alive[~beaten]
    return np.sort(np.array(front, dtype=np.intp))


def non_dominated_ranks(objectives: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the front number of each row, 0 for the Pareto front (for NSGA-II)."""
    ranks = np.full(len(objectives), -1, dtype=np.int64)
    left = np.arange(len(objectives))
    level = 0
    while len(left):
        front = pareto_front(objectives[left])
        ranks[left[front]] = level
        left = np.delete(left, front)
        level += 1
    return ranks


def crowding(objectives: NDArray[np.floating]) -> Array:
    """Return the crowding distance of rows of one front (Deb et al., IEEE Trans. Evol. Comput. 6, 182 (2002))."""
    count, kinds = objectives.shape
    distance = np.zeros(count)
    for j in range(kinds):
        order = np.argsort(objectives[:, j], kind="stable")
        span = float(np.ptp(objectives[:, j])) or 1.0
        distance[order[[0, -1]]] = np.inf
        if count > 2:
            gaps = objectives[order[2:], j] - objectives[order[:-2], j]
            distance[order[1:-1]] += gaps / span
    return distance


def diverse(
    score: NDArray[np.floating], fractions: NDArray[np.floating], count: int, distance: float
) -> NDArray[np.intp]:
    """Return the best rows of which no two are closer than `distance`.

    Parameters
    ----------
    score : array of shape (n,)
        Larger is better.
    fractions : array of shape (n, k)
        Fractions of all sites side by side.
    distance : float
        Σ|Δ|/2 over the sites: 0.125 is one eighth of one site exchanged, 1 a whole site.
    """
    chosen: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if chosen:
            apart = np.abs(fractions[chosen] - fractions[i]).sum(1).min() / 2
            if apart < distance - 1e-9:
                continue
        chosen.append(int(i))
        if len(chosen) == count:
            break
    return np.array(chosen, dtype=np.intp)
