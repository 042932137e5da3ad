"""MATLAB 5 files: own small reader, because the usual one crashes the process on damaged files.

In: a ``.mat`` file of version 5 (v6/v7). Out: variables as numpy arrays (column-major order undone),
cells as object arrays, structures as dicts. Sparse arrays, objects and function handles are refused.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared

MAGIC = b"MATLAB 5.0 MAT-file"
HEADER = 128
MAX_DEPTH = 32
MAX_ELEMENTS = 200_000
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}  # fmt: skip


@dataclass
class _Bytes:
    """A stretch of bytes with a position; every read is checked against its end."""

    data: bytes
    order: str
    where: str
    at: int = 0
    elements: int = 0

    def fail(self, what: str, **parts: Any) -> ReadError:
        return ReadError(what, where=f"{self.where}, offset {self.at:,}", **parts)

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise self.fail(
                "the file is cut or damaged", got=f"{len(self.data) - self.at:,} bytes left",
                expected=f"{count:,}",
            )  # fmt: skip
        self.at += count
        return self.data[self.at - count : self.at]

    def element(self) -> tuple[int, bytes]:
        """Return type and bytes of the next element, its padding skipped."""
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise self.fail("the file holds too many elements", expected=f"≤ {MAX_ELEMENTS:,}")
        kind, size = struct.unpack(self.order + "II", self.take(8))
        if kind >> 16:  # small element: size and type share a word, the data stand in the next
            self.at -= 4
            return kind & 0xFFFF, self.take(4)[: min(kind >> 16, 4)]
        body = self.take(size)
        if kind != _COMPRESSED and self.at % 8 and self.at < len(self.data):
            self.at = min(self.at + 8 - self.at % 8, len(self.data))
        return kind, body


def read_variables(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB 5 file.

    Parameters
    ----------
    path : path
        A ``.mat`` file.

    Returns
    -------
    dict
        Name → array; a 1 × 1 structure is a dict, larger ones are object arrays of dicts.

    Raises
    ------
    ReadError
        With the offset at which the file stops making sense.
    """
    declared(path.stat().st_size, str(path), "the file")
    content = path.read_bytes()
    if len(content) < HEADER or not content.startswith(MAGIC):
        raise ReadError("not a MATLAB 5 file", where=f"{path}, offset 0", got=repr(content[:16]))
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128], "")
    if not order:
        raise ReadError("the byte order is damaged", where=f"{path}, offset 126")
    stream = _Bytes(content, order, str(path), HEADER)
    variables: dict[str, Any] = {}
    while stream.at < len(content):
        kind, body = stream.element()
        if kind == _COMPRESSED:
            kind, body = _inflated(body, stream)
        if kind == _MATRIX:
            name, value = _matrix(_Bytes(body, order, str(path)), 0)
            variables[name] = value
    return variables


def _inflated(body: bytes, stream: _Bytes) -> tuple[int, bytes]:
    limit = 64_000_000 + 200 * len(body)
    try:
        text = zlib.decompressobj().decompress(body, limit)
    except zlib.error as error:
        raise stream.fail(f"a compressed variable is damaged: {error}") from None
    if len(text) >= limit:
        raise stream.fail(
            "a compressed variable expands without end", expected=f"< {limit:,} bytes"
        )
    return _Bytes(text, stream.order, stream.where).element()


def _matrix(stream: _Bytes, depth: int) -> tuple[str, Any]:
    if depth > MAX_DEPTH:
        raise stream.fail("variables are nested too deeply", expected=f"≤ {MAX_DEPTH}")
    if not stream.data:
        return "", np.zeros((0, 0))
    flags = stream.element()[1]
    if len(flags) < 4:
        raise stream.fail("the flags of a variable are damaged")
    word = struct.unpack(stream.order + "I", flags[:4])[0]
    shape = tuple(int(n) for n in _numbers(stream))
    name = stream.element()[1].decode("latin-1")
    count = math.prod(shape)
    if not 2 <= len(shape) <= 8 or min(shape) < 0 or count > len(stream.data):
        raise stream.fail("the size of a variable is impossible", got=shape)
    return name, _content(stream, word, shape, depth)


def _content(stream: _Bytes, word: int, shape: tuple[int, ...], depth: int) -> Any:
    kind = word & 0xFF
    if kind in _CLASSES:
        real = _filled(stream, shape, _CLASSES[kind])
        return real + 1j * _filled(stream, shape, _CLASSES[kind]) if word & 0x800 else real
    if kind == _CHAR:
        return _text(stream)
    if kind == _CELL:
        return _objects([_child(stream, depth) for _ in range(math.prod(shape))], shape)
    if kind == _STRUCT:
        return _structures(stream, shape, depth)
    raise stream.fail("a variable of this class is not read", got=f"class {kind}")


def _numbers(stream: _Bytes) -> NDArray[Any]:
    kind, body = stream.element()
    if kind not in _TYPES:
        raise stream.fail("unknown type of numbers", got=kind)
    dtype = np.dtype(stream.order + _TYPES[kind])
    return np.frombuffer(body[: len(body) // dtype.itemsize * dtype.itemsize], dtype)


def _filled(stream: _Bytes, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    values = _numbers(stream)
    if values.size != math.prod(shape):
        raise stream.fail("an array has not the size it declares", got=values.size, expected=shape)
    return values.astype(dtype).reshape(shape, order="F")


def _text(stream: _Bytes) -> str:
    kind, body = stream.element()
    codec = {4: "utf-16", 17: "utf-16", 18: "utf-32"}.get(kind, "utf-8")
    if codec != "utf-8":
        codec += "-le" if stream.order == "<" else "-be"
    return body.decode(codec, "replace")


def _child(stream: _Bytes, depth: int) -> Any:
    kind, body = stream.element()
    if kind != _MATRIX:
        raise stream.fail("a cell or a field is damaged", got=f"type {kind}")
    inner = _Bytes(body, stream.order, stream.where, elements=stream.elements)
    value = _matrix(inner, depth + 1)[1]
    stream.elements = inner.elements
    return value


def _structures(stream: _Bytes, shape: tuple[int, ...], depth: int) -> Any:
    lengths = _numbers(stream)
    names = stream.element()[1]
    length = int(lengths[0]) if lengths.size else 0
    if not 0 < length <= 1024 or len(names) % length:
        raise stream.fail("the fields of a structure are damaged", got=length)
    fields = [
        names[i : i + length].split(b"\0", 1)[0].decode("latin-1")
        for i in range(0, len(names), length)
    ]
    entries = [{field: _child(stream, depth) for field in fields} for _ in range(math.prod(shape))]
    return entries[0] if len(entries) == 1 else _objects(entries, shape)


def _objects(entries: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    flat = np.empty(len(entries), dtype=object)
    for k, entry in enumerate(entries):
        flat[k] = entry
    return flat.reshape(shape, order="F")
