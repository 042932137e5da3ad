"""The model of levels on the public tables: hosts left out, the shipped model and its card."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.verbs import as_input
from matterscope.materials.transitions.audit import findings_of_levels
from matterscope.materials.transitions.halide_impurities import read_halides
from matterscope.materials.transitions.persistence import SHIPPED, load_levels
from matterscope.materials.transitions.tables import levels_of, read_levels
from matterscope.materials.transitions.training import gather
from matterscope.materials.transitions.validation import fold_unit

pytestmark = pytest.mark.realdata
TABLES = ("impurity_levels_pbe.csv", "native_defect_levels_pbe.csv")


@pytest.fixture(scope="module")
def tables(data):
    return gather([as_input(data / "defects" / name) for name in TABLES])


def test_the_public_tables_give_the_counts_that_are_known_of_them(data):
    impurities = read_levels(data / "defects" / TABLES[0])
    assert (len(impurities.defects), len(impurities.complete)) == (1030, 748)
    assert impurities.complete["host"].nunique() == 28
    natives = read_levels(data / "defects" / TABLES[1], strict=False)
    assert len(natives.complete) == 252 - 3  # three rows name an element that does not exist
    assert (natives.complete["impurity"] == "vacancy").sum() == 52


def test_the_table_without_header_gives_the_counts_that_are_known_of_it(data):
    path = data / "defects" / "halide_perovskite_impurities_pbe.csv"
    frame = read_halides(path)
    assert frame["host"].value_counts().to_dict() == {"MAPbCl3": 67, "MAPbBr3": 66, "MAPbI3": 66}
    assert frame["impurity"].nunique() == 73
    found, rows = findings_of_levels(path)
    negative = [f.row for f in found if f.rule == "levels out of order"]
    assert rows == 199
    assert {n.split(",")[0] for n in negative} == {"F M_B MAPbCl3", "Be M_B MAPbBr3"}


def test_the_shipped_model_was_trained_on_these_tables(data):
    _, card, name = load_levels()
    digests = [as_input(data / "defects" / t).sha256 for t in TABLES]
    assert card["trained_on_sha256"] == "+".join(digests)
    assert name.startswith("levels@")
    assert SHIPPED.stat().st_size < 5e6
    assert {"licence", "source", "population", "limits", "rebuild"} <= set(card)
    scores = {s["subset"]: s for s in card["scores_with_hosts_left_out"]}
    assert scores["all hosts"]["rmse"] < 0.6 * scores["all hosts"]["blind_rmse"]
    assert 0.85 < scores["all hosts"]["z_std"] < 1.15


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hosts_that_were_left_out_are_predicted_far_better_than_their_mean(tables):
    table, known, _ = tables
    held = ["ZnSe", "InSb", "Si", "BN"]
    result = fold_unit(
        {"table": table, "held": held, "known": known, "seed": 0},
        np.random.default_rng(0),
    )
    truth = levels_of(table)
    error = np.concatenate(
        [(p["levels"] - truth[p["index"]]).ravel() for p in result["found"]["name"][:3]]
    )
    spread = np.concatenate(
        [(truth.mean(0) - truth[p["index"]]).ravel() for p in result["found"]["name"][:3]]
    )
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(spread**2))
    sigma = np.concatenate([p["sigma"].ravel() for p in result["found"]["name"][:3]])
    assert np.mean(np.abs(error) < 1.96 * sigma) > 0.85
    # boron nitride lies outside the domain of the others, the other three inside
    assert [bool((p["distance"] > 1).all()) for p in result["found"]["name"]] == [
        False,
        False,
        False,
        True,
    ]
