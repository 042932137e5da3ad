"""The posterior of a dip that few coincidences show: every delay, width and bunching weighed on a grid.

In: a sparse coincidence histogram with its expectation. Out: densities of g2(0), recovery time and delay,
and the probability of one emitter. Nothing is maximised, so that chance gaps are not taken for dips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from matterscope.core.estimates import Interval, Quantity
from matterscope.physics.rates import smeared_exponential

Floats = NDArray[np.float64]

G2_GRID = np.linspace(0.0, 1.0, 41)
TIMES = np.geomspace(0.3, 48.0, 16)
"""Recovery times τ1, ns, equally likely on a logarithmic scale."""
BUNCHING: tuple[tuple[float, float, float], ...] = (
    (0.0, 1.0, 0.4),
    *((a, t, 0.03) for a in (0.1, 0.3, 1.0, 3.0, 10.0) for t in (30.0, 150.0, 1000.0, 1e5)),
)
"""(amplitude a, time τ2 ns, probability beforehand)."""
REACH = 8.0
"""Recovery times after which a dip is over: e⁻⁸ of it is left."""
WEAK = 0.15
"""Depth of g2 below which the logarithm is taken to its fourth order: 2e-5 of an event at most."""
MOST_EMITTERS = 6
MIXTURES = 20_000


class Delay(NamedTuple):
    """What is known of the delay beforehand: normal about `centre` ns, or anywhere if `sigma` is inf."""

    centre: float
    sigma: float


@dataclass(frozen=True)
class DipPosterior:
    """Marginal probabilities on grids; each sums to 1.

    `g2` on `G2_GRID`, `times` on `TIMES`, `bunching` on `BUNCHING`, `delays` on `delay_grid` (ns);
    `evidence` is ln of the odds of a dip of any depth against none (g2(0) = 1).
    """

    g2: Floats
    times: Floats
    bunching: Floats
    delay_grid: Floats
    delays: Floats
    evidence: float

    def quantity(self, levels: Iterable[float], *, upper: bool = False) -> Quantity:
        """Return g2(0): median with central credible intervals, or with upper limits."""
        return _quantity(G2_GRID, self.g2, "1", levels, upper=upper)

    def time(self, levels: Iterable[float]) -> Quantity:
        """Return the recovery time, ns."""
        found = _quantity(np.log(TIMES), self.times, "ns", levels)
        bands = [
            Interval(i.level, *(None if e is None else float(np.exp(e)) for e in (i.low, i.high)))
            for i in found.intervals
        ]
        return Quantity(float(np.exp(float(found.value or 0.0))), "ns", intervals=tuple(bands))

    def delay(self, levels: Iterable[float]) -> Quantity:
        """Return the position of the dip, ns."""
        return _quantity(self.delay_grid, self.delays, "ns", levels)

    def below(self, value: float) -> float:
        """Return the probability that g2(0) lies below `value`."""
        return float(np.interp(value, G2_GRID, _cumulative(G2_GRID, self.g2)))


def weigh_dip(
    edges: Floats,
    counts: Floats,
    expected: Floats,
    *,
    sigma: float,
    delay: Delay,
    free_scale: bool = False,
    keep: NDArray[np.bool_] | None = None,
) -> DipPosterior:
    """Return the posterior of g2(τ) = 1 − (1 + a − g0)·e^(−|τ−t0|/τ1) + a·e^(−|τ−t0|/τ2).

    Beforehand g0 is uniform on [0, 1], τ1 log-uniform, bunching as in `BUNCHING`, and the delay as
    stated. The likelihood is Poisson; a free scale is integrated over with the prior 1/scale.

    Parameters
    ----------
    edges : array of shape (n + 1,), ns
        Equal bins.
    counts, expected : arrays of shape (n,), counts
    sigma : float, ns
        Response of the pair of detectors.
    delay : Delay
    free_scale : bool
        The level at long delays is not known.
    keep : array of bool, optional
        Bins that take part.
    """
    use = np.ones(counts.size, bool) if keep is None else keep
    seen, mean = np.where(use, counts, 0.0), np.where(use, expected, 0.0)
    # with a free scale, bunching longer than the window is but another scale
    longest = 0.25 * float(edges[-1] - edges[0]) if free_scale else np.inf
    # where the delay is not known, a coarse choice of bunching: there are thousands of delays
    every = 1 if np.isfinite(delay.sigma) else 3
    chances = [_bunching_chances(time, longest, every) for time in TIMES]
    blocks, grids, priors = [], [], []
    for time, chance in zip(TIMES, chances, strict=True):
        width = float(np.hypot(time, sigma))
        grid, prior = _delay_grid(edges, delay, width)
        scene = _Scene.of(*_rebinned(edges, seen, mean, 0.1 * width), sigma)
        blocks.append(_block(scene, time, grid, chance, free_scale))
        grids.append(grid)
        priors.append(prior)
    # a dip and its delay weigh alike at every τ1, whatever the number of delays on its grid
    for block, chance, prior in zip(blocks, chances, priors, strict=True):
        block[:] += chance[np.isfinite(chance), None, None] + prior[:, None]
    top = max(float(block.max()) for block in blocks)
    shares = [np.exp(block - top) for block in blocks]
    # trapezoids: half weight at both ends of the grid of g2(0)
    for share in shares:
        share[:, :, [0, -1]] *= 0.5
    whole = sum(float(s.sum()) for s in shares)
    bunching = np.zeros(len(BUNCHING))
    for share, chance in zip(shares, chances, strict=True):
        bunching[np.isfinite(chance)] += share.sum((1, 2)) / whole
    g2 = sum((s.sum((0, 1)) for s in shares), np.zeros(G2_GRID.size)) / whole
    fine = np.unique(np.concatenate(grids))
    # mass goes to the two nearest delays of the finest grid
    delays = sum(
        (_spread(fine, g, s.sum((0, 2))) for g, s in zip(grids, shares, strict=True)),
        np.zeros(fine.size),
    )
    last = 2.0 * g2[-1] * (G2_GRID.size - 1)
    return DipPosterior(
        np.asarray(g2),
        np.array([s.sum() for s in shares]) / whole,
        bunching,
        fine,
        np.asarray(delays) / whole,
        float(-np.log(max(last, 1e-300))),
    )


def _bunching_chances(time: float, longest: float, every: int) -> Floats:
    """Return log probabilities of `BUNCHING` beforehand, given τ1, of each or of every third choice.

    Bunching is slower than the dip, or g2 would be negative beside it, and not slower than `longest`.
    """
    allowed = [
        p if not a or (time < t < longest and k % every == 0) else 0.0
        for k, (a, t, p) in enumerate(BUNCHING)
    ]
    with np.errstate(divide="ignore"):
        log = np.log(allowed)
    return np.asarray(log - logsumexp(log))


class _Scene(NamedTuple):
    centre: Floats
    at: Floats
    number: Floats
    expected: Floats
    step: float
    sigma: float

    @classmethod
    def of(cls, edges: Floats, counts: Floats, expected: Floats, sigma: float) -> _Scene:
        centre = 0.5 * (edges[1:] + edges[:-1])
        some = counts > 0
        step = float(edges[1] - edges[0])
        # the width of a bin smears like a uniform law
        wide = float(np.sqrt(sigma**2 + step**2 / 12.0))
        return cls(centre, centre[some], counts[some], expected, step, wide)


def _rebinned(
    edges: Floats, counts: Floats, expected: Floats, width: float
) -> tuple[Floats, Floats, Floats]:
    """Return the histogram in bins of at most `width` ns: wide dips need no fine bins."""
    factor = max(int(width / float(edges[1] - edges[0])), 1)
    # the last bin may be narrower; no count is left out, or recovery times would see other data
    first = np.arange(0, counts.size, factor)
    borders = np.append(edges[first], edges[-1])
    return borders, np.add.reduceat(counts, first), np.add.reduceat(expected, first)


def _delay_grid(edges: Floats, delay: Delay, width: float) -> tuple[Floats, Floats]:
    """Return delays half a dip width apart, and their log probabilities beforehand."""
    low, high = float(edges[0]), float(edges[-1])
    known = np.isfinite(delay.sigma)
    if known and delay.sigma <= 0:
        return np.array([delay.centre]), np.zeros(1)
    if known:
        low = max(low, delay.centre - 3.0 * delay.sigma)
        high = min(high, delay.centre + 3.0 * delay.sigma)
    step = 0.5 * min(width, delay.sigma if known else np.inf)
    grid = np.linspace(low, high, max(int(np.ceil((high - low) / step)), 2) + 1)
    log = -0.5 * ((grid - delay.centre) / delay.sigma) ** 2 if known else np.zeros(grid.size)
    return grid, log - logsumexp(log)


def _block(scene: _Scene, time: float, grid: Floats, chance: Floats, free_scale: bool) -> Floats:
    """Return ln L for one τ1, shape (bunching that is possible, delays, g2)."""
    near, pair, dip = _near(scene, time, grid)
    missing = _seen(scene, time, grid)
    n, total = float(scene.number.sum()), float(scene.expected.sum())
    weight = scene.number[pair]
    gap = np.abs(scene.at[pair] - grid[near])
    possible = [b for b, c in zip(BUNCHING, chance, strict=True) if np.isfinite(c)]
    result = np.empty((len(possible), grid.size, G2_GRID.size))
    for k, (amplitude, slow, _) in enumerate(possible):
        depth = (1.0 + amplitude - G2_GRID)[None, :]
        more, level = _raised(scene, amplitude, slow, grid)
        mean = np.maximum(total + more[:, None] - depth * missing[:, None], 1e-9)
        log = level[:, None] - (n * np.log(mean) if free_scale else mean)
        if near.size:
            rise = 1.0 + amplitude * np.exp(-gap / slow) if amplitude else 1.0
            log += _lost(near, weight, dip / rise, depth, grid.size)
        result[k] = log
    return result


def _lost(
    near: NDArray[np.intp], weight: Floats, share: Floats, depth: Floats, size: int
) -> Floats:
    """Return Σ w·ln(1 − depth·share) of the events near each delay, shape (delays, g2).

    What events in the dip lose against the level without one. On its flanks, where depth·share is small, four
    terms of the series do: their sums over the events serve every depth.
    """
    strong = share * float(depth.max()) > WEAK
    flank = ~strong
    found = np.zeros((size, depth.size))
    power = weight[flank]
    for k in range(1, 5):
        power = power * share[flank]
        found -= np.bincount(near[flank], power, size)[:, None] * depth**k / k
    inside = near[strong]
    if inside.size:
        first = np.flatnonzero(np.r_[True, np.diff(inside) > 0])
        # single precision costs 1e-7 of an event; the long axis last, where sums run fastest
        deep, light = depth.ravel().astype(np.float32), share[strong].astype(np.float32)
        lost = np.log(np.maximum(1.0 - deep[:, None] * light, np.float32(1e-12)))
        lost *= weight[strong].astype(np.float32)
        found[inside[first]] += np.add.reduceat(lost, first, axis=1).T
    return found


def _raised(scene: _Scene, amplitude: float, slow: float, grid: Floats) -> tuple[Floats, Floats]:
    """Return what bunching adds to the expected counts, and to ln L at the events, for every delay."""
    if not amplitude:
        return np.zeros(grid.size), np.zeros(grid.size)
    # bunching is much wider than a dip: a coarse grid of delays carries it
    span = float(grid[-1] - grid[0])
    coarse = np.linspace(grid[0], grid[-1], max(int(span / (0.1 * slow)), 1) + 1)
    # and so do events gathered within a twentieth of its time, at their mean
    cell = np.floor((scene.at - scene.at[:1]) / (0.05 * slow))
    first = np.flatnonzero(np.diff(cell, prepend=-1.0))
    number = np.add.reduceat(scene.number, first) if first.size else scene.number
    at = np.add.reduceat(scene.at * scene.number, first) / number if first.size else scene.at
    gap = np.abs(at[None, :] - coarse[:, None])
    level = np.log1p(amplitude * np.exp(-gap / slow)) @ number
    return amplitude * _seen(scene, slow, grid), np.interp(grid, coarse, level)


def _near(
    scene: _Scene, time: float, grid: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return (delay index, event index, e^(−|t|/τ1) through the response) of events inside each dip."""
    reach = REACH * time + 5.0 * scene.sigma
    low = np.searchsorted(scene.at, grid - reach)
    high = np.searchsorted(scene.at, grid + reach)
    number = high - low
    near = np.repeat(np.arange(grid.size), number)
    offset = np.arange(near.size) - np.repeat(np.cumsum(number) - number, number)
    pair = offset + np.repeat(low, number)
    dip = smeared_exponential(scene.at[pair] - grid[near], time, scene.sigma)
    return near, pair, np.asarray(dip)


def _seen(scene: _Scene, time: float, grid: Floats) -> Floats:
    """Return Σ expected·e^(−|t − t0|/τ) over the bins, exact within them, for every delay t0 of the grid."""
    from scipy.signal import lfilter

    step, e = scene.step, scene.expected
    keep = float(np.exp(-step / time))
    gain = time / step * -float(np.expm1(-step / time))
    left = np.r_[0.0, lfilter([gain], [1.0, -keep], e)]
    right = np.r_[0.0, lfilter([gain], [1.0, -keep], e[::-1])][::-1]
    start = float(scene.centre[0]) - 0.5 * step
    index = np.clip(np.floor((grid - start) / step).astype(np.int64), 0, e.size - 1)
    before = grid - (start + index * step)
    total = np.zeros(grid.size)
    for side, gap in ((left[index], before), (right[index + 1], step - before)):
        fade = np.exp(-np.maximum(gap, 0.0) / time)
        total += side * fade + e[index] * time / step * (1.0 - fade)
    return np.asarray(total)


def _spread(fine: Floats, grid: Floats, mass: Floats) -> Floats:
    """Return mass on `grid` laid on the finer grid as a piecewise linear distribution."""
    if grid.size == 1:
        found = np.zeros(fine.size)
        found[int(np.argmin(np.abs(fine - grid[0])))] = mass.sum()
        return found
    density = np.interp(fine, grid, mass)
    cell = np.gradient(fine) if fine.size > 1 else np.ones(1)
    found = density * cell
    return np.asarray(found * mass.sum() / max(float(found.sum()), 1e-300))


def _cumulative(grid: Floats, mass: Floats) -> Floats:
    """Return the distribution function at the grid points: trapezoids of the density."""
    density = mass.copy()
    density[[0, -1]] *= 2.0
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    whole = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(whole / max(float(whole[-1]), 1e-300))


def _quantity(
    grid: Floats, mass: Floats, units: str, levels: Iterable[float], *, upper: bool = False
) -> Quantity:
    if grid.size == 1:
        return Quantity(float(grid[0]), units, reason="given")
    whole = _cumulative(grid, mass)

    def at(share: float) -> float:
        return float(np.interp(share, whole, grid))

    bands = []
    for level in levels:
        tail = 0.5 * (1.0 - level)
        bands.append(
            Interval(level, None, at(level)) if upper else Interval(level, at(tail), at(1 - tail))
        )
    return Quantity(at(0.5), units, intervals=tuple(bands))


@dataclass(frozen=True)
class Population:
    """What emitters are like beforehand: how many, how unequal, in how much background.

    Parameters
    ----------
    emitters : float
        Their number is Poisson with this mean, and at least one.
    signal_fraction : float, optional
        Share of the counts that comes from them; when None it is uniform on [`least_signal`, 1].
    scatter : float
        Standard deviation of the logarithm of their brightness.
    signal_error : float
        Standard error of a stated signal fraction.
    """

    emitters: float = 1.0
    signal_fraction: float | None = None
    least_signal: float = 0.6
    scatter: float = 0.4
    signal_error: float = 0.0

    def words(self) -> str:
        """Return the population in words."""
        rho = self.signal_fraction
        return (
            f"beforehand a Poisson number of emitters with mean {self.emitters:g}, at least one, with "
            f"log-normal brightness ({self.scatter:g}); signal fraction "
            + (
                f"{rho:g} ± {self.signal_error:g}"
                if rho
                else f"uniform from {self.least_signal:g} to 1"
            )
        )

    def densities(self) -> Floats:
        """Return p(n)·p(g0 | n) on `G2_GRID` for n = 1 … `MOST_EMITTERS`; the sum over all is 1.

        g0 = 1 − ρ²·Σ I_i²/(Σ I_i)², ρ the signal fraction.
        """
        rng = np.random.default_rng(0)
        # evenly spaced, for a smooth density
        even = (np.arange(MIXTURES) + 0.5) / MIXTURES
        share = self.least_signal + (1.0 - self.least_signal) * even
        if self.signal_fraction:
            known = self.signal_fraction + self.signal_error * ndtri(even)
            share = np.clip(known, 1e-3, 1.0)
        rows, chance = [], self.emitters
        for n in range(1, MOST_EMITTERS + 1):
            light = np.exp(self.scatter * rng.standard_normal((MIXTURES, n)))
            g0 = 1.0 - share**2 * (light**2).sum(1) / light.sum(1) ** 2
            at = np.clip(g0, 0.0, 1.0) * (G2_GRID.size - 1)
            low = np.minimum(at.astype(np.int64), G2_GRID.size - 2)
            row = np.bincount(low, 1.0 - (at - low), G2_GRID.size)
            row += np.bincount(low + 1, at - low, G2_GRID.size)
            rows.append(chance * row)
            chance *= self.emitters / (n + 1)
        table = np.array(rows)
        return np.asarray(table / table.sum())


def under(posterior: DipPosterior, population: Population) -> tuple[DipPosterior, float]:
    """Return the posterior with g2(0) weighed by a population, and the probability of one emitter.

    Examples
    --------
    >>> flat = np.full(G2_GRID.size, 1.0 / (G2_GRID.size - 1))
    >>> flat[[0, -1]] *= 0.5
    >>> nothing = DipPosterior(flat, flat, flat, flat, flat, 0.0)
    >>> round(under(nothing, Population(1.0))[1], 2)
    0.58
    """
    likelihood = posterior.g2.copy()
    likelihood[[0, -1]] *= 2.0
    joint = population.densities() * likelihood
    each = joint.sum(1)
    total = max(float(each.sum()), 1e-300)
    return replace(posterior, g2=np.asarray(joint.sum(0) / total)), float(each[0] / total)
