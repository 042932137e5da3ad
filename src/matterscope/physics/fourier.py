"""Coherent diffraction kernels: q-grids, form and structure factors, separable sums, detectors.

In: positions, radii or densities on a grid, and q-axes. Out: amplitudes, intensities, masks.
Lengths and q are reciprocal in any unit; q includes 2π; images are (qy, qx) with q = 0 at index n // 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from matterscope.core.errors import ConfigError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

TABLE_STEP = 1.0 / 32.0
TABLE_END = 256.0


@dataclass(frozen=True)
class Grid:
    """A detector's grid of q: shape, step of each axis and the fractional index of q = 0.

    Parameters
    ----------
    shape : (ny, nx)
        Pixels.
    step : (float, float), 1/length
        q per pixel along y and x.
    centre : (float, float), px, optional
        Index of q = 0; None puts it at ``n // 2``.
    """

    shape: tuple[int, int]
    step: tuple[float, float]
    centre: tuple[float, float] | None = None

    @property
    def origin(self) -> tuple[float, float]:
        """Return the fractional index of q = 0."""
        return self.centre if self.centre is not None else (self.shape[0] // 2, self.shape[1] // 2)

    def axes(self) -> tuple[Floats, Floats]:
        """Return qy and qx, 1/length."""
        qy, qx = (
            (np.arange(n) - c) * s
            for n, c, s in zip(self.shape, self.origin, self.step, strict=True)
        )
        return np.asarray(qy, dtype=float), np.asarray(qx, dtype=float)

    def modulus(self) -> Floats:
        """Return |q| of every pixel, 1/length."""
        qy, qx = self.axes()
        return np.hypot(qy[:, None], qx[None, :])

    def radius(self) -> Floats:
        """Return the distance of every pixel from q = 0, in steps of x."""
        return self.modulus() / self.step[1]


def detector_step(wavelength: float, distance: float, pixel: float) -> float:
    """Return q per pixel next to the beam, q = (4π/λ) sin(½ arctan(p/D)), in 1/unit of wavelength.

    Examples
    --------
    >>> round(detector_step(0.1, 5e9, 55e3) * 5e9 * 0.1 / 55e3 / (2 * np.pi), 9)
    1.0
    """
    return float(4.0 * np.pi / wavelength * np.sin(0.5 * np.arctan(pixel / distance)))


def disk_factor(x: Any) -> Floats:
    """Return the amplitude form factor of a disk, h(x) = 2 J₁(x)/x with h(0) = 1.

    Examples
    --------
    >>> float(disk_factor(0.0)), bool(abs(disk_factor(3.8317059702)) < 1e-10)
    (1.0, True)
    """
    values = np.asarray(x, dtype=float)
    safe = np.where(values == 0.0, 1.0, values)
    return np.where(values == 0.0, 1.0, 2.0 * special.j1(safe) / safe)


def sphere_factor(x: Any) -> Floats:
    """Return the amplitude form factor of a sphere, 3 (sin x − x cos x)/x³ with limit 1.

    Examples
    --------
    >>> float(sphere_factor(0.0)), bool(abs(sphere_factor(4.4934094579)) < 1e-9)
    (1.0, True)
    """
    values = np.asarray(x, dtype=float)
    small = np.abs(values) < 1e-2
    safe = np.where(small, 1.0, values)
    exact = 3.0 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.where(small, 1.0 - values**2 / 10.0, exact)


@cache
def bessel_tables() -> tuple[Floats, Floats]:
    """Return h(x) = 2 J₁(x)/x and J₀(x) with their derivatives at steps of `TABLE_STEP`.

    Each table has shape (n, 2): value and derivative × step, for cubic Hermite interpolation, whose
    error is step⁴/384 · max|f⁗| < 3e-9.
    """
    x = np.arange(0.0, TABLE_END + 2 * TABLE_STEP, TABLE_STEP)
    h, j0 = disk_factor(x), special.j0(x)
    safe = np.where(x == 0.0, 1.0, x)
    slope = np.where(x == 0.0, 0.0, 2.0 * (j0 - h) / safe)
    disk = np.stack([h, slope * TABLE_STEP], axis=1)
    bessel = np.stack([j0, -special.j1(x) * TABLE_STEP], axis=1)
    return np.ascontiguousarray(disk), np.ascontiguousarray(bessel)


def phases(q: Floats, positions: Floats) -> Complexes:
    """Return exp(i q r) for every pair; shape (len(q), len(positions))."""
    waves: Complexes = np.exp(
        1j * np.multiply.outer(np.asarray(q, dtype=float), np.asarray(positions))
    )
    return waves


def points_amplitude(
    qy: Floats, qx: Floats, y: Floats, x: Floats, weights: Floats | None = None
) -> Complexes:
    """Return A(q) = Σ_j w_j exp(i q·r_j) on a grid, as one matrix product of separable phases.

    Parameters
    ----------
    qy, qx : arrays of shape (ny,) and (nx,), 1/length
        Axes.
    y, x : arrays of shape (n,), length
        Positions.
    weights : array of shape (n,), optional
        Scattering lengths; 1 by default.

    Returns
    -------
    array of shape (ny, nx)

    Examples
    --------
    >>> a = points_amplitude(np.zeros(1), np.zeros(1), np.arange(3.0), np.arange(3.0))
    >>> float(a[0, 0].real)
    3.0
    """
    column = phases(qy, y)
    if weights is not None:
        column = column * np.asarray(weights)
    product: Complexes = column @ phases(qx, x).T
    return product


def disks_amplitude(grid: Grid, y: Floats, x: Floats, radius: Floats) -> Complexes:
    """Return F(q) = Σ_j πR_j² h(qR_j) exp(i q·r_j) of disks; F(0) = Σ πR².

    Disks of equal radius share one matrix product; the form factor is evaluated once per
    distinct |q| (arXiv 2211.08194, eq. 2).

    Examples
    --------
    >>> f = disks_amplitude(Grid((3, 3), (0.1, 0.1)), np.zeros(1), np.zeros(1), np.array([2.0]))
    >>> bool(np.isclose(f[1, 1].real, np.pi * 4.0))
    True
    """
    qy, qx = grid.axes()
    modulus, where = distinct_modulus(grid)
    column, row = phases(qy, y), phases(qx, x)
    sizes = np.unique(radius)
    if sizes.size == 1:
        factor = np.pi * sizes[0] ** 2 * disk_factor(modulus * sizes[0])
        equal: Complexes = (column @ row.T) * factor[where]
        return equal
    total = np.zeros(grid.shape, dtype=complex)
    term, factor = np.empty(grid.shape, dtype=complex), np.empty(grid.shape)
    for j, size in enumerate(radius):
        profile = np.pi * size**2 * _disk_profile(modulus * size)
        np.take(profile, where, out=factor, mode="clip")
        np.multiply(column[:, j, None], row[None, :, j], out=term)
        term *= factor
        total += term
    return total


@cache
def _disk_nodes() -> tuple[Floats, Floats]:
    x = np.arange(0.0, 100.0, 0.002)
    return x, disk_factor(x)


def _disk_profile(x: Floats) -> Floats:
    """Return h(x) from a table: linear between nodes 0.002 apart is good to 1.3e-7 of h(0)."""
    nodes, values = _disk_nodes()
    return np.interp(x, nodes, values) if x.max(initial=0.0) < nodes[-1] else disk_factor(x)


@lru_cache(maxsize=16)
def distinct_modulus(grid: Grid) -> tuple[Floats, NDArray[np.intp]]:
    """Return the distinct |q| of a grid and, per pixel, the index of its |q|."""
    squares = grid.modulus() ** 2
    keys = np.round(squares / grid.step[1] ** 2, 9)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.sqrt(squares.ravel()[first]), inverse.reshape(grid.shape)


def density_amplitude(
    density: NDArray[Any], pixel: float, grid: Grid, origin: tuple[float, float] = (0.0, 0.0)
) -> Complexes:
    """Return F(q) = p² Σ ρ(r) exp(i q·r) of any density on a raster: exact, separable, not padded.

    Parameters
    ----------
    density : array of shape (my, mx)
        Density at the points ``origin + index × pixel``.
    pixel : float, length
        Raster step.
    grid : Grid
        Where the amplitude is wanted; any step, also finer than 2π over the raster's width.
    origin : (float, float), length
        Position (y, x) of the first raster point.
    """
    qy, qx = grid.axes()
    ys: Floats = origin[0] + pixel * np.arange(density.shape[0], dtype=float)
    xs: Floats = origin[1] + pixel * np.arange(density.shape[1], dtype=float)
    amplitude: Complexes = phases(qy, ys) @ density @ phases(qx, xs).T
    return amplitude * pixel**2


def propagator(
    frequency_y: Floats, frequency_x: Floats, wavelength: float, distance: float
) -> Complexes:
    """Return the Fresnel propagator exp(−iπλz(f_x² + f_y²)); f in cycles per length.

    Examples
    --------
    >>> h = propagator(np.array([0.1]), np.array([0.2]), 0.5, 3.0)
    >>> bool(np.isclose(abs(h[0, 0]), 1.0))
    True
    """
    squares = np.add.outer(np.asarray(frequency_y) ** 2, np.asarray(frequency_x) ** 2)
    wave: Complexes = np.exp(-1j * np.pi * wavelength * distance * squares)
    return wave


def bin_pixels(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Sum blocks of factor × factor pixels of the last two axes; the remainder at the end is cut.

    Examples
    --------
    >>> bin_pixels(np.ones((5, 4)), 2).tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    ny, nx = image.shape[-2] // factor, image.shape[-1] // factor
    cut = image[..., : ny * factor, : nx * factor]
    blocks = cut.reshape(*image.shape[:-2], ny, factor, nx, factor)
    summed: NDArray[Any] = blocks.sum(axis=(-3, -1))
    return summed


def beam_stop(
    grid: Grid, radius: float, bar_width: float = 0.0, bar_angle: float = 0.0
) -> NDArray[np.bool_]:
    """Return the pixels that a round beam stop on a bar leaves open.

    Parameters
    ----------
    grid : Grid
        Detector.
    radius : float, px
        Pixels nearer to q = 0 than this are covered; 0 covers none.
    bar_width : float, px
        Width of the bar that holds it; 0 for none.
    bar_angle : float, rad
        Direction of the bar from +x towards +y.

    Examples
    --------
    >>> int((~beam_stop(Grid((9, 9), (1.0, 1.0)), 1.5)).sum())
    9
    """
    cy, cx = grid.origin
    dy, dx = np.arange(grid.shape[0])[:, None] - cy, np.arange(grid.shape[1])[None, :] - cx
    open_pixels = np.hypot(dy, dx) >= radius
    if bar_width > 0:
        along = dx * np.cos(bar_angle) + dy * np.sin(bar_angle)
        across = -dx * np.sin(bar_angle) + dy * np.cos(bar_angle)
        open_pixels &= ~((along > 0) & (np.abs(across) < 0.5 * bar_width))
    return np.asarray(open_pixels, dtype=np.bool_)


def hard_disk_compressibility(area_fraction: float) -> float:
    """Return S(0) = (1 − φ)³/(1 + φ) of hard disks in scaled-particle theory (Helfand et al. 1961).

    Examples
    --------
    >>> hard_disk_compressibility(0.0)
    1.0
    """
    if not 0.0 <= area_fraction < 1.0:
        raise ConfigError(
            "area fraction of hard disks is out of range", got=area_fraction, expected="[0, 1)"
        )
    return float((1.0 - area_fraction) ** 3 / (1.0 + area_fraction))


def structure_factor(q: Floats, y: Floats, x: Floats, directions: int = 64) -> Floats:
    """Return S(q) = |Σ exp(i q·r)|²/N averaged over directions of q.

    Examples
    --------
    >>> s = structure_factor(np.array([0.5, 5.0]), np.zeros(1), np.zeros(1))
    >>> bool(np.allclose(s, 1.0))
    True
    """
    angle = np.pi * np.arange(directions) / directions
    along = np.multiply.outer(np.cos(angle), x) + np.multiply.outer(np.sin(angle), y)
    wave = np.exp(1j * np.multiply.outer(np.asarray(q, dtype=float), along)).sum(axis=-1)
    return np.asarray((np.abs(wave) ** 2).mean(axis=1) / max(len(x), 1), dtype=float)
