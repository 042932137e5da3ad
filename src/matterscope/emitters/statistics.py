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
