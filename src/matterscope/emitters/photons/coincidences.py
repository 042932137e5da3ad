"""Coincidences as evidence: counted from a stream or taken from a stored histogram.

In: an input of `emitters g2`. Out: a histogram with its expectation, wherever the dip may be, the
window that is fitted, and the logarithmic g2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.calls import Input
from matterscope.core.errors import SchemaError
from matterscope.emitters.photons.correlation import (
    Coincidences,
    LogCorrelation,
    LogCorrelator,
    PairHistogram,
)
from matterscope.emitters.photons.dips import find_dip
from matterscope.emitters.photons.pulsed import find_comb, local_mean
from matterscope.emitters.photons.streams import (
    Stream,
    Survey,
    choose_pair,
    pair_blocks,
    survey,
    sync_flag,
)

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.emitters.settings import G2Settings

FINE_PS = 50
"""Bin of the search histogram, ps."""
SAMPLED_EVENTS = 1_000_000


@dataclass
class Evidence:
    """A coincidence histogram with what is known about it."""

    histogram: Coincidences
    free_scale: bool
    origin: str
    found: Survey | None = None
    pair: tuple[int, int] = (1, 2)
    stream: Stream | None = None
    flags: list[dict[str, str]] = field(default_factory=list)


def gather(stream: Stream, settings: G2Settings) -> Evidence:
    """Return the coincidences of a stream, counted here."""
    found = survey(stream)
    pair = choose_pair(found, settings.channels, stream.name)
    reach = int(settings.window * 1000)
    around = int((settings.delay or 0.0) * 1000)
    histogram = count_pairs(stream, pair, around - reach, around + reach)
    flags = stream.flags + ([] if settings.channels else sync_flag(pair))
    evidence = Evidence(histogram, False, "stream", found, pair, stream, flags)
    if settings.excitation != "continuous" and _few_periods(evidence, settings):
        return evidence
    low_rate = float(histogram.expected.mean()) * 1000 / FINE_PS
    if settings.delay is None and low_rate > 1.0 and not _has_structure(histogram):
        # a long cable moves the dip out of the window: look in a ten times wider one
        wide = count_pairs(stream, pair, -10 * reach, 10 * reach, 4 * FINE_PS)
        counts = wide.counts.astype(float)
        # against the level nearby: where bunching has died away is no dip
        position, _, significance = find_dip(wide.edges / 1e3, counts, local_mean(counts, 32))
        if significance > 6.0:
            centre = int(position * 1000)
            evidence.histogram = count_pairs(stream, pair, centre - reach, centre + reach)
            evidence.flags.append(
                {
                    "code": "dip-outside-window",
                    "message": f"no dip within ±{settings.window:g} ns; found at {position:+.1f} ns (channel {pair[1]} − channel {pair[0]})",
                    "remedy": f"--delay {position:.1f} says so from the start",
                }
            )
    return evidence


def _few_periods(evidence: Evidence, settings: G2Settings) -> bool:
    """Widen the window of a slow laser to 24 periods; return whether there was one.

    Trains need ten periods to be told from chance: those above a tenth of the window are looked for in
    a tenfold and a hundredfold one, on the first million events.
    """
    h, stream, pair = evidence.histogram, evidence.stream, evidence.pair
    assert stream is not None
    reach = round(settings.window * 1000)
    period = settings.period * 1000 if settings.period else 0.0
    if not period:
        if find_comb(h.edges.astype(float), h.counts.astype(float)) is not None:
            return False
        for factor in (10, 100):
            ends = (-factor * reach, factor * reach)
            wide = count_pairs(stream, pair, *ends, FINE_PS * factor // 2, SAMPLED_EVENTS)
            found = find_comb(wide.edges.astype(float), wide.counts.astype(float))
            if found is not None:
                period = found.period
                break
    if period < reach / 6.0:
        return False
    half = round(12.0 * period)
    # a slow laser's peaks are wide apart: as many bins as the window has
    width = max(FINE_PS, FINE_PS * (half // (4 * reach)))
    evidence.histogram = count_pairs(stream, pair, -half, half, width)
    return True


def sampled(stream: Stream, lane: int, most: int = 300_000) -> np.ndarray[Any, Any]:
    """Return the first events of one channel, `most` or a block more, ps."""
    parts, total = [], 0
    for time, channel in stream.blocks():
        parts.append(time[channel == lane])
        total += parts[-1].size
        if total >= most:
            break
    return np.concatenate(parts)


def kind_of(given: Input) -> str:
    """Return "photons" or "histogram" for an input of `emitters g2`."""
    if given.data is not None:
        data = given.data[0] if isinstance(given.data, list) else given.data
        return str(data.attrs.get("kind", ""))
    from matterscope.io.reading import sniff

    assert given.path is not None
    for kind in ("photons", "histogram"):
        entry = sniff(given.path, kind)
        if kind in entry.kinds:
            return kind
        if "*" in entry.kinds:
            from matterscope.io import read

            return str(read(given.path, selector=given.selector)[0].attrs["kind"])
    raise SchemaError(
        "this file holds no photon stream and no coincidence histogram",
        where=given.source,
        got=entry.name,
        hint="time tags are read, and histograms with a header such as 'Time (ps), counts'",
    )


def stored(given: Input, state: str = "") -> list[tuple[str, Evidence]]:
    """Return (selector, evidence) of every state of the stored histograms, recordings added."""
    from matterscope.io import measurements

    found = []
    for m in measurements(given, "histogram"):
        axis = "lag" if "lag" in m["counts"].dims else "delay"
        names = [str(s) for s in m.attrs.get("states", [])] if "state" in m["counts"].dims else [""]
        for i, name in enumerate(names):
            if state and name != state:
                continue
            part = m.isel(state=i) if name else m
            label = name or str((m.attrs.get("source") or {}).get("selector") or "")
            found.append((label, _stored_one(part, axis)))
    return found


def _stored_one(m: xr.Dataset, axis: str) -> Evidence:
    lag = m[axis].values.astype(float)
    # narrow integers overflow in sums: widen first
    counts = m["counts"].values.reshape(-1, lag.size).astype(np.float64).sum(0)
    known = "expected" in m
    logarithmic = np.ptp(np.diff(lag)) > 0.5 * float(np.diff(lag).mean())
    edges = _bin_edges(lag)
    expected = (
        m["expected"].values.reshape(-1, lag.size).astype(np.float64).sum(0)
        if known
        else np.diff(edges) / np.diff(edges).mean() * max(float(np.median(counts)), 1e-9)
    )
    histogram = Coincidences(edges, counts, expected, (0, 0), 0.0)
    origin = "log histogram" if logarithmic else "histogram"
    return Evidence(histogram, not known, origin, flags=list(m.attrs.get("warnings") or ()))


def _bin_edges(lag: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    middle = 0.5 * (lag[1:] + lag[:-1])
    return np.concatenate([[1.5 * lag[0] - 0.5 * lag[1]], middle, [1.5 * lag[-1] - 0.5 * lag[-2]]])


def count_pairs(
    stream: Stream,
    pair: tuple[int, int],
    low: int,
    high: int,
    width: int = FINE_PS,
    most: int = 1 << 62,
) -> Coincidences:
    """Return the coincidence histogram of a stream between two delays, ps, of `most` events or a block more."""
    counter = PairHistogram(pair, low, high, width)
    seen = 0
    for time, channel in stream.blocks():
        counter.add(time, channel)
        seen += time.size
        if seen >= most:
            break
    return counter.result()


def _has_structure(histogram: Coincidences) -> bool:
    edges = histogram.edges.astype(float)
    if find_comb(edges, histogram.counts.astype(float)) is not None:
        return True
    factor = max(histogram.counts.size // 4000, 1)
    coarse = histogram.rebinned(factor)
    return find_dip(coarse.edges / 1e3, coarse.counts.astype(float), coarse.expected)[2] > 5.0


def fit_window(
    evidence: Evidence, settings: G2Settings
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return edges (ns), counts and expectation of the fit: fine bins around the dip.

    A stream is rebinned to `bin_width` within ±`fit_window` ns of the deepest dip; a stored histogram
    is taken as it is.
    """
    h = evidence.histogram
    if evidence.origin == "stream":
        factor = max(round(settings.bin_width * 1000 / FINE_PS), 1)
        h = h.rebinned(factor)
        centre = settings.delay
        if centre is None:
            centre = find_dip(h.edges / 1e3, h.counts.astype(float), h.expected)[0]
        reach = settings.fit_window
        h = h.window((centre - reach) * 1000, (centre + reach) * 1000)
    return h.edges / 1000.0, h.counts.astype(float), h.expected


def search_window(
    evidence: Evidence, settings: G2Settings
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return edges (ns), counts and expectation of the whole window, in bins of the fit."""
    h = evidence.histogram
    if evidence.origin == "stream":
        h = h.rebinned(max(round(settings.bin_width * 1000 / FINE_PS), 1))
    return h.edges / 1000.0, h.counts.astype(float), h.expected


def log_g2(evidence: Evidence, delay: float, settings: G2Settings) -> LogCorrelation:
    """Return g2 over logarithmic lags, both orders of the detectors, the delay taken out."""
    assert evidence.stream is not None
    assert evidence.found is not None
    pair, found = evidence.pair, evidence.found
    longest = min(
        settings.longest_lag * 1e12, 0.25 * (found.last - found.first), evidence.stream.longest_lag
    )
    rate = min(found.counts[c] for c in pair) / max(found.duration, 1e-12)
    forward, backward = LogCorrelator(longest, rate), LogCorrelator(longest, rate)
    for a, b, until in pair_blocks(evidence.stream, pair, round(delay)):
        forward.add(a, b, until)
        backward.add(b, a, until)
    return forward.result().plus(backward.result())
