"""Rows of several levels of theory in one table of alloys: one of them, or two side by side.

In: a table whose rows carry phase and fidelity. Out: the table of one fidelity, or a row for each compound
with a column for each of two; equal rows merged, contradictions refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from matterscope.core.errors import ConfigError, SchemaError
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.findings import Finding


def choose_phase(table: AlloyTable, wanted: str = "") -> AlloyTable:
    """Return the rows of one phase; several, and none named, are a finding that training refuses."""
    kinds = sorted({k[0] for k in table.keys})
    if wanted:
        keep = np.flatnonzero([k[0].lower() == wanted.lower() for k in table.keys])
        if len(keep) == 0:
            raise SchemaError(
                "no row has this phase", where=table.source, got=wanted, expected=", ".join(kinds)
            )
        return table.subset(keep)
    formulas = [(f, k[1]) for f, k in zip(table.formulas, table.keys, strict=True)]
    if len(kinds) > 1 and len(set(formulas)) < len({(f, *k) for f, k in zip(formulas, table.keys, strict=True)}):  # fmt: skip
        table.findings.append(
            Finding(
                "all rows", "phase", "phases mixed",
                "the same compounds stand in several phases: " + ", ".join(kinds),
                "error", "name the phase with --phase",
            )
        )  # fmt: skip
    return table


def choose_fidelity(table: AlloyTable, wanted: str = "") -> AlloyTable:
    """Return the rows of one fidelity, or of "CHEAP,DEAR" as columns NAME_cheap and NAME_dear.

    Several fidelities, and none named, are a finding that training refuses.
    """
    kinds = sorted({k[1] for k in table.keys})
    words = [w.strip() for w in wanted.split(",") if w.strip()]
    if len(words) > 2:
        raise ConfigError(
            "at most two fidelities are learnt together", got=wanted, expected="e.g. PBE,HSE"
        )
    if len(words) == 2:
        return side_by_side(table, words[0], words[1])
    if words:
        return only(table, words[0])
    if len(kinds) > 1:
        table.findings.append(
            Finding(
                "all rows", "fidelity", "fidelities mixed",
                "rows differ in functional/spin–orbit: " + ", ".join(kinds),
                "error", "name the fidelity with --fidelity, or two of them: --fidelity CHEAP,DEAR",
            )
        )  # fmt: skip
    return table


def only(table: AlloyTable, word: str) -> AlloyTable:
    """Return the rows whose fidelity is `word`, or else contains it."""
    kinds = [k[1].lower() for k in table.keys]
    keep = np.flatnonzero([k == word.lower() for k in kinds])
    if len(keep) == 0:
        keep = np.flatnonzero([word.lower() in k for k in kinds])
    if len(keep) == 0:
        raise SchemaError(
            "no row has this fidelity",
            where=table.source,
            got=word,
            expected=", ".join(sorted({k[1] for k in table.keys})),
        )
    met = sorted({table.keys[i][1] for i in keep})
    if len(met) > 1:
        raise SchemaError(
            "this word names several fidelities",
            where=table.source,
            got=word,
            expected="one of " + ", ".join(met),
        )
    return table.subset(keep)


def side_by_side(table: AlloyTable, cheap: str, dear: str) -> AlloyTable:
    """Return one row for each compound and phase, with columns NAME_cheap and NAME_dear."""
    parts = [merge_duplicates(only(table, word)) for word in (cheap, dear)]
    places: dict[tuple[str, str], int] = {}
    first: list[tuple[AlloyTable, int]] = []
    for part in parts:
        for i, (formula, key) in enumerate(zip(part.formulas, part.keys, strict=True)):
            if places.setdefault((formula, key[0]), len(first)) == len(first):
                first.append((part, i))
    targets, units = {}, {}
    for part, word in zip(parts, (cheap, dear), strict=True):
        rows = [places[f, k[0]] for f, k in zip(part.formulas, part.keys, strict=True)]
        for name, values in part.targets.items():
            label = f"{name}_{word.lower()}"
            targets[label] = np.full(len(first), np.nan)
            targets[label][rows] = values
            units[label] = part.units[name]
    return replace(
        table,
        compositions=[p.compositions[i] for p, i in first],
        targets={n: v for n, v in targets.items() if np.isfinite(v).any()},
        units=units,
        rows=[p.rows[i] for p, i in first],
        lines=np.array([p.lines[i] for p, i in first]),
        extras={},
        keys=[(p.keys[i][0], f"{cheap},{dear}") for p, i in first],
    )


def merge_duplicates(table: AlloyTable) -> AlloyTable:
    """Return the table with equal rows merged.

    Raises
    ------
    SchemaError
        When two rows of one compound, phase and fidelity have different values.
    """
    table = replace(table, targets={n: v.copy() for n, v in table.targets.items()})
    first: dict[tuple[Any, ...], int] = {}
    keep = []
    for i, (formula, key) in enumerate(zip(table.formulas, table.keys, strict=True)):
        known = first.setdefault((formula, *key), i)
        if known == i:
            keep.append(i)
            continue
        for name, values in table.targets.items():
            pair = values[[known, i]]
            if np.isfinite(pair).all() and abs(pair[0] - pair[1]) > 1e-9:
                raise SchemaError(
                    f"{formula} stands twice with different values of {name}",
                    where=f"{table.source}, {table.rows[known]} and {table.rows[i]}",
                    got=f"{pair[0]:g} and {pair[1]:g}",
                    expected="one value for each compound, phase and fidelity",
                    hint="remove one, or tell them apart in a phase or fidelity column",
                )
            if np.isfinite(pair[1]) and not np.isfinite(pair[0]):
                values[known] = pair[1]  # what one row leaves blank the other may hold
    return table if len(keep) == len(table) else table.subset(np.array(keep))
