"""Histograms of coincidences or arrival times as text: qudi's autocorrelation, and plain columns.

In: a path. Out: a `histogram` measurement over lag (ps). Vendor binaries stand in `picoquant_curves`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import MAX_TEXT_BYTES, declared

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
    return _column_names(head.decode("utf-8", "replace").splitlines()[:60]) is not None


def _column_names(lines: list[str]) -> tuple[int, list[str], float] | None:
    """Return (line, names, ps per unit) of the header line that names a time axis, or None."""
    for number, line in enumerate(lines):
        text = line.strip().lstrip("#").strip()
        separator = "\t" if "\t" in text else ","
        names = [n.strip() for n in text.split(separator) if n.strip()]
        if len(names) < 2:
            continue
        word = names[0].lower()
        unit = word[word.find("(") + 1 : word.find(")")] if "(" in word else ""
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
        cells = text.replace(",", " ").split()
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
