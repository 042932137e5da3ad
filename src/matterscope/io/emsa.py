"""EMSA/MAS spectral files (ISO 22029), Y and XY, as DigitalMicrograph and others really write them.

In: a text file that begins with ``#FORMAT : EMSA/MAS …``. Out: one spectrum over energy in eV.
The data decide, not the header: NCOLUMNS 1 with "x, y" rows and exponents like e+002 are read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ConfigError, ReadError, UnitError
from matterscope.core.files import write_text
from matterscope.core.schema import measurement
from matterscope.core.units import conversion, parse_unit
from matterscope.io.limits import MAX_TEXT_BYTES

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Warnings = list[dict[str, str]]
_FIELD = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9_-]*)[^:]*:\s?(.*)$")
_SPLIT = re.compile(r"[,;\s]+")
COUNTED = ("count", "cts", "e-", "electron")
"""Begins of the names under which programs write counts."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins with the format line of EMSA."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].split(b"\n", 1)[0].upper()
    return first.startswith(b"#FORMAT") and b"EMSA" in first


def read(path: Path, **options: Any) -> list[xr.Dataset]:
    """Read the one spectrum of an EMSA file.

    Parameters
    ----------
    path : path
        An ``.msa``, ``.emsa`` or ``.ems`` file.

    Returns
    -------
    list of one Dataset
        Kind "spectrum": `mu` over `energy` (eV); `attrs["vendor"]` holds every header field as
        written, `attrs["warnings"]` what was mended.

    Raises
    ------
    ReadError
        No data section, a value that is not a number, or fewer than two points.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError(
            "the text file is too large", where=str(path), expected=f"≤ {MAX_TEXT_BYTES:,} bytes"
        )
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    header, rows, first_line = _sections(text.splitlines(), path)
    warnings: Warnings = []
    values = _numbers(rows, first_line, path)
    energy, counts = _axes(header, values, path, warnings)
    _check_length(header, counts.size, warnings)
    units = "counts" if header.get("YUNITS", "").strip().lower().startswith(COUNTED) else "1"
    return [
        measurement(
            "spectrum",
            {"energy": (energy, "eV")},
            {"mu": (("energy",), counts, units)},
            vendor=header,
            label=header.get("TITLE", "").strip() or path.stem,
            warnings=warnings,
            **_normalised(header, warnings),
        )
    ]


def _sections(lines: list[str], path: Path) -> tuple[dict[str, str], list[str], int]:
    header: dict[str, str] = {}
    rows: list[str] = []
    first = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            match = _FIELD.match(line)
            key = match.group(1).upper() if match else ""
            if key == "ENDOFDATA":
                header[key] = ""
                break
            if match and not rows:
                header[key] = match.group(2).strip()
        elif line.strip():
            first = first or number
            rows.append(line)
    if len(rows) == 0:
        raise ReadError(
            "the file ends before its data",
            where=f"{path}, line {len(lines)}",
            expected="rows of numbers after #SPECTRUM",
        )
    return header, rows, first


def _numbers(rows: list[str], first_line: int, path: Path) -> list[list[float]]:
    values = []
    for offset, row in enumerate(rows):
        try:
            values.append([float(cell) for cell in _SPLIT.split(row.strip(" \t,;")) if cell])
        except ValueError:
            raise ReadError(
                "a data row holds a word that is not a number",
                where=f"{path}, line {first_line + offset}",
                got=repr(row.strip()[:60]),
                expected="numbers separated by commas or blanks",
            ) from None
    return values


def _axes(
    header: dict[str, str], values: list[list[float]], path: Path, warnings: Warnings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    factor = _energy_factor(header, path)
    step = _number(header, "XPERCHAN")
    offset = _number(header, "OFFSET") or 0.0
    if header.get("DATATYPE", "").strip().upper() == "XY" or _looks_xy(values, offset, step):
        pairs = _pairs(values, int(_number(header, "NCOLUMNS") or 1))
        if len(pairs) < len(values):
            warnings.append(
                {
                    "code": "incomplete_rows",
                    "message": f"{len(values) - len(pairs)} incomplete rows at the end were left out",
                }
            )
        if header.get("NCOLUMNS", "1").strip() not in {"2", ""} and pairs:
            warnings.append(
                {
                    "code": "columns",
                    "message": "the data are pairs x, y although the header says NCOLUMNS 1",
                }
            )
        table = np.array([row[:2] for row in pairs], dtype=float).reshape(-1, 2)
        energy, counts = table[:, 0] * factor, table[:, 1]
    else:
        counts = np.array([v for row in values for v in row], dtype=float)
        if step is None or step <= 0:
            raise ReadError(
                "the file gives no step of its energy axis",
                where=str(path),
                got=header.get("XPERCHAN"),
                expected="#XPERCHAN above 0",
            )
        energy = np.asarray((offset + step * np.arange(counts.size)) * factor, float)
    if counts.size < 2:
        raise ReadError(
            "fewer than two points", where=str(path), got=counts.size, expected="a spectrum"
        )
    return energy, counts


def _pairs(values: list[list[float]], columns: int) -> list[list[float]]:
    """Return x, y of every point; ISO 22029 lets a row hold NCOLUMNS points."""
    widest = max((len(row) for row in values), default=0)
    if columns > 1 and widest == 2 * columns:
        values = [row[i : i + 2] for row in values for i in range(0, len(row), 2)]
    return [row for row in values if len(row) >= 2]


def _looks_xy(values: list[list[float]], offset: float, step: float | None) -> bool:
    # a header that says Y over rows that begin with the axis itself is a known mistake of exporters
    if step is None or any(len(row) != 2 for row in values[:50]) or len(values) < 3:
        return False
    x = [row[0] for row in values[:50]]
    return all(abs(v - (offset + step * i)) < 0.5 * abs(step) for i, v in enumerate(x))


def _energy_factor(header: dict[str, str], path: Path) -> float:
    given = header.get("XUNITS", "eV").strip() or "eV"
    # ISO 22029 itself writes "Energy Loss (eV)"
    unit = re.search(r"[(\[]([^()\[\]]+)[)\]]\s*$", given)
    try:
        return conversion(parse_unit(unit.group(1) if unit else given), "eV")
    except UnitError:
        raise ReadError(
            "the axis of this spectrum is not an energy",
            where=str(path),
            got=repr(given),
            expected="#XUNITS eV or keV",
        ) from None


def _number(header: dict[str, str], key: str) -> float | None:
    try:
        return float(header[key])
    except (KeyError, ValueError):
        return None


def _check_length(header: dict[str, str], found: int, warnings: Warnings) -> None:
    promised = _number(header, "NPOINTS")
    if promised is not None and int(promised) != found:
        warnings.append(
            {
                "code": "length",
                "message": f"the header promises {int(promised)} points, the file holds {found}",
            }
        )
    if "ENDOFDATA" not in header:
        warnings.append(
            {"code": "no_end", "message": "the file ends without #ENDOFDATA: it may be cut"}
        )


def _normalised(header: dict[str, str], warnings: Warnings) -> dict[str, Any]:
    known: dict[str, Any] = {"signal": header.get("SIGNALTYPE", "").strip()}
    if known["signal"].upper() not in {"", "ELS", "EELS", "XAS"}:
        warnings.append(
            {
                "code": "another_signal",
                "message": f"The header calls the signal {known['signal']}: this is no core-loss spectrum.",
                "remedy": "answers about absorption edges do not hold for it",
            }
        )
    if (beam := _number(header, "BEAMKV")) is not None and beam > 0:
        if beam > 5000:
            warnings.append({"code": "beam_units", "message": f"BEAMKV {beam:g} is taken as volts"})
            beam /= 1000
        known["beam_energy_kev"] = beam
    for key, name in (("CONVANGLE", "convergence_mrad"), ("COLLANGLE", "collection_mrad")):
        if (value := _number(header, key)) is not None:
            known[name] = value
    return known


def write(spectrum: xr.Dataset | list[xr.Dataset], path: Path) -> None:
    """Write one spectrum over a single axis as EMSA with x, y rows.

    Parameters
    ----------
    spectrum : Dataset
        Kind "spectrum" with one dimension.
    path : path
        Written atomically.
    """
    given = spectrum if isinstance(spectrum, list) else [spectrum]
    if len(given) != 1:
        raise ConfigError("EMSA holds one spectrum", got=len(given), hint="write several as HDF5")
    spectrum = given[0]
    energy, mu = spectrum["energy"].values, spectrum["mu"]
    if mu.ndim != 1:
        raise ReadError(
            "EMSA holds one spectrum",
            got=f"shape {mu.shape}",
            expected="one axis",
            hint="write spectrum images as HDF5",
        )
    step = float(np.mean(np.diff(energy)))
    fields = {
        "FORMAT": "EMSA/MAS Spectral Data File",
        "VERSION": "1.0",
        "TITLE": str(spectrum.attrs.get("label", ""))[:64].replace("\n", " "),
        "NPOINTS": str(energy.size),
        "NCOLUMNS": "1",
        "XUNITS": "eV",
        "YUNITS": "Counts" if mu.attrs["units"] == "counts" else "",
        "DATATYPE": "XY",
        "XPERCHAN": repr(step),
        "OFFSET": repr(float(energy[0])),
        "SIGNALTYPE": str(spectrum.attrs.get("signal", "")),
    }
    beam = spectrum.attrs.get("beam_energy_kev")
    if beam:
        fields["BEAMKV"] = repr(float(beam))
    lines = [f"#{key:<12}: {value}" for key, value in fields.items()]
    lines.append("#SPECTRUM    : Spectral Data Starts Here")
    lines += [f"{float(e)!r}, {float(v)!r}" for e, v in zip(energy, mu.values, strict=True)]
    write_text(path, "\n".join([*lines, "#ENDOFDATA   :", ""]))
