"""Text files of the laboratory software qudi: confocal maps and spectra, in metres and hertz.

In: a .dat file with a `#` header. Out: one `map` (counts per second, µm) or `emission` (nm).
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement


def sniff(path: Path, head: bytes) -> bool:
    """Return whether qudi's confocal or spectrum class wrote this file."""
    start = head[:200]
    return start.startswith(b"#Saved Data from the class") and (
        b"confocal" in start or b"class spectrum" in start
    )


def _parts(path: Path) -> tuple[dict[str, str], list[str], np.ndarray[Any, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    header = [line for line in lines if line.startswith("#")]
    settings: dict[str, str] = {}
    for line in header:
        match = re.match(r"#([^:]+):\s*(\S.*?)\s*$", line)
        if match is not None:
            settings[match.group(1)] = match.group(2)
    names = [n.strip() for n in header[-1].lstrip("#").split("\t") if n.strip()]
    rows = [line for line in lines if line and not line.startswith("#")]
    if rows and len(rows[-1].split()) < len(names):
        rows = rows[:-1]  # a row cut short
    if not rows:
        raise ReadError("the file has a header and no data", where=str(path))
    try:
        table = np.loadtxt(io.StringIO("\n".join(rows)), ndmin=2)
    except ValueError as error:
        raise ReadError(f"a row is not numeric: {error}", where=str(path)) from None
    return settings, names, table


def read(path: Path) -> list[xr.Dataset]:
    """Return the map or the spectrum."""
    settings, names, table = _parts(path)
    if any("position" in n for n in names):
        return [_map(path, settings, table)]
    return [_spectrum(path, settings, names, table)]


def _map(path: Path, settings: dict[str, str], table: np.ndarray[Any, Any]) -> xr.Dataset:
    x, y = np.unique(table[:, 0]), np.unique(table[:, 1])
    whole = len(table) // x.size
    if whole < 2 or (whole * x.size != len(table) and whole < y.size - 1):
        raise ReadError(
            "the points do not fill a grid",
            where=str(path),
            got=f"{len(table)} points",
            expected=f"{x.size} × {y.size}",
        )
    rate = table[: whole * x.size, 3].reshape(whole, x.size)
    clock = next((float(v) for k, v in settings.items() if "Clock frequency" in k), None)
    attrs: dict[str, Any] = {"clock_rate": clock} if clock else {}
    return measurement(
        "map",
        {"y": (1e6 * y[:whole], "µm"), "x": (1e6 * x, "µm")},
        {"counts": (("y", "x"), rate, "counts/s")},
        vendor=dict(settings),
        **attrs,
    )


def _spectrum(
    path: Path, settings: dict[str, str], names: list[str], table: np.ndarray[Any, Any]
) -> xr.Dataset:
    column = names.index("signal") if "signal" in names else 1
    if table.shape[1] <= column:
        raise ReadError("the spectrum has no signal column", where=str(path), got=names)
    order = np.argsort(table[:, 0])
    flags = ["wavelengths were in metres; they are converted to nm"] if table[0, 0] < 1e-4 else []
    scale = 1e9 if flags else 1.0
    return measurement(
        "emission",
        {"wavelength": (scale * table[order, 0], "nm")},
        {"counts": (("wavelength",), table[order, column], "counts")},
        vendor=dict(settings),
        flags=flags,
    )
