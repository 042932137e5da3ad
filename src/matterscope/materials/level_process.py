"""A Gaussian process over defects: kernels of host, impurity, site and electron count, multiplied and summed.

In: feature blocks of defects and one number for each. Out: mean and variance for other defects.
Hyper-parameters by marginal likelihood with analytic gradients; everything is arrays.
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


def _slope(squared: Array) -> Array:
    """Return −2 dk/dr² of the Matérn-5/2 correlation: (5/3)(1 + √5r) e^(−√5r)."""
    root = np.sqrt(5 * squared)
    return np.asarray(5 / 3 * (1 + root) * np.exp(-root))


def _squared(a: Array, b: Array) -> Array:
    cross = a @ b.T
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * cross, 0.0))


@dataclass
class LevelProcess:
    """One process; `fit` learns the hyper-parameters, `condition` takes the rows to learn from.

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

    # ------------------------------------------------------------ kernel
    def _blocks(self, a: Blocks, b: Blocks) -> dict[str, Array]:
        result = {}
        for name in {n for term in self.terms for n in term}:
            if name == LINEAR:
                result[name] = 1 + a[name] @ b[name].T
            else:
                scale = self.lengths[name]
                result[name] = matern(_squared(a[name] / scale, b[name] / scale))
        return result

    def kernel(self, a: Blocks, b: Blocks) -> Array:
        """Return the covariance between two sets of defects, without noise."""
        parts = self._blocks(a, b)
        total: Array = np.zeros((len(next(iter(a.values()))), len(next(iter(b.values())))))
        for amplitude, term in zip(self.amplitudes, self.terms, strict=True):
            total += amplitude * _product([parts[n] for n in term])
        return total

    def prior_variance(self, a: Blocks) -> Array:
        """Return the variance of each defect before anything is learnt."""
        ones = np.ones(len(next(iter(a.values()))))
        trend = 1 + (a[LINEAR] ** 2).sum(1) if LINEAR in a else ones
        return np.asarray(
            sum(
                amplitude * (trend if LINEAR in term else ones)
                for amplitude, term in zip(self.amplitudes, self.terms, strict=True)
            )
        )

    # ------------------------------------------------------------ hyper-parameters
    def fit(self, blocks: Blocks, target: Array, steps: int = 40) -> LevelProcess:
        """Learn lengths, amplitudes and noise from defects of known target (standardised)."""
        names = sorted({n for term in self.terms for n in term} - {LINEAR})
        sizes = [blocks[n].shape[1] for n in names]
        centre = np.concatenate(
            [np.full(d, 0.5 * np.log(d)) for d in sizes]
            + [np.full(len(self.terms), AMPLITUDE_PRIOR[0]), [NOISE_PRIOR[0]]]
        )
        spread = np.concatenate(
            [
                np.full(sum(sizes), LENGTH_SPREAD),
                np.full(len(self.terms), AMPLITUDE_PRIOR[1]),
                [NOISE_PRIOR[1]],
            ]
        )
        start = centre.copy()
        if self.amplitudes.size:  # a warm start
            start = np.concatenate(
                [
                    np.log(np.concatenate([self.lengths[n] for n in names])),
                    np.log(self.amplitudes),
                    [np.log(self.noise)],
                ]
            )

        def loss(theta: Array) -> tuple[float, Array]:
            self._unpack(theta, names, sizes)
            value, slope = self._likelihood(blocks, target, names)
            pull = (theta - centre) / spread
            return value + 0.5 * float(pull @ pull), slope + pull / spread

        low, high = np.log(1e-4), np.log(200.0)
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(low, high)] * len(start),
            options={"maxiter": steps},
        )
        self._unpack(found.x, names, sizes)
        return self

    def _unpack(self, theta: Array, names: Sequence[str], sizes: Sequence[int]) -> None:
        ends = np.cumsum([0, *sizes])
        values = np.exp(theta)
        self.lengths = {n: values[ends[i] : ends[i + 1]] for i, n in enumerate(names)}
        self.amplitudes = values[ends[-1] : -1]
        self.noise = float(values[-1])

    def _likelihood(self, blocks: Blocks, y: Array, names: Sequence[str]) -> tuple[float, Array]:
        """Return −log p(y) and its gradient in the logarithms of all hyper-parameters."""
        scaled = {n: blocks[n] / self.lengths[n] for n in names}
        distance = {n: _squared(s, s) for n, s in scaled.items()}
        parts = {n: matern(d) for n, d in distance.items()}
        if LINEAR in blocks:
            parts[LINEAR] = 1 + blocks[LINEAR] @ blocks[LINEAR].T
        products = [_product([parts[n] for n in term]) for term in self.terms]
        total = sum(a * p for a, p in zip(self.amplitudes, products, strict=True))
        total = np.asarray(total) + (self.noise + JITTER) * np.eye(len(y))
        factor = cholesky(total, lower=True, check_finite=False)
        alpha = cho_solve((factor, True), y, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(len(y)), check_finite=False)
        weight = np.outer(alpha, alpha) - inverse  # −2 dL/dK
        value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum())
        slopes = []
        for name in names:
            base = weight * _slope(distance[name])
            outer = sum(
                a * _product([parts[n] for n in term if n != name], len(y))
                for a, term in zip(self.amplitudes, self.terms, strict=True)
                if name in term
            )
            m = base * outer
            x = scaled[name]
            # Σ_ij m_ij (x_i − x_j)² per dimension, m symmetric
            slopes.append(-(x * x * m.sum(1)[:, None]).sum(0) + (x * (m @ x)).sum(0))
        slopes.append(
            [-0.5 * a * np.sum(weight * p) for a, p in zip(self.amplitudes, products, strict=True)]
        )
        slopes.append([-0.5 * self.noise * np.trace(weight)])
        return value, np.concatenate([np.asarray(s, dtype=float) for s in slopes])

    # ------------------------------------------------------------ prediction
    def condition(
        self, blocks: Blocks, target: Array, weights: Array | None = None
    ) -> LevelProcess:
        """Take rows to predict from; noise of row i is noise/weights[i]."""
        noise = self.noise / (weights if weights is not None else 1.0)
        total = self.kernel(blocks, blocks)
        total[np.diag_indices_from(total)] += noise + JITTER
        factor = cholesky(total, lower=True, check_finite=False)
        self._state = {
            "blocks": {k: np.asarray(v) for k, v in blocks.items()},
            "factor": factor,
            "alpha": cho_solve((factor, True), target, check_finite=False),
        }
        return self

    def precision(
        self, blocks: Blocks, target: Array, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """Return K⁻¹ and K⁻¹y of rows with noise noise/weights, for answers that leave rows out."""
        total = self.kernel(blocks, blocks)
        total[np.diag_indices_from(total)] += (
            self.noise / (1.0 if weights is None else weights) + JITTER
        )
        factor = cholesky(total, lower=True, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(len(target)), check_finite=False)
        return np.asarray(inverse), np.asarray(inverse @ target)

    def predict(self, blocks: Blocks) -> tuple[Array, Array]:
        """Return mean and variance (noise included) of other defects, shapes (n,) and (n,)."""
        cross = self.kernel(blocks, self._state["blocks"])
        reduced = solve_triangular(self._state["factor"], cross.T, lower=True, check_finite=False)
        variance = self.prior_variance(blocks) - (reduced**2).sum(0)
        return cross @ self._state["alpha"], np.maximum(variance, 1e-9) + self.noise


def _product(parts: Sequence[Array], size: int = 0) -> Array:
    total: Array = parts[0] if parts else np.ones((size, size))
    for part in parts[1:]:
        total = total * part
    return total
