"""EDF, the data format of the ESRF's detectors: a text header in braces, then the frame, again and again.

In: a .edf file. Out: the frames as numbers, what the first header says, and the geometry found there.
Format: ESRF Data Format, as its headers state it (keys ``Dim_1``, ``DataType``, ``ByteOrder``); plain data only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
HEADER_LIMIT = 1 << 18
MOST_FRAMES = 1_000_000
TYPES = {
    "signedbyte": "i1",
    "unsignedbyte": "u1",
    "signedshort": "i2",
    "unsignedshort": "u2",
    "signedinteger": "i4",
    "unsignedinteger": "u4",
    "signedlong": "i4",
    "unsignedlong": "u4",
    "signed64": "i8",
    "unsigned64": "u8",
    "floatvalue": "f4",
    "float": "f4",
    "doublevalue": "f8",
    "double": "f8",
}
"""Names of number types, in lower case → numpy; a "long" of this format has 32 bits."""
FIELD = re.compile(r"([\w.-]+)\s*=\s*([^;]*);")
LONGEST_WAVE = 1e-7
"""m; a longer wavelength is no X-ray, so that number was not written in metres."""


@dataclass(frozen=True)
class Block:
    """One header of the file: its fields, and where its numbers lie."""

    fields: dict[str, str]
    offset: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins with a header in braces that declares a frame."""
    return head.lstrip()[:1] == b"{" and b"Dim_1" in head and b"DataType" in head


def blocks(path: Path) -> list[Block]:
    """Return every header of the file without reading a frame.

    Raises
    ------
    ReadError
        If a header is cut, lacks a size or a type, is compressed, or the file ends before its frame does.
    """
    size = regular_file(path).stat().st_size
    found: list[Block] = []
    at = 0
    with path.open("rb") as handle:
        while at < size and len(found) < MOST_FRAMES:
            handle.seek(at)
            head = handle.read(HEADER_LIMIT)
            if found and not head.strip(b"\0 \r\n"):
                break
            end = re.search(rb"}\r?\n", head)
            if not head.lstrip().startswith(b"{") or end is None:
                raise ReadError(
                    "a header of this EDF is cut or damaged",
                    where=f"{path}, frame {len(found)}, byte {at}",
                    got=repr(head[:16]),
                    expected="a header from { to }",
                    hint="copy the file again",
                )
            block = _block(head[: end.start()].decode("latin-1"), at + end.end(), path)
            last = block.offset + int(np.prod(block.shape)) * block.dtype.itemsize
            if last > size:
                raise ReadError(
                    "the file ends inside a frame",
                    where=f"{path}, frame {len(found)}, byte {block.offset}",
                    got=f"{size - block.offset} bytes",
                    expected=f"{last - block.offset} bytes",
                    hint="the file is cut; copy it again",
                )
            found.append(block)
            at = last
    return found


def _block(text: str, offset: int, path: Path) -> Block:
    fields = {name: value.strip() for name, value in FIELD.findall(text)}
    low = {name.lower(): value for name, value in fields.items()}
    try:
        nx, ny, n = (int(low.get(f"dim_{k}", "1" if k == 3 else "")) for k in (1, 2, 3))
    except ValueError as error:
        raise ReadError(
            "the size of the frame is not in the header", where=str(path), expected="Dim_1, Dim_2"
        ) from error
    kind = re.sub(r"[\s_]", "", low.get("datatype", "")).lower()
    packed = low.get("compression", "none").lower()
    if min(nx, ny, n) < 1 or kind not in TYPES or not packed.startswith("no"):
        raise ReadError(
            "this EDF is not read",
            where=str(path),
            got=f"{n} × {ny} × {nx}, {low.get('datatype', 'no type')}, compression {packed}",
            expected="plain numbers of a type among " + ", ".join(TYPES),
            hint="convert it to TIFF or HDF5",
        )
    order = ">" if low.get("byteorder", "").lower().startswith("high") else "<"
    dtype = np.dtype(order + TYPES[kind])
    declared(nx * ny * n * dtype.itemsize, str(path), "one block of frames")
    return Block(fields, offset, (n, ny, nx), dtype)


def load(path: Path, block: Block) -> NDArray[Any]:
    """Return the frames of one block, shape (frames, rows, columns), mapped from the file."""
    return np.memmap(path, dtype=block.dtype, mode="r", offset=block.offset, shape=block.shape)


def geometry(fields: dict[str, str]) -> dict[str, Any]:
    """Return wavelength (nm), distance (m) and pixel (y, x in m), as far as the header tells them.

    Examples
    --------
    >>> geometry({"WaveLength": "1.24e-10", "SampleDistance": "5 m", "PSize_1": "5.5e-05", "PSize_2": "5e-05"})
    {'wavelength': 0.124, 'distance': 5.0, 'pixel': (5e-05, 5.5e-05)}
    """
    low = {name.lower(): value for name, value in fields.items()}

    def number(name: str) -> float:
        match = re.match(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", low.get(name, ""))
        return float(match[0]) if match else 0.0

    found: dict[str, Any] = {}
    if 0 < number("wavelength") < LONGEST_WAVE:
        found["wavelength"] = round(number("wavelength") * 1e9, 12)
    if number("sampledistance") > 0:
        found["distance"] = number("sampledistance")
    if 0 < min(number("psize_1"), number("psize_2")) < 0.01:
        found["pixel"] = (number("psize_2"), number("psize_1"))
    return found


def read(path: Path, kind: str | None = None) -> list[xr.Dataset]:
    """Return the frames as one `patterns` measurement; axes are q where the header has the geometry, else pixels."""
    if kind not in {None, "patterns"}:
        raise ReadError(f"an EDF is no {kind}", where=str(path), expected="patterns")
    found = blocks(path)
    if len({b.shape[1:] for b in found}) > 1:
        raise ReadError(
            "the frames have different shapes",
            where=str(path),
            got=sorted({b.shape[1:] for b in found}),
        )
    declared(sum(int(np.prod(b.shape)) * 8 for b in found), str(path), "the whole stack")
    counts = np.concatenate([np.asarray(load(path, b), dtype=float) for b in found])
    told = found[0].fields
    return [as_patterns(counts, vendor=dict(told), geometry=geometry(told))]
