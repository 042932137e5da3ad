"""Gaussian processes on several blocks at once: any subset of the blocks is a model.

In: blocks of aligned spectra of n structures. Out: whitened principal components per block, a kernel that
is a sum over the blocks present, and posterior mean and variance. k = Σ_b Σ_κ w_bκ k_κ(x_b, x'_b) with κ
Gaussian of three lengths, or linear; (K + λ) α = y. Weights and λ by the marginal likelihood of the
training rows, never by test data: a block without a voice gets weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Floats = NDArray[np.float64]

KERNELS = (("gauss", 1.0), ("gauss", 2.0), ("gauss", 4.0), ("linear", 1.0))
PRIOR = (-3.0, 3.0)
"""Mean and deviation of the logarithm of a weight (targets standardised): few blocks matter."""
STEPS = 40
"""Steps of the search for weights; more change the likelihood in the third digit."""
STEPS_NEAR = 8
"""The same from the weights of more blocks than are asked for."""
COMPONENTS = 16


@dataclass(frozen=True)
class Basis:
    """Principal components of one block.

    Parameters
    ----------
    mean : array of shape (m,)
    axes : array of shape (c, m)
        Orthonormal components.
    scale : array of shape (c,)
        Divides the scores: damped whitening, so that weak components count, noise does not.
    spread : float
        Root mean square residual of the training spectra outside the components.
    """

    mean: Floats
    axes: Floats
    scale: Floats
    spread: float

    def scores(self, block: Floats) -> Floats:
        """Return whitened scores (…, c) of spectra (…, m)."""
        return np.asarray((block - self.mean) @ self.axes.T / self.scale)

    def residual(self, block: Floats) -> Floats:
        """Return the root mean square of what the components cannot hold, in units of `spread`."""
        centred = block - self.mean
        rest = centred - (centred @ self.axes.T) @ self.axes
        return np.asarray(np.sqrt((rest**2).mean(axis=-1)) / self.spread)


def fit_basis(block: Floats, components: int = COMPONENTS) -> Basis:
    """Return the basis of training spectra (n, m)."""
    mean = block.mean(axis=0)
    _, strengths, axes = np.linalg.svd(block - mean, full_matrices=False)
    kept = int(min(components, np.sum(strengths > 3e-3 * strengths[0])))
    size = strengths[:kept] / np.sqrt(len(block))
    damped = np.sqrt(size * (size + size[0])) * np.sqrt(kept / 2)
    rest = strengths[kept:]
    spread = float(np.sqrt((rest**2).sum() / block.size))
    return Basis(mean, axes[:kept], damped, max(spread, 1e-6))


def grams(left: Sequence[Floats], right: Sequence[Floats], kind: str, length: float) -> Floats:
    """Return k_b (B, n, n') of every block; `left` and `right` are scores by block."""
    made = []
    for one, other in zip(left, right, strict=True):
        product = one @ other.T
        if kind == "linear":
            made.append(product)
            continue
        apart = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * product
        made.append(np.exp(-np.maximum(apart, 0.0) / (2 * length**2)))
    return np.array(made)


def own_grams(scores: Sequence[Floats], kind: str) -> Floats:
    """Return k_b(x, x) of every block and row (B, n)."""
    if kind == "linear":
        return np.array([(s**2).sum(axis=1) for s in scores])
    return np.ones((len(scores), len(scores[0])))


@dataclass(frozen=True)
class Choice:
    """Weights of the kernels of each block and the noise that the training rows prefer for one target.

    Parameters
    ----------
    weights : array of shape (kernels × blocks,)
        In the order of `every_gram`.
    noise : float
        λ, variance of the standardised target that no block explains.
    """

    weights: Floats
    noise: float


def every_gram(left: Sequence[Floats], right: Sequence[Floats]) -> Floats:
    """Return the Gram matrices (kernels × blocks, n, n') of all kernels and blocks."""
    return np.concatenate([grams(left, right, *kernel) for kernel in KERNELS])


def weighted(left: Sequence[Floats], right: Sequence[Floats], choices: Sequence[Choice]) -> Floats:
    """Return the weighted sum of all Gram matrices for each choice (t, n, n'), one matrix at a time."""
    total = np.zeros((len(choices), len(left[0]), len(right[0])))
    weights = np.array([choice.weights for choice in choices])
    number = 0
    for kernel in KERNELS:
        for one, other in zip(left, right, strict=True):
            (gram,) = grams([one], [other], *kernel)
            for column in np.flatnonzero(weights[:, number] > 1e-6):
                total[column] += weights[column, number] * gram
            number += 1
    return total


def _negative_evidence(position: Floats, flat: Floats, values: Floats) -> tuple[float, Floats]:
    """Return −log p(y | weights, λ) − log prior and its gradient by the logarithms of both.

    −log p = ½ yᵀC⁻¹y + ½ log|C|, C = Σ w K + λ; ∂/∂w = ½ tr((C⁻¹ − αα^T) K), α = C⁻¹y
    (Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 5.9).
    """
    count = len(values)
    weights, noise = np.exp(position[:-1]), float(np.exp(position[-1]))
    total = (weights @ flat).reshape(count, count)
    total[np.diag_indices(count)] += noise
    factor = cho_factor(total, lower=True)
    inverse = cho_solve(factor, np.eye(count))
    alpha = inverse @ values
    slope = inverse - np.outer(alpha, alpha)
    away = (position[:-1] - PRIOR[0]) / PRIOR[1]
    value = 0.5 * values @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * (away**2).sum()
    by_weight = 0.5 * weights * (flat @ slope.ravel()) + away / PRIOR[1]
    by_noise = 0.5 * noise * np.trace(slope)
    return float(value), np.append(by_weight, by_noise)


def choose(scores: Sequence[Floats], targets: Floats, near: Sequence[Choice] = ()) -> list[Choice]:
    """Return the weights that the training rows prefer for each target column (standardised inside).

    `near`, one choice a column for the same kernels, is where the search begins; few steps are left then.
    """
    parts = every_gram(scores, scores)
    level = np.trace(parts, axis1=1, axis2=2) / parts.shape[1]
    flat = (parts / np.maximum(level, 1e-12)[:, None, None]).reshape(len(parts), -1)
    start = np.append(np.full(len(parts), PRIOR[0]), -1.5)
    limits = [(-12.0, 3.0)] * len(parts) + [(-7.0, 2.0)]
    found = []
    for number, column in enumerate(targets.T):
        values = (column - column.mean()) / max(float(column.std()), 1e-12)
        first = start
        if near:
            scaled = np.append(near[number].weights * np.maximum(level, 1e-12), near[number].noise)
            first = np.log(np.maximum(scaled, 1e-6))
        best = minimize(
            _negative_evidence, np.clip(first, *np.array(limits).T), (flat, values), "L-BFGS-B", jac=True,
            bounds=limits, options={"maxiter": STEPS_NEAR if near else STEPS},
        )  # fmt: skip
        weights = np.exp(best.x[:-1]) / np.maximum(level, 1e-12)
        found.append(Choice(weights, float(np.exp(best.x[-1]))))
    return found


def posterior(
    scores: Sequence[Floats],
    targets: Floats,
    asked: Sequence[Floats],
    choices: Sequence[Choice],
) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (q, t) at the asked scores for every target.

    The deviation is that of a new observation: √(k** − k*ᵀ(K+λ)⁻¹k* + λ), scaled to the target.
    """
    mean, deviation = targets.mean(axis=0), np.maximum(targets.std(axis=0), 1e-12)
    found = np.empty((len(asked[0]), targets.shape[1]))
    width = np.empty_like(found)
    known, crossed = weighted(scores, scores, choices), weighted(asked, scores, choices)
    own_asked = np.concatenate([own_grams(asked, kind) for kind, _ in KERNELS])
    for column, (choice, gram, cross) in enumerate(zip(choices, known, crossed, strict=True)):
        gram[np.diag_indices(len(gram))] += choice.noise
        factor = cho_factor(gram, lower=True)
        scaled = (targets[:, column] - mean[column]) / deviation[column]
        found[:, column] = mean[column] + deviation[column] * (cross @ cho_solve(factor, scaled))
        left = np.einsum("ij,ji->i", cross, cho_solve(factor, cross.T))
        variance = np.maximum(choice.weights @ own_asked - left, 0.0) + choice.noise
        width[:, column] = deviation[column] * np.sqrt(variance)
    return found, width


def held_out(
    scores: Sequence[Floats],
    targets: Floats,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    choices: Sequence[Choice] | None = None,
) -> tuple[Floats, Floats]:
    """Return predictions and deviations of every sample from folds that did not hold its group.

    With `choices` given, kernel and weights are not chosen again inside each fold (faster; the handful of
    them cannot memorise rows).
    """
    mean, width = np.empty(targets.shape), np.empty(targets.shape)
    for train, test in folds:
        known = [s[train] for s in scores]
        own = choices or choose(known, targets[train])
        mean[test], width[test] = posterior(known, targets[train], [s[test] for s in scores], own)
    return mean, width
