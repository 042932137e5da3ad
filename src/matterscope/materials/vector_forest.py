"""Extremely randomised trees with vectors in their leaves, kept as plain arrays.

In: features and vectors. Out: a forest that predicts without scikit-learn and can be stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TREES, FEATURE_SHARE, LEAF = 60, 0.4, 2


@dataclass(frozen=True)
class VectorForest:
    """Nodes of all trees in one list; `value` has a row per node, `feature` is −1 at a leaf."""

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]

    def predict(self, features: Array) -> Array:
        """Return the mean over the trees, shape (n, k)."""
        single = features.astype(np.float32)
        rows = np.arange(len(single))
        total = np.zeros((len(single), self.value.shape[1]))
        for root in self.roots:
            node = np.full(len(single), root)
            while True:
                asked = self.feature[node]
                inner = asked >= 0
                if not inner.any():
                    break
                goes_left = single[rows, np.maximum(asked, 0)] <= self.threshold[node]
                node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)
            total += self.value[node]
        return total / len(self.roots)


def grow_vectors(
    features: Array, target: Array, seed: int, trees: int = TREES, weight: Array | None = None
) -> VectorForest:
    """Return a forest grown on `features` (n, d) and `target` (n, k); rows may be weighted (n,).

    References
    ----------
    Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3 (2006).
    """
    from sklearn.ensemble import ExtraTreesRegressor

    single = features.astype(np.float32)
    model = ExtraTreesRegressor(
        trees, max_features=FEATURE_SHARE, min_samples_leaf=LEAF, random_state=seed
    ).fit(single, target, sample_weight=weight)
    parts: dict[str, list[NDArray[np.generic]]] = {
        k: [] for k in ("feature", "threshold", "left", "right", "value")
    }
    roots, offset = [], 0
    for estimator in model.estimators_:
        tree = estimator.tree_
        roots.append(offset)
        leaf = tree.children_left < 0
        parts["feature"].append(np.where(leaf, -1, tree.feature))
        # the largest single-precision number not above the threshold keeps every comparison
        parts["threshold"].append(_rounded_down(tree.threshold))
        parts["left"].append(np.maximum(tree.children_left, 0) + offset)
        parts["right"].append(np.maximum(tree.children_right, 0) + offset)
        parts["value"].append(np.where(leaf[:, None], tree.value[:, :, 0], 0.0))
        offset += tree.node_count
    joined = {name: np.concatenate(part) for name, part in parts.items()}
    return VectorForest(
        np.array(roots, np.int32), joined["feature"].astype(np.int16), joined["threshold"].astype(np.float32),
        joined["left"].astype(np.int32), joined["right"].astype(np.int32), joined["value"].astype(np.float32),
    )  # fmt: skip


def _rounded_down(threshold: Array) -> NDArray[np.float32]:
    single = threshold.astype(np.float32)
    above = single.astype(float) > threshold
    return np.where(above, np.nextafter(single, np.float32(-np.inf)), single).astype(np.float32)
