"""Deviance: how far counts lie from a model, and how far they should.

In: counts and their means. Out: the Poisson deviance with its exact mean and spread; at few counts
both differ much from those of χ².
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


def poisson_deviance(value: Floats, mean: Floats) -> float:
    """Return the Poisson deviance 2 Σ [y ln(y/μ) − (y − μ)].

    Examples
    --------
    >>> poisson_deviance(np.array([2.0, 0.0]), np.array([2.0, 1.5]))
    3.0
    """
    return float(2.0 * (special.xlogy(value, value / mean) - (value - mean)).sum())


@cache
def _deviance_moments() -> tuple[Floats, Floats, Floats]:
    log_mean = np.linspace(np.log(1e-5), np.log(60.0), 400)
    mean = np.exp(log_mean)[:, None]
    k = np.arange(0.0, 160.0)[None, :]
    probability = np.exp(special.xlogy(k, mean) - mean - special.gammaln(k + 1))
    each = 2.0 * (special.xlogy(k, k / mean) - (k - mean))
    first = (probability * each).sum(axis=1)
    return log_mean, first, (probability * each**2).sum(axis=1) - first**2


def expected_deviance(mean: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of the Poisson deviance under the means μ.

    Exact sums below μ = 60; above, E = 1 + 1/(6μ) and Var = 2 (1 + 1/(3μ)). At low counts E per
    pixel is far from 1, which is why χ² says nothing there.

    Examples
    --------
    >>> e, s = expected_deviance(np.full(100, 50.0))
    >>> abs(e / 100 - 1.0) < 0.01, abs(s / 200**0.5 - 1.0) < 0.02
    (True, True)
    """
    log_mean, first, second = _deviance_moments()
    where = np.log(np.maximum(mean, 1e-5))
    high = mean > 60.0
    each = np.where(
        high, 1.0 + 1.0 / (6.0 * np.maximum(mean, 1.0)), np.interp(where, log_mean, first)
    )
    variance = np.where(
        high, 2.0 * (1.0 + 1.0 / (3.0 * np.maximum(mean, 1.0))), np.interp(where, log_mean, second)
    )
    return float(each.sum()), float(np.sqrt(variance.sum()))
