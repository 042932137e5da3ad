"""The ranking of defects: Bayes on a made-up library, faults, none of these, what to measure next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matterscope import emitters
from matterscope.core.errors import ConfigError, ReadError, SchemaError
from matterscope.emitters.identity import AXES, make_library, posterior
from matterscope.io.defect_libraries import read_library


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    n = 80
    return pd.DataFrame(
        {
            "host": "bulk",
            "defect": [f"D{k}" for k in range(n)],
            "charge": rng.integers(-1, 2, n),
            "spin": "singlet",
            "zpl": rng.uniform(0.5, 4, n),
            "huang_rhys": np.where(np.arange(n) % 2 == 0, np.exp(rng.normal(0.8, 0.7, n)), np.nan),
            "lifetime": np.exp(rng.normal(5, 3, n)),
            "visibility": rng.uniform(0, 1, n),
            "misalignment": rng.uniform(0, 60, n),
        }
    )


@pytest.fixture(scope="module")
def library_file(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "made.csv"
    rows.to_csv(path, index=False)
    return path


def test_probabilities_sum_to_one_and_follow_the_evidence(rows, library_file):
    truth = rows.iloc[10]
    estimate = emitters.identify(
        library=str(library_file),
        zpl=truth.zpl,
        zpl_theory=0.02,
        huang_rhys=truth.huang_rhys,
        huang_rhys_theory=0.02,
        lifetime=truth.lifetime,
        visibility=truth.visibility,
    )
    shares = estimate["identity"].probabilities
    assert sum(shares.values()) == pytest.approx(1)
    assert estimate["identity"].value == "D10"
    assert estimate.tables["ranking"]["defect"].iloc[0] == "D10"


def test_a_line_alone_names_nobody(library_file):
    estimate = emitters.identify(library=str(library_file), zpl=2.1)
    assert estimate.flagged("broad")
    assert estimate["effective_candidates"].value > 5
    nexts = estimate.tables["next_measurement"]
    assert (nexts["candidates_after"] < nexts["candidates_now"]).all()
    assert nexts["candidates_after"].is_monotonic_increasing


def test_evidence_far_from_every_row_is_none_of_these(library_file):
    estimate = emitters.identify(library=str(library_file), zpl=6.0, zpl_theory=0.1)
    assert estimate["none_of_these"].value > 0.5
    assert estimate.flagged("none-of-these")


def test_a_row_without_a_factor_is_neither_favoured_nor_excluded(rows):
    library = make_library(rows)
    measured, errors = np.full(len(AXES), np.nan), np.full(len(AXES), 0.2)
    measured[1] = np.log(2.0)
    shares, _ = posterior(library, measured, errors, 0.1)
    known = rows["huang_rhys"].notna().to_numpy()
    assert shares[~known].std() == pytest.approx(0, abs=1e-12)
    # marginalised: together they keep their share of the prior, within the spread of one evidence
    assert 0.2 < shares[~known].sum() < 0.8


def test_probabilities_are_calibrated_when_half_of_the_defects_are_removed(rows):
    rng = np.random.default_rng(1)
    library = make_library(rows)
    errors = np.array([0.1, 0.15, 0.5, 0.1, 10.0])
    stated, true = [], []
    for _ in range(600):
        k = int(rng.integers(len(rows)))
        measured = np.where(
            np.arange(5) < 4, library.values[k] + errors * rng.standard_normal(5), np.nan
        )
        gone = rng.random() < 0.5
        keep = (rows["defect"] != rows["defect"][k]).to_numpy() if gone else None
        _, none = posterior(library, measured, errors, 0.5, keep)
        stated.append(none)
        true.append(gone)
    stated, true = np.array(stated), np.array(true)
    # 600 cases: the mean is known to 2 %, the goal is 5 %
    assert abs(stated.mean() - true.mean()) < 0.05
    sure = stated > 0.8
    assert abs(stated[sure].mean() - true[sure].mean()) < 0.05 + 3 * np.sqrt(
        0.1 / max(sure.sum(), 1)
    )


def test_levels_are_joined_by_defect(library_file, tmp_path):
    levels = tmp_path / "levels.csv"
    levels.write_text("defect,transition,level_eV\nD3,0/-1,2.5\nD3,+1/0,0.7\n")
    estimate = emitters.identify(library=str(library_file), zpl=2.1, levels=str(levels))
    table = estimate.tables["ranking"]
    assert "levels" in table
    found = table.loc[table["defect"] == "D3", "levels"]
    assert found.empty or found.iloc[0] == "0/-1 2.50 eV; +1/0 0.70 eV"


def test_no_evidence_is_refused(library_file):
    with pytest.raises(ConfigError, match="nothing is known"):
        emitters.identify(library=str(library_file))


def test_no_library_is_asked_for():
    with pytest.raises(ConfigError, match="library"):
        emitters.identify(zpl=2.1)


def test_a_table_that_is_no_library_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SchemaError, match="defect and zpl"):
        read_library(path)


def test_a_database_of_something_else_is_refused(tmp_path):
    import sqlite3

    path = tmp_path / "t.db"
    link = sqlite3.connect(path)
    link.execute("create table x (a int)")
    link.commit()
    link.close()
    with pytest.raises(ReadError, match="updated_data"):
        read_library(path)
