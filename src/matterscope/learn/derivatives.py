"""Cost, gradient and Hessian of a plain cost function by central differences.

In: a cost of positional parameters. Out: a function of (point, free indices) that a fit descends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Local = Callable[[Floats, Sequence[int]], tuple[float, Floats, Floats]]
"""(point, indices of the free parameters) → cost, gradient (k,), Hessian (k, k)."""


def local_by_differences(at: Callable[..., float]) -> Local:
    """Return cost, gradient and Hessian of a plain cost by central differences."""

    def local(x: Floats, free: Sequence[int]) -> tuple[float, Floats, Floats]:
        k, base = len(free), float(at(*x))
        steps = 1e-4 * np.maximum(np.abs(x), 1.0)
        gradient, hessian = np.zeros(k), np.zeros((k, k))
        ends = np.zeros((k, 2))
        for a, i in enumerate(free):
            for side, sign in enumerate((1.0, -1.0)):
                y = x.copy()
                y[i] += sign * steps[i]
                ends[a, side] = at(*y)
            gradient[a] = (ends[a, 0] - ends[a, 1]) / (2 * steps[i])
            hessian[a, a] = (ends[a, 0] + ends[a, 1] - 2 * base) / steps[i] ** 2
        for a, i in enumerate(free):
            for b, j in list(enumerate(free))[:a]:
                y = x.copy()
                y[i] += steps[i]
                y[j] += steps[j]
                mixed = at(*y) - ends[a, 0] - ends[b, 0] + base
                hessian[a, b] = hessian[b, a] = mixed / (steps[i] * steps[j])
        return base, gradient, hessian

    return local
