"""Bounded fits by likelihood or least squares: several starts, covariance, profile and bootstrap intervals.

In: a function of parameters that expects data, the data, and `Parameter`s with bounds and scale.
Out: a `Fit` that knows its values, its intervals, and which parameters the data do not determine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.core.estimates import LEVELS, Interval, Quantity
from matterscope.learn.derivatives import Local, local_by_differences
from matterscope.learn.descent import descend
from matterscope.learn.profiles import Walk, walk_out

Floats = NDArray[np.float64]
Values = dict[str, float]
Expect = Callable[[Values], Floats]
Cost = Callable[[Values], float]
Slopes = Callable[[Values], tuple[Floats, dict[str, Floats]]]
"""Values → expected data, and its derivatives by the values (those missing are zero)."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a fit: where it starts, where it may go, on which scale it moves.

    Parameters
    ----------
    name : str
        As the model calls it.
    start, low, high : float, `units`
        Start value and closed bounds.
    scale : "linear" or "log"
        "log" for times, rates and other positive scales: steps are then relative.
    fixed : bool
        Held at `start`.
    """

    name: str
    start: float
    low: float = -np.inf
    high: float = np.inf
    units: str = "1"
    scale: Literal["linear", "log"] = "linear"
    fixed: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.start <= self.high:
            raise ConfigError(
                f"the start of {self.name} lies outside its bounds",
                got=self.start,
                expected=f"[{self.low:g}, {self.high:g}]",
            )
        if self.scale == "log" and self.low <= 0:
            raise ConfigError(
                f"{self.name} moves on a log scale and needs a positive lower bound", got=self.low
            )

    def inward(self, value: float) -> float:
        """Return the coordinate in which the fit moves."""
        return float(np.log(value)) if self.scale == "log" else float(value)

    def outward(self, coordinate: float) -> float:
        """Return the value of a coordinate, inside the bounds."""
        value = float(np.exp(coordinate)) if self.scale == "log" else float(coordinate)
        return min(max(value, self.low), self.high)


class _BetterFound(Exception):
    """A profile found a lower cost than the fit."""

    def __init__(self, x: Floats) -> None:
        super().__init__()
        self.x = x


@dataclass
class Fit:
    """The answer of a fit.

    `cost` is −ln L up to a constant (½χ² for least squares), so that a rise by ½z² bounds z standard
    errors. `weak` names parameters that the data do not determine; `bound` those at a bound.
    """

    parameters: tuple[Parameter, ...]
    x: Floats
    cost: float
    hessian: Floats
    converged: bool
    evaluations: int
    expected: Floats | None = None
    points: int = 0
    bound: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    _local: Local | None = field(default=None, repr=False)

    @property
    def values(self) -> Values:
        """Return name → value in the units of the parameter."""
        return {p.name: p.outward(x) for p, x in zip(self.parameters, self.x, strict=True)}

    @property
    def free(self) -> list[int]:
        """Return the indices of the parameters that moved."""
        return [i for i, p in enumerate(self.parameters) if not p.fixed]

    @property
    def dof(self) -> int:
        """Return data points minus free parameters."""
        return self.points - len(self.free)

    def index(self, name: str) -> int:
        """Return the index of a parameter."""
        return next(i for i, p in enumerate(self.parameters) if p.name == name)

    def covariance(self) -> Floats:
        """Return the covariance of all coordinates (zero rows where fixed), log scale where so moved."""
        full = np.zeros((len(self.x), len(self.x)))
        moved = [i for i in self.free if self.parameters[i].name not in self.bound]
        if moved:
            block = self.hessian[np.ix_(moved, moved)]
            full[np.ix_(moved, moved)] = np.linalg.pinv(block, rcond=1e-12)
        return full

    def sigma(self, name: str) -> float:
        """Return the standard error of a parameter, in its units."""
        i = self.index(name)
        error = float(np.sqrt(max(self.covariance()[i, i], 0.0)))
        return error * (self.values[name] if self.parameters[i].scale == "log" else 1.0)

    def correlation(self, a: str, b: str) -> float:
        """Return the correlation coefficient of two parameters."""
        c, i, j = self.covariance(), self.index(a), self.index(b)
        norm = float(np.sqrt(c[i, i] * c[j, j]))
        return float(c[i, j] / norm) if norm > 0 else 0.0

    def bic(self) -> float:
        """Return the Bayesian information criterion, 2·cost + k·ln n."""
        return 2.0 * self.cost + len(self.free) * float(np.log(max(self.points, 2)))

    def settle(self) -> Fit:
        """Profile every free parameter once, so that no deeper minimum nearby is left; return self."""
        for i in self.free:
            self._edges(self.parameters[i].name, (-1.0, 1.0))
        return self

    def profile(self, name: str, value: float) -> float:
        """Return the cost with `name` held at `value` and all others at their best, minus the least cost."""
        i = self.index(name)
        for _ in range(5):
            try:
                return self._profiled(i, self.parameters[i].inward(value), self.x)[0]
            except _BetterFound as found:
                self._adopt(found.x)
        self.converged = False
        return 0.0

    def _profiled(self, i: int, coordinate: float, start: Floats) -> tuple[float, Floats]:
        if self._local is None:
            raise ConfigError("this fit cannot be profiled: it was made without its cost")
        x = start.copy()
        x[i] = coordinate
        free = [j for j in self.free if j != i]
        best, cost, _, _, _ = descend(
            self._local, x, free, _bounds(self.parameters), tolerance=1e-4
        )
        if cost < self.cost - 0.02:
            raise _BetterFound(best)
        return cost - self.cost, best

    def _adopt(self, x: Floats) -> None:
        """Move to a deeper minimum that a profile came upon."""
        assert self._local is not None
        free = self.free
        end, cost, block, self.converged, more = descend(
            self._local, x, free, _bounds(self.parameters)
        )
        self.x, self.cost, self.evaluations = end, cost, self.evaluations + more
        self.hessian = np.zeros_like(self.hessian)
        self.hessian[np.ix_(free, free)] = block
        self.bound = _limits(self)
        self.weak = _undetermined(self)

    def interval(self, name: str, level: float) -> Interval:
        """Return the profile-likelihood interval at `level`, cut at the bounds of the parameter."""
        z = NormalDist().inv_cdf(0.5 + level / 2)
        low, high = self._edges(name, (-z, z))
        return Interval(level, low, high)

    def limit(self, name: str, level: float, side: Literal["upper", "lower"] = "upper") -> Interval:
        """Return a one-sided limit at `level`."""
        z = NormalDist().inv_cdf(level)
        if side == "upper":
            return Interval(level, None, self._edges(name, (z,))[0])
        return Interval(level, self._edges(name, (-z,))[0], None)

    def _edges(self, name: str, zs: Sequence[float]) -> list[float | None]:
        """Return the ends of the profile where it has risen by ½z² on the side of the sign of z.

        A deeper minimum on the way becomes the fit's own.
        """
        i = self.index(name)
        for _ in range(5):
            try:
                ends: dict[float, float | None] = {}
                for sign in (-1.0, 1.0):
                    wanted = sorted((z for z in zs if z * sign > 0), key=abs)
                    found = walk_out(self._side(i, sign), [abs(z) for z in wanted])
                    ends |= dict(zip(wanted, found, strict=True))
                outward = self.parameters[i].outward
                return [None if ends[z] is None else outward(float(ends[z] or 0.0)) for z in zs]
            except _BetterFound as found_better:
                self._adopt(found_better.x)
        self.converged = False
        return [None for _ in zs]

    def quantity(
        self, name: str, levels: Iterable[float] = LEVELS, factor: float = 1.0
    ) -> Quantity:
        """Return the parameter as a quantity, value and profile intervals times `factor`."""
        parameter = self.parameters[self.index(name)]
        if parameter.fixed:
            return Quantity(
                self.values[name] * factor, parameter.units, reason="held fixed in the fit"
            )
        levels = tuple(levels)
        zs = [NormalDist().inv_cdf(0.5 + level / 2) for level in levels]
        edges = self._edges(name, [-z for z in zs] + zs)
        ends = [None if e is None else e * factor for e in edges]
        bands = [Interval(*b) for b in zip(levels, ends[: len(zs)], ends[len(zs) :], strict=True)]
        sigma = self.sigma(name) * factor
        return Quantity(
            self.values[name] * factor,
            parameter.units,
            sigma=sigma if np.isfinite(sigma) else None,
            intervals=tuple(bands),
        )

    def _side(self, i: int, sign: float) -> Walk:
        """Return the walk along one side of the profile of coordinate i."""
        parameter, here = self.parameters[i], float(self.x[i])
        bound = parameter.high if sign > 0 else parameter.low
        wall = parameter.inward(bound) if np.isfinite(bound) else float(np.copysign(np.inf, sign))
        covariance = self.covariance()
        step = float(np.sqrt(max(covariance[i, i], 0.0)))
        response = covariance[:, i] / max(covariance[i, i], 1e-300)
        if not np.isfinite(step) or step <= 0.0:
            step, response = 0.1 * max(abs(here), 1e-3), np.zeros(self.x.size)
        return Walk(
            lambda at, start: self._profiled(i, at, start), self.x, i, response, sign * step, wall
        )


def fit_counts(
    expect: Expect,
    counts: Floats,
    parameters: Sequence[Parameter],
    *,
    starts: int = 1,
    rng: np.random.Generator | None = None,
    weights: Floats | None = None,
    slopes: Slopes | None = None,
) -> Fit:
    """Fit expected counts to counts by the Poisson likelihood (Fisher scoring inside bounds).

    Parameters
    ----------
    expect : callable
        Values → expected counts, shape of `counts`, positive.
    counts : array, counts
        Observed.
    parameters : sequence of Parameter
    starts : int
        Further starts are drawn inside finite bounds from `rng`; the best end wins.
    weights : array, optional
        0 masks a point, 1 keeps it.
    slopes : callable, optional
        The expected counts with their derivatives; without it differences are taken.
    """
    n = np.asarray(counts, dtype=np.float64)
    keep = np.ones(n.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    logs = np.where(n > 0, n * np.log(np.where(n > 0, n, 1.0)), 0.0)

    def local(mean: Floats) -> tuple[float, Floats, Floats]:
        mu = np.maximum(mean, 1e-12)
        cost = float(np.sum(keep * (mu - n + logs - n * np.log(mu))))
        return cost, keep * (1.0 - n / mu), keep / mu

    points = int(np.count_nonzero(keep))
    return _fit(expect, local, parameters, (starts, rng), points, slopes)


def fit_curve(
    expect: Expect,
    values: Floats,
    sigma: Floats | float,
    parameters: Sequence[Parameter],
    *,
    starts: int = 1,
    rng: np.random.Generator | None = None,
) -> Fit:
    """Fit a curve by least squares with known standard errors; cost = ½χ².

    Parameters
    ----------
    expect : callable
        Values → curve, shape of `values`.
    values, sigma : arrays of one shape (or a scalar `sigma`), same units
    """
    y = np.asarray(values, dtype=np.float64)
    weight = np.broadcast_to(1.0 / np.asarray(sigma, dtype=np.float64) ** 2, y.shape)

    def local(mean: Floats) -> tuple[float, Floats, Floats]:
        gap = mean - y
        return float(0.5 * np.sum(weight * gap**2)), weight * gap, np.asarray(weight)

    return _fit(expect, local, parameters, (starts, rng), y.size)


def fit_cost(cost: Cost, parameters: Sequence[Parameter], *, points: int = 0) -> Fit:
    """Minimise any −ln L with iminuit's Migrad, inside bounds; the Hessian is Hesse's.

    For costs that are no sum over expected data points (hidden states, mixtures); the two functions
    above are faster where they apply.
    """
    from iminuit import Minuit

    chosen = tuple(parameters)

    def at(*x: float) -> float:
        return cost({p.name: p.outward(v) for p, v in zip(chosen, x, strict=True)})

    minuit = Minuit(at, *[p.inward(p.start) for p in chosen], name=[p.name for p in chosen])
    minuit.errordef = Minuit.LIKELIHOOD
    minuit.tol = 1e-4
    for p in chosen:
        minuit.fixed[p.name] = p.fixed
        minuit.limits[p.name] = tuple(
            p.inward(v) if np.isfinite(v) else None for v in (p.low, p.high)
        )
    minuit.migrad()
    if not minuit.valid:
        minuit.simplex().migrad()
    minuit.hesse()
    x = np.array(minuit.values)
    hessian = np.zeros((len(x), len(x)))
    if minuit.covariance is not None:
        hessian = np.linalg.pinv(np.array(minuit.covariance), rcond=1e-12)
    fit = Fit(chosen, x, float(minuit.fval), hessian, bool(minuit.valid), int(minuit.nfcn))
    fit.points = points
    fit._local = local_by_differences(at)
    fit.bound, fit.weak = _limits(fit), _undetermined(fit)
    return fit


def bootstrap(
    sample: Callable[[np.random.Generator], Floats],
    refit: Callable[[Floats], Values],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Return name → `draws` refitted values on data drawn by `sample` (parametric or block bootstrap)."""
    rows = [refit(sample(rng)) for _ in range(draws)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _fit(
    expect: Expect,
    terms: Callable[[Floats], tuple[float, Floats, Floats]],
    parameters: Sequence[Parameter],
    starting: tuple[int, np.random.Generator | None],
    points: int,
    slopes: Slopes | None = None,
) -> Fit:
    chosen = tuple(parameters)
    names = [p.name for p in chosen]

    def mean(x: Floats) -> Floats:
        outward = (p.outward(v) for p, v in zip(chosen, x, strict=True))
        return np.asarray(expect(dict(zip(names, outward, strict=True))), dtype=np.float64).ravel()

    def differences(x: Floats, free: Sequence[int]) -> tuple[Floats, Floats]:
        mu = mean(x)
        jacobian = np.empty((mu.size, len(free)))
        for column, i in enumerate(free):
            step = 1e-6 * max(abs(x[i]), 1.0)
            top = chosen[i].inward(chosen[i].high) if np.isfinite(chosen[i].high) else np.inf
            step = -step if x[i] + step > top else step
            moved = x.copy()
            moved[i] += step
            jacobian[:, column] = (mean(moved) - mu) / step
        return mu, jacobian

    def exact(x: Floats, free: Sequence[int]) -> tuple[Floats, Floats]:
        assert slopes is not None
        values = {p.name: p.outward(v) for p, v in zip(chosen, x, strict=True)}
        mu, by = slopes(values)
        jacobian = np.zeros((mu.size, len(free)))
        for column, i in enumerate(free):
            p = chosen[i]
            if p.name in by:
                jacobian[:, column] = by[p.name] * (values[p.name] if p.scale == "log" else 1.0)
        return mu, jacobian

    changes = differences if slopes is None else exact

    def local(x: Floats, free: Sequence[int]) -> tuple[float, Floats, Floats]:
        mu, jacobian = changes(x, free)
        cost, slope, curvature = terms(mu)
        return cost, jacobian.T @ slope, jacobian.T @ (curvature[:, None] * jacobian)

    free = [i for i, p in enumerate(chosen) if not p.fixed]
    best = min(
        (descend(local, x, free, _bounds(chosen)) for x in _starts(chosen, *starting)),
        key=lambda e: e[1],
    )
    x, cost, block, converged, evaluations = best
    hessian = np.zeros((len(chosen), len(chosen)))
    if free:
        hessian[np.ix_(free, free)] = block
    fit = Fit(chosen, x, cost, hessian, converged, evaluations, mean(x), points, _local=local)
    fit.bound = _limits(fit)
    fit.weak = _undetermined(fit)
    return fit


def _starts(
    parameters: Sequence[Parameter], count: int, rng: np.random.Generator | None
) -> list[Floats]:
    first = np.array([p.inward(p.start) for p in parameters])
    rows = [first]
    for _ in range(count - 1):
        if rng is None:
            raise ConfigError("several starts need a random generator", got=f"starts={count}")
        x = first.copy()
        for i, p in enumerate(parameters):
            if not p.fixed and np.isfinite(p.low) and np.isfinite(p.high):
                x[i] = rng.uniform(p.inward(p.low), p.inward(p.high))
        rows.append(x)
    return rows


def _bounds(parameters: Sequence[Parameter]) -> tuple[Floats, Floats]:
    """Return the bounds of all coordinates."""
    low = [p.inward(p.low) if np.isfinite(p.low) else -np.inf for p in parameters]
    high = [p.inward(p.high) if np.isfinite(p.high) else np.inf for p in parameters]
    return np.array(low), np.array(high)


def _limits(fit: Fit) -> tuple[str, ...]:
    at = []
    for i in fit.free:
        p, value = fit.parameters[i], fit.values[fit.parameters[i].name]
        span = 1e-9 * max(abs(value), 1e-300)
        if abs(value - p.low) <= span or abs(value - p.high) <= span:
            at.append(p.name)
    return tuple(at)


def _undetermined(fit: Fit) -> tuple[str, ...]:
    """Return the parameters whose standard error exceeds half of their range, or their decade."""
    weak, covariance = [], fit.covariance()
    for i in fit.free:
        p = fit.parameters[i]
        error = float(np.sqrt(max(covariance[i, i], 0.0)))
        span = 4.6 if p.scale == "log" else np.inf
        if np.isfinite(p.low) and np.isfinite(p.high):
            span = min(span, p.inward(p.high) - p.inward(p.low))
        if p.name not in fit.bound and (error > 0.5 * span or fit.hessian[i, i] <= 0):
            weak.append(p.name)
    return tuple(weak)
