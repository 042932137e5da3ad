"""Writing PTU files: every record type that is read, T2 and T3, with overflows as instruments make them.

In: sorted times (ps), channels (0 SYNC, inputs from 1, markers below 0), and delays for T3.
Out: a file that the vendor's readers and ours decode to the same events.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ConfigError
from matterscope.core.files import write_bytes
from matterscope.io.picoquant_headers import TAG
from matterscope.io.picoquant_records import RECORD_TYPES, RecordType

if TYPE_CHECKING:
    import xarray as xr

Ints = np.ndarray[Any, np.dtype[np.int64]]
_INT, _FLOAT, _ANSI, _EMPTY = 0x10000008, 0x20000008, 0x4001FFFF, 0xFFFF0008


def tag(name: str, value: Any, index: int = -1) -> bytes:
    """Return one header tag: None, int, float or str."""
    raw = name.encode("latin-1").ljust(32, b"\0")
    if value is None:
        return TAG.pack(raw, index, _EMPTY, 0)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        text += b"\0" * (-len(text) % 8)
        return TAG.pack(raw, index, _ANSI, len(text)) + text
    if isinstance(value, float):
        return TAG.pack(raw, index, _FLOAT, struct.unpack("<q", struct.pack("<d", value))[0])
    return TAG.pack(raw, index, _INT, int(value))


def write_ptu(
    dataset: xr.Dataset, path: Path, *, record_type: int = 0x01010204, tick: float | None = None
) -> None:
    """Write a `photons` measurement as PTU.

    Parameters
    ----------
    dataset : Dataset of kind photons
        For T3 with ``delay`` and ``sync_period_ps``.
    record_type : int
        A key of `RECORD_TYPES` (not T3R).
    tick : float, ps, optional
        T2 time unit, default 1 (PicoHarp 4); times are floored to it.
    """
    kind = RECORD_TYPES.get(record_type)
    if kind is None or kind.layout == "timeharp":
        raise ConfigError(
            "cannot write this record type",
            got=record_type,
            expected=", ".join(
                f"{c:#x}" for c, t in RECORD_TYPES.items() if t.layout != "timeharp"
            ),
        )
    time = np.asarray(dataset["time"].values, np.int64)
    channel = np.asarray(dataset["channel"].values, np.int64)
    unit = tick or (4.0 if kind.layout == "pico" else 1.0)
    header: list[tuple[str, Any]] = [
        ("File_Comment", "written by matterscope"),
        ("Measurement_Mode", kind.mode),
        ("TTResultFormat_TTTRRecType", record_type),
        ("TTResultFormat_BitsPerRecord", 32),
    ]
    if time.size and time[0] < 0:
        raise ConfigError("times before zero cannot be written as PTU", got=int(time[0]))
    if kind.mode == 2:
        words = _t2_words(time, channel, kind, unit)
        header.append(("MeasDesc_GlobalResolution", unit * 1e-12))
    else:
        delay, period = dataset["delay"].values, float(dataset.attrs["sync_period_ps"])
        bin_ps = float(dataset.attrs.get("delay_bin_ps") or 1.0)
        syncs = np.floor((time - delay) / period + 0.5).astype(np.int64)
        words = _t3_words(syncs, np.round(delay / bin_ps).astype(np.int64), channel, kind)
        header += [("MeasDesc_GlobalResolution", period * 1e-12)]
        header += [
            ("MeasDesc_Resolution", bin_ps * 1e-12),
            ("TTResult_SyncRate", round(1e12 / period)),
        ]
    span = (int(time[-1]) // 1_000_000_000 + 1) if time.size else 0
    header += [("MeasDesc_AcquisitionTime", span), ("TTResult_NumberOfRecords", int(words.size))]
    text = b"".join(tag(n, v) for n, v in header) + tag("Header_End", None)
    write_bytes(path, b"PQTTTR\0\x001.0.00\0\0" + text + words.astype("<u4").tobytes())


def _lanes(channel: Ints) -> Ints:
    """Return the 7-bit special + channel field of HydraHarp-type records."""
    return np.where(channel > 0, channel - 1, 64 - channel)


def _t2_words(time: Ints, channel: Ints, kind: RecordType, unit: float) -> Ints:
    ticks = np.floor(time / unit).astype(np.int64) if unit != 1.0 else time
    wraps, rest = np.divmod(ticks, kind.wrap)
    if kind.layout == "hydra":
        return _with_overflows((_lanes(channel) << 25) | rest, wraps, kind, (0x7F << 25, 0))
    marker = channel < 0
    # the low four bits of a PicoHarp marker carry its number
    rest = np.where(marker, (rest & ~0xF) | -channel, rest)
    lane = np.where(marker, 15, channel - 1)
    return _with_overflows((lane << 28) | rest, wraps, kind, (0xF << 28, 0))


def _t3_words(syncs: Ints, bins: Ints, channel: Ints, kind: RecordType) -> Ints:
    wraps, rest = np.divmod(syncs, kind.wrap)
    if kind.layout == "hydra":
        words = (_lanes(channel) << 25) | (bins << 10) | rest
        return _with_overflows(words, wraps, kind, (0x7F << 25, 0))
    lane = np.where(channel < 0, 15, channel)
    bins = np.where(channel < 0, -channel, bins)
    return _with_overflows((lane << 28) | (bins << 16) | rest, wraps, kind, (0xF << 28, 0))


def _with_overflows(words: Ints, wraps: Ints, kind: RecordType, overflow: tuple[int, int]) -> Ints:
    """Return words with overflow records before each event whose wrap count rose."""
    rise = np.diff(wraps, prepend=0)
    if kind.counted:
        # one record carries up to a field's worth of wraps
        most = 1023 if kind.mode == 3 else 0x1FFFFFF
        needed = (rise + most - 1) // most
        marks = np.repeat(np.arange(words.size), needed)
        first = np.r_[True, marks[1:] != marks[:-1]] if marks.size else np.zeros(0, bool)
        full = np.full(marks.size, most)
        full[first] = rise[rise > 0] - (needed[rise > 0] - 1) * most
        return np.insert(words, marks, overflow[0] | full)
    return np.insert(words, np.repeat(np.arange(words.size), rise), overflow[0])
