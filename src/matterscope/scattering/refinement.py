"""Disk refinement: positions, radii, scale and centre fitted to the counts themselves.

In: counts of the measured pixels and a starting structure. Out: the fitted structure, its Poisson
deviance, the deviance to expect, and the Fisher information. Lengths are radians per pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from matterscope.physics.fourier import TABLE_STEP, bessel_tables
from matterscope.scattering.deviance import expected_deviance, noisy_deviance, poisson_deviance
from matterscope.scattering.model_kernel import fill_model

Floats = NDArray[np.float64]

LONGEST_STEP = 0.035
"""A disk moves by at most this per step: 25 px of the published box (radians per pixel)."""

CENTRE_SIGMA = 2.0
"""px; how far the centre found by symmetry may be from the true one, several times its error."""


@dataclass(frozen=True)
class Counts:
    """The measured pixels: those not in here are simply unknown.

    Parameters
    ----------
    value : array of shape (n,), counts
        Photons, summed over the pixels of a Friedel pair where both were measured.
    weight : array of shape (n,)
        Number of detector pixels in each sum (1 or 2).
    index : integer array of shape (2, n)
        Row and column of each pixel on the axes.
    ky, kx : arrays, px
        Distance of rows and columns from the assumed centre.
    noise : float, counts²
        Variance of read-out noise per detector pixel.
    """

    value: Floats
    weight: Floats
    index: NDArray[np.int64]
    ky: Floats
    kx: Floats
    noise: float = 0.0
    blur: float = 0.0
    """Standard deviation (px) of the Gaussian that partial coherence lays over the intensity."""
    gain_error: float = 0.0
    """Relative standard error of the counts per photon: the deviance is uncertain by as much."""
    read: float = 0.0
    """The part of `noise` that is Gaussian, without the skewness of dark counts."""

    @property
    def radius(self) -> Floats:
        """Return the distance of the pixels from the assumed centre, px."""
        rho: Floats = np.hypot(self.ky[self.index[0]], self.kx[self.index[1]])
        return rho

    @property
    def level(self) -> float:
        """Return the mean photons per pixel."""
        return float(self.value.sum() / self.weight.sum())

    def part(self, keep: NDArray[np.bool_]) -> Counts:
        """Return some of the pixels."""
        index = np.ascontiguousarray(self.index[:, keep])
        return replace(self, value=self.value[keep], weight=self.weight[keep], index=index)


@dataclass(frozen=True)
class Structure:
    """A model of the pattern: disks, a common scale, and the offset of the centre.

    The amplitude is F(k) = s Σ_j r_j² h(|k−δ| r_j) e^{i(k−δ)·u_j}; the intensity |F|² per pixel.
    """

    y: Floats
    x: Floats
    radius: Floats
    scale: float
    offset: tuple[float, float] = (0.0, 0.0)

    @property
    def count(self) -> int:
        """Return the number of disks."""
        return int(self.y.size)

    def subset(self, keep: NDArray[np.bool_]) -> Structure:
        """Return the structure with some of its disks."""
        return replace(self, y=self.y[keep], x=self.x[keep], radius=self.radius[keep])

    def with_disk(self, y: float, x: float, radius: float) -> Structure:
        """Return the structure with one disk more."""
        return replace(
            self,
            y=np.append(self.y, y),
            x=np.append(self.x, x),
            radius=np.append(self.radius, radius),
        )


@dataclass(frozen=True)
class Freedom:
    """What is fitted, and the prior law.

    Parameters
    ----------
    radii : bool
        Every radius by itself; else one radius for all.
    centre : bool
        The offset of the centre.
    scatter : float
        Coefficient of variation of the areas in the prior (only with free radii).
    area : float
        Illuminated area that disks may occupy, radians² per pixel².
    """

    radii: bool = True
    centre: bool = False
    scatter: float = 1.0 / 3.0
    area: float = float(np.pi**2)

    @property
    def mode(self) -> int:
        """Return the code of the model kernel."""
        return (2 if self.radii else 1) + (4 if self.centre else 0)


@dataclass(frozen=True)
class Fit:
    """A refined structure with its deviance, expected deviance, Fisher matrix and evidence.

    `score` is −2 log evidence in Laplace's approximation, by which structures of different N compare.
    """

    structure: Structure
    freedom: Freedom
    deviance: float
    expected: float
    spread: float
    information: Floats
    score: float
    iterations: int

    @property
    def goodness(self) -> float:
        """Return z = (D − E[D]) / sd[D] under the fitted intensity."""
        return (self.deviance - self.expected) / max(self.spread, 1e-12)


@cache
def _table() -> Floats:
    return np.ascontiguousarray(np.concatenate(bessel_tables(), axis=1))


def intensity(structure: Structure, counts: Counts, mode: int = 0) -> tuple[Floats, Floats]:
    """Return I per detector pixel at the pixels of `counts`, and its Jacobian (empty for mode 0)."""
    if counts.blur > 0:
        return _blurred(structure, counts, mode)
    n, pixels = structure.count, counts.value.size
    columns = 1 + 2 * n + (n if mode & 2 else 1) + (2 if mode & 4 else 0)
    values = np.empty(pixels)
    jacobian = np.empty((pixels, columns) if mode else (1, 1))
    disks = np.stack([structure.y, structure.x, structure.radius], axis=1)
    tune = np.array([structure.scale, *structure.offset, 1.0 / TABLE_STEP])
    axes = (counts.ky, counts.kx)
    fill_model(counts.index, axes, disks, tune, _table(), mode, values, jacobian)
    return values, jacobian


def _blurred(structure: Structure, counts: Counts, mode: int) -> tuple[Floats, Floats]:
    """Return intensity and Jacobian after the blur: both are linear in |F|², so both are blurred."""
    margin = int(np.ceil(3.5 * counts.blur)) + 1
    axes = []
    for k in (counts.ky, counts.kx):
        step = float(k[1] - k[0])
        axes.append(k[0] + step * (np.arange(k.size + 2 * margin) - margin))
    shape = (axes[0].size, axes[1].size)
    whole = np.ascontiguousarray(np.indices(shape).reshape(2, -1).astype(np.int64))
    every = Counts(np.zeros(whole.shape[1]), np.ones(whole.shape[1]), whole, axes[0], axes[1])
    values, jacobian = intensity(structure, every, mode)
    row, column = counts.index + margin
    sigma = (counts.blur / float(counts.ky[1] - counts.ky[0]), counts.blur)
    smooth = ndimage.gaussian_filter(values.reshape(shape), sigma, truncate=3.5)[row, column]
    if not mode:
        return np.asarray(smooth, dtype=float), jacobian
    planes = jacobian.reshape(*shape, -1)
    for axis in (0, 1):
        planes = ndimage.gaussian_filter1d(planes, sigma[axis], axis=axis, truncate=3.5)
    return np.asarray(smooth, dtype=float), np.ascontiguousarray(planes[row, column])


def _pack(structure: Structure, freedom: Freedom) -> Floats:
    radii = structure.radius if freedom.radii else structure.radius[:1]
    centre = structure.offset if freedom.centre else ()
    return np.concatenate(
        [[np.log(max(structure.scale, 1e-30))], structure.y, structure.x, radii, centre]
    )


def _unpack(vector: Floats, like: Structure, freedom: Freedom) -> Structure:
    n = like.count
    radii = vector[1 + 2 * n : 1 + 3 * n] if freedom.radii else np.full(n, vector[1 + 2 * n])
    offset = (float(vector[-2]), float(vector[-1])) if freedom.centre else like.offset
    scale = float(np.exp(vector[0]))
    return Structure(vector[1 : 1 + n], vector[1 + n : 1 + 2 * n], radii, scale, offset)


def _prior(structure: Structure, freedom: Freedom, size: int) -> tuple[float, Floats, Floats]:
    """Return −2 log of the laws of sizes and centre, its half gradient and curvature over the packed vector."""
    gradient, curvature = np.zeros(size), np.zeros(size)
    n = structure.count
    # a weak prior on positions keeps the translation, which no pattern shows, from being singular
    curvature[1 : 1 + 2 * n] = 12.0 / freedom.area
    curvature[0] = 1e-6
    away = 0.0
    if freedom.centre:
        # Friedel symmetry gives the centre to a pixel: a structure that wants another explains something else
        gradient[-2:] = np.array(structure.offset) / CENTRE_SIGMA**2
        curvature[-2:] = 1.0 / CENTRE_SIGMA**2
        away = float(np.sum(np.square(structure.offset))) / CENTRE_SIGMA**2
    if not freedom.radii:
        return away, gradient, curvature
    r = structure.radius
    mean = float((r**2).mean())
    c = r**2 / mean
    slope = 2.0 * r / mean
    where = slice(1 + 2 * n, 1 + 3 * n)
    gradient[where] = (c - 1.0) / freedom.scatter**2 * slope
    curvature[where] = slope**2 / freedom.scatter**2
    return away + float(((c - 1.0) ** 2).sum() / freedom.scatter**2), gradient, curvature


@dataclass
class _State:
    """One point of the search: vector, its mean counts and what it costs."""

    vector: Floats
    structure: Structure
    cost: float


def refine(
    structure: Structure,
    counts: Counts,
    freedom: Freedom,
    *,
    steps: int = 12,
    fisher: bool = False,
    tolerance: float = 0.02,
) -> Fit:
    """Fit a structure by Levenberg–Marquardt with the analytic Jacobian.

    Parameters
    ----------
    structure : Structure
        Start.
    counts : Counts
        Measured pixels.
    freedom : Freedom
        What may change.
    steps : int
        Most steps.
    fisher : bool
        Fisher scoring of the Poisson deviance: weights 1/μ. Else least squares with the weights
        2/(y + μ) of the step's start, which act on amplitudes and stay bounded far from the
        solution; its own minimum is biased at low counts, so a last call scores.
    tolerance : float
        Stop when a step lowers the deviance by less.
    """
    base = counts.weight * max(counts.noise, 1e-9)
    state = _State(_pack(structure, freedom), structure, np.inf)
    damping, used = 1e-2, 0
    while used < steps:
        used += 1
        values, jacobian = intensity(state.structure, counts, freedom.mode)
        mean = counts.weight * values + base
        normal, slope, measure = _normal(counts, mean, jacobian, state, freedom, fisher)
        state.cost = measure(mean) + _prior(state.structure, freedom, state.vector.size)[0]
        moved = False
        for _ in range(5):
            trial = _try(normal, slope, damping, state, counts, freedom, measure)
            if trial.cost < state.cost:
                moved = True
                damping = max(damping * 0.2, 1e-6)
                break
            damping *= 10.0
        if not moved:
            break
        gain, state = state.cost - trial.cost, trial
        if gain < tolerance:
            break
    return assess(state.structure, counts, freedom, iterations=used)


def _normal(
    counts: Counts, mean: Floats, jacobian: Floats, state: _State, freedom: Freedom, fisher: bool
) -> tuple[Floats, Floats, Callable[[Floats], float]]:
    """Return normal matrix, its right-hand side, and the cost of any mean under the same weights."""
    shifted = counts.value + counts.weight * counts.noise
    denominator = np.maximum(mean if fisher else 0.5 * (shifted + mean), 1e-3 * counts.weight)
    root = counts.weight / np.sqrt(denominator)
    jacobian *= root[:, None]
    residual = (shifted - mean) / counts.weight * root
    _, gradient, curvature = _prior(state.structure, freedom, state.vector.size)
    normal = jacobian.T @ jacobian
    normal[np.diag_indices_from(normal)] += curvature

    def squares(trial: Floats) -> float:
        return float(((shifted - trial) ** 2 / denominator).sum())

    def likelihood(trial: Floats) -> float:
        return poisson_deviance(np.maximum(shifted, 0.0), trial)

    return normal, jacobian.T @ residual - gradient, likelihood if fisher else squares


def _try(
    normal: Floats,
    slope: Floats,
    damping: float,
    state: _State,
    counts: Counts,
    freedom: Freedom,
    measure: Callable[[Floats], float],
) -> _State:
    damped = normal.copy()
    diagonal = np.diag_indices_from(damped)
    # a parameter on which no count depends (a disk without weight) must not make the matrix singular
    damped[diagonal] = damped[diagonal] * (1.0 + damping) + 1e-12 * damped[diagonal].max() + 1e-30
    step = np.linalg.solve(damped, slope)
    n = state.structure.count
    longest = float(np.abs(step[1 : 1 + 2 * n]).max(initial=0.0))
    radius = state.structure.radius
    swell = float(np.abs(step[1 + 2 * n : 1 + 3 * n]).max(initial=0.0) / radius.mean())
    step *= min(1.0, LONGEST_STEP / max(longest, 1e-12), 0.5 / max(swell, 1e-12))
    vector = state.vector + step
    where = slice(1 + 2 * n, 1 + 2 * n + (n if freedom.radii else 1))
    vector[where] = np.maximum(vector[where], 0.05 * radius.mean())
    structure = _unpack(vector, state.structure, freedom)
    mean = counts.weight * (intensity(structure, counts)[0] + max(counts.noise, 1e-9))
    return _State(vector, structure, measure(mean) + _prior(structure, freedom, vector.size)[0])


def assess(structure: Structure, counts: Counts, freedom: Freedom, iterations: int = 0) -> Fit:
    """Return the fit's deviance with its expectation, Fisher information and Laplace evidence."""
    values, jacobian = intensity(structure, counts, freedom.mode)
    mean = counts.weight * values + counts.weight * max(counts.noise, 1e-9)
    jacobian *= (counts.weight / np.sqrt(np.maximum(mean, 1e-6)))[:, None]
    penalty, _, curvature = _prior(structure, freedom, jacobian.shape[1])
    information = jacobian.T @ jacobian
    information[np.diag_indices_from(information)] += curvature
    shifted = np.maximum(counts.value + counts.weight * counts.noise, 0.0)
    cost = poisson_deviance(shifted, mean)
    if counts.read > 1e-6:
        expected, spread = noisy_deviance(mean, counts.weight * counts.read)
    else:
        expected, spread = expected_deviance(mean)
    spread = float(np.hypot(spread, counts.gain_error * expected))
    score = cost + penalty + _occam(structure, freedom, information)
    return Fit(structure, freedom, cost, expected, spread, information, score, iterations)


def _occam(structure: Structure, freedom: Freedom, information: Floats) -> float:
    """Return −2 log (prior density × posterior volume) of a fit: what a further disk has to pay.

    N unlabelled disks uniform in the area without overlap; the mean area A has the density 1/A, the areas
    scatter about it with the law's width, given that their mean is A: N − 1 further freedoms.
    """
    n = structure.count
    # columns without information (a disk too small to matter) are bounded by the prior's curvature
    _, logdet = np.linalg.slogdet(information)
    volume = float(logdet) - information.shape[0] * np.log(2.0 * np.pi)
    excluded = np.pi * (2.0 * structure.radius.mean()) ** 2 / freedom.area
    placed = 2.0 * n * np.log(freedom.area) - 2.0 * special.gammaln(n + 1)
    placed -= n * (n - 1) * min(float(excluded), 0.1)
    slope = 2.0 * structure.radius / (structure.radius**2).mean()
    if not freedom.radii:
        return float(volume + placed - 2.0 * np.log(slope[0]))
    sizes = n * np.log(2.0 * np.pi * freedom.scatter**2) - 2.0 * np.log(slope).sum()
    given = np.log(2.0 * np.pi * freedom.scatter**2 / n)
    return float(volume + placed + sizes - given)


def uncertainties(fit: Fit) -> dict[str, Any]:
    """Return standard errors of positions relative to their mean, of radii, and of the centre.

    The covariance is the inverse Fisher matrix; the common translation, unknown to any pattern, is
    projected out.
    """
    n = fit.structure.count
    floor = 1e-13 * float(np.diag(fit.information).max())
    covariance = np.linalg.inv(fit.information + floor * np.eye(len(fit.information)))
    project = np.eye(n) - 1.0 / n
    result: dict[str, Any] = {}
    for name, start in (("y", 1), ("x", 1 + n)):
        block = covariance[start : start + n, start : start + n]
        result[name] = np.sqrt(np.maximum(np.diag(project @ block @ project), 0.0))
    radii = np.diag(covariance)[1 + 2 * n : 1 + 3 * n if fit.freedom.radii else 2 + 2 * n]
    result["radius"] = np.broadcast_to(np.sqrt(np.maximum(radii, 0.0)), (n,)).copy()
    if fit.freedom.centre:
        result["centre"] = np.sqrt(np.maximum(np.diag(covariance)[-2:], 0.0))
    return result
