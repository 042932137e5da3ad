"""Tables of many emitters: from CSV files or from stored answers, in one set of columns.

In: CSV with a header, JSON with answers of `emitters spectrum`, folders of its runs, or spectra, which are
fitted here. Out: a DataFrame with centre and width in eV, their errors, and whatever else the columns hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Input
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.estimates import Estimate
from matterscope.core.units import HC
from matterscope.io.limits import regular_file
from matterscope.io.tables import read_table

Fit = Callable[[Input], list[Estimate]]
NAMES = {
    "centre": (
        "centre",
        "center",
        "zpl_energy",
        "zpl",
        "energy",
        "wavelength",
        "zpl_wavelength",
        "position",
    ),
    "width": ("width", "fwhm", "linewidth", "zpl_width", "gamma"),
    "temperature": ("temperature", "t", "temp"),
    "name": ("name", "emitter", "site", "label"),
}


def answers(path: Path) -> list[dict[str, Any]]:
    """Return the answers stored in a JSON file (one, a list, or lines of them)."""
    regular_file(path)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReadError(f"this is no JSON: {error}", where=str(path)) from None
    found = stored if isinstance(stored, list) else stored.get("estimates", [stored])
    if not all(isinstance(a, dict) and "quantities" in a for a in found) or not found:
        raise ReadError(
            "the file holds no answers of this program",
            where=str(path),
            hint="store them with --json > FILE",
        )
    return list(found)


def subject(answer: dict[str, Any]) -> str:
    """Return what an answer is about: the name of its source, and which part of it."""
    about = answer.get("input", {})
    name = Path(str(about.get("source", ""))).name
    return f"{name} {about.get('selector') or ''}".strip()


def site_of(answer: dict[str, Any]) -> str:
    """Return the site that an answer is about, told from its subject, or nothing.

    Examples
    --------
    >>> site_of({"input": {"source": "run/stream_003_site_17.ptu"}}), site_of({"input": {}})
    ('17', '')
    """
    found = re.search(r"site[ _-]*(\d+)", subject(answer))
    return found.group(1) if found else ""


def gather(inputs: Sequence[Input], fit: Fit | None = None) -> pd.DataFrame:
    """Return one row an emitter: name, centre, centre_sigma, width, width_sigma (eV), temperature (K).

    Parameters
    ----------
    fit : callable, optional
        Input → answers about its spectra, for inputs that are neither tables nor answers.
    """
    parts = []
    for given in inputs:
        if isinstance(given.data, pd.DataFrame):
            parts.append(normalise(given.data, given.source))
        elif given.data is not None and fit is not None:
            parts.append(_rows([a.as_json() for a in fit(given)], given.source))
        elif given.path is None:
            raise ReadError("this input is no table", where=given.source)
        elif given.path.is_dir():
            parts.append(_rows(answers(given.path / "estimates.json"), str(given.path)))
        elif given.path.suffix.lower() == ".json":
            parts.append(_rows(answers(given.path), given.path.name))
        elif fit is not None and _is_spectrum(given.path):
            parts.append(_rows([a.as_json() for a in fit(given)], given.path.name))
        else:
            raw = read_table(given.path)
            parts.append(normalise(raw, str(given.path)))
    return pd.concat(parts, ignore_index=True)


FEWEST_POINTS = 50


def _is_spectrum(path: Path) -> bool:
    """Return whether a file holds counts over an axis, rather than one row for each emitter."""
    if path.suffix.lower() not in {".csv", ".tsv", ".txt", ".dat", ".xlsx"}:
        return True
    try:
        table = read_table(path)
    except ReadError:
        return True
    if table.shape[1] < 2 or len(table) < FEWEST_POINTS or _column(table, "width"):
        return False
    axis = pd.to_numeric(table.iloc[:, 0], errors="coerce").dropna().to_numpy(dtype=float)
    steps = np.abs(np.diff(axis))
    # lines of emitters do not lie at even distances, the points of a spectrum do
    return bool(steps.size and steps.max() < 1.5 * float(np.median(steps)))


def _rows(found: list[dict[str, Any]], where: str) -> pd.DataFrame:
    rows = []
    for k, answer in enumerate(found):
        q = answer["quantities"]
        if q.get("zpl_energy", {}).get("value") is None:
            continue
        rows.append(
            {
                "name": subject(answer) or f"{where} {k}",
                "centre": q["zpl_energy"]["value"],
                "centre_sigma": q["zpl_energy"].get("sigma"),
                "width": 1e-3 * (q.get("zpl_width", {}).get("value") or np.nan),
                "width_sigma": 1e-3 * (q.get("zpl_width", {}).get("sigma") or np.nan),
                "temperature": (answer.get("provenance", {}).get("settings", {}) or {}).get(
                    "temperature"
                ),
            }
        )
    if not rows:
        raise SchemaError("none of the answers has a zero-phonon line", where=where)
    return pd.DataFrame(rows)


def _column(table: pd.DataFrame, wanted: str) -> str | None:
    plain = {
        re.sub(r"[\s_]*[(\[].*", "", str(c)).strip().lower().replace(" ", "_"): str(c)
        for c in table.columns
    }
    for name in NAMES[wanted]:
        for key, column in plain.items():
            if key == name or (len(name) > 2 and re.sub(r"_(nm|ev|mev|k)$", "", key) == name):
                return column
    return None


def _error_column(table: pd.DataFrame, column: str) -> str | None:
    stem = re.sub(r"[\s_]*[(\[].*", "", column).strip().lower()
    stem = re.sub(r"_(nm|ev|mev|k)$", "", stem)
    for c in table.columns:
        low = str(c).lower()
        if low.startswith(stem) and any(word in low for word in ("sigma", "err", "unc", "std")):
            return str(c)
    return None


def normalise(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table in eV and K; nm and meV are told from the header or, for centres, the size."""
    centre, width = _column(table, "centre"), _column(table, "width")
    if centre is None and width is None:
        raise SchemaError(
            "the table has neither a centre nor a width",
            where=where,
            got=list(table.columns),
            expected="columns such as wavelength_nm, fwhm_nm, centre_eV, width_meV",
        )
    out = pd.DataFrame(index=table.index)
    name, temperature = _column(table, "name"), _column(table, "temperature")
    out["name"] = table[name].astype(str) if name else [str(i + 1) for i in range(len(table))]
    out["temperature"] = (
        pd.to_numeric(table[temperature], errors="coerce") if temperature else np.nan
    )
    in_nm, values = False, np.full(len(table), np.nan)
    out["centre"], out["centre_sigma"] = np.nan, np.nan
    if centre is not None:
        values = _numbers(table, centre)
        in_nm = float(np.nanmedian(values)) > 50
        if "mev" in centre.lower():
            values, in_nm = 1e-3 * values, False
        spread = _numbers(table, _error_column(table, centre))
        out["centre"] = HC / values if in_nm else values
        out["centre_sigma"] = (
            spread * HC / values**2 if in_nm else spread * (1e-3 if "mev" in centre.lower() else 1)
        )
    out["width"], out["width_sigma"] = np.nan, np.nan
    if width is not None:
        low = width.lower()
        scale: Any = 1e-3 if "mev" in low else 1.0
        if "nm" in low or (in_nm and "ev" not in low):
            if not in_nm:
                raise SchemaError("a width in nm needs a centre in nm beside it", where=where)
            scale = HC / values**2
        out["width"] = _numbers(table, width) * scale
        out["width_sigma"] = _numbers(table, _error_column(table, width)) * scale
    return out


def _numbers(table: pd.DataFrame, column: str | None) -> np.ndarray[Any, np.dtype[np.float64]]:
    if column is None:
        return np.full(len(table), np.nan)
    return np.asarray(pd.to_numeric(table[column], errors="coerce"), dtype=float)
