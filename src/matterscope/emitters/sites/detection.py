"""Finding emitters in a map of counts: background, matched filter, false-discovery rate, shape.

In: counts over pixels. Out: sites with position, brightness, significance and their errors; false
ones are held to a stated share, and ridges such as the rim of a hole are turned away by shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from matterscope.physics.images import (
    false_maxima,
    local_maxima,
    matched_significance,
    refine_maxima,
    smooth_background,
)

Floats = NDArray[np.float64]
LOOK = 2.5
"""Significance from which a maximum is looked at."""
ROUND = 0.35
"""Least ratio of the two curvatures of a spot; a ridge has 0."""


RIDGE = 0.17
"""Largest height that may remain on two opposite sides of a spot, over twice its own."""


@dataclass(frozen=True)
class Found:
    """What a map holds: sites, all maxima looked at, and the images behind them."""

    sites: pd.DataFrame
    background: Floats
    significance: Floats
    variance: Floats
    spot: float
    excess_noise: float
    """Variance of a pixel over its expected counts; 1 for pure counting noise."""
    threshold: float


def excess_noise(counts: Floats, background: Floats) -> float:
    """Return variance over mean from differences of neighbours, robustly; at least 1."""
    d = (counts[:, 1:] - counts[:, :-1]) / np.sqrt(background[:, 1:] + background[:, :-1] + 1e-9)
    spread = 1.4826 * np.median(np.abs(d - np.median(d)))
    # the median of |differences| of small counts is coarse: trust the mean of the lower 80 % instead
    cut = np.quantile(np.abs(d), 0.8)
    inner = np.mean(d[np.abs(d) <= cut] ** 2) / 0.4375
    return float(max(1.0, min(spread**2, inner) if spread > 0 else inner))


def choose_spot(residual: Floats, variance: Floats) -> float:
    """Return the spot width (px) from how much the maxima shrink under a wider filter.

    A spot of width s behind a filter of width f has a height in proportion to s²/(s² + f²), so that
    the ratio R of its heights behind f = 1 and f = 2 gives s² = (4 − R)/(R − 1).
    """
    z = matched_significance(residual, variance, 1.5)
    peaks = local_maxima(z, 5.0, distance=3)
    if len(peaks) < 3:
        return 1.5
    order = np.argsort(-z[peaks[:, 0], peaks[:, 1]])[:200]
    r, c = peaks[order, 0], peaks[order, 1]
    narrow = gaussian_filter(residual, 1.0, mode="nearest")
    wide = gaussian_filter(residual, 2.0, mode="nearest")[r, c]
    _, height, curvature = refine_maxima(narrow, peaks[order])
    usable = (curvature[:, 0] > 0.5 * curvature[:, 1]) & (wide > 0) & (height > 1.15 * wide)
    if usable.sum() < 3:
        return 1.5
    ratio = height[usable] / wide[usable]
    squared = np.clip((4 - ratio) / (ratio - 1), 0.25, 25)
    # pixels widen a spot by a twelfth of a squared pixel, which the filter shares
    return float(np.clip(np.sqrt(np.median(squared)), 0.8, 5.0))


def find_sites(counts: Floats, spot: float | None = None, false_share: float = 0.05) -> Found:
    """Return the emitters of a map.

    Parameters
    ----------
    counts : array of shape (ny, nx), counts
        NaN where nothing was measured.
    spot : float or None, px
        Standard deviation of the point-spread function; None: from the map.
    false_share : float
        Share of false sites that is allowed among those found. A single site is kept if it is more
        likely true than false, judged by how many maxima of its height noise alone would make.
    """
    lost = ~np.isfinite(counts)
    filled = np.where(lost, np.nanmedian(counts), counts)
    background = smooth_background(filled)
    factor = excess_noise(filled, np.maximum(background, 0.05))
    mask = np.zeros(counts.shape, bool)
    width = spot or 0.0
    for _ in range(2):
        variance = factor * np.maximum(background, 0.05)
        residual = np.where(lost, 0.0, filled - background)
        width = spot or choose_spot(residual, variance)
        z = matched_significance(residual, variance, width)
        peaks = local_maxima(z, 4.0)
        mask[:] = False
        mask[peaks[:, 0], peaks[:, 1]] = True
        mask = maximum_filter(mask, size=2 * round(2.5 * width) + 1)
        block = max(12, round(6 * width))
        background = smooth_background(filled, block, mask if mask.mean() < 0.6 else None)
    variance = factor * np.maximum(background, 0.05)
    residual = np.where(lost, 0.0, filled - background)
    z = matched_significance(residual, variance, width)
    table, threshold = _select(residual, variance, z, width, false_share)
    table["background"] = background[table["row"], table["column"]]
    return Found(table, background, z, variance, width, factor, threshold)


def _select(
    residual: Floats, variance: Floats, z: Floats, width: float, false_share: float
) -> tuple[pd.DataFrame, float]:
    peaks = local_maxima(z, LOOK, distance=max(2, round(1.2 * width)))
    filtered = gaussian_filter(residual, width, mode="nearest") * 2.0  # height of a matched spot
    place, height, curvature = refine_maxima(filtered, peaks)
    noise = np.sqrt(
        gaussian_filter(variance, width / np.sqrt(2), mode="nearest")[peaks[:, 0], peaks[:, 1]]
    )
    noise = noise / (np.sqrt(np.pi) * width)
    top = z[peaks[:, 0], peaks[:, 1]]
    round_enough = _is_spot(curvature, top, height, noise) & _is_local(
        residual, peaks, height, noise, width
    )
    # noise makes round maxima too: all of the expected false ones are counted against the round
    area = float(z.size)
    order = np.argsort(-top)
    ranked = np.cumsum(round_enough[order])
    expected = false_maxima(top[order], area, width)
    share = np.minimum(expected / np.maximum(ranked, 1), 1.0)
    share = np.minimum.accumulate(share[::-1])[::-1]
    local = np.empty_like(share)
    local[:] = _local_share(top[order], round_enough[order], area, width)
    keep = np.zeros(top.size, bool)
    keep[order] = (share <= false_share) & (local <= 0.5)
    keep &= round_enough
    threshold = float(top[keep].min()) if keep.any() else float("inf")
    # background noise, and the spot's own light (σ²/N of a centroid, a fifth more for the filter)
    light = 2 * np.pi * width**2 * np.maximum(height, 1e-9)
    position = width * np.sqrt(2.0 / np.maximum(top, 1.0) ** 2 + 1.2 / np.maximum(light, 1.0))
    probability = np.ones(top.size)
    probability[order] = 1 - local
    table = pd.DataFrame(
        {
            "x": place[:, 0],
            "y": place[:, 1],
            "x_sigma": position,
            "y_sigma": position,
            "height": height,
            "height_sigma": np.sqrt(noise**2 + np.maximum(height, 0) / (3 * np.pi * width**2 / 2)),
            "significance": top,
            "probability": probability,
            "row": peaks[:, 0],
            "column": peaks[:, 1],
        }
    )
    return table[keep].sort_values("significance", ascending=False, ignore_index=True), threshold


def _local_share(z: Floats, accepted: NDArray[np.bool_], area: float, width: float) -> Floats:
    """Return for each maximum (descending z) the share of false ones among those of like height."""
    low, high = z - 0.5, z + 0.5
    expected = false_maxima(low, area, width) - false_maxima(high, area, width)
    heights = np.sort(z[accepted])
    near = np.searchsorted(heights, high, side="right") - np.searchsorted(heights, low)
    share = np.minimum(expected / np.maximum(near, 1), 1.0)
    return np.asarray(np.maximum.accumulate(share))


def _is_spot(curvature: Floats, z: Floats, height: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Return which maxima curve alike in both directions, within what noise allows."""
    small, large = curvature[:, 0], np.maximum(curvature[:, 1], 1e-12)
    # noise changes the ratio of curvatures by about 1.7 over the significance
    return np.asarray(small / large > np.maximum(ROUND - 1.7 / np.maximum(z, 1.0), 0.0))


def _is_local(
    residual: Floats, peaks: NDArray[np.int64], height: Floats, noise: Floats, width: float
) -> NDArray[np.bool_]:
    """Return which maxima fall off on all sides: a rim or a ridge stays high along itself."""
    far = gaussian_filter(residual, width, mode="nearest")
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    reach = 2.8 * width
    ny, nx = residual.shape
    rows = np.clip(np.rint(peaks[:, :1] + reach * np.sin(angle)), 0, ny - 1).astype(int)
    columns = np.clip(np.rint(peaks[:, 1:] + reach * np.cos(angle)), 0, nx - 1).astype(int)
    around = far[rows, columns]
    # a ridge leaves the circle on two sides, a neighbouring spot on one: look at opposite sectors
    turned = [np.roll(around, k, axis=1) for k in range(12, 21)]
    both = np.max([np.minimum(around, t) for t in turned], axis=(0, 2))
    # `far` is half of a matched spot's height at its centre; noise of a smoothed pixel is noise / √2
    return np.asarray(both < RIDGE * height + 2.0 * noise / np.sqrt(2))
