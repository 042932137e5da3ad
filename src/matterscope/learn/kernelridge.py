"""Kernel ridge on principal components, with any number of targets.

In: features, targets and the noise of every row. Out: weights at anchors, which answer new features. Rows
may be mixed in pairs, with their targets, before the solution: then no anchor is a row of the training set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Arrays = dict[str, NDArray[np.generic]]

MOST = 12_000
"""Rows that are solved for at once (memory and time grow with their square and cube); more are drawn from."""


BLOCK = 256
"""Rows of a kernel that are computed at once."""


@dataclass(frozen=True)
class KernelRidge:
    """A trained machine.

    Parameters
    ----------
    centre, spread : array of shape (m,)
        Standardisation of the features.
    axes : array of shape (m, r)
        Principal components; what lies outside them is taken for noise.
    anchors : array of shape (a, r)
        Scores at which the kernels stand.
    offset : array of shape (t,)
        Mean of the targets.
    weights : array of shape (a, t)
    """

    centre: Singles
    spread: Singles
    axes: Singles
    anchors: Singles
    offset: Floats
    weights: Singles

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """Return the targets (q, t) for features (q, m)."""
        scores = self.scores(features)
        found = [
            kernel(distances(scores[at : at + BLOCK], self.anchors, len(self.centre)))
            @ self.weights
            for at in range(0, len(scores), BLOCK)
        ]
        return np.asarray(np.concatenate(found).astype(float) + self.offset)

    def scores(self, features: NDArray[np.floating]) -> Singles:
        """Return the principal components (q, r) of features (q, m)."""
        scaled = (np.asarray(features, dtype=np.float32) - self.centre) / self.spread
        return np.asarray(scaled @ self.axes)

    def as_arrays(self) -> Arrays:
        """Return the arrays that rebuild the machine."""
        arrays: Arrays = {name: getattr(self, name) for name in _FIELDS}
        return arrays | {"anchors": self.anchors.astype(np.float16)}

    @classmethod
    def rebuild(cls, arrays: Arrays) -> KernelRidge:
        """Return the machine whose arrays were stored."""
        single = {name: np.asarray(arrays[name], dtype=np.float32) for name in _FIELDS}
        return cls(**(single | {"offset": single["offset"].astype(float)}))


_FIELDS = ("centre", "spread", "axes", "anchors", "offset", "weights")


def distances(left: Singles, right: Singles, features: int) -> Singles:
    """Return r (a, b) between scores, r² = |x − y|²/m."""
    square = left @ (np.float32(-2.0) * right.T)
    square += (left**2).sum(axis=1)[:, None]
    square += (right**2).sum(axis=1)
    np.maximum(square, 0.0, out=square)
    square /= np.float32(features)
    return np.asarray(np.sqrt(square, out=square))


def lower_gram(anchors: Singles, features: int) -> Singles:
    """Return the kernel between anchors (a, a), its lower triangle only: all that Cholesky reads.

    In blocks that stay in the cache: four times as fast as the whole matrix at once.
    """
    count = len(anchors)
    gram = np.zeros((count, count), dtype=np.float32)
    for at in range(0, count, BLOCK):
        end = min(at + BLOCK, count)
        gram[at:end, :end] = kernel(distances(anchors[at:end], anchors[:end], features))
    return gram


def kernel(apart: Singles) -> Singles:
    """Return ½ exp(−r) + ½ (1 + √3 r) exp(−√3 r).

    The first, rough, part answers numbers best, the second, smooth one, classes.

    Examples
    --------
    >>> float(kernel(np.zeros(1, np.float32))[0])
    1.0
    """
    scaled = np.float32(np.sqrt(3.0)) * apart
    smooth = np.exp(-scaled)
    scaled += 1
    smooth *= scaled
    np.negative(apart, out=scaled)
    smooth += np.exp(scaled, out=scaled)
    smooth *= np.float32(0.5)
    return np.asarray(smooth)


def train_kernel_ridge(
    features: NDArray[np.floating],
    goal: NDArray[np.floating],
    noise: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    mixing: float = 0.0,
    rank: int = 24,
) -> KernelRidge:
    """Return the machine for features (n, m), targets (n, t) and noise variances (n,): (K + λ) w = y.

    `mixing` is the largest share of a second row that every row and its targets are mixed with
    (Zhang et al., ICLR 2018).
    """
    from scipy.linalg import cho_factor, cho_solve

    given = np.asarray(features, dtype=np.float32)
    centre, spread = given.mean(axis=0), given.std(axis=0) + np.float32(1e-3)
    rows = rng.permutation(len(given))[:MOST]
    scaled = (given[rows] - centre) / spread
    axes = np.linalg.svd(scaled[:4000], full_matrices=False)[2][:rank].T
    anchors = np.asarray(scaled @ axes)
    mean = np.asarray(goal, dtype=float).mean(axis=0)
    target = (np.asarray(goal)[rows] - mean).astype(np.float32)
    if mixing:
        share = rng.uniform(0.0, mixing, (len(rows), 1)).astype(np.float32)
        other = rng.permutation(len(rows))
        anchors = (1 - share) * anchors + share * anchors[other]
        target = (1 - share) * target + share * target[other]
    # what is stored in half precision is what the weights are solved for
    anchors = anchors.astype(np.float16).astype(np.float32)
    gram = lower_gram(anchors, len(centre))
    gram[np.diag_indices_from(gram)] = 1 + np.asarray(noise, dtype=np.float32)[rows]
    weights = np.asarray(cho_solve(cho_factor(gram, lower=True, overwrite_a=True), target))
    return KernelRidge(centre, spread, axes, anchors, mean, weights)
