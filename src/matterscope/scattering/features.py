"""Features: what a trained classifier sees of a pattern, on no absolute scale.

In: counts, open pixels and centre. Out: one vector of radial shape, speckle contrast and peak statistics
of the levelled Patterson, in which one pair of N equal disks has the height 1/N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float64]

BANDS = 20
RANKS = np.array(
    [1, 2, 3, 4, 6, 8, 11, 15, 21, 28, 36, 45, 55, 66, 78, 91, 105, 120, 153, 190, 231]
)
QUANTILES = np.array([0.5, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999])
THRESHOLDS = np.geomspace(0.02, 0.7, 19)
SIZE = 180


def describe_pattern(image: Floats, open_pixels: NDArray[np.bool_], radius: Floats) -> Floats:
    """Return the features of one pattern.

    Parameters
    ----------
    image : array of shape (ny, nx), counts
        Any exposure: the vector does not change with a factor, but for the logarithm of the level.
    open_pixels : boolean array
        Measured pixels.
    radius : array, px
        Distance of every pixel from the centre.
    """
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
    ring_mean = _smooth(total, number, level)
    contrast = _contrast(total, squares, number, band, count)
    excess, weight = _levelled(image, open_pixels, radius, ring_mean, last)
    peaks = _peak_statistics(excess, weight)
    coarse = _peak_statistics(excess, weight * np.exp(-1.5 * (radius / last) ** 2))
    return np.concatenate([[np.log(max(level, 1e-6))], shape, contrast, peaks, coarse])


def _smooth(total: Floats, number: Floats, level: float) -> Floats:
    # three rings together: at 0.1 photon a single ring would carry its own noise into the pattern
    kernel = np.array([0.5, 1.0, 0.5])
    mean = np.convolve(total, kernel, "same") / np.maximum(
        np.convolve(number, kernel, "same"), 1e-9
    )
    return np.maximum(mean, 0.003 * level)


def _contrast(
    total: Floats, squares: Floats, number: Floats, band: NDArray[np.intp], count: Floats
) -> Floats:
    mean = total / np.maximum(number, 1.0)
    expected = np.bincount(band, number * mean**2, minlength=BANDS)
    seen = np.bincount(band, squares, minlength=BANDS)
    ratio = np.where(count > 0, seen / np.maximum(expected, 1e-9) - 1.0, 0.0)
    return np.asarray(np.clip(ratio, -2.0, 4.0)[2:], dtype=float)


def _levelled(
    image: Floats, open_pixels: NDArray[np.bool_], radius: Floats, ring_mean: Floats, last: int
) -> tuple[Floats, Floats]:
    inside = open_pixels & (radius < last)
    mean = np.interp(radius, np.arange(ring_mean.size), ring_mean)
    weight = (
        mean / (mean + 0.5) * np.cos(0.5 * np.pi * np.minimum(radius / last, 1.0)) ** 0.7 * inside
    )
    return np.where(inside, image / mean - 1.0, 0.0), weight


def _peak_statistics(excess: Floats, weight: Floats) -> Floats:
    ny, nx = excess.shape
    field = np.zeros((SIZE, SIZE))
    field[:ny, :nx] = excess * weight
    # the power of the transform is blind to where the centre lies; its sign needs the real part
    spectrum = fft.rfft2(field)
    turn_y, turn_x = 2 * np.pi * fft.fftfreq(SIZE), 2 * np.pi * fft.rfftfreq(SIZE)
    shift = np.exp(1j * turn_y * (ny // 2))[:, None] * np.exp(1j * turn_x * (nx // 2))[None, :]
    values = (spectrum * shift).real / max(float(weight.sum()), 1e-9)
    values = fft.fftshift(values, axes=0)[:, : SIZE // 2]
    rho = np.hypot(np.arange(SIZE)[:, None] - SIZE // 2, np.arange(SIZE // 2)[None, :])
    noise = (
        float(np.median(np.abs(values[rho > 0.46 * SIZE]))) if (rho > 0.46 * SIZE).any() else 0.01
    )
    useful = (rho > 6) & (rho < 0.49 * SIZE)
    chosen = values[useful]
    local = (values == ndimage.maximum_filter(values, size=3)) & useful
    heights = np.sort(values[local])[::-1]
    ranked = np.pad(heights, (0, 240))[RANKS - 1]
    powers = [np.log(np.mean(np.abs(chosen) ** k) + 1e-12) for k in (2, 3, 4, 5, 6)]
    tail = np.log(np.maximum(np.quantile(chosen, QUANTILES), 1e-4))
    counted = np.log1p(np.searchsorted(-heights, -THRESHOLDS).astype(float))
    bins = (rho[useful] * 12 / (0.5 * SIZE)).astype(int)
    spread = np.log(
        np.bincount(bins, chosen**2, minlength=12)[:12]
        / np.maximum(np.bincount(bins, minlength=12)[:12], 1)
        + 1e-9
    )
    return np.concatenate(
        [powers, tail, np.log(np.maximum(ranked, 1e-4)), counted, spread, [np.log(noise + 1e-6)]]
    )
