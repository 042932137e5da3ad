"""Forward model: from disks to the counts of an area detector.

In: a structure, a detector grid, and what the beamline does to a pattern. Out: expected intensity and
drawn counts. `expect` is deterministic; noise and faults are drawn by `detect` from a generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from matterscope.physics.fourier import Grid, beam_stop, density_amplitude, disks_amplitude, phases
from matterscope.scattering.disks import Disks

Floats = NDArray[np.float64]

PUBLISHED_STEP = 2.0 * np.pi / 18001.0
"""Step of q of the published patterns, 1/px: a 2001² raster padded to 18001² (arXiv 2211.08194)."""


@dataclass(frozen=True)
class Beamline:
    """What stands between the disks and the counts.

    Parameters
    ----------
    grid : Grid
        Detector with its true centre.
    photons : float
        Mean counts per open pixel; 0 gives the noise-free intensity.
    beam_stop : float, px
        Radius of the hole at low q.
    bar : float, px
        Width of the bar that holds the beam stop.
    gap : float, px
        Width of a dead stripe between two modules, off the centre.
    modes : int
        Mutually incoherent source points: the speckle contrast falls to 1/modes.
    coherence : float, length
        Transverse coherence length of a Gaussian source; 0 is full coherence.
    dead, hot : int
        Pixels that count nothing, or far too much.
    read_noise : float, counts
        Standard deviation of Gaussian read-out noise.
    saturation : float, counts
        Counts above are cut; 0 for never.
    integrate : bool
        Pixels integrate over their area instead of sampling their middle.
    illumination : float, length
        Standard deviation of a Gaussian beam on the sample; 0 lights all evenly.
    """

    grid: Grid
    photons: float = 0.0
    beam_stop: float = 0.0
    bar: float = 0.0
    gap: float = 0.0
    modes: int = 1
    coherence: float = 0.0
    dead: int = 0
    hot: int = 0
    read_noise: float = 0.0
    saturation: float = 0.0
    integrate: bool = False
    illumination: float = 0.0


@dataclass(frozen=True)
class Exposure:
    """One recorded pattern: counts, open pixels, and the intensity per open pixel that was expected."""

    counts: Floats
    open_pixels: NDArray[np.bool_]
    expected: Floats


def published_grid(pixels: int = 129, centre: tuple[float, float] | None = None) -> Grid:
    """Return the published q-range (±256 steps) on 513, 257, 129 … pixels.

    Examples
    --------
    >>> g = published_grid(129)
    >>> bool(np.isclose(g.step[0], 4 * PUBLISHED_STEP))
    True
    """
    step = 512 // (pixels - 1) * PUBLISHED_STEP
    return Grid((pixels, pixels), (step, step), centre)


def raster(disks: Disks, box: float) -> NDArray[np.float32]:
    """Return the disks as 0 and 1 on a grid of step 1 from 0 to `box`, hard-edged like the published ones."""
    size = round(box) + 1
    image = np.zeros((size, size), dtype=np.float32)
    for x, y, r in zip(disks.x, disks.y, disks.radius, strict=True):
        low_y, high_y = max(int(y - r), 0), min(int(y + r) + 2, size)
        low_x, high_x = max(int(x - r), 0), min(int(x + r) + 2, size)
        yy, xx = np.arange(low_y, high_y)[:, None], np.arange(low_x, high_x)[None, :]
        image[low_y:high_y, low_x:high_x][(yy - y) ** 2 + (xx - x) ** 2 <= r * r] = 1.0
    return image


def intensity(disks: Disks, beamline: Beamline, box: float, engine: str = "analytic") -> Floats:
    """Return I(q) = |F(q)|² on the detector, before any noise.

    Parameters
    ----------
    disks : Disks
        Structure.
    beamline : Beamline
        Its grid, coherence and pixels are used.
    box : float, length
        Side of the box.
    engine : str
        ``analytic`` (closed form of each disk) or ``raster`` (hard-edged image, exact transform).
    """
    margin = _margin(beamline)
    grid = beamline.grid
    cy, cx = grid.origin
    wide = Grid(
        (grid.shape[0] + 2 * margin, grid.shape[1] + 2 * margin),
        grid.step,
        (cy + margin, cx + margin),
    )
    middle = 0.5 * box
    half = upper_half(wide)
    if engine == "raster":
        image = raster(disks, box)
        if beamline.illumination > 0:
            profile = np.exp(-0.5 * ((np.arange(len(image)) - middle) / beamline.illumination) ** 2)
            image = (image * np.outer(profile, profile)).astype(np.float32)
        amplitude = density_amplitude(image, 1.0, half)
    elif beamline.illumination > 0:
        amplitude = _lit_amplitude(disks, half, middle, beamline.illumination)
    else:
        amplitude = disks_amplitude(half, disks.y - middle, disks.x - middle, disks.radius)
    ideal = amplitude.real**2 + amplitude.imag**2
    if half is not wide:
        ideal = np.concatenate([ideal, ideal[-2::-1, ::-1]])
    blurred = _incoherent(ideal, beamline)
    return blurred[margin : margin + grid.shape[0], margin : margin + grid.shape[1]]


def upper_half(grid: Grid) -> Grid:
    """Return the rows up to the centre, where Friedel symmetry gives the others; else the grid itself."""
    cy, cx = grid.origin
    if grid.shape[0] == 2 * cy + 1 and grid.shape[1] == 2 * cx + 1:
        return Grid((int(cy) + 1, grid.shape[1]), grid.step, (cy, cx))
    return grid


def _lit_amplitude(disks: Disks, grid: Grid, middle: float, width: float) -> NDArray[np.complex128]:
    # a beam wider than a disk lights each disk evenly, by the amplitude at its centre
    y, x = disks.y - middle, disks.x - middle
    light = np.exp(-0.5 * (x**2 + y**2) / width**2)
    total = np.zeros(grid.shape, dtype=complex)
    for k in range(x.size):
        one = disks_amplitude(grid, y[k : k + 1], x[k : k + 1], disks.radius[k : k + 1])
        total += light[k] * one
    return total


def _source_points(modes: int) -> Floats:
    # 3 px apart: more than a speckle of the published geometry, so that the modes are independent
    turn = 2.4 * np.arange(modes)
    away = 3.0 * np.sqrt(np.arange(modes) / 1.0)
    return np.stack([away * np.sin(turn), away * np.cos(turn)], axis=1)


def _margin(beamline: Beamline) -> int:
    if beamline.modes > 1:
        return int(np.ceil(np.abs(_source_points(beamline.modes)).max())) + 2
    return 12 if beamline.coherence > 0 or beamline.integrate else 0


def _incoherent(ideal: Floats, beamline: Beamline) -> Floats:
    """Average over source points, a Gaussian source and the area of a pixel: products on the Patterson."""
    if _margin(beamline) == 0:
        return ideal
    ny, nx = ideal.shape
    fy, fx = 2.0 * np.pi * fft.fftfreq(ny)[:, None], 2.0 * np.pi * fft.fftfreq(nx)[None, :]
    transfer = np.ones((ny, nx), dtype=complex)
    if beamline.modes > 1:
        points = _source_points(beamline.modes)
        waves = phases(fy[:, 0], points[:, 0]) @ phases(fx[0], points[:, 1]).T
        transfer *= waves / beamline.modes
    if beamline.coherence > 0:
        # a vector ρ between two disks keeps exp(−ρ²/2ξ²) of its fringes (Gaussian Schell model)
        ry, rx = fy / beamline.grid.step[0], fx / beamline.grid.step[1]
        transfer *= np.exp(-0.5 * (ry**2 + rx**2) / beamline.coherence**2)
    if beamline.integrate:
        transfer *= np.sinc(fy / (2 * np.pi)) * np.sinc(fx / (2 * np.pi))
    mixed = fft.ifft2(fft.fft2(ideal) * transfer).real
    return np.asarray(np.maximum(mixed, 0.0), dtype=float)


def detect(ideal: Floats, beamline: Beamline, rng: np.random.Generator) -> Exposure:
    """Return the counts of one exposure of the expected intensity."""
    grid = beamline.grid
    open_pixels = _stopped(grid, beamline.beam_stop, beamline.bar).copy()
    if beamline.gap > 0:
        column = int(grid.origin[1] + 0.3 * grid.shape[1])
        open_pixels[:, column : column + max(round(beamline.gap), 1)] = False
    expected = ideal
    if beamline.photons > 0:
        level = np.vdot(ideal, open_pixels) / np.count_nonzero(open_pixels)
        expected = ideal * (beamline.photons / level)
        counts = rng.poisson(expected).astype(float)
    else:
        counts = ideal.copy()
    if beamline.read_noise > 0:
        counts += rng.normal(0.0, beamline.read_noise, counts.shape)
    counts = _faults(counts, beamline, rng)
    counts *= open_pixels
    return Exposure(counts, open_pixels, expected)


@lru_cache(maxsize=4)
def _stopped(grid: Grid, radius: float, bar: float) -> NDArray[np.bool_]:
    return beam_stop(grid, radius, bar, bar_angle=-0.5 * np.pi)


def _faults(counts: Floats, beamline: Beamline, rng: np.random.Generator) -> Floats:
    flat = counts.ravel()
    if beamline.dead + beamline.hot:  # a draw without replacement orders all pixels
        places = rng.choice(counts.size, size=beamline.dead + beamline.hot, replace=False)
        flat[places[: beamline.dead]] = 0.0
        flat[places[beamline.dead :]] = 50.0 * max(float(counts.mean()), 1.0)
    if beamline.saturation > 0:
        flat[:] = np.minimum(flat, beamline.saturation)
    return flat.reshape(counts.shape)


def speckle_size(grid: Grid, width: float) -> float:
    """Return the speckle size 2π/(L Δq) in pixels of x for an illuminated width L.

    Examples
    --------
    >>> round(speckle_size(published_grid(513), 2000.0), 1)
    9.0
    """
    return float(2.0 * np.pi / (width * grid.step[1]))


def smooth_rings(
    values: Floats, open_pixels: NDArray[np.bool_], radius: Floats
) -> tuple[Floats, Floats]:
    """Return the mean over rings one pixel wide and the number of pixels of each ring."""
    ring = np.rint(radius).astype(np.int64)
    number = np.bincount(ring[open_pixels])
    total = np.bincount(ring[open_pixels], weights=values[open_pixels])
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return mean, number.astype(float)


def local_median(values: Floats) -> Floats:
    """Return the 3 × 3 median about every pixel, the pixel itself left out."""
    around = np.ones((3, 3), dtype=bool)
    around[1, 1] = False
    return np.asarray(ndimage.median_filter(values, footprint=around, mode="nearest"), dtype=float)
