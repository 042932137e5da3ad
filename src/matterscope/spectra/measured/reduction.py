"""Reduction of an absorption spectrum: where the edge is, and its edge-normalised shape.

In: energy (eV) and raw absorption. Out: pre-edge line at 0, post-edge at 1, with every choice recorded.
μ_norm(E) = (μ(E) − pre(E)) / (post(E0) − pre(E0)); Newville, Rev. Mineral. Geochem. 78, 33 (2014).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from matterscope.physics.curves import first_crossing, gaussian_smooth

Floats = NDArray[np.float64]

PRE_EDGE = (-150.0, -30.0)
"""eV from E0; clipped to the data."""
POST_EDGE = (60.0, 500.0)


@dataclass
class Rise:
    """The largest rise of a spectrum."""

    position: float
    """eV; NaN when there is none."""
    height: float
    """In the units of μ."""
    significance: float
    """Height over the scatter of the points."""
    swapped: bool
    """The largest step goes down, and not on the far side of a white line: I0 and It are exchanged."""


@dataclass
class Normalised:
    """An edge-normalised spectrum and how it was made."""

    energy: Floats
    mu: Floats
    e0: float
    """eV; position of the rise around which it was normalised."""
    step: float
    """Edge step in the units of the raw μ."""
    method: str
    """edge, already normalised, post-edge too short, no pre-edge."""
    record: dict[str, Any] = field(default_factory=dict)


def locate_rise(energy: ArrayLike, mu: ArrayLike) -> Rise:
    """Return the largest step of a curve: mean of 2–15 eV above minus mean of 2–15 eV below.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and any unit
        The ends are held constant, so an edge near an end is seen with what there is of it.

    Examples
    --------
    >>> e = np.arange(7000.0, 7200.0)
    >>> round(locate_rise(e, np.tanh((e - 7112.0) / 2)).position)
    7112
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    step = max(0.25, (grid[-1] - grid[0]) / 8000)
    fine = np.arange(grid[0] - 20, grid[-1] + 20 + step, step)
    smooth = gaussian_filter1d(np.interp(fine, grid, values), 0.7 / step, mode="nearest")
    total = np.concatenate([[0.0], np.cumsum(smooth)])
    near, far = max(round(2 / step), 1), round(15 / step)
    index = np.clip(np.arange(fine.size)[:, None] + [-far, -near, near, far], 0, fine.size)
    sums = total[index]
    contrast = (sums[:, 3] - sums[:, 2]) / (far - near) - (sums[:, 1] - sums[:, 0]) / (far - near)
    # a jump of the first points is no edge: it has no side before it
    contrast[(fine < grid[0] + 2.0) | (fine > grid[-1])] = 0.0
    best = int(np.argmax(contrast))
    scatter = point_scatter(grid, values)
    low, high = max(best - round(8 / step), 0), best + round(8 / step)
    steepest = low + int(np.argmax(np.gradient(smooth)[low:high]))
    height, lowest = float(contrast[best]), int(np.argmin(contrast))
    beyond = 0 < fine[lowest] - fine[best] < 35
    deep = max(1.5 * height, 10 * scatter, 0.3 * float(np.ptp(values)))
    swapped = -contrast[lowest] > deep and not beyond
    return Rise(float(fine[steepest]), height, height / (scatter + 1e-300), bool(swapped))


def is_derivative(energy: ArrayLike, mu: ArrayLike, position: float) -> bool:
    """Return whether a signal peaks and dips near `position` (eV) and has one level before and after.

    A white line, however high, stands on a step and leaves no dip below the pre-edge.
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    before, after = values[grid < position - 20], values[grid > position + 50]
    near = values[np.abs(grid - position) < 30]
    if min(before.size, after.size, near.size) < 5:
        return False
    level = float(np.median(before))
    top, dip = float(near.max()) - level, level - float(near.min())
    return top > 0 and dip > 0.1 * top and abs(float(np.median(after)) - level) < 0.05 * top


def point_scatter(energy: ArrayLike, mu: ArrayLike) -> float:
    """Return the standard deviation of single points about the line through their neighbours.

    The median absolute second difference over √1.5 σ of a straight line: edges are few, points many.
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    if grid.size < 5:
        return 0.0
    share = (grid[1:-1] - grid[:-2]) / (grid[2:] - grid[:-2])
    miss = values[1:-1] - (1 - share) * values[:-2] - share * values[2:]
    weight = np.sqrt(1 + share**2 + (1 - share) ** 2)
    return float(1.4826 * np.median(np.abs(miss / weight)))


def normalise(
    energy: ArrayLike, mu: ArrayLike, e0: float, *, normalised: bool = False, method: str = "auto"
) -> Normalised:
    """Return the spectrum with its pre-edge at 0 and its post-edge at 1.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and any unit
        The raw spectrum.
    e0 : float, eV
        Where the edge is.
    normalised : bool
        The file says that it is normalised already.
    method : str
        "auto", "edge", "max" or "none".
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    if method == "none":
        return Normalised(grid, values, e0, 1.0, "none")
    if method == "auto" and (normalised or _looks_normalised(grid, values, e0)):
        return Normalised(grid, values, e0, 1.0, "already normalised")
    line, pre_range, how = _pre_edge(grid, values, e0)
    if method == "max":
        top = float(np.max(values - np.polyval(line, grid - e0)))
        return Normalised(grid, (values - np.polyval(line, grid - e0)) / top, e0, top, "max")
    post, post_range, order = _post_edge(grid, values, e0)
    step = float(np.polyval(post, 0.0) - np.polyval(line, 0.0))
    if step <= 0 or grid[-1] - e0 < 100:  # no line can be extrapolated this far
        line, post, how = *_common_slope(grid, values, e0), "common slope"
        order, step = 1, float(post[1] - line[1])
    flat = values - np.polyval(line, grid - e0)
    record = {"pre_edge": pre_range, "post_edge": post_range, "post_order": order}
    if step > 0:
        flat = flat / step
        if order:  # flattening: the post-edge becomes 1 beyond the edge
            bend = (np.polyval(post, grid - e0) - np.polyval(line, grid - e0)) / step - 1.0
            flat = np.where(grid > e0, flat - bend, flat)
            record["flattened"] = True
    return Normalised(grid, flat, e0, step, how, record)


def _common_slope(grid: Floats, values: Floats, e0: float) -> tuple[Floats, Floats]:
    """Fit μ = a + b (E − E0) + step · [E > E0] away from the edge: short scans share one slope."""
    x = grid - e0
    inside = (x < -8) | (x > min(25.0, 0.5 * x[-1]))
    design = np.stack([x[inside], np.ones(inside.sum()), (x[inside] > 0).astype(float)], axis=1)
    slope, level, step = np.linalg.lstsq(design, values[inside], rcond=None)[0]
    return np.array([slope, level]), np.array([slope, level + step])


def _looks_normalised(grid: Floats, values: Floats, e0: float) -> bool:
    before, after = values[grid < e0 - 12], values[grid > e0 + 30]
    start = before if before.size >= 3 else values[:2]
    if after.size < 3:
        return False
    no_pre_edge = grid[0] > e0 - 30
    tight = 0.05 if not no_pre_edge else 0.12
    return bool(abs(np.median(start)) < tight and abs(np.median(after) - 1) < 0.12)


def _pre_edge(grid: Floats, values: Floats, e0: float) -> tuple[Floats, tuple[float, float], str]:
    low, high = max(e0 + PRE_EDGE[0], grid[0]), e0 + PRE_EDGE[1]
    inside = (grid >= low) & (grid <= high)
    if inside.sum() >= 3 and high - low > 15:
        return np.polyfit(grid[inside] - e0, values[inside], 1), (low - e0, high - e0), "edge"
    before = grid <= e0 - 8
    if before.sum() >= 2:
        level = float(np.median(values[before]))
        return np.array([0.0, level]), (float(grid[0] - e0), -8.0), "short pre-edge"
    return np.array([0.0, float(values[0])]), (float(grid[0] - e0),) * 2, "no pre-edge"


def _post_edge(grid: Floats, values: Floats, e0: float) -> tuple[Floats, tuple[float, float], int]:
    end = min(e0 + POST_EDGE[1], grid[-1])
    length = end - e0
    start = e0 + POST_EDGE[0] if length > 100 else e0 + 0.5 * length
    inside = (grid >= start) & (grid <= end)
    order = 2 if length > 350 else 1 if length > 150 else 0
    if inside.sum() < 2 + order:
        inside = grid >= e0 + 0.5 * length
        order = 0
    fit = np.polyfit(grid[inside] - e0, values[inside], order)
    return fit, (float(start - e0), float(end - e0)), order


def derivative_edge(
    energy: ArrayLike, mu: ArrayLike, e0: float, reach: float = 12.0, smoothing: float = 0.3
) -> float:
    """Return the energy (eV) of the steepest rise within `reach` of `e0`, after Gaussian smoothing.

    Reported, never aligned by: it jumps to a shoulder that grows.
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    inside = np.abs(grid - e0) <= reach + 3 * smoothing
    if inside.sum() < 5:
        return float("nan")
    fine = np.arange(e0 - reach, e0 + reach, 0.05)
    smooth = gaussian_smooth(grid[inside], values[inside], smoothing)
    return float(fine[int(np.argmax(np.gradient(np.interp(fine, grid[inside], smooth), fine)))])


def integral_edge(energy: ArrayLike, mu: ArrayLike, low: float = 0.15, high: float = 1.0) -> float:
    """Return E_int = 1/(μ2 − μ1) ∫ E dμ over the rising edge, from μ1 = 0.15 to μ2 = 1 (eV).

    Capehart, Herbst, Mishra and Pinkerton, Phys. Rev. B 52, 7907 (1995).
    """
    levels = np.linspace(low, high, 60)
    crossings = np.array([first_crossing(energy, mu, level) for level in levels])
    known = np.isfinite(crossings)
    return float(crossings[known].mean()) if known.any() else float("nan")
