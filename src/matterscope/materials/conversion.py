"""`materials convert`: any table that this domain reads, written in its own schema.

In: published tables with or without headers, tables of other people's headings, a solver's JSON. Out: one CSV or Parquet file
with canonical names, units in the headings and formulas in one spelling; what was assumed, and what was left out.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, require
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.files import sha256_of, write_bytes
from matterscope.core.pictures import Panel, Picture, bars
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.auditing import REFERENCES
from matterscope.materials.defects.defect_tables import (
    Crystal,
    Reference,
    as_table,
    is_solver_json,
    read_defects,
)
from matterscope.materials.findings import as_frame
from matterscope.materials.settings import ConvertSettings
from matterscope.materials.training import holds_levels
from matterscope.materials.transitions.halide_impurities import holds_halides


def convert_table(inputs: list[Input], settings: ConvertSettings, call: Call) -> list[Estimate]:
    """Return one estimate for each table written."""
    if not inputs:
        raise ConfigError("materials convert needs a table", hint="give TABLE")
    if all(i.path is not None and holds_levels(i.path) for i in inputs):
        return [levels_converted(given, settings, call) for given in inputs]
    if all(i.path is not None and holds_halides(i.path) for i in inputs):
        return [halides_converted(given, settings, call) for given in inputs]
    if all(i.path is not None and is_solver_json(i.path) for i in inputs):
        return [energies_converted(given, settings, call) for given in inputs]
    table = read_alloys(inputs, renormalise=settings.renormalise)
    answer = Estimate(
        "materials convert", InputRef(table.source, "", "+".join(i.sha256 for i in inputs))
    )
    for words in table.assumed:
        answer.flag("table-read-as", words)
    refused = sorted({f.row for f in table.findings if f.rule in {"species", "fraction sums"}})
    if refused:
        answer.flag(
            "rows-left-out",
            f"{len(refused)} rows have no composition: {', '.join(refused[:5])}",
            "the table 'findings' gives the reason of each",
        )
    answer.tables["findings"] = as_frame(table.findings)
    return [written(answer, alloy_frame(table), "alloys", settings, call)]


def levels_converted(given: Input, settings: ConvertSettings, call: Call) -> Estimate:
    """Return the estimate of a table of transition levels."""
    from matterscope.materials.transitions.tables import read_levels

    assert given.path is not None
    table = read_levels(given.path, strict=False)
    answer = Estimate("materials convert", given.ref)
    for words in table.notes:
        answer.flag("table-read-as", words)
    answer.diagnostics["layout"] = table.layout
    frame = table.pairs if len(table.pairs) else table.defects
    return written(answer, frame, f"{Path(given.source).stem}-levels", settings, call)


def halides_converted(given: Input, settings: ConvertSettings, call: Call) -> Estimate:
    """Return the estimate of the header-less table of impurities in halide perovskites."""
    from matterscope.materials.transitions.halide_impurities import DESCRIPTORS, read_halides

    assert given.path is not None
    frame = read_halides(given.path)
    answer = Estimate("materials convert", given.ref)
    answer.flag("table-read-as", "columns are named by their place; the site (lead) is inferred")
    order = [
        "host",
        "impurity",
        "site",
        *(c for c in frame if c not in DESCRIPTORS and c != "line"),
    ]
    kept = frame[[*dict.fromkeys(order), *DESCRIPTORS]]
    return written(answer, kept, f"{Path(given.source).stem}-levels", settings, call)


def energies_converted(given: Input, settings: ConvertSettings, call: Call) -> Estimate:
    """Return the estimate of a defect solver's JSON: one row a charge state, as `materials diagram` takes it."""
    assert given.path is not None
    crystal, defects = read_defects(given.path, Reference(), Crystal())
    answer = Estimate("materials convert", given.ref)
    answer.flag(
        "table-read-as",
        "energies are formation energies at the valence-band maximum for the reference chemical potentials; corrections are in them",
        f"materials diagram TABLE --gap {crystal.gap:g} --energies formation",
    )
    answer.diagnostics["host"] = {
        "gap_eV": crystal.gap, "formula": crystal.formula, "electron_mass": crystal.electron_mass,
        "hole_mass": crystal.hole_mass, "volume_per_site_A3": crystal.volume_per_site,
        "reference_chemical_potentials_eV": crystal.reference,
    }  # fmt: skip
    return written(answer, as_table(defects), f"{Path(given.source).stem}-energies", settings, call)


def alloy_frame(table: AlloyTable) -> pd.DataFrame:
    """Return a table of alloys with one formula a row, phase and fidelity where stated, and properties."""
    columns: dict[str, object] = {"formula": table.formulas}
    for name, place in (("phase", 0), ("fidelity", 1)):
        words = [k[place] for k in table.keys]
        if any(words):
            columns[name] = words
    for name, values in table.targets.items():
        unit = table.units.get(name, "1")
        columns[name if unit == "1" else f"{name} ({unit})"] = values
    return pd.DataFrame(columns)


def written(
    answer: Estimate, frame: pd.DataFrame, stem: str, settings: ConvertSettings, call: Call
) -> Estimate:
    """Write a frame and put what it holds into the answer."""
    path = call.artifact(f"{stem}.{settings.format}")
    data = io.BytesIO()
    if settings.format == "parquet":
        require("pyarrow", "writing Parquet")
        frame.to_parquet(data, index=False)
    else:
        frame.to_csv(data, index=False)
    write_bytes(path, data.getvalue())
    answer.diagnostics["artifacts"] = [{"path": path.name, "sha256": sha256_of(path)}]
    answer.provenance["references"] = REFERENCES
    answer.quantities["rows_written"] = Quantity(len(frame), "1", reason="counted")
    numbers = frame.select_dtypes("number")
    filled = numbers.notna().sum().to_numpy()
    answer.tables["columns"] = pd.DataFrame(
        {
            "column": list(numbers.columns),
            "values": filled,
            "lowest": [float(numbers[c].min()) for c in numbers],
            "highest": [float(numbers[c].max()) for c in numbers],
        }
    )
    panel = Panel(
        [bars(np.arange(len(filled)), filled, "values", "series0")],
        x_ticks=[str(c) for c in numbers.columns], x_label="column", y_label="rows with a value",
    )  # fmt: skip
    caption = "Rows with a value in each numeric column."
    answer.pictures.append(Picture("columns", "What the table holds", [panel], caption, width=8.0))
    return answer
