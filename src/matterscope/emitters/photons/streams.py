"""Photon streams as verbs use them: opened, surveyed, put in order, reduced to two detectors.

In: a file or a `photons` measurement. Out: a `Stream` that yields blocks as often as asked, and a
`Survey` of it (rates per channel, duration, order, clock channels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError, ReadError
from matterscope.io import measurements

if TYPE_CHECKING:
    from matterscope.core.calls import Input

Ints = NDArray[np.int64]
Lanes = NDArray[np.int8]
Blocks = Iterator[tuple[Ints, Lanes]]
TRACE_STEP_PS = 10_000_000_000
"""10 ms bins of the rate trace in the survey."""
MAX_TRACE_BINS = 4_000_000
CLOCK_JITTER = 200.0
"""Scatter of a clock's intervals at most, ps."""
LEAST_TICKS = 200
"""Events without which a clock cannot be told from photons."""


@dataclass
class Stream:
    """Sorted events in blocks, as often as asked; `flags` came from the reader."""

    name: str
    blocks: Callable[[], Blocks]
    acquisition: float = 0.0
    """Acquisition time that the header states, s; 0 if none."""
    flags: list[dict[str, str]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    longest_lag: float = np.inf
    """Lags beyond this mean nothing (a stream of one blinking state), ps."""


@dataclass
class Survey:
    """What a first pass over a stream found."""

    events: int
    counts: dict[int, int]
    first: int
    last: int
    traces: dict[int, NDArray[np.int64]]
    """Channel → counts in steps of `step` ps."""
    step: int
    clocks: dict[int, float]
    """Channels that tick instead of counting photons → period, ps."""

    @property
    def duration(self) -> float:
        """Return the time from the first to the last event, s."""
        return (self.last - self.first) * 1e-12

    def detectors(self) -> list[int]:
        """Return the channels that count photons, brightest first.

        SYNC (0) is one of them if it does not tick: two detectors on one instrument often use it.
        """
        inputs = [c for c in self.counts if c >= 0 and c not in self.clocks]
        if self.counts.get(0, 0) < LEAST_TICKS:
            inputs = [c for c in inputs if c > 0]
        return sorted(inputs, key=lambda c: (-self.counts[c], c))


def open_stream(given: Input) -> Stream:
    """Return the stream of an input; time-tag files of PicoQuant are decoded block by block."""
    if given.data is None and given.path is not None and not given.selector:
        with given.path.open("rb") as handle:
            head = handle.read(4096)
        from matterscope.io import picoquant

        if picoquant.sniff(given.path, head):
            return _from_tags(picoquant.open_tags(given.path), given.source)
    found = measurements(given, "photons")
    if len(found) > 1:
        raise DataError(
            "the file holds several streams", where=given.source, hint="pick one with FILE:NUMBER"
        )
    m = found[0]
    time, channel = m["time"].values.astype(np.int64, copy=False), m["channel"].values
    lanes = channel.astype(np.int8, copy=False)

    def whole() -> Blocks:
        for i in range(0, time.size, 1 << 20):
            yield time[i : i + (1 << 20)], lanes[i : i + (1 << 20)]

    keep = ("record_type", "records", "overflows", "tick_ps", "truth", "sync_period_ps")
    about = {k: m.attrs[k] for k in keep if k in m.attrs}
    acquisition = float(m.attrs.get("acquisition_s") or 0.0)
    return Stream(given.source, whole, acquisition, list(m.attrs.get("warnings") or ()), about)


def _from_tags(tags: Any, name: str) -> Stream:
    from matterscope.io.picoquant import MISORDER_PS, delay_fault, misorder_flag

    stream = Stream(name, lambda: iter(()), tags.acquisition or 0.0, list(tags.flags))
    stream.about = {"record_type": tags.kind.name, "records": tags.records, "tick_ps": tags.tick}

    def plausible() -> Blocks:
        for time, channel, delay in tags.blocks():
            late = delay_fault(delay, tags) if tags.kind.mode == 3 else None
            if late is not None:
                raise late
            yield time, channel

    def blocks() -> Blocks:
        seen = [0, 0]
        yield from ordered(plausible(), name, MISORDER_PS, seen)
        stream.about["overflows"] = tags.wraps
        flag = misorder_flag(*seen)
        if seen[0] and flag not in stream.flags:
            stream.flags.append(flag)

    stream.blocks = blocks
    return stream


def ordered(blocks: Blocks, name: str, reach: int, seen: list[int]) -> Blocks:
    """Yield events in order when steps back are at most `reach` ps; hold back what may still move.

    `seen` receives the number of steps back and the largest, ps.

    Raises
    ------
    ReadError
        A larger step back: the clock was decoded with the wrong layout.
    """
    held_t, held_c = np.zeros(0, np.int64), np.zeros(0, np.int8)
    last = None
    for time, channel in blocks:
        if not time.size:
            continue
        steps = np.diff(time, prepend=time[0] if last is None else last)
        last = int(time[-1])
        worst = int(-steps.min())
        if worst > reach:
            at = int(np.argmin(steps))
            raise ReadError(
                "the times run backwards",
                where=f"{name}, event {at} of its block",
                got=f"a step of −{worst} ps to {time[at]} ps",
                expected=f"times in order, or steps back of at most {reach} ps",
                hint="the record type or the sync divider in the header is wrong",
            )
        if worst <= 0 and not held_t.size:
            yield time, channel
            continue
        seen[0] += int(np.count_nonzero(steps < 0))
        seen[1] = max(seen[1], worst)
        all_t, all_c = np.concatenate([held_t, time]), np.concatenate([held_c, channel])
        order = np.argsort(all_t, kind="stable")
        all_t, all_c = all_t[order], all_c[order]
        cut = int(np.searchsorted(all_t, all_t[-1] - reach, "left"))
        held_t, held_c = all_t[cut:], all_c[cut:]
        yield all_t[:cut], all_c[:cut]
    if held_t.size:
        yield held_t, held_c


def survey(stream: Stream) -> Survey:
    """Return counts and rate traces per channel of a first pass.

    Raises
    ------
    DataError
        The stream holds no events.
    """
    counts = np.zeros(256, np.int64)
    traces: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    samples: dict[int, Ints] = {}
    first = last = None
    for time, channel in stream.blocks():
        if not time.size:
            continue
        if first is None:
            first = int(time[0])
        last = int(time[-1])
        here = np.bincount(channel.view(np.uint8), minlength=256)
        counts += here
        for code in np.flatnonzero(here):
            lane = int(np.int8(np.uint8(code)))
            events = time[channel == lane]
            bins = (events - first) // TRACE_STEP_PS
            traces.setdefault(lane, []).append((int(bins[0]), np.bincount(bins - bins[0])))
            if lane not in samples:
                samples[lane] = events[:50_000]
    if first is None or last is None:
        raise DataError("the stream holds no events", where=stream.name, got=0)
    if last == first:
        raise DataError(
            "all events of this stream have one time",
            where=stream.name,
            got=f"{int(counts.sum()):,} events at {first} ps",
            hint="the times are in another unit than the file says (whole ps are expected)",
        )
    present = {int(np.int8(np.uint8(c))): int(counts[c]) for c in np.flatnonzero(counts)}
    length = min(int((last - first) // TRACE_STEP_PS) + 1, MAX_TRACE_BINS)
    joined = {lane: joined_counts(parts, length) for lane, parts in traces.items()}
    clocks = {lane: period for lane, s in samples.items() if (period := clock_period(s)) > 0}
    return Survey(int(counts.sum()), present, first, last, joined, TRACE_STEP_PS, clocks)


def joined_counts(parts: list[tuple[int, NDArray[np.int64]]], length: int) -> NDArray[np.int64]:
    """Return counts of bins 0 … length − 1 from pieces that start at a bin each."""
    whole = np.zeros(length, np.int64)
    for start, values in parts:
        stop = min(start + values.size, length)
        if stop > start:
            whole[start:stop] += values[: stop - start]
    return whole


def clock_period(times: Ints) -> float:
    """Return the period (ps) of a channel that ticks, or 0 for one that counts photons.

    Intervals of a clock are whole multiples of the shortest one, to 2 % of it and to `CLOCK_JITTER`;
    photons scatter by the response of their detector and by their lifetime, which is more.
    """
    if times.size < LEAST_TICKS:
        return 0.0
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not steps.size:
        return 0.0
    guess = float(np.quantile(steps, 0.001))
    near = steps[steps < 1.5 * guess]
    if near.size < 3 or guess <= 0:
        return 0.0
    period = float(np.median(near))
    # refine on longer and longer multiples, each time with the period known well enough to count them
    for reach in (3, 10, 30, 100):
        usable = steps[steps < reach * period]
        turns = np.round(usable / period)
        period = float((usable @ turns) / (turns @ turns))
    few = steps[steps < 100 * period]
    phase = few / period - np.round(few / period)
    width = min(0.02, CLOCK_JITTER / period)
    enough = few.size > 100 and float(np.mean(np.abs(phase) < width)) > 0.98
    return period if enough else 0.0


def pair_blocks(
    stream: Stream, pair: tuple[int, int], delay: int = 0
) -> Iterator[tuple[Ints, Ints, int]]:
    """Yield (events of a, events of b moved by −`delay` ps, time up to which both are complete)."""
    held_a, held_b = np.zeros(0, np.int64), np.zeros(0, np.int64)
    until = 0
    for time, channel in stream.blocks():
        if not time.size:
            continue
        a = np.concatenate([held_a, time[channel == pair[0]]])
        b = np.concatenate([held_b, time[channel == pair[1]] - delay])
        until = int(time[-1]) - max(delay, 0)
        i, j = (int(np.searchsorted(x, until, "right")) for x in (a, b))
        held_a, held_b = a[i:], b[j:]
        yield a[:i], b[:j], until
    if held_a.size or held_b.size:
        yield held_a, held_b, int(max(x[-1] for x in (held_a, held_b) if x.size))


def choose_pair(found: Survey, channels: tuple[int, ...], name: str) -> tuple[int, int]:
    """Return the two channels to correlate: those asked for, else the two brightest detectors.

    Raises
    ------
    DataError
        Fewer than two detectors counted, or a channel asked for is absent.
    """
    rates = ", ".join(f"{c}: {n:,}" for c, n in sorted(found.counts.items()))
    if channels:
        missing = [c for c in channels if c not in found.counts]
        if missing or len(set(channels)) != 2:
            raise DataError(
                "two different channels that counted are needed",
                where=name,
                got=", ".join(map(str, channels)),
                expected=f"two of {rates} (channel: events)",
                hint="pass --channels twice, once for each detector",
            )
        return channels[0], channels[1]
    usable = found.detectors()
    if len(usable) < 2:
        # light of a laser on fast detectors ticks as well
        ticking = sorted((c for c in found.clocks if c > 0), key=lambda c: -found.counts[c])
        usable += ticking[: 2 - len(usable)]
    if len(usable) < 2:
        raise DataError(
            "coincidences need two detectors; only one counted",
            where=name,
            got=f"events per channel {rates}",
            expected="two input channels with events",
            hint="one detector is dead or unplugged; --channels names others (0 is SYNC)",
        )
    a, b = sorted(usable[:2])
    return a, b


def sync_flag(pair: tuple[int, int]) -> list[dict[str, str]]:
    """Return the flag that says that SYNC was taken for a detector, if it was."""
    if 0 not in pair:
        return []
    return [
        {
            "code": "sync-as-detector",
            "message": "channel 0 (SYNC, or the first of a file that counts from 0) does not tick: it was taken for a detector",
            "remedy": "--channels names two others",
        }
    ]
