"""Coincidences of two detectors: exact pair histograms and a log-lag g2, streamed or whole.

In: sorted event times (int64 ps) with channels, in blocks. Out: counts with the expectation that an
uncorrelated pair of detectors would give in the same finite window.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAGS = 8
"""New lags per octave of the multi-tau part."""
FINE_SHIFT = 6
"""Bins of 2⁶ = 64 ps, so that binning is a shift."""
FINE_REACH = 1 << 20
"""1.05 µs, up to which bins are that fine."""
GROUP = 4
"""Octaves above that share one bin width: each group is one more pass over the events."""
GROUP_BITS = 10
"""Bins above are 2⁻¹⁰ of the lag where their group begins: few enough to stay in the cache."""
MOST_OCTAVES = 20
SEGMENT = 1 << 18
"""Base bins per step of the multi-tau part: its arrays stay in cache."""
BLOCK = 1 << 18


@njit(cache=False)
def _count_pairs(time: Any, channel: Any, first: int, pair: Any, grid: Any, counts: Any) -> None:
    """Add pairs (b after or before a) with the later event at index ≥ `first` to `counts`.

    Bin k holds delays t_b − t_a in [low + k·width, low + (k + 1)·width).
    """
    a, b = pair
    low, width, reach = grid
    n = time.size
    bins = counts.size
    for i in range(n):
        c = channel[i]
        if c != a and c != b:  # noqa: PLR1714 - compiled
            continue
        t = time[i]
        end = t + reach
        j = i + 1 if i + 1 > first else first
        while j < n and time[j] <= end:
            d = channel[j]
            if d != c and (d == a or d == b):  # noqa: PLR1714, SIM109 - compiled
                gap = time[j] - t if c == a else t - time[j]
                k = (gap - low) // width if gap >= low else -1
                if 0 <= k < bins:
                    counts[k] += 1
            j += 1


@njit(cache=False)
def _octave_pairs(starts: Any, stops: Any, shift: int, low: int, counts: Any) -> None:
    """Count pairs with low ≤ stop − start < low + counts.size·2^shift in bins of 2^shift ps."""
    high = low + (np.int64(counts.size) << shift)
    old = new = 0
    n = starts.size
    for k in range(stops.size):
        t = stops[k]
        while old < n and starts[old] <= t - high:
            old += 1
        new = max(new, old)
        while new < n and starts[new] <= t - low:
            new += 1
        base = t - low
        for j in range(old, new):
            counts[(base - starts[j]) >> shift] += 1


@njit(cache=False, fastmath=True)
def _lagged_sums(a: Any, b: Any, old: int, sums: Any) -> None:
    """Add Σ a[i − lag]·b[i] over i ≥ `old` for lags n … 2n − 1; sums of whole numbers are exact.

    Plain loops: a threaded linear-algebra library spins longer than these short products take.
    """
    n = sums.size
    for k in range(n):
        lag = n + k
        first = old if old > lag else lag
        total = 0.0
        for i in range(first, a.size):
            total += a[i - lag] * b[i]
        sums[k] += total


@njit(cache=False)
def live_events(time: Any, lane: Any, dead: int) -> Any:
    """Return which events come at least `dead` ps after the last kept one of their lane."""
    keep = np.ones(time.size, np.bool_)
    last = np.full(256, np.int64(-(2**62)))
    for i in range(time.size):
        if time[i] - last[lane[i]] < dead:
            keep[i] = False
        else:
            last[lane[i]] = time[i]
    return keep


@dataclass(frozen=True)
class Coincidences:
    """A histogram of delays τ = t_b − t_a with the counts expected of uncorrelated detectors.

    `edges` ps (n + 1), `counts` (n), `expected` (n): counts if the two detectors were independent and
    steady, exact for the finite recording.
    """

    edges: Ints
    counts: Ints
    expected: Floats
    singles: tuple[int, int]
    duration: float
    """Length of the recording, ps."""

    @property
    def delay(self) -> Floats:
        """Return bin centres, ps."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2.0)

    @property
    def g2(self) -> Floats:
        """Return counts / expected."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.counts / self.expected)

    def rebinned(self, factor: int) -> Coincidences:
        """Return the same histogram with `factor` bins in one; a remainder is dropped at both ends."""
        n = self.counts.size // factor
        skip = (self.counts.size - n * factor) // 2
        part = slice(skip, skip + n * factor)
        return Coincidences(
            self.edges[skip : skip + n * factor + 1 : factor],
            self.counts[part].reshape(n, factor).sum(1),
            self.expected[part].reshape(n, factor).sum(1),
            self.singles,
            self.duration,
        )

    def window(self, low: float, high: float) -> Coincidences:
        """Return the bins that lie wholly inside [low, high] ps."""
        first = int(np.searchsorted(self.edges, low, "left"))
        last = int(np.searchsorted(self.edges, high, "right")) - 1
        part = slice(first, max(last, first))
        edges = self.edges[first : max(last, first) + 1]
        return Coincidences(
            edges, self.counts[part], self.expected[part], self.singles, self.duration
        )


class PairHistogram:
    """Counts delays t_b − t_a in a window, block by block; the same bits as all at once.

    Parameters
    ----------
    pair : (int, int)
        Channels a and b.
    low, high : int, ps
        Window of delays; `high` − `low` is cut to whole bins.
    width : int, ps
        Bin width.

    Examples
    --------
    >>> h = PairHistogram((1, 2), -100, 100, 100)
    >>> h.add(np.array([0, 30, 500]), np.array([1, 2, 1], np.int8))
    >>> h.counts.tolist()
    [0, 1]
    """

    def __init__(self, pair: tuple[int, int], low: int, high: int, width: int) -> None:
        bins = max((high - low) // width, 1)
        self.pair, self.low, self.width = pair, int(low), int(width)
        self.edges = low + width * np.arange(bins + 1, dtype=np.int64)
        self.counts = np.zeros(bins, np.int64)
        self.reach = int(max(abs(self.edges[0]), abs(self.edges[-1])))
        self.singles = [0, 0]
        self._time, self._channel = np.zeros(0, np.int64), np.zeros(0, np.int8)
        self._first: int | None = None
        self._last = 0
        self._head: tuple[list[Ints], list[Ints]] = ([], [])

    def add(self, time: Ints, channel: NDArray[Any]) -> None:
        """Add a block of sorted events."""
        if not time.size:
            return
        if self._first is None:
            self._first = int(time[0])
        self._last = int(time[-1])
        carried = self._time.size
        times, channels = time, channel
        if carried:
            times, channels = (
                np.concatenate([self._time, time]),
                np.concatenate([self._channel, channel]),
            )
        _count_pairs(
            times, channels, carried, self.pair, (self.low, self.width, self.reach), self.counts
        )
        self._tally(time, channel)
        keep = int(np.searchsorted(times, self._last - self.reach, "left"))
        self._time, self._channel = times[keep:].copy(), channels[keep:].copy()

    def _tally(self, time: Ints, channel: NDArray[Any]) -> None:
        start = self._first or 0
        near = int(np.searchsorted(time, start + self.reach, "right"))
        for side, c in enumerate(self.pair):
            self.singles[side] += int(np.count_nonzero(channel == c))
            if near:
                self._head[side].append(time[:near][channel[:near] == c])

    def result(self) -> Coincidences:
        """Return the histogram with its finite-window expectation.

        N_A(t ≤ T − τ)·N_B(t ≥ τ)·Δτ/(T − |τ|) for τ > 0, mirrored below; times from the first event.
        """
        start, stop = self._first or 0, self._last
        span = float(max(stop - start, 1))
        centre = (self.edges[1:] + self.edges[:-1]) / 2.0
        early = [np.concatenate(h) if h else np.zeros(0, np.int64) for h in self._head]
        late = [self._time[self._channel == c] for c in self.pair]
        size = np.abs(centre)
        left = np.empty(centre.size)
        right = np.empty(centre.size)
        for sign, (a, b) in ((True, (0, 1)), (False, (1, 0))):
            part = (centre >= 0) == sign
            lag = size[part]
            beyond = late[a].size - np.searchsorted(late[a], stop - lag, "right")
            before = np.searchsorted(early[b], start + lag, "left")
            left[part] = self.singles[a] - beyond
            right[part] = self.singles[b] - before
        expected = left * right * self.width / np.maximum(span - size, 1.0)
        return Coincidences(
            self.edges, self.counts.copy(), expected, (self.singles[0], self.singles[1]), span
        )


def pair_histogram(
    time: Ints, channel: NDArray[Any], pair: tuple[int, int], low: int, high: int, width: int
) -> Coincidences:
    """Return the histogram of t_b − t_a (ps) of a whole stream with its expectation."""
    counter = PairHistogram(pair, low, high, width)
    counter.add(time, channel)
    return counter.result()


@dataclass(frozen=True)
class LogCorrelation:
    """g2 over logarithmic lags: `low`, `high` and centre `lag` of each bin (ps), counts and expectation."""

    low: Floats
    high: Floats
    lag: Floats
    counts: Floats
    expected: Floats

    @property
    def g2(self) -> Floats:
        """Return counts / expected."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.counts / self.expected)

    def plus(self, other: LogCorrelation) -> LogCorrelation:
        """Return the sum with another correlation on the same lags (the other order of detectors)."""
        return LogCorrelation(
            self.low,
            self.high,
            self.lag,
            self.counts + other.counts,
            self.expected + other.expected,
        )


class LogCorrelator:
    """g2 at positive lags from 64 ps to seconds, streamed: pairs one by one, then multi-tau.

    Up to `span` every pair start → stop is counted, in bins of 64 ps up to 1.05 µs and of at most
    1/1024 of the lag above; from `span` on counts in steps of span/8 are correlated at 8 lags per octave and
    rebinned by 2 (Schätzel, Quantum Opt. 2, 287, 1990). All windows are exact: the sums run over the
    times that both detectors saw, from the first event on.

    Parameters
    ----------
    longest : float, ps
        Longest lag.
    rate : float, 1/s
        Mean rate of one detector: it sets `span` so that some ten pairs per event are counted.
    """

    def __init__(self, longest: float, rate: float = 1e6) -> None:
        octaves = int(
            np.clip(np.ceil(np.log2(12e12 / max(rate, 1.0) / FINE_REACH)), 0, MOST_OCTAVES)
        )
        most = int(np.ceil(np.log2(max(longest / FINE_REACH, 1.0))))
        self.longest = float(longest)
        octaves = min(octaves, most)
        self.span = FINE_REACH << octaves
        self.grids = [(0, FINE_SHIFT)]
        reach, sizes = FINE_REACH.bit_length() - 1, [FINE_REACH >> FINE_SHIFT]
        for e in range(0, octaves, GROUP):
            low, high = FINE_REACH << e, FINE_REACH << min(e + GROUP, octaves)
            self.grids.append((low, reach + e - GROUP_BITS))
            sizes.append((high - low) >> (reach + e - GROUP_BITS))
        self.fine = [np.zeros(n, np.int64) for n in sizes]
        self.levels = [_Level() for _ in range(most - octaves)]
        self.base = self.span // LAGS
        self.start: int | None = None
        self.stop = 0
        self.singles = [0, 0]
        self._carry = np.zeros(0, np.int64)
        self._first_stops: list[Ints] = []
        self._open = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._bins_done = 0

    def add(self, starts: Ints, stops: Ints, until: int) -> None:
        """Add all events of both detectors up to the time `until` (ps), each sorted."""
        if self.start is None:
            heads = [int(x[0]) for x in (starts, stops) if x.size]
            if not heads:
                return
            self.start = min(heads)
        lasts = [int(x[-1]) for x in (starts, stops) if x.size]
        self.stop = max([self.stop, *lasts]) if self.singles != [0, 0] or lasts else self.stop
        self.singles[0] += starts.size
        self.singles[1] += stops.size
        early = int(np.searchsorted(stops, self.start + self.span, "right"))
        if early:
            self._first_stops.append(stops[:early].copy())
        known = np.concatenate([self._carry, starts]) if self._carry.size else starts
        for (low, shift), counts in zip(self.grids, self.fine, strict=True):
            _octave_pairs(known, stops, shift, low, counts)
        self._carry = known[np.searchsorted(known, until - self.span, "left") :].copy()
        if self.levels:
            self._bin(starts, stops, until)

    def _bin(self, starts: Ints, stops: Ints, until: int) -> None:
        """Pass on the counts of every base bin that is complete at `until`."""
        begin = self.start or 0
        held = [np.concatenate(p) for p in zip(self._open, (starts, stops), strict=True)]
        whole = max((until - begin) // self.base, self._bins_done)
        while self._bins_done < whole:
            last = min(whole, self._bins_done + SEGMENT)
            edge = begin + last * self.base
            origin = begin + self._bins_done * self.base
            rows = []
            for side, events in enumerate(held):
                cut = int(np.searchsorted(events, edge, "left"))
                index = (events[:cut] - origin) // self.base
                rows.append(np.bincount(index, minlength=last - self._bins_done).astype(float))
                held[side] = events[cut:]
            self._bins_done = last
            for level in self.levels:
                level.add(*rows)
                rows = level.halved(*rows)
        self._open = (held[0].copy(), held[1].copy())

    def result(self, per_decade: int = 20, shortest: float = 100.0) -> LogCorrelation:
        """Return g2 on `per_decade` bins below `span` (whole fine bins) and 8 lags per octave above."""
        fine = self._fine_result(per_decade, shortest)
        rows = [level.rows(self.base << i) for i, level in enumerate(self.levels)]
        table = np.vstack([fine, *[r for r in rows if r.size]]) if rows else fine
        lag = table[:, 2]
        keep = (table[:, 4] > 0) & (lag <= self.longest)
        return LogCorrelation(*(np.asarray(c) for c in table[keep].T))

    def _fine_result(self, per_decade: int, shortest: float) -> Floats:
        begin, end = self.start or 0, self.stop
        length = float(max(end - begin, 1))
        early = np.concatenate([*self._first_stops, np.zeros(0, np.int64)])
        top = min(float(self.span), self.longest)
        count = max(int(np.ceil(per_decade * np.log10(top / shortest))), 1)
        wanted = shortest * (top / shortest) ** (np.arange(count + 1) / count)
        rows = []
        for (low, shift), counts in zip(self.grids, self.fine, strict=True):
            width = 1 << shift
            grid = np.unique(np.clip(np.round((wanted - low) / width), 0, counts.size).astype(int))
            total = np.concatenate([[0], np.cumsum(counts)])
            for i, j in pairwise(grid.tolist()):
                a, b = float(low + i * width), float(low + j * width)
                lag = 0.5 * (a + b)
                left = self.singles[0] - (
                    self._carry.size - np.searchsorted(self._carry, end - lag, "right")
                )
                right = self.singles[1] - np.searchsorted(early, begin + lag, "left")
                expected = left * right * (b - a) / max(length - lag, 1.0)
                rows.append((a, b, lag, total[j] - total[i], expected))
        return np.array(rows, dtype=float).reshape(-1, 5)


class _Level:
    """One octave of the multi-tau part: correlates counts at lags 8 … 15 bins, passes on half the bins."""

    def __init__(self) -> None:
        self.sums = np.zeros(LAGS)
        self.bins = 0
        self.totals = [0.0, 0.0]
        self.tail = [np.zeros(0), np.zeros(0)]
        self.head = np.zeros(0)
        self._odd: list[Floats] = [np.zeros(0), np.zeros(0)]

    def add(self, starts: Floats, stops: Floats) -> None:
        """Add counts of consecutive bins."""
        n = starts.size
        a = np.concatenate([self.tail[0], starts])
        b = np.concatenate([self.tail[1], stops])
        old = self.tail[0].size
        _lagged_sums(a, b, old, self.sums)
        if self.head.size < 2 * LAGS:
            self.head = np.concatenate([self.head, stops[: 2 * LAGS - self.head.size]])
        self.totals[0] += float(starts.sum())
        self.totals[1] += float(stops.sum())
        self.bins += n
        self.tail = [a[-2 * LAGS :].copy(), b[-2 * LAGS :].copy()]

    def halved(self, starts: Floats, stops: Floats) -> list[Floats]:
        """Return sums of pairs of bins; an odd one waits."""
        rows = []
        for side, values in enumerate((starts, stops)):
            joined = np.concatenate([self._odd[side], values])
            even = joined.size // 2 * 2
            self._odd[side] = joined[even:]
            rows.append(joined[:even:2] + joined[1:even:2])
        return rows

    def rows(self, width: int) -> Floats:
        """Return low, high, lag (ps), counts and expectation of the eight lags."""
        lags = LAGS + np.arange(LAGS)
        lags = lags[lags < self.bins]
        left = np.array([self.totals[0] - self.tail[0][-k:].sum() for k in lags])
        right = np.array([self.totals[1] - self.head[:k].sum() for k in lags])
        expected = left * right / (self.bins - lags)
        return np.column_stack(
            [
                (lags - 0.5) * width,
                (lags + 0.5) * width,
                lags * width,
                self.sums[: lags.size],
                expected,
            ]
        )


def log_correlation(
    starts: Ints, stops: Ints, longest: float, *, per_decade: int = 20, shortest: float = 100.0
) -> LogCorrelation:
    """Return g2 at lags `shortest` … `longest` (ps) of two whole streams (ps, sorted).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> a, b = (np.sort(rng.integers(0, 10**12, 100_000)) for _ in range(2))
    >>> g = log_correlation(a, b, 1e9)
    >>> bool(np.all(np.abs(g.g2[-20:] - 1.0) < 0.05))
    True
    """
    ends = [int(x[-1]) for x in (starts, stops) if x.size]
    begins = [int(x[0]) for x in (starts, stops) if x.size]
    if not ends:
        return LogCorrelation(*(np.zeros(0) for _ in range(5)))
    length = max(max(ends) - min(begins), 1)
    rate = min(starts.size, stops.size) / length * 1e12
    correlator = LogCorrelator(min(longest, length / 2), rate)
    # blocks keep the working set in cache; the answer does not depend on them
    edges = np.arange(min(begins), max(ends), max(length // max(starts.size // BLOCK, 1), 1))[1:]
    cuts = [*edges.tolist(), max(ends) + 1]
    i = j = 0
    for edge in cuts:
        k, m = (int(np.searchsorted(x, edge, "left")) for x in (starts, stops))
        correlator.add(starts[i:k], stops[j:m], int(edge))
        i, j = k, m
    return correlator.result(per_decade, shortest)
