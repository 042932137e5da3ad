"""g2 of a short stream: what few coincidences say, by the posterior instead of a fit.

In: a sparse coincidence window. Out: g2(0) with credible intervals or limits, the probabilities of one
emitter and of g2(0) < ½, and their picture. A fit would take the widest chance gap for the dip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, Quantity, refused
from matterscope.core.pictures import Layer, Panel, Picture, band, line, mark, points, span
from matterscope.emitters.photons.dips import pair_response
from matterscope.emitters.photons.posterior import (
    BUNCHING,
    G2_GRID,
    TIMES,
    Delay,
    DipPosterior,
    Population,
    under,
    weigh_dip,
)
from matterscope.emitters.photons.verdicts import answer_purity, population_of
from matterscope.physics.rates import bin_average

if TYPE_CHECKING:
    from matterscope.emitters.settings import G2Settings

Floats = NDArray[np.float64]
Window = tuple[Floats, Floats, Floats]
FEW_PAIRS = 200
"""Coincidences within ±`NEAR` below which the posterior answers."""
HIDDEN_PAIRS = 4000
NEAR = 100.0
LEAST_ODDS = 3.0
"""Factor by which a dip must be likelier than none before it counts as seen."""


def is_sparse(edges: Floats, counts: Floats, settings: G2Settings, hidden: bool = False) -> bool:
    """Return whether a window is answered by the posterior: as asked, else by its density of pairs.

    A dip that does not stand out (`hidden`) is left to the posterior up to `HIDDEN_PAIRS`.
    """
    if settings.estimator != "auto":
        return settings.estimator == "posterior"
    pairs = float(counts.sum()) * 2.0 * NEAR / float(edges[-1] - edges[0])
    return pairs < (HIDDEN_PAIRS if hidden else FEW_PAIRS)


def answer_sparse(
    estimate: Estimate,
    window: Window,
    masks: list[tuple[float, float]],
    free_scale: bool,
    settings: G2Settings,
    call: Call,
) -> float:
    """Fill the estimate from the posterior; return the delay, ps."""
    edges, counts, expected = window
    centre = 0.5 * (edges[1:] + edges[:-1])
    keep = np.ones(counts.size, bool)
    for low, high in masks:
        keep &= (centre < low) | (centre > high)
    flat = weigh_dip(
        edges,
        counts,
        expected,
        sigma=pair_response(settings.jitter),
        delay=_delay(settings),
        free_scale=free_scale,
        keep=keep,
    )
    population = population_of(settings)
    weighed, single = under(flat, population)
    chosen = weighed if settings.prior == "population" else flat
    tight = _delay_width(flat) < 4.0 * float(flat.time(call.levels).value or 0.0)
    at = float(flat.delay(call.levels).value or 0.0)
    pairs = float(
        counts[np.abs(centre - at) < 2.0 * float(flat.time(call.levels).value or 0)].sum()
    )
    raw = chosen.quantity(call.levels, upper=not tight or pairs < 10)
    if not tight and flat.evidence < np.log(LEAST_ODDS):
        # a limit would only repeat what g2(0) ≤ 1 says beforehand
        raw = refused("1", "no dip stands out, and where zero delay lies is not known")
    answer_purity(estimate, raw, settings, single)
    _add_below_half(estimate, weighed, population)
    estimate.quantities["delay"] = flat.delay(call.levels)
    estimate.quantities["antibunching_time"] = flat.time(call.levels)
    _flag(estimate, float(counts.sum()), pairs, flat, tight)
    estimate.diagnostics |= {
        "mode": "continuous, posterior",
        "coincidences": float(counts.sum()),
        "coincidences_in_dip": pairs,
        "ln_odds_of_a_dip": flat.evidence,
        "g2_zero_by_prior": {
            "flat": flat.quantity((0.9,)).value,
            "population": weighed.quantity((0.9,)).value,
        },
    }
    estimate.provenance["model"] = (
        "posterior on a grid; beforehand g2(0) is uniform on [0, 1] (population: see single_probability), "
        f"the recovery time log-uniform from {TIMES[0]:g} to {TIMES[-1]:g} ns, bunching of 0 to "
        f"{max(a for a, _, _ in BUNCHING):g} with 40 ns and longer, the delay "
        + ("as given" if settings.delay is not None else "anywhere in the window")
    )
    estimate.pictures.append(_picture(window, flat, weighed, masks, tight))
    return at * 1000.0


def _delay(settings: G2Settings) -> Delay:
    if settings.delay is None:
        return Delay(0.0, np.inf)
    return Delay(settings.delay, 0.0 if settings.fix_delay else settings.delay_error)


def _delay_width(found: DipPosterior) -> float:
    bands = found.delay((0.68,)).intervals
    return 0.0 if not bands else float((bands[0].high or 0.0) - (bands[0].low or 0.0))


def _add_below_half(estimate: Estimate, weighed: DipPosterior, population: Population) -> None:
    # in terms of g2(0) without background: raw = 1 − ρ²(1 − g)
    limit = 1.0 - 0.5 * (population.signal_fraction or 1.0) ** 2
    below = weighed.below(limit)
    estimate.quantities["below_half_probability"] = Quantity(
        below, "1", probabilities={"below": below, "above": 1.0 - below}
    )


def _flag(
    estimate: Estimate, coincidences: float, pairs: float, flat: DipPosterior, tight: bool
) -> None:
    estimate.flag(
        "few-coincidences",
        f"{coincidences:.0f} coincidences in the window, {pairs:.0f} in the dip: the posterior answers in place of a fit",
        "record longer; --estimator likelihood fits all the same",
    )
    if not tight:
        estimate.flag(
            "delay-unknown",
            "the coincidences do not say where zero delay is; only upper limits are given",
            "measure the cable delay with a bright source and give it with --delay",
        )
    if flat.evidence < np.log(LEAST_ODDS):
        estimate.flag(
            "no-dip",
            f"a dip is only {np.exp(flat.evidence):.2g} times likelier than none",
            "record longer",
        )


def _picture(
    window: Window,
    flat: DipPosterior,
    weighed: DipPosterior,
    masks: list[tuple[float, float]],
    tight: bool,
) -> Picture:
    edges, counts, expected = window
    t0, time = float(flat.delay((0.68,)).value or 0.0), float(flat.time((0.68,)).value or 1.0)
    shown = np.abs(0.5 * (edges[1:] + edges[:-1]) - t0) < max(12.0 * time, 30.0)
    near: list[Layer] = _coarse(edges, counts, expected, shown)
    if tight:
        fine = np.linspace(t0 - 12 * time, t0 + 12 * time, 241)
        dip = bin_average(fine, t0, time, 0.2)
        at = 0.5 * (fine[1:] + fine[:-1])
        q = flat.quantity((0.68,))
        low, high = q.intervals[0].low or 0.0, q.intervals[0].high or 1.0
        near.append(band(at, 1 - (1 - low) * dip, 1 - (1 - high) * dip, "68 % of the posterior"))
        near.append(line(at, 1 - (1 - float(q.value or 0.0)) * dip, "median"))
    near.append(mark(y=[0.5], label="two equal emitters"))
    near += [span(a, b, label="masked") for a, b in masks if abs(0.5 * (a + b) - t0) < 12.0 * time]
    step = G2_GRID[1]
    density = [
        line(G2_GRID, _density(flat.g2) / step, "any g²(0) alike beforehand"),
        line(G2_GRID, _density(weighed.g2) / step, "population of emitters beforehand", "series2"),
        mark(x=[0.5]),
    ]
    share = np.gradient(flat.delay_grid) if flat.delay_grid.size > 1 else np.ones(1)
    where = [line(flat.delay_grid, flat.delays / share, "posterior")]
    panels = [
        Panel(near, "delay (ns)", "g²(τ)", "coincidences near the dip", height=1.2),
        Panel(density, "g²(0)", "probability density", "what they say about g²(0)"),
    ]
    if flat.delay_grid.size > 1:
        panels.append(Panel(where, "delay of the dip (ns)", "density (1/ns)", height=0.7))
    return Picture(
        "g2",
        "Antibunching from few coincidences",
        panels,
        "No fit: every delay, width and bunching is weighed. Where both curves are flat or follow their prior, "
        "the coincidences say nothing.",
        height=7.4,
    )


def _density(mass: Floats) -> Floats:
    density = mass.copy()
    density[[0, -1]] *= 2.0
    return density


def _coarse(
    edges: Floats, counts: Floats, expected: Floats, shown: NDArray[np.bool_]
) -> list[Layer]:
    """Return the measured ratio in bins wide enough to hold about ten expected pairs each."""
    n, e = counts[shown], expected[shown]
    first = int(np.flatnonzero(shown)[0])
    per = max(float(e.mean()), 1e-12)
    factor = int(np.clip(np.ceil(6.0 / per), max(n.size // 50, 1), max(n.size // 8, 1)))
    size = n.size // factor
    part = slice(0, size * factor)
    number, mean = (x[part].reshape(size, factor).sum(1) for x in (n, e))
    borders = edges[first : first + size * factor + 1 : factor]
    at = 0.5 * (borders[1:] + borders[:-1])
    ratio, error = number / mean, np.sqrt(np.maximum(number, 1.0)) / mean
    low = np.maximum(ratio - error, 0.0)
    return [points(at, ratio, "measured", y_low=low, y_high=ratio + error)]
