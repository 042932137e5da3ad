"""Histograms of coincidences or arrival times as text: qudi's autocorrelation, and plain columns.

In: a path. Out: a `histogram` measurement over lag (ps). Vendor binaries stand in `picoquant_curves`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import MAX_TEXT_BYTES, declared
from matterscope.io.text_columns import split_row

if TYPE_CHECKING:
    import xarray as xr

_TIME_UNITS = {"ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9, "s": 1e12}
_TIME_WORDS = ("time", "tau", "lag", "delay")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the text has a column of times with a unit, and counts beside it."""
    if b"\0" in head:
        return False
    if b"autocorrelation_logic" in head[:200]:
        return True
    if _is_bare(path, head):
        return True
    return _column_names(head.decode("utf-8", "replace").splitlines()[:60]) is not None


LEAST_BARE = 20
"""Evenly spaced delays that text without a header must begin with before it counts as a histogram."""


def _is_bare(path: Path, head: bytes) -> bool:
    """Return whether numbers alone are a histogram: whole counts over delays to both sides of zero."""
    found = _bare_axis(head.decode("utf-8", "replace"))
    if found is None or found[1]:
        return found is not None
    first = [_cells(x) for x in head.decode("utf-8", "replace").splitlines()[:LEAST_BARE]]
    with path.open("rb") as handle:
        handle.seek(max(path.stat().st_size - 400, 0))
        last = _cells(handle.read().decode("utf-8", "replace").strip().splitlines()[-1])
    try:
        counts = [float(c[1]) for c in first]
        low, high = float(first[0][0]), float(last[0])
    except (ValueError, IndexError):
        return False
    # an energy loss begins below zero too, and ends far above
    return all(c >= 0 and c == int(c) for c in counts) and abs(low + high) < 0.5 * (high - low)


def _bare_axis(text: str) -> tuple[np.ndarray[Any, Any], bool] | None:
    """Return the delays that text of numbers alone begins with, and whether they run along a row.

    An axis of delays is even and begins below zero, which no axis of wavelengths or energies does.
    """
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        return None
    along = len(lines[0].split()) > 2 * LEAST_BARE
    cells = lines[0].split()[:-1] if along else [_cells(x)[0] for x in lines[:-1] if _cells(x)]
    if len(cells) < LEAST_BARE or (not along and len(_cells(lines[0])) != 2):
        return None
    try:
        values = np.array([float(c) for c in cells])
    except ValueError:
        return None
    steps = np.diff(values)
    even = steps.min() > 0 and np.ptp(steps) < 1e-3 * steps.mean()
    return (values, along) if values[0] < 0 and even else None


def _cells(line: str) -> list[str]:
    return [t.replace(",", ".") for t in split_row(line) if t]


def _read_bare(lines: list[str], along: bool, path: Path) -> list[xr.Dataset]:
    """Return the histogram of two rows, or two columns, of numbers without a header."""
    from matterscope.core.schema import measurement

    rows = _rows(lines, 0, 2, path) if not along else None
    if rows is None:
        held = [np.array([float(c) for c in _cells(x)]) for x in lines if x.strip()]
        if len(held) < 2 or held[0].size != held[1].size:
            raise ReadError(
                "a row of delays needs a row of counts of its length",
                where=str(path),
                got=", ".join(str(h.size) for h in held[:3]) + " numbers",
            )
        rows = np.stack(held[:2], axis=1)
    step, reach = float(np.median(np.diff(rows[:, 0]))), float(np.abs(rows[:, 0]).max())
    unit = "ps" if reach >= 2e4 else "ns" if reach >= 1e-3 else "s"
    return [
        measurement(
            "histogram",
            {"lag": (rows[:, 0] * _TIME_UNITS[unit], "ps")},
            {"counts": (("lag",), rows[:, 1], "counts")},
            source={"reader": "histogram-text"},
            vendor={},
            bin_width_ps=step * _TIME_UNITS[unit],
            warnings=[
                {
                    "code": "unit-guessed",
                    "message": f"the delays have neither name nor unit; they were taken as {unit} from their range (±{reach:g} in steps of {step:g})",
                    "remedy": "a header such as 'Time (ps), counts' states it",
                }
            ],
        )
    ]


def _column_names(lines: list[str]) -> tuple[int, list[str], float] | None:
    """Return (line, names, ps per unit) of the header line that names a time axis, or None."""
    for number, line in enumerate(lines):
        text = line.strip().lstrip("#").strip()
        separator = next((f"[{c}]" for c in "\t;," if c in text), r"\s+(?![(\[])")
        names = [n.strip() for n in re.split(separator, text) if n.strip()]
        if len(names) < 2:
            continue
        word = names[0].lower()
        stated = re.search(r"[(\[]\s*([a-zµ]+)\s*[)\]]", word)
        unit = stated[1] if stated else ""
        unit = unit or (word.rsplit("_", 1)[-1] if "_" in word else "")
        if word.startswith(_TIME_WORDS) and unit in _TIME_UNITS:
            others = " ".join(names[1:]).lower()
            if any(w in others for w in ("count", "g2", "coincidence")):
                return number, names, _TIME_UNITS[unit]
    return None


def read(path: Path) -> list[xr.Dataset]:
    """Return the histogram; further columns are kept in the vendor's metadata by name."""
    from matterscope.core.schema import measurement

    declared(path.stat().st_size, str(path), "text")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError("the text is too long", where=str(path), expected=f"{MAX_TEXT_BYTES} bytes")
    lines = path.read_text("utf-8-sig", "replace").splitlines()
    found = _column_names(lines[:60])
    bare = _bare_axis("\n".join(lines[: LEAST_BARE + 2]))
    if found is None and bare is not None:
        return _read_bare(lines, bare[1], path)
    if found is None:
        raise ReadError(
            "no line names the columns",
            where=f"{path}, line 1",
            expected="a header such as 'Time (ps), counts'",
        )
    start, names, scale = found
    rows = _rows(lines, start + 1, len(names), path)
    lag = rows[:, 0] * scale
    lag = np.round(lag) if np.allclose(lag, np.round(lag), atol=1e-3) else lag
    return [
        measurement(
            "histogram",
            {"lag": (lag, "ps")},
            {"counts": (("lag",), rows[:, 1], "counts")},
            source={"reader": "histogram-text"},
            vendor=_parameters(lines[:start]) | {"columns": names},
            bin_width_ps=float(np.median(np.diff(lag))) if lag.size > 1 else 0.0,
            warnings=[],
        )
    ]


def _rows(lines: list[str], first: int, width: int, path: Path) -> np.ndarray[Any, Any]:
    rows = []
    for number, line in enumerate(lines[first:], first + 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        cells = _cells(text)
        try:
            values = [float(c) for c in cells]
        except ValueError:
            raise ReadError(
                "a row is not made of numbers", where=f"{path}, line {number}", got=text[:60]
            ) from None
        if len(values) < 2:
            raise ReadError(
                "a row has too few columns",
                where=f"{path}, line {number}",
                got=len(values),
                expected=width,
            )
        rows.append(values[:width] + [np.nan] * (width - len(values)))
    if not rows:
        raise ReadError("the file has a header and no rows", where=str(path), got="0 rows")
    return np.array(rows, dtype=float)


def _parameters(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, colon, value = line.lstrip("#").partition(":")
        if colon and value.strip():
            found[name.strip()] = value.strip()
    return found
