"""Impurities in halide perovskites: a table without a header, read, audited and learnt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matterscope import materials
from matterscope.core.errors import ConfigError, DataError
from matterscope.materials.transitions import halide_impurities
from matterscope.materials.transitions.halide_impurities import TARGETS, holds_halides, read_halides

HOSTS = {"MAPbCl3": 3.0, "MAPbBr3": 2.3, "MAPbI3": 1.6}
IMPURITIES = ("Li", "Na", "Mg", "Ca", "Al", "Ga", "Si", "Ge", "Cu", "Zn", "La", "Bi")


def lines(scatter: float = 0.02) -> list[str]:
    """Levels that follow one descriptor, spread by the gap of the host."""
    rng = np.random.default_rng(0)
    rows = []
    for host, gap in HOSTS.items():
        for number, impurity in enumerate(IMPURITIES):
            given = rng.normal(size=19)
            given[0] = number / 6 - 1
            levels = np.array([-0.4, 0.1, 0.7, 1.2]) * gap / 2 + 0.5 * given[0]
            energies = np.array([2.0, 3.0]) + given[0]
            cells = [*(levels + scatter * rng.normal(size=4)), *energies, *given]
            rows.append(",".join([host, impurity, *(f"{v:.4f}" for v in cells)]))
    return rows


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "halides.csv"
    path.write_text("\n".join(lines()) + "\n")
    return path


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(halide_impurities, "TREES", 10)
    monkeypatch.setattr(halide_impurities, "STEPS", 8)


def test_the_columns_get_their_names_from_their_place(table):
    assert holds_halides(table)
    frame = read_halides(table)
    assert len(frame) == 36
    assert frame.loc[0, ["host", "impurity", "site", "line"]].tolist() == [
        "MAPbCl3",
        "Li",
        "M_B",
        1,
    ]
    assert set(TARGETS) <= set(frame.columns)


@pytest.mark.parametrize(
    ("old", "new", "word"), [("MAPbBr3,Cu", "MAPbBr3,Cx", "Cx"), ("MAPbBr3,Cu", "PbTe,Cu", "PbTe")]
)
def test_a_wrong_name_is_refused_with_its_line(tmp_path, old, new, word):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines()).replace(old, new))
    with pytest.raises(DataError, match=word) as caught:
        read_halides(path)
    assert "line 21" in str(caught.value)


def test_a_cell_that_is_no_number_is_refused_with_its_line(tmp_path):
    rows = lines()
    rows[4] = rows[4].replace(rows[4].split(",")[3], "high", 1)
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(DataError, match="line 5"):
        read_halides(path)


def test_hosts_left_out_are_scored_beside_two_baselines(table, quick):
    answer = materials.train(table)
    scores = answer.tables["scores"].set_index("property")
    assert list(scores.index) == list(TARGETS)
    assert (scores["rmse"] < 0.8 * scores["mean_of_others_rmse"]).all()
    assert {"same_impurity_rmse", "z_std", "coverage_68", "coverage_95"} <= set(scores.columns)
    assert len(answer.tables["predictions"]) == 36 * len(TARGETS)
    assert {f.code for f in answer.flags} >= {"no_model_stored", "few_hosts"}
    assert {p.name for p in answer.pictures} == {"parity", "calibration"}


def test_rows_of_one_host_may_not_be_split_for_the_headline(table):
    with pytest.raises(ConfigError, match="auto or host"):
        materials.train(table, leave_out="fold")


def test_the_audit_finds_negative_u_in_the_four_levels(tmp_path):
    rows = lines()
    cells = rows[3].split(",")
    cells[2], cells[3] = cells[3], cells[2]
    rows[3] = ",".join(cells)
    path = tmp_path / "negative.csv"
    path.write_text("\n".join(rows))
    found = materials.audit(path).tables["findings"]
    assert found["rule"].tolist() == ["levels out of order"]
    assert found["line"].tolist() == [4]


def test_the_table_is_written_with_names(table, tmp_path):
    answer = materials.convert(table, artifacts=tmp_path / "made")
    written = pd.read_csv(tmp_path / "made" / answer.diagnostics["artifacts"][0]["path"])
    assert list(written.columns[:4]) == ["host", "impurity", "site", TARGETS[0]]
    assert np.allclose(written[TARGETS[0]], read_halides(table)[TARGETS[0]])
