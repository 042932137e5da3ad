"""How fast an emitter switches between two levels, when it may switch anywhere inside a bin.

In: counts per bin and rough levels. Out: draws of the two mean dwell times by the likelihood of a
continuous-time telegraph: dwells shorter than a bin and those cut by the recording are in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, lgamma, log, log1p
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from matterscope.learn.fitting import Fit, Parameter, Values, fit_cost

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
REFERENCES = [
    "Gopich and Szabo, J. Phys. Chem. B 107, 5058 (2003): time in a state inside a bin",
]
CALM = 0.01
"""Least excess of variance over mean: as good as Poisson, and the shape of the counts stays finite."""


@dataclass(frozen=True)
class Telegraph:
    """Two levels and the switching between them.

    `levels` are counts per bin (dim, bright); `dwells` draws (n, 2) of the mean time in each of them,
    in bins; `effective` is the number of draws that the weights leave.
    """

    levels: tuple[float, float]
    dwells: Floats
    effective: float
    converged: bool

    @property
    def bright_share(self) -> Floats:
        """Return draws of the share of time that the law spends in the bright level."""
        return np.asarray(self.dwells[:, 1] / self.dwells.sum(axis=1))


def time_in_bin(share: Floats, leave_dim: float, leave_bright: float) -> tuple[Floats, Floats]:
    """Return the law of the bright share u of one bin, with the levels at its two ends.

    With rates k₀ (dim → bright) and k₁ (bright → dim) per bin and z = 2√(k₀k₁u(1−u)) the densities are
    e^(−k₁u − k₀(1−u)) times k₀I₀(z) (dim to bright), k₁I₀(z) (bright to dim), √(k₀k₁u/(1−u))·I₁(z)
    (bright to bright) and √(k₀k₁(1−u)/u)·I₁(z) (dim to dim); a bin without a switch has u = 0 or 1
    with e^(−k₀) and e^(−k₁).

    Parameters
    ----------
    share : array of shape (n,), between 0 and 1
    leave_dim, leave_bright : float, 1/bin

    Returns
    -------
    density : array of shape (n, 2, 2), [share, level before, level after]
    still : array of shape (2,)
        Probability of no switch.

    Examples
    --------
    >>> u, w = np.polynomial.legendre.leggauss(40)
    >>> density, still = time_in_bin(0.5 + 0.5 * u, 0.7, 1.9)
    >>> whole = np.einsum("u,uij->ij", 0.5 * w, density) + np.diag(still)
    >>> bool(np.allclose(whole.sum(axis=1), 1.0))
    True
    """
    u = np.asarray(share, dtype=np.float64)
    z = 2.0 * np.sqrt(leave_dim * leave_bright * u * (1.0 - u))
    weight = np.exp(z - leave_bright * u - leave_dim * (1.0 - u))
    once, back = weight * i0e(z), weight * i1e(z) * np.sqrt(leave_dim * leave_bright)
    density = np.empty((u.size, 2, 2))
    density[:, 0, 1], density[:, 1, 0] = leave_dim * once, leave_bright * once
    density[:, 0, 0] = back * np.sqrt((1.0 - u) / u)
    density[:, 1, 1] = back * np.sqrt(u / (1.0 - u))
    return density, np.exp([-leave_dim, -leave_bright])


@njit(cache=False)
def _log_counts(values: Any, means: Any, shapes: Any) -> Any:
    """Return ln P of gamma–Poisson counts, (values, means), but for ln n!."""
    found = np.empty((values.size, means.size))
    for j in range(means.size):
        r, m = shapes[j], means[j]
        rest = -lgamma(r) - r * log1p(m / r)
        slope = log(m / (r + m))
        for i in range(values.size):
            found[i, j] = lgamma(values[i] + r) + rest + values[i] * slope
    return found


@njit(cache=False)
def _chain(table: Any, index: Any, start: Any) -> float:
    """Return ln L of a chain of (before, after) tables, one for each bin."""
    low, high, total = start[0], start[1], 0.0
    for t in index:
        new_low = low * table[t, 0] + high * table[t, 2]
        new_high = low * table[t, 1] + high * table[t, 3]
        whole = new_low + new_high
        if not whole > 0.0:
            return -np.inf
        total += log(whole)
        low, high = new_low / whole, new_high / whole
    return total


class _Likelihood:
    """−ln L of ln k₀, ln k₁, ln levels and the excess noise of both."""

    def __init__(self, counts: Ints, nodes: int) -> None:
        values, index = np.unique(counts, return_inverse=True)
        self.values, self.index = values.astype(np.float64), index.astype(np.int64)
        u, weight = np.polynomial.legendre.leggauss(nodes)
        self.share, self.weight = 0.5 * (1.0 + u), 0.5 * weight

    def cost(self, p: Floats) -> float:
        k0, k1 = exp(p[0]), exp(p[1])
        at = np.concatenate([[0.0], self.share, [1.0]])
        means = exp(p[2]) + (exp(p[3]) - exp(p[2])) * at
        excess = p[4] + (p[5] - p[4]) * at
        logs = _log_counts(self.values, means, means / np.maximum(excess, CALM))
        top = logs.max(axis=1)
        density, still = time_in_bin(self.share, k0, k1)
        law = np.zeros((at.size, 4))
        law[1:-1] = (density * self.weight[:, None, None]).reshape(-1, 4)
        law[0, 0], law[-1, 3] = still
        table = np.exp(logs - top[:, None]) @ law
        start = np.array([k1, k0]) / (k0 + k1)
        return -float(_chain(table, self.index, start) + top[self.index].sum())


def fit_telegraph(
    counts: Ints,
    levels: tuple[float, float],
    fano: tuple[float, float],
    dwells: tuple[float, float],
    rng: np.random.Generator,
    draws: int = 300,
) -> Telegraph:
    """Fit levels, noise and switching rates of a two-level telegraph and draw from their posterior.

    Flat in the logarithms of the rates. The draws come from a Student law about the most likely
    values, weighted by the likelihood.

    Parameters
    ----------
    counts : array of shape (n,), counts per bin
    levels, fano, dwells : (dim, bright)
        Start values: counts per bin, variance over mean, mean time in bins.
    rng : numpy Generator
    """
    noise = min(np.sqrt(m * f) for m, f in zip(levels, fano, strict=True))
    nodes = int(np.clip(np.ceil(2.0 * (levels[1] - levels[0]) / noise), 16, 96))
    likelihood = _Likelihood(counts, nodes)
    starts = [*(1.0 / max(d, 0.3) for d in dwells), *levels, *(max(f - 1.0, 1e-2) for f in fano)]
    names = ("leave_dim", "leave_bright", "dim", "bright", "dim_excess", "bright_excess")
    limits = [(1e-7, 20.0)] * 2 + [(1e-3, 1e9)] * 2 + [(CALM, 1e6)] * 2
    parameters = [
        Parameter(n, min(max(s, low), high), low, high, scale="log" if k < 4 else "linear")
        for k, (n, s, (low, high)) in enumerate(zip(names, starts, limits, strict=True))
    ]

    def cost(values: Values) -> float:
        logs = [np.log(values[n]) for n in names[:4]]
        return likelihood.cost(np.array([*logs, values[names[4]], values[names[5]]]))

    fit = fit_cost(cost, parameters, points=counts.size)
    calm = [n for n in names[4:] if fit.values[n] < 3.0 * CALM]
    if calm:
        # at a bound the curvature says nothing: these counts are Poisson
        parameters = [
            replace(p, start=CALM, fixed=True)
            if p.name in calm
            else replace(p, start=fit.values[p.name])
            for p in parameters
        ]
        fit = fit_cost(cost, parameters, points=counts.size)
    rates, effective = _draws(likelihood, fit, rng, draws)
    found = (float(np.exp(fit.x[2])), float(np.exp(fit.x[3])))
    return Telegraph(found, np.exp(-rates), effective, fit.converged)


def _draws(
    likelihood: _Likelihood, fit: Fit, rng: np.random.Generator, number: int
) -> tuple[Floats, float]:
    """Return draws (n, 2) of the logarithms of the rates, and the effective number of draws."""
    free = [i for i in fit.free if fit.parameters[i].name not in fit.bound]
    covariance = fit.covariance() + 1e-12 * np.eye(6)
    root = np.linalg.cholesky(covariance[np.ix_(free, free)])
    unit = rng.standard_normal((number, len(free))) * np.sqrt(6.0 / rng.chisquare(6, (number, 1)))
    tried = np.tile(fit.x, (number, 1))
    tried[:, free] += 1.05 * unit @ root.T
    cost = np.array([likelihood.cost(p) for p in tried])
    logs = fit.cost - cost + 0.5 * (6 + len(free)) * np.log1p((unit**2).sum(axis=1) / 6.0)
    logs[~np.isfinite(logs) | (tried[:, 4:].min(axis=1) < CALM)] = -np.inf
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    chosen = tried[rng.choice(number, 4 * number, p=weight), :2]
    # copies of one draw are spread by the kernel that its share of the sample asks for
    effective = float(1.0 / np.sum(weight**2))
    blur = effective ** (-1.0 / 6.0) * np.linalg.cholesky(covariance[:2, :2])
    centre = chosen.mean(axis=0)
    mixed = chosen + 0.5 * rng.standard_normal(chosen.shape) @ blur.T
    wider = np.sqrt(np.var(chosen, axis=0) / np.maximum(np.var(mixed, axis=0), 1e-300))
    return centre + (mixed - centre) * wider, effective
