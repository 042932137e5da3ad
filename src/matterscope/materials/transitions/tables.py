"""Tables of transition levels in any of the public forms, brought to one row per defect.

In: a CSV with six levels in a row, one level in a row, or the columns of the multi-fidelity data set.
Out: a `LevelTable`: defects with their levels (eV from the valence-band maximum), and level pairs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError, SchemaError
from matterscope.io.tables import Column, key, read_table
from matterscope.materials.defects.hosts import find_host
from matterscope.physics.elements import is_element, parse_formula, symbol_of

CHARGES = (3, 2, 1, 0, -1, -2)
"""Charge that each of the six levels starts from: (+3/+2) … (−2/−3)."""
LEVELS = ("(+3/+2)", "(+2/+1)", "(+1/0)", "(0/-1)", "(-1/-2)", "(-2/-3)")
SITES = ("M_A", "M_B", "M_i_A", "M_i_B", "M_i_neut")
VACANCY = "vacancy"
ENERGIES = ("formation_energy_A_rich", "formation_energy_B_rich")
IMPOSSIBLE_ENERGY = 30.0
"""eV; a neutral formation energy beyond it is a failed calculation, whose levels teach nothing."""
IMPOSSIBLE = (-999.0, 999.0, 1000.0, 9999.0, -9999.0)
"""Values that stand for "missing" where a level cannot be."""

WIDE = (
    Column("host", kind="text", required=True, aliases=("AB", "host_material")),
    Column("impurity", kind="text", required=True, aliases=("Impurity", "Atom", "M", "dopant")),
    Column("site", kind="text", required=True, aliases=("Site",)),
    Column("defect", kind="text", aliases=("Defect",)),
    *(Column(name, "eV", aliases=(name[1:-1],)) for name in LEVELS),
    Column("formation_energy_A_rich", "eV", aliases=("Delta_H (A_rich)", "Delta_H (A-rich)")),
    Column("formation_energy_B_rich", "eV", aliases=("Delta_H (B_rich)", "Delta_H (B-rich)")),
    Column("gap", "eV", aliases=("band_gap", "host bandgap")),
    Column("lattice", "Å", aliases=("lattice_constant", "host lattice constant")),
    Column("fidelity", kind="text", aliases=("functional", "level_of_theory")),
)
LONG = (
    Column("host", kind="text", required=True, aliases=("AB", "host_material")),
    Column("impurity", kind="text", required=True, aliases=("dopant", "M")),
    Column("site", kind="text", required=True),
    Column("charge_from", "e", "int", required=True),
    Column("charge_to", "e", "int", required=True),
    Column("low", "eV", aliases=("pbe defect level (relative to VBM)_[eV]", "level_low", "pbe")),
    Column("high", "eV", aliases=("hse defect level (relative to VBM)_[eV]", "level_high", "hse")),
    Column("level", "eV"),
    Column("fidelity", kind="text", aliases=("functional", "level_of_theory")),
    Column("gap", "eV", aliases=("host bandgap_[eV]", "host_bandgap", "band_gap")),
    Column("lattice", "Å", aliases=("host lattice constant_[Ang.]", "lattice_constant")),
    Column("epsilon", aliases=("host_epsilon",)),
    Column("ba_shift", "eV"),
    Column("mba", "eV", aliases=("mba_pbe",)),
    Column("mba_gap_fraction", aliases=("mba_pbe_gapfrac",)),
    Column("removed_element", kind="text"),
)


@dataclass
class LevelTable:
    """Defects with levels, and what was found on the way.

    Parameters
    ----------
    defects : DataFrame
        host, impurity, site, native (bool), line, levels (one column per name of `LEVELS`),
        formation energies, gap, lattice where given.
    pairs : DataFrame
        One row per level with low- and high-fidelity values: host, impurity, site, charge_from,
        charge_to, low, high, gap, ba_shift …; empty for six-level tables.
    layout : str
        "six levels", "one level a row" or "multi-fidelity".
    notes : list of str
    """

    defects: pd.DataFrame
    pairs: pd.DataFrame
    layout: str
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> pd.DataFrame:
        """Return the defects of which all six levels are known."""
        has = self.defects[list(LEVELS)].notna().all(axis=1)
        return self.defects[has].reset_index(drop=True)

    def known_hosts(self) -> dict[str, tuple[float | None, float | None]]:
        """Return gap and lattice constant of hosts for which the table states them."""
        return known_hosts(self.defects if len(self.defects) else self.pairs)


def known_hosts(frame: pd.DataFrame) -> dict[str, tuple[float | None, float | None]]:
    """Return host → (gap, lattice) where a table states them."""
    result: dict[str, tuple[float | None, float | None]] = {}
    for host, rows in frame.groupby("host"):
        values = []
        for name in ("gap", "lattice"):
            stated = rows[name].dropna().tolist() if name in rows else []
            values.append(float(stated[0]) if stated else None)
        if values != [None, None]:
            result[str(host)] = (values[0], values[1])
    return result


def read_levels(path: Path, *, strict: bool = True) -> LevelTable:
    """Read a table of levels of any known layout.

    Parameters
    ----------
    path : path
    strict : bool
        False leaves rows with unknown elements or sites out, with a note, instead of refusing.

    Raises
    ------
    ReadError, SchemaError, DataError
    """
    raw = read_table(path)
    headings = {key(str(c)) for c in raw.columns}
    if {key("charge_from"), key("charge_to")} <= headings:
        return _long(
            read_table(path, LONG),
            "multi-fidelity" if key("mba_pbe") in headings else "one level a row",
        )
    if (
        any(key(name) in headings for name in LEVELS)
        or {"host", "impurity"} <= headings
        or "ab" in headings
    ):
        return _wide(read_table(path, WIDE), strict)
    raise SchemaError(
        "this is no table of transition levels",
        where=str(path),
        got=", ".join(map(str, raw.columns[:10])),
        expected="host, impurity, site with six level columns, or charge_from, charge_to and level",
        hint="docs/materials-levels.md shows the layouts",
    )


def _wide(frame: pd.DataFrame, strict: bool) -> LevelTable:
    first, where = int(frame.attrs.get("first_line", 1)), str(frame.attrs.get("path", ""))
    notes = list(frame.attrs.get("assumed", []))
    out = frame.copy()
    out["line"] = np.arange(len(frame)) + first
    out["native"] = "defect" in frame
    for name in (*LEVELS, *ENERGIES):
        if name not in out:
            out[name] = np.nan
        bad = out[name].isin(IMPOSSIBLE)
        if bad.any():
            notes.append(f"{int(bad.sum())} values of {name} are sentinels and count as missing")
            out.loc[bad, name] = np.nan
    if "fidelity" in out and out["fidelity"].nunique() > 1:
        raise _mixed(out["fidelity"].unique().tolist(), where)
    places, kept = [], []
    for row in out[["host", "impurity", "site", "line", "native"]].to_dict("records"):
        words = (str(row["host"]), str(row["impurity"]), str(row["site"]), bool(row["native"]))
        try:
            places.append(settle(*words, f"{where}, line {row['line']}"))
            kept.append(True)
        except DataError as error:
            if strict:
                raise
            notes.append(f"line {row['line']} left out: {error.what}")
            kept.append(False)
    out = out[kept].reset_index(drop=True)
    for index, name in enumerate(("host", "impurity", "site")):
        out[name] = [place[index] for place in places]
    return LevelTable(out, pd.DataFrame(), "six levels", notes)


def _mixed(names: list[str], where: str) -> SchemaError:
    return SchemaError(
        "rows differ in functional or spin–orbit coupling; one column cannot hold two levels of theory",
        where=where,
        got=", ".join(map(str, names)),
        hint="split the table by its fidelity column, or give both as columns low and high",
    )


def settle(host: str, impurity: str, site: str, native: bool, where: str) -> tuple[str, str, str]:
    """Return host, impurity and site with their spellings checked.

    The native table writes ``V`` for a vacancy; in an impurity table V is vanadium.
    """
    elements = list(parse_formula(host, where=where))
    if native and impurity == "V":
        impurity = VACANCY
    elif impurity.lower() != VACANCY:
        impurity = symbol_of(impurity, where)
    return host, impurity, site_of(site, elements, where)


def defect_name(host: str, impurity: str, site: str) -> str:
    """Return a defect as one writes it, atom and place; v is a vacancy, i an interstitial.

    Examples
    --------
    >>> defect_name("CdTe", "Cu", "M_A"), defect_name("CdTe", "Li", "M_i_B"), defect_name("Si", "vacancy", "M_A")
    ('Cu_Cd', 'Li_i(Te)', 'v_Si')
    """
    elements = list(parse_formula(host))
    atom = "v" if impurity == VACANCY else impurity
    places = {
        "M_A": elements[0], "M_B": elements[-1], "M_i_A": f"i({elements[0]})", "M_i_B": f"i({elements[-1]})",
    }  # fmt: skip
    return f"{atom}_{places.get(site, 'i')}"


def is_own_atom(host: str, impurity: str, site: str) -> bool:
    """Return whether this is an atom of the host in its own place: no defect.

    Examples
    --------
    >>> is_own_atom("CdTe", "Cd", "M_A"), is_own_atom("CdTe", "Te", "M_A")
    (True, False)
    """
    elements = list(parse_formula(host))
    own = {"M_A": elements[0], "M_B": elements[-1]}
    return own.get(site) == impurity


def site_of(text: str, elements: Sequence[str], where: str = "") -> str:
    """Return a site by any of its names: ``M_A``, ``A``, ``Cd``, ``M_i_B``, ``i_Cd``, ``interstitial``.

    Examples
    --------
    >>> site_of("Cd", ["Cd", "Te"]), site_of("i_Te", ["Cd", "Te"]), site_of("interstitial", ["Si"])
    ('M_A', 'M_i_B', 'M_i_neut')
    """
    word = text.strip().removeprefix("M_").removesuffix("_site")
    if word in ("i", "interstitial", "i_neut", "neut", "neutral", "i_old"):
        return "M_i_neut" if word != "i_old" else "M_i_old"
    inside = bool(re.match(r"i_|int_", word, flags=re.IGNORECASE))
    place = re.sub(r"^(i_|int_)", "", word, flags=re.IGNORECASE)
    if is_element(place) and place in elements:
        letter = "A" if place == elements[0] else "B"
    elif place in ("A", "B"):
        letter = place if len(elements) > 1 else "A"
    else:
        raise DataError(
            f"'{text}' is not a site of {''.join(elements)}",
            where=where,
            expected=", ".join([*elements, *(f"i_{e}" for e in elements), "interstitial"]),
        )
    return f"M_i_{letter}" if inside else f"M_{letter}"


def _long(frame: pd.DataFrame, layout: str) -> LevelTable:
    where, notes = str(frame.attrs.get("path", "")), list(frame.attrs.get("assumed", []))
    out = frame.copy()
    out["line"] = np.arange(len(frame)) + int(frame.attrs.get("first_line", 1))
    if "level" in out:
        out = _split_fidelities(out, where)
    for name in ("low", "high"):
        if name not in out:
            out[name] = np.nan
        out.loc[out[name].isin(IMPOSSIBLE), name] = np.nan
    steps = (out["charge_from"] - out["charge_to"]).abs()
    multi = int((steps != 1).sum())
    if multi:
        notes.append(
            f"{multi} rows change the charge by more than one: kept as multi-electron levels, not used for training"
        )
    out["native"] = False
    places = [
        (str(h), str(m), str(t))
        for h, m, t in zip(out["host"], out["impurity"], out["site"], strict=True)
    ]
    settled = {p: settle(*p, False, where) for p in dict.fromkeys(places)}
    out["host"], out["impurity"], out["site"] = (
        list(c) for c in zip(*(settled[p] for p in places), strict=True)
    )
    return LevelTable(_gather(out[steps == 1]), out, layout, notes)


def _split_fidelities(out: pd.DataFrame, where: str) -> pd.DataFrame:
    """Turn ``level`` with ``fidelity`` into columns low and high."""
    if "fidelity" not in out or out["fidelity"].nunique() == 1:
        name = str(out["fidelity"].iloc[0]).lower() if "fidelity" in out else ""
        out["high" if re.match(r"hse|high|gw|pbe0", name) else "low"] = out["level"]
        return out
    names = out["fidelity"].str.lower()
    high = names.str.match(r"hse|high|gw|pbe0")
    if names[high].nunique() > 1 or names[~high].nunique() > 1 or (names == "").any():
        raise _mixed(sorted(set(out["fidelity"])), where)
    keys = ["host", "impurity", "site", "charge_from", "charge_to"]
    low = out[~high].drop(columns="level").assign(low=out["level"])
    upper = out.loc[high, [*keys, "level"]].rename(columns={"level": "high"})
    twice = upper.duplicated(keys)
    if twice.any():
        raise DataError(
            "the same level stands twice at one fidelity",
            where=where,
            got=upper[twice].iloc[0, :5].tolist(),
        )
    return low.merge(upper, on=keys, how="outer")


def _gather(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per defect from single-electron levels (low fidelity)."""
    names = dict(zip(CHARGES, LEVELS, strict=True))
    found: dict[tuple[str, str, str], dict[str, object]] = {}
    for row in rows.to_dict("records"):
        place = (str(row["host"]), str(row["impurity"]), str(row["site"]))
        entry = found.setdefault(
            place,
            dict(zip(("host", "impurity", "site"), place, strict=True))
            | dict.fromkeys(LEVELS, np.nan)
            | {
                "native": False,
                "line": row["line"],
                "gap": row.get("gap", np.nan),
                "lattice": row.get("lattice", np.nan),
            },
        )
        top = int(max(row["charge_from"], row["charge_to"]))
        if top in names:
            entry[names[top]] = row["low"] if row["low"] == row["low"] else row["high"]
    columns = ["host", "impurity", "site", *LEVELS, "native", "line", "gap", "lattice"]
    return pd.DataFrame(list(found.values()), columns=columns)


def levels_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the six levels of each defect, shape (n, 6), eV."""
    return np.asarray(frame[list(LEVELS)].to_numpy(dtype=float))


def check_hosts(
    frame: pd.DataFrame, known: Mapping[str, tuple[float | None, float | None]]
) -> None:
    """Raise for the first host whose gap or lattice constant is unknown."""
    for name in frame["host"].unique():
        find_host(str(name), known)
