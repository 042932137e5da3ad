"""`materials levels`: what is asked, what is answered, and what is refused; a small model made on the spot."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from matterscope import materials
from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError, DataError, SchemaError
from matterscope.materials.defects.hosts import find_host, host_table, natural_valence_band
from matterscope.materials.transitions import validation
from matterscope.materials.transitions.tables import LEVELS, read_levels, site_of

HEADER = "host,impurity,site," + ",".join(LEVELS) + "\n"


def test_the_shipped_model_answers_for_names_alone():
    answer = materials.levels(host=("CdTe",), impurity=("Cu",), site=("Cd",))
    level = answer["transition_level"]
    assert (
        level.interval(0.95).low
        < level.interval(0.68).low
        < level.value
        < level.interval(0.95).high
    )
    assert answer.tables["levels"]["level"].tolist() == list(LEVELS)
    assert answer.pictures


def test_formation_energies_and_levels_are_one_vector():
    answer = materials.levels(host=("ZnSe",), impurity=("Cu",), site=("Zn",))
    energies = answer.tables["formation_energies"]["A_rich"].to_numpy()
    assert np.allclose(np.diff(energies), answer.tables["levels"]["value"], atol=1e-9)


def test_a_new_element_in_the_host_is_flagged_by_name():
    answer = materials.levels(host=("MgTe",), impurity=("Cu",), site=("Mg",))
    assert any("no training host contains Mg" in f.message for f in answer.flags)


def test_a_host_that_is_not_tabulated_asks_for_gap_and_lattice():
    with pytest.raises(DataError, match="--gap EV --lattice"):
        materials.levels(host=("TlP",), impurity=("Cu",), site=("Tl",))
    answer = materials.levels(host=("TlP",), impurity=("Cu",), site=("Tl",), gap=0.3, lattice=5.9)
    assert answer.tables["levels"]["value"].notna().all()


def test_an_alloy_is_answered_by_its_end_members():
    with pytest.raises(DataError, match="end members"):
        materials.levels(host=("CdSe0.5Te0.5",), impurity=("Cu",))


def test_without_site_all_sites_are_answered():
    answers = materials.levels(host=("GaAs",), impurity=("Zn",))
    assert len(answers) == 5
    assert len(materials.levels(host=("Si",), impurity=("Zn",))) == 3


def test_nothing_asked_is_an_error_with_an_example():
    with pytest.raises(ConfigError, match="--host CdTe"):
        materials.levels()


def test_an_atom_of_the_host_in_its_own_place_is_no_defect(tmp_path):
    with pytest.raises(DataError, match="no defect"):
        materials.levels(host=("CdTe",), impurity=("Cd",), site=("Cd",))
    path = tmp_path / "ask.csv"
    path.write_text("host,impurity,site\nCdTe,Te,Cd\nCdTe,Te,Te\n")
    refused = [f.message for f in materials.levels(path).flags if f.code == "row-refused"]
    assert len(refused) == 1
    assert "line 3" in refused[0]
    # all sites asked about: four of five are defects
    assert len(materials.levels(host=("CdTe",), impurity=("Cd",))) == 4


def test_all_hosts_of_the_table_are_drawn_as_a_map():
    answer = materials.levels(zinc_blende=True, impurity=("Cu", "Zn"), site=("A",))
    levels = answer.tables["levels"]
    assert levels["host"].nunique() == len(host_table())
    own = sum(h.startswith("Zn") for h in host_table())
    assert len(levels) == 6 * (2 * len(host_table()) - own)
    assert {p.name for p in answer.pictures} == {"ladder", "level_map"}


def test_a_list_of_defects_may_come_as_a_table(tmp_path):
    path = tmp_path / "ask.csv"
    path.write_text("host;impurity;site\nCdTe;Cu;Cd\nZnO;Li;i_Zn\n")
    answers = materials.levels(path)
    assert [a.input.selector for a in answers] == ["Cu M_A CdTe", "Li M_i_A ZnO"]


@pytest.mark.parametrize(
    ("text", "elements", "site"),
    [("Cd", ["Cd", "Te"], "M_A"), ("M_Te", ["Cd", "Te"], "M_B"), ("M_i_Cd_site", ["Cd", "S"], "M_i_A"), ("M_i_neut_site", ["Cd", "S"], "M_i_neut"), ("B", ["Si"], "M_A")],
)  # fmt: skip
def test_sites_are_understood_by_any_of_their_names(text, elements, site):
    assert site_of(text, elements) == site


def test_a_site_of_another_host_is_refused_with_those_of_this_one():
    with pytest.raises(DataError, match="Cd, Te"):
        site_of("Zn", ["Cd", "Te"])


def test_sentinels_count_as_missing_and_are_counted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        HEADER + "CdTe,Cu,M_A,0,0.1,0.2,0.3,1000,-999\nCdTe,Ag,M_A,0,0.1,0.2,0.3,0.4,0.5\n"
    )
    table = read_levels(path)
    assert len(table.complete) == 1
    assert any("sentinel" in n for n in table.notes)


def test_a_misprinted_element_is_refused_or_left_out_with_a_note(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        HEADER + "CdTe,Ab,M_A,0,0.1,0.2,0.3,0.4,0.5\nCdTe,Ag,M_A,0,0.1,0.2,0.3,0.4,0.5\n"
    )
    with pytest.raises(DataError, match="Ab"):
        read_levels(path)
    table = read_levels(path, strict=False)
    assert len(table.defects) == 1
    assert "line 2" in table.notes[0]


def test_two_functionals_in_one_column_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "host,impurity,site,functional,"
        + ",".join(LEVELS)
        + "\nCdTe,Cu,M_A,PBE,0,0,0,0,0,0\nCdTe,Ag,M_A,HSE,0,0,0,0,0,0\n"
    )
    with pytest.raises(SchemaError, match="functional"):
        read_levels(path)


def test_a_table_that_is_none_of_levels_says_what_one_looks_like(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SchemaError, match="charge_from"):
        read_levels(path)


def test_training_on_one_host_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    names = [
        "Li",
        "Na",
        "K",
        "Mg",
        "Ca",
        "Zn",
        "Al",
        "Ga",
        "In",
        "Si",
        "Ge",
        "Sn",
        "P",
        "As",
        "Sb",
        "O",
        "S",
        "Se",
        "F",
        "Cl",
        "Br",
        "Cu",
        "Ag",
        "Au",
        "Ti",
        "V",
        "Cr",
        "Mn",
        "Fe",
        "Co",
        "Ni",
    ]
    frame = pd.DataFrame(np.sort(rng.normal(size=(31, 6)), axis=1), columns=list(LEVELS))
    frame.insert(0, "site", "M_A")
    frame.insert(0, "impurity", names)
    frame.insert(0, "host", "CdTe")
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="≥ 2 hosts"):
        materials.train(tmp_path / "t.csv")


def test_rows_may_not_be_split_at_random(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "CdTe,Cu,M_A,0,0.1,0.2,0.3,0.4,0.5\n")
    with pytest.raises(ConfigError, match="leak"):
        materials.train(path, leave_out="level")


def test_whole_defects_left_out_stay_out(monkeypatch):
    """Nothing of a defect that is asked about may be among the rows learnt from, in either easier protocol."""
    rows = [
        {"host": h, "impurity": m, "site": "M_A", "native": False, **dict.fromkeys(LEVELS, 0.5)}
        for h in ("CdTe", "ZnTe")
        for m in ("Ag", "Al", "Au", "B", "Ba", "Be", "Bi", "Ca", "Cd", "Cl")
    ]
    table, seen = pd.DataFrame(rows), []

    class Blind:
        quantiles = MappingProxyType({0.68: 1.0, 0.95: 2.0})

        def fit(self, rest, known, seed, *, energies):
            seen.append(rest)
            return self

        def predict(self, asked, known):
            kept = set(map(tuple, seen[-1][["host", "impurity", "site"]].to_numpy()))
            assert not kept & set(map(tuple, asked[["host", "impurity", "site"]].to_numpy()))
            if by == "impurity":
                assert not set(seen[-1]["impurity"]) & set(asked["impurity"])
            shape = np.zeros((len(asked), 6))
            return SimpleNamespace(levels=shape, sigma=shape + 1, distance=np.zeros(len(asked)))

    monkeypatch.setattr(validation, "LevelModel", Blind)
    for by, folds in (("impurity", 10), ("fold", 5)):
        seen.clear()
        answers = validation.leave_groups_out(table, {}, by, Call(seed=1))
        assert len(answers) == 6 * len(table)
        assert len(seen) == folds


def test_heavier_anions_lift_the_valence_band():
    depth = [natural_valence_band(find_host(h)) for h in ("ZnO", "ZnS", "ZnSe", "ZnTe")]
    assert depth == sorted(depth)


def test_a_row_that_names_no_defect_does_not_silence_the_others(tmp_path):
    path = tmp_path / "asked.csv"
    path.write_text("Host,Dopant,Lattice site\nCdTe,Cu,Cd\nCdTe0.5Se0.5,As,Te\nZnXx,Cu,Zn\n")
    answer = materials.levels(path)
    assert answer["transition_level"].value is not None
    words = " ".join(f.message for f in answer.flags if f.code == "row-refused")
    assert "line 3" in words
    assert "line 4" in words
    path.write_text("host,impurity,site\nZnXx,Cu,Zn\n")
    with pytest.raises(DataError, match="line 2"):
        materials.levels(path)
