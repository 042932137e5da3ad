"""Mixtures: how much of each reference a spectrum holds, and how many species a series holds.

In: spectra on one grid. Out: fractions on the simplex with intervals, a shift per component, the
number of components with its evidence, target tests, and resolved species (MCR-ALS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, lsq_linear, nnls

from matterscope.core.errors import ConfigError

Array = NDArray[np.float64]
Curve = tuple[Array, Array]
"""Energies (eV, ascending) and normalised absorption of a reference on its own grid."""

CLOSURE = 1e3
"""Weight of Σf = 1 against the data, in units of the largest column."""


@dataclass(frozen=True)
class Problem:
    """What a mixture may be made of.

    Parameters
    ----------
    grid : array of shape (n,), eV
        Where the fit is judged.
    references : sequence of (energies, values)
        Each on its own grid, covering the fit's with the shift.
    max_shift : float, eV
        Largest shift of a reference; 0 fixes all axes.
    closed : bool
        Whether the fractions must sum to 1.
    """

    grid: Array
    references: Sequence[Curve]
    max_shift: float = 0.0
    closed: bool = True

    def design(self, shifts: Array) -> Array:
        """Return the references on the grid, shape (n, k), moved by `shifts` (eV)."""
        moved = zip(self.references, shifts, strict=True)
        return np.stack([np.interp(self.grid - d, e, m) for (e, m), d in moved], axis=1)


@dataclass(frozen=True)
class Mixture:
    """A linear combination fitted to one spectrum.

    Parameters
    ----------
    fractions : array of shape (k,)
        ≥ 0; their sum is 1 unless it was left free.
    shifts : array of shape (k,), eV
        Added to the energies of each reference.
    fit, residual : arrays of shape (n,)
        On the grid of the fit.
    rmse : float
        Root mean square of the residual.
    samples : array of shape (draws, k)
        Block bootstrap of the fractions.
    """

    fractions: Array
    shifts: Array
    fit: Array
    residual: Array
    rmse: float
    samples: Array


def fit_mixture(
    problem: Problem, spectrum: Array, rng: np.random.Generator, *, draws: int = 200
) -> Mixture:
    """Fit Σ f_i b_i(E − δ_i) to a spectrum, f on the simplex, |δ_i| ≤ `max_shift`.

    Parameters
    ----------
    problem : Problem
        Grid, references, and what may move.
    spectrum : array of shape (n,)
        Normalised absorption on the grid.
    rng : Generator
        For the bootstrap.
    draws : int
        Bootstrap samples; blocks of 12 points keep the correlation of misfits between theory,
        reference and sample, which a point-wise bootstrap would take for noise.

    Notes
    -----
    The shifts are outer variables, the fractions are projected out by non-negative least squares
    (Golub and Pereyra, SIAM J. Numer. Anal. 10, 413 (1973)).
    """
    if len(problem.references) < 1:
        raise ConfigError("a mixture needs references", got=0, hint="--basis FILE --basis FILE")
    shifts = np.zeros(len(problem.references))

    def misfit(moved: Array) -> Array:
        design = problem.design(moved)
        return np.asarray(design @ _simplex(design, spectrum, problem.closed) - spectrum)

    if problem.max_shift > 0:
        bounds = (shifts - problem.max_shift, shifts + problem.max_shift)
        shifts = least_squares(misfit, shifts, bounds=bounds, diff_step=1e-2, x_scale=0.3).x
    design = problem.design(shifts)
    fractions = _simplex(design, spectrum, problem.closed)
    fit = design @ fractions
    residual = spectrum - fit
    samples = _bootstrap(problem, shifts, fractions, spectrum, rng, draws)
    return Mixture(fractions, shifts, fit, residual, float(np.sqrt(np.mean(residual**2))), samples)


def _simplex(design: Array, spectrum: Array, closed: bool) -> Array:
    if not closed:
        return np.asarray(nnls(design, spectrum)[0])
    weight = CLOSURE * float(np.abs(design).max())
    rows = np.vstack([design, np.full(design.shape[1], weight)])
    return np.asarray(nnls(rows, np.append(spectrum, weight))[0])


def _bootstrap(
    problem: Problem,
    shifts: Array,
    fractions: Array,
    spectrum: Array,
    rng: np.random.Generator,
    draws: int,
) -> Array:
    """Return fractions of resampled spectra; shifts move linearly about their optimum."""
    design, count = problem.design(shifts), fractions.size
    rows, low, high = design, np.zeros(count), np.full(count, np.inf)
    if problem.max_shift > 0:
        step = 0.05
        slopes = (problem.design(shifts + step) - design) / step * fractions
        rows = np.hstack([design, slopes])
        # a shift at its bound keeps a little room, as the bound is a guess
        low = np.append(low, np.minimum(-problem.max_shift - shifts, -1e-3))
        high = np.append(high, np.maximum(problem.max_shift - shifts, 1e-3))
    weight = CLOSURE * float(np.abs(design).max()) if problem.closed else 0.0
    rows = np.vstack([rows, np.where(np.arange(rows.shape[1]) < count, weight, 0.0)])
    fit = design @ fractions
    # the residual of a fit with p free numbers is short by √(1 − p/n)
    free = rows.shape[1] - problem.closed
    scale = np.sqrt(fit.size / max(fit.size - free, 1))
    samples = []
    for _ in range(draws):
        resampled = fit + scale * _blocks(spectrum - fit, 12, rng)
        answer = lsq_linear(rows, np.append(resampled, weight), bounds=(low, high))
        samples.append(answer.x[:count])
    return np.array(samples)


def _blocks(residual: Array, length: int, rng: np.random.Generator) -> Array:
    length = min(length, residual.size)
    count = -(-residual.size // length)
    starts = rng.integers(0, residual.size, count)
    index = (starts[:, None] + np.arange(length)) % residual.size  # circular
    return np.asarray(residual[index.ravel()[: residual.size]] * rng.choice([-1.0, 1.0], 1))


# --- series without references ----------------------------------------------------------------


@dataclass(frozen=True)
class Components:
    """How many species a series of spectra holds.

    Parameters
    ----------
    singular_values : array of shape (m,)
        Of the matrix of spectra, falling.
    noise : float
        Standard deviation of one point, from the spectra's own ripple.
    indicator : array of shape (m,)
        Malinowski's IND; its minimum is the classical answer (NaN for the last).
    probabilities : array of shape (m,)
        Of 1 … m components.
    count : int
        The most probable.
    """

    singular_values: Array
    noise: float
    indicator: Array
    probabilities: Array
    count: int


def count_components(matrix: Array, noise: float | None = None) -> Components:
    """Return how many components a matrix of spectra needs, with the evidence.

    Parameters
    ----------
    matrix : array of shape (m, n)
        m spectra on one grid, m ≥ 2.
    noise : float, optional
        Standard deviation of one point; by default from second differences along the energy.

    Notes
    -----
    BIC of a rank-k model with known noise: χ²_k + k(m + n − k) ln(mn), χ²_k = Σ_{j>k} s_j²/σ²;
    probabilities are exp(−BIC/2), normalised. IND = RSD/(m − k)² (Malinowski, Anal. Chem. 49, 606 (1977)).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pure = np.stack([np.sin(np.linspace(0, 3, 200)), np.linspace(0, 1, 200) ** 2])
    >>> mixed = rng.dirichlet([1, 1], 8) @ pure + rng.normal(0, 0.002, (8, 200))
    >>> count_components(mixed).count
    2
    """
    m, n = matrix.shape
    if m < 2:
        raise ConfigError("one spectrum has no number of components", got=m, expected="at least 2")
    values: Array = np.asarray(np.linalg.svd(matrix, compute_uv=False), float)
    if noise is None:
        noise = ripple(matrix)
    tail = np.append(np.cumsum((values**2)[::-1])[::-1][1:], 0.0)
    k = np.arange(1, m + 1)
    bic = tail / max(noise, 1e-300) ** 2 + k * (m + n - k) * np.log(m * n)
    weight = np.exp(-0.5 * (bic - bic.min()))
    with np.errstate(divide="ignore", invalid="ignore"):
        indicator = np.sqrt(tail / (n * (m - k))) / (m - k) ** 2
    probabilities = weight / weight.sum()
    return Components(values, noise, indicator, probabilities, int(k[np.argmax(probabilities)]))


def ripple(matrix: Array) -> float:
    """Return the noise of one point from second differences: var = ⟨(Δ²y)²⟩/6, robustly."""
    second = np.diff(matrix, n=2, axis=-1)
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0)) + 1e-12


@dataclass(frozen=True)
class Target:
    """Whether a reference is one of the species of a series.

    Parameters
    ----------
    misfit : float
        Root mean square of what the abstract components cannot make of the reference.
    ratio : float
        Misfit over the noise expected of it; below about 3 the reference is acceptable.
    """

    misfit: float
    ratio: float


def check_target(matrix: Array, count: int, reference: Array, noise: float) -> Target:
    """Project a reference on the space of the first `count` components of a series.

    Parameters
    ----------
    matrix : array of shape (m, n)
        Spectra.
    count : int
        Number of components.
    reference : array of shape (n,)
        On the same grid.
    noise : float
        Standard deviation of one point.
    """
    _, _, vectors = np.linalg.svd(matrix, full_matrices=False)
    space = vectors[:count]
    rest = reference - (reference @ space.T) @ space
    misfit = float(np.sqrt(np.mean(rest**2)))
    return Target(misfit, misfit / noise)


@dataclass(frozen=True)
class Resolved:
    """Species and their shares, by alternating least squares.

    Parameters
    ----------
    spectra : array of shape (k, n)
        Non-negative.
    shares : array of shape (m, k)
        Non-negative, rows sum to 1.
    misfit : float
        Root mean square of the residual.
    iterations : int
        Until the misfit changed by less than 1e-6 of itself.
    converged : bool
        Whether it did.
    """

    spectra: Array
    shares: Array
    misfit: float
    iterations: int
    converged: bool


def resolve(matrix: Array, count: int, *, most: int = 2000) -> Resolved:
    """Resolve a series into `count` non-negative species with shares that sum to 1 (MCR-ALS).

    Parameters
    ----------
    matrix : array of shape (m, n)
        Normalised spectra.
    count : int
        Number of species, at most m.
    most : int
        Limit on the iterations.

    Notes
    -----
    Starts from the spectra that are farthest from each other (successive projections), so that no
    random number is needed. The answer is one of a family: non-negativity and closure rarely fix the
    rotation (de Juan, Jaumot and Tauler, Anal. Methods 6, 4964 (2014)).
    """
    species = matrix[_purest(matrix, count)].copy()
    last, misfit, converged = np.inf, np.inf, False
    shares = np.zeros((len(matrix), count))
    iterations = 0
    while iterations < most and not converged:
        iterations += 1
        shares = np.stack([_simplex(species.T, row, closed=True) for row in matrix])
        species = np.maximum(np.linalg.lstsq(shares, matrix, rcond=None)[0], 0.0)
        misfit = float(np.sqrt(np.mean((matrix - shares @ species) ** 2)))
        converged = abs(last - misfit) <= 1e-6 * misfit
        last = misfit
    return Resolved(species, shares, misfit, iterations, converged)


def _purest(matrix: Array, count: int) -> list[int]:
    """Return the rows of the largest volume, one after the other."""
    rest = matrix - matrix.mean(axis=0)
    chosen: list[int] = []
    for _ in range(count):
        norms = (rest**2).sum(axis=1)
        norms[chosen] = -1.0
        best = int(np.argmax(norms))
        chosen.append(best)
        if len(chosen) == 1:
            rest = matrix - matrix[best]
        else:
            direction = rest[best] / max(float(np.linalg.norm(rest[best])), 1e-30)
            rest = rest - np.outer(rest @ direction, direction)
    return chosen
