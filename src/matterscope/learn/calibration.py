"""Scores and calibration: whether a probability, an interval or a σ means what it says.

In: held-out truths and predictions, with their groups. Out: numbers with group-bootstrap intervals,
reliability curves, and temperatures that mend probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Score = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Scored:
    """A score with its group-bootstrap interval, beside the same score of a baseline."""

    value: float
    low: float
    high: float
    baseline: float
    level: float = 0.9


def mean_absolute_error(truth: Floats, prediction: Floats) -> float:
    """Return mean |y − ŷ|."""
    return float(np.mean(np.abs(np.asarray(truth) - np.asarray(prediction))))


def root_mean_square_error(truth: Floats, prediction: Floats) -> float:
    """Return √mean (y − ŷ)²."""
    return float(np.sqrt(np.mean((np.asarray(truth) - np.asarray(prediction)) ** 2)))


def r_squared(truth: Floats, prediction: Floats) -> float:
    """Return 1 − Σ(y − ŷ)²/Σ(y − ȳ)²."""
    y = np.asarray(truth, dtype=float)
    return float(1 - np.sum((y - np.asarray(prediction)) ** 2) / np.sum((y - y.mean()) ** 2))


def macro_f1(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the unweighted mean over classes of 2TP/(2TP + FP + FN).

    Examples
    --------
    >>> macro_f1([0, 0, 1, 1], [0, 0, 1, 1])
    1.0
    """
    y, p = np.asarray(truth), np.asarray(prediction)
    values = []
    for name in np.unique(y):
        hit = np.sum((y == name) & (p == name))
        values.append(2 * hit / (np.sum(y == name) + np.sum(p == name)))
    return float(np.mean(values))


def area_under_curve(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the probability that a positive scores above a negative (ties count half)."""
    from scipy.stats import rankdata

    y, s = np.asarray(truth, dtype=bool), np.asarray(score, dtype=float)
    positives, negatives = int(y.sum()), int((~y).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(s)
    return float((ranks[y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def bootstrap(
    score: Score,
    truth: ArrayLike,
    prediction: ArrayLike,
    groups: ArrayLike,
    *,
    baseline: ArrayLike,
    draws: int = 500,
    level: float = 0.9,
    seed: int = 0,
) -> Scored:
    """Return a score with an interval from resampling whole groups, and the baseline's score."""
    y, p, b = np.asarray(truth), np.asarray(prediction), np.asarray(baseline)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(codes == k) for k in range(codes.max() + 1)]
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    for k in range(draws):
        chosen = np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        values[k] = score(y[chosen], p[chosen])
    low, high = np.nanquantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return Scored(score(y, p), float(low), float(high), score(y, b), level)


def reliability(confidence: ArrayLike, hit: ArrayLike, bins: int = 10) -> dict[str, Floats]:
    """Return mean confidence, observed frequency and count per bin of equal width."""
    c, h = np.asarray(confidence, dtype=float), np.asarray(hit, dtype=float)
    place = np.clip((c * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, c, minlength=bins) / count
        seen = np.bincount(place, h, minlength=bins) / count
    return {"confidence": mean, "frequency": seen, "count": count}


def expected_calibration_error(confidence: ArrayLike, hit: ArrayLike, bins: int = 10) -> float:
    """Return Σ (count/n)·|confidence − frequency| over the bins of `reliability`."""
    table = reliability(confidence, hit, bins)
    filled = table["count"] > 0
    gap = np.abs(table["confidence"] - table["frequency"])[filled]
    return float(np.sum(gap * table["count"][filled]) / table["count"].sum())


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean squared distance between the probability vector and the indicator of the truth."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(truth, dtype=int)
    target = np.zeros_like(p)
    target[np.arange(len(y)), y] = 1
    return float(np.mean(np.sum((p - target) ** 2, axis=1)))


def fit_temperature(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the T > 0 that minimises the log loss of p^(1/T)/Σp^(1/T) on held-out samples."""
    from scipy.optimize import minimize_scalar

    logits, y = (
        np.log(np.clip(np.asarray(probabilities, dtype=float), 1e-12, 1)),
        np.asarray(truth, dtype=int),
    )

    def loss(log_temperature: float) -> float:
        return float(
            -np.mean(
                np.log(_softmax(logits / np.exp(log_temperature))[np.arange(len(y)), y] + 1e-300)
            )
        )

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Return p^(1/T)/Σp^(1/T)."""
    return _softmax(np.log(np.clip(np.asarray(probabilities, dtype=float), 1e-12, 1)) / temperature)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def z_scores(truth: ArrayLike, prediction: ArrayLike, sigma: ArrayLike) -> dict[str, float]:
    """Return mean and standard deviation of (y − ŷ)/σ and the coverage of ±1σ, ±1.645σ, ±1.96σ."""
    z = (np.asarray(truth, dtype=float) - np.asarray(prediction)) / np.asarray(sigma)
    inside = {
        f"within_{k}": float(np.mean(np.abs(z) <= w))
        for k, w in (("68", 0.9945), ("90", 1.6449), ("95", 1.96))
    }
    return {"mean": float(z.mean()), "std": float(z.std()), **inside}
