"""Does it blink, and how? States, dwell laws, Fano factor, Allan deviation and bleaching of a rate.

In: a rate trace, or a photon stream that is binned here. Out: levels with occupancy found without a
threshold, and the threshold they would equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.pictures import Panel, Picture, line, mark, points, steps
from matterscope.emitters.photons.dwells import answer_dwells, dwell_pictures, dwell_times
from matterscope.emitters.photons.hidden_states import (
    HiddenStates,
    astride,
    bright_state,
    change_points,
    choose_states,
    fit_states,
)
from matterscope.emitters.photons.joining import join_inputs

if TYPE_CHECKING:
    from matterscope.emitters.settings import TraceSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LOUD = 1.5
"""Variance over mean above which a single level is more than counting noise."""
REFERENCES = [
    "Rabiner, Proc. IEEE 77, 257 (1989): hidden Markov models",
    "Watkins and Yang, J. Phys. Chem. B 109, 617 (2005): change points of photon rates",
    "Killick, Fearnhead and Eckley, J. Am. Stat. Assoc. 107, 1590 (2012): PELT",
    "Clauset, Shalizi and Newman, SIAM Rev. 51, 661 (2009): power laws by likelihood",
    "Gopich and Szabo, J. Phys. Chem. B 107, 5058 (2003): time in a state inside a bin",
]


def infer_trace(inputs: list[Input], settings: TraceSettings, call: Call) -> list[Estimate]:
    """Return one estimate per recording: states, occupancy, dwell laws and noise of the rate."""
    return [
        _one(m, given, settings, call)
        for given in join_inputs(inputs, settings.sample)
        for m in _traces(given, settings)
    ]


def _traces(given: Input, settings: TraceSettings) -> list[xr.Dataset]:
    from matterscope.core.schema import measurement
    from matterscope.emitters.photons.streams import open_stream
    from matterscope.io import measurements
    from matterscope.io.reading import sniff

    kind = "trace"
    if given.data is not None:
        data = given.data[0] if isinstance(given.data, list) else given.data
        kind = str(data.attrs.get("kind"))
    elif given.path is not None and "photons" in sniff(given.path, "photons").kinds:
        kind = "photons"
    if kind != "photons":
        stored: list[xr.Dataset] = measurements(given, "trace")
        return stored
    stream = open_stream(given)
    step = round(settings.bin_width * 1e9)
    parts: dict[int, list[tuple[int, Ints]]] = {}
    first = last = None
    for time, channel in stream.blocks():
        first = int(time[0]) if first is None else first
        last = int(time[-1])
        for c in np.unique(channel[channel > 0]):
            bins = (time[channel == c] - first) // step
            parts.setdefault(int(c), []).append((int(bins[0]), np.bincount(bins - bins[0])))
    if first is None or last is None:
        raise DataError("the stream holds no events", where=given.source, got=0)
    from matterscope.emitters.photons.streams import joined_counts

    # the last bin is not full
    n = max(int((last - first) // step), 1)
    lanes = sorted(c for c in parts if not settings.channels or c in settings.channels)
    counts = np.stack([joined_counts(parts[c], n) for c in lanes])
    width = step * 1e-12
    return [
        measurement(
            "trace",
            {"time": ((np.arange(n) + 0.5) * width, "s")},
            {"counts": (("detector", "time"), counts, "counts")},
            source={"uri": given.source},
            warnings=stream.flags,
        )
    ]


def summed(m: xr.Dataset) -> tuple[Floats, Ints, float]:
    """Return (time s, counts per bin over all detectors, bin s) of a trace."""
    time = m["time"].values.astype(float)
    values = m["counts"].values
    step = float(np.median(np.diff(time))) if time.size > 1 else 1.0
    whole = values.reshape(-1, time.size).sum(0, dtype=np.float64)
    if m["counts"].attrs["units"] == "counts/s":
        whole = whole * step
    return time, np.round(whole).astype(np.int64), step


def _one(m: xr.Dataset, given: Input, settings: TraceSettings, call: Call) -> Estimate:
    selector = str((m.attrs.get("source") or {}).get("selector") or given.selector)
    estimate = Estimate("emitters trace", InputRef(given.source, selector, given.sha256))
    for f in m.attrs.get("warnings") or ():
        estimate.flag(f["code"], f["message"], f.get("remedy", ""))
    time, counts, step = summed(m)
    if counts.size < 20:
        raise DataError(
            "a trace needs at least twenty bins",
            where=given.source,
            got=counts.size,
            hint="use a shorter --bin-width",
        )
    if settings.states == "auto":
        found, bic = choose_states(counts)
    else:
        found, bic = fit_states(counts, int(settings.states)), {}
    estimate.provenance = {
        "references": REFERENCES,
        "settings": settings.model_dump(),
        "model": "hidden Markov chain of gamma–Poisson counts",
    }
    bright = bright_state(found)
    _answer_states(estimate, found, bright, step, call)
    breaks = change_points(counts, fano=float(np.average(found.fano, weights=found.occupancy)))
    seen = answer_dwells(estimate, counts, found, bright, (step, call))
    _noise(estimate, counts, step)
    _bleaching(estimate, found, time, bright)
    estimate.diagnostics |= {
        "bic": {str(k): v for k, v in bic.items()},
        "iterations": found.iterations,
        "bins": int(counts.size),
        "bin_width_s": step,
        "change_points": int(breaks.size),
    }
    if "author_state" in m:
        theirs = m["author_state"].values == 2
        estimate.diagnostics["author_bright_share"] = float(theirs.mean())
        estimate.diagnostics["agreement_with_author_states"] = float(
            np.mean(theirs == (found.path >= bright))
        )
    estimate.arrays["state"] = xr.DataArray(
        found.path + 1, {"time": ("time", time, {"units": "s"})}, ("time",), attrs={"units": "1"}
    )
    estimate.pictures += [
        _trace_picture(time, counts, step, found, bright),
        _noise_picture(counts, step),
    ]
    estimate.pictures += dwell_pictures(seen)
    return estimate


def _answer_states(
    estimate: Estimate, found: HiddenStates, bright: int, step: float, call: Call
) -> None:
    rates, passing = found.means / step, astride(found)
    error = (
        np.sqrt(found.means * found.fano / np.maximum(found.occupancy * found.path.size, 1.0))
        / step
    )
    table = pd.DataFrame(
        {
            "state": np.arange(1, rates.size + 1),
            "rate": rates,
            "rate_sigma": error,
            "occupancy": found.occupancy,
            "fano": found.fano,
            "dwell": step / np.maximum(1.0 - np.diag(found.transition), 1e-12)
            if rates.size > 1
            else np.nan,
            "group": [
                "switching" if passing[k] else "bright" if k >= bright else "dim"
                for k in range(rates.size)
            ],
        }
    )
    table.attrs["units"] = {
        "state": "1",
        "rate": "counts/s",
        "rate_sigma": "counts/s",
        "occupancy": "1",
        "fano": "1",
        "dwell": "s",
        "group": "1",
    }
    estimate.tables["states"] = table
    estimate.quantities["states"] = Quantity(
        int(rates.size - passing.sum()),
        "1",
        reason="least Bayesian information criterion with levels apart by 1.5 σ; bins astride a switch are no state",
    )
    if passing.any():
        estimate.flag(
            "switches-inside-bins",
            f"{found.occupancy[passing].sum():.1%} of the bins lie astride a switch; bright_time_share counts their bright part, bright_occupancy whole bins",
            "a shorter --bin-width",
        )
    if rates.size == 1:
        estimate.quantities["bright_occupancy"] = refused("1", "one level explains the trace")
        ratio = float(found.fano[0])
        words = (
            "it does not blink above the noise"
            if ratio < LOUD
            else f"its rate fluctuates more than counting does (variance over mean {ratio:.3g} in a bin), but not between levels"
        )
        remedy = "" if ratio < LOUD else "a shorter --bin-width shows faster switching"
        estimate.flag("one-state", f"one level explains the trace: {words}", remedy)
        return
    # a bin astride a switch has the rate of neither level
    held = np.where(passing, 0.0, found.occupancy)
    estimate.quantities["bright_rate"] = _weighted(rates, error, held, slice(bright, None), call)
    estimate.quantities["dim_rate"] = _weighted(rates, error, held, slice(0, bright), call)
    low, high = found.means[bright - 1], found.means[bright]
    noise = np.sqrt(found.means * found.fano)
    share = noise[bright - 1] / (noise[bright - 1] + noise[bright])
    estimate.quantities["equivalent_threshold"] = Quantity(
        float((low + share * (high - low)) / step),
        "counts/s",
        reason="the cut between the groups that these states equal; nothing was cut",
    )


def _weighted(rates: Floats, error: Floats, share: Floats, part: slice, call: Call) -> Quantity:
    from matterscope.core.estimates import gaussian

    weight = share[part] / share[part].sum()
    return gaussian(
        float(weight @ rates[part]),
        float(np.sqrt(weight**2 @ error[part] ** 2)),
        "counts/s",
        call.levels,
    )


def fano_factor(counts: Ints, factors: Ints) -> Floats:
    """Return F = var/mean of counts in windows of `factors` bins each."""
    values = []
    for f in factors:
        n = counts.size // f
        blocks = counts[: n * f].reshape(n, f).sum(1)
        values.append(blocks.var(ddof=1) / max(blocks.mean(), 1e-12))
    return np.array(values)


def allan_deviation(counts: Ints, step: float, factors: Ints) -> Floats:
    """Return the Allan deviation of the rate, counts/s: √(½⟨(r_{i+1} − r_i)²⟩) over windows."""
    values = []
    for f in factors:
        n = counts.size // f
        rate = counts[: n * f].reshape(n, f).sum(1) / (f * step)
        values.append(np.sqrt(0.5 * np.mean(np.diff(rate) ** 2)))
    return np.array(values)


def windows(n: int) -> Ints:
    """Return window lengths in bins, about four per octave, with at least eight windows each."""
    return np.unique(np.round(2.0 ** np.arange(0, np.log2(max(n / 8, 2)), 0.25)).astype(np.int64))


def _noise(estimate: Estimate, counts: Ints, step: float) -> None:
    factors = windows(counts.size)
    lag = {"window": ("window", factors * step, {"units": "s"})}
    for name, values, units in (
        ("fano_factor", fano_factor(counts, factors), "1"),
        ("allan_deviation", allan_deviation(counts, step, factors), "counts/s"),
    ):
        estimate.arrays[name] = xr.DataArray(values, lag, ("window",), attrs={"units": units})
    fano = float(estimate.arrays["fano_factor"].values[0])
    error = fano * np.sqrt(2.0 / max(counts.size - 1, 1))
    estimate.quantities["fano_factor"] = Quantity(
        fano, "1", sigma=float(error), intervals=(Interval(0.68, fano - error, fano + error),)
    )
    mean = float(counts.mean() / step)
    half = float(np.sqrt(counts.var() / counts.size) / step)
    estimate.quantities["total_rate"] = Quantity(
        mean, "counts/s", sigma=half, intervals=(Interval(0.68, mean - half, mean + half),)
    )


def _bleaching(estimate: Estimate, found: HiddenStates, time: Floats, bright: int) -> None:
    """Answer when it went dark for good; a lower limit where it is still bright at the end.

    The last bright stretch bleached if the dark rest is longer than every earlier dark dwell by a
    factor of 3; otherwise the recording only bounds the time.
    """
    on = found.path >= bright
    span = float(time[-1] - time[0])
    last = int(np.flatnonzero(on)[-1]) if on.any() else -1
    rest = on.size - 1 - last
    _, dim = dwell_times(on, 1.0)
    longest = float(dim.max()) if dim.size else 0.0
    if bright > 0 and last >= 0 and rest > max(3.0 * longest, 0.05 * on.size):
        estimate.quantities["bleaching_time"] = Quantity(
            float(time[last] - time[0]), "s", reason="end of the last bright stretch of one emitter"
        )
        estimate.flag("bleached", f"dark from {time[last]:.2f} s to the end of the recording")
        return
    # no event in `span`: at 95 %, the rate is below 3/span
    estimate.quantities["bleaching_time"] = Quantity(
        None, "s", intervals=(Interval(0.95, span / 3.0, None),), reason="it did not bleach"
    )


def _trace_picture(
    time: Floats, counts: Ints, step: float, found: HiddenStates, bright: int
) -> Picture:
    factor = max(int(np.ceil(time.size / 1200)), 1)
    n = time.size // factor * factor
    rate = counts[:n].reshape(-1, factor).mean(1) / step / 1000.0
    short = time[:n].reshape(-1, factor).mean(1)
    levels = found.means[found.path][:n].reshape(-1, factor).mean(1) / step / 1000.0
    # Freedman and Diaconis, too coarse for two levels, but never finer than one count
    finest = max(int(np.ptp(counts)) + 1, 2)
    edges = np.histogram_bin_edges(counts, bins="fd")
    heights, edges = np.histogram(counts, bins=min(120, finest, max(edges.size - 1, 48)))
    held = found.means[~astride(found)]
    marks = [mark(x=(held / step / 1000.0).tolist(), label="levels")]
    return Picture(
        "trace",
        "Rate and states",
        (
            Panel(
                [line(short, rate, "measured", "data"), line(short, levels, "states")],
                "time (s)",
                "rate (kcounts/s)",
                height=1.3,
                # room for the legend, which would cover the switches
                y_range=(0.0, 1.3 * max(float(rate.max()), 1e-6)),
            ),
            Panel(
                [steps(edges / step / 1000.0, heights, "bins"), *marks],
                "rate (kcounts/s)",
                "number of bins",
            ),
        ),
        "Levels found by a hidden Markov model with excess noise; no threshold was set.",
        height=5.2,
    )


def _noise_picture(counts: Ints, step: float) -> Picture:
    factors = windows(counts.size)
    x = factors * step
    allan = allan_deviation(counts, step, factors)
    shot = np.sqrt(counts.mean() / step / x)
    return Picture(
        "noise",
        "Fano factor and Allan deviation",
        (
            Panel(
                [
                    points(x, fano_factor(counts, factors), "measured"),
                    mark(y=[1.0], label="Poisson"),
                ],
                "window (s)",
                "variance / mean",
                x_scale="log",
                y_scale="log",
            ),
            Panel(
                [points(x, allan, "measured"), line(x, shot, "shot noise", "reference")],
                "window (s)",
                "Allan deviation (counts/s)",
                x_scale="log",
                y_scale="log",
            ),
        ),
        "Above shot noise the rate itself fluctuates; where the Allan deviation rises again it drifts.",
        columns=2,
    )
