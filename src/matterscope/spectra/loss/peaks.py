"""Significant maxima of an energy-loss spectrum, with the steepest rise before each.

In: a raw spectrum (energy in eV, counts), background included. Out: peaks, ascending in energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Peak:
    """A maximum above the smooth course of the spectrum.

    Parameters
    ----------
    position, onset : float, eV
        Maximum, and steepest rise before it, on the axis as recorded.
    height : float, counts
        Above the smooth course.
    significance : float
        Height over its own noise.
    sigma : float, eV
        Standard uncertainty of position and onset.
    """

    position: float
    onset: float
    height: float
    significance: float
    sigma: float


def find_peaks(
    energy: Array, counts: Array, *, threshold: float = 4.5, most: int = 64
) -> list[Peak]:
    """Return the significant maxima of a spectrum, ascending in energy.

    The spectrum smoothed by 1 eV minus the spectrum smoothed by 4 eV is compared with its own robust
    spread, scaled by √counts as counting noise demands.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Evenly spaced or nearly so.
    counts : array of shape (n,), counts
        Raw spectrum, background included.
    threshold : float
        Least significance.
    most : int
        At most this many, the most significant ones.
    """
    step = float(np.median(np.diff(energy)))
    narrow = gaussian_filter1d(counts, 1.0 / step)
    response = narrow - gaussian_filter1d(counts, 4.0 / step)
    scale = np.sqrt(np.maximum(gaussian_filter1d(counts, 8.0 / step), 1e-12 * np.abs(counts).max()))
    relative = response / scale
    edge = int(8.0 / step)
    inner = relative[edge:-edge] if relative.size > 4 * edge else relative
    noise = 1.4826 * float(np.median(np.abs(inner - np.median(inner))))
    if noise <= 0:
        return []
    score = relative / noise
    tops = np.flatnonzero((score[1:-1] > score[:-2]) & (score[1:-1] >= score[2:])) + 1
    maxima = [int(i) for i in tops if score[i] > threshold and edge < i < energy.size - edge]
    maxima = sorted(sorted(maxima, key=lambda i: -score[i])[:most])
    slope = np.gradient(narrow, energy)
    return [_peak(energy, narrow, slope, i, float(response[i]), float(score[i])) for i in maxima]


def _peak(
    energy: Array, smooth: Array, slope: Array, near: int, height: float, significance: float
) -> Peak:
    step = energy[1] - energy[0]
    top = _top(smooth, near, int(2.0 / step), int(3.5 / step))
    back = max(top - int(7.0 / step), 0)
    steepest = back + int(np.argmax(slope[back : top + 1]))
    # a centroid of a line of about 2.5 eV width is known to width/significance, never below 0.15 eV
    sigma = float(np.hypot(2.5 / significance, 0.15))
    return Peak(
        _vertex(energy, smooth, top), _vertex(energy, slope, steepest), height, significance, sigma
    )


def _top(smooth: Array, near: int, reach: int, far: int) -> int:
    """Return the highest local maximum within `reach` channels, else the nearest within `far`, else `near`."""
    low = max(near - far, 1)
    rises = np.diff(smooth[low - 1 : near + far + 2])
    tops = low + np.flatnonzero((rises[:-1] > 0) & (rises[1:] <= 0))
    close = tops[np.abs(tops - near) <= max(reach, 1)]
    if close.size:
        return int(close[np.argmax(smooth[close])])
    # on the flank of a stronger neighbour there is no maximum
    return int(tops[np.argmin(np.abs(tops - near))]) if tops.size else near


def _vertex(x: Array, y: Array, i: int) -> float:
    """Return the vertex of the parabola through three points around index `i`."""
    if not 0 < i < x.size - 1:
        return float(x[i])
    curvature = y[i - 1] - 2 * y[i] + y[i + 1]
    shift = 0.5 * (y[i - 1] - y[i + 1]) / curvature if curvature < 0 else 0.0
    return float(x[i] + np.clip(shift, -1, 1) * (x[i + 1] - x[i]))
