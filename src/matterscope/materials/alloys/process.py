"""One Gaussian process over alloys: hyper-parameters by marginal likelihood, robust to wild rows.

In: fractions by site, one property. Out: mean, covariance and leave-one-out predictions.
The noise of a row is learnt with it (Student-t by reweighting), so that a few odd rows bend nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.sitekernels import (
    JOINT_TERMS,
    LENGTHS_PER_SITE,
    TREND_TERMS,
    JointKernel,
    ProductKernel,
    SiteBasis,
    SiteKernel,
    TrendKernel,
    trend_features,
)

Array = NDArray[np.float64]
Fractions = tuple[Array, Array, Array]
Kernel = ProductKernel | JointKernel | TrendKernel

JITTER = 1e-6
FREEDOM = 4.0
"""Degrees of freedom of the Student-t noise."""
REFIT_ITERATIONS = 12
LENGTH_PRIOR = (0.0, 1.0)
AMPLITUDE_PRIOR = (np.log(0.05), 2.5)
NOISE_PRIOR = (np.log(0.01), 2.0)
"""Mean and spread of the logarithms; the data are standardised."""


def take(fractions: Fractions, rows: NDArray[np.integer]) -> Fractions:
    """Return the given rows of each site's fractions."""
    a, b, x = (f[rows] for f in fractions)
    return a, b, x


def inverse_of(factor: Array) -> Array:
    """Return (L Lᵀ)⁻¹ of a lower Cholesky factor L."""
    lower, _ = dpotri(factor, lower=1)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T)


def mixed_sites(fractions: Fractions) -> tuple[str, ...]:
    """Return the sites on which at least one row holds two species."""
    return tuple(s for s, f in zip(SITES, fractions, strict=True) if ((f > 1e-6).sum(1) > 1).any())


@dataclass
class AlloyProcess:
    """A fitted process.

    Parameters
    ----------
    terms : tuple of str
        Terms of the kernel (`sitekernels`).
    bases : three SiteBasis
    robust : bool
        Learn the noise of each row.
    """

    terms: tuple[str, ...]
    bases: tuple[SiteBasis, ...]
    robust: bool = True
    fractions: Fractions = field(default_factory=lambda: (np.empty((0, 0)),) * 3)
    target: Array = field(default_factory=lambda: np.empty(0))
    theta: Array = field(default_factory=lambda: np.empty(0))
    weights: Array = field(default_factory=lambda: np.empty(0))
    """Noise variance of row i is σ²/weights[i]."""
    _state: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def lengths(self) -> int:
        """How many log lengths stand first in `theta`."""
        return 1 if self.terms == TREND_TERMS else LENGTHS_PER_SITE * len(self.bases)

    def kernel(self, left: Fractions, right: Fractions) -> Kernel:
        """Return the covariance between two lists of compounds."""
        if self.terms == JOINT_TERMS:
            return JointKernel(self.bases, left, right)
        if self.terms == TREND_TERMS:
            return TrendKernel(self.bases, left, right)
        return ProductKernel(self.terms, self.bases, left, right)

    def fit(self, fractions: Fractions, target: Array, iterations: int = 45) -> AlloyProcess:
        """Find the hyper-parameters; rows must be complete."""
        self.fractions, self.target = fractions, np.asarray(target, dtype=float)
        self.weights = np.ones(len(target))
        z = self._standard(self.target)
        kernel = self.kernel(fractions, fractions)
        self.theta = self._start()
        rounds = 2 if self.robust else 1
        for number in range(rounds):
            steps = iterations if number == 0 else iterations // 2
            self.theta = self._optimise(kernel, z, steps)
            if number < rounds - 1:
                self._reweight(kernel, z)
        return self.condition()

    def condition(self) -> AlloyProcess:
        """Factor the covariance of the training rows; all that is needed after loading."""
        z = self._standard(self.target)
        kernel = self.kernel(self.fractions, self.fractions)
        noise = np.exp(self.theta[-1]) / self.weights + JITTER
        factor = cholesky(kernel.matrix(self.theta[:-1]) + np.diag(noise), lower=True)
        inverse = inverse_of(factor)
        self._state = {"factor": factor, "alpha": inverse @ z, "inverse": inverse}
        return self

    # --- scale -------------------------------------------------------------------------------
    def _standard(self, values: Array) -> Array:
        return np.asarray((values - self.target.mean()) / self.spread)

    def _back(self, z: Array, sigma: Array) -> tuple[Array, Array]:
        return self.target.mean() + self.spread * z, self.spread * sigma

    # --- fit ---------------------------------------------------------------------------------
    def _start(self) -> Array:
        amplitudes = [np.log(0.1 if "R" in t else 0.3 / len(self.terms)) for t in self.terms]
        return np.concatenate([np.zeros(self.lengths), amplitudes, [np.log(0.02)]])

    def _prior(self) -> tuple[Array, Array]:
        terms = len(self.terms)
        pairs = [LENGTH_PRIOR] * self.lengths + [AMPLITUDE_PRIOR] * terms + [NOISE_PRIOR]
        both = np.array(pairs, dtype=float)
        return both[:, 0], both[:, 1]

    def _optimise(self, kernel: Kernel, z: Array, iterations: int) -> Array:
        centre, spread = self._prior()

        def objective(theta: Array) -> tuple[float, Array]:
            covariance, pullback = kernel.value_and_pullback(theta[:-1])
            noise = np.exp(theta[-1]) / self.weights
            covariance[np.diag_indices_from(covariance)] += noise + JITTER
            try:
                factor = cholesky(covariance, lower=True, check_finite=False)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            inverse = inverse_of(factor)
            alpha = inverse @ z
            loss = 0.5 * z @ alpha + np.log(np.diag(factor)).sum()
            weight = 0.5 * (inverse - np.outer(alpha, alpha))
            slopes = np.append(pullback(weight), np.diag(weight) @ noise)
            pull = (theta - centre) / spread
            return float(loss + 0.5 * pull @ pull), slopes + pull / spread

        terms = len(self.terms)
        bounds = [(-6.0, 4.0)] * self.lengths + [(-14.0, 5.0)] * terms + [(-11.0, 1.0)]
        found = minimize(
            objective, self.theta, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": iterations},
        )  # fmt: skip
        return np.asarray(found.x)

    def _reweight(self, kernel: Kernel, z: Array) -> None:
        # E step of the Student-t scale mixture: wᵢ = (ν + 1)/(ν + E[εᵢ²]/σ²)
        variance = np.exp(self.theta[-1])
        noise = variance / self.weights
        covariance = kernel.matrix(self.theta[:-1]) + np.diag(noise + JITTER)
        inverse = np.linalg.inv(covariance)
        residual = noise * (inverse @ z)
        second = residual**2 + noise - noise**2 * np.diag(inverse)
        self.weights = (FREEDOM + 1) / (FREEDOM + second / variance)

    # --- answers -----------------------------------------------------------------------------
    def leave_out(self, blocks: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return prediction and σ of each training row without its block, hyper-parameters kept.

        With K⁻¹ = Q and rows B left out, y_B − ŷ_B = (Q_BB)⁻¹ α_B and cov = (Q_BB)⁻¹. σ is that of a new
        row: the row's own noise is replaced by the usual one.

        Parameters
        ----------
        blocks : array of shape (n,)
            Number of each row's block; all different for leave-one-out.

        References
        ----------
        Sundararajan and Keerthi, Neural Comput. 13, 1103 (2001), for single rows.
        """
        inverse, alpha = self._state["inverse"], self._state["alpha"]
        z = self._standard(self.target)
        own = np.exp(self.theta[-1]) / self.weights + JITTER
        value, variance = np.empty(len(z)), np.empty(len(z))
        for block in np.unique(blocks):
            rows = np.flatnonzero(blocks == block)
            covariance = np.linalg.inv(inverse[np.ix_(rows, rows)])
            value[rows] = z[rows] - covariance @ alpha[rows]
            variance[rows] = np.diag(covariance)
        variance = np.maximum(variance - own, 0.0) + self.noise**2
        return self._back(value, np.sqrt(variance))

    def leave_out_refitted(
        self, blocks: NDArray[np.integer], iterations: int = REFIT_ITERATIONS
    ) -> tuple[Array, Array]:
        """Return prediction and σ of each training row by processes that never saw its block.

        The hyper-parameters are found anew without the block, from those of all rows: kept as they are,
        as in `leave_out`, they flatter a kernel of many lengths by 10–20 % against one of few.
        """
        value, sigma = np.empty(len(self.target)), np.empty(len(self.target))
        for block in np.unique(blocks):
            out = np.flatnonzero(blocks == block)
            part = self.without(out, iterations)
            value[out], sigma[out] = part.predict(take(self.fractions, out))
        return value, sigma

    def without(self, out: NDArray[np.integer], iterations: int = REFIT_ITERATIONS) -> AlloyProcess:
        """Return the process learnt anew without the rows `out`, from the hyper-parameters of all rows."""
        rest = np.setdiff1d(np.arange(len(self.target)), out)
        part = AlloyProcess(
            self.terms, self.bases, self.robust, take(self.fractions, rest),
            self.target[rest], self.theta, self.weights[rest],
        )  # fmt: skip
        kernel = part.kernel(part.fractions, part.fractions)
        part.theta = part._optimise(kernel, part._standard(part.target), iterations)
        return part.condition()

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of a row, odd ones included, in standardised units."""
        return float(np.sqrt(np.exp(self.theta[-1]) * np.mean(1 / self.weights)))

    def predict(self, fractions: Fractions) -> tuple[Array, Array]:
        """Return mean and σ (noise included) of compounds, row by row."""
        cross = self.kernel(fractions, self.fractions).matrix(self.theta[:-1])
        solved = solve_triangular(self._state["factor"], cross.T, lower=True)
        prior = self.prior_variance(fractions)
        variance = np.maximum(prior - (solved**2).sum(0), 0.0) + self.noise**2
        return self._back(cross @ self._state["alpha"], np.sqrt(variance))

    def covariance(self, left: Fractions, right: Fractions) -> Array:
        """Return the posterior covariance between compounds, noise left out, shape (n, m).

        In units of the property squared.
        """
        crosses = [
            self.kernel(side, self.fractions).matrix(self.theta[:-1]) for side in (left, right)
        ]
        solved = [solve_triangular(self._state["factor"], cross.T, lower=True) for cross in crosses]
        prior = self.kernel(left, right).matrix(self.theta[:-1])
        return np.asarray(self.spread**2 * (prior - solved[0].T @ solved[1]))

    @property
    def spread(self) -> float:
        """Standard deviation of the training values, the unit of the standardised ones."""
        return float(self.target.std() or 1.0)

    def predict_grid(self, tables: Fractions) -> tuple[Array, Array]:
        """Return mean and σ of all products of site compositions, shape (n_A, n_B, n_X) each.

        The same numbers as `predict`, with every site kernel computed once: for fixed A and X the
        covariance with the training rows is a sum over the kinds of B kernel.
        """
        if self.terms in (JOINT_TERMS, TREND_TERMS):
            return self._predict_rows(tables)
        factors, diagonals = zip(
            *(self._site_table(place, table) for place, table in enumerate(tables)), strict=True
        )
        first = LENGTHS_PER_SITE * len(self.bases)
        amplitudes = np.exp(self.theta[first:-1])
        shape = tuple(len(t) for t in tables)
        mean, variance = np.empty(shape), np.empty(shape)
        for i in range(shape[0]):
            for k in range(shape[2]):
                cross = np.zeros((shape[1], len(self.target)))
                prior = np.zeros(shape[1])
                for kind in {t[1] for t in self.terms}:
                    chosen = [
                        (a * factors[0][t[0]][i] * factors[2][t[2]][k],
                         a * diagonals[0][t[0]][i] * diagonals[2][t[2]][k])
                        for t, a in zip(self.terms, amplitudes, strict=True) if t[1] == kind
                    ]  # fmt: skip
                    cross += factors[1][kind] * np.sum([c for c, _ in chosen], axis=0)
                    prior += diagonals[1][kind] * np.sum([d for _, d in chosen])
                solved = solve_triangular(
                    self._state["factor"], cross.T, lower=True, check_finite=False
                )
                mean[i, :, k] = cross @ self._state["alpha"]
                variance[i, :, k] = np.maximum(prior - (solved**2).sum(0), 0.0) + self.noise**2
        return self._back(mean, np.sqrt(variance))

    def _predict_rows(self, tables: Fractions) -> tuple[Array, Array]:
        shape = tuple(len(t) for t in tables)
        mean, sigma = np.empty(shape), np.empty(shape)
        for i in range(shape[0]):
            for k in range(shape[2]):
                one = (
                    np.repeat(tables[0][i : i + 1], shape[1], axis=0),
                    tables[1],
                    np.repeat(tables[2][k : k + 1], shape[1], axis=0),
                )
                mean[i, :, k], sigma[i, :, k] = self.predict(one)
        return mean, sigma

    def _site_table(self, place: int, table: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return kind → covariances with the training rows, and kind → k(u, u)."""
        unique, back = np.unique(self.fractions[place], axis=0, return_inverse=True)
        kernel = SiteKernel(self.bases[place], table, unique)
        logs = self.theta[LENGTHS_PER_SITE * place : LENGTHS_PER_SITE * (place + 1)]
        cross = {"1": np.ones((len(table), len(self.target)))}
        diagonal = {"1": np.ones(len(table))}
        for kind in {t[place] for t in self.terms} - {"1"}:
            value = kernel.expand(kernel.evaluate(kind, logs, gradient=False)[0])
            cross[kind] = value[:, np.ravel(back)]
            diagonal[kind] = self._site_diagonal(place, kind, table)
        return cross, diagonal

    def prior_variance(self, fractions: Fractions) -> Array:
        """Return k(u, u) of each compound."""
        logs = self.theta
        if self.terms == TREND_TERMS:
            line, curve = np.exp(logs[1:3])
            size = (trend_features(self.bases, fractions) ** 2).sum(1)
            return np.asarray(line * (1.0 + size) + curve)
        if self.terms == JOINT_TERMS:
            squares = [(f**2).sum(1) for f in fractions]
            joint, linear, pair = np.exp(logs[-4:-1])
            return np.asarray(
                joint + linear * np.sum(squares, axis=0) + pair * squares[0] * squares[2]
            )
        total = np.zeros(len(fractions[0]))
        diagonals: dict[tuple[int, str], Array] = {}
        first = LENGTHS_PER_SITE * len(self.bases)
        for number, term in enumerate(self.terms):
            product = np.full(len(total), np.exp(logs[first + number]))
            for place, kind in enumerate(term):
                if kind == "1":
                    continue
                if (place, kind) not in diagonals:
                    diagonals[place, kind] = self._site_diagonal(place, kind, fractions[place])
                product = product * diagonals[place, kind]
            total += product
        return total

    def _site_diagonal(self, place: int, kind: str, rows: Array) -> Array:
        unique, back = np.unique(rows, axis=0, return_inverse=True)
        logs = self.theta[LENGTHS_PER_SITE * place : LENGTHS_PER_SITE * (place + 1)]
        values = np.empty(len(unique))
        for start in range(0, len(unique), 64):
            part = unique[start : start + 64]
            kernel = SiteKernel(self.bases[place], part, part)
            square = kernel.expand(kernel.evaluate(kind, logs, gradient=False)[0])
            values[start : start + 64] = np.diag(square)
        return values[np.ravel(back)]
