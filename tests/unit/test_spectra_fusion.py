"""Fusion of several edges: alignment, subsets, calibration, controls, gates, persistence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.schema import measurement
from matterscope.learn.persist import save_model
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.fusion.domain import distances, misfit
from matterscope.spectra.fusion.family import answer_fusion, fuse_blocks, stream_of
from matterscope.spectra.fusion.fusing import coverage_table, load_fusion
from matterscope.spectra.fusion.intensities import noisy_ratios
from matterscope.spectra.fusion.kernels import choose, fit_basis, held_out, posterior
from matterscope.spectra.fusion.scoring import answer_rows, match
from matterscope.spectra.fusion.streams import K_NEAR, block_grid, rise, stream_blocks
from matterscope.spectra.fusion.training import (
    SUBSETS,
    TARGETS,
    FusionModel,
    ablation,
    ablation_table,
    blocks_in,
    fit_fusion,
    gain,
    set_blocks,
)
from matterscope.spectra.learned.models import open_model
from matterscope.spectra.measured.quality import Examined
from matterscope.spectra.sets.assembly import K_GRIDS, STREAMS, SpectralSet, k_grid, l23_grid
from matterscope.spectra.settings import InferSettings
from matterscope.spectra.simulators.broadening import gaussian_broaden

COUNT = 72


def toy_set(seed: int = 0, count: int = COUNT) -> SpectralSet:
    """Return spectra whose peaks move with lithium (K) and with charge (L), plus clutter of their own."""
    rng = np.random.default_rng(seed)
    rows, mu = [], {s: [] for s in STREAMS}
    for index in range(count):
        lithium, nickel = rng.uniform(), rng.uniform(0.2, 0.7)
        manganese = rng.uniform(0.1, 0.9 - nickel)
        vacancy, antisite = rng.integers(2), rng.integers(2)
        charge = 4 - 1.6 * lithium + 0.1 * rng.normal()
        rows.append(
            {
                "lithium_content": lithium, "nickel_content": nickel, "manganese_content": manganese,
                "cobalt_content": 1 - nickel - manganese, "nickel_oxidation_state": charge,
                "bond_length": 2.1 - 0.06 * charge, "oxygen_vacancy": vacancy, "antisite": antisite,
                "volume": 33 + rng.normal(), "parent": f"p{index // 3}", "family": f"f{index // 6}", "index": index,
            }
        )  # fmt: skip
        for stream in STREAMS:
            if stream in K_GRIDS:
                energy = k_grid(stream)
                edge = energy[0] + 13 + rng.normal(0, 0.5)
                step = 0.5 + np.arctan((energy - edge) / 1.2) / np.pi
                peak = (1.2 + 0.3 * vacancy) * np.exp(
                    -(((energy - edge - 5 - 2 * lithium) / 3) ** 2)
                )
                wave = 0.2 * np.sin((energy - edge) / (2.5 + rng.normal(0, 0.05))) * (energy > edge)
                mu[stream].append(step + peak + wave)
            else:
                energy = l23_grid(stream[:2])
                first = energy[0] + 8
                second = first + (12 if stream[:2] == "Mn" else 16)
                lines = [
                    (first, 1.0),
                    (first + 1.5 + 0.3 * charge, 0.3 + 0.2 * antisite),
                    (second, 0.5),
                ]
                mu[stream].append(sum(h / (1 + ((energy - e) / 0.6) ** 2) for e, h in lines))
    return SpectralSet(
        {s: k_grid(s) if s in K_GRIDS else l23_grid(s[:2]) for s in STREAMS},
        {s: np.array(v) for s, v in mu.items()},
        pd.DataFrame(rows),
        "toy",
        [],
    )  # fmt: skip


@pytest.fixture(scope="module")
def toy() -> SpectralSet:
    return toy_set()


@pytest.fixture(scope="module")
def model(toy: SpectralSet) -> FusionModel:
    return fit_fusion(toy, np.random.default_rng(1))


@pytest.mark.parametrize("shift", [-7.3, 0.0, 4.1])
def test_blocks_do_not_see_shift_gain_or_offset(toy: SpectralSet, shift: float) -> None:
    energy, mu = toy.energy["Ni_K"], toy.mu["Ni_K"][0]
    plain, moved = (
        stream_blocks("Ni_K", energy, mu),
        stream_blocks("Ni_K", energy + shift, 3.5 * mu + 0.7),
    )
    assert set(plain) == set(moved)
    for block, values in plain.items():
        assert np.allclose(values, moved[block], atol=1e-9)


def test_a_short_spectrum_loses_its_far_block_only(toy: SpectralSet) -> None:
    energy, mu = toy.energy["Ni_K"], toy.mu["Ni_K"][0]
    edge = rise(energy, mu)
    cut = energy < edge + 22
    assert set(stream_blocks("Ni_K", energy[cut], mu[cut])) == {"Ni_K"}
    assert stream_blocks("Ni_K", energy[energy < edge + 10], mu[energy < edge + 10]) == {}


def test_near_block_has_unit_mean(toy: SpectralSet) -> None:
    found = stream_blocks("O_K", toy.energy["O_K"], toy.mu["O_K"][3])["O_K"]
    assert found.mean() == pytest.approx(1.0)
    assert len(found) == len(K_NEAR) == len(block_grid("O_K"))


def test_posterior_returns_to_the_mean_far_from_the_training_set() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = (x[:, :1] ** 2 - x[:, 1:]) + 0.01 * rng.normal(size=(60, 1))
    choices = choose([x], y)
    near, narrow = posterior([x], y, [x[:5]], choices)
    _, wide = posterior([x], y, [x[:5] + 40.0], choices)
    assert np.abs(near - y[:5]).max() < 0.3
    assert (wide > narrow).all()


def test_every_subset_of_streams_answers(model: FusionModel, toy: SpectralSet) -> None:
    clean, _ = set_blocks(toy)
    column = TARGETS.index("lithium_content")
    widths = {}
    for name in ("Ni_K", "all K", "all"):
        blocks = {b: clean[b][5] for b in blocks_in(SUBSETS[name])}
        fused = fuse_blocks(model, blocks)
        assert np.isfinite(fused.mean).all()
        assert ((fused.probability > 0) & (fused.probability < 1)).all()
        widths[name] = fused.width[column]
    assert widths["all"] > 0


def test_fusion_finds_lithium_and_shuffled_labels_do_not(toy: SpectralSet) -> None:
    groups = toy.labels["parent"].to_numpy()
    pair = {s: SUBSETS[s] for s in ("O_K", "Ni_L23", "all")}
    found, truth = ablation(toy, groups, folds=5, subsets=pair)
    mixed, wrong = ablation(
        toy, groups, folds=5, subsets={"all": STREAMS}, shuffled=np.random.default_rng(2)
    )
    table = ablation_table(found, truth).set_index("streams")
    assert table.loc["all", "lithium_content_r2"] > 0.8
    assert ablation_table(mixed, wrong).loc[0, "lithium_content_r2"] < 0.25
    worth = gain(found, truth, groups, np.random.default_rng(0), draws=200)
    assert worth["low"] <= worth["ratio"] <= worth["high"]


def test_no_group_stands_on_both_sides(toy: SpectralSet) -> None:
    groups = toy.labels["parent"].to_numpy()
    for train, test in grouped_folds(groups, 5):
        assert not set(groups[train]) & set(groups[test])


def test_held_out_predictions_do_not_use_the_held_out_label() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    folds = grouped_folds(np.arange(40) // 2, 4)
    first, _ = held_out([x], y, folds)
    _, test = folds[0]
    changed = y.copy()
    changed[test] += 100.0
    again, _ = held_out([x], changed, [folds[0]])
    assert np.allclose(again[test], first[test])


def test_coverage_on_parents_left_out_is_near_its_level(toy: SpectralSet) -> None:
    table = coverage_table(toy, toy.labels["parent"].to_numpy(), np.random.default_rng(6))
    chosen = table[(table["level"] == 0.9) & (table["instrument"] == "as simulated")]
    ninety = chosen.set_index("target").loc["lithium_content", "coverage"]
    # binomial error of 72 draws at 0.9 is 0.035; three of them
    assert abs(ninety - 0.9) < 0.106


def test_bases_hold_what_they_were_made_of(toy: SpectralSet) -> None:
    clean, _ = set_blocks(toy)
    basis = fit_basis(clean["Ni_K"])
    assert np.allclose(basis.axes @ basis.axes.T, np.eye(len(basis.axes)), atol=1e-9)
    assert basis.residual(clean["Ni_K"] + 5 * np.sin(np.arange(len(K_NEAR))))[0] > 10


def stored(model: FusionModel, folder: Path) -> Path:
    card = {
        "name": "toy", "edges": ["Ni:K", "O:K", "Ni:L3"], "population": "toy", "training_data": {"sha256": "0"},
    }  # fmt: skip
    path = folder / "toy.model.npz"
    save_model(path, "fusion", card, model.pack())
    return path


def test_a_model_reads_back_and_answers_the_same(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    _, again = load_fusion(stored(model, tmp_path))
    clean, _ = set_blocks(toy)
    blocks = {b: clean[b][7] for b in blocks_in(("Ni_K", "Ni_L23"))}
    # single precision on disk
    assert np.allclose(fuse_blocks(model, blocks).mean, fuse_blocks(again, blocks).mean, atol=2e-3)


def examined(
    toy: SpectralSet, stream: str, index: int, shape: np.ndarray | None = None
) -> Examined:
    element, edge = stream.split("_")
    mu = toy.mu[stream][index] if shape is None else shape
    data = measurement(
        "spectrum", {"energy": (toy.energy[stream], "eV")}, {"mu": (("energy",), mu, "1")}
    )
    return Examined(
        "toy", data, toy.energy[stream], mu, element=element, edge={"L23": "L3"}.get(edge, edge)
    )


def answer(model: FusionModel, folder: Path, parts: list[Examined]) -> Estimate:
    opened = open_model(stored(model, folder))
    given = [(Estimate("spectra infer", InputRef("toy")), seen) for seen in parts]
    return answer_fusion(opened, given, InferSettings(), Call())[0]


def test_a_sample_of_two_edges_is_answered_with_intervals(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    found = answer(model, tmp_path, [examined(toy, "Ni_K", 4), examined(toy, "Ni_L23", 4)])
    lithium = found["lithium_content"]
    assert (
        lithium.interval(0.9).low <= toy.labels["lithium_content"][4] <= lithium.interval(0.9).high
    )
    assert set(found["oxygen_vacancy"].probabilities) == {"0", "1"}
    assert found.diagnostics["streams"] == ["Ni_K", "Ni_L23"]
    assert found.pictures


def test_a_spectrum_unlike_all_is_refused_with_a_reason(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    energy = toy.energy["Ni_K"]
    odd = 0.5 + np.arctan((energy - 8340) / 0.3) / np.pi + 3 * np.exp(-(((energy - 8355) / 1) ** 2))
    found = answer(model, tmp_path, [examined(toy, "Ni_K", 0, odd)])
    assert found["lithium_content"].value is None
    assert found.flagged("outside_training")


def test_an_edge_the_model_does_not_know_is_flagged(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    stranger = examined(toy, "Ni_K", 0)
    stranger.element = "Zn"
    found = answer(model, tmp_path, [stranger])
    assert found.flagged("edge_not_in_model")
    assert not found.answered


def test_l3_and_l2_belong_to_one_stream(toy: SpectralSet) -> None:
    assert stream_of(examined(toy, "Co_L23", 0)) == "Co_L23"


def test_training_rows_lie_inside_their_own_limits(model: FusionModel, toy: SpectralSet) -> None:
    clean, _ = set_blocks(toy)
    inside = [max(distances(model, "O_K", row)) <= 1.0 for row in clean["O_K"]]
    assert np.mean(inside) > 0.95


def test_ratios_of_metals_settle_what_shapes_leave_open(
    model: FusionModel, toy: SpectralSet
) -> None:
    clean, _ = set_blocks(toy)
    rng, columns = np.random.default_rng(4), [TARGETS.index(f"{m}_content") for m in ("nickel", "manganese", "cobalt")]  # fmt: skip
    inside = 0
    for row in range(0, 72, 6):
        truth = toy.labels.loc[row, ["nickel_content", "manganese_content", "cobalt_content"]]
        blocks = {b: clean[b][row] for b in blocks_in(("Ni_K", "Mn_K"))}
        ratios = noisy_ratios(truth.to_numpy(dtype=float), 0.1, rng)
        plain, helped = fuse_blocks(model, blocks), fuse_blocks(model, blocks, ratios)
        assert (helped.width[columns] < 0.6 * plain.width[columns]).all()
        assert helped.mean[columns].sum() == pytest.approx(1.0, abs=0.01)
        miss = np.abs(helped.mean[columns] - truth.to_numpy(dtype=float))
        inside += int((miss < 2.6 * helped.width[columns]).sum())
    assert inside >= 34  # of 36; 2.6 standard deviations hold 99 %


def test_a_misfit_is_placed_and_told_from_a_wide_instrument(
    model: FusionModel, toy: SpectralSet
) -> None:
    energy, mu = toy.energy["Ni_K"], toy.mu["Ni_K"][4]
    foot = mu + 0.5 * np.exp(-(((energy - rise(energy, mu) + 5.0) / 1.5) ** 2))
    found = misfit(model, "Ni_K", stream_blocks("Ni_K", energy, foot)["Ni_K"])
    assert found.low < -5 < found.high
    assert found.excess > 0.2
    assert found.left > 0.5
    wide = stream_blocks("Ni_K", energy, gaussian_broaden(energy, mu, 2.5))["Ni_K"]
    explained = misfit(model, "Ni_K", wide)
    assert explained.left < 0.5
    assert explained.width == pytest.approx(2.5, abs=0.75)


def test_an_instrument_as_wide_as_the_training_saw_is_answered(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    wide = gaussian_broaden(toy.energy["Ni_K"], toy.mu["Ni_K"][4], 1.3)
    found = answer(model, tmp_path, [examined(toy, "Ni_K", 4, wide)])
    band = found["lithium_content"].interval(0.9)
    assert band.low <= toy.labels["lithium_content"][4] <= band.high


def test_labels_that_the_edges_leave_open_are_named(
    model: FusionModel, toy: SpectralSet, tmp_path: Path
) -> None:
    found = answer(model, tmp_path, [examined(toy, "Ni_K", 4)])
    (note,) = [f for f in found.flags if f.code == "simulation_cannot_fix"]
    # the toy's K edges move with lithium and know nothing of the metals
    assert "cobalt content" in note.message
    assert "lithium content" not in note.message


def test_structures_of_the_training_set_are_known_again_and_answered_as_left_out(
    toy: SpectralSet, model: FusionModel
) -> None:
    both = match(model, toy)
    assert (both.row == np.arange(COUNT)).all()
    fresh = match(model, toy_set(seed=5, count=12))
    assert (fresh.row == -1).all()
    own, new = (answer_rows(model, asked, STREAMS) for asked in (both, fresh))
    column = TARGETS.index("lithium_content")
    ready = model.prepared[tuple(sorted(blocks_in(STREAMS)))]
    np.testing.assert_array_equal(own.mean[:, column], ready.mean[:COUNT, column])
    # lithium moves every K edge of the toy: its spread is 0.29
    assert np.abs(new.mean - fresh.targets)[:, column].mean() < 0.1
    # nine in ten of the training rows by construction
    inside = np.abs(own.mean - both.targets)[:, column] <= own.half[:, column]
    assert inside.mean() > 0.8
