"""The statistical route: features on no absolute scale, shipped classifiers, one posterior."""

import numpy as np
import pytest

from matterscope import scattering
from matterscope.core.errors import ModelError
from matterscope.core.random import generator
from matterscope.scattering.classification import SHIPPED, load_classifier, save_classifier, shipped
from matterscope.scattering.features import describe_pattern
from matterscope.scattering.levelling import Task
from matterscope.scattering.posterior import combine, randomised_pit
from matterscope.scattering.training import example

POPULATION = {
    "box": 2000.0,
    "radius": 90.0,
    "law": "normal",
    "pixels": 129,
    "hole": 7.0,
    "photons": (10.0, 10.1),
    "offset": 0.0,
}


def vectors(law, each=2):
    given = POPULATION | {"law": law}
    items = [(n, k) for n in range(2, 21, 3) for k in range(each)]
    made = [example((n, given), generator(77, law, 100 * n + k))["features"] for n, k in items]
    return np.array(made, dtype=float), np.array([n for n, _ in items])


def test_features_do_not_change_when_intensities_are_scaled():
    rng = np.random.default_rng(0)
    image = 1e4 * rng.exponential(1.0, (65, 65))
    radius = np.hypot(*(np.indices((65, 65)) - 32.0))
    mask = radius >= 4
    first, second = (describe_pattern(Task(s * image, mask, (32.0, 32.0))) for s in (1.0, 3.0))
    # the level itself is the first entry; the rest differs only by the photon terms, ~1/counts
    assert np.allclose(first[1:], second[1:], atol=2e-2)
    assert second[0] - first[0] == pytest.approx(np.log(3.0))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_classifiers_state_population_score_and_command(name):
    model = shipped(name)
    assert model is not None
    assert {"population", "data", "licence", "score", "limits", "command"} <= set(model.card)
    assert model.card["score"]["accuracy"] > model.card["score"]["baseline_lda"]


@pytest.mark.parametrize(
    ("name", "law"), [("speckle-equal", "fixed"), ("speckle-normal", "normal")]
)
def test_shipped_classifiers_come_near_the_truth_on_new_seeds(name, law):
    features, truth = vectors(law)
    model = shipped(name)
    answer = model.numbers[np.argmax(model.probabilities(features), axis=1)]
    assert np.mean(np.abs(answer - truth) <= 1) > 0.85


def test_a_pattern_of_another_box_lies_outside_the_population():
    given = POPULATION | {"box": 1200.0, "radius": 50.0}
    features = [example((8, given), generator(5, "box", k))["features"] for k in range(6)]
    assert (shipped("speckle-normal").distance(np.array(features)) > 1).mean() >= 0.5


def test_a_saved_classifier_answers_the_same(tmp_path):
    model = shipped("speckle-equal")
    save_classifier(model, tmp_path / "again.npz")
    x = np.random.default_rng(0).normal(size=(3, model.mean.size)) * model.scale + model.mean
    assert np.array_equal(
        load_classifier(tmp_path / "again.npz").probabilities(x), model.probabilities(x)
    )


def test_weights_of_another_card_are_refused(tmp_path):
    save_classifier(shipped("speckle-equal"), tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes() + b"x")
    with pytest.raises(ModelError, match="not those of the card"):
        load_classifier(tmp_path / "a.npz")


def test_training_writes_a_model_that_can_be_loaded(tmp_path):
    answer = scattering.train(
        name="tiny", n=2, n_last=4, each=10, pixels=65, photons=(5.0, 6.0), artifacts=tmp_path
    )
    assert answer["accuracy"].value >= 0.0
    assert load_classifier(tmp_path / "tiny.npz").numbers.tolist() == [2.0, 3.0, 4.0]


def test_a_failed_inversion_never_gives_a_confident_number():
    numbers = np.arange(1.0, 61.0)
    sharp = (numbers == 7).astype(float)
    mixed = combine(numbers, sharp, "failed", {"contrast": np.full(60, 1 / 60)})
    assert mixed.max() < 0.5


def test_randomised_pit_of_a_certain_answer_is_uniform():
    numbers = np.arange(1.0, 6.0)
    sure = (numbers == 3).astype(float)
    assert [randomised_pit(numbers, sure, 3, u) for u in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
