"""Time tags as text: columns of times and channels in any dialect, named or told by their content.

In: a path. Out: times, channels and the size of a time unit, with what had to be assumed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import MAX_TEXT_BYTES

Raw = np.ndarray[Any, Any]
TIMES = (
    "time",
    "times",
    "timestamps",
    "timestamp",
    "tags",
    "tag",
    "timetag",
    "timetags",
    "arrival",
)
CHANNELS = ("channel", "channels", "detectors", "detector", "ch", "chan", "input")
UNITS = {"ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "μs": 1e6, "ms": 1e9, "s": 1e12}
HEADER_LINES = 60
LEAST_ROWS = 20
"""Rows without names that are looked at before a file is taken for time tags."""


@dataclass(frozen=True)
class Columns:
    """Where times and channels stand: column numbers (−1: no channel), ps per unit, lines above."""

    time: int
    channel: int
    scale: float
    separator: str | None
    skip: int
    flags: tuple[dict[str, str], ...] = ()


def find_columns(text: str) -> Columns | None:
    """Return the columns of a text of time tags, or None where it holds something else."""
    lines = text.lstrip("\ufeff").splitlines()
    for number, line in enumerate(lines[:HEADER_LINES]):
        found = _named(line, number)
        if found is not None:
            return found
        if line.strip() and not line.lstrip().startswith(("#", "%", "//")) and _numbers(line):
            # the first row of numbers ends the header
            return _unnamed(lines[number:], number)
    return None


def _cells(line: str) -> tuple[list[str], str | None]:
    text = line.strip().lstrip("#%/").strip()
    separator = next((s for s in (",", ";", "\t") if s in text), None)
    return [c.strip() for c in text.split(separator)], separator


def _named(line: str, number: int) -> Columns | None:
    cells, separator = _cells(line)
    time = channel = -1
    scale = 1.0
    for i, cell in enumerate(cells):
        word = re.sub(r"[^a-zµμ]+", "_", cell.lower()).strip("_")
        stem, _, unit = word.rpartition("_")
        # the unit first: "time_s" is not "times"
        if unit in UNITS and stem.replace("_", "") in TIMES:
            time, scale = i, UNITS[unit]
        elif word.replace("_", "") in TIMES:
            time = i
        if stem in CHANNELS or word in CHANNELS:
            channel = i
    # a column of times beside counts is a histogram: only a column of channels makes time tags
    if time < 0 or channel < 0:
        return None
    return Columns(time, channel, scale, separator, number + 1)


def _numbers(line: str) -> list[float] | None:
    cells, _ = _cells(line)
    try:
        return [float(c) for c in cells]
    except ValueError:
        return None


def _unnamed(lines: list[str], skip: int) -> Columns | None:
    """Return two columns of whole numbers, one that rises unevenly and one of a few small numbers."""
    rows = [_numbers(line) for line in lines[:-1] if line.strip()]
    if len(rows) < LEAST_ROWS or any(r is None or len(r) != 2 for r in rows):
        return None
    table = np.array(rows, dtype=float)
    if not np.isfinite(table).all() or (table != np.round(table)).any():
        return None
    for time, channel in ((0, 1), (1, 0)):
        step, lane = np.diff(table[:, time]), table[:, channel]
        few = np.unique(lane).size <= 16 and np.abs(lane).max() <= 64
        # axes of spectra and histograms rise evenly, photons do not
        uneven = step.min() >= 0 and step.std() > 0.3 * max(step.mean(), 1e-300)
        if few and uneven and np.ptp(table[:, time]) > 1e4:
            return Columns(time, channel, 1.0, _cells(lines[0])[1], skip, (_assumed("no header"),))
    return None


def _assumed(why: str) -> dict[str, str]:
    return {
        "code": "unit-assumed",
        "message": f"{why}: the times were taken for ps",
        "remedy": "name the columns in the first line, e.g. time_ns,channel",
    }


def read_text(path: Path) -> tuple[Raw, Raw, float, list[dict[str, str]]]:
    """Return (times, channels, ps per unit, flags).

    Raises
    ------
    ReadError
        Too long, no columns of time tags, or a cell that is no number.
    """
    import pandas as pd

    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError("the text is too long", where=str(path), expected=f"{MAX_TEXT_BYTES} bytes")
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        head = handle.read(65536)
    found = find_columns(head)
    if found is None:
        raise ReadError(
            "no line names columns of times and channels",
            where=f"{path}, line 1",
            expected="e.g. time_ps,channel",
        )
    table = pd.read_csv(
        path,
        header=None,
        skiprows=found.skip,
        sep=found.separator or r"\s+",
        encoding="utf-8-sig",
        comment="#",
        skip_blank_lines=True,
    )
    values = []
    for column in (found.time, found.channel):
        if column >= table.shape[1]:
            raise ReadError(
                "a row has too few columns",
                where=f"{path}, line {found.skip + 1}",
                got=table.shape[1],
                expected=column + 1,
            )
        numbers = pd.to_numeric(table.iloc[:, column], errors="coerce")
        bad = np.flatnonzero(numbers.isna())
        if bad.size:
            raise ReadError(
                "a cell is not a number",
                where=f"{path}, line {int(bad[0]) + found.skip + 1}",
                got=repr(table.iloc[int(bad[0]), column]),
            )
        values.append(numbers.to_numpy())
    return values[0], values[1], found.scale, list(found.flags)
