"""Traces of brightness as text: a column of times in seconds with its name, and counts or rates beside it.

In: CSV, TSV or plain text. Out: one `trace`, (time) or (detector, time).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io.limits import declared
from matterscope.io.text_columns import Table, decoded, parse, text_of

if TYPE_CHECKING:
    import xarray as xr

SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0}
FINEST = 1e-5
"""s; a trace counts in bins of at least ten microseconds, a histogram of delays in finer ones."""
RATE = re.compile(r"cps|/s\b|hz\b|rate", re.I)


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first column is a time in even steps no finer than a trace has."""
    if b"\0" in head or path.suffix.lower() not in {".csv", ".tsv", ".txt", ".dat", ".asc"}:
        return False
    try:
        table = parse(path, text_of(head).rpartition("\n")[0])
    except ReadError:
        return False
    unit = _unit(table)
    if unit is None or len(table.values) < 4:
        return False
    steps = np.diff(table.values[:, 0] * unit)
    usual = float(np.median(steps))
    # a gap is for the reader to complain about
    return usual >= FINEST and bool(np.mean(np.abs(steps - usual) < 0.05 * usual) > 0.8)


def _unit(table: Table) -> float | None:
    """Return seconds per unit of the first column, or None where it is no time of counts."""
    first, others = table.names[0].strip(), " ".join(table.names[1:])
    words = [w for w in re.split(r"[^A-Za-zµμ]+", first.lower()) if w]
    if not words or words[0] not in {"time", "t", "zeit"}:
        return None
    counts = re.search(r"count|cps|rate|intens|hz|apd|ch\d|det", others, re.I)
    unit = words[1] if len(words) > 1 else "s"
    return SECONDS.get(unit) if counts else None


def read(path: Path) -> list[xr.Dataset]:
    """Return the trace; further columns of counts are further detectors.

    Raises
    ------
    ReadError
        If the times are no even steps: a gap is no dark time.
    """
    declared(path.stat().st_size, str(path), "this text")
    table = parse(path, decoded(path))
    unit = _unit(table)
    if unit is None:
        raise ReadError(
            "no column of times with counts beside it",
            where=str(path),
            got=", ".join(table.names),
            expected="a header such as 'time (s), counts'",
        )
    time = table.values[:, 0] * unit
    steps = np.diff(time)
    if steps.size < 2 or steps.min() <= 0 or np.ptp(steps) > 0.5 * np.median(steps):
        odd = int(np.argmax(np.abs(steps - np.median(steps)))) if steps.size else 0
        raise ReadError(
            "the times of this trace are no even steps",
            where=f"{path}, row {odd + 2}",
            got=f"{steps[odd]:g} s" if steps.size else "one row",
            expected=f"{np.median(steps):g} s" if steps.size else "two rows",
            hint="cut the file at the gap and give the parts one by one",
        )
    units = "counts/s" if RATE.search(" ".join(table.names[1:])) else "counts"
    counts = table.values[:, 1:].T
    if np.isnan(counts).any() or (counts < 0).any():
        raise ReadError("counts below zero, or none", where=str(path), got=f"{np.nanmin(counts):g}")
    return [
        measurement(
            "trace",
            {"time": (time, "s")},
            {"counts": (("detector", "time"), counts, units)},
            vendor={"header": table.header[:60]},
            warnings=[],
        )
    ]
