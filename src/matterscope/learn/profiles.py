"""The ends of a profile likelihood: walk outward from the best fit until the cost has risen enough.

In: a function that gives the rise of the cost with one coordinate held, and where it is least. Out: the
coordinate at which the rise reaches ½z², for each z asked for; what one end has cost serves the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Profiled = Callable[[float, Floats], tuple[float, Floats]]
"""(coordinate held, start of all) → rise of the cost, best of all coordinates there."""
NEAR = 0.03
"""Share of z within which the end is taken from the line through the two nearest points."""


class Walk:
    """One side of the profile of coordinate `i`, remembered as (coordinate, √(2·rise), best) outward.

    Parameters
    ----------
    profiled : callable
    best : array of shape (n,)
        The fit.
    i : int
    response : array of shape (n,)
        How the other coordinates follow the held one at the fit, ∂x/∂x_i.
    step : float
        Distance to the first point for z = 1; its sign is the side.
    wall : float
        The bound on this side, perhaps infinite.
    """

    def __init__(
        self, profiled: Profiled, best: Floats, i: int, response: Floats, step: float, wall: float
    ) -> None:
        self.profiled, self.i, self.response = profiled, i, response
        self.step, self.wall = step, wall
        self.points: list[tuple[float, float, Floats]] = [(float(best[i]), 0.0, best)]

    def reach(self, goal: float) -> float | None:
        """Return the coordinate at which √(2·rise) is `goal` > 0, the wall if it comes first, or None."""
        for _ in range(24):
            beyond = next((k for k, p in enumerate(self.points) if p[1] >= goal), None)
            k = len(self.points) - 1 if beyond is None else max(beyond, 1)
            near = min(self.points, key=lambda p: abs(p[1] - goal))
            if abs(near[1] - goal) < NEAR * goal:
                return self._inside(self._line(k, goal) if k else near[0])
            if beyond is None:
                if self.points[-1][0] == self.wall:
                    return self.wall
                at = self._further(goal)
            else:
                at = self._between(k, goal)
            self._visit(at)
        return None

    def _inside(self, at: float) -> float:
        return min(at, self.wall) if self.step > 0 else max(at, self.wall)

    def _line(self, k: int, goal: float) -> float:
        """Return where the line through points k − 1 and k meets the goal."""
        (a, low, _), (b, high, _) = self.points[k - 1], self.points[k]
        return a + (goal - low) / max(high - low, 1e-12) * (b - a)

    def _between(self, k: int, goal: float) -> float:
        (a, low, _), (b, high, _) = self.points[k - 1], self.points[k]
        share = (goal - low) / max(high - low, 1e-12)
        return a + min(max(share, 0.05), 0.95) * (b - a)

    def _further(self, goal: float) -> float:
        here, (last, root, _) = self.points[0][0], self.points[-1]
        if len(self.points) == 1:
            return self._inside(here + goal * self.step)
        stretch = goal / root if root > 0.1 * goal else 3.0
        return self._inside(here + (last - here) * min(max(1.01 * stretch, 1.01), 3.0))

    def _visit(self, at: float) -> None:
        """Evaluate the profile at a coordinate, the others carried on along the way they went."""
        before = [p for p in self.points if (at - p[0]) * self.step >= 0]
        last = before[-1]
        direction = self.response
        if len(before) > 1 and last[0] != before[-2][0]:
            direction = (last[2] - before[-2][2]) / (last[0] - before[-2][0])
        rise, best = self.profiled(at, last[2] + direction * (at - last[0]))
        point = (at, float(np.sqrt(2.0 * max(rise, 0.0))), best)
        self.points.insert(len(before), point)


def walk_out(side: Walk, goals: Sequence[float]) -> list[float | None]:
    """Return the ends of one side for ascending goals.

    Examples
    --------
    >>> side = Walk(lambda at, x: (0.5 * at**2, np.array([at])), np.zeros(1), 0, np.ones(1), 0.7, 9.0)
    >>> [round(end, 6) for end in walk_out(side, [1.0, 2.0])]
    [1.0, 2.0]
    """
    return [side.reach(goal) for goal in goals]
