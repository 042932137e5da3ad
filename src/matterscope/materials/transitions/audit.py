"""Rules for tables of transition levels: what is wrong, what is odd, what is only good to know.

In: a table of levels as it stands in the file. Out: findings with row, column, rule and evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.errors import DataError
from matterscope.io.tables import read_table
from matterscope.materials.findings import Finding
from matterscope.materials.transitions.halide_impurities import holds_halides, read_halides
from matterscope.materials.transitions.tables import (
    ENERGIES,
    IMPOSSIBLE,
    IMPOSSIBLE_ENERGY,
    LEVELS,
    WIDE,
    settle,
)
from matterscope.physics.elements import nearest, parse_formula

PINNED = 1e-3
"""eV; two neighbouring levels closer than this are one: the charge went into a band, not a defect."""
BEYOND = 5.0
"""eV; a level farther than this from all others of its column and the host is a misprint."""


def findings_of_levels(path: Path) -> tuple[list[Finding], int]:
    """Return the findings of a table of six levels (or of the header-less one of four), and its number of rows."""
    if holds_halides(path):
        names = {"formation_energy_X_rich": ENERGIES[0], "formation_energy_Pb_rich": ENERGIES[1]}
        frame = read_halides(path).rename(columns=names)
    else:
        frame = read_table(path, WIDE).reset_index(drop=True)
        frame["line"] = np.arange(len(frame)) + int(frame.attrs.get("first_line", 1))
    kept = [name for name in LEVELS if name in frame]
    for name in (*LEVELS, *ENERGIES):
        if name not in frame:
            frame[name] = np.nan
    found = _sentinels(frame)
    native = "defect" in frame
    rows = frame.to_dict("records")
    if not holds_halides(path):
        found += _names(rows, native, str(path))
    found += _missing(frame, kept)
    for row in rows:
        found += _order(row)
    found += _pinned(frame) + _energies(frame) + _duplicates(frame)
    return found, len(frame)


def _row(row: dict[str, Any]) -> str:
    return f"{row['impurity']} {row['site']} {row['host']}, line {row['line']}"


def _sentinels(frame: pd.DataFrame) -> list[Finding]:
    found = []
    for name in (*LEVELS, *ENERGIES):
        mask = frame[name].isin(IMPOSSIBLE)
        found += [
            Finding(
                _row(r),
                name,
                "sentinel",
                f"{r[name]:g} eV stands for a missing value",
                "error",
                "leave the cell empty",
                int(r["line"]),
            )
            for r in frame[mask].to_dict("records")
        ]
        frame.loc[mask, name] = np.nan
    return found


def _names(rows: list[dict[str, Any]], native: bool, where: str) -> list[Finding]:
    found = []
    vacancies = 0
    for row in rows:
        if native and row["impurity"] == "V":
            vacancies += 1
            continue
        try:
            settle(str(row["host"]), str(row["impurity"]), str(row["site"]), native, where)
        except DataError as error:
            own = [
                e
                for e in nearest(str(row["impurity"])).split(" or ")
                if e in parse_formula(str(row["host"]))
            ]
            found.append(
                Finding(
                    _row(row),
                    "impurity",
                    "unknown element",
                    error.what,
                    "error",
                    own[0] if own else nearest(str(row["impurity"])),
                    int(row["line"]),
                )
            )
    if vacancies:
        found.append(
            Finding(
                f"{vacancies} rows",
                "impurity",
                "V is a vacancy",
                "in a table of native defects V means vacancy, not vanadium",
                "information",
            )
        )
    return found


def _missing(frame: pd.DataFrame, names: list[str]) -> list[Finding]:
    """Find rows that lack levels of the columns that the table has."""
    count = frame[names].isna().sum(axis=1)
    found = []
    none = frame[count == len(names)]
    if len(none):
        by_host = ", ".join(f"{h} {n}" for h, n in none["host"].value_counts().items())
        found.append(
            Finding(
                f"{len(none)} rows",
                "levels",
                "no levels",
                f"rows without any level: {by_host}",
                "information",
            )
        )
    for row in frame[(count > 0) & (count < len(names))].to_dict("records"):
        lacking = [n for n in names if pd.isna(row[n])]
        found.append(
            Finding(
                _row(row),
                ", ".join(lacking),
                "levels incomplete",
                f"{len(lacking)} of {len(names)} levels are missing",
                "warning",
                "",
                int(row["line"]),
            )
        )
    return found


def _order(row: dict[str, Any]) -> list[Finding]:
    """Find levels that fall with the charge: a zero that means "missing", or negative U."""
    values = np.array([row[n] for n in LEVELS], dtype=float)
    found = []
    for index in np.flatnonzero(np.diff(values) < -1e-6) + 1:
        name, before = LEVELS[index], values[index - 1]
        if values[index] == 0.0:
            found.append(
                Finding(
                    _row(row),
                    name,
                    "zero as missing",
                    f"0 after {before:.2f} eV: a missing value written as zero",
                    "warning",
                    "leave the cell empty",
                    int(row["line"]),
                )
            )
        else:
            found.append(
                Finding(
                    _row(row),
                    name,
                    "levels out of order",
                    f"{values[index]:.2f} after {before:.2f} eV: negative U, or a misprint",
                    "unexpected",
                    "",
                    int(row["line"]),
                )
            )
    return found


def _pinned(frame: pd.DataFrame) -> list[Finding]:
    steps = np.abs(np.diff(frame[list(LEVELS)].to_numpy(dtype=float), axis=1)) < PINNED
    rows, total = int(steps.any(1).sum()), int(steps.sum())
    if not total:
        return []
    return [
        Finding(
            f"{rows} rows",
            "levels",
            "pinned levels",
            f"{total} steps of exactly zero: the charge is delocalised and says little about the defect",
            "information",
        )
    ]


def _energies(frame: pd.DataFrame) -> list[Finding]:
    found = []
    for name in ENERGIES:
        mask = frame[name].abs() > IMPOSSIBLE_ENERGY
        found += [
            Finding(
                _row(r),
                name,
                "impossible formation energy",
                f"{r[name]:.2f} eV: a failed calculation",
                "warning",
                "leave the row out of training",
                int(r["line"]),
            )
            for r in frame[mask].to_dict("records")
        ]
    return found


def _duplicates(frame: pd.DataFrame) -> list[Finding]:
    keys = ["host", "impurity", "site"] + (["defect"] if "defect" in frame else [])
    found = []
    for _, rows in frame[frame.duplicated(keys, keep=False)].groupby(keys):
        values = rows[list(LEVELS)].to_numpy(dtype=float)
        same = bool(np.allclose(values, values[0], equal_nan=True, atol=1e-9))
        lines = ", ".join(str(n) for n in rows["line"])
        first = rows.iloc[0].to_dict()
        found.append(
            Finding(
                _row(first),
                "levels",
                "duplicate" if same else "contradiction",
                f"the same defect in lines {lines}, "
                + ("equal values" if same else "different values"),
                "information" if same else "error",
                "",
                int(first["line"]),
            )
        )
    return found
