"""PicoQuant time-tag records: 32-bit words into times and channels, block by block.

In: little-endian uint32 records and the overflow carried so far. Out: int64 times (ps), int8 channels,
and for T3 also the delay after the sync (ps). Channel 0 is SYNC, 1 … 64 the inputs, −1 … −15 markers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

SYNC = 0
HYDRA_V1_WRAP = 33_552_000
HYDRA_V2_WRAP = 33_554_432
PICO_WRAP = 210_698_240


@dataclass(frozen=True)
class RecordType:
    """One record layout: instrument, mode (2 or 3) and how its overflows count."""

    name: str
    mode: int
    layout: str
    wrap: int
    counted: bool = False
    """The overflow record holds the number of wraps (0 counts as 1)."""


RECORD_TYPES: dict[int, RecordType] = {
    0x00010203: RecordType("PicoHarp T2", 2, "pico", PICO_WRAP),
    0x00010303: RecordType("PicoHarp T3", 3, "pico", 65_536),
    0x00010204: RecordType("HydraHarp V1 T2", 2, "hydra", HYDRA_V1_WRAP),
    0x00010304: RecordType("HydraHarp V1 T3", 3, "hydra", 1024),
    0x01010204: RecordType("HydraHarp V2 T2", 2, "hydra", HYDRA_V2_WRAP, True),
    0x01010304: RecordType("HydraHarp V2 T3", 3, "hydra", 1024, True),
    0x00010205: RecordType("TimeHarp 260 N T2", 2, "hydra", HYDRA_V2_WRAP, True),
    0x00010305: RecordType("TimeHarp 260 N T3", 3, "hydra", 1024, True),
    0x00010206: RecordType("TimeHarp 260 P T2", 2, "hydra", HYDRA_V2_WRAP, True),
    0x00010306: RecordType("TimeHarp 260 P T3", 3, "hydra", 1024, True),
    0x00010207: RecordType("MultiHarp T2", 2, "hydra", HYDRA_V2_WRAP, True),
    0x00010307: RecordType("MultiHarp T3", 3, "hydra", 1024, True),
    0x00000200: RecordType("TimeHarp 200 T3R", 3, "timeharp", 65_536),
}
"""Type code of the header → layout; the last code is ours (T3R files carry none)."""


@njit(cache=False)
def _hydra_t2(records: Any, state: Any, wrap: int, counted: bool, scale: Any, out: Any) -> int:
    time, channel, _ = out
    num, den = scale
    base, wraps = state[0], state[0] * 0
    count = 0
    for k in range(records.size):
        word = np.int64(records[k])
        tag = word & 0x1FFFFFF
        lane = (word >> 25) & 0x7F
        if lane == 127:
            step = tag if counted and tag > 0 else 1
            base += wrap * step
            wraps += step
            continue
        ticks = base + tag
        time[count] = ticks * num if den == 1 else ticks * num // den
        # special events: lane 64 is SYNC, 65 … 79 are markers; below 64 the input counts from 0
        channel[count] = lane + 1 if lane < 64 else 64 - lane
        count += 1
    state[0] = base
    state[1] += wraps
    return count


@njit(cache=False)
def _hydra_t3(records: Any, state: Any, wrap: int, counted: bool, scale: Any, out: Any) -> int:
    time, channel, delay = out
    period, resolution = scale
    base, wraps = state[0], state[0] * 0
    count = 0
    for k in range(records.size):
        word = np.int64(records[k])
        sync = word & 0x3FF
        bins = (word >> 10) & 0x7FFF
        lane = (word >> 25) & 0x7F
        if lane == 127:
            step = sync if counted and sync > 0 else 1
            base += wrap * step
            wraps += step
            continue
        late = np.int64(bins * resolution + 0.5) if lane < 64 else 0
        time[count] = np.int64((base + sync) * period + 0.5) + late
        delay[count] = late
        channel[count] = lane + 1 if lane < 64 else 64 - lane
        count += 1
    state[0] = base
    state[1] += wraps
    return count


@njit(cache=False)
def _pico_t2(records: Any, state: Any, wrap: int, counted: bool, scale: Any, out: Any) -> int:
    time, channel, _ = out
    num, den = scale
    base, wraps = state[0], state[0] * 0
    count = 0
    for k in range(records.size):
        word = np.int64(records[k])
        tag = word & 0xFFFFFFF
        lane = (word >> 28) & 0xF
        if lane == 15 and tag & 0xF == 0:
            base += wrap
            wraps += 1
            continue
        ticks = base + tag
        time[count] = ticks * num if den == 1 else ticks * num // den
        channel[count] = -(tag & 0xF) if lane == 15 else lane + 1
        count += 1
    state[0] = base
    state[1] += wraps
    return count


@njit(cache=False)
def _pico_t3(records: Any, state: Any, wrap: int, counted: bool, scale: Any, out: Any) -> int:
    time, channel, delay = out
    period, resolution = scale
    base, wraps = state[0], state[0] * 0
    count = 0
    for k in range(records.size):
        word = np.int64(records[k])
        sync = word & 0xFFFF
        bins = (word >> 16) & 0xFFF
        lane = (word >> 28) & 0xF
        if lane == 15 and bins == 0:
            base += wrap
            wraps += 1
            continue
        late = np.int64(bins * resolution + 0.5) if lane < 15 else 0
        time[count] = np.int64((base + sync) * period + 0.5) + late
        delay[count] = late
        # routing counts inputs from 1 in T3 mode
        channel[count] = -(bins & 0xF) if lane == 15 else max(lane, 1)
        count += 1
    state[0] = base
    state[1] += wraps
    return count


@njit(cache=False)
def _timeharp(records: Any, state: Any, wrap: int, counted: bool, scale: Any, out: Any) -> int:
    time, channel, delay = out
    tick, resolution = scale
    base, wraps = state[0], state[0] * 0
    count = 0
    for k in range(records.size):
        word = np.int64(records[k])
        tag = word & 0xFFFF
        bins = (word >> 16) & 0xFFF
        if (word >> 30) & 1:
            time[count] = np.int64((base + tag) * tick + 0.5)
            # reversed start–stop is left as it is: a bin of the converter
            delay[count] = np.int64(bins * resolution + 0.5)
            channel[count] = ((word >> 28) & 3) + 1
            count += 1
        elif bins & 0x800:
            base += wrap
            wraps += 1
        elif bins & 7:
            time[count] = np.int64((base + tag) * tick + 0.5)
            delay[count] = 0
            channel[count] = -(bins & 7)
            count += 1
    state[0] = base
    state[1] += wraps
    return count


DECODERS: dict[tuple[str, int], Callable[..., int]] = {
    ("hydra", 2): _hydra_t2,
    ("hydra", 3): _hydra_t3,
    ("pico", 2): _pico_t2,
    ("pico", 3): _pico_t3,
    ("timeharp", 3): _timeharp,
}


def scale_of(kind: RecordType, tick: float, resolution: float) -> tuple[float, float]:
    """Return what a decoder multiplies by: a ratio of integers (ps per tick) in T2, (period, bin) in T3.

    Parameters
    ----------
    tick : float, ps
        T2: time unit. T3: sync period (T3R: the global clock).
    resolution : float, ps
        T3: width of a delay bin.
    """
    if kind.mode == 3:
        return float(tick), float(resolution)
    from fractions import Fraction

    ratio = Fraction(tick).limit_denominator(1000)
    return ratio.numerator, ratio.denominator


def decode(
    records: np.ndarray[Any, Any],
    kind: RecordType,
    scale: tuple[float, float],
    state: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Decode one block of records; `state` (overflow ticks, wraps) is carried and changed.

    Returns
    -------
    time : int64, ps
    channel : int8
    delay : int64, ps
        Empty in T2.
    """
    n = records.size
    time, channel = np.empty(n, np.int64), np.empty(n, np.int8)
    delay = np.empty(n if kind.mode == 3 else 0, np.int64)
    count = DECODERS[kind.layout, kind.mode](
        records, state, kind.wrap, kind.counted, scale, (time, channel, delay)
    )
    return time[:count], channel[:count], delay[:count]
