"""The "9809" text files of Japanese beamlines: mono angles, detectors with modes, dark counts.

In: a file whose first word is 9809 (Photon Factory, SPring-8). Out: one spectrum; energies follow
from the angle reached and the d-spacing of the header, dark counts are taken off.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from matterscope.core.errors import ReadError
from matterscope.io.columns import spectrum
from matterscope.io.text_columns import decoded, parse

if TYPE_CHECKING:
    import xarray as xr

ANGLES = 3
"""Columns before the detectors: angle asked for, angle reached, time."""
MODES = {1: "i0", 2: "it", 3: "if"}
"""Mode of a detector → its role; other modes are kept out."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first word is 9809."""
    return head.lstrip()[:4] == b"9809" and b"\0" not in head


def read(path: Path) -> list[xr.Dataset]:
    """Return the spectrum of a 9809 file.

    Raises
    ------
    ReadError
        The d-spacing, the modes of the detectors or the incident beam are not stated.
    """
    table = parse(path, decoded(path))
    spacing = next((m for r in table.header if (m := re.search(r"\bD\s*=\s*([\d.]+)", r))), None)
    modes = _row(table.header, "Mode")
    if spacing is None or modes is None or table.values.shape[1] <= ANGLES:
        raise ReadError(
            "this 9809 file does not say how it was measured",
            where=str(path),
            got=f"{table.values.shape[1]} columns",
            expected="D= (d-spacing, Å), a row Mode, and detectors beside the angles",
        )
    # these rows begin under the second column
    dark = _row(table.header, "Offset") or [0.0] * len(modes)
    values = table.values.copy()
    names = ["asked", "angle", "time", *(f"detector {k}" for k in range(1, values.shape[1] - 2))]
    roles = {"angle": 1}
    for column in range(ANGLES, min(values.shape[1], len(modes) + 1)):
        values[:, column] -= dark[column - 1] * values[:, 2]
        role = MODES.get(int(modes[column - 1]))
        if role and role not in roles:
            roles[role] = column
    label = table.header[1].split()[0] if len(table.header) > 1 and table.header[1].split() else ""
    return [
        spectrum(
            path, names, values, roles, header=table.header, d_spacing=float(spacing[1]),
            label=label or path.stem,
        )
    ]  # fmt: skip


def _row(header: list[str], name: str) -> list[float] | None:
    """Return the numbers of the header row that begins with `name`."""
    for row in header:
        words = row.split()
        if words and words[0] == name:
            return [float(w) for w in words[1:] if re.fullmatch(r"[-+.\d]+", w)]
    return None
