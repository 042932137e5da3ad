"""Tables of alloys at two levels of theory: side by side, learnt together, or left apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matterscope.core.calls import Call
from matterscope.core.errors import SchemaError
from matterscope.core.estimates import Estimate
from matterscope.core.verbs import as_input
from matterscope.materials.alloys.compositions import SITES, formulas
from matterscope.materials.alloys.persistence import load_model
from matterscope.materials.alloys.spaces import make_space
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.alloys.training import train_alloys
from matterscope.materials.settings import TrainSettings
from support.alloys import SPECIES, law, write

DEAR_ROWS = 16


def two_levels(*, shuffled: bool = False) -> pd.DataFrame:
    """Return one row for each compound and functional; HSE for a few only."""
    space = make_space(SPECIES, {"A": 1, "B": 8, "X": 2})
    counts = space.unrank(np.arange(space.size))
    a, b, x = (counts[s] / space.steps[s] for s in SITES)
    rng = np.random.default_rng(5)
    cheap = law(a, b, x, 0.8) + 0.4 * np.sin(9 * b[:, 0]) * a[:, 0]
    dear = cheap + 0.6 + 0.2 * x[:, 0]
    low = rng.permutation(cheap) if shuffled else cheap
    named = formulas(counts, space.species, space.steps)
    some = np.sort(rng.permutation(space.size)[:DEAR_ROWS])
    rows = [(named[i], "PBE", low[i]) for i in range(space.size)]
    rows += [(named[i], "HSE06", dear[i]) for i in some]
    return pd.DataFrame(rows, columns=["formula", "functional", "gap (eV)"])


def trained(folder: Path, frame: pd.DataFrame) -> Estimate:
    settings = TrainSettings(fidelity="PBE,HSE")
    (answer,) = train_alloys([as_input(write(folder, frame))], settings, Call(artifacts=folder))
    return answer


def test_two_fidelities_stand_side_by_side(tmp_path: Path) -> None:
    table = read_alloys([as_input(write(tmp_path, two_levels()))], fidelity="pbe,hse")
    assert len(table) == 54
    known = {name: int(np.isfinite(v).sum()) for name, v in table.targets.items()}
    assert known == {"band_gap_pbe": 54, "band_gap_hse": DEAR_ROWS}


def test_several_fidelities_and_none_named_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, two_levels())
    with pytest.raises(SchemaError, match="functional"):
        train_alloys([as_input(path)], TrainSettings(), Call(artifacts=tmp_path))


def test_cheap_rows_make_the_dear_property_better_and_the_choice_is_reported(
    tmp_path: Path,
) -> None:
    answer = trained(tmp_path, two_levels())
    (row,) = answer.tables["fidelities"].to_dict("records")
    assert row["cheap"] == "band_gap_pbe"
    assert row["chosen"] in {"delta", "co-kriging"}
    assert row["rmse_delta"] < 0.5 * row["rmse_alone"]
    stored = load_model(tmp_path / "alloys.npz")
    dear = np.isfinite(stored.targets["band_gap_hse"])
    cheap_only = tuple(f[~dear] for f in stored.fractions)
    value, _ = stored.predict_target("band_gap_hse", cheap_only)
    truth = stored.targets["band_gap_pbe"][~dear] + 0.6 + 0.2 * cheap_only[2][:, 0]
    assert np.sqrt(np.mean((value - truth) ** 2)) < 0.5 * row["rmse_alone"]


def test_shuffled_cheap_rows_are_left_alone_and_it_is_said(tmp_path: Path) -> None:
    answer = trained(tmp_path, two_levels(shuffled=True))
    (row,) = answer.tables["fidelities"].to_dict("records")
    assert row["chosen"] == "alone"
    assert any(f.code == "cheap-does-not-help-band_gap_hse" for f in answer.flags)
