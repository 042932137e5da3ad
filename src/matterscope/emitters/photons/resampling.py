"""Errors that include drift: a bootstrap over stretches of a recording (blocks in time).

In: a stream or delays, and a fit. Out: the fit's parameters on recordings put together from stretches
drawn with replacement. Counting noise alone gives the same spread as the likelihood; drift gives more.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate, Quantity, from_samples
from matterscope.emitters.photons.coincidences import Evidence
from matterscope.emitters.photons.correlation import PairHistogram
from matterscope.emitters.photons.delays import Arrivals
from matterscope.emitters.photons.dips import DipFit
from matterscope.emitters.photons.pulsed import Comb, PulsedPeaks
from matterscope.learn.fitting import Expect, Fit, Values, bootstrap, fit_counts

Floats = NDArray[np.float64]
STRETCHES = 40
EXCESS = 1.5
"""Ratio to the error of the likelihood above which the recording is said to drift."""


def stretch_pairs(evidence: Evidence, edges: Floats) -> tuple[Floats, Floats]:
    """Return coincidences (stretches, bins) and the counts of both detectors (stretches, 2).

    Parameters
    ----------
    evidence : Evidence
        Of a stream.
    edges : array of shape (bins + 1,), ps
        Equal bins. Pairs that span two stretches are left out.
    """
    assert evidence.stream is not None
    assert evidence.found is not None
    low, width = round(float(edges[0])), round(float(edges[1] - edges[0]))
    high = low + width * (edges.size - 1)
    first, last = evidence.found.first, evidence.found.last
    borders = np.linspace(first, last + 1, STRETCHES + 1)
    counters = [PairHistogram(evidence.pair, low, high, width) for _ in range(STRETCHES)]
    for time, channel in evidence.stream.blocks():
        cuts = np.searchsorted(time, borders)
        for k in np.flatnonzero(np.diff(cuts)):
            part = slice(int(cuts[k]), int(cuts[k + 1]))
            counters[k].add(time[part], channel[part])
    return (
        np.array([c.counts for c in counters], dtype=float),
        np.array([c.singles for c in counters], dtype=float),
    )


def resample_dip(
    found: DipFit, evidence: Evidence, draws: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return `draws` values of every parameter of a dip."""
    pairs, singles = stretch_pairs(evidence, found.model.edges * 1000.0)
    whole = singles.sum(0).prod()

    def sample(generator: np.random.Generator) -> Floats:
        chosen = generator.integers(0, STRETCHES, STRETCHES)
        # the level of uncorrelated pairs follows the rates of this draw
        level = singles[chosen].sum(0).prod() / max(whole, 1.0)
        return np.vstack([pairs[chosen].sum(0), found.model.expected * level])

    def refit(drawn: Floats) -> Values:
        model = replace(found.model, expected=drawn[1])
        start = [replace(p, start=found.fit.values[p.name]) for p in found.fit.parameters]
        return fit_counts(model.counts, drawn[0], start, weights=found.keep.astype(float)).values

    return bootstrap(sample, refit, draws, rng)


def resample_peaks(
    peaks: PulsedPeaks, comb: Comb, evidence: Evidence, draws: int, rng: np.random.Generator
) -> Floats:
    """Return `draws` values of the central peak over the envelope at zero delay."""
    edges = evidence.histogram.edges.astype(float)
    pairs, _ = stretch_pairs(evidence, edges)
    centre = 0.5 * (edges[1:] + edges[:-1])
    order = np.round((centre - peaks.position[peaks.centre]) / comb.period).astype(int)
    wanted = np.round((peaks.position - peaks.position[peaks.centre]) / comb.period).astype(int)
    zero = pairs[:, order == 0].sum(1)
    sides = pairs[:, np.isin(order, wanted[peaks.used])].sum(1)
    chosen = rng.integers(0, STRETCHES, (draws, STRETCHES))
    mean = np.maximum(sides[chosen].sum(1) / int(peaks.used.sum()), 1e-9)
    rise = peaks.envelope[peaks.centre] / peaks.side_mean
    return np.asarray(zero[chosen].sum(1) / mean / rise)


def resample_decay(
    arrivals: Arrivals,
    edges: Floats,
    found: tuple[Fit, Expect],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Return `draws` values of every parameter of a decay; `found` is a fit with what it expects."""
    fit, expect = found
    borders = np.linspace(arrivals.time[0], arrivals.time[-1] + 1, STRETCHES + 1)
    cuts = np.searchsorted(arrivals.time, borders)
    parts = np.array(
        [np.histogram(arrivals.delay[a:b], edges)[0] for a, b in itertools.pairwise(cuts)],
        dtype=float,
    )

    def sample(generator: np.random.Generator) -> Floats:
        return np.asarray(parts[generator.integers(0, STRETCHES, STRETCHES)].sum(0))

    def refit(counts: Floats) -> Values:
        start = [replace(p, start=fit.values[p.name]) for p in fit.parameters]
        return fit_counts(expect, counts, start).values

    return bootstrap(sample, refit, draws, rng)


def answer_resampled(
    estimate: Estimate, name: str, draws: Floats, units: str, levels: tuple[float, ...]
) -> None:
    """Add NAME_resampled with intervals, and a flag where stretches scatter more than counting noise."""
    quantity = from_samples(draws, units, levels)
    estimate.quantities[f"{name}_resampled"] = quantity
    stated = estimate.quantities[name]
    error = _half_width(stated)
    spread = _half_width(quantity)
    if error and spread and spread > EXCESS * error:
        estimate.flag(
            "stretches-differ",
            f"stretches of the recording scatter {spread / error:.1f} times more than counting noise lets {name} scatter",
            f"the emitter or the set-up drifts: use {name}_resampled, or a shorter part",
        )


def _half_width(quantity: Quantity) -> float | None:
    found = quantity.interval(0.68)
    if found is None or found.low is None or found.high is None:
        return quantity.sigma
    return 0.5 * (found.high - found.low)
