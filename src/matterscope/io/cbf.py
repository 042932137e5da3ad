"""CBF: one frame as Pilatus and Eiger detectors write it, imgCIF with byte-offset compression.

In: a .cbf file. Out: the frame as integers, what its header says, and the geometry found there.
Format: Bernstein and Hammersley, International Tables for Crystallography G, chapter 2.3 (2005).
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.detector_axes import as_patterns
from matterscope.io.limits import declared, regular_file

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True
MAGIC = b"###CBF"
START = b"\x0c\x1a\x04\xd5"
"""Marks the first byte of binary data."""
HEADER_LIMIT = 1 << 20
TYPES: dict[str, np.dtype[Any]] = {
    "signed 8-bit integer": np.dtype("i1"),
    "unsigned 8-bit integer": np.dtype("u1"),
    "signed 16-bit integer": np.dtype("i2"),
    "unsigned 16-bit integer": np.dtype("u2"),
    "signed 32-bit integer": np.dtype("i4"),
    "unsigned 32-bit integer": np.dtype("u4"),
}


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a CBF file."""
    return head.startswith(MAGIC)


def read_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of text and of the binary section, and the offset of the first binary byte.

    Keys of the binary section are ``X-Binary-…`` and ``Content-…``; comments ``# Name value`` of the
    detector keep their names.

    Raises
    ------
    ReadError
        If there is no binary section in the first megabyte, or it is compressed in another way.
    """
    with regular_file(path).open("rb") as handle:
        head = handle.read(HEADER_LIMIT)
    at = head.find(START)
    if not head.startswith(MAGIC) or at < 0:
        raise ReadError(
            "this CBF has no binary section",
            where=f"{path}, first {len(head)} bytes",
            expected="###CBF and the mark 0C 1A 04 D5",
            hint="the file is cut or damaged; copy it again",
        )
    text = head[:at].decode("latin-1").replace("\r\n", "\n")
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(r"\s*((?:X-Binary|Content)-[\w-]+)\s*:\s*(.*)", line):
            found[match[1]] = match[2].strip().strip('"')
        elif match := re.match(r"\s*conversions\s*=\s*\"?([\w-]+)", line):
            found["conversions"] = match[1]
        elif match := re.match(r"#\s*([A-Z][\w]*)[:=\s]+(.*)", line):
            found.setdefault(match[1], match[2].strip())
    if found.get("conversions", "").upper() != "X-CBF_BYTE_OFFSET":
        raise ReadError(
            "this CBF is compressed in a way that is not read",
            where=str(path),
            got=found.get("conversions", "no compression named"),
            expected="x-CBF_BYTE_OFFSET",
            hint="convert it to TIFF or HDF5",
        )
    return found, at + len(START)


def frame_shape(header: dict[str, str], path: Path) -> tuple[int, int]:
    """Return (rows, columns) of the frame."""
    names = ("X-Binary-Size-Second-Dimension", "X-Binary-Size-Fastest-Dimension")
    try:
        ny, nx = (int(header[name]) for name in names)
    except (KeyError, ValueError) as error:
        raise ReadError(
            "the size of the frame is not in the header", where=str(path), expected=", ".join(names)
        ) from error
    if ny < 1 or nx < 1 or int(header.get("X-Binary-Size-Third-Dimension", "1") or 1) > 1:
        raise ReadError("this is not one frame", where=str(path), got=f"{ny} × {nx}")
    declared(ny * nx * 8, str(path), "the frame")
    return ny, nx


def load(path: Path) -> NDArray[Any]:
    """Return the frame, shape (rows, columns), in the type that the header declares.

    Raises
    ------
    ReadError
        If bytes are missing, their checksum differs, or the numbers do not fill the frame.
    """
    header, start = read_header(path)
    ny, nx = frame_shape(header, path)
    kind = TYPES.get(header.get("X-Binary-Element-Type", "signed 32-bit integer"))
    if kind is None:
        raise ReadError(
            "unknown type of numbers",
            where=str(path),
            got=header["X-Binary-Element-Type"],
            expected=", ".join(TYPES),
        )
    try:
        size = int(header.get("X-Binary-Size", "-1"))
    except ValueError:
        size = -1
    if not 0 < size <= 9 * ny * nx:
        raise ReadError("the size of the binary section is wrong", where=str(path), got=size)
    with path.open("rb") as handle:
        handle.seek(start)
        data = handle.read(size)
    if len(data) < size:
        raise ReadError(
            "the binary section is cut",
            where=f"{path}, byte {start}",
            got=f"{len(data)} bytes",
            expected=f"{size} bytes",
            hint="copy the file again",
        )
    digest = header.get("Content-MD5", "")
    # the format's own checksum against damage; nothing is kept secret by it
    own = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    if digest and digest != own:
        raise ReadError(
            "the checksum of the frame differs", where=str(path), got=own, expected=digest
        )
    values = undo_byte_offset(data, ny * nx, str(path))
    limits = np.iinfo(kind)
    if values.min() < limits.min or values.max() > limits.max:
        raise ReadError(
            "numbers do not fit the declared type",
            where=str(path),
            got=f"{values.min()} to {values.max()}",
            expected=str(kind),
        )
    return values.astype(kind).reshape(ny, nx)


def undo_byte_offset(data: bytes, count: int, where: str = "") -> NDArray[np.int64]:
    """Return `count` numbers of a byte-offset stream.

    Each number is stored as its difference from the one before: one byte, or 0x80 and two bytes, or these
    as 0x8000 and four bytes, or these as 0x80000000 and eight (little-endian).

    Examples
    --------
    >>> undo_byte_offset(bytes([5, 0xFF, 0x80, 0x00, 0x10]), 3).tolist()
    [5, 4, 4100]
    """
    single = np.frombuffer(data, dtype=np.int8)
    steps = np.empty(count, dtype=np.int64)
    at = done = 0
    for escape in np.flatnonzero(single == -128):
        if escape < at:
            continue  # this byte belongs to a longer number
        plain = min(int(escape) - at, count - done)
        steps[done : done + plain] = single[at : at + plain]
        done, at = done + plain, int(escape)
        if done == count:
            break
        value, at = _long_step(data, at + 1, where)
        steps[done] = value
        done += 1
    rest = min(count - done, single.size - at)
    steps[done : done + rest] = single[at : at + rest]
    if done + rest < count:
        raise ReadError(
            "the binary section holds too few numbers", where=where, got=done + rest, expected=count
        )
    return np.cumsum(steps)


def _long_step(data: bytes, at: int, where: str) -> tuple[int, int]:
    for width in (2, 4, 8):
        if at + width > len(data):
            raise ReadError("the binary section ends inside a number", where=f"{where}, byte {at}")
        value = int.from_bytes(data[at : at + width], "little", signed=True)
        at += width
        if width == 8 or value != -(1 << (8 * width - 1)):
            return value, at
    raise AssertionError


def geometry(header: dict[str, str]) -> dict[str, Any]:
    """Return wavelength (nm), distance (m) and pixel (y, x in m), as far as the header tells them.

    Examples
    --------
    >>> geometry({"Wavelength": "1.0332 A", "Detector_distance": "5.0 m"})
    {'wavelength': 0.10332, 'distance': 5.0}
    """
    number = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
    found: dict[str, Any] = {}
    if match := re.match(number + r"\s*A\b", header.get("Wavelength", "")):
        found["wavelength"] = round(float(match[1]) * 0.1, 12)
    if match := re.match(number + r"\s*m\b", header.get("Detector_distance", "")):
        found["distance"] = float(match[1])
    size = re.match(number + r"\s*m\s*x\s*" + number + r"\s*m\b", header.get("Pixel_size", ""))
    if size:
        # the header has the column's size first
        found["pixel"] = (float(size[2]), float(size[1]))
    return {k: v for k, v in found.items() if np.all(np.asarray(v) > 0)}


def read(path: Path, kind: str | None = None) -> list[xr.Dataset]:
    """Return the frame as a `patterns` measurement; axes are q where the header has the geometry, else pixels."""
    if kind not in {None, "patterns"}:
        raise ReadError(f"a CBF is no {kind}", where=str(path), expected="patterns")
    header, _ = read_header(path)
    return [
        as_patterns(load(path).astype(float)[None], vendor=dict(header), geometry=geometry(header))
    ]
