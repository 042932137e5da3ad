"""Networks, ensembles, domains and stored models: what each must do on data whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope.core.errors import ModelError
from matterscope.learn.domain import Domain, fit_domain
from matterscope.learn.ensembles import Ensemble, entropies
from matterscope.learn.networks import Head, Network, Recipe, train_network
from matterscope.learn.persist import load_model, nested, prefixed, save_model

HEADS = (Head("kind", 2), Head("size"))
SMALL = Recipe(hidden=(24,), epochs=40, batch=32, dropout=0.0)


def problem(count: int = 400, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6)).astype(np.float32)
    return x, {"kind": (x[:, 0] * x[:, 1] > 0).astype(int), "size": np.sin(x[:, 2]) + 0.5 * x[:, 3]}


def test_a_network_learns_a_nonlinear_class_and_a_number_together() -> None:
    x, y = problem(2000)
    net = train_network(x, y, HEADS, SMALL, np.random.default_rng(1))
    fresh, truth = problem(seed=5)
    found = net.predict(fresh)
    # chance is 0.5 and the standard deviation of the number 0.8: well clear of both
    assert np.mean(found["kind"].argmax(axis=1) == truth["kind"]) > 0.85
    assert np.abs(found["size"] - truth["size"]).mean() < 0.2


def test_the_gradient_of_the_loss_is_that_of_central_differences() -> None:
    from matterscope.learn.networks import _encode, _Training

    x, y = problem(32)
    recipe = Recipe(hidden=(5,), dropout=0.0, noise=0.0, huber=10.0, smoothing=0.0)
    state = _Training(6, HEADS, recipe, np.random.default_rng(0), _encode(y, HEADS)[0])
    rows = np.arange(32)

    def loss() -> float:
        out = state._forward(x)[2].astype(float)
        log = out[:, :2] - np.log(np.exp(out[:, :2]).sum(axis=1, keepdims=True))
        hot = state.targets["kind"][rows] > 0
        weight = state.targets["kind"][rows].sum(axis=1)
        miss = out[:, 2] - state.numbers[rows, 0]
        return float(-(weight * log[hot]).mean() + 0.5 * np.mean(miss**2) / recipe.huber)

    inputs, slopes, out = state._forward(x)
    state._backward(state._loss_gradient(out, rows), inputs, slopes)
    step = 1e-2
    for layer, index in ((0, (2, 3)), (1, (4, 2)), (1, (0, 0))):
        state.weights[layer][index] += step
        up = loss()
        state.weights[layer][index] -= 2 * step
        down = loss()
        state.weights[layer][index] += step
        # second-order differences at step 0.01 and single precision: 1e-3
        assert state.dw[layer][index] == pytest.approx((up - down) / (2 * step), abs=1e-3)


def test_classes_given_as_probabilities_are_learned_as_such() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    shares = np.tile([0.3, 0.7], (400, 1))
    net = train_network(
        x, {"kind": shares, "size": x[:, 0]}, HEADS, SMALL, np.random.default_rng(1)
    )
    # the smoothing of the labels moves 0.3 by 0.004; what the network makes of 400 draws varies more
    assert net.predict(x)["kind"][:, 0].mean() == pytest.approx(0.3, abs=0.05)


def test_unknown_labels_teach_nothing_and_break_nothing() -> None:
    x, y = problem()
    y["kind"] = np.where(np.arange(400) % 2, y["kind"], -1)
    y["size"] = np.where(np.arange(400) % 3, y["size"], np.nan)
    found = train_network(x, y, HEADS, SMALL, np.random.default_rng(1)).predict(x)
    assert np.isfinite(found["size"]).all()


def test_shuffled_labels_leave_no_skill() -> None:
    x, y = problem()
    order = np.random.default_rng(3).permutation(400)
    net = train_network(
        x, {k: v[order] for k, v in y.items()}, HEADS, SMALL, np.random.default_rng(1)
    )
    fresh, truth = problem(seed=5)
    hits = np.mean(net.predict(fresh)["kind"].argmax(axis=1) == truth["kind"])
    # 400 fair coins: four standard errors
    assert abs(hits - 0.5) < 4 * 0.5 / np.sqrt(400)


def test_the_same_seed_gives_the_same_weights() -> None:
    x, y = problem(100)
    a, b = (train_network(x, y, HEADS, SMALL, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a.weights[0], b.weights[0])


def test_a_stored_network_answers_the_same_within_half_precision() -> None:
    x, y = problem()
    net = train_network(x, y, HEADS, SMALL, np.random.default_rng(1))
    again = Network.rebuild(net.as_arrays(), net.as_json())
    a, b = net.predict(x), again.predict(x)
    np.testing.assert_allclose(a["size"], b["size"], atol=0.02)
    np.testing.assert_allclose(a["kind"], b["kind"], atol=0.02)


def test_members_that_agree_have_no_disagreement() -> None:
    x, y = problem(100)
    net = train_network(x, y, HEADS, SMALL, np.random.default_rng(1))
    mean, spread = Ensemble((net, net)).predict(x)["size"]
    np.testing.assert_allclose(mean, net.predict(x)["size"])
    np.testing.assert_allclose(spread, 0.0, atol=1e-12)


def test_entropy_splits_into_noise_and_disagreement() -> None:
    p = np.array([[[0.5, 0.5]], [[0.5, 0.5]]])
    noise, doubt = entropies(list(p))
    assert noise[0] == pytest.approx(np.log(2))
    assert doubt[0] == pytest.approx(0.0, abs=1e-12)


def test_the_domain_tells_like_from_unlike() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 20))
    x = rng.normal(size=(600, 3)) @ basis + 0.05 * rng.normal(size=(600, 20))
    domain = fit_domain(x, np.zeros(600), components=3)
    fresh = rng.normal(size=(300, 3)) @ basis + 0.05 * rng.normal(size=(300, 20))
    residual, distance = domain.percentiles(fresh)
    assert np.mean(residual > 0.99) < 0.05
    assert np.mean(distance > 0.99) < 0.05
    assert domain.percentiles(fresh + 5.0)[0].min() > 1.0
    along = domain.percentiles(fresh + 10 * basis[0])
    assert along[1].min() > 1.0
    again = Domain.rebuild(domain.as_arrays())
    np.testing.assert_allclose(again.percentiles(fresh)[1], distance, atol=1e-3)


def test_a_model_file_comes_back_and_is_the_same_bytes_twice(tmp_path: Path) -> None:
    arrays = prefixed({"w": np.arange(6.0).reshape(2, 3)}, "member0")
    first = save_model(tmp_path / "a.npz", "aligned", {"edges": ["Cu:K"]}, arrays)
    second = save_model(tmp_path / "b.npz", "aligned", {"edges": ["Cu:K"]}, arrays)
    assert first == second
    card, found = load_model(tmp_path / "a.npz")
    assert card["edges"] == ["Cu:K"]
    np.testing.assert_array_equal(nested(found, "member0")["w"], arrays["member0|w"])


def test_edited_or_cut_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_model(path, "aligned", {"edges": []}, {"w": np.ones(3)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError):
        load_model(path)
    np.savez(path, w=np.ones(3))
    with pytest.raises(ModelError):
        load_model(path)
    with np.load(tmp_path / "a.npz") as stored:
        arrays = dict(stored)
    save_model(path, "aligned", {"edges": []}, {"w": np.ones(3)})
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["w"] = np.zeros(3)
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match="not those of the card"):
        load_model(path)


def test_object_arrays_never_enter_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        save_model(tmp_path / "a.npz", "aligned", {}, {"w": np.array([{}], dtype=object)})
