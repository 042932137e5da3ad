"""Noise of counting and of detectors: sampling, and the negative log likelihood that belongs to it.

In: expected values and a random generator, or expected and observed values. Out: draws, or costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

Floats = NDArray[np.float64]


def poisson_sample(expected: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return Poisson counts with the given means; same shape."""
    return np.asarray(rng.poisson(expected), dtype=np.int64)


def poisson_nll(expected: Floats, counts: Floats) -> float:
    """Return half of the Poisson deviance, Σ μ − n + n·ln(n/μ): −ln L up to a constant of the data.

    Zero when every expectation equals its count, so that twice it tests the fit (Cash, ApJ 228,
    939, 1979). Infinite where counts stand on an expectation of zero.

    Examples
    --------
    >>> poisson_nll(np.array([4.0]), np.array([4.0]))
    0.0
    """
    mean, n = np.asarray(expected, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if np.any(mean < 0) or np.any((mean == 0) & (n > 0)):
        return float("inf")
    safe = np.where(mean > 0, mean, 1.0)
    return float(np.sum(mean - n + xlogy(n, np.where(n > 0, n, 1.0) / safe)))


def poisson_residuals(expected: Floats, counts: Floats) -> Floats:
    """Return Pearson residuals (n − μ)/√μ."""
    mean = np.maximum(np.asarray(expected, dtype=np.float64), 1e-12)
    return np.asarray((counts - mean) / np.sqrt(mean))


def overdispersed_sample(
    expected: Floats, shape: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return gamma–Poisson counts: variance μ + μ²/`shape`."""
    mean = np.asarray(expected, dtype=np.float64)
    return np.asarray(rng.poisson(rng.gamma(shape, mean / shape)), dtype=np.int64)


def overdispersed_log_probability(counts: Floats, mean: Floats, shape: float) -> Floats:
    """Return ln P of gamma–Poisson (negative-binomial) counts, element by element.

    P(n) = Γ(n + r)/(n!·Γ(r))·(r/(r + μ))^r·(μ/(r + μ))^n; r → ∞ is Poisson.

    Examples
    --------
    >>> n = np.arange(200.0)
    >>> bool(np.isclose(np.exp(overdispersed_log_probability(n, 5.0, 2.0)).sum(), 1.0))
    True
    """
    n, mu = np.asarray(counts, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    return np.asarray(
        gammaln(n + shape)
        - gammaln(n + 1.0)
        - gammaln(shape)
        - shape * np.log1p(mu / shape)
        + xlogy(n, mu / (shape + mu))
    )


def gaussian_nll(expected: Floats, values: Floats, sigma: Floats | float) -> float:
    """Return ½Σ((x − μ)/σ)²."""
    return float(0.5 * np.sum(((np.asarray(values) - np.asarray(expected)) / sigma) ** 2))


def detector_sample(
    expected: Floats, gain: float, read_out: float, rng: np.random.Generator
) -> Floats:
    """Return a detector's signal: `gain`·Poisson(μ) plus normal read-out noise of width `read_out`."""
    draws = gain * rng.poisson(expected) + rng.normal(0.0, read_out, np.shape(expected))
    return np.asarray(draws, dtype=np.float64)
