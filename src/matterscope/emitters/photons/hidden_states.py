"""Levels of a blinking rate: hidden Markov states with excess noise, and Poisson change points.

In: counts per time bin. Out: levels, who is in which state when, transition rates; or break points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matterscope.physics.noise import overdispersed_log_probability

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=False)
def _forward_backward(log_emission: Any, transition: Any, start: Any) -> Any:
    """Return (posterior, expected transitions, log likelihood) with scaling at every step."""
    n, k = log_emission.shape
    alpha, beta = np.empty((n, k)), np.empty((n, k))
    scale = np.empty(n)
    emission = np.empty((n, k))
    loglik = 0.0
    for t in range(n):
        top = log_emission[t].max()
        loglik += top
        for j in range(k):
            emission[t, j] = np.exp(log_emission[t, j] - top)
    for t in range(n):
        total = 0.0
        for j in range(k):
            s = start[j]
            if t > 0:
                s = 0.0
                for i in range(k):
                    s += alpha[t - 1, i] * transition[i, j]
            alpha[t, j] = s * emission[t, j]
            total += alpha[t, j]
        scale[t] = total
        alpha[t] /= total
        loglik += np.log(total)
    beta[n - 1] = 1.0
    moves = np.zeros((k, k))
    for t in range(n - 2, -1, -1):
        for i in range(k):
            s = 0.0
            for j in range(k):
                step = transition[i, j] * emission[t + 1, j] * beta[t + 1, j] / scale[t + 1]
                s += step
                moves[i, j] += alpha[t, i] * step
            beta[t, i] = s
    return alpha * beta, moves, loglik


@njit(cache=False)
def _viterbi(log_emission: Any, log_transition: Any, log_start: Any) -> Any:
    n, k = log_emission.shape
    score = log_start + log_emission[0]
    back = np.zeros((n, k), np.int64)
    for t in range(1, n):
        new = np.empty(k)
        for j in range(k):
            best, arg = score[0] + log_transition[0, j], 0
            for i in range(1, k):
                s = score[i] + log_transition[i, j]
                if s > best:
                    best, arg = s, i
            new[j] = best + log_emission[t, j]
            back[t, j] = arg
        score = new
    path = np.empty(n, np.int64)
    path[n - 1] = np.argmax(score)
    for t in range(n - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


@dataclass(frozen=True)
class HiddenStates:
    """A fitted chain: levels (counts per bin, ascending), shapes of the excess noise, transitions.

    `path` is the most likely state of each bin, `posterior` its probabilities; variance in state k is
    μ + μ²/shape.
    """

    means: Floats
    shapes: Floats
    transition: Floats
    start: Floats
    posterior: Floats
    path: Ints
    log_likelihood: float
    bic: float
    iterations: int

    @property
    def occupancy(self) -> Floats:
        """Return the share of time in each state."""
        return np.asarray(self.posterior.mean(0))

    @property
    def fano(self) -> Floats:
        """Return variance over mean of the counts within each state."""
        return np.asarray(1.0 + self.means / self.shapes)


def fit_states(
    counts: Ints, states: int, *, sweeps: int = 200, tolerance: float = 0.05
) -> HiddenStates:
    """Fit `states` levels of gamma–Poisson counts by expectation–maximisation (Baum and Welch).

    Parameters
    ----------
    counts : array of shape (n,), counts per bin
    states : int
    sweeps : int
        At most.
    tolerance : float
        Stops when ln L rises by less.
    """
    n = np.asarray(counts, dtype=np.float64)
    means = _first_levels(n, states)
    shapes = np.full(states, 1e3)
    transition = np.full((states, states), 0.02 / max(states - 1, 1))
    np.fill_diagonal(transition, 0.98)
    start = np.full(states, 1.0 / states)
    values, index = np.unique(n, return_inverse=True)
    last, used = -np.inf, 0
    while used < sweeps:
        used += 1
        table = np.column_stack(
            [
                overdispersed_log_probability(values, m, r)
                for m, r in zip(means, shapes, strict=True)
            ]
        )
        posterior, moves, total = _forward_backward(table[index], transition, start)
        if total - last < tolerance:
            break
        last = total
        weight = posterior.sum(0) + 1e-9
        means = np.maximum(posterior.T @ n / weight, 1e-3)
        spread = np.array([posterior[:, k] @ (n - means[k]) ** 2 for k in range(states)]) / weight
        shapes = np.clip(means**2 / np.maximum(spread - means, 1e-9), 0.05, 1e6)
        # one pseudo count per row keeps a state that was visited once reachable
        moves += 1.0 / states
        transition = moves / moves.sum(1, keepdims=True)
        start = posterior[0] / posterior[0].sum()
    order = np.argsort(means)
    path = _viterbi(table[index], np.log(transition), np.log(np.maximum(start, 1e-300)))
    rank = np.argsort(order)
    free = states * (states - 1) + 2 * states + states - 1
    return HiddenStates(
        means[order],
        shapes[order],
        transition[np.ix_(order, order)],
        start[order],
        posterior[:, order],
        rank[path],
        float(total),
        float(-2.0 * total + free * np.log(n.size)),
        used,
    )


def _first_levels(counts: Floats, states: int) -> Floats:
    """Return start levels: k-means in one dimension on √counts, which evens out Poisson noise."""
    root = np.sqrt(counts)
    levels = np.quantile(root, (np.arange(states) + 0.5) / states)
    low, high = np.quantile(root, [0.005, 0.995])
    levels = 0.5 * levels + 0.5 * np.linspace(low, high, states) if states > 1 else levels
    for _ in range(50):
        nearest = np.argmin(np.abs(root[:, None] - levels), axis=1)
        new = np.array(
            [
                root[nearest == k].mean() if (nearest == k).any() else levels[k]
                for k in range(states)
            ]
        )
        if np.allclose(new, levels):
            break
        levels = new
    return np.asarray(np.maximum(np.sort(levels) ** 2, 0.1))


def choose_states(counts: Ints, most: int = 4) -> tuple[HiddenStates, dict[int, float]]:
    """Return the number of states with the least BIC, and all of them.

    A further state must also differ: neighbouring levels closer than half of the larger one's noise
    are one level with excess noise.
    """
    bic, best = {}, None
    for k in range(1, most + 1):
        found = fit_states(counts, k)
        bic[k] = found.bic
        noise = np.sqrt(found.means * found.fano)
        apart = np.diff(found.means) > 1.5 * np.maximum(noise[1:], noise[:-1])
        if best is None or (
            found.bic < best.bic - 10.0 and apart.all() and found.occupancy.min() > 1e-3
        ):
            best = found
    assert best is not None
    return best, bic


ENOUGH_VISITS = 5
PASSING = 0.7
"""Share of visits of one bin from which a level between others is none that is held."""


def astride(found: HiddenStates) -> NDArray[np.bool_]:
    """Return which levels between others are passed through rather than held: bins astride a switch."""
    start = np.flatnonzero(np.r_[True, np.diff(found.path) != 0])
    length, level = np.diff(np.r_[start, found.path.size]), found.path[start]
    passing = np.zeros(found.means.size, bool)
    for k in range(1, found.means.size - 1):
        at = np.flatnonzero(level == k)
        if at.size >= ENOUGH_VISITS:
            passing[k] = float(np.mean(length[at] == 1)) > PASSING
        elif at.size and at[0] > 0 and at[-1] < level.size - 1:
            # few visits: each must be one bin on the way from below to above or back
            through = (level[at - 1] < k) != (level[at + 1] < k)
            passing[k] = bool(np.all((length[at] == 1) & through))
    return passing


def bright_shares(found: HiddenStates, bright: int) -> Floats:
    """Return the part of each level's time that is bright; bins astride a switch are split by their level.

    Parameters
    ----------
    bright : int
        First bright state.
    """
    shares = (np.arange(found.means.size) >= bright).astype(float)
    held = np.flatnonzero(~astride(found))
    for k in np.flatnonzero(astride(found)):
        low, high = found.means[held[held < k].max()], found.means[held[held > k].min()]
        ends = shares[held[held < k].max()], shares[held[held > k].min()]
        part = (found.means[k] - low) / max(high - low, 1e-12)
        shares[k] = ends[0] + part * (ends[1] - ends[0])
    return np.asarray(shares)


def bright_state(found: HiddenStates) -> int:
    """Return the first bright state: the split with the largest variance between the two groups."""
    if found.means.size == 1:
        return 0
    share, mean = found.occupancy, found.means
    best, at = -1.0, 1
    for k in range(1, mean.size):
        low, high = share[:k].sum(), share[k:].sum()
        gap = (share[k:] @ mean[k:]) / high - (share[:k] @ mean[:k]) / low
        if low * high * gap**2 > best:
            best, at = float(low * high * gap**2), k
    return at


@njit(cache=False)
def _pelt(sums: Any, penalty: float) -> Any:
    """Return last change before each end, Poisson cost, pruned (Killick et al., JASA 107, 1590, 2012)."""
    n = sums.size - 1
    cost = np.empty(n + 1)
    last = np.zeros(n + 1, np.int64)
    cost[0] = -penalty
    alive = np.empty(n + 1, np.int64)
    value = np.empty(n + 1)
    alive[0], m = 0, 1
    for end in range(1, n + 1):
        best, arg = np.inf, 0
        for i in range(m):
            s = alive[i]
            total = sums[end] - sums[s]
            length = end - s
            # −2 ln L of a Poisson level up to constants of the data
            fit = -2.0 * total * np.log(total / length) if total > 0 else 0.0
            value[i] = cost[s] + fit
            if value[i] + penalty < best:
                best, arg = value[i] + penalty, s
        cost[end], last[end] = best, arg
        kept = 0
        for i in range(m):
            if value[i] <= best:
                alive[kept] = alive[i]
                kept += 1
        alive[kept] = end
        m = kept + 1
    return last


def change_points(counts: Ints, *, fano: float = 1.0, penalty: float | None = None) -> Ints:
    """Return the indices at which the level changes (first bin of each new level).

    Parameters
    ----------
    counts : array of shape (n,), counts per bin
    fano : float
        Variance over mean within a level: 1 is Poisson; larger values demand larger steps.
    penalty : float, optional
        Cost of a change; default 3·ln n, times `fano`.

    Examples
    --------
    >>> change_points(np.array([5] * 20 + [50] * 20)).tolist()
    [20]
    """
    n = np.asarray(counts, dtype=np.float64)
    if n.size < 2:
        return np.zeros(0, np.int64)
    cost = (3.0 * np.log(n.size) if penalty is None else penalty) * max(fano, 1.0)
    last = _pelt(np.concatenate([[0.0], np.cumsum(n)]), cost)
    found = []
    end = n.size
    while last[end] > 0:
        end = int(last[end])
        found.append(end)
    return np.array(found[::-1], dtype=np.int64)
