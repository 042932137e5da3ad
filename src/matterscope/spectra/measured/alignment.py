"""Alignment: the half-step position of an edge, and its shape on a grid relative to it.

In: energy (eV) and edge-normalised absorption. Out: E½ (eV) and μ(E½ + ε) on a stated window.
Absolute energies of theory and of many beamlines are not to be trusted; the aligned shape is.
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
"""Name → energies relative to E½ (eV): 0.5 eV steps near the edge, 1.5 eV beyond 30 eV."""

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
"""Energies (eV) from E½ whose median is the post-edge level, where a spectrum reaches them."""


def aligned_shape(
    energy: ArrayLike, mu: ArrayLike, window: str | ArrayLike, start: float | None = None
) -> tuple[Floats, float]:
    """Return μ(E½ + ε) on a window, and E½.

    E½ is the crossing of half the level at 100–135 eV above it, so a spectrum that was measured
    further gives the same E½ as one that ends there; one that ends before is taken at its word as
    edge-normalised (level 1). The shape itself keeps its normalisation: heights carry information
    that a division by the tail would lose. The left end is filled with the first value measured;
    at the right nothing is invented: a spectrum that ends early gives NaN there.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and 1
        The edge-normalised spectrum.
    window : str or array of shape (m,), eV
        A key of `WINDOWS`, or energies relative to E½.
    start : float, optional
        First guess of E½ (eV); the crossing is sought from 30 eV below it.

    Returns
    -------
    shape : array of shape (m,), 1
        Edge-normalised.
    position : float, eV
        E½; NaN when there is no edge.
    """
    grid, values = np.asarray(energy, dtype=float), np.asarray(mu, dtype=float)
    offsets = WINDOWS[window] if isinstance(window, str) else np.asarray(window, dtype=float)
    keep = grid >= (grid[0] if start is None else start - 30.0)
    position = first_crossing(grid[keep], values[keep], 0.5)
    if grid[-1] >= position + REFERENCE_TAIL[0] + 10.0:
        for _ in range(3):
            tail = (grid >= position + REFERENCE_TAIL[0]) & (grid <= position + REFERENCE_TAIL[1])
            level = float(np.median(values[tail]))
            position = first_crossing(grid[keep], values[keep], 0.5 * level)
    wanted = position + offsets
    shape = np.interp(wanted, grid, values)
    # one step of slack: grids rarely end exactly on the window
    shape[wanted > grid[-1] + 2.0] = np.nan
    return shape, position
