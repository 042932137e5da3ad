"""Coincidences under a pulsed laser: the period, the peaks, the empty one, and g2(0) from their areas.

In: a coincidence histogram of delays. Out: period and peak positions found without a hint, areas,
the slow-blinking envelope, and g2(0) with binomial intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, poisson

from matterscope.core.estimates import Interval
from matterscope.learn.fitting import Parameter, Values, fit_counts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comb:
    """A train of peaks: period and position of one of them (ps, with its error), and how sure it is.

    `contrast` is the amplitude of the fundamental relative to the mean (0 flat, up to 2);
    `significance` the p-value of the periodogram's peak after trials, as −log10.
    """

    period: float
    offset: float
    contrast: float
    significance: float
    offset_error: float = 0.0


def find_comb(
    edges: Floats, counts: Floats, *, period: float | None = None, shortest: float = 1000.0
) -> Comb | None:
    """Return the train of pulses in a histogram, or None where there is none.

    Parameters
    ----------
    edges : array of shape (n + 1,), ps
        Equal bins.
    counts : array of shape (n,), counts
    period : float, ps, optional
        Known period; only the phase is then found.
    shortest : float, ps
        Shortest period looked for.
    """
    centre = 0.5 * (edges[1:] + edges[:-1])
    step, span, total = float(edges[1] - edges[0]), float(edges[-1] - edges[0]), float(counts.sum())
    if total < (10 if period else 50):
        return None
    significance = float("inf")
    if period is None:
        padded = 2 ** int(np.ceil(np.log2(4 * counts.size)))
        power = np.abs(np.fft.rfft(counts - local_mean(counts), padded)) ** 2 / total
        frequency = np.fft.rfftfreq(padded, step)
        # at least ten periods in the window, and no faster than asked
        allowed = (frequency > 10.0 / span) & (frequency < min(1.0 / shortest, 0.25 / step))
        if not allowed.any():
            return None
        peak = float(power[allowed].max())
        # the lowest line of the comb is the laser; harmonics stand at its multiples
        lines = np.flatnonzero(allowed & (power > 0.25 * peak))
        first = lines[lines < 1.2 * lines[0]]
        top = first[np.argmax(power[first])]
        period = 1.0 / float(frequency[top])
        trials = np.log10(float(np.count_nonzero(allowed)))
        significance = float(power[top] / np.log(10.0) - trials)
        # the padded periodogram sees a line within 13 % of its height
        if significance < 6.0 or 2.0 * np.sqrt(float(power[top]) / total) < 0.15:
            return None
    known = significance == float("inf")
    period, phase = _refine(centre, counts, period, span)
    contrast = 2.0 * abs(phase) / total
    if contrast < 0.2:
        return None
    offset = float(-np.angle(phase) / (2.0 * np.pi) * period)
    if not known and _is_harmonic(centre, counts, period, offset):
        return None
    offset, error = _centred(centre, counts, period, offset)
    return Comb(period, offset, contrast, significance, error)


def _centred(centre: Floats, counts: Floats, period: float, offset: float) -> tuple[float, float]:
    """Return the position of the peaks as the median delay in them, and its standard error, ps.

    The phase of the fundamental is known to a share of the period only; peaks are much narrower.
    """
    reach = 0.5 * period
    error = 0.0
    for _ in range(4):
        away = np.mod(centre - offset + 0.5 * period, period) - 0.5 * period
        near = np.abs(away) <= reach
        order = np.argsort(away[near])
        position, weight = away[near][order], counts[near][order]
        whole = np.cumsum(weight)
        if whole[-1] < 10:
            break
        low, middle, high = np.interp(whole[-1] * np.array([0.16, 0.5, 0.84]), whole, position)
        spread = 0.5 * float(high - low)
        offset += float(middle)
        error = 1.25 * spread / float(np.sqrt(whole[-1]))
        # next time only the peak itself: background would pull the median to the middle
        reach = min(reach, max(3.0 * spread, 4.0 * float(centre[1] - centre[0])))
    return offset, error


def _is_harmonic(centre: Floats, counts: Floats, period: float, offset: float) -> bool:
    """Return whether only every second, third … peak is there: the laser is slower than the window shows.

    Σ|a_k − a_(k−1)| over Σ a_k is 2 then; with all peaks there it is their noise.
    """
    order = np.round((centre - offset) / period).astype(int)
    area = np.bincount(order - order.min(), counts)[1:-1]
    if area.size < 4:
        return False
    change = float(np.abs(np.diff(area)).sum())
    noise = float(np.sqrt(2.0 * np.maximum(area, 1.0)).sum())
    # the empty central peak alone changes by 2 of at least 4 peaks
    return change > float(area.sum()) and change > 1.5 * noise


def local_mean(counts: Floats, parts: int = 16) -> Floats:
    """Return the running mean over two of `parts` of the histogram."""
    width = max(counts.size // parts, 1)
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    low = np.maximum(np.arange(counts.size) - width, 0)
    high = np.minimum(np.arange(counts.size) + width, counts.size)
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _refine(centre: Floats, counts: Floats, period: float, span: float) -> tuple[float, complex]:
    """Return the period with the strongest fundamental, and the fundamental."""
    some = counts > 0
    x, n = centre[some], counts[some]

    def line(candidate: float) -> complex:
        return complex(np.sum(n * np.exp(-2j * np.pi * x / candidate)))

    reach = 0.5 * period**2 / span
    for _ in range(4):
        tried = period + np.linspace(-reach, reach, 21)
        period = float(tried[np.argmax([abs(line(t)) for t in tried])])
        reach /= 8.0
    return period, line(period)


def refined_period(events: NDArray[np.int64], period: float, lag: float) -> tuple[float, float]:
    """Return the laser period (ps) from ever longer intervals, and the longest lag that was used.

    Parameters
    ----------
    events : array, ps
        Sorted events of one detector.
    period : float, ps
        Period known to a fifth of a turn over `lag` ps.
    lag : float, ps

    Notes
    -----
    Intervals up to some lag repeat with the period; its error is a fraction of period²/lag, so that
    the next, longer lag can be counted without losing a turn.
    """
    rate = events.size / max(float(events[-1] - events[0]), 1.0)
    # two thousand events are enough to follow a phase directly
    enough = min(2000.0 / rate, 0.5 * float(events[-1] - events[0]))
    last, goal = lag, 4.0 * lag
    while last < enough:
        goal = min(goal, enough)
        gaps = _intervals(events, 0.25 * goal, goal)
        if gaps.size >= 200:
            reach, step = 0.4 * period**2 / last, 0.05 * period**2 / goal
            tried = period + np.arange(-reach, reach + step, step)
            power = [abs(np.exp(-2j * np.pi * gaps / p).sum()) for p in tried]
            period, last = float(tried[int(np.argmax(power))]), goal
        elif goal >= enough:
            break
        goal *= 4.0
    return period, last


def _intervals(events: NDArray[np.int64], low: float, high: float, most: int = 20_000) -> Floats:
    """Return up to `most` intervals between events of a detector with a length from `low` to `high`."""
    found: list[Floats] = []
    total = 0
    mean = float(events[-1] - events[0]) / max(events.size, 2)
    first = max(int(0.5 * low / mean), 1)
    for k in range(first, min(first + 64, events.size)):
        gap = (events[k:] - events[:-k]).astype(float)
        some = gap[(gap > low) & (gap <= high)]
        found.append(some[: most - total])
        total += found[-1].size
        if total >= most:
            break
    return np.concatenate(found) if found else np.zeros(0)


@dataclass(frozen=True)
class PulsedPeaks:
    """Peaks of a pulsed coincidence histogram.

    `position` (ps), `area` (counts), `envelope` (counts expected of a peak without antibunching);
    `centre` is the index of the central peak; `used` marks the side peaks that the envelope rests on.
    """

    position: Floats
    area: Floats
    envelope: Floats
    centre: int
    used: NDArray[np.bool_]
    chance: float
    """Probability that any of the peaks is as empty as the central one, without antibunching."""
    blinking_amplitude: float
    blinking_time: float
    overdispersion: float

    @property
    def side_mean(self) -> float:
        """Return the mean area of the side peaks that were used."""
        return float(self.area[self.used].mean())

    @property
    def raw(self) -> float:
        """Return the central area over the mean of the side peaks."""
        return float(self.area[self.centre] / self.side_mean)

    @property
    def corrected(self) -> float:
        """Return the central area over the envelope at zero delay."""
        return float(self.area[self.centre] / self.envelope[self.centre])


def measure_peaks(
    edges: Floats, counts: Floats, expected: Floats, comb: Comb, delay: float | None = None
) -> PulsedPeaks:
    """Integrate every peak over one period, fit the envelope, find the emptiest one.

    Parameters
    ----------
    edges : array of shape (n + 1,), ps
    counts, expected : arrays of shape (n,), counts
    comb : Comb
    delay : float, ps, optional
        The central peak is the one nearest to this; without it the emptiest is.
    """
    period, offset = comb.period, comb.offset
    first = int(np.ceil((edges[0] - offset) / period + 0.5))
    last = int(np.floor((edges[-1] - offset) / period - 0.5))
    position = offset + period * np.arange(first, last + 1)
    borders = np.append(position - 0.5 * period, position[-1] + 0.5 * period)
    # a bin astride a border falls to the side of its centre: valleys between peaks are nearly empty
    centre = 0.5 * (edges[1:] + edges[:-1])
    index = np.searchsorted(centre, borders)
    area = np.add.reduceat(np.append(counts, 0.0), index)[:-1].astype(float)
    # the density, not the sum over bins: periods hold one bin more or less in turn
    level = np.interp(position, centre, expected) * period / float(edges[1] - edges[0])
    if delay is None:
        smooth = _smoothed(area)
        middle = int(np.argmin((area - smooth) / np.sqrt(np.maximum(smooth, 1.0))))
    else:
        middle = int(np.argmin(np.abs(position - delay)))
    return _with_envelope(
        position.astype(np.float64), area, np.asarray(level, np.float64), middle, period
    )


def _smoothed(area: Floats) -> Floats:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(area, size=min(9, area.size), mode="nearest"), dtype=float)


def _with_envelope(
    position: Floats, area: Floats, level: Floats, middle: int, period: float
) -> PulsedPeaks:
    used = np.arange(area.size) != middle
    lag = np.abs(position - position[middle])
    shape = level / max(float(level.mean()), 1e-12)
    mean = max(float(area[used].mean()), 1e-9)

    def envelope(values: Values) -> Floats:
        rise = values["amplitude"] * np.exp(-lag / values["time"])
        return np.asarray(values["scale"] * shape * (1.0 + rise))

    flat = [Parameter("scale", mean, 1e-9, 1e12, "counts", "log")]
    none = [Parameter("amplitude", 0.0, fixed=True), Parameter("time", period, fixed=True)]
    some = [
        Parameter("amplitude", 0.1, 0.0, 1e4),
        Parameter("time", max(0.2 * lag.max(), period), period, 100.0 * lag.max(), "ps", "log"),
    ]
    steady = fit_counts(envelope, area, [*flat, *none], weights=used)
    spread = _spread(area, envelope(steady.values), used)
    bunched = fit_counts(envelope, area, [*flat, *some], weights=used) if used.sum() > 8 else steady
    # slow noise makes peaks scatter more than Poisson: the gain must exceed the BIC by that much
    better = 2.0 * (steady.cost - bunched.cost) / spread > 2.0 * np.log(used.sum())
    chosen = bunched if better else steady
    curve = envelope(chosen.values)
    chance = area.size * float(poisson.cdf(area[middle], curve[middle]))
    return PulsedPeaks(
        position,
        area,
        curve,
        middle,
        used,
        min(chance, 1.0),
        chosen.values["amplitude"],
        chosen.values["time"],
        _spread(area, curve, used),
    )


def _spread(area: Floats, curve: Floats, used: NDArray[np.bool_]) -> float:
    chi = np.sum(((area - curve) ** 2 / np.maximum(curve, 1e-9))[used])
    return max(float(chi / max(used.sum() - 1, 1)), 1.0)


def ratio_interval(zero: float, sides: float, peaks: float, level: float) -> Interval:
    """Return the interval of g = K·p/(1 − p) from A0 counts given A0 + ΣA_k (Clopper and Pearson).

    Given their sum, the central area is binomial with p = g/(g + K). With fewer than ten central
    counts it is an upper limit at `level`.

    Parameters
    ----------
    zero, sides : float, counts
        Central area and sum of the side areas.
    peaks : float
        K: side peaks, each weighted with its envelope over that of the centre.

    Examples
    --------
    >>> round(ratio_interval(0, 45 * 100, 100, 0.95).high, 3)
    0.067
    """

    def share(quantile: float, upper: bool) -> float:
        p = beta.ppf(quantile, zero + 1, sides) if upper else beta.ppf(quantile, zero, sides + 1)
        return float(peaks * p / (1.0 - p))

    if zero < 10:
        return Interval(level, None, share(level, True))
    tail = 0.5 * (1.0 - level)
    return Interval(level, share(tail, False), share(1.0 - tail, True))
