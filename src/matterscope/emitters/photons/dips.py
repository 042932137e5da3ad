"""The antibunching dip of a continuously driven emitter: model, likelihood fit, choice of levels.

In: a coincidence histogram with the counts expected of independent detectors. Out: g2(0), times and
bunching with profile-likelihood intervals, and how they depend on the assumed response.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from matterscope.core.estimates import Interval
from matterscope.learn.fitting import Fit, Parameter, Values, fit_counts
from matterscope.physics.rates import bin_average, bin_average_slopes

Floats = NDArray[np.float64]
SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
PICOSECONDS = 1000.0
"""Times of the model are in ns, edges of histograms in ps."""


@dataclass(frozen=True)
class DipModel:
    """g2(τ) = 1 − (1 + Σa_k − g0)·e^(−|τ − t0|/τ1) + Σ a_k·e^(−|τ − t0|/τ_k), seen through a response.

    `terms` counts the bunching exponentials a_k; `sigma` (ns) is the normal response of the pair; the
    expectation is averaged over each bin exactly and multiplied by the uncorrelated counts.
    """

    edges: Floats
    expected: Floats
    terms: int
    sigma: float

    def correlation(self, values: Values, edges: Floats | None = None) -> Floats:
        """Return the bin averages of g2 as the detectors see it."""
        at = self.edges if edges is None else edges
        t0 = values["delay"]
        depth = 1.0 - values["g2_zero"]
        g2 = np.ones(at.size - 1)
        for k in range(self.terms):
            a = values[f"bunching_{k + 1}"]
            depth += a
            g2 += a * bin_average(at, t0, values[f"bunching_time_{k + 1}"], self.sigma)
        g2 -= depth * bin_average(at, t0, values["antibunching_time"], self.sigma)
        return g2

    def counts(self, values: Values) -> Floats:
        """Return expected counts in each bin."""
        return np.asarray(
            np.maximum(self.correlation(values), 0.0) * self.expected * values["scale"]
        )

    def slopes(self, values: Values) -> tuple[Floats, dict[str, Floats]]:
        """Return expected counts in each bin and their derivatives by the values."""
        t0, depth = values["delay"], 1.0 - values["g2_zero"]
        dip, *dip_by = bin_average_slopes(self.edges, t0, values["antibunching_time"], self.sigma)
        g2, by = np.ones(dip.size), {"g2_zero": dip, "delay": np.zeros(dip.size)}
        for k in range(1, self.terms + 1):
            a, time = values[f"bunching_{k}"], f"bunching_time_{k}"
            rise, *rise_by = bin_average_slopes(self.edges, t0, values[time], self.sigma)
            depth += a
            g2 += a * rise
            by |= {f"bunching_{k}": rise - dip, time: a * rise_by[1]}
            by["delay"] += a * rise_by[0]
        g2 -= depth * dip
        by["antibunching_time"] = -depth * dip_by[1]
        by["delay"] -= depth * dip_by[0]
        level = self.expected * values["scale"]
        # where the curve is cut at zero nothing moves it
        lit = np.where(g2 > 0.0, level, 0.0)
        found = {name: slope * lit for name, slope in by.items()}
        mean = g2 * lit
        return mean, found | {"scale": mean / values["scale"]}


@dataclass(frozen=True)
class DipFit:
    """The chosen model with its fit; `bic` of every number of bunching terms that was tried."""

    model: DipModel
    fit: Fit
    bic: dict[int, float]
    observed: Floats
    keep: NDArray[np.bool_]

    @property
    def chi_square(self) -> float:
        """Return Pearson's χ² per degree of freedom."""
        mean = np.maximum(self.model.counts(self.fit.values), 1e-9)
        return float(np.sum(((self.observed - mean) ** 2 / mean)[self.keep]) / max(self.fit.dof, 1))


def fit_dip(
    edges: Floats,
    counts: Floats,
    expected: Floats,
    *,
    sigma: float,
    delay: float | None = None,
    terms: int | Literal["auto"] = "auto",
    free_scale: bool = False,
    keep: NDArray[np.bool_] | None = None,
) -> DipFit:
    """Fit the dip of a coincidence histogram.

    Parameters
    ----------
    edges : array of shape (n + 1,), ns
    counts, expected : arrays of shape (n,), counts
        Observed, and expected of independent steady detectors.
    sigma : float, ns
        Standard deviation of the response of the two detectors together.
    delay : float, ns, optional
        Position of the dip; fitted when None.
    terms : int or "auto"
        Bunching exponentials; "auto" chooses 0, 1 or 2 by the Bayesian information criterion.
    free_scale : bool
        Fit the level at long delays (histograms whose normalisation is not known).
    keep : array of bool, optional
        Bins that take part (False: masked).
    """
    weights = np.ones(counts.size) if keep is None else keep.astype(float)
    centre = find_dip(edges, counts, expected)[0] if delay is None else delay
    wanted = (0, 1, 2) if terms == "auto" else (int(terms),)
    tried: dict[int, tuple[DipModel, Fit]] = {}
    for k in wanted:
        model = DipModel(edges, expected, k, sigma)
        start = _start_values(model, counts * weights, weights, centre, free_scale)
        parameters = _parameters(edges, start, k, delay, free_scale)
        fit = fit_counts(model.counts, counts, parameters, weights=weights, slopes=model.slopes)
        tried[k] = (model, fit)
        if k and tried.get(k - 1) and tried[k][1].bic() > tried[k - 1][1].bic():
            break
    bic = {k: f.bic() for k, (_, f) in tried.items()}
    model, fit = tried[min(bic, key=lambda k: bic[k])]
    return DipFit(model, fit, bic, counts, weights > 0)


def _start_values(
    model: DipModel, counts: Floats, weights: Floats, t0: float, free_scale: bool
) -> Values:
    """Return start values from a grid of times; the amplitudes are linear there and solved exactly."""
    edges, step = model.edges, float(np.diff(model.edges).min())
    span = float(edges[-1] - edges[0])
    basis = model.expected * weights
    root = 1.0 / np.sqrt(np.maximum(counts, 1.0))
    short = np.geomspace(0.5 * step, 0.1 * span, 9)
    long = np.geomspace(4.0 * step, 3.0 * span, 8)
    curves = {t: bin_average(edges, t0, t, model.sigma) * basis * root for t in (*short, *long)}
    best, least = None, np.inf
    for times in product(short, *([long] * model.terms)):
        if any(b <= a for a, b in pairwise(times)):
            continue
        columns = [basis * root, *(curves[t] for t in times)]
        target = counts * root
        if not free_scale:
            target = target - columns.pop(0)
        matrix = np.column_stack(columns)
        amplitudes, *_ = np.linalg.lstsq(matrix, target, rcond=None)
        cost = float(np.sum((matrix @ amplitudes - target) ** 2))
        if cost < least:
            least, best = cost, (times, amplitudes)
    assert best is not None
    times, amplitudes = best
    scale = float(amplitudes[0]) if free_scale else 1.0
    terms = amplitudes[1:] / scale if free_scale else amplitudes
    found = {"scale": max(scale, 1e-9), "delay": t0, "antibunching_time": float(times[0])}
    found["g2_zero"] = float(1.0 + terms.sum())
    for k in range(model.terms):
        found[f"bunching_{k + 1}"] = float(max(terms[k + 1], 1e-3))
        found[f"bunching_time_{k + 1}"] = float(times[k + 1])
    return found


def find_dip(edges: Floats, counts: Floats, expected: Floats) -> tuple[float, float, float]:
    """Return (position ns, half width ns, significance in σ after trials) of the deepest dip.

    Windows of 1, 2, 4 … bins are held against the level on either side, the lower of the two: the
    flank of bunching that dies away is no dip. The deficit in standard errors is largest at the dip.
    """
    centre = 0.5 * (edges[1:] + edges[:-1])
    step = float(np.diff(edges).mean())
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    means = np.concatenate([[0.0], np.cumsum(expected)])
    best = (float(centre[centre.size // 2]), 0.0, 0.0)
    width = 1
    while width <= counts.size // 8:
        side = max(width, min(4 * width, counts.size // 8))
        score = _deficits(sums, means, width, side)
        at = int(np.argmin(score))
        if -score[at] > best[2]:
            first = at + side
            best = (
                float(centre[first] + 0.5 * (width - 1) * step),
                0.5 * width * step,
                -float(score[at]),
            )
        width *= 2
    trials = max(counts.size, 2)
    return best[0], best[1], float(np.sqrt(max(best[2] ** 2 - 2.0 * np.log(trials), 0.0)))


def _deficits(sums: Floats, means: Floats, width: int, side: int) -> Floats:
    """Return counts in every window minus those that the lower side says, in standard errors."""
    first = np.arange(side, sums.size - width - side)
    last = first + width

    def level(low: NDArray[np.int64], high: NDArray[np.int64]) -> Floats:
        return np.asarray((sums[high] - sums[low]) / np.maximum(means[high] - means[low], 1e-12))

    beside = np.minimum(level(first - side, first), level(last, last + side))
    mean = beside * (means[last] - means[first])
    error = np.sqrt(np.maximum(mean * (1.0 + width / side), 1.0))
    return np.asarray((sums[last] - sums[first] - mean) / error)


def _parameters(
    edges: Floats, start: Values, terms: int, delay: float | None, free_scale: bool
) -> list[Parameter]:
    span, step = float(edges[-1] - edges[0]), float(np.diff(edges).min())
    limits = {
        "g2_zero": Parameter("g2_zero", 0.5, 0.0, 3.0),
        "antibunching_time": Parameter(
            "antibunching_time", span, 0.05 * step, 10.0 * span, "ns", "log"
        ),
        "delay": Parameter("delay", edges[0], edges[0], edges[-1], "ns", fixed=delay is not None),
        "scale": Parameter("scale", 1.0, 1e-9, 1e9, "1", "log", not free_scale),
    }
    for k in range(terms):
        name = f"bunching_time_{k + 1}"
        limits[f"bunching_{k + 1}"] = Parameter(f"bunching_{k + 1}", 0.1, 0.0, 100.0)
        limits[name] = Parameter(name, span, 2.0 * step, max(1e3 * span, 1e6), "ns", "log")
    return [replace(p, start=min(max(start[name], p.low), p.high)) for name, p in limits.items()]


def pair_response(fwhm_ps: float) -> float:
    """Return the response σ (ns) of a pair of equal detectors with `fwhm_ps` each.

    Examples
    --------
    >>> round(pair_response(350.0), 4)
    0.2102
    """
    return float(np.sqrt(2.0) * fwhm_ps * SIGMA_PER_FWHM / PICOSECONDS)


def second_emitter_share(g2: float) -> float:
    """Return the largest share f that a second emitter can have: 2f(1 − f) = g2, f ≤ ½.

    Examples
    --------
    >>> second_emitter_share(0.5), round(second_emitter_share(0.18), 6)
    (0.5, 0.1)
    """
    return 0.5 if g2 >= 0.5 else float(0.5 * (1.0 - np.sqrt(1.0 - 2.0 * max(g2, 0.0))))


def poisson_ratio(count: float, expected: float, level: float) -> Interval:
    """Return Garwood's interval of a Poisson count over a known expectation; an upper limit below ten.

    Examples
    --------
    >>> round(poisson_ratio(0, 45.0, 0.95).high, 3)
    0.067
    """
    from scipy.stats import chi2

    if count < 10:
        return Interval(level, None, float(0.5 * chi2.ppf(level, 2 * count + 2) / expected))
    tail = 0.5 * (1.0 - level)
    low, high = chi2.ppf(tail, 2 * count), chi2.ppf(1.0 - tail, 2 * count + 2)
    return Interval(level, float(0.5 * low / expected), float(0.5 * high / expected))


def after_flash(
    edges: Floats, counts: Floats, expected: Floats, delay: float, reach: float = 150.0
) -> list[tuple[float, float]]:
    """Return (low, high) ns of bins that stand out above both neighbours, 15 to `reach` ns from the dip.

    Silicon detectors emit light when they fire, and the other one sees it some tens of ns later. A bin
    is named when it exceeds the line through the bins beside it by 5 %, and by more than chance gives
    once in 10⁷ to a bin that holds its share of the three.
    """
    from scipy.stats import binom

    centre = 0.5 * (edges[1:] + edges[:-1])
    ratio = counts / np.maximum(expected, 1e-12)
    found: list[tuple[float, float]] = []
    for i in range(1, counts.size - 1):
        if not 15.0 < abs(centre[i] - delay) < reach:
            continue
        share = (centre[i] - centre[i - 1]) / (centre[i + 1] - centre[i - 1])
        level = ratio[i - 1] + share * (ratio[i + 1] - ratio[i - 1])
        sides = (1.0 - share) * expected[i - 1] + share * expected[i + 1]
        part = float(expected[i] / max(expected[i] + 2.0 * sides, 1e-12))
        three = counts[i - 1] + counts[i] + counts[i + 1]
        excess = ratio[i] > 1.05 * level
        if excess and binom.sf(counts[i] - 1, three, part) < 1e-7:
            found.append((float(edges[i]), float(edges[i + 1])))
    return found
