"""Arrival times after the laser pulse: from T3 delays, from a clock channel, or folded on the period.

In: a stream or a stored decay. Out: a histogram of delays over one laser period, in ps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Input
from matterscope.core.errors import DataError
from matterscope.emitters.pulsed import find_comb
from matterscope.emitters.streams import Stream, Survey, choose_pair, open_stream, survey
from matterscope.io import measurements

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.emitters.settings import LifetimeSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_BINS = 1024


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


def gather_decays(given: Input, settings: LifetimeSettings) -> list[Decay]:
    """Return the decays of an input: one of a stream, one per curve of a stored histogram."""
    from matterscope.emitters.coincidences import kind_of

    if kind_of(given) == "photons":
        return [_from_stream(given, settings)]
    return [_from_histogram(m, settings) for m in measurements(given, "histogram")]


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


def _from_stream(given: Input, settings: LifetimeSettings) -> Decay:
    m = measurements(given, "photons")[0]
    flags = list(m.attrs.get("warnings") or ())
    channel = m["channel"].values
    if "delay" in m:
        lanes, each = np.unique(channel[channel > 0], return_counts=True)
        wanted = np.isin(channel, settings.channels or lanes[np.argmax(each)])
        delay = m["delay"].values[wanted]
        period = (
            settings.period * 1000
            if settings.period
            else float(m.attrs.get("sync_period_ps") or 0.0)
        )
        width = float(m.attrs.get("delay_bin_ps") or 0.0) or max(period / MOST_BINS, 1.0)
        top = min(float(delay.max()) + width, period) if period else float(delay.max()) + width
        edges = np.arange(0.0, top + width, width) - 0.5 * min(width, 1.0)
        counts = np.histogram(delay, edges)[0].astype(float)
        return Decay(edges, counts, period, "delays of the T3 records", flags).thinned()
    return _folded(given, m, settings, flags)


def _folded(
    given: Input, m: xr.Dataset, settings: LifetimeSettings, flags: list[dict[str, str]]
) -> Decay:
    time, channel = m["time"].values, m["channel"].values
    stream = open_stream(given)
    found = survey(stream)
    # one detector: cables shift the others by an unknown part of the period
    lanes = list(settings.channels) or found.detectors()[:1]
    events = time[np.isin(channel, lanes)]
    period = settings.period * 1000 if settings.period else _period(stream, found, given.source)
    clocks = dict(found.clocks)
    if 0 in found.counts:
        clocks.setdefault(0, period)
    if clocks:
        lane = min(clocks)
        ticks = time[channel == lane]
        phase, period = _after_ticks(events, ticks, clocks[lane], period)
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
    counts = np.roll(counts, bins // 10 - rise)
    return Decay(edges, counts, period, how, flags)


def _period(stream: Stream, found: Survey, name: str) -> float:
    from matterscope.emitters.coincidences import count_pairs

    pair = choose_pair(found, (), name)
    h = count_pairs(stream, pair, -500_000, 500_000)
    comb = find_comb(h.edges.astype(float), h.counts.astype(float))
    if comb is None:
        raise DataError(
            "no laser period can be found in this stream",
            where=name,
            hint="give it with --period, in ns; a lifetime needs a pulsed laser",
        )
    return comb.period


def _after_ticks(events: Ints, ticks: Ints, clock: float, period: float) -> tuple[Floats, float]:
    """Return delays after the last tick modulo the laser period, which divides the clock's."""
    turns = max(round(clock / period), 1)
    exact = clock / turns
    index = np.searchsorted(ticks, events, "right") - 1
    inside = index >= 0
    since = (events[inside] - ticks[index[inside]]).astype(float)
    # ticks may be missing for long: the clock's period is only known so well
    near = since < 1e5 * clock
    return np.mod(since[near], exact), exact


def _tracked_phase(events: Ints, period: float) -> tuple[Floats, float]:
    """Return phases (ps) with the period refined over growing spans and slow drift taken out."""
    t = (events - events[0]).astype(float)
    span = 200.0 * period
    while span < t[-1]:
        part = t[t < span]
        if part.size > 30:
            reach = 0.5 * period**2 / span
            tried = period + np.linspace(-reach, reach, 21)
            some = part[:: max(part.size // 20_000, 1)]
            period = float(
                tried[np.argmax([abs(np.exp(-2j * np.pi * some / p).sum()) for p in tried])]
            )
        span *= 3.0
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
