"""Differences: where the counts ask for a further disk.

In: a fitted structure and the counts. Out: the map of the likelihood's gradient by the weight of one
more disk, in standard errors and in shares of a mean disk, and its highest points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from matterscope.physics.fourier import disk_factor
from matterscope.scattering.refinement import Counts, Fit, Structure, intensity
from matterscope.scattering.superposition import PATTERSON_GRID

Floats = NDArray[np.float64]

NEAR_GRID = 240
"""Points per axis of the map of an oversampled frame, over twice the extent."""
SOFT = 0.5
"""Share of a disk's own intensity that softens the zeros of the model while disks are missing."""


@dataclass(frozen=True)
class Missing:
    """The score of a further disk at every point of the field, centred.

    Parameters
    ----------
    score : array of shape (size, size)
        Gradient of the log likelihood by the weight of the disk over its standard error (z).
    norm : float
        1 / standard error: a missing mean disk stands near this height.
    axes : two arrays of shape (size,), radians per pixel
        Places of rows and columns.
    """

    score: Floats
    norm: float
    axes: tuple[Floats, Floats]

    @property
    def noise(self) -> float:
        """Return the robust spread of the map: 1 for a complete model, more while disks are missing."""
        some = self.score[::3, ::3]  # finer than the resolution
        return float(1.4826 * np.median(np.abs(some - np.median(some))))


def missing_disk(fit: Fit, counts: Counts, soft: float = SOFT) -> Missing:
    """Return the score map of one more mean disk.

    With I = |F|² and dI = 2 w f Re(F* e^{ik·u}) for a weight w at u, the gradient of the Poisson likelihood
    is Σ (y/m − 1) dI/dw; m = I + soft f² instead of I keeps the zeros of an incomplete model from ruling
    it. With soft = 0 this is the exact score test.
    """
    structure = fit.structure
    radius = float(np.sqrt((structure.radius**2).mean()))
    ky, kx = counts.ky - structure.offset[0], counts.kx - structure.offset[1]
    rows, columns = counts.index
    q = np.hypot(ky[rows], kx[columns])
    f = structure.scale * radius**2 * disk_factor(q * radius)
    amplitude = amplitude_of(structure, ky, kx)[rows, columns]
    # under partial coherence the fringes of the model are blurred, its amplitudes are not
    seen = intensity(structure, counts)[0] if counts.blur > 0 else np.abs(amplitude) ** 2
    model = seen + counts.noise + 1e-9
    safe = model + soft * f**2
    field = (counts.value - counts.weight * model) / safe * np.conj(amplitude) * 2.0 * f
    # the mean of cos² over the places of the disk is 1/2
    norm = np.sqrt(2.0 * (counts.weight * (f * np.abs(amplitude)) ** 2 / safe).sum())
    norm = max(float(norm), 1e-30)  # a model that has died away asks for nothing
    if max(ky.size, kx.size) > PATTERSON_GRID:
        score, axes = _near_map(field, (rows, columns), (ky, kx), float(np.sqrt(fit.freedom.area)))
    else:
        score, axes = _whole_map(field, (rows, columns), (ky, kx))
    return Missing(np.asarray(score / norm, dtype=float), float(norm), axes)


def _whole_map(
    field: NDArray[np.complex128], index: tuple[Any, Any], k: tuple[Floats, Floats]
) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return Re Σ field e^{+ik·u} over the whole field of view; `field` holds conj(F)."""
    (ky, kx), size = k, PATTERSON_GRID
    plane = np.zeros((size, size), dtype=complex)
    plane[index] = field
    spectrum = fft.fftshift(fft.ifft2(plane)) * size**2
    turn = 2.0 * np.pi * (np.arange(size) - size // 2) / size
    step_y, step_x = float(ky[1] - ky[0]), float(kx[1] - kx[0])
    axes = (turn / step_y, turn / step_x)
    spectrum *= np.exp(1j * axes[0] * ky[0])[:, None] * np.exp(1j * axes[1] * kx[0])[None, :]
    return spectrum.real, axes


def _near_map(
    field: NDArray[np.complex128],
    index: tuple[Any, Any],
    k: tuple[Floats, Floats],
    extent: float,
) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return the same where disks may lie: an oversampled frame has a field much wider than that."""
    plane = np.zeros((k[0].size, k[1].size), dtype=complex)
    plane[index] = field
    axis = np.linspace(-extent, extent, NEAR_GRID)
    waves = [np.exp(1j * np.outer(axis, each)) for each in k]
    return (waves[0] @ plane @ waves[1].T).real, (axis, axis)


def disk_weights(fit: Fit, counts: Counts) -> Floats:
    """Return the weight that the counts give to each disk of a fit with one radius; 1 for a true one.

    One Gauss–Newton step: the residual is Σ (w_j − 1) 2 Re(F* F_j), F_j the amplitude of disk j.
    """
    structure = fit.structure
    rows, columns = counts.index
    ky, kx = counts.ky - structure.offset[0], counts.kx - structure.offset[1]
    r = float(structure.radius[0])
    factor = structure.scale * r**2 * disk_factor(np.hypot(ky[rows], kx[columns]) * r)
    each = np.exp(1j * np.outer(ky, structure.y))[rows]
    each *= np.exp(1j * np.outer(kx, structure.x))[columns]
    each *= factor[:, None]
    total = each.sum(axis=1)
    slope = 2.0 * (total.real[:, None] * each.real + total.imag[:, None] * each.imag)
    model = np.abs(total) ** 2 + counts.noise
    seen = counts.value / counts.weight
    root = np.sqrt(counts.weight / np.maximum(0.5 * (seen + model), 0.05))
    slope *= root[:, None]
    normal = slope.T @ slope
    # neighbours nearer than the resolution share a weight: held a little
    diagonal = np.diag_indices_from(normal)
    normal[diagonal] = 1.03 * normal[diagonal] + 1e-12 * normal[diagonal].max() + 1e-30
    return np.asarray(1.0 + np.linalg.solve(normal, slope.T @ ((seen - model) * root)), dtype=float)


def amplitude_of(structure: Structure, ky: Floats, kx: Floats) -> NDArray[np.complex128]:
    """Return F on a grid of pixels, given their distances from the centre."""
    column, row = np.exp(1j * np.outer(ky, structure.y)), np.exp(1j * np.outer(kx, structure.x))
    if np.ptp(structure.radius) < 1e-9 * structure.radius[0]:
        r = structure.radius[0]
        factor = disk_factor(np.hypot(ky[:, None], kx[None, :]) * r) * structure.scale * r**2
        equal: NDArray[np.complex128] = (column @ row.T) * factor
        return equal
    total = np.zeros((ky.size, kx.size), dtype=complex)
    q = np.hypot(ky[:, None], kx[None, :])
    # a cubic of the profile is smooth enough on a quarter pixel
    nodes = np.arange(0.0, q.max() + 1.0, 0.25)
    for j, r in enumerate(structure.radius):
        factor = np.interp(q, nodes, disk_factor(nodes * r) * structure.scale * r**2)
        total += np.outer(column[:, j], row[:, j]) * factor
    return total


def free_places(
    axes: tuple[Floats, Floats], structure: Structure, radius: float, extent: float
) -> NDArray[np.bool_]:
    """Return the places of a map clear of the disks, inside the box that the extent still allows."""
    rows, columns = axes
    y, x = structure.y, structure.x
    free = np.logical_and.outer(
        (rows >= y.max() - extent) & (rows <= y.min() + extent),
        (columns >= x.max() - extent) & (columns <= x.min() + extent),
    )
    for v, u, r in zip(y, x, structure.radius, strict=True):
        blank(free, axes, (v, u), 0.9 * (r + 0.5 * radius))
    return np.asarray(free, dtype=np.bool_)


def maxima(
    missing: Missing,
    structure: Structure,
    threshold: float,
    radius: float,
    most: int,
    extent: float,
) -> list[tuple[float, float, float]]:
    """Return the highest points (y, x, z) clear of the disks, inside the box the extent still allows."""
    mean = float(np.sqrt((structure.radius**2).mean()))
    free = free_places(missing.axes, structure, mean, extent)
    map_ = np.where(free, missing.score, -np.inf)
    return [p[:3] for p in peaks_of(map_, missing.axes, 1.8 * radius, most, threshold)]


def peaks_of(
    map_: Floats, axes: tuple[Floats, Floats], apart: float, most: int, threshold: float
) -> list[tuple[float, float, float, tuple[int, int]]]:
    """Return the highest points (y, x, value, index) at least `apart` from each other; the map is used up."""
    found: list[tuple[float, float, float, tuple[int, int]]] = []
    for _ in range(most):
        row, column = np.unravel_index(int(np.argmax(map_)), map_.shape)
        value = float(map_[row, column])
        if value < threshold:
            break
        y, x = float(axes[0][row]), float(axes[1][column])
        found.append((y, x, value, (int(row), int(column))))
        blank(map_, axes, (y, x), apart)
    return found


def blank(
    map_: NDArray[Any], axes: tuple[Floats, Floats], place: tuple[float, float], reach: float
) -> None:
    """Set a map to −∞ (or False) within `reach` of a place."""
    y, x = place
    rows = np.flatnonzero(np.abs(axes[0] - y) < reach)
    columns = np.flatnonzero(np.abs(axes[1] - x) < reach)
    if rows.size and columns.size:
        block = np.ix_(rows, columns)
        near = (axes[0][rows] - y)[:, None] ** 2 + (axes[1][columns] - x)[None, :] ** 2 < reach**2
        map_[block] = np.where(near, False if map_.dtype == np.bool_ else -np.inf, map_[block])
