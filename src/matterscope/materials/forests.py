"""Forests of extremely randomised trees, kept as plain arrays.

In: features, and one number or one vector for each row. Out: a forest that predicts without scikit-learn,
left-out answers, and arrays that can be stored (no pickle).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PARTS = ("roots", "feature", "threshold", "left", "right", "value")

TREES, FEATURE_SHARE = 100, 0.5
"""For a property of alloys."""
SEQUENCES, STAGES, RATE, DEPTH, ROW_SHARE, FEW_FEATURES = 3, 250, 0.05, 4, 0.6, 0.3
"""For the same by boosting."""
LEFT_OUT_SHARE = 0.25
"""Of the trees, where they only have to say how good they are."""
VECTOR_TREES, VECTOR_SHARE, VECTOR_LEAF = 60, 0.4, 2
"""For level vectors: more rows, noisier ones."""


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees in one list.

    Parameters
    ----------
    roots : array of shape (trees,)
        Index of each tree's first node.
    feature : array of shape (nodes,)
        Feature that a node asks for; −1 at a leaf.
    threshold : array of shape (nodes,)
        Go left where feature ≤ threshold.
    value : array of shape (nodes,) or (nodes, k)
        The mean of the training rows in a leaf.
    left, right : arrays of shape (nodes,)
        Indices of the children.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[Any]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[Any]

    def predict(self, features: Array) -> Array:
        """Return the mean over the trees, shape (n,) or (n, k)."""
        # scikit-learn compares in single precision; the same here, or a tie goes the other way
        single = features.astype(np.float32)
        total = np.zeros((len(single), *self.value.shape[1:]))
        for root in self.roots:
            node = np.full(len(single), root)
            walking = np.arange(len(single))
            while True:
                asked = self.feature[node[walking]]
                walking, asked = walking[asked >= 0], asked[asked >= 0]
                if not len(walking):
                    break
                here = node[walking]
                smaller = single[walking, asked] <= self.threshold[here]
                node[walking] = np.where(smaller, self.left[here], self.right[here])
            total += self.value[node]
        return total / len(self.roots)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored."""
        return {name: getattr(self, name) for name in PARTS}


def grow(
    kind: str, features: Array, target: Array, seed: int, folds: NDArray[np.integer]
) -> tuple[Forest, Array]:
    """Return trees of a `KINDS`, and the answers of smaller ones grown without each fold."""
    left_out = np.empty(len(target))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold)
        left_out[out] = answer_without(kind, features, target, seed, out)
    return KINDS[kind](features, target, seed, 1.0), left_out


def answer_without(
    kind: str, features: Array, target: Array, seed: int, out: NDArray[np.integer]
) -> Array:
    """Return the answers for the rows `out` of trees grown on all others."""
    rest = np.setdiff1d(np.arange(len(target)), out)
    return KINDS[kind](features[rest], target[rest], seed, LEFT_OUT_SHARE).predict(features[out])


def extremely_random(features: Array, target: Array, seed: int, share: float) -> Forest:
    """Return a `share` of the usual number of trees whose thresholds are drawn at random.

    Every tree sees all rows: bootstrapping, whose out-of-bag answers would come for free, costs a third
    of the rows and 3 % of the accuracy on tables of this size.

    References
    ----------
    Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3 (2006).
    """
    from sklearn.ensemble import ExtraTreesRegressor

    count = max(1, round(share * TREES))
    model = ExtraTreesRegressor(count, max_features=FEATURE_SHARE, random_state=seed)
    return as_arrays(model.fit(features, target).estimators_)


def boosted(features: Array, target: Array, seed: int, share: float) -> Forest:
    """Return the mean of a `share` of the usual number of boosted sequences of shallow trees.

    Where trees of a forest answer each for itself, every tree here corrects those before it, on a part of the
    rows and a few of the features: abrupt steps are learnt with fewer rows.

    References
    ----------
    Friedman, Comput. Stat. Data Anal. 38, 367 (2002).
    """
    from sklearn.ensemble import GradientBoostingRegressor

    count = max(1, round(share * SEQUENCES))
    trees, values = [], []
    for number in range(count):
        model = GradientBoostingRegressor(
            n_estimators=STAGES, learning_rate=RATE, max_depth=DEPTH, subsample=ROW_SHARE,
            max_features=FEW_FEATURES, random_state=seed + number,
        ).fit(features, target)  # fmt: skip
        stages = [tree for (tree,) in model.estimators_]
        trees += stages
        values += [float(target.mean())] * sum(t.tree_.node_count for t in stages)
    forest = as_arrays(trees)
    # a forest answers with the mean over its trees: each carries the whole sequence in its values
    return replace(forest, value=np.array(values) + RATE * STAGES * forest.value)


KINDS: dict[str, Callable[[Array, Array, int, float], Forest]] = {
    "trees": extremely_random, "boosted-trees": boosted,
}  # fmt: skip


def grow_vectors(
    features: Array, target: Array, seed: int, trees: int = VECTOR_TREES, *,
    share: float = VECTOR_SHARE, leaf: int = VECTOR_LEAF, weight: Array | None = None,
) -> Forest:  # fmt: skip
    """Return a forest grown on `features` (n, d) and `target` (n,) or (n, k); rows may be weighted (n,).

    `share` of the features is tried at each node; a leaf holds `leaf` rows at least.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(
        trees, max_features=share, min_samples_leaf=leaf, random_state=seed
    ).fit(features.astype(np.float32), target, sample_weight=weight)
    return as_arrays(model.estimators_, single=True)


def as_arrays(estimators: Sequence[Any], *, single: bool = False) -> Forest:
    """Return fitted trees of scikit-learn as one list of nodes; `single` halves what has to be stored."""
    parts: dict[str, list[NDArray[Any]]] = {k: [] for k in PARTS if k != "roots"}
    roots, offset = [], 0
    for estimator in estimators:
        tree = estimator.tree_
        roots.append(offset)
        leaf = tree.children_left < 0
        parts["feature"].append(np.where(leaf, -1, tree.feature))
        parts["threshold"].append(_rounded_down(tree.threshold) if single else tree.threshold)
        parts["left"].append(np.maximum(tree.children_left, 0) + offset)
        parts["right"].append(np.maximum(tree.children_right, 0) + offset)
        values = tree.value[:, :, 0] if tree.n_outputs > 1 else tree.value[:, 0, 0]
        if single:  # what an inner node would say is never asked for
            values = np.where(leaf[:, None] if values.ndim > 1 else leaf, values, 0.0)
        parts["value"].append(values)
        offset += tree.node_count
    joined = {name: np.concatenate(part) for name, part in parts.items()}
    return Forest(
        np.array(roots, np.int32), joined["feature"].astype(np.int16), joined["threshold"],
        joined["left"].astype(np.int32), joined["right"].astype(np.int32),
        joined["value"].astype(np.float32 if single else np.float64),
    )  # fmt: skip


def _rounded_down(threshold: Array) -> NDArray[np.float32]:
    """Return the largest single-precision numbers not above the thresholds: every comparison stays."""
    single = threshold.astype(np.float32)
    above = single.astype(float) > threshold
    return np.where(above, np.nextafter(single, np.float32(-np.inf)), single).astype(np.float32)
