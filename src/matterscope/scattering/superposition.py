"""Patterson superposition: from the vectors between disks to the disks.

In: a flattened pattern (form factor divided out). Out: the Patterson map, and lists of positions
grown by Buerger's minimum function, scored against the pattern. Lengths are radians per pixel:
a disk at u gives the phase k·u in pixel k, so a full turn is the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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


def grow(
    values: NDArray[np.float32], start: NDArray[np.int64], extent: int, admit: float, most: int
) -> tuple[NDArray[np.int64], Floats]:
    """Grow a structure from disk 1 at the origin and disk 2 at `start` by the minimum function.

    M = min over accepted disks of A(x − r_j); its highest point inside the box still allowed by the
    extent is the next disk, and ±3 grid points about it are blanked (Buerger, Vector Space, 1959).

    Returns
    -------
    (positions of shape (n, 2) in grid points, heights of shape (n,))
    """
    middle = values.shape[0] // 2
    found = [np.zeros(2, np.int64), np.asarray(start, dtype=np.int64)]
    first = float(values[middle + found[1][0], middle + found[1][1]])
    heights = [first, first]
    least = np.full(values.shape, np.float32(np.inf), dtype=np.float32)
    added = 0
    while len(found) < most:
        places = np.array(found)
        low = np.maximum(places.max(axis=0) - extent, -middle)
        high = np.minimum(places.min(axis=0) + extent, middle - 1)
        if (high < low).any():
            break
        for place in places[added:]:
            _superpose(least, values, place, low, high)
        added = len(found)
        window = least[
            low[0] + middle : high[0] + middle + 1, low[1] + middle : high[1] + middle + 1
        ]
        row, column = np.unravel_index(int(window.argmax()), window.shape)
        best = float(window[row, column])
        if best < admit * sorted(heights[1:])[(len(heights) - 1) // 2] or best <= 0:
            break
        found.append(low + np.array([row, column]))
        heights.append(best)
    return np.array(found), np.array(heights)


def _superpose(
    least: NDArray[np.float32],
    values: NDArray[np.float32],
    place: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    """Lower a window of the minimum function by the Patterson shifted to a disk, and blank about it.

    What lies beyond the Patterson's edge is not lowered.
    """
    size = values.shape[0]
    middle = size // 2
    first = np.maximum(low, place - middle) + middle
    last = np.minimum(high, place + size - 1 - middle) + middle + 1
    into = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    source = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, place, strict=True))
    np.minimum(least[into], values[source], out=least[into])
    at = place + middle
    least[max(at[0] - 3, 0) : at[0] + 4, max(at[1] - 3, 0) : at[1] + 4] = -np.inf


def prefix_scores(
    positions: Floats,
    axes: tuple[Floats, Floats],
    index: NDArray[np.intp],
    target: Floats,
    weight: Floats,
) -> Floats:
    """Return, for each prefix of a list of positions, the weighted correlation of |Σ e^{ik·u}|² with E².

    Entry n is the score of the first n positions; entries 0 and 1 are −1.
    """
    row = np.exp(1j * np.outer(axes[0], positions[:, 0])).astype(np.complex64)[index[0]]
    column = np.exp(1j * np.outer(axes[1], positions[:, 1])).astype(np.complex64)[index[1]]
    amplitude = np.cumsum(row * column, axis=1)
    value = amplitude.real**2 + amplitude.imag**2
    share = weight / weight.sum()
    centred = target - share @ target
    mean = share @ value
    variance = np.maximum(share @ value**2 - mean**2, 1e-12) * (share @ centred**2)
    scores = np.full(len(positions) + 1, -1.0)
    if variance.size > 1 and variance[1] > 0:
        scores[2:] = (((share * centred) @ value) / np.sqrt(variance))[1:]
    return scores
