"""Gaussian processes on several blocks at once: any subset of the blocks is a model.

In: blocks of aligned spectra of n structures. Out: whitened principal components per block, a kernel
that is the mean over the blocks present, and posterior mean and variance. k = Σ_b exp(−d_b²/2ℓ²)/B (or
linear); (K + λ) α = y. Kind, ℓ and λ by the largest marginal likelihood, never by test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KERNELS = (("linear", 1.0), ("gauss", 1.5))
NOISES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
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
    """Kernel, noise and weights of the blocks that the training rows prefer for one target."""

    kind: str
    length: float
    noise: float
    amplitude: float
    weights: tuple[float, ...]


def relevance(scores: Sequence[Floats], values: Floats) -> Floats:
    """Return a weight (B, t) of each block for each standardised target: its skill by itself, squared.

    Skill is R² of leave-one-out predictions, y_i − ŷ_i = α_i / (K+λ)⁻¹_ii, at least 0.05, so that a block
    without skill of its own still has a voice.
    """
    weights = np.empty((len(scores), values.shape[1]))
    for block, gram in enumerate(grams(scores, scores, "gauss", 2.0)):
        levels, vectors = np.linalg.eigh(gram)
        turned = vectors.T @ values
        best = np.full(values.shape[1], 0.05)
        for noise in (0.01, 0.1, 1.0):
            total = np.maximum(levels, 0.0) + noise
            alpha = vectors @ (turned / total[:, None])
            diagonal = (vectors**2) @ (1 / total)
            best = np.maximum(best, 1 - ((alpha / diagonal[:, None]) ** 2).mean(axis=0))
        weights[block] = best**2
    return np.asarray(weights / weights.sum(axis=0))


def choose(scores: Sequence[Floats], targets: Floats) -> list[Choice]:
    """Return the best choice for each target column (standardised inside).

    The amplitude is solved for: log p = −½ n log(yᵀ(K+λ)⁻¹y/n) − ½ log|K+λ|.
    """
    values = (targets - targets.mean(axis=0)) / np.maximum(targets.std(axis=0), 1e-12)
    weights = relevance(scores, values)
    found: list[tuple[float, Choice] | None] = [None] * values.shape[1]
    for kind, length in KERNELS:
        parts = grams(scores, scores, kind, length)
        for column in range(values.shape[1]):
            own = weights[:, column]
            levels, vectors = np.linalg.eigh(np.tensordot(own, parts, axes=1))
            turned = (vectors.T @ values[:, column]) ** 2
            for noise in NOISES:
                total = np.maximum(levels, 0.0) + noise
                amplitude = float((turned / total).mean())
                likelihood = -0.5 * len(total) * np.log(amplitude) - 0.5 * np.log(total).sum()
                best = found[column]
                if best is None or likelihood > best[0]:
                    made = Choice(kind, length, noise, amplitude, tuple(own.tolist()))
                    found[column] = (float(likelihood), made)
    return [entry[1] for entry in found if entry is not None]


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
    shared: dict[tuple[str, float], tuple[Floats, Floats, Floats]] = {}
    for column, choice in enumerate(choices):
        key = (choice.kind, choice.length)
        if key not in shared:
            shared[key] = (
                grams(scores, scores, *key),
                grams(asked, scores, *key),
                own_grams(asked, choice.kind),
            )
        weights = np.array(choice.weights)
        gram, cross, own = (np.tensordot(weights, part, axes=1) for part in shared[key])
        scaled = (targets[:, column] - mean[column]) / deviation[column]
        right = np.column_stack([scaled, cross.T])
        solved = np.linalg.solve(gram + choice.noise * np.eye(len(gram)), right)
        found[:, column] = mean[column] + deviation[column] * (cross @ solved[:, 0])
        left = np.einsum("ij,ji->i", cross, solved[:, 1:])
        variance = np.maximum(own - left, 0.0) + choice.noise
        width[:, column] = deviation[column] * np.sqrt(choice.amplitude * variance)
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
