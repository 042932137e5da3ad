"""Shadows: beam stop, its bar, gaps and dead pixels of a frame that came without a mask.

In: counts. Out: pixels that no light reached, told from dim ones by their neighbours and, where photons are
few, by their Friedel mates: mates see one intensity, so that counts on one side only are a shadow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOWS = ((5, 5), (9, 9), (17, 17), (33, 33), (65, 65), (25, 3), (3, 25), (61, 3), (3, 61))
"""Windows (rows, columns) in which a missing count is looked for: beam stops, bars, gaps."""
LONG_WINDOWS = (*WINDOWS, (121, 3), (3, 121), (121, 5), (5, 121))
ONE_SIDED = 40.0
"""Counts that all lie on one of two mates where both were lit with a chance of 2^−40."""
CHANCE = 18.0
"""−log of the chance at which an empty disk about the centre is taken for the beam stop."""
ANGLES = 720
"""Directions in which a bar from the centre is looked for."""
SPECKLE = 16.0
"""Largest area of a speckle (px²) in which the counts of a dim region may all be missing at once."""


def covered_regions(image: Floats, open_pixels: Mask) -> Mask:
    """Return dark regions too large for chance: the beam stop, its bar, gaps between modules.

    A window without a single count is covered where its neighbours on two opposite sides are so bright
    that this had a chance below e^−30; one bright side alone is the edge of a bright region.
    """
    counts = np.where(open_pixels, np.maximum(image, 0.0), 0.0)
    dark = counts <= 0
    covered = np.zeros_like(dark)
    if not (dark & open_pixels).any():
        return covered
    for size in WINDOWS:
        if size[0] >= image.shape[0] or size[1] >= image.shape[1]:
            continue
        empty = ndimage.minimum_filter(dark, size=size)
        if not empty.any():
            continue
        mean = ndimage.uniform_filter(counts, size=size)
        sides = []
        for axis in (0, 1):
            reach = size[axis] + 1
            sides.append(np.minimum(_moved(mean, reach, axis), _moved(mean, -reach, axis)))
        expected = np.maximum(*sides) * size[0] * size[1]
        covered |= ndimage.maximum_filter(empty & (expected > 30.0), size=size)
    # corners that no window reaches, and the half-covered rim
    covered = ndimage.binary_dilation(covered, iterations=2) & dark
    return np.asarray(covered & ~_soft_edged(covered, counts), dtype=np.bool_)


def _soft_edged(covered: Mask, counts: Floats) -> Mask:
    """Return the dark regions whose rim is dimmer than half their surroundings: zeros of large speckles."""
    labels, count = ndimage.label(covered)
    soft = np.zeros_like(covered)
    for number, place in enumerate(ndimage.find_objects(labels, count), start=1):
        wide = tuple(slice(max(s.start - 9, 0), s.stop + 9) for s in place)
        region = labels[wide] == number
        rim = ndimage.binary_dilation(region, iterations=2)
        around = ndimage.binary_dilation(rim, iterations=6)
        near, far = counts[wide][rim & ~region], counts[wide][around & ~rim]
        if near.size and far.size and near.mean() < 0.5 * far.mean():
            soft[wide] |= region
    return soft


def _moved(values: Floats, by: int, axis: int) -> Floats:
    """Return values moved along an axis, the last ones repeated."""
    index = np.clip(np.arange(values.shape[axis]) + by, 0, values.shape[axis] - 1)
    return np.take(values, index, axis=axis)


def hidden_stop(image: Floats, open_pixels: Mask, centre: tuple[float, float]) -> Mask:
    """Return the beam stop, its bar and gaps that few photons show only about a known centre.

    A window or a stripe from the centre is a shadow where it holds hardly a count and its mates many; the
    stop about the centre, whose mates are hidden too, where an empty disk is too large for chance.
    """
    counts = np.where(open_pixels, np.maximum(image, 0.0), 0.0)
    mate, paired = friedel_mates(counts, open_pixels, centre)
    mate = np.where(paired & open_pixels, mate, 0.0)
    dark = np.zeros_like(open_pixels)
    for size in LONG_WINDOWS:
        if size[0] >= image.shape[0] or size[1] >= image.shape[1]:
            continue
        area = size[0] * size[1]
        own, other = (ndimage.uniform_filter(v, size=size) * area for v in (counts, mate))
        dark |= ndimage.maximum_filter((own < 0.5) & (other > ONE_SIDED), size=size)
    dark |= _stripes(counts, mate, centre)
    dark |= _empty_middle(counts, open_pixels & ~dark, centre)
    found = ndimage.binary_dilation(dark, iterations=1) & (counts <= 0) & open_pixels
    return np.asarray(found, dtype=np.bool_)


def friedel_mates(
    values: Floats, open_pixels: Mask, centre: tuple[float, float]
) -> tuple[Floats, Mask]:
    """Return the value of every pixel's Friedel mate, and whether that one was measured."""
    ny, nx = values.shape
    my, mx = np.rint(2 * np.array(centre)).astype(int)
    rows, columns = my - np.arange(ny), mx - np.arange(nx)
    inside = ((rows >= 0) & (rows < ny))[:, None] & ((columns >= 0) & (columns < nx))[None, :]
    at = np.ix_(np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1))
    return values[at], np.asarray(inside & open_pixels[at], dtype=np.bool_)


def _stripes(counts: Floats, mate: Floats, centre: tuple[float, float]) -> Mask:
    """Return stripes from the centre outwards that hold hardly a count where their mates hold many.

    Counts are binned by angle and distance once; a stripe of half width w spans ±asin(w/ρ) of angle at ρ.
    """
    y, x = np.indices(counts.shape, dtype=float)
    y, x = y - centre[0], x - centre[1]
    distance = np.hypot(y, x)
    angle = np.floor(np.arctan2(y, x) / (2.0 * np.pi) * ANGLES).astype(int) % ANGLES
    far = int(distance.max()) + 1
    place = (distance.astype(int) * ANGLES + angle).ravel()
    # three turns, so that every sector lies inside
    turns = [
        np.cumsum(np.tile(np.bincount(place, v.ravel(), far * ANGLES).reshape(far, ANGLES), 3), 1)
        for v in (counts, mate)
    ]
    rho = np.arange(far) + 0.5
    dark = np.zeros(counts.shape, dtype=bool)
    for width in (1.5, 2.5, 4.5, 6.5):
        half = np.arcsin(np.minimum(width / rho, 0.7)) / (2.0 * np.pi) * ANGLES
        reach = np.rint(half).astype(int)[:, None]
        middle = ANGLES + np.arange(ANGLES)[None, :]
        rows = np.arange(far)[:, None]
        own, other = (
            np.cumsum(c[rows, middle + reach] - c[rows, middle - reach], axis=0) for c in turns
        )
        lit = (own > 0.01 * other) & (own > 0.5)
        end = np.where(lit.any(axis=0), lit.argmax(axis=0), far)
        sure = other[np.maximum(end - 1, 0), np.arange(ANGLES)] > ONE_SIDED
        for number in np.flatnonzero(sure & (end > 0)):
            turn = 2.0 * np.pi * (number + 0.5) / ANGLES
            along = x * np.cos(turn) + y * np.sin(turn)
            across = np.abs(y * np.cos(turn) - x * np.sin(turn))
            dark |= (across <= width) & (along > 0) & (along < end[number])
    return dark


def _empty_middle(counts: Floats, open_pixels: Mask, centre: tuple[float, float]) -> Mask:
    """Return the empty disks near the centre that the light around them makes too large for chance."""
    empty = ndimage.distance_transform_edt((counts <= 0) | ~open_pixels) - 0.5
    y, x = np.indices(counts.shape, dtype=float)
    away = np.hypot(y - centre[0], x - centre[1])
    dark = np.zeros(counts.shape, dtype=bool)
    for place in np.argwhere((away < 0.15 * min(counts.shape)) & (empty > 2.0)):
        reach = float(empty[tuple(place)])
        apart = np.hypot(y - place[0], x - place[1])
        around = (apart > reach + 1.0) & (apart < 1.6 * reach + 3.0) & open_pixels
        if not around.any():
            continue
        area = float(((apart < reach) & open_pixels).sum())
        # a whole speckle can be dark: n counts expected in each of a/s speckles, exponential intensities
        if area / SPECKLE * np.log1p(SPECKLE * float(counts[around].mean())) > CHANCE:
            dark |= apart < reach
    return dark


def dead_pixels(image: Floats, open_pixels: Mask, centre: tuple[float, float]) -> Mask:
    """Return pixels that stay dark where all pixels about their Friedel mate are bright.

    A dark pixel among bright neighbours alone may be a zero of the speckle; its mate would be dark too.
    """
    least = ndimage.minimum_filter(np.where(open_pixels, image, 0.0), size=3)
    mate, _ = friedel_mates(least, open_pixels, centre)
    dark = open_pixels & (mate > 8.0) & (image < 0.05 * mate)
    return np.asarray(dark, dtype=np.bool_)
