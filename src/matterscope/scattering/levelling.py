"""Levelling: the measured pixels of a pattern, its form factor, and the pattern without it.

In: a frame with its open pixels and centre. Out: counts with Friedel mates summed, the radius that
the rings tell, and E² − 1 with its weights. Lengths are radians per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.fourier import disk_factor
from matterscope.scattering.refinement import Counts
from matterscope.scattering.superposition import Flattened

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RADII = np.geomspace(0.012, 0.6, 180)
"""Radii tried against the rings, rad/px."""


@dataclass(frozen=True)
class Task:
    """A pattern ready for inversion.

    Parameters
    ----------
    image : array of shape (ny, nx), counts
        Counts; masked pixels arbitrary.
    open_pixels : boolean array
        Measured pixels.
    centre : (float, float), px
        Index of q = 0, as assumed.
    extent : float, radians per pixel
        Largest possible distance of two disks along an axis.
    aspect : float
        Step of y over step of x.
    equal : bool
        One radius for all disks.
    scatter : float
        Coefficient of variation of the areas.
    find_centre : bool
        Whether the centre is refined.
    noise : float, counts²
        Variance of read-out noise per pixel.
    blur : float, px
        Width of the Gaussian that partial coherence lays over the intensity.
    gain_error : float
        Relative standard error of the counts per photon.
    read : float, counts²
        The part of `noise` that is Gaussian; the rest are dark counts, which are Poisson.
    """

    image: Floats
    open_pixels: Mask
    centre: tuple[float, float]
    extent: float = np.pi
    aspect: float = 1.0
    equal: bool = False
    scatter: float = 1.0 / 3.0
    find_centre: bool = False
    noise: float = 0.0
    blur: float = 0.0
    gain_error: float = 0.0
    read: float = 0.0

    @property
    def axes(self) -> tuple[Floats, Floats]:
        """Return the distances of rows and columns from the centre, px of x."""
        ky = (np.arange(self.image.shape[0], dtype=float) - self.centre[0]) * self.aspect
        kx = np.arange(self.image.shape[1], dtype=float) - self.centre[1]
        return np.asarray(ky, dtype=float), np.asarray(kx, dtype=float)

    @property
    def inner(self) -> Mask:
        """Return the open pixels that a list of positions is scored on: the inner five eighths."""
        near = self.radius < 0.625 * 0.5 * min(self.image.shape)
        return np.asarray(self.open_pixels & near, dtype=np.bool_)

    @property
    def radius(self) -> Floats:
        """Return the distance of every pixel from the centre, px of x."""
        ky, kx = self.axes
        return np.hypot(ky[:, None], kx[None, :])


def collect(task: Task) -> Counts:
    """Return the measured pixels; Friedel mates are summed when the centre is known to be a pixel."""
    ky, kx = task.axes
    open_pixels, image = task.open_pixels, task.image
    doubts = {"noise": task.noise, "blur": task.blur, "gain_error": task.gain_error}
    doubts["read"] = task.read
    cy, cx = (round(c) for c in task.centre)
    whole = abs(task.centre[0] - cy) + abs(task.centre[1] - cx) < 1e-9
    if task.find_centre or not whole:
        index = np.ascontiguousarray(np.argwhere(open_pixels).T.astype(np.int64))
        value = image[open_pixels].astype(float)
        return Counts(value, np.ones(value.size), index, ky, kx, **doubts)
    ny, nx = image.shape
    rows, columns = np.nonzero(open_pixels)
    mate_y, mate_x = 2 * cy - rows, 2 * cx - columns
    inside = (mate_y >= 0) & (mate_y < ny) & (mate_x >= 0) & (mate_x < nx)
    paired = inside.copy()
    paired[inside] = open_pixels[mate_y[inside], mate_x[inside]]
    upper = (rows < cy) | ((rows == cy) & (columns < cx))
    keep = ~paired | upper
    value = image[rows, columns].astype(float)
    both = paired & upper
    value[both] += image[mate_y[both], mate_x[both]]
    index = np.ascontiguousarray(np.stack([rows, columns])[:, keep].astype(np.int64))
    weight = np.where(both, 2.0, 1.0)[keep]
    return Counts(value[keep], weight, index, ky, kx, **doubts)


def law_average(q: Floats, radius: float, scatter: float) -> Floats:
    """Return P(q) = ⟨r⁴ h²(qr)⟩/⟨r⁴⟩ over areas with a normal law of relative width `scatter`."""
    nodes, profile = _law_profile(scatter)
    return np.interp(q * radius, nodes, profile)


@cache
def _law_profile(scatter: float) -> tuple[Floats, Floats]:
    """Return P against qR; linear between points 0.005 apart is good to 10⁻⁵ of P(0)."""
    x = np.arange(0.0, 90.0, 0.005)
    if scatter <= 0:
        return x, disk_factor(x) ** 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    areas = np.maximum(1.0 + scatter * nodes, 0.02)
    share = weights * areas**2
    factors = disk_factor(np.multiply.outer(x, np.sqrt(areas))) ** 2
    return x, np.asarray(factors @ share / share.sum(), dtype=float)


def form_factor_fit(task: Task, scatter: float) -> tuple[float, float, float]:
    """Return the radius (rad/px), the scale c and the misfit of √(ring mean) against √(c P)."""
    ring = np.rint(task.radius[task.open_pixels]).astype(np.int64)
    number = np.bincount(ring)
    total = np.bincount(ring, weights=task.image[task.open_pixels])
    chosen = np.flatnonzero((number >= 8) & (np.arange(number.size) > 2))
    # rings are fluctuating sums of speckles: relative error ~ 1/√speckles, whatever the photons
    root = np.sqrt(np.maximum(total[chosen] / number[chosen], 0.0))
    weight = np.sqrt(number[chosen])
    shape = np.sqrt(law_average(np.multiply.outer(RADII, chosen.astype(float)), 1.0, scatter))
    scale = shape @ (weight * root) / (shape**2 @ weight)
    misfit = ((root - scale[:, None] * shape) ** 2) @ weight / (weight * root**2).sum()
    best = int(np.argmin(misfit))
    return float(RADII[best]), float(scale[best] ** 2), float(misfit[best])


def flatten(task: Task, radius: float, scale: float) -> Flattened:
    """Return E² − 1 with E² = y/(c P), weighted by its signal-to-noise and tapered."""
    rho = task.radius
    p = law_average(rho, radius, law_scatter(task))
    noise = max(1.0 / (2.0 * scale), 0.01)
    reach = min(0.5 * min(task.image.shape), rho.max())
    weight = p / (p + noise) * np.exp(-0.9 * (rho / reach) ** 2) * task.open_pixels
    # what the form factor does not explain (centre, background) is levelled ring by ring
    excess = np.where(task.open_pixels, task.image / np.maximum(scale * p, 1e-12), 1.0) - 1.0
    mean = float((excess * weight).sum() / weight.sum())
    return Flattened((excess - mean) * task.open_pixels, weight, task.centre, task.blur)


def law_scatter(task: Task) -> float:
    """Return the relative width of the areas that the task assumes."""
    return 0.0 if task.equal else task.scatter
