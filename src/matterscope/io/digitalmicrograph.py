"""DigitalMicrograph files DM3 and DM4: own reader of the tag tree, with limits on what it may hold.

In: a ``.dm3`` or ``.dm4`` file. Out: every object of its ImageList that is not a thumbnail, lazily
memory-mapped, as spectrum, image or movie; ``FILE:N`` or ``FILE:NAME`` picks one.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError, UnitError
from matterscope.core.schema import measurement
from matterscope.core.units import UNITS, conversion, parse_unit
from matterscope.io.limits import declared

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

WANTS_KIND = True
MAX_DEPTH = 64
MAX_TAGS = 500_000
SMALL = 4096
"""Arrays up to this many bytes become values of the tag tree; larger ones stay in the file."""

SCANNED = 4_000_000
"""Images up to this many pixels are looked through for being empty."""

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

# ImageData.DataType → numpy type; complex and packed RGB are views of the real pixels
_PIXELS = {1: "i2", 2: "f4", 3: "c8", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 13: "c16", 14: "u1", 39: "i8", 40: "u8"}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """Where an array lies in the file: offset (bytes), element type and count."""

    offset: int
    dtype: str
    count: int


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins as DM3 or DM4: version, size, byte order 0 or 1."""
    if len(head) < 24:
        return path.suffix.lower() in {".dm3", ".dm4"}
    version = int.from_bytes(head[:4], "big")
    if version not in (3, 4):
        return False
    start = 8 if version == 3 else 12
    return int.from_bytes(head[start : start + 4], "big") in (0, 1) and head[start + 5] in (0, 1)


def read(path: Path, *, kind: str | None = None, **options: Any) -> list[xr.Dataset]:
    """Read every object of the file that can be of the kind wanted.

    Parameters
    ----------
    path : path
        A ``.dm3`` or ``.dm4`` file.
    kind : str, optional
        "spectrum", "image" or "movie"; without it each object has the kind its axes say.

    Returns
    -------
    list of Dataset
        Axes (y, x, energy) for spectrum images, (y, x) for images, (time, y, x) for series;
        value of an axis = (index − Origin) × Scale. The numbers stay in the file until used.

    Raises
    ------
    ReadError
        Damaged, cut, too deep, too many tags, or none of the objects is of that kind.
    """
    tags = read_tags(path)
    objects = list(_objects(tags, path))
    if not objects:
        raise ReadError("the file holds no image object", where=str(path), expected="an ImageList")
    names = Counter(name for name, _, _ in objects)
    found: list[xr.Dataset] = []
    refused: list[str] = []
    for number, (name, entry, label) in enumerate(objects, 1):
        selector = name if names[name] == 1 else f"{number}"
        built = _build(entry, kind, path, selector, label)
        if isinstance(built, str):
            refused.append(built)
        else:
            found.append(built)
    if not found:
        raise ReadError(
            f"no object of this file is of kind {kind or 'spectrum, image or movie'}",
            where=str(path),
            got="; ".join(refused),
        )
    return found


# --- the tag tree -----------------------------------------------------------------------------


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


# --- from tags to measurements ----------------------------------------------------------------


def _objects(tags: dict[str, Any], path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    thumbnails = {
        t.get("ImageIndex") for t in _group(tags, "Thumbnails").values() if isinstance(t, dict)
    }
    for index, entry in enumerate(_group(tags, "ImageList").values()):
        if index in thumbnails or not isinstance(entry, dict):
            continue
        data = _group(entry, "ImageData")
        if data.get("DataType") == 23:  # packed RGB: a drawing, no measurement
            continue
        name = entry.get("Name")
        label = name if isinstance(name, str) and name else path.stem
        yield label, entry, label


def _group(tags: dict[str, Any], name: str) -> dict[str, Any]:
    found = tags.get(name)
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class _Axis:
    origin: float
    scale: float
    units: str

    def values(self, count: int, factor: float = 1.0) -> NDArray[np.float64]:
        return np.asarray((np.arange(count) - self.origin) * self.scale * factor, float)

    @property
    def energy_factor(self) -> float:
        """Factor to eV, or 0 for an axis that is no energy."""
        unit = self.units.strip()
        if unit not in UNITS and unit.lower() not in {"ev", "kev", "mev"}:
            return 0.0
        name = parse_unit(unit)
        return conversion(name, "eV") if UNITS[name][0] == "energy" and name != "1/cm" else 0.0


def _axes(data: dict[str, Any], rank: int) -> list[_Axis]:
    """Return the calibrations in numpy's order: DigitalMicrograph lists the fastest axis first."""
    stored = list(_group(_group(data, "Calibrations"), "Dimension").values())
    axes = []
    for entry in stored[:rank]:
        tags = entry if isinstance(entry, dict) else {}
        scale = float(tags.get("Scale", 1.0) or 1.0)
        units = tags.get("Units")
        text = units if isinstance(units, str) else ""
        axes.append(_Axis(float(tags.get("Origin", 0.0)), scale, text))
    axes += [_Axis(0.0, 1.0, "")] * (rank - len(axes))
    return axes[::-1]


def _build(
    entry: dict[str, Any], kind: str | None, path: Path, selector: str, label: str
) -> xr.Dataset | str:
    data = _group(entry, "ImageData")
    values = _values(data, path, label)
    axes = _axes(data, values.ndim)
    tags = _group(entry, "ImageTags")
    energy = [i for i, axis in enumerate(axes) if axis.energy_factor]
    if energy and kind in (None, "spectrum"):
        return _spectrum(values, axes, energy[0], tags, selector, label)
    if energy:
        return f"'{label}' is a spectrum"
    if values.ndim == 2 and kind in (None, "image"):
        return _image(values, axes, tags, selector, label)
    if values.ndim == 3 and kind in (None, "movie"):
        return _movie(values, axes, tags, selector, label)
    return f"'{label}' has {values.ndim} axes and no energy"


def _values(data: dict[str, Any], path: Path, label: str) -> NDArray[Any]:
    """Return the pixels in the shape of the file, memory-mapped when they are many."""
    stored, where = data.get("Data"), f"{path}:{label}"
    shape = tuple(int(n) for n in _group(data, "Dimensions").values())[::-1]
    code = int(data.get("DataType", 0))
    if code not in _PIXELS:
        raise ReadError(
            "pixels of this type are not read", where=where, got=f"DataType {code}", expected="real"
        )
    size = int(np.prod(shape, dtype=object)) if shape else 0
    declared(size * np.dtype(_PIXELS[code]).itemsize, where, "image data")
    if isinstance(stored, Stored):
        dtype = np.dtype(_PIXELS[code]).newbyteorder("<" if stored.dtype[0] == "<" else ">")
        available = struct.calcsize("<" + stored.dtype[1:]) * stored.count
        if size < 1 or size * dtype.itemsize > available:
            raise ReadError(
                "the image is smaller than its dimensions",
                where=where,
                got=f"{available:,} bytes",
                expected=f"{shape} of {dtype.itemsize} bytes",
            )
        values = np.asarray(np.memmap(path, dtype, "r", stored.offset, shape))
    else:
        flat = np.asarray(
            np.frombuffer(stored.encode("utf-16-le"), "<u2") if isinstance(stored, str) else stored
        )
        if flat.size != size or flat.dtype == object:
            raise ReadError("the image is damaged", where=where, got=flat.size, expected=shape)
        values = flat.reshape(shape)
    return np.abs(values) if values.dtype.kind == "c" else values


def _spectrum(
    values: NDArray[Any],
    axes: list[_Axis],
    at: int,
    tags: dict[str, Any],
    selector: str,
    label: str,
) -> xr.Dataset:
    axis = axes[at]
    energy = axis.values(values.shape[at], axis.energy_factor)
    mu = np.moveaxis(values, at, -1)
    if axis.scale < 0:
        energy, mu = energy[::-1], mu[..., ::-1]
    rest = [a for i, a in enumerate(axes) if i != at]
    # a spectrum stored as an image of height 1, or as stacked lines, has axes without calibration
    names = ("z", "y", "x")[-len(rest) :] if rest else ()
    keep = [i for i, n in enumerate(mu.shape[:-1]) if n > 1 or mu.ndim == 3]
    mu = mu.reshape(*(mu.shape[i] for i in keep), mu.shape[-1])
    coords: dict[str, tuple[Any, str]] = {
        names[i]: _length_axis(rest[i], mu.shape[k]) for k, i in enumerate(keep)
    }
    return measurement(
        "spectrum",
        {**coords, "energy": (energy, "eV")},
        {"mu": ((*coords, "energy"), mu, "counts")},
        source={"selector": selector},
        vendor=_vendor(tags),
        label=label,
        warnings=[],
        **_acquisition(tags),
    )


def _image(
    values: NDArray[Any], axes: list[_Axis], tags: dict[str, Any], selector: str, label: str
) -> xr.Dataset:
    y, x = (_length_axis(a, n) for a, n in zip(axes, values.shape, strict=True))
    if y[1] != x[1]:  # one axis calibrated, the other not: neither can be trusted
        y, x = ((np.arange(n, dtype=float), "px") for n in values.shape)
    return measurement(
        "image",
        {"y": y, "x": x},
        {"intensity": (("y", "x"), values, "1")},
        source={"selector": selector},
        vendor=_vendor(tags),
        label=label,
        warnings=_empty(values),
        **_acquisition(tags),
    )


def _empty(values: NDArray[Any]) -> list[dict[str, str]]:
    if values.size > SCANNED or values.any():
        return []
    return [{"code": "all_zero", "message": "every pixel of this image is 0"}]


def _movie(
    values: NDArray[Any], axes: list[_Axis], tags: dict[str, Any], selector: str, label: str
) -> xr.Dataset:
    time = axes[0]
    seconds = time.units.strip() == "s" and time.scale > 0
    y, x = (_length_axis(a, n) for a, n in zip(axes[1:], values.shape[1:], strict=True))
    return measurement(
        "movie",
        {
            "time": (time.values(len(values)), "s")
            if seconds
            else (np.arange(len(values), dtype=float), "frame"),
            "y": y,
            "x": x,
        },
        {"intensity": (("time", "y", "x"), values, "1")},
        source={"selector": selector},
        vendor=_vendor(tags),
        label=label,
        warnings=[],
        **_acquisition(tags),
    )


def _length_axis(axis: _Axis, count: int) -> tuple[NDArray[np.float64], str]:
    try:
        factor = conversion(parse_unit(axis.units), "nm") if axis.units.strip() else 0.0
    except UnitError:
        factor = 0.0
    if factor and axis.scale > 0:
        return axis.values(count, factor), "nm"
    return np.arange(count, dtype=float), "px"


def _vendor(tags: dict[str, Any]) -> dict[str, Any]:
    """Return the image tags as plain values; arrays left in the file are named, not copied."""
    plain: dict[str, Any] = {}
    for name, value in tags.items():
        if isinstance(value, dict):
            plain[name] = _vendor(value)
        elif isinstance(value, Stored):
            plain[name] = f"array of {value.count} at offset {value.offset}"
        else:
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def _acquisition(tags: dict[str, Any]) -> dict[str, Any]:
    """Return the normalised metadata: beam energy, angles; values of 0 were never recorded."""
    microscope = _group(tags, "Microscope Info")
    eels = _group(_group(tags, "EELS"), "Experimental Conditions") or _group(tags, "EELS")
    settings = {
        "beam_energy_kev": (microscope.get("Voltage"), 1e-3),
        "convergence_mrad": (eels.get("Convergence semi-angle (mrad)"), 1.0),
        "collection_mrad": (eels.get("Collection semi-angle (mrad)"), 1.0),
    }
    known: dict[str, Any] = {
        name: float(value) * factor
        for name, (value, factor) in settings.items()
        if isinstance(value, (int, float)) and value > 0
    }
    signal = _group(tags, "Meta Data").get("Signal")
    return known | ({"signal": signal} if isinstance(signal, str) else {})
