"""Levelling: the measured pixels of a pattern, its form factor, and the pattern without it.

In: a frame with its open pixels and centre. Out: counts with Friedel mates summed, the radius that
the rings tell, and E² − 1 with its weights. Lengths are radians per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.fourier import disk_factor
from matterscope.scattering.refinement import Counts
from matterscope.scattering.superposition import Flattened

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


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

    @property
    def axes(self) -> tuple[Floats, Floats]:
        """Return the distances of rows and columns from the centre, px of x."""
        ky = (np.arange(self.image.shape[0], dtype=float) - self.centre[0]) * self.aspect
        kx = np.arange(self.image.shape[1], dtype=float) - self.centre[1]
        return np.asarray(ky, dtype=float), np.asarray(kx, dtype=float)

    @property
    def radius(self) -> Floats:
        """Return the distance of every pixel from the centre, px of x."""
        ky, kx = self.axes
        return np.hypot(ky[:, None], kx[None, :])


def collect(task: Task) -> Counts:
    """Return the measured pixels; Friedel mates are summed when the centre is known to be a pixel."""
    ky, kx = task.axes
    open_pixels, image = task.open_pixels, task.image
    cy, cx = (round(c) for c in task.centre)
    whole = abs(task.centre[0] - cy) + abs(task.centre[1] - cx) < 1e-9
    if task.find_centre or not whole:
        index = np.argwhere(open_pixels).T.astype(np.int64)
        value = image[open_pixels].astype(float)
        return Counts(
            value, np.ones(value.size), np.ascontiguousarray(index), ky, kx, task.noise, task.blur
        )
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
    index = np.stack([rows, columns])[:, keep].astype(np.int64)
    weight = np.where(both, 2.0, 1.0)[keep]
    return Counts(value[keep], weight, np.ascontiguousarray(index), ky, kx, task.noise, task.blur)


def law_average(q: Floats, radius: float, scatter: float) -> Floats:
    """Return P(q) = ⟨r⁴ h²(qr)⟩/⟨r⁴⟩ over areas with a normal law of relative width `scatter`."""
    if scatter <= 0:
        return disk_factor(q * radius) ** 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    areas = np.maximum(1.0 + scatter * nodes, 0.02)
    share = weights * areas**2
    factors = disk_factor(np.multiply.outer(q, radius * np.sqrt(areas))) ** 2
    return np.asarray(factors @ share / share.sum(), dtype=float)


def form_factor_fit(task: Task, scatter: float) -> tuple[float, float, float]:
    """Return the radius (rad/px), the scale c and the misfit of √(ring mean) against √(c P)."""
    ring = np.rint(task.radius).astype(np.int64)
    number = np.bincount(ring[task.open_pixels])
    total = np.bincount(ring[task.open_pixels], weights=task.image[task.open_pixels])
    q = np.flatnonzero((number >= 8) & (np.arange(number.size) > 2)).astype(float)
    chosen = q.astype(int)
    # rings are fluctuating sums of speckles: relative error ~ 1/√speckles, whatever the photons
    root = np.sqrt(np.maximum(total[chosen] / number[chosen], 0.0))
    weight = np.sqrt(number[chosen])
    best = (np.inf, 0.0, 0.0)
    for radius in np.geomspace(0.012, 0.6, 90):
        shape = np.sqrt(law_average(q, float(radius), scatter))
        scale = (weight * root * shape).sum() / (weight * shape**2).sum()
        misfit = float((weight * (root - scale * shape) ** 2).sum() / (weight * root**2).sum())
        if misfit < best[0]:
            best = (misfit, float(radius), float(scale**2))
    return best[1], best[2], best[0]


def flatten(task: Task, radius: float, scale: float) -> Flattened:
    """Return E² − 1 with E² = y/(c P), weighted by its signal-to-noise and tapered."""
    rho = task.radius
    shape = law_average(np.arange(0.0, rho.max() + 2.0, 0.25), radius, law_scatter(task))
    p = np.interp(rho, np.arange(0.0, rho.max() + 2.0, 0.25), shape)
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
