"""Read spectra that simulation codes wrote: FEFF, FDMNES, VASP core hole, OCEAN, XSpectra.

In: ``xmu.dat``, ``…_conv.txt``, ``CORE_DIELECTRIC_IMAG.dat``, ``absspct_…``, ``xanes.dat``. Out: one spectrum
each, on the code's own energy axis (eV), which is no experimental one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement

HARTREE_AXES = 7
"""Columns of VASP's core dielectric tensor: energy and xx, yy, zz, xy, yz, zx."""


def _code(path: Path, head: bytes) -> str:
    """Return which code wrote the file, or an empty string."""
    text = head.decode("latin-1")
    first = text.lstrip().splitlines()[0].split() if text.strip() else []
    if "used to normalize mu" in text or ("omega" in text and "mu0" in text and text[:1] == "#"):
        return "feff"
    if first[:2] == ["Energy", "<xanes>"]:
        return "fdmnes"
    if path.name.upper().startswith("CORE_DIELECTRIC_IMAG"):
        return "vasp"
    if path.name.startswith("absspct_"):
        return "ocean"
    if "final state angular momentum" in text:
        return "xspectra"
    return ""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether one of the five codes wrote this file."""
    return bool(_code(path, head))


def read(path: Path) -> list[xr.Dataset]:
    """Return the spectrum of the file."""
    content = path.read_bytes()
    code = _code(path, content[:4096])
    header, table, first = _table(content.decode("latin-1"), path)
    energy, mu, note = _columns(code, table, path)
    falls = np.flatnonzero(np.diff(energy) <= 0)
    if falls.size:
        raise ReadError(
            "the energy does not increase",
            where=f"{path}, line {first + int(falls[0]) + 1}",
            got=f"{energy[falls[0]]:g} → {energy[falls[0] + 1]:g}",
        )
    return [
        measurement(
            "spectrum",
            {"energy": (energy, "eV")},
            {"mu": (("energy",), mu, "1")},
            vendor={"header": header},
            label=path.stem,
            engine=code,
            simulated="true",
            axis_note=note,
        )
    ]


def _table(text: str, path: Path) -> tuple[list[str], NDArray[np.float64], int]:
    """Return header lines, the rows of numbers, and the line on which they begin."""
    header: list[str] = []
    rows: list[list[float]] = []
    begin = 0
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            values = [float(w.replace("D", "E")) for w in words]
        except ValueError:
            values = []
        if not values:
            if rows and words and not line.lstrip().startswith("#"):
                raise ReadError(
                    "not a row of numbers", where=f"{path}, line {number}", got=line[:60]
                )
            header.append(line)
            continue
        begin = begin or number
        if rows and len(values) != len(rows[0]):
            if number < len(text.splitlines()):
                raise ReadError(
                    "rows of different length",
                    where=f"{path}, line {number}",
                    got=len(values),
                    expected=len(rows[0]),
                )
            break  # the last line was cut
        rows.append(values)
    if len(rows) < 3 or len(rows[0]) < 2:
        raise ReadError("fewer than three rows of numbers", where=str(path), got=len(rows))
    table = np.array(rows)
    if not np.isfinite(table).all():
        bad = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ReadError("a number is not finite", where=f"{path}, line {begin + bad}")
    return header, table, begin


def _columns(code: str, table: NDArray[np.float64], path: Path) -> tuple[Any, Any, str]:
    if code == "feff":
        if table.shape[1] < 4:
            raise ReadError("xmu.dat has too few columns", where=str(path), got=table.shape[1])
        return table[:, 0], table[:, 3], "FEFF's absolute energies are off by up to 8 eV"
    if code == "vasp":
        if table.shape[1] < HARTREE_AXES:
            raise ReadError(
                "the core dielectric tensor needs an energy and six components",
                where=str(path),
                got=table.shape[1],
            )
        trace = table[:, 1:4].sum(axis=1) / 3
        return table[:, 0], table[:, 0] * trace, "µ ∝ E·Tr Im ε/3; energies from the band energies"
    return table[:, 0], table[:, 1], "energies relative to the code's own zero"
