"""From sites to yield: which lattice the sites sit on, how many emitters each holds, what fraction took.

In: detected sites, the map and its noise. Out: a registered lattice, per site the probabilities of 0,
1 and more emitters, and the posterior of the mean number and of the conversion yield, with the native
emitters that stand between the sites taken into account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from matterscope.emitters.sites.detection import Found
from matterscope.physics.images import Lattice, find_lattice

Floats = NDArray[np.float64]
MOST = 7
"""Emitters on a site that are told apart; more count as this many."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())


@dataclass(frozen=True)
class Registration:
    """The sites of an array: nodes (n, 2), places (n, 2) px, detected site of each or −1."""

    lattice: Lattice
    nodes: NDArray[np.int64]
    places: Floats
    detected: NDArray[np.int64]
    off_lattice: NDArray[np.int64]
    """Detected sites that belong to no node."""


def register(
    points: Floats, shape: tuple[int, int], reach: float, array: tuple[int, int] | None = None
) -> Registration | None:
    """Return the lattice of the points and all of its nodes inside the array, or None.

    Parameters
    ----------
    points : array of shape (n, 2), px
        Detected sites (x, y).
    shape : (int, int)
        Of the map.
    reach : float, px
        A point farther from its node does not belong to it.
    array : (rows, columns), optional
        Number of sites of the design; else the smallest rectangle of nodes that holds the points.
    """
    lattice = find_lattice(points, reach)
    if lattice is None:
        return None
    node = lattice.nodes(points)
    distance = np.hypot(*(points - lattice.place(node)).T)
    on = distance < reach
    low, high = _extent(node[on], array)
    first, second = np.meshgrid(
        np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1), indexing="ij"
    )
    nodes = np.stack([first.ravel(), second.ravel()], axis=1)
    places = lattice.place(nodes)
    inside = (
        (places > 2).all(axis=1) & (places[:, 0] < shape[1] - 3) & (places[:, 1] < shape[0] - 3)
    )
    nodes, places = nodes[inside], places[inside]
    number = {tuple(n): k for k, n in enumerate(nodes.tolist())}
    detected = np.full(len(nodes), -1)
    for i in np.argsort(distance):
        k = number.get(tuple(node[i].tolist()), -1)
        if on[i] and k >= 0 and detected[k] < 0:
            detected[k] = i
    off = np.setdiff1d(np.arange(len(points)), detected)
    return Registration(lattice, nodes, places, detected, off)


def _extent(
    nodes: NDArray[np.int64], array: tuple[int, int] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last node along both vectors."""
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    if array is None:
        for axis in (0, 1):
            # rows that hold less than a quarter of the usual number are chance neighbours of the array
            values, number = np.unique(nodes[:, axis], return_counts=True)
            full = values[
                number >= 0.25 * np.median(number[number > 1] if (number > 1).any() else number)
            ]
            low[axis], high[axis] = full.min(), full.max()
        return low, high
    size = high - low + 1
    # the design's rows may run along either vector
    wanted = np.array(
        array
        if abs(size[0] - array[0]) + abs(size[1] - array[1])
        <= abs(size[0] - array[1]) + abs(size[1] - array[0])
        else array[::-1]
    )
    for axis in (0, 1):
        while high[axis] - low[axis] + 1 < wanted[axis]:
            high[axis] += 1
        while high[axis] - low[axis] + 1 > wanted[axis]:
            ends = [(nodes[:, axis] == low[axis]).sum(), (nodes[:, axis] == high[axis]).sum()]
            if ends[0] <= ends[1]:
                low[axis] += 1
            else:
                high[axis] -= 1
    return low, high


def site_heights(
    residual: Floats, variance: Floats, places: Floats, spot: float, detected_at: Floats
) -> tuple[Floats, Floats]:
    """Return the heights of all sites (counts) and their errors, fitted together.

    Each site is a Gaussian spot at its detected place, else at its node; neighbours that overlap are
    solved for at once, by least squares with the background's variance.
    """
    at = np.where(np.isfinite(detected_at), detected_at, places)
    half = int(np.ceil(3.5 * spot))
    grid = np.arange(-half, half + 1)
    n = len(at)
    gram, right = np.zeros((n, n)), np.zeros(n)
    ny, nx = residual.shape
    stamps = []
    for x, y in at:
        c, r = round(float(x)), round(float(y))
        rows, columns = np.clip(r + grid, 0, ny - 1), np.clip(c + grid, 0, nx - 1)
        profile = (
            np.exp(-0.5 * ((r + grid - y) / spot) ** 2)[:, None]
            * np.exp(-0.5 * ((c + grid - x) / spot) ** 2)[None]
        )
        weight = 1 / variance[np.ix_(rows, columns)]
        stamps.append((rows, columns, profile, weight))
        right[len(stamps) - 1] = float((profile * weight * residual[np.ix_(rows, columns)]).sum())
    from scipy.spatial import cKDTree

    for i in range(n):
        gram[i, i] = float((stamps[i][2] ** 2 * stamps[i][3]).sum())
    for i, j in cKDTree(at).query_pairs(5 * spot):
        # two Gaussians overlap as exp(−d²/4σ²)
        overlap = np.exp(-float(((at[i] - at[j]) ** 2).sum()) / (4 * spot**2))
        gram[i, j] = gram[j, i] = overlap * np.sqrt(gram[i, i] * gram[j, j])
    inverse = np.linalg.inv(gram + 1e-12 * np.eye(n))
    heights = inverse @ right
    # light of the spot itself adds counting noise: Σg³/(Σg²)² = (2πσ²/3)/(πσ²)²
    own = np.maximum(heights, 0) * 2 / (3 * np.pi * spot**2)
    scale = variance.mean() / max(float(np.mean(variance)), 1e-12)
    return heights, np.sqrt(np.diag(inverse) + scale * own)


FEW_DRAWS = 60
"""Draws of the brightness law for which the sites are counted."""


@dataclass(frozen=True)
class Occupation:
    """What the heights say: draws of λ, median brightness and its spread, and the sites' numbers."""

    mean_number: Floats
    brightness: Floats
    spread: Floats
    probabilities: Floats
    """Shape (sites, MOST + 1): averaged over the draws."""
    drawn: Floats
    """The same for each of some draws of the law, shape (draws, sites, MOST + 1): sites err together."""
    converged: bool
    effective: float
    """Effective number of draws behind the posterior."""

    @property
    def classes(self) -> Floats:
        """Probabilities of none, one and several emitters, shape (sites, 3)."""
        return none_one_several(self.probabilities)


def none_one_several(probabilities: Floats) -> Floats:
    """Return probabilities of none, one and several from those of n, along the last axis."""
    return np.stack(
        [probabilities[..., 0], probabilities[..., 1], probabilities[..., 2:].sum(axis=-1)], axis=-1
    )


def _brightness_law(number: int, log_median: float, spread: float) -> tuple[float, float]:
    """Return log-median and log-spread of a sum of equal lognormals, by their first two moments."""
    mean = number * np.exp(log_median + 0.5 * spread**2)
    squared = np.log1p(np.expm1(spread**2) / number)
    return float(np.log(mean) - 0.5 * squared), float(np.sqrt(squared))


def _site_likelihoods(
    heights: Floats, sigma: Floats, gain: float, log_median: float, spread: float
) -> Floats:
    """Return ln p(height | n emitters), shape (sites, MOST + 1), on top of the background's error.

    `gain` is the extra variance per count of height: bright sites scatter by their own light.
    """
    logs = np.empty((heights.size, MOST + 1))
    logs[:, 0] = -0.5 * (heights / sigma) ** 2 - np.log(sigma)
    total = sigma**2 + gain * np.maximum(heights, 0)
    bright = heights > 4 * np.sqrt(total)
    dim = ~bright
    law = [_brightness_law(n, log_median, spread) for n in range(1, MOST + 1)]
    middle, width = np.array(law).T
    # bright sites: the noise is small on a logarithmic scale, and adds to the lognormal there;
    # a quadrature would fall between its nodes
    log_height = np.log(heights[bright])[:, None]
    variance = width**2 + (total[bright] / heights[bright] ** 2)[:, None]
    logs[bright, 1:] = (
        -0.5 * (log_height - middle) ** 2 / variance - 0.5 * np.log(variance) - log_height
    )
    true = np.exp(middle[:, None] + width[:, None] * _NODES)
    variance = sigma[dim, None, None] ** 2 + gain * true
    misfit = (heights[dim, None, None] - true) ** 2 / variance
    parts = _LOG_WEIGHTS - 0.5 * misfit - 0.5 * np.log(variance)
    logs[dim, 1:] = _log_sum(parts)
    return logs


def _log_sum(logs: Floats) -> Floats:
    """Return ln Σ exp along the last axis; the likelihood is asked hundreds of times."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(logs - top).sum(axis=-1)))


def _number_law(mean: float, scatter: float) -> Floats:
    """Return ln P(n) for n = 0 … MOST, Poisson or negative binomial."""
    n = np.arange(MOST + 1)
    if scatter < 1e-3:
        return np.asarray(n * np.log(mean) - mean - gammaln(n + 1))
    k = scatter**-2
    return np.asarray(
        gammaln(n + k)
        - gammaln(k)
        - gammaln(n + 1)
        + k * np.log(k / (k + mean))
        + n * np.log(mean / (k + mean))
    )


def count_emitters(
    heights: Floats,
    sigma: Floats,
    gain: float,
    rng: np.random.Generator,
    scatter: float = 0.0,
    draws: int = 240,
) -> Occupation:
    """Return how many emitters the sites hold, from their heights alone.

    The heights are a mixture over n of sums of n lognormal brightnesses; the mean number, the median
    brightness and its spread are found with the numbers, and their posterior is drawn by importance
    sampling about the most likely values (priors: ln λ flat over 0.01–8, ln of the spread
    0.3 ± 0.5).

    Parameters
    ----------
    heights, sigma : arrays of shape (sites,), counts
        Heights and their errors from the background alone.
    gain : float
        Variance per count of a site's own height.
    scatter : float
        Coefficient of variation of the apertures' areas.
    """
    bright = heights[heights > 3 * sigma]
    start = (
        np.log(np.median(bright)) if bright.size > 3 else np.log(max(float(heights.max()), 1e-3))
    )

    def cost(p: Floats) -> float:
        mean, median, spread = np.exp(p[0]), p[1], np.exp(p[2])
        if not (0.005 < mean < 12 and 0.02 < spread < 1.5):
            return 1e12
        logs = _site_likelihoods(heights, sigma, gain, median, spread) + _number_law(mean, scatter)
        prior = 0.5 * ((p[2] - np.log(0.3)) / 0.5) ** 2
        return float(prior - _log_sum(logs).sum())

    # the mixture has several modes (one bright emitter, or two dim ones): a coarse look first
    looks = [
        np.array([np.log(mean), start + lift, np.log(0.25)])
        for mean in np.geomspace(0.05, 6, 9)
        for lift in np.linspace(-1.4, 0.3, 9)
    ]
    guess = min(looks, key=cost)
    options = {"xatol": 3e-3, "fatol": 3e-3, "maxiter": 300}
    best = minimize(cost, guess, method="Nelder-Mead", options=options)
    chosen, effective = _posterior(cost, best.x, rng, draws)
    drawn = np.empty((FEW_DRAWS, heights.size, MOST + 1))
    for k, p in enumerate(chosen[:FEW_DRAWS]):
        logs = _site_likelihoods(heights, sigma, gain, p[1], float(np.exp(p[2])))
        logs = logs + _number_law(float(np.exp(p[0])), scatter)
        drawn[k] = np.exp(logs - _log_sum(logs)[:, None])
    number, median, spread = np.exp(chosen).T
    return Occupation(
        number, median, spread, drawn.mean(axis=0), drawn, bool(best.success), effective
    )


def _posterior(
    cost: Callable[[Floats], float], start: Floats, rng: np.random.Generator, draws: int
) -> tuple[Floats, float]:
    """Return 2000 draws from exp(−cost) and their effective number, by adapted importance sampling.

    A first round about the optimum finds centre and covariance, a second one draws from them.
    """
    centre, covariance = start, np.diag([0.08, 0.04, 0.15]) ** 2
    tried, weight = start[None], np.ones(1)
    for number in (draws // 2, draws // 2, draws):
        root = np.linalg.cholesky(covariance)
        unit = rng.standard_t(6, (number, 3))
        tried = centre + 1.1 * unit @ root.T
        value = np.array([cost(p) for p in tried])
        log_weight = -value + 3.5 * np.log1p(unit**2 / 6).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        # tempered while few draws carry the weight
        soft = weight ** min(1.0, 1 / np.sum(weight**2) / 30)
        soft /= soft.sum()
        centre = soft @ tried
        off = tried - centre
        covariance = (soft[:, None] * off).T @ off + np.diag([1e-5, 1e-5, 1e-5])
    chosen = tried[rng.choice(len(tried), 2000, p=weight)]
    return chosen, float(1 / np.sum(weight**2))


@dataclass(frozen=True)
class Sites:
    """Heights of all sites with errors, what they say, and the empirical null between the sites."""

    heights: Floats
    sigma: Floats
    law: Occupation
    null_offset: float
    null_scale: float


def occupation(
    counts: Floats, found: Found, array: Registration, scatter: float, rng: np.random.Generator
) -> Sites:
    """Return how many emitters the sites of a registered array hold.

    The same fit at places between the sites gives the null law of heights: background that the
    smooth model misses would otherwise pass for dim emitters.
    """
    residual = np.where(np.isfinite(counts), counts - found.background, 0.0)
    points = found.sites[["x", "y"]].to_numpy()
    at = np.full(array.places.shape, np.nan)
    seen = array.detected >= 0
    at[seen] = points[array.detected[seen]]
    heights, sigma = site_heights(residual, found.variance, array.places, found.spot, at)
    own = 2 / (3 * np.pi * found.spot**2)
    dark = np.sqrt(np.maximum(sigma**2 - np.maximum(heights, 0) * own, 1e-12))
    between = array.lattice.place(array.nodes) + 0.5 * array.lattice.vectors.sum(axis=0)
    ny, nx = counts.shape
    inside = (between > 2).all(axis=1) & (between[:, 0] < nx - 3) & (between[:, 1] < ny - 3)
    offset, scale = 0.0, 1.0
    if inside.sum() >= 10:
        null, null_sigma = site_heights(
            residual,
            found.variance,
            between[inside],
            found.spot,
            np.full((int(inside.sum()), 2), np.nan),
        )
        pulls = null / null_sigma
        offset = float(np.median(null))
        scale = float(max(1.0, 1.4826 * np.median(np.abs(pulls - np.median(pulls)))))
    law = count_emitters(heights - offset, scale * dark, own * found.excess_noise, rng, scatter)
    return Sites(heights - offset, scale * dark, law, offset, scale)


def native_density(
    between: int, area: float, seen: float, rng: np.random.Generator, n: int = 2000
) -> Floats:
    """Return draws of the density of native emitters (1/px²) from those seen between the sites.

    Parameters
    ----------
    between : int
        Detected sites that belong to no node.
    area : float, px²
        Area searched between the nodes.
    seen : float
        Share of single emitters that would have been detected.
    """
    # Jeffreys prior of a Poisson rate
    return np.asarray(rng.gamma(between + 0.5, 1.0, n) / (max(area, 1.0) * max(seen, 0.05)))
