"""Photoluminescence spectra as text columns or NPZ: wavelength or energy, then one or more frames.

In: CSV, TSV, ASCII or .npz. Out: one `emission` measurement; the axis' unit is read from its name or
told from its range (metres, nm, keV, eV), and every conversion is named in a flag.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.core.units import HC
from matterscope.io.limits import MAX_TEXT_BYTES, check_npz, declared

Floats = NDArray[np.float64]
CORE_LOSS = re.compile(
    r"\b(x?mu|mutrans|mufluor|absor\w*|eloss|energy.?loss|x?anes|xas|x?afs|exafs|i0|itrans|ifluor|xdac|mrcat|bragg\w*)\b",
    re.I,
)
WAVELENGTH = re.compile(r"wave|lambda|\bnm\b|λ|cm-1|cm⁻¹|1/cm", re.I)
UNITS: tuple[tuple[str, str, str, float], ...] = (
    # pattern in the name of the first column, unit, axis, eV or nm per unit
    (r"cm-1|cm\^-1|cm⁻¹|1/cm|wave ?number", "1/cm", "energy", 1e-7 * HC),
    (r"\bmeV\b", "meV", "energy", 1e-3),
    (r"\bkeV\b", "keV", "energy", 1e3),
    (r"\bTHz\b", "THz", "energy", HC / 299_792.458),
    (r"\b[uµμ]m\b|micron", "µm", "wavelength", 1e3),
    (r"Å|angstrom", "Å", "wavelength", 0.1),
    (r"\bnm\b", "nm", "wavelength", 1.0),
    (r"\beV\b", "eV", "energy", 1.0),
)
MAX_PLAIN_AXIS = 2000.0
"""Photoluminescence ends near 2000 nm where nothing says what the axis is."""
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?$")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a table of numbers with at least two columns, or an NPZ with an axis."""
    if path.suffix.lower() == ".npz":
        return head.startswith(b"PK") and any(n in head for n in (b"wavelength.npy", b"energy.npy"))
    if path.suffix.lower() not in {".csv", ".txt", ".dat", ".asc", ".tsv"} or b"\0" in head:
        return False
    lines = head.decode("utf-8", "replace").splitlines()[:-1]
    rows = [values for values in map(_numbers, lines) if values is not None]
    if len(rows) < 3 or len(rows[-1]) < 2:
        return False
    title = " ".join(line for line in lines[:40] if _numbers(line) is None)
    # an axis of thousands without a word about wavelengths counts eV of X-rays
    optical = abs(rows[len(rows) // 2][0]) <= MAX_PLAIN_AXIS or WAVELENGTH.search(title)
    return bool(optical) and not CORE_LOSS.search(title)


def _numbers(line: str) -> list[float] | None:
    parts = [p for p in re.split(r"[,;\t ]+", line.strip().lstrip("\ufeff")) if p]
    if not parts or not all(NUMBER.match(p) or p.lower() in {"nan", "inf"} for p in parts):
        return None
    return [float(p.replace("D", "e").replace("d", "e")) for p in parts]


def read(path: Path) -> list[xr.Dataset]:
    """Return the spectrum; further columns are further frames."""
    if path.suffix.lower() == ".npz":
        return [_npz(path)]
    declared(path.stat().st_size, str(path), "the text")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError(
            "the text file is too large", where=str(path), expected=f"{MAX_TEXT_BYTES:,} bytes"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: list[list[float]] = []
    title = ""
    for line in lines:
        values = _numbers(line)
        if values is None:
            title = line if not rows else title
        elif len(values) >= 2:
            rows.append(values)
    width = min(len(r) for r in rows) if rows else 0
    if len(rows) < 2 or width < 2:
        raise ReadError("the file has no two columns of numbers", where=str(path))
    table = np.array([r[:width] for r in rows])
    return [_emission(table[:, 0], table[:, 1:].T, title, path)]


def _npz(path: Path) -> xr.Dataset:
    check_npz(path)
    with np.load(path, allow_pickle=False) as stored:
        names = list(stored.files)
        axis = "wavelength" if "wavelength" in names else "energy"
        if "counts" not in names:
            raise ReadError("the NPZ file has no 'counts'", where=str(path), got=names)
        values, counts = np.asarray(stored[axis], float), np.asarray(stored["counts"], float)
    return _emission(values, np.atleast_2d(counts), axis, path)


def _physical(axis: Floats, title: str, path: Path) -> tuple[Floats, str, list[str]]:
    """Return the axis in nm or eV, its name, and what was converted or assumed."""
    first = re.split(r"[,;\t]", title.lstrip("#%; "))[0].replace("_", " ")
    middle = float(np.nanmedian(np.abs(axis)))
    for pattern, unit, name, factor in UNITS:
        found = re.search(pattern, first, re.I if "number" in pattern else 0)
        low, high = (0.15, 15) if name == "energy" else (80, 2e4)
        # a unit that contradicts the numbers is the mistake of an export: the range decides
        if found and low < middle * factor < high:
            flags = [] if factor == 1 else [f"the axis was in {unit}; it is converted"]
            return factor * axis, name, flags
    # told by range: 0.15–15 eV, 15–20 000 nm, metres
    if middle < 1e-4:
        return (
            1e9 * axis,
            "wavelength",
            ["wavelengths were in metres; they are converted to nm"],
        )
    if middle < 0.15:
        return 1e3 * axis, "energy", ["the axis was taken as keV"]
    if middle < 15:
        told = "eV" in title or "energy" in title.lower()
        return (
            axis,
            "energy",
            [] if told else ["the axis was taken as energy in eV, from its range"],
        )
    if middle < 2e4:
        return axis, "wavelength", []
    raise ReadError(
        "the axis is no wavelength and no energy", where=str(path), got=f"about {middle:g}"
    )


def _emission(axis: Floats, frames: Floats, title: str, path: Path) -> xr.Dataset:
    axis, name, flags = _physical(axis, title, path)
    if np.all(np.diff(axis) < 0):
        flags.append(f"the {name} axis was descending; it was turned round")
    order = np.argsort(axis, kind="stable")
    axis, frames = axis[order], frames[:, order]
    keep = np.concatenate([[True], np.diff(axis) > 0]) & np.isfinite(axis)
    units = "nm" if name == "wavelength" else "eV"
    counts: Any = frames[:, keep]
    dims: tuple[str, ...] = ("frame", name)
    coords: dict[str, tuple[Any, str]] = {name: (axis[keep], units)}
    if len(counts) == 1:
        counts, dims = counts[0], (name,)
    else:
        coords["frame"] = (np.arange(len(counts)), "frame")
    return measurement(
        "emission",
        coords,
        {"counts": (dims, counts, "counts")},
        flags=flags,
        vendor={"title": title},
    )
