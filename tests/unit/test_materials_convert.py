"""`materials convert`: what is read is written in one schema, and reads back the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate
from matterscope.core.verbs import as_input
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.conversion import convert_table
from matterscope.materials.defects.defect_tables import Crystal, Reference, read_defects
from matterscope.materials.settings import ConvertSettings

# the sibling's layout: columns in any order, one-hot phases, 1000 for "not computed", SLME as a fraction
FRACTIONS = """Gap;Sn;Pb;Cs;MA;I;Br;Cubic;Ortho;Decomp;SLME
1,45;0,25;0,75;0,5;0,5;3;0;1;0;-0,12;0,28
2,30;0;1;1;0;0;3;0;1;0,05;1000
1,71;0;1;1;0;3;0;1;0;-0,02;0,24
1,52;1;0;1;0;2,4;0,6;1;0;-0,31;0,27
"""


def converted(folder: Path, text: str, **settings: object) -> tuple[Estimate, Path]:
    path = folder / "table.csv"
    path.write_text(text)
    (answer,) = convert_table([as_input(path)], ConvertSettings(**settings), Call(artifacts=folder))  # type: ignore[arg-type]
    return answer, folder / answer.diagnostics["artifacts"][0]["path"]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_fractions_in_any_order_become_formulas_with_units(tmp_path: Path, format: str) -> None:
    answer, path = converted(tmp_path, FRACTIONS, format=format)
    frame = pd.read_csv(path) if format == "csv" else pd.read_parquet(path)
    assert list(frame["formula"]) == ["Cs0.5MA0.5Sn0.25Pb0.75I3", "CsPbBr3", "CsPbI3", "CsSn(Br0.2I0.8)3"]  # fmt: skip
    assert list(frame["phase"]) == ["Cubic", "Ortho", "Cubic", "Cubic"]
    assert list(frame["decomposition_energy (eV)"]) == [-0.12, 0.05, -0.02, -0.31]
    assert np.isnan(frame["slme"][1])
    assert answer["rows_written"].value == 4
    assert any("decimal comma" in f.message for f in answer.flags)


def test_what_was_written_reads_back_the_same(tmp_path: Path) -> None:
    _, path = converted(tmp_path, FRACTIONS)
    before, after = (read_alloys([as_input(p)]) for p in (tmp_path / "table.csv", path))
    assert before.formulas == after.formulas
    assert before.keys == after.keys
    assert before.units == after.units
    for name, values in before.targets.items():
        assert np.array_equal(values, after.targets[name], equal_nan=True)


def test_a_table_of_levels_is_recognised(tmp_path: Path) -> None:
    text = (
        "host,impurity,site,charge_from,charge_to,level\nCdTe,Cu,Cd,0,-1,0.2\nZnTe,Cu,Zn,0,-1,0.3\n"
    )
    _, path = converted(tmp_path, text)
    frame = pd.read_csv(path)
    assert list(frame["host"]) == ["CdTe", "ZnTe"]


def test_the_json_of_a_solver_gives_the_same_energies_as_table(tmp_path: Path) -> None:
    state = {
        "defect_energy": -95.0,
        "charge_correction": 0.1,
        "potential_alignment": 0.02,
        "electronic_prefactor": 2,
    }
    solver = {
        "reference_chemical_potentials": {"Cd": -1.5, "Te": -3.0}, "bulk_volume_per_site": 30.0, "band_gap": 1.5,
        "compound_stoichiometry": {"Cd": 1, "Te": 1}, "electron_effective_mass": 0.1, "hole_effective_mass": 0.8,
        "bulk_energy": -100.0, "bulk_vbm": 2.0,
        "defect_references": {"V_Cd": {
            "particles_removed": {"Cd": 1, "Te": 0}, "mixing_prefactor": 0.5, "configurational_prefactor": 1,
            "charge_states": [state | {"charge": 0}, state | {"charge": -2, "defect_energy": -90.0}],
        }},
    }  # fmt: skip
    answer, path = converted(tmp_path, json.dumps(solver))
    before = read_defects(tmp_path / "table.csv", Reference(), Crystal())[1]
    after = read_defects(path, Reference(), Crystal())[1]
    assert before[0].energies[-2] == pytest.approx(-90 + 100 - 1.5 - 4.0 + 0.1 - 0.04)
    assert after == before
    assert answer.diagnostics["host"]["gap_eV"] == 1.5
