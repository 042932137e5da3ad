"""Kernel ridge with several kernels and targets: one factorisation per kernel answers all of them.

In: training features, class labels and one continuous target. Out: class probabilities and values for
new features; arrays that can be stored. It keeps its training features, so such a model is made on
the spot from the user's own set and is never shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]

KERNELS: dict[str, tuple[str, float, float]] = {
    # name: (distance, rate per feature, ridge)
    "laplace": ("l1", 0.87, 0.03),
    "gauss": ("l2", 1.0, 0.03),
    "gauss_wide": ("l2", 0.3, 0.01),
}
"""exp(−rate·|x − y|₁/m) and exp(−rate·|x − y|²/m) over m standardised features."""
TEMPERATURE = 0.1
"""Ridge scores of a class lie near 0 or 1; a softmax at this temperature makes them probabilities."""
SMOOTH = ("laplace", "gauss")
"""Kernels that answer the continuous target; all answer the classes."""


@dataclass(frozen=True)
class KernelRidge:
    """A trained machine.

    Parameters
    ----------
    centre, spread : array of shape (m,)
        Standardisation of the features.
    known : array of shape (n, m)
        Standardised training features.
    offset : array of shape (k + 1,)
        Mean of the one-hot classes, and of the continuous target.
    weights : dict of str to array of shape (n, k + 1)
        Per kernel.
    """

    centre: Floats
    spread: Floats
    known: Floats
    offset: Floats
    weights: dict[str, Floats]

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return class probabilities (q, k) and values (q,) for features (q, m)."""
        asked = (np.asarray(features, dtype=float) - self.centre) / self.spread
        chances, values = [], []
        for name, weights in self.weights.items():
            found = kernel(name, asked, self.known) @ weights + self.offset
            scores = (found[:, :-1] - found[:, :-1].max(axis=1, keepdims=True)) / TEMPERATURE
            share = np.exp(scores)
            chances.append(share / share.sum(axis=1, keepdims=True))
            if name in SMOOTH:
                values.append(found[:, -1])
        return np.mean(chances, axis=0), np.mean(values, axis=0)

    def as_arrays(self) -> Arrays:
        """Return the arrays that rebuild the machine; features in single precision."""
        arrays: Arrays = {"centre": self.centre, "spread": self.spread, "offset": self.offset}
        arrays["known"] = self.known.astype(np.float32)
        return arrays | {f"weights_{n}": w for n, w in self.weights.items()}

    @classmethod
    def rebuild(cls, arrays: Arrays) -> KernelRidge:
        """Return the machine whose arrays were stored."""
        parts = {n: np.asarray(a, dtype=np.float64) for n, a in arrays.items()}
        weights = {n: parts[f"weights_{n}"] for n in KERNELS if f"weights_{n}" in parts}
        return cls(parts["centre"], parts["spread"], parts["known"], parts["offset"], weights)


def kernel(name: str, left: Floats, right: Floats) -> Floats:
    """Return the kernel matrix (a, b) between standardised features.

    Examples
    --------
    >>> bool(kernel("gauss", np.zeros((1, 3)), np.zeros((1, 3)))[0, 0] == 1.0)
    True
    """
    from scipy.spatial.distance import cdist

    distance, rate, _ = KERNELS[name]
    metric = "cityblock" if distance == "l1" else "sqeuclidean"
    return np.asarray(np.exp(-rate / left.shape[1] * cdist(left, right, metric)))


def train_kernel_ridge(
    features: NDArray[np.floating],
    classes: NDArray[np.integer],
    values: NDArray[np.floating],
    count: int,
) -> KernelRidge:
    """Return the machine for features (n, m), classes (n,) of `count` kinds, and values (n,)."""
    from scipy.linalg import cho_factor, cho_solve

    given = np.asarray(features, dtype=float)
    centre, spread = given.mean(axis=0), given.std(axis=0) + 1e-3
    # what is stored in single precision is what the weights are solved for
    known = ((given - centre) / spread).astype(np.float32).astype(float)
    goal = np.column_stack([np.eye(count)[classes], values])
    offset = goal.mean(axis=0)
    weights = {}
    for name, (_, _, ridge) in KERNELS.items():
        gram = kernel(name, known, known)
        gram[np.diag_indices_from(gram)] += ridge
        weights[name] = cho_solve(cho_factor(gram, lower=True), goal - offset)
    return KernelRidge(centre, spread, known, offset, weights)
