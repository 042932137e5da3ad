"""One posterior over the number of disks, from the inversion and from the statistics.

In: an inversion with its evidences, moments, and a trained classifier where one applies. Out: a
probability for every number, and sets of stated probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matterscope.scattering.inversion import Inversion

Floats = NDArray[np.float64]

PROVED_WEIGHT = 0.999
"""Trust in a proved inversion, beside the disks too small to see."""
MISSED = 0.015
"""Share of few-photon answers, reached from two starts, that lie in a wrong structure: none of 57."""
STATISTICS = 0.7
"""Power of the statistical posterior beside the evidence of the inversion; set by hand."""


def evidence_shares(inversion: Inversion, numbers: Floats) -> Floats:
    """Return exp(−score/2) over the numbers tried, normalised; numbers never tried share nothing.

    One disk more than the best fit is what a fit of it says (a disk that stands out) and the odds of one that
    does not.
    """
    scores = np.full(numbers.size, np.inf)
    for n, fit in inversion.fits.items():
        at = np.flatnonzero(numbers == n)
        if at.size:
            scores[at[0]] = fit.score
    if not np.isfinite(scores).any():
        return np.full(numbers.size, 1.0 / numbers.size)
    share = np.exp(-0.5 * (scores - scores.min()))
    more = int(inversion.best.structure.count + 1 - numbers[0])
    if 0 <= more < numbers.size:
        share[more] += inversion.unseen
    return np.asarray(share / share.sum(), dtype=float)


def combine(
    numbers: Floats, inversion: Floats | None, trust: str, others: dict[str, Floats]
) -> Floats:
    """Return the posterior: a proved inversion has nearly all the weight, else likelihoods multiply.

    Parameters
    ----------
    numbers : array of shape (n,)
        Candidates.
    inversion : array of shape (n,), optional
        Its own posterior.
    trust : str
        ``proved``; ``likely`` where the counts are too few to prove anything; ``failed`` where they
        contradict the disks found: then nothing that was trained on disks is trusted either.
    others : dict of arrays
        Posteriors of the statistical estimators, from the same flat prior.
    """
    flat = np.full(numbers.size, 1.0 / numbers.size)
    # the contrast is part of what a classifier sees: it counts only where there is none
    used = {k: v for k, v in others.items() if k != "contrast" or "classifier" not in others}
    log_broad = np.zeros(numbers.size)
    for other in used.values():
        log_broad += np.log(np.maximum(other, 1e-9))
    broad: Floats = np.exp(log_broad - log_broad.max())
    broad = np.asarray(broad / broad.sum(), dtype=float)
    if inversion is None:
        return broad
    if trust == "proved":
        return np.asarray(PROVED_WEIGHT * inversion + (1 - PROVED_WEIGHT) * broad, dtype=float)
    if trust == "failed":
        return np.asarray((inversion + broad + 2.0 * flat) / 4.0, dtype=float)
    pooled = np.log(inversion + MISSED * flat) + STATISTICS * np.log(broad + MISSED * flat)
    mixed = np.exp(pooled - pooled.max())
    return np.asarray(mixed / mixed.sum(), dtype=float)


def credible_set(numbers: Floats, probability: Floats, level: float) -> tuple[float, float]:
    """Return the smallest central range of integers that holds at least `level`.

    Examples
    --------
    >>> credible_set(np.arange(1.0, 5.0), np.array([0.02, 0.9, 0.06, 0.02]), 0.9)
    (2.0, 2.0)
    >>> credible_set(np.arange(1.0, 6.0), np.array([0.5, 0.0, 0.0, 0.495, 0.005]), 0.9)
    (1.0, 4.0)
    """
    low = high = int(np.argmax(probability))
    held = probability[low]
    while held < level - 1e-12:
        left = probability[low - 1] if low > 0 else -1.0
        right = probability[high + 1] if high + 1 < numbers.size else -1.0
        if left < 0 and right < 0:
            break
        if right >= left:
            high += 1
            held += right
        else:
            low -= 1
            held += left
    # on the way to a second peak the range may have grown to the wrong side as well
    while low < high and held - min(probability[low], probability[high]) >= level:
        if probability[high] <= probability[low]:
            held, high = held - probability[high], high - 1
        else:
            held, low = held - probability[low], low + 1
    return float(numbers[low]), float(numbers[high])


def randomised_pit(numbers: Floats, probability: Floats, truth: int, uniform: float) -> float:
    """Return u = F(N − 1) + v p(N), uniform when the posterior means what it says."""
    below = float(probability[numbers < truth].sum())
    at = float(probability[numbers == truth].sum())
    return below + uniform * at
