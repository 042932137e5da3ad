"""Battery cycling tables with two header rows: triplets of voltage, capacity and lithium content.

In: a CSV whose first row repeats ``Voltage (V), Capacity (mAh/g), Li`` and whose second names the cycles
(1C, 1D …). Out: one curve per half cycle: voltage over capacity, with the lithium content as stated.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io.limits import MAX_TEXT_BYTES, declared

if TYPE_CHECKING:
    import xarray as xr

TRIPLET = ("voltage (v)", "capacity (mah/g)", "li")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first row is made of triplets of voltage, capacity and lithium."""
    first = head.decode("utf-8-sig", "replace").split("\n", 1)[0]
    names = tuple(cell.strip().lower() for cell in first.split(","))
    return len(names) >= 3 and names[:3] == TRIPLET


def read(path: Path, **options: Any) -> list[xr.Dataset]:
    """Read every half cycle.

    Parameters
    ----------
    path : path
        The table.

    Returns
    -------
    list of Dataset
        Kind "curve": `y` (V) over `x` (mAh/g) with the further variable `lithium` (per transition
        metal); labels "1C", "1D" … Columns may end at different rows.

    Raises
    ------
    ReadError
        With the row of a cell that is not a number.
    """
    declared(path.stat().st_size, str(path), "text")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError("the text is too long", where=str(path))
    text = path.read_text("utf-8-sig", "replace")
    rows = list(csv.reader(text.splitlines()))
    if len(rows) < 4:
        raise ReadError(
            "the table ends before its data", where=f"{path}, line {len(rows)}",
            expected="two header rows and at least two rows of numbers",
        )  # fmt: skip
    names = [cell.strip().lower() for cell in rows[0]]
    found = []
    for start in range(0, len(names) - 2, 3):
        if tuple(names[start : start + 3]) != TRIPLET:
            raise ReadError(
                f"columns {start + 1} to {start + 3} are no triplet", where=f"{path}, line 1",
                got=", ".join(rows[0][start : start + 3]), expected=", ".join(TRIPLET),
            )  # fmt: skip
        label = rows[1][start].strip() if start < len(rows[1]) else ""
        found.append(_half_cycle(rows, start, label or f"part {start // 3 + 1}", path))
    return found


def _half_cycle(rows: list[list[str]], start: int, label: str, path: Path) -> xr.Dataset:
    values: list[list[float]] = []
    for line, row in enumerate(rows[2:], 3):
        cells = [c.strip() for c in row[start : start + 3]]
        if not any(cells):
            continue  # the columns are ragged: this one ended earlier
        try:
            values.append([float(c) for c in cells])
        except ValueError:
            raise ReadError(
                "a cell is not a number", where=f"{path}, line {line}", got=", ".join(cells)
            ) from None
    if len(values) < 2 or any(len(v) != 3 for v in values):
        raise ReadError(f"half cycle '{label}' is incomplete", where=str(path), got=len(values))
    table = np.array(values)
    rising = np.concatenate([[True], np.diff(table[:, 1]) > 0])
    warnings = []
    if not rising.all():
        table = table[rising]
        message = (
            f"{int((~rising).sum())} rows of {label} whose capacity does not rise were left out"
        )
        warnings.append({"code": "capacity_falls", "message": message})
    return measurement(
        "curve",
        {"x": (table[:, 1], "mAh/g")},
        {"y": (("x",), table[:, 0], "V"), "lithium": (("x",), table[:, 2], "1")},
        source={"selector": label},
        label=label,
        x_name="capacity",
        y_name="voltage",
        warnings=warnings,
    )
