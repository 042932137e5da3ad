"""Photoluminescence spectra as text columns or NPZ: wavelength or energy, then one or more frames.

In: CSV, TSV, ASCII or .npz. Out: one `emission` measurement; the axis' unit is read from its name or
told from its range (metres, nm, keV, eV), and every conversion is named in a flag. A Raman shift (1/cm)
becomes a wavelength with the laser that the header or the user names; none is guessed.
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
from matterscope.io.limits import check_npz, declared
from matterscope.io.text_columns import decoded, is_number, split_row, text_of

Floats = NDArray[np.float64]
CORE_LOSS = re.compile(
    r"\b(x?mu|mutrans|mufluor|absor\w*|eloss|energy.?loss|x?anes|xas|x?afs|exafs|i0|itrans|ifluor|xdac|mrcat|bragg\w*|chi|k\d?chi)\b|χ",
    re.I,
)
WAVELENGTH = re.compile(r"wave|raman|lambda|\bnm\b|λ|cm-1|cm⁻¹|1/cm", re.I)
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
SHIFT = re.compile(r"raman|shift|relative|\brel\b", re.I)
LASER = re.compile(r"\blaser\b[^\d\n]{0,24}(\d{3,4}(?:[.,]\d+)?)\s*(?:nm)?", re.I)
LOWEST_WAVENUMBER = 4000.0
"""1/cm; 2.5 µm: below it stands a shift from the laser, not light that a photoluminescence set-up sees."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a table of numbers with at least two columns, or an NPZ with an axis."""
    if path.suffix.lower() == ".npz":
        return head.startswith(b"PK") and any(n in head for n in (b"wavelength.npy", b"energy.npy"))
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    if path.suffix.lower() not in {".csv", ".txt", ".dat", ".asc", ".tsv"}:
        return False
    if b"\0" in head and not wide:
        return False
    lines = text_of(head[: len(head) // 2 * 2]).splitlines()[:-1]
    rows = [values for values in map(_numbers, lines) if values is not None]
    if len(rows) < 3 or len(rows[-1]) < 2:
        return False
    title = " ".join(line for line in lines[:40] if _numbers(line) is None)
    # an axis of thousands without a word about wavelengths counts eV of X-rays
    optical = abs(rows[len(rows) // 2][0]) <= MAX_PLAIN_AXIS or WAVELENGTH.search(title)
    return bool(optical) and not CORE_LOSS.search(title)


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a row, decimal commas understood, or None for a row with a word in it."""
    parts = [t for t in split_row(line) if t] if line.strip() else []
    if not parts or not all(is_number(t) or t.lower() in {"nan", "inf"} for t in parts):
        return None
    return [float(re.sub("[dD]", "e", t.replace(",", "."))) for t in parts]


def read(path: Path, *, laser: float | None = None) -> list[xr.Dataset]:
    """Return the spectrum; further columns are further frames.

    Parameters
    ----------
    path : path
        Text or NPZ.
    laser : float, nm, optional
        Wavelength of the exciting laser, from which a Raman shift counts.

    Raises
    ------
    ReadError
    """
    if path.suffix.lower() == ".npz":
        return [_npz(path)]
    declared(path.stat().st_size, str(path), "the text")
    rows: list[list[float]] = []
    header: list[str] = []
    for line in decoded(path).splitlines():
        values = _numbers(line)
        if values is None:
            header += [line] if line.strip() and not rows else []
        elif len(values) >= 2:
            rows.append(values)
    width = min(len(r) for r in rows) if rows else 0
    if len(rows) < 2 or width < 2:
        raise ReadError("the file has no two columns of numbers", where=str(path))
    table = np.array([r[:width] for r in rows])
    axis, frames = table[:, 0], table[:, 1:].T
    flags: list[str] = []
    if _is_shift(axis, header, laser, path):
        axis, flags = _from_shift(axis, header, laser, path)
        return [_emission(axis, frames, header, path, flags, unit="wavelength (nm)")]
    return [_emission(axis, frames, header, path, flags)]


def _is_shift(axis: Floats, header: list[str], laser: float | None, path: Path) -> bool:
    """Return whether the axis counts 1/cm from the laser line."""
    named = " ".join(row for row in header if re.search(r"cm-1|cm\^-1|cm⁻¹|1/cm", row, re.I))
    if named:
        return bool(laser or SHIFT.search(named)) or float(np.nanmin(axis)) < LOWEST_WAVENUMBER
    wide = float(np.nanmax(np.abs(axis))) > MAX_PLAIN_AXIS
    if wide and not re.search(r"\bnm\b|[uµμ]m\b|Å|angstrom|\bm?eV\b|THz", " ".join(header)):
        if laser:
            return True
        raise ReadError(
            "nothing says what the axis is",
            where=str(path),
            got=f"{np.nanmin(axis):g} to {np.nanmax(axis):g}",
            expected="its unit in the header: nm, eV, or 1/cm (a Raman shift then needs the laser)",
            hint="name the first column, as in 'wavelength (nm)'; with --laser NM it is read as a Raman shift",
        )
    return False


def _from_shift(
    axis: Floats, header: list[str], laser: float | None, path: Path
) -> tuple[Floats, list[str]]:
    """Return wavelengths (nm) from shifts (1/cm): 1/λ = 1/λ_laser − shift."""
    said = next((m for row in header if (m := LASER.search(row))), None)
    line = laser or (float(said[1].replace(",", ".")) if said else 0.0)
    if not 150 < line < 3000:
        raise ReadError(
            "the axis is a Raman shift, and the laser is not known",
            where=str(path),
            got=f"{np.nanmin(axis):g} to {np.nanmax(axis):g} 1/cm",
            hint="give the wavelength of the laser with --laser NM, e.g. --laser 532",
        )
    absolute = 1e7 / line - axis
    if (absolute <= 0).any():
        raise ReadError(
            "these shifts lie beyond the laser's own energy",
            where=str(path),
            got=f"up to {np.nanmax(axis):g} 1/cm",
            expected=f"below {1e7 / line:.0f} 1/cm for a laser of {line:g} nm",
        )
    source = "as given" if laser else "from the header"
    return 1e7 / absolute, [
        f"the axis was a Raman shift from a laser of {line:g} nm ({source}); it is converted"
    ]


def _npz(path: Path) -> xr.Dataset:
    check_npz(path)
    with np.load(path, allow_pickle=False) as stored:
        names = list(stored.files)
        axis = "wavelength" if "wavelength" in names else "energy"
        if "counts" not in names:
            raise ReadError("the NPZ file has no 'counts'", where=str(path), got=names)
        values, counts = np.asarray(stored[axis], float), np.asarray(stored["counts"], float)
    return _emission(values, np.atleast_2d(counts), [axis], path, [])


def _physical(axis: Floats, header: list[str], path: Path) -> tuple[Floats, str, list[str]]:
    """Return the axis in nm or eV, its name, and what was converted or assumed."""
    title = header[-1] if header else ""
    first = re.split(r"[,;\t]", title.lstrip("#%; "))[0].replace("_", " ")
    stated = next((r for r in header if re.match(r"\W*(axis|x)\W*units?\b", r, re.I)), "")
    first += " " + re.sub(r".*?units?\W*(\[\d\])?", "", stated, count=1, flags=re.I)
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


def _emission(
    axis: Floats, frames: Floats, header: list[str], path: Path, flags: list[str], unit: str = ""
) -> xr.Dataset:
    """Return the measurement; `unit` names an axis that is already converted, else the header does."""
    axis, name, told = _physical(axis, [unit] if unit else header, path)
    flags = [*flags, *told]
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
        vendor={"title": header[-1] if header else "", "header": header[:60]},
    )
