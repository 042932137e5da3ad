"""Raster scans as text: a matrix of counts, one row a line, or a list of x, y, counts.

In: CSV, TSV or plain text. Out: one `map`; lengths are in µm where a header names their unit, else in pixels.
A first row and a first column of even steps are the scan's axes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared
from matterscope.io.maps import as_map
from matterscope.io.text_columns import decoded, is_number, split_row, text_of

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]
SUFFIXES = {".csv", ".tsv", ".txt", ".dat", ".asc"}
LEAST_COLUMNS = 8
"""A matrix has at least so many columns; tables of measurements as a rule have fewer."""
LENGTHS = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "m": 1e6,
}
"""µm per unit."""
RATE = re.compile(r"cps|/s\b|hz\b|rate|s-1", re.I)
PROBE_BYTES = 1 << 18
"""How far a matrix is looked into: its rows may be longer than the head of the file."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a list of x, y and counts, or a matrix that is no table over an axis."""
    if path.suffix.lower() not in SUFFIXES or (b"\0" in head and head[:1] not in b"\xff\xfe"):
        return False
    with path.open("rb") as handle:
        probe = handle.read(PROBE_BYTES)
    lines = text_of(probe[: len(probe) // 2 * 2]).splitlines()
    lines = lines if len(probe) < PROBE_BYTES else lines[:-1]
    header, rows = _split(lines)
    if not rows or len({len(r) for r in rows}) > 1:
        return False
    if _places(header, len(rows[0])):
        return True
    if len(rows[0]) < LEAST_COLUMNS or len(rows) < 3:
        return False
    values = np.array(rows)
    first = np.diff(values[1:, 0])
    over_axis = bool((first > 0).all() or (first < 0).all())
    return _axes(values) is not None or (not over_axis and bool((values >= 0).all()))


def _split(lines: list[str]) -> tuple[list[str], list[list[float]]]:
    header: list[str] = []
    rows: list[list[float]] = []
    for line in lines:
        if not line.strip():
            continue
        tokens = [t for t in split_row(line) if t]
        if tokens and all(is_number(t) or t.lower() == "nan" for t in tokens):
            rows.append([float(t.replace(",", ".") if "." not in t else t) for t in tokens])
        elif not rows:
            header.append(line)
    return header, rows


def _places(header: list[str], width: int) -> dict[str, int]:
    """Return the columns of x, y and the counts of a list, as its header names them."""
    if not header or width < 3:
        return {}
    names = [n.strip(" #%\"'").lower() for n in split_row(header[-1])]
    if len(names) != width:
        return {}
    found: dict[str, int] = {}
    for k, name in enumerate(names):
        words = re.split(r"[^a-z0-9µμ]+", name)
        for axis in ("x", "y"):
            if axis in words:
                found.setdefault(axis, k)
    rest = [k for k in range(width) if k not in found.values()]
    said = [k for k in rest if re.search(r"count|cps|rate|intens|signal|pl|hz", names[k])]
    return {**found, "counts": (said or rest)[0]} if len(found) == 2 and rest else {}


def _axes(values: Floats) -> tuple[Floats, Floats] | None:
    """Return (x, y) where the first row and the first column hold even steps, else None."""
    x, y = values[0, 1:], values[1:, 0]
    if min(x.size, y.size) < 3:
        return None
    steps = np.diff(x), np.diff(y)
    even = (np.ptp(s) < 1e-3 * abs(s.mean()) and abs(s.mean()) > 0 for s in steps)
    return (x, y) if all(even) else None


def read(path: Path) -> list[xr.Dataset]:
    """Return the map.

    Raises
    ------
    ReadError
        If rows differ in length, or the points of a list do not fill a grid.
    """
    declared(path.stat().st_size, str(path), "this text")
    header, rows = _split(decoded(path).splitlines())
    if not rows or len({len(r) for r in rows}) > 1:
        raise ReadError(
            "the rows of this map differ in length",
            where=str(path),
            got=sorted({len(r) for r in rows})[:6] or "no rows",
            hint="the file is cut, or it is no map",
        )
    values = np.array(rows)
    units = "counts/s" if RATE.search(" ".join(header)) else "counts"
    places = _places(header, values.shape[1])
    if places:
        return [_listed(path, values, header, places, units)]
    axes = _axes(values)
    counts = values[1:, 1:] if axes else values
    x, y = axes or (
        np.arange(counts.shape[1], dtype=float),
        np.arange(counts.shape[0], dtype=float),
    )
    scale = _length(" ".join(header)) if axes else None
    return [_map(counts, x, y, scale, units, header)]


def _listed(
    path: Path, values: Floats, header: list[str], places: dict[str, int], units: str
) -> xr.Dataset:
    x, column = np.unique(values[:, places["x"]], return_inverse=True)
    y, row = np.unique(values[:, places["y"]], return_inverse=True)
    if x.size * y.size != len(values) or min(x.size, y.size) < 2:
        raise ReadError(
            "the points of this list do not fill a grid",
            where=str(path),
            got=f"{len(values)} points over {y.size} × {x.size} places",
            expected=f"{x.size * y.size}, each place once",
            hint="a cut scan can be filled with nan; positions that were read back must be those asked for",
        )
    counts = np.full((y.size, x.size), np.nan)
    counts[row, column] = values[:, places["counts"]]
    name = split_row(header[-1])[places["x"]]
    return _map(counts, x, y, _length(name), units, header)


def _length(text: str) -> float | None:
    """Return µm per unit of a name such as 'x (nm)', or None where no unit stands in it."""
    words = re.split(r"[^a-zµμ]+", text.lower())
    return next((LENGTHS[w] for w in words if w in LENGTHS), None)


def _map(
    counts: Floats, x: Floats, y: Floats, scale: float | None, units: str, header: list[str]
) -> xr.Dataset:
    if scale is None:
        x, y = np.arange(x.size, dtype=float), np.arange(y.size, dtype=float)
    else:
        x, y = x * scale, y * scale
    length = "px" if scale is None else "µm"
    return as_map(counts, x, y, length, units, {"header": header[:60]})
