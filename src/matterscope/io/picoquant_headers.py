"""PicoQuant headers: the tagged ones (PTU, PHU) and the fixed ones (PT2, PT3, HT2, HT3, T3R).

In: the first bytes of a file. Out: the vendor's fields, untouched, and where the data begin.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from matterscope.core.errors import ReadError

TEXT_IDENTS = (b"PicoHarp 300", b"HydraHarp", b"TimeHarp 200")
"""How files without tags begin."""
TAG = struct.Struct("<32siIq")
MAX_HEADER = 16 << 20
_EMPTY, _BOOL, _INT, _BITS, _COLOUR = 0xFFFF0008, 0x00000008, 0x10000008, 0x11000008, 0x12000008
_FLOAT, _DATE = 0x20000008, 0x21000008
_FLOATS, _ANSI, _WIDE, _BLOB = 0x2001FFFF, 0x4001FFFF, 0x4002FFFF, 0xFFFFFFFF


def tagged_header(data: bytes, where: str) -> tuple[dict[str, Any], int]:
    """Return (fields, length) of a tagged header; repeated tags carry their index in brackets.

    Raises
    ------
    ReadError
        The header is cut, holds an unknown type, or never ends.
    """
    fields: dict[str, Any] = {"FormatVersion": data[8:16].rstrip(b"\0").decode("latin-1")}
    at = 16
    while True:
        if at + TAG.size > len(data):
            raise ReadError(
                "the header ends before its last tag",
                where=f"{where}, offset {at}",
                got=f"{len(data)} bytes",
                expected="the tag Header_End",
                hint="the file was cut; copy it again from the instrument",
            )
        raw, index, kind, value = TAG.unpack_from(data, at)
        name = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
        at += TAG.size
        if kind in (_FLOATS, _ANSI, _WIDE, _BLOB) and not 0 <= value <= len(data) - at:
            raise ReadError(
                f"tag {name} claims more bytes than the header has",
                where=f"{where}, offset {at}",
                got=value,
                expected=f"at most {len(data) - at}",
                hint="the file was cut or its header is damaged",
            )
        fields[f"{name}[{index}]" if index >= 0 else name], at = _tag_value(
            kind, value, data, at, f"{where}, offset {at}"
        )
        if name == "Header_End":
            return fields, at


def _tag_value(kind: int, value: int, data: bytes, at: int, where: str) -> tuple[Any, int]:
    simple = {_EMPTY: None, _BOOL: bool(value), _INT: value, _BITS: value, _COLOUR: value}
    if kind in simple:
        return simple[kind], at
    if kind in (_FLOAT, _DATE):
        return struct.unpack("<d", struct.pack("<q", value))[0], at
    if kind not in (_FLOATS, _ANSI, _WIDE, _BLOB):
        raise ReadError(
            "unknown type of a header tag",
            where=where,
            got=f"{kind:08X}",
            expected="one of the eleven documented types",
            hint="the header is damaged",
        )
    block = data[at : at + value]
    if kind == _FLOATS:
        return list(struct.unpack(f"<{value // 8}d", block[: value // 8 * 8])), at + value
    if kind == _BLOB:
        return block.hex(), at + value
    return block.decode("utf-16-le" if kind == _WIDE else "utf-8", "replace").rstrip(
        "\0"
    ), at + value


def date_of(days: float) -> str:
    """Return the ISO date of a TDateTime (days since 1899-12-30).

    Examples
    --------
    >>> date_of(25569.5)
    '1970-01-01T12:00:00'
    """
    from datetime import datetime, timedelta

    try:
        return (datetime(1899, 12, 30) + timedelta(days=days)).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return ""


@dataclass(frozen=True)
class Layout:
    """A fixed header: (name, struct code) in order; ``name*n`` repeats a group."""

    fields: tuple[tuple[str, str], ...]


def many(prefix: str, count: int, *names: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return a group of fields that is repeated `count` times."""
    return tuple((f"{prefix}[{i}].{name}", code) for i in range(count) for name, code in names)


def ints(*names: str) -> tuple[tuple[str, str], ...]:
    """Return 32-bit integers; several names may stand in one text."""
    return tuple((name, "i") for text in names for name in text.split())


_DISPLAY = (
    *many("DisplayCurve", 8, ("MapTo", "i"), ("Show", "i")),
    *many("Param", 3, ("Start", "f"), ("Step", "f"), ("Stop", "f")),
    *ints("RepeatMode", "RepeatsPerCurve", "RepeatTime", "RepeatWaitTime"),
    ("ScriptName", "20s"),
)
_AXES = ints(
    "DisplayLinLog",
    "DisplayTimeAxisFrom",
    "DisplayTimeAxisTo",
    "DisplayCountAxisFrom",
    "DisplayCountAxisTo",
)
_TEXT = (
    ("Ident", "16s"),
    ("FormatVersion", "6s"),
    ("CreatorName", "18s"),
    ("CreatorVersion", "12s"),
    ("FileTime", "18s"),
    ("CRLF", "2s"),
    ("Comment", "256s"),
)

HYDRA_COMMON = Layout(
    (
        *_TEXT,
        *ints(
            "NumberOfCurves",
            "BitsPerRecord",
            "ActiveCurve",
            "MeasurementMode",
            "SubMode",
            "Binning",
        ),
        ("Resolution", "d"),
        *ints("Offset", "AcquisitionTime"),
        ("StopAt", "I"),
        *ints("StopOnOvfl", "Restart"),
        *_AXES,
        *_DISPLAY,
        ("HardwareIdent", "16s"),
        ("HardwarePartNo", "8s"),
        *ints("HardwareSerial", "NumberOfModules"),
        *many("ModuleInfo", 10, ("ModelCode", "i"), ("VersionCode", "i")),
        ("BaseResolution", "d"),
        ("InputsEnabled", "Q"),
        *ints("InputChannelsPresent", "ReferenceClockSource", "ExternalDevices", "MarkerSettings"),
        *ints("SyncDivider", "SyncCFDLevel", "SyncCFDZeroCross", "SyncOffset"),
    )
)
HYDRA_TTTR = Layout(
    (*ints("SyncRate", "StopAfter", "StopReason", "ImgHdrSize"), ("NumberOfRecords", "Q"))
)
PICO_COMMON = Layout(
    (
        *_TEXT,
        *ints(
            "NumberOfCurves",
            "BitsPerRecord",
            "RoutingChannels",
            "NumberOfBoards",
            "ActiveCurve",
            "MeasurementMode",
            "SubMode",
            "RangeNo",
            "Offset",
            "AcquisitionTime",
            "StopAt",
            "StopOnOvfl",
            "Restart",
        ),
        *_AXES,
        *_DISPLAY,
        ("HardwareIdent", "16s"),
        ("HardwareVersion", "8s"),
        *ints(
            "HardwareSerial",
            "SyncDivider",
            "CFDZeroCross0",
            "CFDLevel0",
            "CFDZeroCross1",
            "CFDLevel1",
        ),
        ("Resolution", "f"),
        *ints("RouterModelCode", "RouterEnabled"),
        *many(
            "RouterChannel",
            4,
            *ints("InputType", "InputLevel", "InputEdge", "CFDPresent", "CFDLevel", "CFDZeroCross"),
        ),
    )
)
PICO_TTTR = Layout(
    ints(
        "ExternalDevices",
        "Reserved1",
        "Reserved2",
        "InputRate0",
        "InputRate1",
        "StopAfter",
        "StopReason",
        "NumberOfRecords",
        "ImgHdrSize",
    )
)
TIMEHARP_COMMON = Layout(
    (
        ("Ident", "16s"),
        ("FormatVersion", "6s"),
        ("HardwareVersion", "6s"),
        ("FileTime", "18s"),
        ("CRLF", "2s"),
        ("Comment", "256s"),
        *ints(
            "NumberOfChannels",
            "NumberOfCurves",
            "BitsPerChannel",
            "RoutingChannels",
            "NumberOfBoards",
            "ActiveCurve",
            "MeasurementMode",
            "SubMode",
            "RangeNo",
            "Offset",
            "AcquisitionTime",
            "StopAt",
            "StopOnOvfl",
            "Restart",
        ),
        *_AXES,
        *_DISPLAY,
    )
)
TIMEHARP6_COMMON = Layout((*_TEXT, *TIMEHARP_COMMON.fields[6:]))
"""Version 6 opens with the longer text block of the later instruments."""
TIMEHARP_TTTR = Layout(
    (
        *ints("BoardSerial", "CFDZeroCross", "CFDDiscriminatorMin", "SyncLevel", "CurveOffset"),
        ("Resolution", "f"),
        *ints(
            "GlobalClock",
            "ExternalDevices",
            "Reserved1",
            "Reserved2",
            "Reserved3",
            "Reserved4",
            "Reserved5",
            "SyncRate",
            "AverageCFDRate",
            "StopAfter",
            "StopReason",
            "NumberOfRecords",
            "SpecialHeaderLength",
        ),
    )
)
TIMEHARP6_TTTR = Layout((("BoardIdent", "16s"), ("BoardVersion", "8s"), *TIMEHARP_TTTR.fields))
"""Version 6 names the board before its settings."""


def fixed(layout: Layout, data: bytes, at: int, where: str) -> tuple[dict[str, Any], int]:
    """Return (fields, end) of a fixed header that begins at byte `at`.

    Raises
    ------
    ReadError
        The file ends inside the header.
    """
    code = struct.Struct("<" + "".join(c for _, c in layout.fields))
    if at + code.size > len(data):
        raise ReadError(
            "the file ends inside its header",
            where=f"{where}, offset {at}",
            got=f"{len(data)} bytes",
            expected=f"at least {at + code.size}",
            hint="the file was cut; copy it again from the instrument",
        )
    found: dict[str, Any] = {}
    for (name, _), value in zip(layout.fields, code.unpack_from(data, at), strict=True):
        found[name] = (
            value.split(b"\0", 1)[0].decode("latin-1").strip()
            if isinstance(value, bytes)
            else value
        )
    return found, at + code.size
