"""Force constants for phonon sidebands: phonopy's FORCE_CONSTANTS.

In: paths, gzip-compressed or not. Out: force constants of shape (n, n, 3, 3) in eV/Å².
These are no measurements: the verb that needs them asks for them by name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared, unpacked_text

Floats = NDArray[np.float64]


def is_force_constants(text: str) -> bool:
    """Return whether a text begins as phonopy's FORCE_CONSTANTS: one or two counts, a pair, nine numbers."""
    lines = text[:2000].splitlines()
    if len(lines) < 5:
        return False
    counts, pair, row = lines[0].split(), lines[1].split(), lines[2].split()
    return (
        len(counts) in (1, 2)
        and all(c.isdigit() for c in counts)
        and len(pair) == 2
        and len(row) == 3
    )


def read_force_constants(path: Path, text: str | None = None) -> Floats:
    """Return phonopy's FORCE_CONSTANTS, shape (n, n, 3, 3), eV/Å²."""
    body = text if text is not None else unpacked_text(path)
    first, _, rest = body.partition("\n")
    counts = [int(c) for c in first.split()]
    n, m = counts[0], counts[-1]
    if n != m:
        raise ReadError(
            "compact force constants need the whole cell",
            where=f"{path}, line 1",
            got=f"{n} × {m}",
            hint="write them with FULL_FORCE_CONSTANTS",
        )
    declared(n * m * 11 * 8, str(path), "the force constants")
    values = np.array(rest.split(), dtype=float)
    if values.size != n * m * 11:
        raise ReadError(
            "the force constants are incomplete",
            where=str(path),
            got=f"{values.size} numbers",
            expected=f"{n * m * 11} for {n} atoms",
        )
    blocks = values.reshape(n * m, 11)
    expected = np.stack(
        np.meshgrid(np.arange(1, n + 1), np.arange(1, m + 1), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    if not np.array_equal(blocks[:, :2], expected):
        raise ReadError("the pairs of atoms are out of order", where=str(path))
    return blocks[:, 2:].reshape(n, m, 3, 3)
