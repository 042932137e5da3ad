"""Tables of perovskite alloys: compositions and properties, however they are written.

In: CSV with a formula column or one column a species, or the two header-less files of 229 compounds.
Out: an `AlloyTable` of fractions by site and properties with units, and what was assumed or doubted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Input
from matterscope.core.errors import ReadError, SchemaError
from matterscope.io.tables import MISSING, Cells, cells_of_frame, read_cells
from matterscope.materials.alloys import perovskite_229
from matterscope.materials.alloys.compositions import (
    FRACTION_TOLERANCE,
    SITE_OF,
    SITES,
    Composition,
    by_site,
    parse_formula,
    plain_formula,
    write_formula,
)
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.table_fidelities import choose_fidelity, choose_phase
from matterscope.materials.findings import Finding

Array = NDArray[np.float64]

SENTINELS = (1000.0, -999.0, 999.0, 9999.0, -9999.0)
MISSING_WORDS = MISSING | {"na"}
"""Sodium can be no value of a property."""

PROPERTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    # canonical name: (units, other spellings, compared in lower case without separators)
    "lattice_constant_pbe": ("Å", ("pbelattice", "pbelatticeconstant", "latticepbe")),
    "lattice_constant_hse": ("Å", ("hselattice", "hselatticeconstant", "latticehse")),
    "lattice_constant": ("Å", ("lattice", "latticeparameter", "a")),
    "decomposition_energy_pbe": ("eV", ("pbedecomposition", "decomppbe", "pbedecomp")),
    "decomposition_energy_hse": ("eV", ("hsedecomposition", "decomphse", "hsedecomp")),
    "decomposition_energy": ("eV", ("decomp", "decomposition", "edecomp")),
    "band_gap_pbe": ("eV", ("pbegap", "gappbe", "pbebandgap")),
    "band_gap_hse": ("eV", ("hsegap", "gaphse", "hsebandgap")),
    "band_gap": ("eV", ("gap", "bandgap", "eg")),
    "refractive_index": ("1", ("n", "refractiveindex")),
    "figure_of_merit": ("1", ("fom", "pvfom", "figureofmerit")),
    "slme": ("1", ("slme", "efficiency")),
    "defect_formation_energy": ("eV", ("dfe", "defectformation", "defectformationenergy")),
    "equilibrium_fermi_level": ("eV", ("ef", "fermilevel", "equilibriumfermilevel")),
    "vacancy_level_a": ("eV", ("va", "va(0/-)", "vacancylevela")),
    "vacancy_level_x": ("eV", ("vx", "vx(+/0)", "vacancylevelx")),
}

FORMULA_NAMES = ("formula", "compound", "composition", "perovskite", "material")
PHASE_NAMES = ("phase", "structure")
PHASE_FLAGS = ("Cubic", "Tetra", "Ortho", "Hex")
FIDELITY_NAMES = ("fidelity", "functional", "xc", "spin_orbit", "soc", "release", "level_of_theory")
IDENTIFIERS = ("id", "index", "row", "number", "name", "source", "doi", "reference", "set", "split")


def read_alloys(
    inputs: Sequence[Input], *, renormalise: bool = False, fidelity: str = "", phase: str = ""
) -> AlloyTable:
    """Return the table of all inputs; several files of the 229 compounds are joined by id.

    Raises
    ------
    ReadError, SchemaError
        What is not a table of perovskites. Doubts about rows are findings, not errors.
    """
    raw = [(given, cells_of(given)) for given in inputs]
    if all(perovskite_229.recognises(cells.rows) for _, cells in raw):
        return _joined_229([(given.source, cells.rows) for given, cells in raw])
    if len(raw) > 1:
        raise SchemaError(
            "several tables with headers cannot be joined",
            where=", ".join(g.source for g, _ in raw),
            expected="one table, or the two files of 229 compounds",
            hint="put them into one table, with a fidelity column where they differ",
        )
    given, cells = raw[0]
    table = _with_header(given.source, cells, renormalise=renormalise)
    return choose_fidelity(choose_phase(table, phase), fidelity)


def cells_of(given: Input) -> Cells:
    """Return the cells of an input: a file of any table format, or a frame in memory."""
    if isinstance(given.data, pd.DataFrame):
        return cells_of_frame(given.data)
    if given.path is None:
        raise ReadError("this input has neither a file nor a table", where=given.source)
    return read_cells(given.path)


# --- tables with a header ---------------------------------------------------------------------
def looks_like_alloys(cells: list[list[str]]) -> bool:
    """Return whether cells hold perovskite alloys, with or without header."""
    if perovskite_229.recognises(cells):
        return True
    head = [c.strip() for c in cells[0]]
    if any(c.lower() in FORMULA_NAMES for c in head):
        return True
    return bool(_species_columns(head)) or set(SITES) <= set(head)


def _with_header(source: str, cells: Cells, *, renormalise: bool) -> AlloyTable:
    rows, first = cells.rows, cells.first_line
    head = [c.strip().strip('"') for c in rows[0]]
    if not looks_like_alloys(rows):
        raise SchemaError(
            "this table has neither a formula column nor columns of species",
            where=f"{source}, line {first}",
            got=", ".join(head[:8]),
            expected="'formula', or columns such as K, Cs, MA, Pb, I",
            hint="a table without a header line needs one",
        )
    ragged = next((i for i, row in enumerate(rows) if len(row) != len(head)), None)
    if ragged is not None:
        raise SchemaError(
            "a row has another number of cells than the header",
            where=f"{source}, line {first + ragged}",
            got=len(rows[ragged]),
            expected=len(head),
        )
    frame = pd.DataFrame(rows[1:], columns=head)
    if frame.empty:
        raise SchemaError("the table has a header and no rows", where=source)
    findings: list[Finding] = []
    compositions, good = _compositions(frame, findings, renormalise=renormalise)
    targets, units = _targets(frame, findings)
    keys = _keys(frame)
    keep = np.flatnonzero(good)
    return AlloyTable(
        source,
        [c for c in compositions if c is not None],
        {n: t[keep] for n, t in targets.items()},
        units,
        [f"row {i + 1}" for i in keep],
        keep + 1 + first,
        [replace(f, line=f.line + first - 1) for f in findings],
        {},
        [keys[i] for i in keep],
        cells.assumed,
    )


def species_heading(heading: str) -> str:
    """Return the species that a heading names, "" if none: Cs, A_Cs, x(Pb), Pb (%), fraction I.

    Examples
    --------
    >>> species_heading("B_Sn"), species_heading("CH3NH3 [%]"), species_heading("slme")
    ('Sn', 'MA', '')
    """
    bare = re.sub(r"[\[(]\s*(?:at\.?\s*)?(?:%|1|mol)\s*[\])]|%", "", heading).strip()
    inner = re.match(
        r"(?:[ABXx]|frac(?:tion)?|share|amount)(?:[ _-]+|\s*\()([^()]+|.*\d)\)?$", bare
    )
    for name in (bare, inner.group(1) if inner else ""):
        short = plain_formula(name)
        if short in SITE_OF:
            return short
    return ""


def _species_columns(columns: Sequence[str]) -> dict[str, str]:
    found = {c: name for c in columns if (name := species_heading(c))}
    # a lone column "I" or "K" beside a formula may be anything; three sites are compositions
    return found if {SITE_OF[s] for s in found.values()} == set(SITES) else {}


def _compositions(
    frame: pd.DataFrame, findings: list[Finding], *, renormalise: bool
) -> tuple[list[Composition | None], NDArray[np.bool_]]:
    formula = next((c for c in frame.columns if c.lower() in FORMULA_NAMES), None)
    columns = _species_columns(list(frame.columns))
    labelled = not columns and set(SITES) <= set(frame.columns)
    amounts = frame[list(columns)].apply(pd.to_numeric, errors="coerce") if columns else None
    result: list[Composition | None] = []
    for i in range(len(frame)):
        where = f"row {i + 1}"
        text = str(frame[formula].iloc[i]).strip() if formula else ""
        if not text and labelled:
            a, b, x = (str(frame[s].iloc[i]).strip() for s in SITES)
            text = f"{a}{b}({x})3"
        written = _or_finding(text, where, i, formula, findings, renormalise) if text else None
        listed = None
        if amounts is not None:
            found = {columns[c]: float(amounts[c].iloc[i]) for c in columns}
            listed = _columns_or_finding(found, where, i, findings, renormalise)
        if written and listed and _differ(written, listed):
            findings.append(
                Finding(
                    where, f"{formula} and species columns", "formula ↔ columns",
                    f"the formula says {write_formula(written)}, the columns say {write_formula(listed)}",
                    "error", line=i + 2,
                )
            )  # fmt: skip
        result.append(listed or written)
    return result, np.array([c is not None for c in result])


def _or_finding(
    text: str,
    where: str,
    i: int,
    column: str | None,
    findings: list[Finding],
    renormalise: bool,
) -> Composition | None:
    try:
        return parse_formula(text, where, renormalise=renormalise)
    except SchemaError as error:
        findings.append(_refusal(error, where, column or "", i))
        return None


def _columns_or_finding(
    found: Mapping[str, float], where: str, i: int, findings: list[Finding], renormalise: bool
) -> Composition | None:
    clean = {k: v for k, v in found.items() if np.isfinite(v)}
    try:
        return by_site(clean, where, renormalise=renormalise)
    except SchemaError as error:
        findings.append(_refusal(error, where, "species columns", i))
        return None


def _refusal(error: SchemaError, where: str, column: str, i: int) -> Finding:
    rule = "fraction sums" if "sum to one" in error.what else "species"
    text = error.what + (f": got {error.got}" if error.got is not None else "")
    text += f", expected {error.expected}" if error.expected is not None else ""
    return Finding(where, column, rule, text, "error", proposal=error.hint, line=i + 2)


def _differ(one: Composition, two: Composition) -> bool:
    return any(
        abs(one[s].get(name, 0.0) - two[s].get(name, 0.0)) > FRACTION_TOLERANCE
        for s in SITES
        for name in {*one[s], *two[s]}
    )


def canonical_property(name: str) -> tuple[str, str]:
    """Return canonical name and units of a property column; unknown names are kept, units unknown."""
    match = re.match(r"^(.*?)\s*[\[(]([^\])]*)[\])]\s*\.?$", name)
    bare, unit = (match.group(1), match.group(2)) if match and "/" not in name else (name, "")
    short = re.sub(r"[\s_\-]", "", bare).lower().removesuffix("ev")
    for canonical, (units, spellings) in PROPERTIES.items():
        if short == canonical.replace("_", "") or short in spellings:
            return canonical, units
    return re.sub(r"\W+", "_", bare).strip("_").lower() or name, unit.strip(". ") or "1"


def _targets(
    frame: pd.DataFrame, findings: list[Finding]
) -> tuple[dict[str, Array], dict[str, str]]:
    skipped = {*_species_columns(list(frame.columns)), *PHASE_FLAGS, *SITES}
    names = {*FORMULA_NAMES, *PHASE_NAMES, *FIDELITY_NAMES, *IDENTIFIERS}
    targets: dict[str, Array] = {}
    units: dict[str, str] = {}
    for column in frame.columns:
        if column in skipped or column.lower() in names or not column:
            continue
        text = frame[column].astype(str).str.strip()
        empty = text.str.lower().isin(MISSING_WORDS)
        values = pd.to_numeric(text.where(~empty), errors="coerce").to_numpy(dtype=float)
        if (
            np.isfinite(values).sum() < 0.5 * max((~empty).sum(), 1)
            or not np.isfinite(values).any()
        ):
            continue
        name, unit = canonical_property(column)
        targets[name], units[name] = drop_sentinels(values, column, findings), unit
    return targets, units


def drop_sentinels(values: Array, column: str, findings: list[Finding]) -> Array:
    """Return values with sentinels made NaN where the range of the column makes them impossible."""
    odd = np.isin(values, SENTINELS)
    rest = values[np.isfinite(values) & ~odd]
    if not odd.any() or len(rest) == 0:
        return values
    middle, reach = np.median(rest), np.ptp(rest) + 1e-9
    impossible = odd & (np.abs(values - middle) > 5 * reach)
    reach_text = f"{rest.min():.4g} … {rest.max():.4g}"
    findings.extend(
        Finding(
            f"row {i + 1}",
            column,
            "sentinel",
            f"{values[i]:g} stands for a missing value: the others lie in {reach_text}",
            "warning",
            "missing",
            int(i) + 2,
        )
        for i in np.flatnonzero(impossible)
    )
    return np.where(impossible, np.nan, values)


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    phase = [""] * len(frame)
    fidelity = [""] * len(frame)
    for column in frame.columns:
        if column.lower() in PHASE_NAMES:
            phase = [str(v) for v in frame[column]]
        elif column.lower() in FIDELITY_NAMES:
            values = frame[column].astype(str)
            fidelity = [f"{f} {v}".strip() for f, v in zip(fidelity, values, strict=True)]
    flags = [c for c in frame.columns if c in PHASE_FLAGS]
    if flags:
        on = frame[flags].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy(dtype=float)
        phase = [flags[k] if on[i, k] > 0.5 else p for i, (k, p) in enumerate(zip(on.argmax(1), phase, strict=True))]  # fmt: skip
    return list(zip(phase, fidelity, strict=True))


# --- the 229 compounds ------------------------------------------------------------------------
def _joined_229(parts: list[tuple[str, list[list[str]]]]) -> AlloyTable:
    read = [perovskite_229.read(source, cells) for source, cells in parts]
    first = read[0]
    targets: dict[str, Array] = {}
    extras: dict[str, Any] = {}
    for part in read:
        if part.identifiers != first.identifiers or part.compositions != first.compositions:
            raise SchemaError(
                "the two tables do not hold the same compounds in the same order",
                where=", ".join(s for s, _ in parts),
                hint="sort both by id",
            )
        targets |= part.targets
        extras |= part.extras
    units = {name: PROPERTIES[name][0] for name in targets}
    findings = [f for part in read[:1] for f in part.findings]
    rows = [f"id {i}" for i in first.identifiers]
    return AlloyTable(
        ", ".join(s for s, _ in parts),
        first.compositions,
        {name: targets[name] for name in PROPERTIES if name in targets},
        units,
        rows,
        np.arange(1, len(rows) + 1),
        findings,
        extras,
        [("", "")] * len(rows),
    )
