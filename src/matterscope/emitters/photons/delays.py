"""Arrival times after the laser pulse: from T3 delays, from a clock channel, or folded on the period.

In: a stream or a stored decay. Out: a histogram of delays over one laser period, in ps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Input
from matterscope.core.errors import DataError
from matterscope.emitters.photons.coincidences import FINE_PS, count_pairs, kind_of
from matterscope.emitters.photons.gating import wanted_gates
from matterscope.emitters.photons.pulsed import find_comb, refined_period
from matterscope.emitters.photons.streams import Stream, Survey, choose_pair, open_stream, survey
from matterscope.io import measurements

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.emitters.settings import LifetimeSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_BINS = 1024
SEARCHED_PS = 500_000
"""Lags in which a laser period is looked for."""


@dataclass
class Decay:
    """Counts over delays: `edges` ps (n + 1), counts (n), and the laser period (ps; 0 unknown)."""

    edges: Floats
    counts: Floats
    period: float
    how: str
    flags: list[dict[str, str]] = field(default_factory=list)
    selector: str = ""

    def thinned(self) -> Decay:
        """Return the same with at most `MOST_BINS` bins; a remainder at the end is dropped."""
        factor = max(int(np.ceil(self.counts.size / MOST_BINS)), 1)
        n = self.counts.size // factor * factor
        return Decay(
            self.edges[: n + 1 : factor],
            self.counts[:n].reshape(-1, factor).sum(1),
            self.period,
            self.how,
            self.flags,
            self.selector,
        )


@dataclass
class Arrivals:
    """Photons after their laser pulses: `time` and `delay` of each, ps, on one axis of delays."""

    time: Ints
    delay: Floats
    edges: Floats
    period: float
    how: str
    flags: list[dict[str, str]] = field(default_factory=list)

    def decay(self, keep: NDArray[np.bool_] | None = None, selector: str = "") -> Decay:
        """Return the histogram of all delays, or of those that are kept."""
        delay = self.delay if keep is None else self.delay[keep]
        counts = np.histogram(delay, self.edges)[0].astype(float)
        return Decay(self.edges, counts, self.period, self.how, list(self.flags), selector)


def gather_decays(given: Input, settings: LifetimeSettings) -> list[tuple[Decay, Arrivals | None]]:
    """Return the decays of an input: one of a stream or of each state, one per stored curve."""
    if kind_of(given) != "photons":
        stored = measurements(given, "histogram")
        return [(_from_histogram(m, settings), None) for m in stored]
    found = find_arrivals(given, settings)
    if not settings.state:
        return [(found.decay().thinned(), found)]
    gates = wanted_gates(open_stream(given), settings.state, settings.trace_bin)
    parts: list[tuple[Decay, Arrivals | None]] = []
    for gate in gates:
        inside = gate.inside(found.time)
        part = replace(found, time=found.time[inside], delay=found.delay[inside])
        parts.append((part.decay(selector=gate.name).thinned(), part))
    return parts


def _from_histogram(m: xr.Dataset, settings: LifetimeSettings) -> Decay:
    axis = "delay" if "delay" in m["counts"].dims else "lag"
    delay = m[axis].values.astype(float)
    counts = m["counts"].values.reshape(-1, delay.size).astype(np.float64).sum(0)
    step = float(np.median(np.diff(delay)))
    filled = np.flatnonzero(counts > 0)
    if not filled.size:
        raise DataError("the histogram is empty", got="0 counts")
    # converters leave the bins beyond the sync period empty
    last = int(filled[-1]) + 1
    edges = np.append(delay, delay[-1] + step)[: last + 1]
    period = (
        settings.period * 1000 if settings.period else float(m.attrs.get("sync_period_ps") or 0.0)
    )
    selector = str((m.attrs.get("source") or {}).get("selector") or "")
    return Decay(
        edges,
        counts[:last],
        period,
        "stored histogram",
        list(m.attrs.get("warnings") or ()),
        selector,
    ).thinned()


def find_arrivals(given: Input, settings: LifetimeSettings) -> Arrivals:
    """Return the delays of a stream's photons: as recorded (T3), after a clock, or folded."""
    m = measurements(given, "photons")[0]
    flags = list(m.attrs.get("warnings") or ())
    if "delay" not in m:
        return _folded(given, m, settings, flags)
    channel = m["channel"].values
    lanes, each = np.unique(channel[channel > 0], return_counts=True)
    wanted = np.isin(channel, settings.channels or lanes[np.argmax(each)])
    delay = m["delay"].values[wanted]
    if not delay.size:
        raise DataError("no photons on these channels", where=given.source, got=settings.channels)
    sync = float(m.attrs.get("sync_period_ps") or 0.0)
    period = settings.period * 1000 if settings.period else sync
    width = float(m.attrs.get("delay_bin_ps") or 0.0) or max(period / MOST_BINS, 1.0)
    top = min(float(delay.max()) + width, period) if period else float(delay.max()) + width
    edges = np.arange(0.0, top + width, width) - 0.5 * min(width, 1.0)
    how = "delays of the T3 records"
    return Arrivals(m["time"].values[wanted], delay.astype(float), edges, period, how, flags)


def _folded(
    given: Input, m: xr.Dataset, settings: LifetimeSettings, flags: list[dict[str, str]]
) -> Arrivals:
    time, channel = m["time"].values, m["channel"].values
    stream = open_stream(given)
    found = survey(stream)
    # one detector: cables shift the others by an unknown part of the period
    lanes = list(settings.channels) or found.detectors()[:1]
    events = time[np.isin(channel, lanes)]
    if not events.size:
        raise DataError("no photons on these channels", where=given.source, got=lanes)
    period = settings.period * 1000 if settings.period else _period(stream, found, given.source)
    clocks = dict(found.clocks)
    if 0 in found.counts:
        clocks.setdefault(0, period)
    if clocks:
        lane = min(clocks)
        ticks = time[channel == lane]
        events, phase, period = _after_ticks(events, ticks, clocks[lane], period)
        how = f"delay after the clock on channel {lane}, folded on the laser period"
    else:
        phase, period = _tracked_phase(events, period)
        how = "folded on the laser period, its phase followed through the recording"
    width = max(period / 512, settings.bin_width * 1000 if settings.bin_width else 0.0)
    bins = max(int(period // width), 8)
    edges = np.linspace(0.0, period, bins + 1)
    counts = np.histogram(phase, edges)[0].astype(float)
    # the zero of the phase is arbitrary: turn the rise to a tenth of the period
    rise = int(np.argmax(np.diff(np.r_[counts[-3:], counts, counts[:3]])[2:-3]))
    turned = np.mod(phase + (bins // 10 - rise) * period / bins, period)
    return Arrivals(events, turned, edges, period, how, flags)


def _period(stream: Stream, found: Survey, name: str) -> float:
    """Return the laser period in the coincidences of two detectors, or in the intervals of one."""
    if len(found.detectors()) < 2:
        lane = found.detectors()[0]
        edges = np.arange(0, SEARCHED_PS + 1, FINE_PS)
        counts = np.zeros(edges.size - 1)
        for time, channel in stream.blocks():
            counts += np.histogram(np.diff(time[channel == lane]), edges)[0]
        comb = find_comb(edges.astype(float), counts)
    else:
        h = count_pairs(stream, choose_pair(found, (), name), -SEARCHED_PS, SEARCHED_PS)
        comb = find_comb(h.edges.astype(float), h.counts.astype(float))
    if comb is None:
        raise DataError(
            "no laser period can be found in this stream",
            where=name,
            hint="give it with --period, in ns; a lifetime needs a pulsed laser",
        )
    return comb.period


def _after_ticks(
    events: Ints, ticks: Ints, clock: float, period: float
) -> tuple[Ints, Floats, float]:
    """Return events with their delays after the last tick, modulo the laser period of the clock's."""
    turns = max(round(clock / period), 1)
    exact = clock / turns
    index = np.searchsorted(ticks, events, "right") - 1
    inside = index >= 0
    since = (events[inside] - ticks[index[inside]]).astype(float)
    # ticks may be missing for long: the clock's period is only known so well
    near = since < 1e5 * clock
    return events[inside][near], np.mod(since[near], exact), exact


def _tracked_phase(events: Ints, period: float) -> tuple[Floats, float]:
    """Return phases (ps) with the period refined over growing spans and slow drift taken out."""
    period, span = refined_period(events, period, SEARCHED_PS)
    t = (events - events[0]).astype(float)
    while span < t[-1]:
        span = min(3.0 * span, float(t[-1]) + 1.0)
        part = t[t < span]
        if part.size > 30:
            reach = 1.5 * period**2 / span
            tried = period + np.linspace(-reach, reach, 41)
            some = part[:: max(part.size // 20_000, 1)]
            period = float(
                tried[np.argmax([abs(np.exp(-2j * np.pi * some / p).sum()) for p in tried])]
            )
    blocks = np.array_split(np.arange(t.size), max(t.size // 2000, 1))
    phase = np.empty(t.size)
    for block in blocks:
        line = np.exp(-2j * np.pi * t[block] / period).sum()
        phase[block] = np.mod(t[block] + np.angle(line) / (2.0 * np.pi) * period, period)
    return phase, period


def response_of(path: str, decay: Decay) -> Floats:
    """Return a measured response on the bins of the decay, normalised to 1.

    Raises
    ------
    DataError
        The response has no counts.
    """
    from matterscope.core.verbs import as_input

    m = measurements(as_input(path), "histogram")[0]
    axis = "delay" if "delay" in m["counts"].dims else "lag"
    at: Any = m[axis].values.astype(float)
    counts = m["counts"].values.reshape(-1, at.size).astype(np.float64).sum(0)
    floor = float(np.median(counts))
    clean = np.where(counts > floor + 5.0 * np.sqrt(floor + 1.0), counts - floor, 0.0)
    whole = np.concatenate([[0.0], np.cumsum(clean)])
    edges = np.append(at, at[-1] + float(np.median(np.diff(at))))
    shares = np.diff(np.interp(decay.edges, edges, whole))
    if shares.sum() <= 0:
        raise DataError("the response has no counts on the axis of the decay", where=path)
    return np.asarray(shares / shares.sum())
