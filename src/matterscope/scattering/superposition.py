"""Patterson superposition: from the vectors between disks to the disks.

In: a flattened pattern (form factor divided out). Out: the Patterson map, and lists of positions
grown by Buerger's minimum function, scored against the pattern. Lengths are radians per pixel:
a disk at u gives the phase k·u in pixel k, so a full turn is the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]

PATTERSON_GRID = 360
"""Points per axis of the Patterson: 12.5 px of the published box in its field of 4500 px."""
ADMIT = 0.35
"""A superposition peak counts as a disk above this share of the median accepted height."""
MOST = 64


@dataclass(frozen=True)
class Flattened:
    """E² − 1 on the pixel grid, its weights, and the centre from which pixels are counted."""

    excess: Floats
    weight: Floats
    centre: tuple[float, float]
    blur: float = 0.0


def patterson(flat: Flattened, size: int = PATTERSON_GRID) -> Floats:
    """Return the autocorrelation map, one pair of N equal disks having the height 1/N.

    A(ρ) = Σ_k w_k (E²_k − 1) cos(k·ρ) / Σ_k w_k; index size // 2 is ρ = 0.
    """
    ny, nx = flat.excess.shape
    field = np.zeros((size, size))
    field[:ny, :nx] = flat.excess * flat.weight
    spectrum = fft.fft2(field)
    turn = 2.0 * np.pi * fft.fftfreq(size)
    cy, cx = flat.centre
    spectrum *= np.exp(1j * turn * cy)[:, None] * np.exp(1j * turn * cx)[None, :]
    if flat.blur > 0:
        # partial coherence damps the long vectors; below a fifth there is more noise than vector
        damp = np.exp(-0.5 * flat.blur**2 * np.add.outer(turn**2, turn**2))
        spectrum /= np.maximum(damp, 0.2)
    return np.asarray(fft.fftshift(spectrum.real) / flat.weight.sum(), dtype=float)


def strongest(values: Floats, count: int, hole: float) -> tuple[NDArray[np.intp], Floats]:
    """Return the offsets (dy, dx) from the middle and heights of the `count` highest local maxima.

    One of each pair ±u is kept; maxima nearer than `hole` grid points to the middle belong to the origin.
    """
    core = values[1:-1, 1:-1]
    peak = np.ones(core.shape, dtype=bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                shifted = values[
                    1 + dy : values.shape[0] - 1 + dy, 1 + dx : values.shape[1] - 1 + dx
                ]
                peak &= core >= shifted
    middle = values.shape[0] // 2
    rows, columns = np.nonzero(peak)
    rows, columns = rows + 1 - middle, columns + 1 - middle
    keep = (np.hypot(rows, columns) > hole) & ((rows > 0) | ((rows == 0) & (columns > 0)))
    rows, columns = rows[keep], columns[keep]
    heights = values[rows + middle, columns + middle]
    order = np.argsort(-heights, kind="stable")[:count]
    return np.stack([rows[order], columns[order]], axis=1), heights[order]


@njit(cache=False)
def _superpose(line, values, iy, disk, xlow, xhigh):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Lower one row of the minimum function by the Patterson shifted to a disk, and blank about it."""
    size = values.shape[0]
    middle = size // 2
    ay, sx = iy - disk[0] + middle, middle - disk[1]
    if ay < 0 or ay >= size:
        line[xlow + middle : xhigh + middle + 1] = np.float32(-1e9)
        return
    source = values[ay]
    for ix in range(max(xlow, -sx), min(xhigh, size - 1 - sx) + 1):
        line[ix + middle] = min(line[ix + middle], source[ix + sx])
    if abs(iy - disk[0]) <= 3:
        for ix in range(max(xlow, disk[1] - 3), min(xhigh, disk[1] + 3) + 1):
            line[ix + middle] = np.float32(-1e9)


@njit(cache=False)
def grow(
    values: NDArray[np.float32], start: NDArray[np.int64], extent: int, admit: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # pragma: no cover - compiled
    """Grow a structure from disk 1 at the origin and disk 2 at `start` by the minimum function.

    M = min over accepted disks of A(x − r_j); its highest point inside the box still allowed by the
    extent is the next disk, and ±3 grid points about it are blanked (Buerger, Vector Space, 1959).

    Returns
    -------
    (positions of shape (n, 2) in grid points, heights of shape (n,))
    """
    size = values.shape[0]
    middle = size // 2
    found = np.zeros((most, 2), np.int64)
    heights = np.zeros(most, np.float64)
    found[1, 0], found[1, 1] = start[0], start[1]
    first = values[middle + start[0], middle + start[1]]
    heights[0] = first
    heights[1] = first
    least = np.full((size, size), np.float32(1e9))
    added = 0
    count = 2
    while count < most:
        ylow = max(found[:count, 0].max() - extent, -middle)
        yhigh = min(found[:count, 0].min() + extent, size - 1 - middle)
        xlow = max(found[:count, 1].max() - extent, -middle)
        xhigh = min(found[:count, 1].min() + extent, size - 1 - middle)
        best, by, bx = np.float32(-1e9), 0, 0
        for iy in range(ylow, yhigh + 1):
            for j in range(added, count):
                _superpose(least[iy + middle], values, iy, found[j], xlow, xhigh)
            for ix in range(xlow, xhigh + 1):
                if least[iy + middle, ix + middle] > best:
                    best, by, bx = least[iy + middle, ix + middle], iy, ix
        added = count
        if best < admit * np.median(heights[1:count]) or best <= 0:
            break
        found[count, 0], found[count, 1] = by, bx
        heights[count] = best
        count += 1
    return found[:count].copy(), heights[:count].copy()


@njit(cache=False)
def prefix_scores(
    positions: Floats, ky: Floats, kx: Floats, target: Floats, weight: Floats
) -> Floats:  # pragma: no cover - compiled
    """Return, for each prefix of a list of positions, the weighted correlation of |Σ e^{ik·u}|² with E².

    Entry n is the score of the first n positions; entries 0 and 1 are −1.
    """
    count, pixels = positions.shape[0], ky.size
    real, imag = np.zeros(pixels), np.zeros(pixels)
    scores = np.full(count + 1, -1.0)
    total = weight.sum()
    mean_t = (weight * target).sum() / total
    var_t = (weight * (target - mean_t) ** 2).sum() / total
    for n in range(count):
        sw, sww, swt = 0.0, 0.0, 0.0
        uy, ux = positions[n, 0], positions[n, 1]
        for i in range(pixels):
            angle = ky[i] * uy + kx[i] * ux
            real[i] += np.cos(angle)
            imag[i] += np.sin(angle)
            value = real[i] * real[i] + imag[i] * imag[i]
            sw += weight[i] * value
            sww += weight[i] * value * value
            swt += weight[i] * value * (target[i] - mean_t)
        mean = sw / total
        variance = sww / total - mean * mean
        if n >= 1 and variance > 0 and var_t > 0:
            scores[n + 1] = swt / total / np.sqrt(variance * var_t)
    return scores
