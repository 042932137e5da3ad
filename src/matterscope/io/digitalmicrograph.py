"""DigitalMicrograph files DM3 and DM4: the objects in their tag tree.

In: a ``.dm3`` or ``.dm4`` file. Out: every object of its ImageList that is not a thumbnail, lazily
memory-mapped, as spectrum, image or movie; ``FILE:N`` or ``FILE:NAME`` picks one.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError, UnitError
from matterscope.core.schema import measurement
from matterscope.core.units import UNITS, conversion, parse_unit
from matterscope.io.digitalmicrograph_tags import Stored, read_tags
from matterscope.io.limits import declared

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

WANTS_KIND = True
SCANNED = 4_000_000
"""Images up to this many pixels are looked through for being empty."""

# ImageData.DataType → numpy type; complex and packed RGB are views of the real pixels
_PIXELS = {1: "i2", 2: "f4", 3: "c8", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 13: "c16", 14: "u1", 39: "i8", 40: "u8"}  # fmt: skip


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
