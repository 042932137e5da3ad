"""One-dimensional curves: crossings, resampling with uncertainty, smoothing, cumulative shape, shift.

In: x (increasing) and y of any measured curve. Out: numbers and curves on another grid.
Nothing here knows of edges or lines; `spectra`, `emitters` and `figures` say what a curve means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def first_crossing(x: ArrayLike, y: ArrayLike, level: float) -> float:
    """Return where a curve first rises through `level`, by linear interpolation.

    Parameters
    ----------
    x, y : array of shape (n,)
        The curve; x increases.
    level : float
        In units of y.

    Returns
    -------
    float
        In units of x; NaN when the curve never rises through the level.

    Examples
    --------
    >>> first_crossing([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], 0.25)
    0.25
    """
    grid, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rises = np.flatnonzero((values[:-1] < level) & (values[1:] >= level))
    if rises.size == 0:
        return float("nan")
    i = int(rises[0])
    return float(
        grid[i] + (level - values[i]) * (grid[i + 1] - grid[i]) / (values[i + 1] - values[i])
    )


def resample(
    x: ArrayLike, y: ArrayLike, new_x: ArrayLike, sigma: ArrayLike | None = None
) -> tuple[Floats, Floats | None]:
    """Interpolate linearly; beyond the ends the end values are held.

    The uncertainty of y' = (1−t) y_i + t y_{i+1} is sqrt((1−t)² σ_i² + t² σ_{i+1}²) for independent points.

    Parameters
    ----------
    x, y : array of shape (n,)
        The curve.
    new_x : array of shape (m,)
        Where it is wanted, in units of x.
    sigma : array of shape (n,), optional
        Standard uncertainty of y.

    Returns
    -------
    y, sigma : arrays of shape (m,)
        `sigma` is None when none was given.

    Examples
    --------
    >>> y, s = resample([0.0, 1.0], [0.0, 2.0], [0.5], sigma=[1.0, 1.0])
    >>> float(y[0]), round(float(s[0]), 4)
    (1.0, 0.7071)
    """
    old, values, grid = (np.asarray(v, dtype=float) for v in (x, y, new_x))
    new_y = np.interp(grid, old, values)
    if sigma is None:
        return new_y, None
    spread = np.asarray(sigma, dtype=float)
    right = np.clip(np.searchsorted(old, grid), 1, old.size - 1)
    t = np.clip((grid - old[right - 1]) / (old[right] - old[right - 1]), 0.0, 1.0)
    return new_y, np.hypot((1 - t) * spread[right - 1], t * spread[right])


def gaussian_smooth(x: ArrayLike, y: ArrayLike, width: float) -> Floats:
    """Convolve with a Gaussian of standard deviation `width` on a grid of any spacing.

    Each point is the mean of the curve under the normalised kernel, with trapezoidal weights, so a
    constant stays a constant and a straight line stays straight away from the ends.

    Examples
    --------
    >>> bool(np.allclose(gaussian_smooth([0.0, 1.0, 3.0], [2.0, 2.0, 2.0], 0.7), 2.0))
    True
    """
    grid, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if width <= 0:
        return values.copy()
    if grid.size > 3000:  # the kernel is a matrix: smooth long curves piece by piece
        pieces = np.array_split(np.arange(grid.size), grid.size // 1000)
        reach = 6 * width
        parts = []
        for piece in pieces:
            near = (grid >= grid[piece[0]] - reach) & (grid <= grid[piece[-1]] + reach)
            local = (
                gaussian_smooth(grid[near], values[near], width)
                if near.sum() <= 3000
                else values[near]
            )
            parts.append(local[np.isin(np.flatnonzero(near), piece)])
        return np.concatenate(parts)
    kernel = np.exp(-0.5 * ((grid[:, None] - grid[None, :]) / width) ** 2) * np.gradient(grid)
    return np.asarray((kernel @ values) / kernel.sum(axis=1))


def cumulative_shape(y: ArrayLike) -> Floats:
    """Return c_j = Σ_{i≤j} max(y_i, 0) / Σ_i max(y_i, 0), along the last axis.

    Examples
    --------
    >>> cumulative_shape([1.0, -1.0, 3.0]).tolist()
    [0.25, 0.25, 1.0]
    """
    positive = np.maximum(np.asarray(y, dtype=float), 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    return np.asarray(np.cumsum(positive, axis=-1) / np.where(total > 0, total, 1.0))


def correlation_length(residual: ArrayLike) -> float:
    """Return how many neighbouring points of a residual miss together: 1 + 2 Σ ρ_k up to its first zero.

    The variance of a fit's parameters is that of independent points times this length.

    Examples
    --------
    >>> correlation_length([1.0, -1.0, 1.0, -1.0])
    1.0
    """
    free = np.asarray(residual, dtype=float)
    free = free - free.mean()
    correlation = np.correlate(free, free, "full")[free.size - 1 :]
    correlation = correlation / max(float(correlation[0]), 1e-300)
    first = int(np.argmax(correlation < 0)) or correlation.size
    return float(1 + 2 * correlation[1:first].sum())


def best_shift(
    x: ArrayLike, y: ArrayLike, other_x: ArrayLike, other_y: ArrayLike, reach: float, step: float
) -> tuple[float, float]:
    """Return the shift of the second curve that maximises Pearson's r, and that r.

    The grid of shifts is refined by a parabola through the three best points.

    Parameters
    ----------
    x, y, other_x, other_y : arrays
        Two curves; they are compared on the part of x that stays covered at every shift.
    reach, step : float
        Shifts from −reach to +reach in `step`, in units of x.

    Returns
    -------
    shift, r : float
        ``other(x − shift)`` lies on ``y(x)``; (NaN, NaN) when the curves share too little.
    """
    grid, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    other, heights = np.asarray(other_x, dtype=float), np.asarray(other_y, dtype=float)
    inside = (grid >= other[0] + reach) & (grid <= other[-1] - reach)
    if inside.sum() < 5:
        return float("nan"), float("nan")
    shifts = np.arange(-reach, reach + step / 2, step)
    moved = np.interp(grid[inside][None, :] - shifts[:, None], other, heights)
    target = values[inside] - values[inside].mean()
    moved = moved - moved.mean(axis=1, keepdims=True)
    norm = np.sqrt((moved**2).sum(axis=1) * (target**2).sum())
    r = (moved @ target) / np.where(norm > 0, norm, np.inf)
    best = int(np.argmax(r))
    if not 0 < best < r.size - 1:
        return float(shifts[best]), float(r[best])
    left, centre, right = r[best - 1 : best + 2]
    bend = left - 2 * centre + right
    offset = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(shifts[best] + offset * step), float(centre - 0.25 * (left - right) * offset)
