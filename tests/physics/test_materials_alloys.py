"""Vegard's rule in alloy models: exact where it holds, and where nothing else is known."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel, corner_points, stack_weights
from matterscope.materials.alloys.process import AlloyProcess
from matterscope.materials.alloys.sitekernels import (
    BOWING_TERMS,
    VEGARD_TERMS,
    ProductKernel,
    bowing_terms,
    site_bases,
)
from matterscope.materials.alloys.spaces import make_space
from support.alloys import SPECIES, law, model


def compounds(steps: dict[str, int], count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    space = make_space(SPECIES, steps)
    index = np.random.default_rng(seed).integers(0, space.size, count)
    counts = space.unrank(index)
    return tuple(counts[s] / space.steps[s] for s in SITES)


def test_a_law_linear_in_the_fractions_is_returned_exactly_between_pure_compounds() -> None:
    ends = tuple(np.eye(2)[[i >> k & 1 for i in range(8)]] for k in (2, 1, 0))
    learnt = AlloyModel(
        SPECIES, ends, {"band_gap": law(*ends, 0.0)}, members=("vegard-process",)
    ).fit()
    asked = compounds({"A": 8, "B": 8, "X": 8}, 40)
    value, _ = learnt.predict_target("band_gap", asked)
    assert value == pytest.approx(law(*asked, 0.0), abs=1e-9)


def test_without_mixed_training_rows_the_prediction_is_vegard_of_the_labels() -> None:
    ends = tuple(np.eye(2)[[i >> k & 1 for i in range(8)]] for k in (2, 1, 0))
    labels = law(*ends, 0.0) + np.random.default_rng(1).normal(size=8)
    learnt = AlloyModel(SPECIES, ends, {"y": labels}, members=("vegard-process",)).fit()
    asked = compounds({"A": 4, "B": 4, "X": 4}, 40, seed=3)
    trusted = ~learnt.models["y"].odd_rows()
    assert trusted.all()
    value, _ = learnt.predict_target("y", asked)
    assert value == pytest.approx(learnt.vegard(asked)[:, 0], abs=1e-12)


def test_the_bowing_of_a_mixed_site_is_recovered() -> None:
    half = (np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    value, sigma = model(0.8).predict_target("band_gap", half)
    truth = law(*half, 0.8)
    assert abs(value[0] - truth[0]) < 4 * sigma[0]
    assert abs(value[0] - truth[0]) < 0.05  # the bowing itself is 0.2 eV here


def test_a_site_that_no_training_row_mixes_is_interpolated_linearly_and_doubted_more() -> None:
    ends = [(np.eye(2)[[i]], np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])) for i in (0, 1)]
    mixed = (np.array([[0.25, 0.75]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    learnt = model(0.8)
    values = [learnt.predict_target("band_gap", e) for e in ends]
    value, sigma = learnt.predict_target("band_gap", mixed)
    assert value[0] == pytest.approx(0.25 * values[0][0][0] + 0.75 * values[1][0][0], abs=1e-12)
    assert sigma[0] > 0.25 * values[0][1][0] + 0.75 * values[1][1][0]


def test_bowing_terms_vanish_at_every_end_member() -> None:
    bases = site_bases(SPECIES)
    ends = tuple(np.eye(2)[[i >> k & 1 for i in range(8)]] for k in (2, 1, 0))
    asked = compounds({"A": 1, "B": 8, "X": 1}, 20)
    theta = np.zeros(12 + len(BOWING_TERMS))
    matrix = ProductKernel(BOWING_TERMS, bases, ends, asked).matrix(theta)
    assert np.abs(matrix).max() < 1e-12


def test_bowing_terms_of_three_mixed_sites_cover_every_site_and_pair() -> None:
    letters = {tuple(k for k, c in enumerate(t) if c == "R") for t in bowing_terms(("A", "B", "X"))}
    assert letters == {(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)}


def test_the_gradient_of_the_kernel_is_that_of_central_differences() -> None:
    bases = site_bases(SPECIES)
    rows = compounds({"A": 2, "B": 4, "X": 2}, 15)
    terms = VEGARD_TERMS + bowing_terms(("A", "B"))
    kernel = ProductKernel(terms, bases, rows, rows)
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.normal(size=12 + len(terms))
    weight = rng.normal(size=(15, 15))
    slopes = kernel.pullback(theta, kernel.factors(theta, gradient=True), weight)
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = 1e-5
        central = (
            (kernel.matrix(theta + step) - kernel.matrix(theta - step)) * weight
        ).sum() / 2e-5
        # central differences err by h² f''' ~ 1e-10 and by rounding 1e-16/h ~ 1e-11
        assert slopes[i] == pytest.approx(central, abs=1e-7)


def test_the_grid_gives_the_same_numbers_as_row_by_row() -> None:
    process = next(m.process for m in model(0.8).models["band_gap"].members)
    assert isinstance(process, AlloyProcess)
    a, b, x = np.eye(2), np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]), np.eye(2)
    grid, sigma = process.predict_grid((a, b, x))
    index = np.indices((2, 3, 2)).reshape(3, -1)
    value, width = process.predict((a[index[0]], b[index[1]], x[index[2]]))
    assert grid.ravel() == pytest.approx(value, abs=1e-9)
    assert sigma.ravel() == pytest.approx(width, abs=1e-9)


def test_left_out_blocks_agree_with_leaving_the_rows_out() -> None:
    process = next(m.process for m in model(0.8).models["band_gap"].members)
    assert isinstance(process, AlloyProcess)
    blocks = np.arange(len(process.target)) % 4
    value, _ = process.leave_out(blocks)
    keep = blocks != 2
    reduced = AlloyProcess(
        process.terms, process.bases, fractions=tuple(f[keep] for f in process.fractions),
        target=process.target[keep], theta=process.theta, weights=process.weights[keep],
    )  # fmt: skip
    # the same scale of the data is needed for the same hyper-parameters
    shift, width = process.target.mean(), process.target.std()
    z = (process.target[keep] - shift) / width
    kernel = ProductKernel(process.terms, process.bases, reduced.fractions, reduced.fractions)
    cross = ProductKernel(
        process.terms, process.bases, tuple(f[~keep] for f in process.fractions), reduced.fractions
    ).matrix(process.theta[:-1])
    noise = np.exp(process.theta[-1]) / process.weights[keep] + 1e-6
    direct = cross @ np.linalg.solve(kernel.matrix(process.theta[:-1]) + np.diag(noise), z)
    assert value[~keep] == pytest.approx(shift + width * direct, abs=1e-8)


def test_corners_carry_weights_of_sum_one() -> None:
    asked = compounds({"A": 8, "B": 8, "X": 8}, 30)
    weights, (_, owner) = corner_points(asked, ("A", "X"))
    assert np.bincount(owner, weights) == pytest.approx(np.ones(30))


def test_two_equal_members_share_the_stack() -> None:
    target = np.linspace(0, 1, 50)
    wrong = 0.1 * np.sin(37 * target)
    weights = stack_weights(np.array([target + wrong, target + wrong, target + 5 * wrong]), target)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[:2].min() > 0.2


def two_levels(count: int, dear: int, seed: int, *, shuffled: bool) -> tuple[float, float, str]:
    from matterscope.materials.alloys.fidelity import learn_two_fidelities

    rng = np.random.default_rng(seed)
    rows = compounds({"A": 2, "B": 8, "X": 2}, count, seed)
    bases = site_bases(SPECIES)
    cheap = law(*rows, 0.8) + 0.3 * np.sin(9 * rows[1][:, 0]) * rows[0][:, 0]
    truth = cheap + 0.5 + 0.3 * rows[2][:, 0]
    low = rng.permutation(cheap) if shuffled else cheap
    high = np.where(np.arange(count) < dear, truth, np.nan)
    fitted = learn_two_fidelities(rows, low, high, bases)
    asked = tuple(f[dear:] for f in rows)
    value, _ = fitted.predict(asked, low[dear:])
    error = float(np.sqrt(np.mean((value - truth[dear:]) ** 2)))
    return error, fitted.losses["alone"], fitted.method


def test_cheap_values_help_when_they_are_related_to_the_dear_ones() -> None:
    error, alone, method = two_levels(60, 14, 0, shuffled=False)
    assert method == "delta"
    assert error < 0.5 * alone


def test_shuffled_cheap_values_are_left_alone() -> None:
    _, _, method = two_levels(60, 20, 1, shuffled=True)
    assert method == "alone"
