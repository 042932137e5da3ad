"""Features: what a trained classifier sees of a pattern, on no absolute scale.

In: a prepared pattern. Out: one vector of radial shape, speckle contrast, peak statistics of the levelled
Patterson, in which one pair of N equal disks has the height 1/N, and the lists of positions that
superposition reads off it. Nothing is fitted but the radius in the ring means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from matterscope.scattering.levelling import Task, flatten, form_factor_fit, law_scatter
from matterscope.scattering.superposition import (
    Flattened,
    grow,
    patterson,
    prefix_scores,
    strongest,
)

Floats = NDArray[np.float64]

BANDS = 20
RANKS = np.array(
    [1, 2, 3, 4, 6, 8, 11, 15, 21, 28, 36, 45, 55, 66, 78, 91, 105, 120, 153, 190, 231]
)
QUANTILES = np.array([0.5, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999])
THRESHOLDS = np.geomspace(0.02, 0.7, 19)
LEVELS = np.array([3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0])
"""Thresholds in spreads of the empty corner of the Patterson."""
SIZE = 256
STARTS = (0, 4, 12)
LONGEST = 30


def describe_pattern(task: Task) -> Floats:
    """Return the features of one pattern.

    They do not change with a factor on the counts, but for the logarithm of the level and the photon noise.
    """
    image, open_pixels, radius = task.image, task.open_pixels, task.radius
    ring = np.rint(radius).astype(np.int64)
    value, where = image[open_pixels], ring[open_pixels]
    last = int(0.5 * min(image.shape))
    number = np.bincount(where, minlength=last + 2).astype(float)[: last + 1]
    total: Floats = np.bincount(where, value, minlength=last + 2).astype(float)[: last + 1]
    pairs = np.bincount(where, value * (value - 1.0), minlength=last + 2)
    squares: Floats = pairs.astype(float)[: last + 1]
    band = np.arange(last + 1) * BANDS // (last + 1)
    count, sums = (np.bincount(band, v, minlength=BANDS).astype(float) for v in (number, total))
    level = total.sum() / max(number.sum(), 1.0)
    mean = sums / np.maximum(count, 1.0)
    shape = np.log((mean + 0.003 * level) / level) * (count > 0)
    contrast = _contrast(total, squares, number, band, count)
    size, scale, misfit = form_factor_fit(task, law_scatter(task))
    flat = flatten(task, size, scale)
    form = [np.log(size), np.log(misfit + 1e-6)]
    values = patterson(flat, SIZE)
    sharp = _peak_statistics(values)
    lists = _superposition(values, flat, task, size)
    return np.concatenate([[np.log(max(level, 1e-6))], shape, contrast, form, sharp, lists])


def _contrast(
    total: Floats, squares: Floats, number: Floats, band: NDArray[np.intp], count: Floats
) -> Floats:
    mean = total / np.maximum(number, 1.0)
    expected = np.bincount(band, number * mean**2, minlength=BANDS)
    seen = np.bincount(band, squares, minlength=BANDS)
    ratio = np.where(count > 0, seen / np.maximum(expected, 1e-9) - 1.0, 0.0)
    return np.asarray(np.clip(ratio, -2.0, 4.0)[2:], dtype=float)


def _peak_statistics(values: Floats) -> Floats:
    """Return powers, quantiles, ranked maxima and their counts of one half of a Patterson."""
    middle = SIZE // 2
    half = values[:, middle:]
    rho = np.hypot(np.arange(SIZE)[:, None] - middle, np.arange(half.shape[1])[None, :])
    outside = half[rho > 0.49 * SIZE]
    noise = float(np.sqrt(np.mean(outside**2)))
    useful = (rho > 0.033 * SIZE) & (rho < 0.46 * SIZE)
    chosen = half[useful]
    local = useful & (half >= ndimage.maximum_filter(half, size=3))
    heights = np.sort(half[local])[::-1]
    ranked = np.pad(heights, (0, 240))[RANKS - 1]
    size, squares = np.abs(chosen), chosen**2
    moments = (squares, squares * size, squares**2, squares**2 * size, squares**3)
    powers = [np.log(m.mean() + 1e-12) for m in moments]
    ranks = (QUANTILES * (chosen.size - 1)).astype(int)
    tail = np.partition(chosen, ranks)[ranks]
    counted = np.log1p(np.searchsorted(-heights, -THRESHOLDS).astype(float))
    raised = np.log1p(np.searchsorted(-heights, -noise * LEVELS).astype(float))
    bins = (rho[useful] * 12 / (0.46 * SIZE)).astype(int)
    number = np.maximum(np.bincount(bins, minlength=12)[:12], 1)
    spread: Floats = np.bincount(bins, squares, minlength=12)[:12] / number
    logs = [np.log(np.maximum(v, 1e-4)) for v in (tail, ranked, np.sqrt(spread))]
    return np.concatenate([powers, *logs, counted, raised, [np.log(noise + 1e-6)]])


def _superposition(values: Floats, flat: Flattened, task: Task, size: float) -> Floats:
    """Return scores and heights of the lists grown from a few strong vectors, best list first.

    The length of the best prefix comes near N; the scores of all prefixes say how surely.
    """
    grid = 2.0 * np.pi / SIZE
    peaks, _ = strongest(values, 60, max(1.6 * size / grid, 3.0))
    rows, columns = np.nonzero(task.inner)
    step = max(rows.size // 2000, 1)
    index = np.stack([rows[::step], columns[::step]])
    target, weight = flat.excess[tuple(index)] + 1.0, flat.weight[tuple(index)]
    single = np.asarray(values, dtype=np.float32)
    found = []
    for rank in STARTS:
        if rank >= len(peaks):
            break
        points, heights = grow(single, peaks[rank].astype(np.int64), SIZE // 2 - 1, 0.22, LONGEST)
        positions = points * np.array([grid / task.aspect, grid])
        scores = prefix_scores(positions, task.axes, index, target, weight)
        found.append((float(scores.max()), int(scores.argmax()), scores[2:], heights))
    found.sort(key=lambda f: -f[0])
    summary = np.zeros((len(STARTS), 3))
    for k, (score, best, scores, _) in enumerate(found):
        summary[k] = score, best, scores.size + 1
    curve, tops = np.zeros((2, LONGEST)), np.zeros((2, LONGEST))
    for k, (score, _, scores, heights) in enumerate(found[:2]):
        curve[k] = np.pad(scores / max(score, 1e-3), (0, LONGEST), mode="edge")[:LONGEST]
        tops[k] = np.pad(np.sort(heights)[::-1], (0, LONGEST))[:LONGEST]
    return np.concatenate([summary.ravel(), curve.ravel(), tops.ravel()])
