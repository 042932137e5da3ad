"""Experts on a planted task: they answer, survive storage, and their intervals cover every coordination."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.learn.ensembles import Ensemble
from matterscope.learn.networks import Recipe, train_network
from matterscope.spectra.learned.aligned import Calibration
from matterscope.spectra.learned.experts import Experts, train_machines
from matterscope.spectra.learned.held_out import Held, calibrate, predict_held, refusals
from matterscope.spectra.learned.training import HEADS

COUNT = 240


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
    }
    near = {h.name: np.full(COUNT, np.nan) for h in HEADS if h.name.startswith("distance")}
    near = {name: np.where(other, np.nan, bond + 0.1 * k) for k, name in enumerate(near)}
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
    machine, gate = train_machines(shapes, views, targets, rows, rng)
    return Experts(Ensemble((network,)), machine, gate)


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
    again = Experts.unpack(arrays, meta).predict(task[0])
    for name, (value, _) in experts.predict(task[0]).items():
        # the networks' weights are stored in half precision
        np.testing.assert_allclose(again[name][0], value, atol=0.02)


def test_without_machines_the_networks_answer_alone(task, experts) -> None:
    found = Experts(experts.ensemble).predict(task[0])
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
    targets = {"coordination": cn, "bond": bond, "valence": np.full(count, 1)}
    held = Held(share, found, spread, np.tile([0.1, 0.8, 0.1], (count, 1)), np.ones(count))
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
