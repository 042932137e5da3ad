"""Damped Newton descent of a cost inside bounds.

In: a function of (point, free indices) that gives cost, gradient and Hessian, a start and bounds.
Out: the end of the descent, its Hessian, and whether it converged there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.learn.derivatives import Local

Floats = NDArray[np.float64]


def descend(
    local: Local,
    start: Floats,
    free: Sequence[int],
    bounds: tuple[Floats, Floats],
    *,
    tolerance: float = 1e-6,
) -> tuple[Floats, float, Floats, bool, int]:
    """Return the end of a Levenberg–Marquardt descent inside the bounds: x, cost, Hessian, converged, calls.

    Parameters
    ----------
    local : callable
        (point, indices of the free coordinates) → cost, gradient, Hessian of those.
    start : array of shape (n,)
    free : indices of the coordinates that move
    bounds : (low, high), arrays of shape (n,)
    tolerance : float
        Stops when the next step promises less than this.
    """
    index = list(free)
    low, high = bounds[0][index], bounds[1][index]
    x = start.copy()
    x[index] = np.clip(x[index], low, high)
    cost, gradient, hessian = local(x, index)
    damping, converged, calls = 1e-3, not index, 1
    while not converged and calls < 200:
        pinned = ((x[index] <= low) & (gradient > 0)) | ((x[index] >= high) & (gradient < 0))
        step, cut = _step(gradient, hessian, damping, pinned, (low - x[index], high - x[index]))
        trial = x.copy()
        trial[index] = np.clip(x[index] + step, low, high)
        step = trial[index] - x[index]
        predicted = -float(gradient @ step + 0.5 * step @ hessian @ step)
        if predicted < tolerance:
            # a step that a bound has turned uphill says nothing about convergence
            converged = not cut or damping > 1e12
            damping *= 10.0
            continue
        new = local(trial, index)
        calls += 1
        if np.isfinite(new[0]) and new[0] < cost:
            converged = cost - new[0] < 0.1 * tolerance
            x, (cost, gradient, hessian), damping = trial, new, max(damping * 0.1, 1e-9)
        else:
            damping *= 10.0
            converged = damping > 1e12
    return x, cost, hessian, converged, calls


def _step(
    gradient: Floats,
    hessian: Floats,
    damping: float,
    pinned: NDArray[np.bool_],
    room: tuple[Floats, Floats],
) -> tuple[Floats, bool]:
    """Return the damped Newton step inside the bounds, and whether a bound has cut it.

    What would leave its bounds is set on them, and the others are solved for again.
    """
    low, high = room
    step, held = np.zeros(gradient.size), pinned.copy()
    scale = np.maximum(np.diag(hessian), 1e-12 * max(float(np.trace(hessian)), 1e-300))
    while not held.all():
        moving = np.flatnonzero(~held)
        block = hessian[np.ix_(moving, moving)] + damping * np.diag(scale[moving])
        slope = gradient[moving] + hessian[np.ix_(moving, held)] @ step[held]
        step[moving] = _solved(block, -slope)
        over = ~held & ((step < low) | (step > high))
        if not over.any():
            break
        step[over] = np.clip(step, low, high)[over]
        held |= over
    return step, bool((held & ~pinned).any())


def _solved(block: Floats, right: Floats) -> Floats:
    """Return the solution, the one of least norm where the block is singular."""
    try:
        found = np.linalg.solve(block, right)
    except np.linalg.LinAlgError:
        found = np.full(right.size, np.nan)
    if not np.isfinite(found).all():
        found = np.linalg.lstsq(block, right, rcond=None)[0]
    return np.asarray(found)
