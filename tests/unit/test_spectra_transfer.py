"""From theory to experiment: the table of standards, its scores, and when it overrules the distortions."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.errors import ReadError
from matterscope.spectra.learned.transfer import (
    Standard,
    read_standards,
    score_standards,
    weigh,
)

TABLE = 8979.0
MATERIALS = 60


def spectrum(cn: int, bond: float, energy: np.ndarray) -> np.ndarray:
    """An edge whose white line grows with the coordination and moves with 1/d² (Natoli)."""
    edge = TABLE + 10.0
    line = (0.15 * cn) * np.exp(-(((energy - edge - 6.0) / 4.0) ** 2))
    place = edge + 25.0 * (1.95 / bond) ** 2
    return 0.5 + np.arctan((energy - edge) / 1.0) / np.pi + line + 0.3 * np.exp(-(((energy - place) / 5.0) ** 2))  # fmt: skip


def make_set(folder: Path, seed: int) -> Path:
    """Write a training set of isolated Cu–O clusters: 2 to 6 oxygens along the axes."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    axes = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    energy = TABLE + np.arange(0.0, 150.0, 0.75)
    rows, names = [], []
    with gzip.open(folder / "structures.extxyz.gz", "wt") as stream:
        for k in range(MATERIALS):
            cn, bond = 2 + k % 5, float(rng.uniform(1.85, 2.05))
            names.append(f"m{k}")
            rows.append(spectrum(cn, bond, energy) + 0.003 * rng.standard_normal(energy.size))
            stream.write(f'{cn + 1}\nLattice="15 0 0 0 15 0 0 0 15" material=m{k}\nCu 7 7 7\n')
            for axis in axes[:cn]:
                stream.write("O " + " ".join(f"{x:.5f}" for x in 7 + bond * axis) + "\n")
    np.savez(
        folder / "spectra.npz", material=np.array(names), site=np.zeros(MATERIALS, np.int32),
        energy_ev=np.tile(energy, (MATERIALS, 1)), mu=np.array(rows),
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sets") / "known", 0)


def standards_table(folder: Path) -> Path:
    """Write measured spectra of six samples, one scan that ends too early, and their table."""
    lines = ["file,sample,coordination_number,bond_length,oxidation_state"]
    energy = np.arange(TABLE - 120, TABLE + 160, 0.5)
    rng = np.random.default_rng(3)
    for k in range(6):
        cn, bond = 2 + k % 5, 1.87 + 0.03 * k
        mu = spectrum(cn, bond, energy) + 0.002 * rng.standard_normal(energy.size)
        np.savetxt(folder / f"s{k}.csv", np.column_stack([energy, mu]), delimiter=",", header="energy,mu", comments="")  # fmt: skip
        lines.append(f"s{k}.csv,sample {k},{cn},{bond},")
    short = energy < TABLE + 38
    np.savetxt(folder / "short.csv", np.column_stack([energy, mu])[short], delimiter=",", header="energy,mu", comments="")  # fmt: skip
    lines.append("short.csv,sample 9,4,1.95,2")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def test_measured_spectra_stand_beside_the_distortions(known: Path, tmp_path: Path) -> None:
    answer = spectra.compare_features(
        known, features=("raw", "scalars"), models=("kernel",), distortions=("clean", "slope +5 %"),
        folds=3, unaligned=False, experiment=str(standards_table(tmp_path)),
    )  # fmt: skip
    card = answer.tables["stress_card"]
    assert set(card["distortion"]) == {"clean", "slope +5 %", "measured"}
    table = answer.tables["transfer"].set_index("description")
    assert table.loc["aligned raw, kernel", "samples"] == 6
    # the mean predictor errs by 0.045 Å on bonds spread over 0.15 Å
    assert table["bond_mae"].min() < 0.6 * table.loc["mean of the training set", "bond_mae"]
    assert np.isnan(table.loc["aligned raw, kernel", "oxidation_mae"])
    assert answer.flagged("experiment_left_out")
    assert list(answer.tables["experiment_left_out"]["spectrum"]) == ["short.csv"]
    assert answer["recommended"].value in set(card["description"])
    assert "measured samples" in answer.diagnostics["reason"]
    assert {p.name for p in answer.pictures} >= {"transfer", "card_bond_mae"}


def test_without_measured_spectra_the_distortions_decide(known: Path) -> None:
    answer = spectra.compare_features(
        known, features=("raw",), models=("forest",), distortions=("clean",), folds=3
    )
    assert set(answer.tables["stress_card"]["distortion"]) == {"clean"}
    assert {"aligned raw, forest", "fixed-axis raw, forest"} < set(answer.tables["stress_card"]["description"])  # fmt: skip
    assert "transfer" not in answer.tables


@pytest.mark.parametrize("text", ["", "file\na.csv\n", "name,bond_length\na.csv,1.9\n"])
def test_a_table_that_is_none_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match="not understood"):
        read_standards(path, "narrow")
    with pytest.raises(ReadError, match="no such table"):
        read_standards(tmp_path / "none.csv", "narrow")


def test_a_label_that_is_no_number_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file,bond_length\na.csv,long\n")
    with pytest.raises(ReadError, match="line 2"):
        read_standards(path, "narrow")


def _standards(count: int) -> list[Standard]:
    nothing = np.zeros(3)
    truth = {"coordination_number": 4.0, "bond_length": 1.95, "oxidation_state": float("nan")}
    return [Standard(f"s{k}", f"s{k // 2}", nothing, nothing, truth) for k in range(count)]


def test_repeats_of_a_sample_are_one_piece_of_evidence() -> None:
    own = _standards(6)
    found = np.tile([4.0, 1.95, 2.0], (6, 1))
    found[:2, :2] = [5.0, 2.05]
    _, table = score_standards(own, {"a": found}, {"coordination_number": 4.0, "bond_length": 2.0, "oxidation_state": 2.0})  # fmt: skip
    row = table.set_index("description").loc["a"]
    assert row["samples"] == 3
    assert row["coordination_right"] == pytest.approx(2 / 3)
    assert row["bond_mae"] == pytest.approx(0.1 / 3)


def test_few_samples_do_not_overrule_and_clear_evidence_does() -> None:
    rng = np.random.default_rng(0)

    def answers(count: int) -> dict[str, np.ndarray]:
        bad, good = (np.tile([4.0, 1.95 + miss, 2.0], (count, 1)) for miss in (0.1, 0.01))
        return {"bad": bad, "good": good}

    name, why = weigh("bad", _standards(6), answers(6), rng)
    assert name == "bad"
    assert "too few" in why
    name, why = weigh("bad", _standards(20), answers(20), rng)
    assert name == "good"
    assert "bootstrap" in why
    assert weigh("good", _standards(20), answers(20), rng)[0] == "good"


def test_a_trained_model_is_evaluated_on_another_set(known: Path, tmp_path: Path) -> None:
    made = spectra.train(
        known, name="small", windows=("narrow",), folds=3, members=1, epochs=5, stress=False,
        anchor=-4.0, artifacts=tmp_path,
    )  # fmt: skip
    assert made.diagnostics["artifacts"][0]["path"] == "small.model.npz"
    path = str(tmp_path / "small.model.npz")
    fresh = make_set(tmp_path / "fresh", 1)
    answer = spectra.evaluate(fresh, model=path, window="narrow", stress=False)
    table = answer.tables["scores"].set_index("evaluated on")
    assert table.loc["clean", "bond_mae"] < 0.6 * table.loc["mean predictor", "bond_mae"]
    # no skill against shuffled labels: the errors are those of two independent draws
    assert table.loc["shuffled labels", "bond_mae"] > table.loc["mean predictor", "bond_mae"]
    assert answer["bond_mae"].interval(0.9).low < answer["bond_mae"].value
    assert not answer.flagged("trained_on_this")
    assert spectra.evaluate(known, model=path, stress=False).flagged("trained_on_this")
    card = spectra.card(path)
    assert card["bond_mae"].value == made["bond_mae"].value
    assert not card.tables["limits"].empty


def test_further_folders_teach_the_gate_but_not_what_is_tested(known: Path, tmp_path: Path) -> None:
    from matterscope.core.calls import Call
    from matterscope.spectra.learned.training import read_others

    others = read_others((str(known),), "narrow", Call(seed=0))
    assert others is not None
    kept = others.without(np.array(["m0", "m1"]))
    assert len(kept.shapes) == MATERIALS - 2 == kept.views.shape[1]
    assert read_others((), "narrow", Call(seed=0)) is None


def test_the_cards_of_the_shipped_models() -> None:
    cards = {c.provenance["model"]: c for c in spectra.card()}
    assert set(cards) == {"cu-k-xanes", "nmc-core-loss"}
    for card in cards.values():
        assert card.pictures
        assert not card.tables["limits"].empty
    assert spectra.card(name="cu-k-xanes")["coordination_f1"].interval(0.9).low > 0.5
