"""Limits of solar cells: detailed balance and the spectroscopic limited maximum efficiency (SLME).

In: absorption coefficients, gaps, thickness, temperature. Out: J_sc, V_oc, fill factor and efficiency
for every spectrum × thickness × temperature at once, and the Shockley–Queisser limit beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BOLTZMANN = 8.617333262e-5
"""eV/K (CODATA 2018)."""
CHARGE = 1.602176634e-19
"""C; exact."""
PLANCK, LIGHT = 6.62607015e-34, 299792458.0
SUN_POWER = 1000.370656
"""W/m², integral of the AM1.5G table over 280–4000 nm."""
STEP = 1e-3
"""eV: width of the bins of the energy grid."""


@dataclass(frozen=True)
class EnergyGrid:
    """Bins of 1 meV: edges, centres (eV), and the sun's photon flux in each bin (1/m²/s)."""

    edges: Array
    centres: Array
    flux: Array


@lru_cache(maxsize=1)
def energy_grid() -> EnergyGrid:
    """Return the solar photon flux of AM1.5G in bins of energy.

    The flux Φ(λ) dλ = G λ/(hc) dλ is summed to a cumulative count in wavelength, which is then read at
    the edges of the bins: photons are conserved and no Jacobian appears.
    """
    text = files("matterscope.materials").joinpath("shipped/am15g.csv").read_text("utf-8")
    table = np.array(
        [[float(v) for v in row.split(",")] for row in text.splitlines()[3:] if row], dtype=float
    )
    metres = table[:, 0] * 1e-9
    photons = table[:, 1] * 1e9 * metres / (PLANCK * LIGHT)  # 1/m²/s per metre of wavelength
    middle = (photons[1:] + photons[:-1]) / 2 * np.diff(metres)
    total = np.concatenate([[0.0], np.cumsum(middle)])
    edges = np.arange(0.05, 4.4305, STEP)
    at_edges = np.interp(PLANCK * LIGHT / (CHARGE * edges), metres, total)
    return EnergyGrid(edges, (edges[1:] + edges[:-1]) / 2, at_edges[:-1] - at_edges[1:])


def blackbody_flux(temperature: ArrayLike) -> Array:
    """Return the photon flux of a black body into a half space, in each bin of the grid.

    ``π I_bb = 2π E² / (h³ c²) / (exp(E/kT) − 1)``, 1/m²/s; shape (temperatures, bins).
    """
    grid = energy_grid()
    joule = grid.centres * CHARGE
    kt = BOLTZMANN * np.atleast_1d(np.asarray(temperature, dtype=float))[:, None]
    factor = 2 * np.pi * joule**2 / (PLANCK**3 * LIGHT**2) * STEP * CHARGE
    return np.asarray(factor / np.expm1(grid.centres / kt))


@dataclass(frozen=True)
class CellLimits:
    """Limits of a cell; every array has the same shape.

    Parameters
    ----------
    efficiency : array, fraction of 1
    current : array, A/m²
        Short-circuit current density.
    voltage : array, V
        Open-circuit voltage.
    fill_factor : array, 1
    dark_current : array, A/m²
        Reverse saturation current J₀, radiative and non-radiative.
    """

    efficiency: Array
    current: Array
    voltage: Array
    fill_factor: Array
    dark_current: Array


def limits_of_currents(current: ArrayLike, dark: ArrayLike, temperature: ArrayLike) -> CellLimits:
    """Return the maximum power of ``J(V) = J_sc − J₀ (exp(eV/kT) − 1)``.

    d(JV)/dV = 0 gives (1 + v) eᵛ = 1 + J_sc/J₀ with v = eV/kT, solved as w + ln w = 1 + ln(1 + J_sc/J₀),
    w = 1 + v, by Newton's rule; exact for any ratio without overflow.
    """
    j, j0, kt = np.broadcast_arrays(
        np.asarray(current, float),
        np.asarray(dark, float),
        BOLTZMANN * np.asarray(temperature, float),
    )
    alive = (j > 0) & (j0 > 0)
    ratio = np.log1p(np.where(alive, j, 0.0) / np.where(alive, j0, 1.0))
    target = 1.0 + ratio
    # w + ln w = target ≥ 1 has its root between 1 and target; start where Newton is monotone
    w = np.maximum(target - np.log(np.maximum(target, 1.0)), 1.0)
    for _ in range(12):
        w = w - (w + np.log(w) - target) / (1 + 1 / w)
    v = w - 1.0
    power = kt * v * (j - j0 * np.expm1(v))
    open_circuit = kt * ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        fill = np.where(alive & (open_circuit > 0), power / (j * open_circuit), 0.0)
    zero = np.where(alive, 1.0, 0.0)
    return CellLimits(
        np.asarray(power / SUN_POWER * zero),
        np.asarray(j * 1.0),
        np.asarray(open_circuit * zero),
        np.asarray(fill * zero),
        np.asarray(j0 * 1.0),
    )


def coverage_above(threshold: ArrayLike) -> Array:
    """Return the share of each bin that lies above a threshold; shape (thresholds, bins)."""
    grid = energy_grid()
    low = np.atleast_1d(np.asarray(threshold, dtype=float))[:, None]
    return np.asarray(np.clip((grid.edges[1:][None] - low) / STEP, 0.0, 1.0))


def photons_above(energy: float, gap: float) -> float:
    """Return the share of the sun's photons above `gap` (eV) that lie above `energy` (eV).

    Examples
    --------
    >>> round(photons_above(3.5, 1.4), 3)
    0.013
    """
    high, all_of_them = coverage_above([energy, gap]) @ energy_grid().flux
    return float(high / all_of_them)


def detailed_balance(gap: ArrayLike, temperature: float = 298.15) -> CellLimits:
    """Return the Shockley–Queisser limit of step absorbers under AM1.5G.

    Parameters
    ----------
    gap : array, eV
        A gap ≤ 0 gives zero efficiency.
    temperature : float, K

    References
    ----------
    Shockley and Queisser, J. Appl. Phys. 32, 510 (1961).

    Examples
    --------
    >>> limit = detailed_balance(1.34)
    >>> round(100 * float(limit.efficiency[0]), 1)
    33.8
    """
    gaps = np.atleast_1d(np.asarray(gap, dtype=float))
    above = coverage_above(gaps) * (gaps > 0)[:, None]
    grid = energy_grid()
    current = CHARGE * above @ grid.flux
    dark = CHARGE * above @ blackbody_flux(temperature)[0]
    return limits_of_currents(current, dark, temperature)


def absorptance_limits(
    energy: ArrayLike,
    alpha: ArrayLike,
    gap: ArrayLike,
    direct_allowed_gap: ArrayLike,
    thickness: ArrayLike,
    temperature: ArrayLike,
) -> CellLimits:
    """Return the SLME of many spectra at many thicknesses and temperatures.

    Parameters
    ----------
    energy : array of shape (m,), eV
        Grid shared by the spectra, ascending.
    alpha : array of shape (n, m), 1/cm
        Absorption coefficients; zero below the direct-allowed gap is imposed.
    gap, direct_allowed_gap : arrays of shape (n,), eV
        E_g and E_g^da ≥ E_g; Δ = E_g^da − E_g gives f_r = exp(−Δ/kT).
    thickness : array of shape (l,), µm
    temperature : array of shape (t,), K

    Returns
    -------
    CellLimits
        Arrays of shape (n, l, t).

    References
    ----------
    Yu and Zunger, Phys. Rev. Lett. 108, 068701 (2012).
    """
    grid = energy_grid()
    coefficient = np.atleast_2d(np.asarray(alpha, dtype=float))
    lengths = np.atleast_1d(np.asarray(thickness, float)) * 1e-4  # cm
    kelvin = np.atleast_1d(np.asarray(temperature, float))
    gaps, direct = np.broadcast_arrays(
        np.atleast_1d(np.asarray(gap, float)), np.atleast_1d(np.asarray(direct_allowed_gap, float))
    )
    gaps = np.broadcast_to(gaps, len(coefficient))
    direct = np.broadcast_to(direct, len(coefficient))
    weights = np.vstack([grid.flux, blackbody_flux(kelvin)]).T  # (bins, 1 + t)
    n, t = len(coefficient), len(kelvin)
    sums = np.empty((n, len(lengths), 1 + t))
    for start in range(0, n, 256):  # blocks keep the work in the cache
        part = slice(start, start + 256)
        on_grid = _on_grid(np.asarray(energy, float), coefficient[part], grid.centres)
        above = coverage_above(direct[part])
        for i, length in enumerate(lengths):
            absorbed = -np.expm1(-2.0 * length * on_grid) * above
            sums[part, i] = absorbed @ weights
    loss = np.exp((direct - gaps)[:, None] / (BOLTZMANN * kelvin)[None])  # 1/f_r
    alive = (gaps > 0)[:, None, None]
    current = np.where(alive, CHARGE * sums[:, :, :1], 0.0)
    dark = CHARGE * sums[:, :, 1:] * loss[:, None, :]
    return limits_of_currents(current, dark, kelvin[None, None, :])


def _on_grid(energy: Array, alpha: Array, centres: Array) -> Array:
    right = np.clip(np.searchsorted(energy, centres), 1, len(energy) - 1)
    share = (centres - energy[right - 1]) / (energy[right] - energy[right - 1])
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(alpha[:, right - 1] * (1 - share) + alpha[:, right] * share)


def current_voltage(
    limits: CellLimits, temperature: float, points: int = 121
) -> tuple[Array, Array]:
    """Return V (V) and J (A/m²) of one cell from zero to its open-circuit voltage."""
    voltage = np.linspace(0.0, float(np.ravel(limits.voltage)[0]), points)
    j, j0 = float(np.ravel(limits.current)[0]), float(np.ravel(limits.dark_current)[0])
    return voltage, j - j0 * np.expm1(voltage / (BOLTZMANN * temperature))


def absorption_from_dielectric(energy: ArrayLike, real: ArrayLike, imaginary: ArrayLike) -> Array:
    """Return α = (4π/λ) k in 1/cm from ε₁ and ε₂, with k² = (|ε| − ε₁)/2."""
    e1, e2 = np.asarray(real, float), np.asarray(imaginary, float)
    extinction = np.sqrt(np.maximum((np.hypot(e1, e2) - e1) / 2, 0.0))
    per_metre = 2 * np.asarray(energy, float) * CHARGE / (PLANCK / (2 * np.pi) * LIGHT)
    return np.asarray(per_metre * extinction / 100.0)
