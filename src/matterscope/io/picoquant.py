"""PicoQuant time-tag files: PTU, HT2, HT3, PT2, PT3 and T3R, read whole or streamed block by block.

In: a path. Out: a `photons` measurement, or a `TagFile` whose blocks never stand in memory together.
A file cut inside its records is read up to the cut and flagged with both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared
from matterscope.io.picoquant_headers import (
    HYDRA_COMMON,
    HYDRA_TTTR,
    MAX_HEADER,
    PICO_COMMON,
    PICO_TTTR,
    TEXT_IDENTS,
    TIMEHARP6_COMMON,
    TIMEHARP6_TTTR,
    TIMEHARP_COMMON,
    TIMEHARP_TTTR,
    date_of,
    fixed,
    tagged_header,
)
from matterscope.io.picoquant_records import RECORD_TYPES, RecordType, decode, scale_of

if TYPE_CHECKING:
    import xarray as xr

Block = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]
BLOCK = 1 << 20
MISORDER_PS = 1_000_000
"""Backward steps up to 1 µs are sorted and counted; larger ones mean a wrong record type."""


@dataclass
class TagFile:
    """An open time-tag file: what its header says, and its records in blocks.

    `tick` is ps per time unit in T2 and ps per sync in T3; `resolution` the delay bin of T3, ps.
    """

    path: Path
    kind: RecordType
    tick: float
    resolution: float
    offset: int
    records: int
    vendor: dict[str, Any]
    acquisition: float | None = None
    """Acquisition time of the header, s."""
    flags: list[dict[str, str]] = field(default_factory=list)
    wraps: int = 0

    def blocks(self, size: int = BLOCK) -> Iterator[Block]:
        """Yield (time ps, channel, delay ps) of `size` records at a time, in the file's order."""
        scale, state = scale_of(self.kind, self.tick, self.resolution), np.zeros(2, np.int64)
        with self.path.open("rb") as handle:
            handle.seek(self.offset)
            left = self.records
            while left > 0:
                words = np.fromfile(handle, "<u4", min(size, left))
                if not words.size:
                    return
                left -= words.size
                yield decode(words, self.kind, scale, state)
                self.wraps = int(state[1])


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins like a time-tag file of PicoQuant."""
    if head.startswith(b"PQTTTR\0\0"):
        return True
    return head.startswith(TEXT_IDENTS) and _is_tagging(head, path)


def _is_tagging(head: bytes, path: Path) -> bool:
    # text-headed files hold either time tags (mode 2 or 3) or histograms (mode 0)
    layout = None
    if head.startswith(b"TimeHarp"):
        layout = TIMEHARP6_COMMON if head[16:18] == b"6." else TIMEHARP_COMMON
    layout = layout or (HYDRA_COMMON if head.startswith(b"HydraHarp") else PICO_COMMON)
    try:
        fields, _ = fixed(layout, head, 0, "")
    except ReadError:
        return path.suffix.lower() in {".ht2", ".ht3", ".pt2", ".pt3", ".t3r"}
    return fields["MeasurementMode"] in (2, 3) or path.suffix.lower() == ".t3r"


def open_tags(path: Path) -> TagFile:
    """Read the header of a time-tag file.

    Raises
    ------
    ReadError
        Cut or damaged header, unknown record type, missing resolution.
    """
    with path.open("rb") as handle:
        head = handle.read(MAX_HEADER)
    if head.startswith(b"PQTTTR\0\0"):
        return _open_ptu(path, head)
    if head.startswith(b"HydraHarp"):
        return _open_hydra(path, head)
    if head.startswith(b"PicoHarp 300"):
        return _open_pico(path, head)
    if head.startswith(b"TimeHarp 200"):
        return _open_timeharp(path, head)
    raise ReadError(
        "this is no time-tag file of PicoQuant",
        where=f"{path}, offset 0",
        got=repr(head[:16]),
        expected="PQTTTR, HydraHarp, PicoHarp 300 or TimeHarp 200",
        hint="docs/formats.md lists what is read",
    )


def _record_type(code: int, where: str) -> RecordType:
    if code not in RECORD_TYPES:
        known = ", ".join(f"{c:08X} {t.name}" for c, t in RECORD_TYPES.items())
        raise ReadError(
            "unknown record type",
            where=where,
            got=f"{code:08X}" if isinstance(code, int) else repr(code),
            expected=known,
            hint="convert the file with the vendor's software, or report the type",
        )
    return RECORD_TYPES[code]


def _open_ptu(path: Path, head: bytes) -> TagFile:
    where = str(path)
    fields, offset = tagged_header(head, where)
    kind = _record_type(fields.get("TTResultFormat_TTTRRecType", -1), f"{where}, header")
    tick = _seconds(fields, "MeasDesc_GlobalResolution", where) * 1e12
    resolution = 0.0
    if kind.mode == 3:
        resolution = _seconds(fields, "MeasDesc_Resolution", where) * 1e12
        rate = fields.get("TTResult_SyncRate")
        tick = 1e12 / rate if isinstance(rate, int) and rate > 0 else tick
    else:
        # instruments count in whole femtoseconds; the header's double carries rounding
        tick = round(tick * 1000.0) / 1000.0
    found = TagFile(path, kind, tick, resolution, offset, 0, fields)
    date = fields.get("File_CreatingTime")
    if isinstance(date, float):
        fields["File_CreatingTime (ISO)"] = date_of(date)
    acquisition = fields.get("MeasDesc_AcquisitionTime")
    found.acquisition = acquisition / 1000.0 if isinstance(acquisition, int) else None
    return _count(found, fields.get("TTResult_NumberOfRecords"))


def _seconds(fields: dict[str, Any], tag: str, where: str) -> float:
    value = fields.get(tag)
    if not isinstance(value, float) or not 0 < value < 1:
        raise ReadError(
            f"the header gives no usable {tag}",
            where=f"{where}, header",
            got=value,
            expected="seconds between 0 and 1",
            hint="times cannot be known without it; export the file again",
        )
    return value


def _open_hydra(path: Path, head: bytes) -> TagFile:
    fields, at = fixed(HYDRA_COMMON, head, 0, str(path))
    inputs = fields["InputChannelsPresent"]
    if not 0 <= inputs <= 64:
        raise ReadError("impossible number of input channels", where=str(path), got=inputs)
    at += 20 * inputs  # four settings and a rate for each input
    more, at = fixed(HYDRA_TTTR, head, at, str(path))
    fields |= more
    version = str(fields["FormatVersion"])
    mode = fields["MeasurementMode"]
    code = (0x01000000 if version.startswith("2") else 0) | (
        0x00010204 if mode == 2 else 0x00010304
    )
    kind = _record_type(code, str(path))
    tick = float(fields["Resolution"])
    if mode == 3:
        tick = 1e12 / _sync_rate(fields, path)
    at += 4 * _image_header(fields["ImgHdrSize"], path)
    found = TagFile(path, kind, tick, float(fields["Resolution"]), at, 0, fields)
    found.acquisition = fields["AcquisitionTime"] / 1000.0
    return _count(found, fields["NumberOfRecords"])


def _open_pico(path: Path, head: bytes) -> TagFile:
    fields, at = fixed(PICO_COMMON, head, 0, str(path))
    more, at = fixed(PICO_TTTR, head, at, str(path))
    fields |= more
    at += 4 * _image_header(fields["ImgHdrSize"], path)
    mode = fields["MeasurementMode"]
    kind = _record_type(0x00010203 if mode == 2 else 0x00010303, str(path))
    tick, resolution = 4.0, float(fields["Resolution"]) * 1000.0
    if mode == 3:
        fields["SyncRate"] = fields["InputRate0"]
        tick = 1e12 / _sync_rate(fields, path)
    found = TagFile(path, kind, tick, resolution, at, 0, fields)
    found.acquisition = fields["AcquisitionTime"] / 1000.0
    return _count(found, fields["NumberOfRecords"])


def _open_timeharp(path: Path, head: bytes) -> TagFile:
    six = head[16:18] == b"6."
    fields, at = fixed(TIMEHARP6_COMMON if six else TIMEHARP_COMMON, head, 0, str(path))
    more, at = fixed(TIMEHARP6_TTTR if six else TIMEHARP_TTTR, head, at, str(path))
    fields |= more
    at += 4 * _image_header(fields["SpecialHeaderLength"], path)
    clock = float(fields["GlobalClock"]) * 1000.0
    found = TagFile(path, RECORD_TYPES[0x200], clock, fields["Resolution"] * 1000.0, at, 0, fields)
    if six:
        found.flags.append(
            {
                "code": "layout-unseen",
                "message": "time tags of TimeHarp software 6 are read by their published layout; no file was there to test it on",
                "remedy": "compare rates and duration with the vendor's software",
            }
        )
    found.acquisition = fields["AcquisitionTime"] / 1000.0
    return _count(found, fields["NumberOfRecords"])


def _sync_rate(fields: dict[str, Any], path: Path) -> int:
    rate = int(fields["SyncRate"])
    if rate <= 0:
        raise ReadError(
            "the header gives no sync rate, so that T3 times cannot be known",
            where=f"{path}, header",
            got=rate,
            expected="a positive rate in Hz",
        )
    return rate


def _image_header(words: int, path: Path) -> int:
    if not 0 <= words <= MAX_HEADER // 4:
        raise ReadError("impossible length of the image header", where=str(path), got=words)
    return words


def _count(found: TagFile, promised: Any) -> TagFile:
    """Set the number of whole records, and flag what does not agree with the header."""
    size = found.path.stat().st_size - found.offset
    whole, stray = divmod(max(size, 0), 4)
    found.records = whole
    if isinstance(promised, int) and 0 < promised < whole:
        found.records = promised
    if isinstance(promised, int) and promised > whole:
        found.flags.append(
            {
                "code": "cut-file",
                "message": f"the header promises {promised:,} records, the file holds {whole:,}; "
                "the whole records before the cut were read",
                "remedy": "copy the file again; --strict refuses a cut file",
            }
        )
    if stray:
        found.flags.append(
            {
                "code": "stray-bytes",
                "message": f"{stray} bytes after the last whole record were dropped",
                "remedy": "",
            }
        )
    elif found.records < whole and promised:
        found.flags.append(
            {
                "code": "extra-records",
                "message": f"the header promises {promised:,} records, the file holds {whole:,}; "
                "the promised ones were read",
                "remedy": "",
            }
        )
    return found


def read(path: Path) -> list[xr.Dataset]:
    """Return the whole stream as one `photons` measurement; times in ps from the record's clock."""
    tags = open_tags(path)
    declared(tags.records * (9 if tags.kind.mode == 2 else 17), str(path), "the photon stream")
    blocks = list(tags.blocks())
    time, channel, delay = (
        (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        if blocks
        else (np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros(0, np.int64))
    )
    return [photons(tags, time, channel, delay)]


def photons(
    tags: TagFile,
    time: np.ndarray[Any, Any],
    channel: np.ndarray[Any, Any],
    delay: np.ndarray[Any, Any],
) -> xr.Dataset:
    """Return decoded events as a measurement, sorted where the order is off by no more than 1 µs."""
    from matterscope.core.schema import measurement

    order, steps, worst = misorder(time, str(tags.path))
    flags = list(tags.flags)
    if order is not None:
        time, channel = time[order], channel[order]
        delay = delay[order] if delay.size else delay
        flags.append(misorder_flag(steps, worst))
    variables: dict[str, Any] = {
        "time": (("event",), time, "ps"),
        "channel": (("event",), channel, "1"),
    }
    extra: dict[str, Any] = {}
    if tags.kind.mode == 3:
        late = delay_fault(delay, tags)
        if late is not None:
            raise late
        variables["delay"] = (("event",), delay, "ps")
        extra = {"sync_period_ps": tags.tick if tags.kind.layout != "timeharp" else 0.0}
        extra["delay_bin_ps"] = tags.resolution
    return measurement(
        "photons",
        {},
        variables,
        source={"reader": "picoquant"},
        vendor=tags.vendor,
        record_type=tags.kind.name,
        records=tags.records,
        overflows=tags.wraps,
        tick_ps=tags.tick,
        acquisition_s=tags.acquisition or 0.0,
        channels={0: "sync"} | {i: f"input {i}" for i in range(1, 65)},
        warnings=flags,
        **extra,
    )


def misorder(
    time: np.ndarray[Any, Any], where: str
) -> tuple[np.ndarray[Any, Any] | None, int, int]:
    """Return (order that sorts, number of backward steps, largest step in ps); None if in order.

    Raises
    ------
    ReadError
        A step back is larger than 1 µs: the clock was decoded with the wrong layout.
    """
    step = np.diff(time)
    falls = np.flatnonzero(step < 0)
    if not falls.size:
        return None, 0, 0
    worst = int(-step[falls].min())
    if worst > MISORDER_PS:
        at = int(falls[np.argmax(-step[falls])])
        raise ReadError(
            "the times run backwards",
            where=f"{where}, event {at + 1}",
            got=f"{time[at]} ps, then {time[at + 1]} ps",
            expected="times in order, or steps back of at most 1 µs",
            hint="the record type or the sync divider in the header is wrong",
        )
    return np.argsort(time, kind="stable"), int(falls.size), worst


def misorder_flag(steps: int, worst: int) -> dict[str, str]:
    """Return the flag that says how far the order of the file was off."""
    return {
        "code": "misordered",
        "message": f"{steps:,} events stood before an earlier one (by up to {worst / 1000:.0f} ns); they were sorted",
        "remedy": "",
    }


def delay_fault(delay: np.ndarray[Any, Any], tags: TagFile) -> ReadError | None:
    """Return the error for T3 delays beyond the sync period, or None.

    One sync divider (a power of two up to 8) may stand between the period and the delays.
    """
    if not delay.size or tags.kind.layout == "timeharp":
        return None
    late = delay > tags.tick * 1.01 + 2 * tags.resolution
    if np.count_nonzero(late) <= 1e-4 * delay.size:
        return None
    at = int(np.argmax(late))
    return ReadError(
        "delays after the sync are longer than the sync period",
        where=f"{tags.path}, event {at}",
        got=f"{delay[at]} ps",
        expected=f"at most {tags.tick:.0f} ps",
        hint="the record type, the resolution or the sync divider in the header is wrong",
    )


def write(dataset: xr.Dataset, path: Path) -> None:
    """Write a `photons` measurement as PTU (HydraHarp V2, T2)."""
    from matterscope.io.picoquant_writing import write_ptu

    write_ptu(dataset, path)
