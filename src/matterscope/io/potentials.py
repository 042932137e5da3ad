"""Potential grids of VASP (LOCPOT), plain or gzipped.

In: a file. Out: a `Grid` with the cell in Å and the local potential in eV: the potential energy of an
electron, which has the opposite sign of the electrostatic potential.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared, regular_file


@dataclass(frozen=True)
class Grid:
    """A scalar field: values of shape (nx, ny, nz) in eV, cell rows in Å, fractional positions, species."""

    values: NDArray[np.float64]
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    counts: dict[str, int]


def read_locpot(path: Path) -> Grid:
    """Read the first block of a LOCPOT file.

    Raises
    ------
    ReadError
        For a file that is no LOCPOT, is cut short, or declares more than the limit.
    """
    regular_file(path)
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    try:
        if packed:
            with gzip.open(path, "rt", encoding="ascii", errors="replace") as text:
                return _parse(text, path)
        with path.open("rt", encoding="ascii", errors="replace") as text:
            return _parse(text, path)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ReadError(f"the file is cut short or damaged: {error}", where=str(path)) from None


def _parse(text: TextIO, path: Path) -> Grid:
    where = str(path)
    try:
        text.readline()
        scale = float(text.readline())
        cell = np.array([[float(v) for v in text.readline().split()[:3]] for _ in range(3)]) * scale
        names = text.readline().split()
        numbers = [int(v) for v in text.readline().split()]
        text.readline()
        total = sum(numbers)
        declared(total * 24, where, "the atoms")
        positions = np.array(
            [[float(v) for v in text.readline().split()[:3]] for _ in range(total)]
        )
        line = text.readline()
        while line and not line.strip():
            line = text.readline()
        shape = tuple(int(v) for v in line.split())
        if cell.shape != (3, 3) or len(shape) != 3 or min(shape) < 2:
            raise ValueError("no grid of three sizes")
    except (ValueError, IndexError) as error:
        raise ReadError(
            f"this is no LOCPOT: {error}",
            where=where,
            expected="cell, species, positions and a grid",
            hint="give VASP's LOCPOT (LVHAR = .TRUE.)",
        ) from None
    size = int(np.prod(shape))
    declared(size * 8, where, "the potential")
    values = _numbers(text, size)
    if values.size < size:
        raise ReadError(
            "the potential is cut short",
            where=where,
            got=f"{values.size} values",
            expected=f"{size}",
        )
    field = values.reshape(shape, order="F")  # x runs fastest
    return Grid(field, cell, positions, dict(zip(names, numbers, strict=False)))


def _numbers(text: TextIO, size: int) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = []
    have = 0
    while have < size:
        block = text.read(1 << 22)
        if not block:
            break
        block += text.readline()
        found = np.array(block.split(), dtype=float)
        parts.append(found[: size - have])
        have += len(parts[-1])
        if not found.size:
            break
    return np.concatenate(parts) if parts else np.empty(0)
