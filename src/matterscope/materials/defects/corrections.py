"""Finite-size corrections of charged cells: point charge by Ewald sum, and the potential alignment of FNV.

In: charge, dielectric constant or tensor, cell; for the alignment, potentials along the axes.
Out: energies in eV. Potentials are electrostatic (positive near a positive charge), in V.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matterscope.core.errors import ConfigError, DataError

Array = NDArray[np.float64]
COULOMB = 14.3996454784
"""e²/4πε₀ in eV Å."""
MADELUNG_CUBIC = 2.837297479
WIDTH = 0.2
"""Å; narrow, because the energy used is that of a point charge."""
WINDOW = 0.5
"""Å to either side of the place farthest from the defect, where the plateau is read."""
FAR_SHARE = 0.2
"""How flat it is, is read in this share of the axis."""


def dielectric_tensor(epsilon: float | ArrayLike) -> Array:
    """Return ε as a 3×3 tensor; raise unless it is positive definite with all eigenvalues above 1."""
    given = np.asarray(epsilon, dtype=float)
    tensor = (
        np.eye(3) * given if given.ndim == 0 else np.diag(given) if given.shape == (3,) else given
    )
    if tensor.shape != (3, 3) or not np.allclose(tensor, tensor.T, atol=1e-6):
        raise ConfigError(
            "the dielectric constant must be one number, three, or a symmetric 3×3 tensor",
            got=given.shape,
        )
    smallest = float(np.linalg.eigvalsh(tensor)[0])
    if not smallest > 1:
        raise ConfigError(
            "the dielectric constant must be larger than 1",
            got=f"{smallest:g}",
            hint="give the static (ion-relaxed) dielectric constant of the host",
        )
    return tensor


def madelung_potential(cell: ArrayLike, epsilon: float | ArrayLike = 1.0 + 1e-12) -> float:
    r"""Return the potential of the periodic images and the background at a unit charge, 1/Å.

    Anisotropic Ewald sum, ξ = Σ_R erfc(γ√(R·ε⁻¹·R))/√(det ε R·ε⁻¹·R) + (4π/Ω) Σ_G e^(−G·ε·G/4γ²)/(G·ε·G)
    − 2γ/√(π det ε) − π/(Ω γ²); E = −ξ q² e²/2 (Murphy and Hine, Phys. Rev. B 87, 094111 (2013)).

    Parameters
    ----------
    cell : array of shape (3, 3), Å
    epsilon : float or array
        Dielectric constant; 1 for the bare Madelung sum.

    Examples
    --------
    >>> round(-madelung_potential(np.eye(3)), 6)
    2.837297
    """
    lattice = np.asarray(cell, dtype=float)
    given: Array = np.asarray(epsilon, dtype=float)
    tensor: Array = np.eye(3) * given if given.ndim == 0 else given
    volume = abs(float(np.linalg.det(lattice)))
    determinant = float(np.linalg.det(tensor))
    gamma = np.sqrt(np.pi) / volume ** (1 / 3) * determinant ** (1 / 6)
    inverse, reciprocal = np.linalg.inv(tensor), 2 * np.pi * np.linalg.inv(lattice).T
    from scipy.special import erfc

    counts = _shells(lattice, reciprocal)
    real = counts @ lattice
    metric = np.sqrt(np.einsum("ij,jk,ik->i", real, inverse, real))
    total = np.sum(erfc(gamma * metric) / metric) / np.sqrt(determinant)
    waves = counts @ reciprocal
    squared = np.einsum("ij,jk,ik->i", waves, tensor, waves)
    total += 4 * np.pi / volume * np.sum(np.exp(-squared / (4 * gamma**2)) / squared)
    return float(total - 2 * gamma / np.sqrt(np.pi * determinant) - np.pi / (volume * gamma**2))


def _shells(lattice: Array, reciprocal: Array) -> Array:
    """Return integer vectors that reach eight screening lengths in both spaces."""
    edges = np.linalg.norm(lattice, axis=1)
    waves = np.linalg.norm(reciprocal, axis=1)
    reach = int(np.ceil(6 * max(edges.max() / edges.min(), waves.max() / waves.min()))) + 2
    reach = min(reach, 24)
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[np.any(grid != 0, axis=1)], dtype=float)


def point_charge_correction(charge: float, cell: ArrayLike, epsilon: float | ArrayLike) -> float:
    """Return the energy to add for the interaction of a charge with its images, eV.

    For a simple cubic cell α q²/(2 ε L) × 14.39964 eV Å with α = 2.83729748.

    Examples
    --------
    >>> round(point_charge_correction(1, 11.306 * np.eye(3), 12.9), 4)
    0.1401
    """
    tensor = dielectric_tensor(epsilon)
    return -0.5 * COULOMB * charge**2 * madelung_potential(cell, tensor)


def model_potential(
    charge: float, lengths: tuple[float, float], epsilon: float, points: int, width: float, centre: float
) -> Array:  # fmt: skip
    """Return the planar average of a periodic screened Gaussian charge along an axis, V, mean zero.

    V(G) = 4π q e^(−G²σ²/2)/(ε Ω G²) for G along the axis.

    Parameters
    ----------
    charge : float, e
    lengths : (float, float)
        Length of the axis in Å, and volume of the cell in Å³.
    epsilon : float
        Dielectric constant along the axis.
    points : int
        Grid points along the axis.
    width : float, Å
        σ of the Gaussian.
    centre : float
        Place of the defect, fraction of the axis.
    """
    length, volume = lengths
    order = np.arange(1, points // 2)
    wave = 2 * np.pi * order / length
    amplitude = (
        4
        * np.pi
        * COULOMB
        * charge
        / (epsilon * volume)
        * np.exp(-0.5 * (wave * width) ** 2)
        / wave**2
    )
    place = np.arange(points) / points - centre
    return np.asarray(
        2 * (amplitude[:, None] * np.cos(2 * np.pi * order[:, None] * place[None])).sum(0)
    )


@dataclass(frozen=True)
class Aligned:
    """Alignment along one axis: the curves (V) and the plateau far from the defect."""

    position: Array
    """Å from the start of the axis."""
    difference: Array
    model: Array
    plateau: float
    spread: float
    """Standard deviation of the short-range part where it should be flat, V."""

    @property
    def short_range(self) -> Array:
        """Return what is left of the defect's potential without its long-range model."""
        return self.difference - self.model


def align_potential(
    bulk: ArrayLike, defect: ArrayLike, charge: float, lengths: tuple[float, float],
    epsilon: float, centre: float, width: float = WIDTH,
) -> Aligned:  # fmt: skip
    """Return ΔV far from the defect from two planar-averaged electrostatic potentials.

    Parameters
    ----------
    bulk, defect : arrays of shape (n,), V
        On the same grid over the whole axis.
    lengths : (float, float)
        Axis in Å, cell volume in Å³.
    centre : float
        Place of the defect, fraction of the axis.
    """
    first, second = np.asarray(bulk, dtype=float), np.asarray(defect, dtype=float)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(
            "the two potentials stand on different grids",
            got=f"{first.shape} and {second.shape}",
            hint="use the same cell and FFT grid for both",
        )
    n = first.size
    model = model_potential(charge, lengths, epsilon, n, width, centre)
    difference = second - first
    place = (np.arange(n) / n - centre) % 1.0
    far = np.abs(place - 0.5) <= FAR_SHARE / 2
    rest = difference - model
    farthest = np.abs(place - 0.5) * lengths[0] <= WINDOW + 1e-9
    return Aligned(
        np.arange(n) / n * lengths[0],
        difference,
        model,
        float(rest[farthest].mean()),
        float(rest[far].std()),
    )
