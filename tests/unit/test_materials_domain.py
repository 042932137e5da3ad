"""What an alloy model says of compounds far from its table: flags, and values withheld."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matterscope.core.calls import Call
from matterscope.core.verbs import as_input
from matterscope.materials.alloys.prediction import predict_compounds
from matterscope.materials.alloys.training import train_alloys
from matterscope.materials.settings import PredictSettings, TrainSettings
from support.alloys import table, write


def test_a_property_without_skill_for_new_families_is_withheld_for_them_alone(
    tmp_path: Path,
) -> None:
    frame = table(0.8, steps=8)
    # the step of MA–I does not follow from A and X apart: whoever leaves a family out guesses worse than a mean
    step = np.where(frame["formula"].str.match(r"MA.*I3"), -1.0, 1.0)
    frame["noise"] = step + 0.05 * np.random.default_rng(0).normal(size=len(frame))
    # the Cs–Br family is missing: it is asked for below
    frame = frame[~frame["formula"].str.match(r"Cs.*Br3")]
    settings = TrainSettings(leave_out="A,X", targets=("noise",))
    (answer,) = train_alloys([as_input(write(tmp_path, frame))], settings, Call(artifacts=tmp_path))
    assert not answer.tables["scores"]["better_than_mean"].iloc[0]
    assert any(f.code == "outside-the-table" for f in answer.flags)
    assert any(f.code == "no-skill-noise" for f in answer.flags)
    asked = {"formula": ("CsSnBr3", "CsSn0.5Pb0.5I3"), "model": str(tmp_path / "alloys.npz")}
    new, inside = predict_compounds([], PredictSettings(**asked), Call())  # type: ignore[arg-type]
    assert new["noise"].value is None
    assert inside["noise"].value is not None
    forced, _ = predict_compounds([], PredictSettings(**asked, force=True), Call())  # type: ignore[arg-type]
    assert forced["noise"].value is not None
