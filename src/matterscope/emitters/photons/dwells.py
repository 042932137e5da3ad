"""How long bright and dim stretches last, what share of time is bright, and by which law.

In: counts and hidden states. Out: mean dwell times and bright share with intervals of the law behind the
recording, the choice between an exponential and a power law, and their picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, Interval, Quantity, from_samples, refused
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.emitters.photons.hidden_states import HiddenStates, astride, bright_shares
from matterscope.emitters.photons.telegraph import fit_telegraph

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FEWEST_DWELLS = 5
FEWEST_SWITCHES = 2
FEWEST_DRAWS = 30
"""Effective draws below which the telegraph's likelihood is not trusted."""


@dataclass(frozen=True)
class Switching:
    """Draws (n, 2) of the mean dwell in the dim and the bright group, in bins, and how they came about."""

    dwells: Floats
    inside: bool
    """Whether switches inside bins are in the likelihood."""
    spread: tuple[float, float]
    """Variance of the seen dwells over that of exponential ones, 1 unless clearly above."""
    recorded: float
    """Share of this recording that is bright."""

    @property
    def bright_share(self) -> Floats:
        """Return draws of the share of time that the law spends in the bright group."""
        return np.asarray(self.dwells[:, 1] / self.dwells.sum(axis=1))


def dwell_times(bright: NDArray[np.bool_], step: float) -> tuple[Floats, Floats]:
    """Return (bright, dim) dwell times in s; the first and the last stretch are cut off by the recording."""
    edges = np.flatnonzero(np.diff(bright.astype(np.int8))) + 1
    if edges.size < 2:
        return np.zeros(0), np.zeros(0)
    lengths, state = np.diff(edges) * step, bright[edges[:-1]]
    return lengths[state], lengths[~state]


def dwell_law(times: Floats, step: float) -> dict[str, float]:
    """Return both laws fitted by likelihood to dwell times ≥ one bin, and the difference of ln L.

    Exponential with mean τ, p ∝ e^(−t/τ); power law p ∝ t^(−m), t ≥ one bin. Positive `evidence`
    (ln L_power − ln L_exponential) speaks for the power law.
    """
    n = times.size
    if n < FEWEST_DWELLS:
        return {}
    # dwells come in whole bins n·Δ, so that both laws are taken over whole numbers
    k = np.maximum(np.round(times / step), 1.0)
    p = 1.0 / float(k.mean())
    stay = np.log1p(-p) if p < 1 else -np.inf
    exponential = n * np.log(p) + (float((k - 1).sum()) * stay if p < 1 else 0.0)
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    logs = float(np.log(k).sum())
    best = minimize_scalar(
        lambda m: m * logs + n * np.log(zeta(m, 1.0)), bounds=(1.01, 8.0), method="bounded"
    )
    mean = -step / stay if p < 1 else step
    return {
        "mean": float(mean),
        "exponent": float(best.x),
        "evidence": float(-best.fun - exponential),
        "dwells": float(n),
    }


def find_switching(
    counts: Ints, found: HiddenStates, bright: int, rng: np.random.Generator
) -> Switching | None:
    """Return the law of switching between the dim and the bright group, None below two switches each way.

    Two levels: the telegraph's likelihood, in which dwells may be shorter than a bin. More of them: the
    number of switches k in the time T spent there gives a rate Gamma(k, 1/T); the dwells that the
    recording cuts are in T. Dwells that scatter more than exponential ones widen both.
    """
    on = found.path >= bright
    change = np.diff(on.astype(np.int8))
    switches = np.array([np.count_nonzero(change == 1), np.count_nonzero(change == -1)])
    if switches.min() < FEWEST_SWITCHES:
        return None
    bright_time = float((found.posterior @ bright_shares(found, bright)).sum())
    spent = np.array([on.size - bright_time, bright_time])
    spread = tuple(_spread(d) for d in dwell_times(on, 1.0)[::-1])
    held = np.flatnonzero(~astride(found))
    if held.size == 2:
        low, high = (int(k) for k in held)
        means, fano = found.means, found.fano
        mean = spent / switches
        law = fit_telegraph(
            counts,
            (float(means[low]), float(means[high])),
            (float(fano[low]), float(fano[high])),
            (float(mean[0]), float(mean[1])),
            rng,
        )
        if law.converged and law.effective > FEWEST_DRAWS:
            # where the rate would be with no time in the dim level, and with all of it there
            dim, lit = law.levels
            share = float(np.clip((counts.mean() - dim) / (lit - dim), 1e-6, 1 - 1e-6))
            return Switching(_widened(law.dwells, spread), True, (spread[0], spread[1]), share)
    drawn = spent / rng.gamma(switches, 1.0, (1200, 2))
    return Switching(
        _widened(drawn, spread), False, (spread[0], spread[1]), float(spent[1] / on.size)
    )


def _spread(times: Floats) -> float:
    """Return variance over squared mean of dwells, 1 unless two standard errors above exponential ones."""
    n = times.size
    if n < FEWEST_DWELLS:
        return 1.0
    ratio = float(times.var(ddof=1) / times.mean() ** 2)
    return ratio if ratio > 1.0 + 2.0 * np.sqrt(8.0 / n) else 1.0


def _widened(dwells: Floats, spread: tuple[float, ...]) -> Floats:
    logs = np.log(dwells)
    centre = np.median(logs, axis=0)
    return np.asarray(np.exp(centre + (logs - centre) * np.sqrt(spread)))


def answer_dwells(
    estimate: Estimate,
    counts: Ints,
    found: HiddenStates,
    bright: int,
    about: tuple[float, Call],
) -> dict[str, tuple[Floats, dict[str, float]]]:
    """Add bright share and mean dwell times; return the whole dwells seen, with both laws.

    Parameters
    ----------
    about : (bin s, Call)
    """
    step, call = about
    law = None
    if bright > 0:
        law = find_switching(counts, found, bright, call.rng("dwells"))
        _answer_shares(estimate, found, bright, law, call)
    seen = {}
    for k, (name, times) in enumerate(
        zip(("bright", "dim"), dwell_times(found.path >= bright, step), strict=True)
    ):
        seen[name] = (times, dwell_law(times, step))
        key = f"{name}_dwell_time"
        if law is None:
            estimate.quantities[key] = refused("s", "fewer than two switches each way")
        else:
            estimate.quantities[key] = from_samples(law.dwells[:, 1 - k] * step, "s", call.levels)
        _answer_law(estimate, name, seen[name][1])
    if law is not None:
        estimate.diagnostics["switches_inside_bins_counted"] = law.inside
        estimate.diagnostics["dwell_spread"] = {"dim": law.spread[0], "bright": law.spread[1]}
        if max(law.spread) > 1.0:
            estimate.flag(
                "dwells-not-exponential",
                f"the dwells scatter {max(law.spread):.1f} times more than those of one exponential law: intervals are widened, and dwells shorter than a bin can be more than the mean times allow for",
                "a shorter --bin-width shows more of them",
            )
    return seen


def _answer_shares(
    estimate: Estimate, found: HiddenStates, bright: int, law: Switching | None, call: Call
) -> None:
    """Add the bright share of time, in parts and in whole bins: value of the recording, interval of the law."""
    parts = float((found.posterior @ bright_shares(found, bright)).mean())
    if law is not None:
        parts = law.recorded
    whole = float(found.posterior[:, bright:].sum(axis=1).mean())
    for name, value in (("bright_occupancy", whole), ("bright_time_share", parts)):
        if law is None or not 0.0 < value < 1.0:
            estimate.quantities[name] = Quantity(
                value, "1", reason="fewer than two switches each way: the law behind is not known"
            )
            continue
        drawn = np.log(law.bright_share / (1.0 - law.bright_share))
        if name == "bright_occupancy":
            drawn = drawn - np.median(drawn) + np.log(value / (1.0 - value))
        drawn = 1.0 / (1.0 + np.exp(-drawn))
        bands = [
            Interval(v, *(float(e) for e in np.quantile(drawn, [0.5 - v / 2, 0.5 + v / 2])))
            for v in call.levels
        ]
        estimate.quantities[name] = Quantity(
            value, "1", sigma=float(drawn.std(ddof=1)), intervals=tuple(bands)
        )


def _answer_law(estimate: Estimate, name: str, law: dict[str, float]) -> None:
    """Say which law the whole dwells that were seen follow."""
    if not law:
        return
    power = law["evidence"] > 3.0
    estimate.diagnostics[f"{name}_dwell_law"] = "power" if power else "exponential"
    estimate.diagnostics[f"{name}_dwell"] = law
    if power:
        estimate.flag(
            f"power-law-{name}",
            f"{name} dwells follow a power law with exponent {law['exponent']:.2f} better than an exponential (Δ ln L = {law['evidence']:.0f}); their mean depends on the length of the recording",
        )


def dwell_pictures(found: dict[str, tuple[Floats, dict[str, float]]]) -> list[Picture]:
    """Return the picture of the dwells, none where too few were seen."""
    if all(times.size < FEWEST_DWELLS for times, _ in found.values()):
        return []
    return [_dwell_picture(found)]


def _dwell_picture(found: dict[str, tuple[Floats, dict[str, float]]]) -> Picture:
    layers: list[Any] = []
    for i, (name, (times, law)) in enumerate(found.items()):
        if times.size < FEWEST_DWELLS:
            continue
        x = np.sort(times)
        layers.append(
            points(x, 1.0 - (np.arange(x.size) + 0.5) / x.size, f"{name} dwells", f"series{i}")
        )
        t = np.geomspace(x[0], x[-1], 200)
        layers.append(
            line(t, np.exp(-(t - x[0]) / law["mean"]), f"{name}: exponential", f"series{i}")
        )
    return Picture(
        "dwell",
        "Dwell times",
        (
            Panel(
                layers,
                "time in the state (s)",
                "share that lasts longer",
                x_scale="log",
                y_scale="log",
            ),
        ),
        "Whole dwells that were seen, in whole bins; a straight line is a power law, a sharp fall an exponential. The mean times stated also allow for dwells shorter than a bin.",
    )
