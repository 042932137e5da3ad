"""Experts on a planted task: they answer, survive storage, and their intervals cover every coordination."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.learn.ensembles import Ensemble
from matterscope.learn.networks import Recipe, train_network
from matterscope.spectra.learned.aligned import Calibration
from matterscope.spectra.learned.experts import Experts, Taught, levelled, train_machines
from matterscope.spectra.learned.held_out import Held, calibrate, predict_held, refusals
from matterscope.spectra.learned.training import HEADS
from matterscope.spectra.measured.alignment import WINDOWS

COUNT = 240
GRID = np.linspace(-5.0, 38.0, 8)


@pytest.fixture(scope="module")
def task():
    """Five classes on a line, bonds that grow along it, one site in ten without an oxygen shell."""
    rng = np.random.default_rng(0)
    cn = rng.integers(0, 5, COUNT)
    shapes = cn[:, None] + rng.normal(0, 0.25, (COUNT, 8))
    bond = 1.85 + 0.05 * shapes.mean(axis=1)
    other = np.arange(COUNT) % 10 == 0
    shapes[other] += 6.0
    targets = {
        "coordination": np.where(other, -1, cn),
        "bond": np.where(other, np.nan, bond),
        "valence": np.where(other | (np.arange(COUNT) % 7 == 0), -1, cn // 2),
        "shell": (~other).astype(int),
        "shares": np.eye(5)[cn] * ~other[:, None],
    }
    near = {h.name: np.full(COUNT, np.nan) for h in HEADS if h.name.startswith("distance")}
    near = {name: np.where(other, np.nan, bond + 0.1 * k) for k, name in enumerate(near)}
    targets["edge"] = 10.0 + shapes.mean(axis=1)
    return shapes, targets | near


@pytest.fixture(scope="module")
def experts(task):
    shapes, targets = task
    rows = np.arange(0, COUNT, 2)
    rng = np.random.default_rng(1)
    chosen = {h.name: targets[h.name][rows] for h in HEADS}
    recipe = Recipe(hidden=(16,), epochs=30, batch=16)
    network = train_network(shapes[rows], chosen, HEADS, recipe, rng)
    views = shapes[None].astype(np.float32) + 0.01
    machines = train_machines(shapes, views, targets, rows, rng, GRID)
    return Experts(Ensemble((network,)), GRID, **machines)


def test_machine_and_networks_answer_left_out_sites(task, experts) -> None:
    shapes, targets = task
    asked = np.arange(1, COUNT, 2)
    asked = asked[targets["shell"][asked] == 1]
    held = predict_held(experts, shapes[asked])
    assert np.mean(held.coordination.argmax(axis=1) == targets["coordination"][asked]) > 0.9
    # the bonds spread by 0.07 Å
    assert np.mean(np.abs(held.bond - targets["bond"][asked])) < 0.02
    np.testing.assert_allclose(held.coordination.sum(axis=1), 1.0, atol=1e-6)


def test_stored_experts_answer_the_same(task, experts) -> None:
    arrays, meta = experts.pack()
    again = Experts.unpack(arrays, meta, GRID).predict(task[0])
    for name, (value, _) in experts.predict(task[0]).items():
        # the networks' weights are stored in half precision
        np.testing.assert_allclose(again[name][0], value, atol=0.02)


def test_without_machines_the_networks_answer_alone(task, experts) -> None:
    found = Experts(experts.ensemble, GRID).predict(task[0])
    assert found["coordination"][0].shape == (COUNT, 5)
    assert found["shell"][0].shape == (COUNT, 2)


def test_the_gate_refuses_what_has_no_oxygen_shell(task, experts) -> None:
    shapes, targets = task
    held = predict_held(experts, shapes)
    rows = targets["shell"] == 1
    folds = [(np.arange(0, COUNT, 2), np.arange(1, COUNT, 2)), (np.arange(1, COUNT, 2), np.arange(0, COUNT, 2))]  # fmt: skip
    found = refusals(held, rows, folds)
    assert found["non-oxygen sites"] > 0.9
    # 3.5 % by construction, counted on about 108 sites: three standard errors above
    assert found["oxygen sites"] < 0.035 + 3 * np.sqrt(0.035 / 108)


def test_levelling_undoes_gain_and_slope() -> None:
    grid = WINDOWS["wide"]
    shape = 0.5 + np.arctan(grid / 1.5) / np.pi + 0.2 * np.exp(-(((grid - 8.0) / 4.0) ** 2))
    tilted = 0.9 * shape * (1 + 0.06 * grid / 50.0)
    one, other = levelled(np.array([shape, tilted]), grid)
    assert np.abs(shape - tilted).max() > 0.1
    # the grid of 0.5 eV is what remains
    assert np.abs(one - other).max() < 0.01


def test_a_window_that_reaches_far_gets_a_levelled_machine() -> None:
    rng = np.random.default_rng(2)
    grid, count = WINDOWS["wide"], 60
    shapes = 0.5 + np.arctan(grid / 1.5) / np.pi + 0.05 * rng.standard_normal((count, grid.size))
    targets = {
        "coordination": rng.integers(0, 5, count),
        "bond": rng.normal(1.95, 0.05, count),
        "valence": np.ones(count, dtype=int),
        "shell": np.ones(count, dtype=int),
        "edge": np.zeros(count),
    }
    targets["shares"] = np.eye(5)[targets["coordination"]]
    views = shapes[None].astype(np.float32)
    found = train_machines(shapes, views, targets, np.arange(count), rng, grid)
    assert set(found) == {"machine", "gate", "level"}


def test_further_shells_teach_the_gate_and_nothing_else(task) -> None:
    shapes, targets = task
    rng = np.random.default_rng(4)
    rows = np.flatnonzero(targets["shell"] == 1)
    strange = shapes[rows][:40] - 8.0
    also = Taught(strange, strange[None], np.zeros(40, dtype=int))
    plain = train_machines(shapes, shapes[None], targets, rows, rng, GRID)
    taught = train_machines(shapes, shapes[None], targets, rows, rng, GRID, also)
    asked = shapes[rows][40:80] - 8.0
    assert plain["gate"].predict(asked).mean() > 0.9
    assert taught["gate"].predict(asked).mean() < 0.3
    assert len(taught["machine"].anchors) == len(plain["machine"].anchors)


def _wrong_in_one_class(seed: int, count: int) -> tuple[Held, dict[str, np.ndarray]]:
    """Return answers whose class 3 is named 2 in two of three sites, and is 0.1 Å longer."""
    rng = np.random.default_rng(seed)
    cn = rng.choice([2, 3], count, p=[0.8, 0.2])
    mistaken = (cn == 3) & (rng.random(count) < 0.67)
    share = np.zeros((count, 5))
    share[:, 2] = np.where(cn == 2, 0.9, np.where(mistaken, 0.6, 0.2))
    share[:, 3] = 1 - share[:, 2]
    bond = np.where(cn == 2, 1.95, 2.05) + rng.normal(0, 0.01, count)
    found = share @ np.array([0.0, 0.0, 1.95, 2.05, 0.0]) + rng.normal(0, 0.01, count)
    spread = np.full(count, 0.01)
    edge = rng.normal(13.0, 2.0, count)
    targets = {"coordination": cn, "bond": bond, "valence": np.full(count, 1), "edge": edge}
    states, seen = np.tile([0.1, 0.8, 0.1], (count, 1)), edge + rng.normal(0, 0.5, count)
    held = Held(share, found, spread, states, np.ones(count), seen)
    return held, targets


def test_intervals_cover_a_class_that_is_mistaken_for_another() -> None:
    held, targets = _wrong_in_one_class(0, 3000)
    rows = np.ones(3000, dtype=bool)
    calibration = calibrate(targets, [held], rows)
    fresh, truth = _wrong_in_one_class(1, 3000)
    shares = calibration.temper("coordination", fresh.coordination)
    half = calibration.half_widths(shares, fresh.bond_spread, 0.9)
    inside = np.abs(fresh.bond - truth["bond"]) <= half
    # binomial error of 3000 and of about 600
    assert abs(inside.mean() - 0.9) < 3 * np.sqrt(0.09 / 3000) * np.sqrt(2)
    assert inside[truth["coordination"] == 3].mean() > 0.85 - 3 * np.sqrt(0.09 / 600)


def test_a_stored_calibration_gives_the_same_intervals() -> None:
    held, targets = _wrong_in_one_class(2, 1000)
    first = calibrate(targets, [held], np.ones(1000, dtype=bool))
    again = Calibration.from_json(first.as_json())
    one, other = (c.half_widths(held.coordination, held.bond_spread, 0.9) for c in (first, again))
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_the_edge_tolerance_is_the_held_out_quantile() -> None:
    held, targets = _wrong_in_one_class(3, 2000)
    rows = np.ones(2000, dtype=bool)
    found = calibrate(targets, [held], rows)
    fresh, truth = _wrong_in_one_class(4, 2000)
    false = np.mean(np.abs(fresh.edge - truth["edge"]) > found.edge_tolerance)
    # 2 % by construction, binomial error of two times 2000
    assert abs(false - 0.02) < 3 * np.sqrt(2 * 0.02 / 2000)
    assert Calibration.from_json(found.as_json()).edge_tolerance == found.edge_tolerance


def test_without_a_machine_no_edge_is_called_misplaced() -> None:
    held, targets = _wrong_in_one_class(5, 500)
    held.edge[:] = np.nan
    assert calibrate(targets, [held], np.ones(500, dtype=bool)).edge_tolerance == np.inf
