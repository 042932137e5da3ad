"""Photon gain: how many counts of the detector make one photon, read off the pattern itself.

In: a frame with its open pixels and likely centres. Out: counts per photon with their error, from the noise
between Friedel mates: both see the same intensity, so that what they differ by is noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEWEST = 400
"""Pairs below which no gain is read off a frame."""
AROUND = (
    (0, 1),
    (0, 2),
    (0, 3),
    (1, 0),
    (2, 0),
    (3, 0),
    (1, 1),
    (1, -1),
    (1, 2),
    (2, 1),
    (1, -2),
    (2, -1),
)
"""Neighbours (rows, columns), one of each pair, from which the shift between mates is foretold."""
REACH = 3
LEAST = 0.6
"""Ratio of the two gains below which the fit has followed the noise instead of the disks."""


@dataclass(frozen=True)
class Gain:
    """Counts per photon with their standard error; exactly 1 for photons."""

    value: float = 1.0
    error: float = 0.0
    read_variance: float = 0.0
    """Variance of read-out noise that the frame shows beside its photons, counts²; 0 where it is told."""


def estimate_gain(
    image: Floats, open_pixels: Mask, centres: list[tuple[float, float]], read_variance: float = 0.0
) -> Gain | None:
    """Return the gain at the centre under which Friedel mates differ least, or None with too few pairs.

    Mates have the variance g (y₁ + y₂) + 2σ² for the gain g: with weights that depend on the ring alone,
    Σ w (d² − g s − 2σ²) = 0 for d = y₁ − y₂ and s = y₁ + y₂ is unbiased.

    Parameters
    ----------
    image : array of shape (ny, nx), counts
        Frame without hot pixels.
    open_pixels : boolean array
        Measured pixels.
    centres : list of (float, float), px
        Likely indices of q = 0.
    read_variance : float, counts²
        Variance of read-out noise, where it is known.
    """
    found = [_at(image, open_pixels, c, read_variance) for c in centres]
    usable = [g for g in found if g is not None]
    return min(usable, key=lambda g: g.value) if usable else None


def _at(
    image: Floats, open_pixels: Mask, centre: tuple[float, float], read_variance: float
) -> Gain | None:
    ny, nx = image.shape
    twice = np.rint(2.0 * np.array(centre)).astype(int)
    rows, columns = twice[0] - np.arange(ny), twice[1] - np.arange(nx)
    inside = ((rows >= 0) & (rows < ny))[:, None] & ((columns >= 0) & (columns < nx))[None, :]
    at = np.ix_(np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1))
    both = open_pixels & open_pixels[at] & inside
    total, apart = np.where(both, image + image[at], 0.0), image - image[at]
    whole = both[REACH:-REACH, REACH:-REACH].copy()
    for dy, dx in AROUND:
        for sign in (1, -1):
            whole &= _moved(both, sign * dy, sign * dx)
    y, x = np.argwhere(whole).T + REACH
    once = (y < rows[y]) | ((y == rows[y]) & (x < columns[x]))
    y, x = y[once], x[once]
    if y.size < FEWEST or total[y, x].sum() <= 0:
        return None
    # mates lie up to half a pixel beside each other: what this makes is linear in the odd differences of
    # their mean, to second order; the filter is fitted, since speckles are too fine for a slope
    odd = np.stack([total[y + dy, x + dx] - total[y - dy, x - dx] for dy, dx in AROUND])
    difference = apart[y, x]
    weight = 1.0 / np.maximum(_ring_level(total, y, x, centre), 1e-12)
    root = np.sqrt(weight)
    taps = np.linalg.lstsq((odd * root).T, difference * root, rcond=None)[0]
    left = y.size / (y.size - len(AROUND))
    weights = np.stack([weight, weight**2])
    squares = left * (difference - taps @ odd) ** 2 - 2.0 * read_variance
    both_found = _two_noises(weights, squares, total[y, x]) if read_variance == 0 else None
    read = 0.0
    if both_found is not None:
        read = both_found
        squares = squares - 2.0 * read
    level = float((weight * total[y, x]).sum())
    value = float((weight * squares).sum()) / level
    spread = weight * (squares - value * total[y, x])
    # what the filter leaves of half a pixel grows with the photons: 5 % at 10, some 10 % at 100 per pixel
    left_over = 0.0 if (2.0 * np.array(centre) == twice).all() else 0.05 * value
    error = float(np.hypot(np.sqrt((spread**2).sum()) / level, left_over))
    return Gain(value, error, read)


def gain_beside(counts: Floats, model: Floats, found: Gain) -> Gain | None:
    """Return the gain that counts show beside a fitted model, where that is less than Friedel mates gave.

    Mates half a pixel beside each other leave some of the speckles in the noise: their gain is high, by up to a
    fifth in crowded patterns. Counts in units of too high a gain scatter less than photons. The error stays that
    of the mates, since the goodness of the fit has now been used.

    Parameters
    ----------
    counts, model : arrays of shape (n,), photons by the gain found
        Single pixels.
    found : Gain
        From the mates.
    """
    if found.read_variance > 0:
        return None  # two noises are told apart by the mates, not by their sum
    weight = 1.0 / (model + 1.0)
    share = float((weight * (counts - model) ** 2).sum() / (weight * model).sum())
    return Gain(found.value * share, found.error * share) if LEAST < share < 0.99 else None


def _two_noises(weights: Floats, squares: Floats, total: Floats) -> float | None:
    """Return the variance of a read-out noise beside the photons, or None where none stands out.

    Two weights over the rings give two equations for the gain and the variance, which bright and dim rings
    tell apart.
    """
    normal = np.stack([weights @ total, 2.0 * weights.sum(axis=1)], axis=1)
    if abs(np.linalg.det(normal)) < 1e-3 * abs(normal[0, 0] * normal[1, 1]):
        return None
    inverse = np.linalg.inv(normal)
    gain, variance = inverse @ (weights @ squares)
    residual = weights * (squares - gain * total - 2.0 * variance)
    sigma = float(np.sqrt((inverse @ (residual @ residual.T) @ inverse.T)[1, 1]))
    return float(variance) if gain > 0 and variance > 5.0 * sigma else None


def _moved(mask: Mask, dy: int, dx: int) -> Mask:
    ny, nx = mask.shape
    return mask[REACH + dy : ny - REACH + dy, REACH + dx : nx - REACH + dx]


def _ring_level(
    total: Floats, y: NDArray[np.intp], x: NDArray[np.intp], centre: tuple[float, float]
) -> Floats:
    ring = np.rint(np.hypot(y - centre[0], x - centre[1])).astype(int)
    number = np.maximum(np.bincount(ring), 1)
    mean = np.bincount(ring, total[y, x]) / number
    # rings without a count must not outweigh the others
    return np.asarray(np.maximum(mean, 0.05 * total[y, x].mean())[ring], dtype=float)
