"""Alignment: the half-step position of an edge, and the shape on a grid relative to a steadier one.

In: energy (eV) and edge-normalised absorption. Out: E½ (eV), and the shape on a stated window around the
half step of the smoothed spectrum. Absolute energies of theory and of many beamlines are not to be trusted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matterscope.physics.curves import first_crossing

Floats = NDArray[np.float64]

WINDOWS: dict[str, Floats] = {
    "narrow": np.arange(-5.0, 38.0 + 1e-9, 0.5),
    "wide": np.concatenate([np.arange(-5.0, 30.0 + 1e-9, 0.5), np.arange(31.5, 120.0 + 1e-9, 1.5)]),
}
"""Name → energies (eV) relative to the origin of `aligned_shape`: 0.5 eV steps near the edge, 1.5 eV beyond 30 eV."""

TAIL = 0.2
"""The post-edge level is the median of this last share of the window."""


def half_step(energy: ArrayLike, mu: ArrayLike, level: float | None = None) -> float:
    """Return E½: the first crossing of half the post-edge level on the rising edge.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Increasing.
    mu : array of shape (n,), 1
        Absorption with its pre-edge at zero.
    level : float, optional
        Post-edge level; by default the median of the last 20 % of the energies.

    Returns
    -------
    float
        In eV; NaN when the curve never crosses.

    Examples
    --------
    >>> e = np.arange(0.0, 100.0)
    >>> half_step(e, np.clip((e - 20.0) / 4.0, 0.0, 1.0))
    22.0
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    if level is None:
        level = float(np.median(values[grid >= grid[-1] - TAIL * (grid[-1] - grid[0])]))
    return first_crossing(grid, values, 0.5 * level)


REFERENCE_TAIL = (100.0, 135.0)
"""Energies (eV) from the edge whose median is the post-edge level, where a spectrum reaches them."""
STEADY = 5.0
"""eV; standard deviation of the Gaussian through which the edge is looked at to align a shape."""
ALIGNMENT = f"half step through a Gaussian of {STEADY} eV"
"""What models state in their cards: shapes aligned otherwise are other shapes."""
STEP = 0.25
AROUND = np.arange(-25.0, 40.0 + 1e-9, STEP)
"""eV from E½: where the smoothed spectrum is looked for."""


def steady_origin(near: NDArray[np.floating], level: ArrayLike) -> Floats:
    """Return where rows (n, p) on `AROUND`, seen through a Gaussian of `STEADY`, first cross a level (n,).

    The plain half step jumps by some eV where a peak at the edge is as high as half a step: theory that
    makes the peak a little too low would align another feature. The smoothed one moves steadily.

    Returns
    -------
    array of shape (n,), eV
        From E½.
    """
    from scipy.ndimage import gaussian_filter1d

    rows = gaussian_filter1d(np.asarray(near), STEADY / STEP, axis=1, mode="nearest")
    searched = np.flatnonzero((AROUND >= -15.0) & (AROUND <= 20.0))
    border = np.broadcast_to(np.asarray(level, dtype=float), len(rows))
    above = rows[:, searched] >= border[:, None]
    # at least one step in, so that there is a point below
    first = searched[np.maximum(above.argmax(axis=1), 1)]
    own = np.arange(len(rows))
    low, high = rows[own, first - 1], rows[own, first]
    share = (border - low) / np.where(np.abs(high - low) < 1e-9, 1e-9, high - low)
    return np.asarray(AROUND[first - 1] + np.clip(share, 0.0, 1.0) * STEP)


def aligned_shape(
    energy: ArrayLike, mu: ArrayLike, window: str | ArrayLike, start: float | None = None
) -> tuple[Floats, float]:
    """Return μ(E_s + ε) on a window, and E_s, the half step of the smoothed spectrum.

    The level is the median at 100–135 eV above the edge, so a spectrum that was measured further gives
    the same E_s as one that ends there; one that ends before is taken at its word as edge-normalised
    (level 1). The shape itself is not smoothed and keeps its normalisation: heights carry information
    that a division by the tail would lose. The left end is filled with the first value measured;
    at the right nothing is invented: a spectrum that ends early gives NaN there.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and 1
        The edge-normalised spectrum.
    window : str or array of shape (m,), eV
        A key of `WINDOWS`, or energies relative to E_s.
    start : float, optional
        First guess of E½ (eV); the crossing is sought from 30 eV below it.

    Returns
    -------
    shape : array of shape (m,), 1
        Edge-normalised.
    position : float, eV
        E_s (`steady_origin`); NaN when there is no edge.
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    offsets = WINDOWS[window] if isinstance(window, str) else np.asarray(window, dtype=float)
    sharp, level = half_step_and_level(grid, values, start)
    position = sharp
    if np.isfinite(sharp):
        near = np.interp(sharp + AROUND, grid, values)
        position += float(steady_origin(near[None, :], 0.5 * level)[0])
    wanted = position + offsets
    shape = np.interp(wanted, grid, values)
    # some slack: grids rarely end exactly on the window
    shape[wanted > grid[-1] + SLACK] = np.nan
    return shape, position


SLACK = 2.0
"""eV by which a spectrum may end before its window does."""


def half_step_and_level(
    energy: Floats, mu: Floats, start: float | None = None
) -> tuple[float, float]:
    """Return E½ (eV) of an edge-normalised spectrum and the level that it is half of."""
    keep = energy >= (energy[0] if start is None else start - 30.0)
    position, level = first_crossing(energy[keep], mu[keep], 0.5), 1.0
    if energy[-1] >= position + REFERENCE_TAIL[0] + 10.0:
        for _ in range(3):
            low, high = position + REFERENCE_TAIL[0], position + REFERENCE_TAIL[1]
            level = float(np.median(mu[(energy >= low) & (energy <= high)]))
            position = first_crossing(energy[keep], mu[keep], 0.5 * level)
    return position, level
