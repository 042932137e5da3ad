"""The shipped model on spectra that the project simulated: answers, invariances, refusals."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import matterscope.spectra as spectra
from matterscope.core.errors import ModelError
from matterscope.io import read
from matterscope.spectra.learned.models import choose, open_model, shipped_models

DEMO = Path(str(files("matterscope.spectra").joinpath("shipped", "demo_cu_k.h5")))


@pytest.fixture(scope="module")
def demo() -> list[xr.Dataset]:
    return read(DEMO, kind="spectrum")


def moved(data: xr.Dataset, shift: float) -> xr.Dataset:
    result = data.assign_coords(energy=data.energy + shift)
    result.energy.attrs["units"] = "eV"
    return result


def test_the_shipped_model_is_small_and_holds_plain_numbers_only() -> None:
    path = next(p for p in shipped_models() if p.name == "cu-k-xanes.model.npz")
    assert path.stat().st_size < 5_000_000
    with np.load(path, allow_pickle=False) as stored:
        assert all(not stored[name].dtype.hasobject for name in stored.files)


def test_the_card_names_data_licence_population_scores_and_limits() -> None:
    card = choose("Cu", "K").card
    assert card["training_data"]["licence"] == "BSD-3-Clause"
    assert len(card["training_data"]["sha256"]) == 64
    assert card["edges"] == ["Cu:K"]
    for window in ("wide", "narrow"):
        scores = card["scores"][window]
        assert scores["clean"]["bond_mae"] < 0.5 * scores["baseline"]["bond_mae"]
        assert 0.87 <= scores["coverage"]["clean"]["all"] <= 0.93
    assert card["limits"]


def test_the_coordination_of_known_oxides_is_found(demo: list[xr.Dataset]) -> None:
    answers = [spectra.infer(d, seed=1) for d in demo]
    right = [
        a["coordination_number"].value == d.attrs["truth"]["coordination_number"]
        for a, d in zip(answers, demo, strict=True)
    ]
    # six structures; guessing the commonest class gives three
    assert sum(right) >= 5
    for answer in answers:
        assert sum(answer["coordination_number"].probabilities.values()) == pytest.approx(1.0)
        band = answer["bond_length"].interval(0.9)
        assert band.low < answer["bond_length"].value < band.high


def test_a_shift_of_the_axis_changes_no_answer(demo: list[xr.Dataset]) -> None:
    plain = spectra.infer(demo[2], seed=1)
    for shift in (-3.0, 1.7, 3.0):
        other = spectra.infer(moved(demo[2], shift), seed=1)
        # the same random draws on the same shape: single precision is all that differs
        assert other["bond_length"].value == pytest.approx(plain["bond_length"].value, abs=1e-4)


def test_the_same_seed_gives_the_same_answer(demo: list[xr.Dataset]) -> None:
    a, b = (spectra.infer(demo[0], seed=4)["bond_length"] for _ in range(2))
    assert (a.value, a.interval(0.9)) == (b.value, b.interval(0.9))


def test_a_shorter_spectrum_gets_the_narrow_model_and_a_wider_interval(
    demo: list[xr.Dataset],
) -> None:
    whole = spectra.infer(demo[2], seed=1)
    short = spectra.infer(demo[2].sel(energy=slice(None, 9060)), seed=1)
    assert short.diagnostics["window"] == "narrow"
    assert short.flagged("narrow_window")

    def width(estimate: object) -> float:
        band = estimate["bond_length"].interval(0.9)  # type: ignore[index]
        return band.high - band.low

    assert width(short) > width(whole)


def test_a_spectrum_that_is_too_short_is_refused_with_the_reason(demo: list[xr.Dataset]) -> None:
    answer = spectra.infer(demo[2].sel(energy=slice(None, 9018)), seed=1)
    assert answer["bond_length"].value is None
    assert "eV" in answer["bond_length"].reason
    assert answer.flagged("window_too_short")


def test_an_edge_without_a_model_is_named_and_says_how_to_train(demo: list[xr.Dataset]) -> None:
    data = moved(demo[2], 7112.0 - 8979.0)
    data.attrs["element"] = "Fe"
    answer = spectra.infer(data)
    assert answer["bond_length"].value is None
    (flag,) = [f for f in answer.flags if f.code == "no_model"]
    assert "spectra train" in flag.remedy


def test_another_edge_than_the_chosen_model_is_refused(demo: list[xr.Dataset]) -> None:
    data = moved(demo[2], 7112.0 - 8979.0)
    data.attrs["element"] = "Fe"
    assert spectra.infer(data, model="cu-k-xanes").flagged("wrong_edge")


def test_noise_and_a_flat_line_are_refused_and_not_answered(demo: list[xr.Dataset]) -> None:
    flat = demo[2].copy()
    flat["mu"] = flat["mu"] * 0 + 1.0
    flat["mu"].attrs["units"] = "1"
    assert spectra.infer(flat)["coordination_number"].value is None


def test_a_missing_or_foreign_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        open_model(tmp_path / "none.npz")


def test_explaining_an_answer_ranks_the_windows(demo: list[xr.Dataset]) -> None:
    answer = spectra.explain(demo[2], seed=1)
    table = answer.tables["windows"]
    assert (table["importance"].diff().dropna() <= 0).all()
    assert (table["high"] > table["low"]).all()
    assert answer.pictures
