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

KERNELS = (("linear", 1.0), ("gauss", 1.0), ("gauss", 2.0))
NOISES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
COMPONENTS = 10


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


def kernel(left: Sequence[Floats], right: Sequence[Floats], kind: str, length: float) -> Floats:
    """Return k (n, n') as the mean over blocks; `left` and `right` are scores by block."""
    total = np.zeros((len(left[0]), len(right[0])))
    for one, other in zip(left, right, strict=True):
        product = one @ other.T
        if kind == "linear":
            total += product
            continue
        apart = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * product
        total += np.exp(-np.maximum(apart, 0.0) / (2 * length**2))
    return total / len(left)


@dataclass(frozen=True)
class Choice:
    """Kernel and noise that the marginal likelihood prefers for one target."""

    kind: str
    length: float
    noise: float
    amplitude: float


def choose(scores: Sequence[Floats], targets: Floats) -> list[Choice]:
    """Return the best choice for each target column (standardised inside).

    The amplitude is solved for: log p = −½ n log(yᵀ(K+λ)⁻¹y/n) − ½ log|K+λ|.
    """
    values = (targets - targets.mean(axis=0)) / np.maximum(targets.std(axis=0), 1e-12)
    count = len(values)
    best: list[tuple[float, Choice]] = [
        (-np.inf, Choice("gauss", 2.0, 0.1, 1.0)) for _ in range(values.shape[1])
    ]
    for kind, length in KERNELS:
        levels, vectors = np.linalg.eigh(kernel(scores, scores, kind, length))
        turned = (vectors.T @ values) ** 2
        for noise in NOISES:
            total = np.maximum(levels, 0.0) + noise
            amplitude = (turned / total[:, None]).sum(axis=0) / count
            likelihood = -0.5 * count * np.log(amplitude) - 0.5 * np.log(total).sum()
            for column, value in enumerate(likelihood):
                if value > best[column][0]:
                    best[column] = (
                        float(value),
                        Choice(kind, length, noise, float(amplitude[column])),
                    )
    return [choice for _, choice in best]


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
    found, width = (
        np.empty((len(asked[0]), targets.shape[1])),
        np.empty((len(asked[0]), targets.shape[1])),
    )
    solved: dict[tuple[str, float, float], tuple[Floats, Floats, Floats]] = {}
    for column, choice in enumerate(choices):
        key = (choice.kind, choice.length, choice.noise)
        if key not in solved:
            gram = kernel(scores, scores, choice.kind, choice.length)
            cross = kernel(asked, scores, choice.kind, choice.length)
            inverse = np.asarray(
                np.linalg.inv(gram + choice.noise * np.eye(len(gram))), dtype=np.float64
            )
            own = np.array(
                [
                    kernel(
                        [a[i : i + 1] for a in asked],
                        [a[i : i + 1] for a in asked],
                        choice.kind,
                        choice.length,
                    )[0, 0]
                    for i in range(len(cross))
                ]
            )
            left = np.einsum("ij,jk,ik->i", cross, inverse, cross, optimize=True)
            solved[key] = cross, inverse, np.maximum(own - left, 0.0) + choice.noise
        cross, inverse, variance = solved[key]
        scaled = (targets[:, column] - mean[column]) / deviation[column]
        found[:, column] = mean[column] + deviation[column] * (cross @ (inverse @ scaled))
        width[:, column] = deviation[column] * np.sqrt(choice.amplitude * variance)
    return found, width


def held_out(
    scores: Sequence[Floats],
    targets: Floats,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[Floats, Floats]:
    """Return predictions and deviations of every sample from folds that did not hold its group."""
    mean, width = np.empty(targets.shape), np.empty(targets.shape)
    for train, test in folds:
        known = [s[train] for s in scores]
        choices = choose(known, targets[train])
        mean[test], width[test] = posterior(
            known, targets[train], [s[test] for s in scores], choices
        )
    return mean, width
