"""The tag tree of DigitalMicrograph files, versions 3 and 4, with limits on what it may hold.

In: a ``.dm3`` or ``.dm4`` file. Out: nested dicts; large arrays are named by their place in the file (`Stored`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matterscope.core.errors import ReadError

MAX_DEPTH = 64
MAX_TAGS = 500_000
SMALL = 4096
"""Arrays up to this many bytes become values of the tag tree; larger ones stay in the file."""

# type code of a simple value → struct letter (big- or little-endian by the header)
_SIMPLE = {
    2: "h",
    3: "i",
    4: "H",
    5: "I",
    6: "f",
    7: "d",
    8: "?",
    9: "b",
    10: "B",
    11: "q",
    12: "Q",
}
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_GROUP, _DATA = 20, 21


@dataclass(frozen=True)
class Stored:
    """Where an array lies in the file: offset (bytes), element type and count."""

    offset: int
    dtype: str
    count: int


def read_tags(path: Path) -> dict[str, Any]:
    """Return the tag tree: nested dicts; unnamed entries are keyed "0", "1" … in their order.

    Parameters
    ----------
    path : path
        A ``.dm3`` or ``.dm4`` file.

    Raises
    ------
    ReadError
        With the offset at which the file stops making sense.
    """
    with path.open("rb") as handle:
        return _Tree(handle.read, handle.seek, handle.tell, path).root()


class _Tree:
    """One pass over the tags of a file: holds position, byte order and the counters of the limits."""

    def __init__(
        self,
        take: Callable[[int], bytes],
        seek: Callable[..., int],
        tell: Callable[[], int],
        path: Path,
    ) -> None:
        self.take, self.seek, self.tell, self.path = take, seek, tell, path
        self.end = path.stat().st_size
        self.tags = 0
        self.version, self.order = 3, "<"

    def fail(self, what: str, **parts: Any) -> ReadError:
        return ReadError(what, where=f"{self.path}, offset {self.tell():,}", **parts)

    def number(self, letter: str, order: str = ">") -> Any:
        size = struct.calcsize(letter)
        raw = self.take(size)
        if len(raw) < size:
            raise self.fail(
                "the file is cut inside its tags",
                got=f"{self.end:,} bytes in all",
                expected="more",
                hint="copy the file again from the microscope",
            )
        return struct.unpack(order + letter, raw)[0]

    def size(self) -> int:
        """Return a count: 32 bit in DM3, 64 bit in DM4, always big-endian."""
        return int(self.number("Q" if self.version == 4 else "I"))

    def root(self) -> dict[str, Any]:
        self.version = int(self.number("I"))
        if self.version not in (3, 4):
            raise self.fail(
                "not a DigitalMicrograph file", got=f"version {self.version}", expected="3 or 4"
            )
        self.size()  # of the file, written by some exporters as 0: not trusted
        self.order = "<" if self.number("I") == 1 else ">"
        return self.group(0)

    def group(self, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise self.fail("tags are nested too deeply", got=depth, expected=f"≤ {MAX_DEPTH}")
        self.number("H")  # sorted, open
        count = self.size()
        if count > min(MAX_TAGS, self.end):
            raise self.fail(
                "a group declares too many tags", got=f"{count:,}", expected=f"≤ {MAX_TAGS:,}"
            )
        entries: dict[str, Any] = {}
        for index in range(count):
            if not self.tag(entries, str(index), depth):
                break
        return entries

    def tag(self, entries: dict[str, Any], default: str, depth: int) -> bool:
        self.tags += 1
        if self.tags > MAX_TAGS:
            raise self.fail("the file holds too many tags", expected=f"≤ {MAX_TAGS:,}")
        code = int(self.number("B"))
        if code == 0:
            return False
        name = self.take(int(self.number("H"))).decode("latin-1") or default
        if self.version == 4:
            self.size()
        if code == _GROUP:
            entries[name] = self.group(depth + 1)
        elif code == _DATA:
            entries[name] = self.data()
        else:
            raise self.fail("unknown tag", got=f"code {code}", expected="20 (group) or 21 (data)")
        return True

    def data(self) -> Any:
        if (marker := self.take(4)) != b"%%%%":
            raise self.fail("the mark of a value is missing", got=repr(marker), expected="b'%%%%'")
        length = self.size()
        if not 1 <= length <= 1024:
            raise self.fail("the type of a value is damaged", got=f"{length:,} words")
        info = [self.size() for _ in range(length)]
        return self.value(info)

    def value(self, info: list[int]) -> Any:
        code = info[0]
        if code in _SIMPLE:
            return self.number(_SIMPLE[code], self.order)
        if code == _STRING and len(info) > 1:
            return self.raw(info[1]).decode("utf-16" + ("le" if self.order == "<" else "be"), "replace")  # fmt: skip
        if code == _STRUCT:
            return tuple(self.number(letter, self.order) for letter in self.fields(info))
        if code == _ARRAY and len(info) >= 3:
            return self.array(info[1:-1], info[-1])
        raise self.fail("unknown type of value", got=f"code {code}")

    def fields(self, info: list[int]) -> str:
        # [15, name length, n, then (name length, type) per field]; names are empty in practice
        types = info[4::2]
        if len(info) < 3 or len(types) != info[2] or any(t not in _SIMPLE for t in types):
            raise self.fail("a structure is damaged", got=info[:12])
        return "".join(_SIMPLE[t] for t in types)

    def raw(self, count: int) -> bytes:
        if self.tell() + count > self.end:
            raise self.cut(count)
        return self.take(count)

    def cut(self, count: int) -> ReadError:
        return self.fail(
            f"the file is cut: a value of {count:,} bytes is announced",
            got=f"{max(self.end - self.tell(), 0):,} bytes left",
            expected=f"{count:,}",
            hint="copy the file again from the microscope",
        )

    def array(self, kind: list[int], count: int) -> Any:
        letters = _SIMPLE.get(kind[0], "") if kind[0] != _STRUCT else self.fields(kind)
        if not letters:
            raise self.fail("unknown type of array", got=f"code {kind[0]}")
        size = struct.calcsize("<" + letters) * count
        start = self.tell()
        if start + size > self.end:
            raise self.cut(size)
        if kind[0] == _STRUCT or size > SMALL:
            self.seek(size, 1)
            return Stored(start, self.order + letters, count)
        values = struct.unpack(f"{self.order}{count}{letters}", self.take(size))
        if kind[0] == 4:  # text is stored as an array of uint16
            return np.asarray(values, "<u2").tobytes().decode("utf-16-le", "replace").rstrip("\0")
        return list(values)
