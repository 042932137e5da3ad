"""Statistics of emitters: how many there are on a site, and how alike they are.

In: mean numbers per site and the scatter of the site's area; values with errors from many emitters.
Out: probabilities of 0, 1 and more emitters; the population's mean and its intrinsic scatter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nbinom, poisson

Floats = NDArray[np.float64]


def emitter_numbers(mean: ArrayLike, scatter: float = 0.0, most: int = 8) -> Floats:
    """Return P(0), P(1) … P(most − 1), P(≥ most) of the number of emitters on a site.

    n ~ Poisson(λ·a) with a gamma-distributed site area of mean 1 and coefficient of variation
    `scatter`, which is a negative binomial of shape 1/scatter².

    Parameters
    ----------
    mean : array of any shape
        λ, mean number of emitters per site.
    scatter : float
        Coefficient of variation of the sites' areas.
    most : int

    Returns
    -------
    array of shape (most + 1, …)

    Examples
    --------
    >>> bool(np.isclose(emitter_numbers(1.0)[1], np.exp(-1)))
    True
    """
    lam = np.asarray(mean, dtype=float)
    n = np.arange(most).reshape(-1, *([1] * lam.ndim))
    if scatter > 1e-6:
        shape = scatter**-2
        law = nbinom(shape, shape / (shape + lam))
    else:
        law = poisson(lam)
    exact = law.pmf(n)
    return np.concatenate([exact, law.sf(most - 1)[None]])


def sites_needed(single: float, wanted: int, confidence: float) -> int:
    """Return the number of sites that hold at least `wanted` single emitters with `confidence`.

    Examples
    --------
    >>> sites_needed(1.0, 5, 0.9), sites_needed(0.5, 1, 0.9)
    (5, 4)
    """
    from scipy.stats import binom

    low, high = wanted, wanted
    while binom.sf(wanted - 1, high, single) < confidence:
        high *= 2
        if high > 10**9:
            return high
    while low < high:
        middle = (low + high) // 2
        if binom.sf(wanted - 1, middle, single) >= confidence:
            high = middle
        else:
            low = middle + 1
    return low


def population(values: Floats, errors: Floats, size: int = 161) -> tuple[Floats, Floats, Floats]:
    """Return mean grid, intrinsic-scatter grid and their joint posterior, x_i ~ N(μ, σ² + s_i²).

    Parameters
    ----------
    values, errors : arrays of shape (n,)
        Measured values and their standard errors s_i, in one unit.
    size : int
        Points of each grid.

    Returns
    -------
    (μ of shape (size,), σ of shape (size,), posterior of shape (size, size), summing to 1)
        Priors are flat in μ and in σ ≥ 0.
    """
    spread = float(np.std(values, ddof=1)) if values.size > 1 else float(errors.max())
    typical = float(np.hypot(spread, np.median(errors))) or 1e-12
    weight = 1 / (spread**2 + errors**2 + 1e-30)
    centre = float(np.sum(weight * values) / weight.sum())
    mean = np.linspace(-6, 6, size) * typical / np.sqrt(max(values.size, 1)) + centre
    # few emitters leave the upper end of the scatter wide open
    reach = typical * (1 + 6 / np.sqrt(max(values.size - 1, 1)))
    scatter = np.linspace(0, reach, size)
    variance = scatter[:, None] ** 2 + errors[None] ** 2 + 1e-30
    logs = np.empty((size, size))
    for k, middle in enumerate(mean):
        logs[k] = -0.5 * np.sum((values - middle) ** 2 / variance + np.log(variance), axis=1)
    posterior = np.exp(logs - logs.max())
    return mean, scatter, posterior / posterior.sum()


def draw_population(
    values: Floats, errors: Floats, rng: np.random.Generator, n: int = 4000
) -> tuple[Floats, Floats]:
    """Return draws of the population's mean and intrinsic scatter."""
    mean, scatter, posterior = population(values, errors)
    index = rng.choice(posterior.size, n, p=posterior.ravel())
    i, j = np.unravel_index(index, posterior.shape)
    jitter = rng.uniform(-0.5, 0.5, (2, n))
    drawn = mean[i] + jitter[0] * (mean[1] - mean[0])
    return drawn, np.maximum(scatter[j] + jitter[1] * (scatter[1] - scatter[0]), 0.0)


def mixture_order(
    values: Floats, errors: Floats, most: int = 3
) -> tuple[int, list[float], list[tuple[float, float, float]]]:
    """Return the number of sub-populations by BIC, the BIC of each number, and the best components.

    Expectation–maximisation of a Gaussian mixture in which each value keeps its own error.
    """
    scores, fits = [], []
    for k in range(1, most + 1):
        if values.size < 5 * k:
            break
        fit, log_likelihood = _fit_mixture(values, errors, k)
        scores.append((3 * k - 1) * np.log(values.size) - 2 * log_likelihood)
        fits.append(fit)
    if not scores:
        return 1, [], [(1.0, float(values.mean()), float(values.std()))]
    best = int(np.argmin(scores))
    return best + 1, [float(s) for s in scores], fits[best]


def _fit_mixture(
    values: Floats, errors: Floats, k: int
) -> tuple[list[tuple[float, float, float]], float]:
    shares = np.full(k, 1 / k)
    means = np.quantile(values, (np.arange(k) + 0.5) / k)
    # a component narrower than a tenth of the whole, or than the errors, is a coincidence of values
    least = max(0.05 * float(values.std()), 0.3 * float(np.median(errors)), 1e-12)
    widths = np.full(k, max(float(values.std()) / k, least))
    logs = np.zeros(values.size)
    for _ in range(300):
        variance = widths**2 + errors[:, None] ** 2
        parts = np.log(shares) - 0.5 * (
            (values[:, None] - means) ** 2 / variance + np.log(2 * np.pi * variance)
        )
        top = parts.max(axis=1, keepdims=True)
        new = (top + np.log(np.exp(parts - top).sum(axis=1, keepdims=True)))[:, 0]
        weight = np.exp(parts - new[:, None])
        # conditional means of the true values, given the errors
        gain = widths**2 / variance
        true = means + gain * (values[:, None] - means)
        left = widths**2 * (1 - gain)
        total = weight.sum(axis=0) + 1e-12
        shares, means = total / total.sum(), (weight * true).sum(axis=0) / total
        widths = np.sqrt(
            np.maximum((weight * ((true - means) ** 2 + left)).sum(axis=0) / total, least**2)
        )
        if np.abs(new - logs).max() < 1e-8:
            break
        logs = new
    return [
        (float(s), float(m), float(w)) for s, m, w in zip(shares, means, widths, strict=True)
    ], float(logs.sum())
