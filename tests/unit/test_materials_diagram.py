"""`materials diagram`: tables as people write them, and what they are told."""

from __future__ import annotations

import pytest

from matterscope import materials
from matterscope.core.errors import ConfigError, DataError, SchemaError

TABLE = """defect,charge,energy,correction,atoms_removed,atoms_added
V_Cd,0,2.67,0,Cd,
V_Cd,-1,3.112,0.1,Cd,
V_Cd,-2,3.211,0.4,Cd,
Cu_Cd,0,1.0,,Cd:1,Cu:1
Cu_Cd,-1,1.16,,Cd:1,Cu:1
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cdte.csv"
    path.write_text(TABLE)
    return path


def test_a_table_gives_one_answer_for_the_crystal_and_one_per_defect(table):
    answers = materials.diagram(table, gap=1.5)
    assert [a.input.selector for a in answers] == ["", "V_Cd", "Cu_Cd"]
    assert answers[1]["transition_level"].value == pytest.approx(0.4705)
    assert all(a.pictures for a in answers)


def test_delta_mu_moves_energies_and_is_printed_apart_from_the_reference(table):
    plain, poor = (materials.diagram(table, gap=1.5, delta_mu=d)[1] for d in ((), ("Cd=-1.0",)))
    assert poor["formation_energy"].value - plain["formation_energy"].value == pytest.approx(-1.0)
    assert "Δμ(Cd) = -1.000" in poor.pictures[0].caption
    assert "μ⁰ already inside" in poor.pictures[0].caption


def test_total_energies_and_formation_energies_agree(tmp_path, table):
    bulk, vbm, mu = -100.0, 2.0, -0.8
    rows = ["defect,charge,energy,atoms_removed"]
    rows += [
        f"V_Cd,{q},{e + bulk - q * vbm - mu},Cd" for q, e in ((0, 2.67), (-1, 3.212), (-2, 3.611))
    ]
    path = tmp_path / "total.csv"
    path.write_text("\n".join(rows))
    total = materials.diagram(
        path, gap=1.5, energies="total", bulk_energy=bulk, vbm=vbm, mu0=(f"Cd={mu}",)
    )[1]
    plain = materials.diagram(table, gap=1.5, only=("V_Cd",))[1]
    assert total["formation_energy"].value == pytest.approx(plain["formation_energy"].value)
    assert total["transition_level"].value == pytest.approx(plain["transition_level"].value)


def test_total_energies_without_a_reference_potential_are_refused(table):
    with pytest.raises(ConfigError, match="mu0 Cd"):
        materials.diagram(table, energies="total")


def test_a_bare_number_of_atoms_is_refused(tmp_path):
    path = tmp_path / "n.csv"
    path.write_text("defect,charge,energy,n\nV_Cd,0,2.67,1\n")
    with pytest.raises(SchemaError, match="added or removed"):
        materials.diagram(path)


def test_a_misspelt_element_is_answered_with_the_nearest(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(TABLE.replace(",Cd,\n", ",Ab,\n"))
    with pytest.raises(DataError, match="Ab"):
        materials.diagram(path)


def test_a_charge_that_stands_twice_keeps_the_lower_and_lists_the_other(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text(TABLE + "Cu_Cd,-1,1.56,,Cd:1,Cu:1\n")
    answer = materials.diagram(path, gap=1.5, only=("Cu_Cd",))[1]
    assert answer["transition_level"].value == pytest.approx(0.16)
    assert any("stands twice" in f.message and "1.560" in f.message for f in answer.flags)


def test_a_level_outside_the_gap_is_kept_as_resonant(table):
    answer = materials.diagram(table, gap=0.3, only=("V_Cd",))[1]
    assert answer["transition_level"].value == pytest.approx(0.4705)
    assert answer.flagged("resonant")


def test_without_a_gap_the_diagram_is_made_and_the_lack_is_said(table):
    answer = materials.diagram(table)[0]
    assert answer.flagged("gap_missing")
    assert answer["fermi_level"].value is None


def test_potentials_outside_the_polytope_name_what_precipitates(tmp_path, table):
    phases = tmp_path / "phases.csv"
    phases.write_text("formula,formation_energy\nCuTe,-0.3\n")
    answer = materials.diagram(
        table,
        gap=1.5,
        host="CdTe",
        heat_of_formation=-1.2,
        phases=str(phases),
        delta_mu=("Cd=-1.2", "Te=0", "Cu=0"),
    )[0]
    assert any("CuTe precipitates" in f.message for f in answer.flags)


def test_a_limit_is_a_corner_of_the_polytope(table):
    answer = materials.diagram(
        table, gap=1.5, host="CdTe", heat_of_formation=-1.2, mu_limit="Te-rich"
    )[0]
    assert answer.diagnostics["delta_mu"] == pytest.approx({"Cd": -1.2, "Te": 0.0})


def test_the_order_of_rows_changes_nothing(tmp_path, table):
    lines = TABLE.strip().split("\n")
    other = tmp_path / "reversed.csv"
    other.write_text("\n".join([lines[0], *lines[:0:-1]]))
    first = {
        a.input.selector: a["transition_level"].value for a in materials.diagram(table, gap=1.5)[1:]
    }
    second = {
        a.input.selector: a["transition_level"].value for a in materials.diagram(other, gap=1.5)[1:]
    }
    assert first == pytest.approx(second)


def test_a_hundred_defects_become_one_answer_with_tables(tmp_path):
    path = tmp_path / "many.csv"
    rows = [
        f"D{d},{q},{2 + 0.3 * q * q + (0.9 if q == 1 else 0)}"
        for d in range(100)
        for q in range(-2, 3)
    ]
    path.write_text("defect,charge,energy\n" + "\n".join(rows) + "\n")
    answer = materials.diagram(path, gap=1.5)
    assert answer.tables["levels"]["defect"].nunique() == 100
    assert "many_defects" in {f.code for f in answer.flags}
    # the charge that is never stable is explained for each of them
    assert answer.tables["charges_not_seen"]["defect"].nunique() == 100
    assert len(materials.diagram(path, gap=1.5, only=("D7",))) == 2
