"""Libraries of calculated defects: one row an optical transition, in one set of columns.

In: the SQLite file of the hBN defects database, or a CSV with the same columns. Out: a DataFrame with
host, defect, charge, spin, ZPL (eV), Huang–Rhys factor, lifetime (ns), visibility, misalignment (deg),
and for each row the fault that was found in it. These are no measurements: a verb asks by name.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.core.errors import ReadError, SchemaError
from matterscope.io.limits import declared, regular_file
from matterscope.io.tables import read_table

COLUMNS = (
    "host",
    "defect",
    "charge",
    "spin",
    "zpl",
    "huang_rhys",
    "lifetime",
    "visibility",
    "misalignment",
)
SQL = {
    # column → name in the table `updated_data`
    "host": "Host",
    "defect": "Defect",
    "charge": "Charge state",
    "spin": "Spin multiplicity",
    "transition": "Optical spin transition",
    "zpl": "Emission properties: ZPL (eV)",
    "huang_rhys": "Emission properties: HR Factor",
    "debye_waller": "Emission properties: DW factor",
    "lifetime": "Emission properties: Lifetime (ns)",
    "visibility": "Emission properties: linear In-plane Polarization Visibility",
    "misalignment": "Emission properties: Polarization misalignment (degree)",
    "ground": "Emission properties: Ground-state total energy (eV)",
    "excited": "Emission properties: Excited-state total energy (eV)",
}
GAP = 6.5
"""Largest zero-phonon line (eV) that fits into the gap of hexagonal boron nitride."""


def read_library(path: Path) -> pd.DataFrame:
    """Return the rows of a library; column `fault` is empty for sound ones."""
    regular_file(path)
    declared(path.stat().st_size, str(path), "the library")
    with path.open("rb") as handle:
        magic = handle.read(16)
    rows = _from_sqlite(path) if magic.startswith(b"SQLite format 3") else _from_csv(path)
    for column in (
        "zpl",
        "huang_rhys",
        "debye_waller",
        "lifetime",
        "visibility",
        "misalignment",
        "ground",
        "excited",
    ):
        rows[column] = pd.to_numeric(rows[column], errors="coerce") if column in rows else np.nan
    missing = rows["huang_rhys"].isna() & (rows["debye_waller"] > 0)
    rows.loc[missing, "huang_rhys"] = -np.log(rows.loc[missing, "debye_waller"])
    rows["fault"] = _faults(rows)
    rows["label"] = [
        f"{d}{_charge(c)} ({h}, {s})"
        for d, c, h, s in zip(
            rows["defect"], rows["charge"], rows["host"], rows["spin"], strict=True
        )
    ]
    return rows.reset_index(drop=True)


def _charge(value: object) -> str:
    number = int(float(str(value))) if str(value) not in {"", "nan", "None"} else 0
    return {0: "⁰", 1: "⁺", -1: "⁻"}.get(number, f"^{number:+d}")


def _from_sqlite(path: Path) -> pd.DataFrame:
    try:
        link = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            wanted = ", ".join(f'"{name}" AS "{short}"' for short, name in SQL.items())
            return pd.read_sql_query(f'SELECT {wanted} FROM "updated_data"', link)
        finally:
            link.close()
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        raise ReadError(
            f"the library cannot be read: {error}",
            where=str(path),
            expected="a table updated_data of the hBN defects database",
        ) from None


def _from_csv(path: Path) -> pd.DataFrame:
    rows = read_table(path)
    if "defect" not in rows or "zpl" not in rows:
        raise SchemaError(
            "a library needs the columns defect and zpl",
            where=str(path),
            got=list(rows.columns),
            expected=", ".join(COLUMNS),
        )
    for column, default in (("host", ""), ("charge", 0), ("spin", "")):
        if column not in rows:
            rows[column] = default
    return rows


def _faults(rows: pd.DataFrame) -> list[str]:
    """Return why a row cannot be trusted, or an empty text."""
    found = []
    for zpl, ground, excited in zip(rows["zpl"], rows["ground"], rows["excited"], strict=True):
        gap = excited - ground
        if not np.isfinite(zpl) or zpl <= 0:
            found.append("no zero-phonon line")
        elif zpl > GAP:
            found.append(f"zero-phonon line of {zpl:.2f} eV lies beyond the gap")
        elif np.isfinite(gap) and abs(zpl - gap) > 0.02:
            found.append(f"zero-phonon line of {zpl:.3f} eV, total energies give {gap:.3f} eV")
        else:
            found.append("")
    return found
