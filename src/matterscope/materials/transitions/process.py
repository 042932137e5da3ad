"""A Gaussian process over defects: kernels of host, impurity, site and electron count, multiplied and summed.

In: feature blocks of defects and one or several numbers for each. Out: mean and variance for other defects.
Hyper-parameters by marginal likelihood with analytic gradients; several targets share one set of lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]
Blocks = Mapping[str, Array]
Term = tuple[str, ...]

LINEAR = "trend"
"""The block whose kernel is 1 + x·x′ (a trend that extrapolates); all others are Matérn-5/2."""
JITTER = 1e-8
LENGTH_SPREAD, AMPLITUDE_PRIOR, NOISE_PRIOR = 1.0, (np.log(0.15), 1.5), (np.log(0.03), 1.5)
"""Weak normal priors on the logarithms; the data are standardised."""


def matern(squared: Array) -> Array:
    """Return the Matérn-5/2 correlation (1 + √5r + 5r²/3) e^(−√5r) of squared distances r².

    Examples
    --------
    >>> matern(np.array([0.0])).item()
    1.0
    """
    root = np.sqrt(5 * squared)
    return np.asarray((1 + root + root * root / 3) * np.exp(-root))


def _matern_and_slope(squared: Array) -> tuple[Array, Array]:
    """Return the correlation k and −2 dk/dr² = (5/3)(1 + √5r) e^(−√5r)."""
    root = np.sqrt(5 * squared)
    decay = np.exp(-root)
    return (1 + root + root * root / 3) * decay, 5 / 3 * (1 + root) * decay


def _squared(a: Array, b: Array) -> Array:
    cross = a @ b.T
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * cross, 0.0))


def block_kernels(
    terms: Sequence[Term], lengths: Mapping[str, Array], a: Blocks, b: Blocks
) -> dict[str, Array]:
    """Return the correlation of every block that the terms name, shape (n, m) each."""
    result = {}
    for name in sorted({n for term in terms for n in term}):
        if name == LINEAR:
            result[name] = 1 + a[name] @ b[name].T
        else:
            scale = lengths[name]
            result[name] = matern(_squared(a[name] / scale, b[name] / scale))
    return result


@dataclass
class LevelProcess:
    """One process for one target; `learn_processes` makes them, `condition` takes the rows to learn from.

    Parameters
    ----------
    terms : tuple of tuples of str
        Each term is a product of block names; the kernel is their sum with learned amplitudes.
    """

    terms: tuple[Term, ...]
    lengths: dict[str, Array] = field(default_factory=dict)
    amplitudes: Array = field(default_factory=lambda: np.empty(0))
    noise: float = 0.1
    _state: dict[str, Any] = field(default_factory=dict, repr=False)

    def kernel(self, a: Blocks, b: Blocks, parts: Mapping[str, Array] | None = None) -> Array:
        """Return the covariance between two sets of defects, without noise; `parts` saves the blocks."""
        parts = parts if parts is not None else block_kernels(self.terms, self.lengths, a, b)
        total: Array = np.zeros(next(iter(parts.values())).shape)
        for amplitude, term in zip(self.amplitudes, self.terms, strict=True):
            total += amplitude * _product([parts[n] for n in term])
        return total

    @property
    def seen(self) -> dict[str, Array]:
        """Return the blocks of the rows that it predicts from."""
        blocks: dict[str, Array] = self._state["blocks"]
        return blocks

    def prior_variance(self, a: Blocks) -> Array:
        """Return the variance of each defect before anything is learnt."""
        ones = np.ones(len(next(iter(a.values()))))
        total = np.zeros_like(ones)
        for amplitude, term in zip(self.amplitudes, self.terms, strict=True):
            linear = [1 + (a[LINEAR] ** 2).sum(1)] if LINEAR in term else []
            total += amplitude * _product([ones, *linear])
        return total

    def condition(
        self, blocks: Blocks, target: Array, weights: Array | None = None, parts: Mapping[str, Array] | None = None
    ) -> LevelProcess:  # fmt: skip
        """Take rows to predict from; noise of row i is noise/weights[i]."""
        factor = self._factor(self.kernel(blocks, blocks, parts), weights)
        self._state = {
            "blocks": {k: np.asarray(v) for k, v in blocks.items()},
            "factor": factor,
            "alpha": cho_solve((factor, True), target, check_finite=False),
        }
        return self

    def _factor(self, total: Array, weights: Array | None) -> Array:
        noise = self.noise / (weights if weights is not None else 1.0)
        total[np.diag_indices_from(total)] += noise + JITTER
        return np.asarray(cholesky(total, lower=True, check_finite=False, overwrite_a=True))

    def precision(
        self, kernel: Array, target: Array, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """Return K⁻¹ and K⁻¹y of rows with noise noise/weights, for answers that leave rows out."""
        factor = self._factor(kernel.copy(), weights)
        inverse = cho_solve((factor, True), np.eye(len(target)), check_finite=False)
        return np.asarray(inverse), np.asarray(inverse @ target)

    def predict(
        self, blocks: Blocks, parts: Mapping[str, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return mean and variance (noise included) of other defects, shapes (n,) and (n,)."""
        cross = self.kernel(blocks, self._state["blocks"], parts)
        reduced = solve_triangular(self._state["factor"], cross.T, lower=True, check_finite=False)
        variance = self.prior_variance(blocks) - (reduced**2).sum(0)
        return cross @ self._state["alpha"], np.maximum(variance, 1e-9) + self.noise


@dataclass
class _Search:
    """Marginal likelihood of several targets over the same rows: lengths shared, the rest their own."""

    terms: tuple[Term, ...]
    blocks: Blocks
    targets: Array
    names: list[str]
    sizes: list[int]
    one_length: bool = False
    """One length for a whole block, in place of one for each of its columns."""

    @property
    def counts(self) -> list[int]:
        """Return how many lengths each block has."""
        return [1 if self.one_length else d for d in self.sizes]

    @property
    def centre(self) -> Array:
        """Return the means of the priors of all logarithms."""
        count = self.targets.shape[1]
        return np.concatenate(
            [np.full(n, 0.5 * np.log(d)) for n, d in zip(self.counts, self.sizes, strict=True)]
            + [np.full(count * len(self.terms), AMPLITUDE_PRIOR[0]), np.full(count, NOISE_PRIOR[0])]
        )

    @property
    def spread(self) -> Array:
        """Return their standard deviations."""
        count = self.targets.shape[1]
        return np.concatenate(
            [
                np.full(sum(self.counts), LENGTH_SPREAD),
                np.full(count * len(self.terms), AMPLITUDE_PRIOR[1]),
                np.full(count, NOISE_PRIOR[1]),
            ]
        )

    def unpack(self, theta: Array) -> tuple[dict[str, Array], Array, Array]:
        """Return lengths, amplitudes (targets, terms) and noise (targets,)."""
        ends = np.cumsum([0, *self.counts])
        values, count = np.exp(theta), self.targets.shape[1]
        lengths = {n: values[ends[i] : ends[i + 1]] for i, n in enumerate(self.names)}
        return lengths, values[ends[-1] : -count].reshape(count, len(self.terms)), values[-count:]

    def loss(self, theta: Array) -> tuple[float, Array]:
        """Return −log posterior and its gradient in the logarithms."""
        lengths, amplitudes, noise = self.unpack(theta)
        scaled = {n: self.blocks[n] / lengths[n] for n in self.names}
        pairs = {n: _matern_and_slope(_squared(s, s)) for n, s in scaled.items()}
        parts = {n: pair[0] for n, pair in pairs.items()}
        if LINEAR in self.blocks:
            parts[LINEAR] = 1 + self.blocks[LINEAR] @ self.blocks[LINEAR].T
        products = [_product([parts[n] for n in term]) for term in self.terms]
        value, by_amplitude, by_noise, weights = self._targets(products, amplitudes, noise)
        slopes = []
        for name in self.names:
            # Σ over targets and terms of dL/dK times the other factors of the term
            total = pairs[name][1] * sum(
                weight * _product([parts[n] for n in term if n != name], len(weight))
                for weight, term in zip(weights, self.terms, strict=True)
                if name in term
            )
            x = scaled[name]
            # Σ_ij m_ij (x_i − x_j)² per dimension, m symmetric
            slope = -(x * x * total.sum(1)[:, None]).sum(0) + (x * (total @ x)).sum(0)
            slopes.append(slope.sum(keepdims=True) if self.one_length else slope)
        pull = (theta - self.centre) / self.spread
        slope = np.concatenate([*slopes, by_amplitude.ravel(), by_noise])
        return value + 0.5 * float(pull @ pull), slope + pull / self.spread

    def _targets(
        self, products: list[Array], amplitudes: Array, noise: Array
    ) -> tuple[float, Array, Array, list[Array]]:
        """Return −log p, its slopes in amplitudes and noise, and Σ_targets amplitude · (−2 dL/dK) per term."""
        flat = np.array([p.ravel() for p in products])
        size = len(self.targets)
        weights = [np.zeros((size, size)) for _ in self.terms]
        by_amplitude, by_noise, value = np.zeros_like(amplitudes), np.zeros_like(noise), 0.0
        for c, y in enumerate(self.targets.T):
            total = (amplitudes[c] @ flat).reshape(size, size)
            total[np.diag_indices(size)] += noise[c] + JITTER
            factor = cholesky(total, lower=True, check_finite=False, overwrite_a=True)
            alpha = cho_solve((factor, True), y, check_finite=False)
            inverse = cho_solve((factor, True), np.eye(size), check_finite=False)
            value += 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum())
            weight = np.outer(alpha, alpha) - inverse
            by_amplitude[c] = -0.5 * amplitudes[c] * (flat @ weight.ravel())
            by_noise[c] = -0.5 * noise[c] * np.trace(weight)
            for place, amplitude in enumerate(amplitudes[c]):
                weights[place] += amplitude * weight
        return value, by_amplitude, by_noise, weights


def learn_processes(
    terms: tuple[Term, ...],
    blocks: Blocks,
    targets: Array,
    steps: int = 40,
    *,
    one_length: bool = False,
) -> list[LevelProcess]:
    """Return one process per column of `targets` (n, k), standardised; they share one set of lengths.

    Few lengths for many targets: what is alike for one component of a level vector is alike for the others.
    With `one_length` every block has a single one, for tables of few rows.
    """
    names = sorted({n for term in terms for n in term} - {LINEAR})
    blocks = {n: blocks[n] for term in terms for n in term}
    search = _Search(terms, blocks, targets, names, [blocks[n].shape[1] for n in names], one_length)
    found = minimize(
        search.loss, search.centre, jac=True, method="L-BFGS-B",
        bounds=[(np.log(1e-4), np.log(200.0))] * len(search.centre), options={"maxiter": steps},
    )  # fmt: skip
    lengths, amplitudes, noise = search.unpack(found.x)
    return [
        LevelProcess(terms, lengths, a, float(n)) for a, n in zip(amplitudes, noise, strict=True)
    ]


def _product(parts: Sequence[Array], size: int = 0) -> Array:
    total: Array = parts[0] if parts else np.ones((size, size))
    for part in parts[1:]:
        total = total * part
    return total
