"""Conformal intervals: coverage that holds for exchangeable groups, whatever the model.

In: scores of held-out samples |y − ŷ|/σ̂. Out: half-widths, one-sided bounds, class sets.
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); Papadopoulos (2008) for
normalised scores; Mondrian = one calibration per category.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matterscope.core.errors import ConfigError

Floats = NDArray[np.float64]


def split_quantile(scores: ArrayLike, level: float, weights: ArrayLike | None = None) -> float:
    """Return the ⌈(n+1)·level⌉-th smallest score: the half-width (in units of σ̂) that covers `level`.

    Parameters
    ----------
    scores : array of shape (n,)
        Non-conformity of calibration samples, not seen in training.
    level : float in (0, 1)
        Coverage wanted.
    weights : array of shape (n,), optional
        Weight of each sample, e.g. 1 / group size, so that large groups do not rule.

    Returns
    -------
    float
        inf where n is too small for the level.

    Examples
    --------
    >>> split_quantile([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.9)
    0.9
    >>> split_quantile([1.0], 0.9)
    inf
    """
    if not 0 < level < 1:
        raise ConfigError("level must lie in (0, 1)", got=level)
    values = np.asarray(scores, dtype=float)
    n = values.size
    if weights is None:
        rank = int(np.ceil((n + 1) * level - 1e-9))
        return float(np.partition(values, rank - 1)[rank - 1]) if rank <= n else float("inf")
    w = np.asarray(weights, dtype=float)
    order = np.argsort(values, kind="stable")
    # the test point carries the mean weight, as in the unweighted form
    cumulative = np.cumsum(w[order]) / (w.sum() + w.mean())
    first = int(np.searchsorted(cumulative, level - 1e-12))
    return float(values[order][first]) if first < n else float("inf")


def mondrian_quantiles(
    scores: ArrayLike, categories: ArrayLike, level: float, least: int = 30
) -> dict[Any, float]:
    """Return one quantile per category; categories with fewer than `least` samples take the pooled one.

    The pooled value stands under the key None.
    """
    values, names = np.asarray(scores, dtype=float), np.asarray(categories)
    pooled = split_quantile(values, level)
    result: dict[Any, float] = {None: pooled}
    for name in np.unique(names):
        own = values[names == name]
        result[name.item()] = (
            split_quantile(own, level)
            if own.size >= least
            else max(pooled, split_quantile(own, level) if own.size > 9 else pooled)
        )
    return result


def class_sets(probabilities: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Return the classes kept when cumulated probability (largest first) reaches `threshold`.

    Adaptive prediction sets (Romano, Sesia and Candès 2020) without randomisation.

    Parameters
    ----------
    probabilities : array of shape (n, k)
    threshold : float
        From `split_quantile` over `set_scores` of held-out samples.
    """
    p = np.asarray(probabilities, dtype=float)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    keep = np.zeros(p.shape, dtype=bool)
    np.put_along_axis(keep, order, before < threshold, axis=1)
    return keep


def set_scores(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the cumulated probability at which the true class enters the set."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(truth, dtype=int)
    own = p[np.arange(len(y)), y][:, None]
    return np.asarray(np.where(p >= own, p, 0.0).sum(axis=1))


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Return the share of truths inside their intervals."""
    y = np.asarray(truth, dtype=float)
    return float(np.mean((y >= np.asarray(low)) & (y <= np.asarray(high))))
