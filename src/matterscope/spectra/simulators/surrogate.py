"""A forward surrogate: structure → spectrum, learned on any simulated set; for search and previews.

In: sites with their spectra on one grid. Out: a kernel model that gives a spectrum and its uncertainty
for a new site in milliseconds. Always marked as a surrogate; never training data for anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from matterscope.physics.structures import cluster

Floats = NDArray[np.float64]

RADIUS = 6.0
NEAR = 4.2
"""Å; the angular part sees this far."""
RADIAL = np.linspace(1.6, 6.0, 18)
SHELLS = np.linspace(1.7, 3.9, 6)
ORDERS = (0, 1, 2, 3, 4, 6)
VALENCE_RADIUS = 1.679
"""R₀ (Å) of Cu²⁺–O, for a bond-valence sum among the descriptors (Brese and O'Keeffe 1991)."""


def _channels(numbers: NDArray[np.int64]) -> Floats:
    """Return smooth functions of the neighbours' species (c, n): one, Z, period, group, oxygen."""
    from ase.data import covalent_radii

    noble = np.array([2, 10, 18, 36, 54, 86])
    period = np.searchsorted(noble, numbers) + 1.0
    start = np.concatenate([[0], noble])[np.searchsorted(noble, numbers)]
    filled = (numbers - start) / np.array([2, 8, 8, 18, 18, 32, 32])[
        np.searchsorted(noble, numbers)
    ]
    return np.array(
        [
            np.ones(len(numbers)),
            numbers / 30.0,
            period / 4.0,
            filled,
            covalent_radii[numbers],
            (numbers == 8).astype(float),
        ]
    )


def describe(atoms: Atoms, site: int) -> Floats:
    """Return a rotation-invariant description of a site, shape (m,).

    Radial: Σ_j w_c(Z_j) exp(−(r_j − R_n)²/2σ²) f(r_j), for six channels c and 18 shells. Angular: the power
    spectrum Σ_m |Σ_j w_c g_n(r_j) Y_lm|² within 4.2 Å by the addition theorem, Σ_jk w_j w_k g_j g_k P_l(cos θ).
    First shell: sorted distances of the six nearest atoms, coordination, bond-valence sum.
    """
    around = cluster(atoms, site, RADIUS)
    numbers, far = around.numbers[1:], around.distances[1:]
    cut = 0.5 * (1 + np.cos(np.pi * far / RADIUS))
    bumps = np.exp(-((far[None] - RADIAL[:, None]) ** 2) / (2 * 0.2**2)) * cut
    channels = _channels(numbers)
    radial = channels @ bumps.T
    near = far < NEAR
    unit = around.positions[1:][near] / far[near, None]
    cosine = np.clip(unit @ unit.T, -1.0, 1.0)
    smooth = 0.5 * (1 + np.cos(np.pi * far[near] / NEAR))
    shells = np.exp(-((far[near][None] - SHELLS[:, None]) ** 2) / (2 * 0.25**2)) * smooth
    angular = []
    for order in ORDERS:
        legendre = np.polynomial.legendre.Legendre.basis(order)(cosine)
        for channel in (channels[1, near], channels[5, near]):
            weighted = shells * channel
            power = weighted @ legendre @ weighted.T
            angular.append(power[np.triu_indices(len(SHELLS))])
    first = np.concatenate([far[:8], np.full(8, RADIUS)])[:8]
    kinds = np.concatenate([numbers[:8] / 30.0, np.zeros(8)])[:8]
    valence = np.exp((VALENCE_RADIUS - far[numbers == 8]) / 0.37).sum()
    count = np.sum(far <= 1.25 * far[0]) if len(far) else 0
    return np.concatenate(
        [radial.ravel(), np.sqrt(np.abs(np.concatenate(angular))), first, kinds, [valence, count]]
    )


@dataclass(frozen=True)
class Surrogate:
    """Laplacian-kernel regression on standardised descriptors.

    Parameters
    ----------
    grid : array of shape (m,), eV
    known : array of shape (n, d)
        Standardised descriptors of the training sites.
    centre, scale : arrays of shape (d,)
    weights : array of shape (n, m)
        Dual coefficients of k(x, x') = exp(−γ Σ|x − x'|).
    rate : float
        γ times the number of descriptors.
    mean : array of shape (m,)
    spread : float
        Root mean square error of a site without any likeness to the training set.
    """

    grid: Floats
    known: Floats
    centre: Floats
    scale: Floats
    weights: Floats
    rate: float
    mean: Floats
    spread: float

    def kernel(self, described: Floats) -> Floats:
        """Return k (q, n) between new sites and the training sites."""
        asked = np.clip((described - self.centre) / self.scale, -CLIP, CLIP)
        apart = cdist(asked, self.known, "cityblock")
        return np.asarray(np.exp(-self.rate / self.known.shape[1] * apart))

    def predict(self, described: Floats) -> tuple[Floats, Floats]:
        """Return spectra (q, m) and a standard error (q,) that grows with the distance to all training sites.

        σ = s·√(1 − max k): nothing near, and the error is that of the mean spectrum.
        """
        near = self.kernel(described)
        return self.mean + near @ self.weights, self.spread * np.sqrt(1 - near.max(axis=1))


CLIP = 6.0
"""Standard deviations at which a descriptor is cut: odd species must not outweigh all else."""


def fit_surrogate(
    described: Floats, spectra: Floats, grid: Floats, *, rate: float = 1.0, noise: float = 0.003
) -> Surrogate:
    """Return a surrogate of sites described by (n, d) with spectra (n, m); (K + λ) w = y − ȳ."""
    centre, scale = described.mean(axis=0), described.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    known = np.clip((described - centre) / scale, -CLIP, CLIP)
    mean = spectra.mean(axis=0)
    gram = np.exp(-rate / known.shape[1] * cdist(known, known, "cityblock"))
    gram[np.diag_indices(len(gram))] += noise
    weights = np.linalg.solve(gram, spectra - mean)
    spread = float(np.sqrt(((spectra - mean) ** 2).mean()))
    return Surrogate(grid, known, centre, scale, weights, rate, mean, spread)
