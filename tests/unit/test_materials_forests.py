"""Trees as plain arrays answer as the library's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor

from matterscope.materials import forests


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    features = rng.normal(size=(80, 6))
    return features, np.sign(features[:, 0]) + 0.3 * features[:, 1]


def test_boosted_sequences_answer_as_the_library_does(
    table: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forests, "STAGES", 20)
    features, target = table
    found = forests.boosted(features, target, 3, 1.0).predict(features)
    own = [
        GradientBoostingRegressor(
            n_estimators=20, learning_rate=forests.RATE, max_depth=forests.DEPTH,
            subsample=forests.ROW_SHARE, max_features=forests.FEW_FEATURES, random_state=3 + i,
        ).fit(features, target).predict(features)
        for i in range(forests.SEQUENCES)
    ]  # fmt: skip
    # both compare features in single precision and add in double
    assert found == pytest.approx(np.mean(own, axis=0), abs=1e-12)


def test_a_forest_answers_as_the_library_does(table: tuple[np.ndarray, np.ndarray]) -> None:
    features, target = table
    found = forests.extremely_random(features, target, 3, 0.1).predict(features)
    own = ExtraTreesRegressor(10, max_features=forests.FEATURE_SHARE, random_state=3)
    assert found == pytest.approx(own.fit(features, target).predict(features), abs=1e-12)


@pytest.mark.parametrize("kind", sorted(forests.KINDS))
def test_left_out_answers_have_not_seen_their_rows(
    kind: str, table: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forests, "STAGES", 20)
    features, target = table
    folds = np.arange(len(target)) % 4
    changed = np.where(folds == 2, target + 5, target)
    _, left_out = forests.grow(kind, features, target, 0, folds)
    _, after = forests.grow(kind, features, changed, 0, folds)
    assert np.array_equal(left_out[folds == 2], after[folds == 2])
    assert not np.allclose(left_out[folds == 0], after[folds == 0])
