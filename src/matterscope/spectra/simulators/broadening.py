"""Broaden theory to an experiment: core hole, photoelectron, instrument.

In: a spectrum on any increasing grid (eV). Out: the same grid, convolved; areas are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf


def _edges(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = 0.5 * (energy[1:] + energy[:-1])
    first, last = 1.5 * energy[0] - 0.5 * energy[1], 1.5 * energy[-1] - 0.5 * energy[-2]
    return np.concatenate([[first], middle, [last]])


def _convolve(mu: NDArray[np.float64], cumulative: NDArray[np.float64]) -> NDArray[np.float64]:
    # weights are integrals of the kernel over each point's cell; ends continue as they stop
    weights = np.diff(cumulative, axis=1)
    low, high = cumulative[:, 0], 1.0 - cumulative[:, -1]
    return np.asarray(weights @ mu + low * mu[0] + high * mu[-1])


def gaussian_broaden(
    energy: NDArray[np.float64], mu: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """Return µ convolved with a Gaussian of standard deviation `sigma` (eV).

    Examples
    --------
    >>> e = np.linspace(0, 10, 101)
    >>> bool(np.allclose(gaussian_broaden(e, np.ones(101), 0.7), 1.0))
    True
    """
    if sigma <= 0:
        return mu
    apart = (_edges(energy)[None] - energy[:, None]) / (np.sqrt(2) * sigma)
    return _convolve(mu, 0.5 * (1 + erf(apart)))


def lorentzian_broaden(
    energy: NDArray[np.float64], mu: NDArray[np.float64], half_width: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Return µ convolved with Lorentzians of half width `half_width` (eV; a number or one a point).

    With one half width a point, Γ(E)/2 belongs to the energy at which the result is asked.
    """
    half = np.broadcast_to(np.asarray(half_width, dtype=float), energy.shape)
    if np.all(half <= 0):
        return mu
    apart = (_edges(energy)[None] - energy[:, None]) / np.maximum(half, 1e-9)[:, None]
    return _convolve(mu, 0.5 + np.arctan(apart) / np.pi)


def seah_dench_half_width(
    energy: NDArray[np.float64], edge: float, core: float, *, amplitude: float = 1.0
) -> NDArray[np.float64]:
    """Return Γ(E)/2 in eV: core hole plus the photoelectron's inverse mean free path.

    Γ_e = A·E' / (E' + E₀) with E' = E − E_edge above the edge and E₀ = 15 eV: the arctangent-like
    rise of Seah and Dench's universal curve (Surf. Interface Anal. 1, 2, 1979) below 50 eV.
    """
    above = np.maximum(energy - edge, 0.0)
    return core / 2 + amplitude * above / (above + 15.0)
