"""Kernel ridge on principal components, with any number of targets and, where wanted, few anchors.

In: features, targets and the noise of every row. Out: weights at anchors, which answer new features. With as
many anchors as rows it is kernel ridge itself; with fewer, anchors are mixtures of rows (a radial-basis
network): no row is kept, and such a model may ship.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Arrays = dict[str, NDArray[np.generic]]

MIXING = 0.3
"""Largest share of a second row in an anchor."""


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
        apart = distances(self.scores(features), self.anchors, len(self.centre))
        return np.asarray((kernel(apart) @ self.weights).astype(float) + self.offset)

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
    square = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.asarray(np.sqrt(np.maximum(square, 0.0) / np.float32(features)))


def kernel(apart: Singles) -> Singles:
    """Return ½ exp(−r) + ½ (1 + √3 r) exp(−√3 r).

    The first, rough, part answers numbers best, the second, smooth one, classes.

    Examples
    --------
    >>> float(kernel(np.zeros(1, np.float32))[0])
    1.0
    """
    scaled = np.float32(np.sqrt(3.0)) * apart
    return np.asarray(0.5 * (np.exp(-apart) + (1 + scaled) * np.exp(-scaled)))


def train_kernel_ridge(
    features: NDArray[np.floating],
    goal: NDArray[np.floating],
    noise: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    anchors: int = 0,
    rank: int = 24,
) -> KernelRidge:
    """Return the machine for features (n, m), targets (n, t) and noise variances (n,).

    With anchors z it minimises Σ_i (y_i − k(x_i, z) w)²/λ_i + wᵀ K_zz w; at z = x this is (K + λ) w = y.
    0 anchors takes every row.
    """
    given = np.asarray(features, dtype=np.float32)
    centre, spread = given.mean(axis=0), given.std(axis=0) + np.float32(1e-3)
    scaled = (given - centre) / spread
    few = rng.permutation(len(scaled))[:4000]
    axes = np.linalg.svd(scaled[few], full_matrices=False)[2][:rank].T
    known = np.asarray(scaled @ axes)
    mean = np.asarray(goal, dtype=float).mean(axis=0)
    target = (goal - mean).astype(np.float32)
    noise = np.asarray(noise, dtype=np.float32)
    width = len(centre)
    if not anchors or anchors >= len(known):
        at = _stored(known)
        apart = distances(at, at, width)
        solved = _exact(kernel(apart), target, noise)
        return KernelRidge(centre, spread, axes, at, mean, solved)
    first = rng.permutation(len(known))[:anchors]
    share = rng.uniform(0.0, MIXING, (anchors, 1)).astype(np.float32)
    other = known[rng.integers(0, len(known), anchors)]
    at = _stored((1 - share) * known[first] + share * other)
    between, inside = distances(known, at, width), distances(at, at, width)
    solved = _few(kernel(between), kernel(inside), target, noise)
    return KernelRidge(centre, spread, axes, at, mean, solved)


def _stored(scores: Singles) -> Singles:
    """Return scores as they are stored, in half precision: the weights are solved for those."""
    return scores.astype(np.float16).astype(np.float32)


def _exact(gram: Singles, target: Singles, noise: Singles) -> Singles:
    from scipy.linalg import cho_factor, cho_solve

    gram[np.diag_indices_from(gram)] = 1 + noise
    return np.asarray(cho_solve(cho_factor(gram, lower=True, overwrite_a=True), target))


def _few(between: Singles, inside: Singles, target: Singles, noise: Singles) -> Singles:
    """Solve in the whitened basis Φ = K_xz L⁻ᵀ, L Lᵀ = K_zz, where single precision suffices."""
    from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

    gram = inside.astype(float)
    gram[np.diag_indices_from(gram)] = 1 + 1e-4
    root = cholesky(gram, lower=True).astype(np.float32)
    basis = solve_triangular(root, between.T, lower=True)
    weighted = basis / noise
    normal = weighted @ basis.T
    normal[np.diag_indices_from(normal)] += 1
    found = cho_solve(cho_factor(normal, lower=True), weighted @ target)
    return np.asarray(solve_triangular(root.T, found, lower=False))
