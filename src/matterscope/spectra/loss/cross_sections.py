"""Hydrogenic partial cross-sections of inner-shell losses, and compositions from edge counts.

In: element, shell, beam energy, collection angle, energy window. Out: cross-sections in barn.
White lines and screening are not in a hydrogenic atom: 10 % (K) to 20 % (L) systematic error is stated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.physics.edges import loss_onset, table

Array = NDArray[np.float64]

RYDBERG = 13.605693
"""eV."""
BOHR = 0.0529177210544
"""nm."""
REST_ENERGY = 510998.95
"""m c² of the electron, eV."""
BARN = 1e-10
"""nm²."""
SYSTEMATIC = {"K": 0.10, "L3": 0.20}
"""Relative error of the hydrogenic atom (Egerton, 3rd ed., section 3.6)."""


def oscillator_strength_k(energy: Array, q2: Array, atomic_number: int) -> Array:
    """Return df/dE of a K shell (two electrons; one for hydrogen).

    Parameters
    ----------
    energy : array, eV
        Energy loss; broadcast with `q2`.
    q2 : array
        (q a₀)², dimensionless.
    atomic_number : int
        Z; screening 0.5 by the other 1s electron.

    Returns
    -------
    array, 1/eV
        Generalised oscillator strength per eV.

    Notes
    -----
    Bethe's hydrogenic result in the variables of Egerton, eq. 3.125: κ² = E/(R Z_s²) − 1,
    Q' = (q a₀/Z_s)². Below κ² = 0 it is continued analytically.

    Examples
    --------
    The photo-ionisation cross-section of hydrogen at threshold is 6.30 Mb = 109.76 Mb eV · df/dE.

    >>> float(np.round(109.76 * oscillator_strength_k(np.array(13.605694), np.array(0.0), 1), 1))
    6.3
    """
    screened, electrons = (1.0, 1.0) if atomic_number == 1 else (atomic_number - 0.5, 2.0)
    q = q2 / screened**2
    k2 = energy / (RYDBERG * screened**2) - 1
    factor = _coulomb(q, k2, 1.0)
    shape = (q + k2 / 3 + 1 / 3) / ((q - k2 + 1) ** 2 + 4 * k2) ** 3
    return np.asarray(128 * electrons * energy / (RYDBERG * screened) ** 2 / screened**2 * factor * shape)  # fmt: skip


def oscillator_strength_l23(energy: Array, q2: Array, atomic_number: int) -> Array:
    """Return df/dE (1/eV) of the six 2p electrons; arguments as for `oscillator_strength_k`.

    The Slater screening is Z − 0.35·7 − 1.7 (0 for hydrogen).

    Notes
    -----
    Choi, Merzbacher and Khandelwal, Atomic Data 5, 291 (1973), in the variables of Egerton, eq. 3.132.

    Examples
    --------
    Hydrogen 2p at its threshold: 13.5 Mb per electron.

    >>> value = oscillator_strength_l23(np.array(13.605694 / 4), np.array(0.0), 1)
    >>> float(np.round(109.76 * value / 6, 1))
    13.5
    """
    screened = 1.0 if atomic_number == 1 else atomic_number - 0.35 * 7 - 1.7
    q = q2 / screened**2
    k2 = energy / (RYDBERG * screened**2) - 0.25
    factor = _coulomb(q, k2, 0.5)
    powers = (
        2.25 * q**4
        - (0.75 + 3 * k2) * q**3
        + (0.59375 - 0.75 * k2 - 0.5 * k2**2) * q**2
        + (0.11146 + 0.85417 * k2 + 1.8833 * k2**2 + k2**3) * q
        + 0.0035807 + k2 / 21.333 + k2**2 / 4.5714 + k2**3 / 2.4 + k2**4 / 4
    )  # fmt: skip
    shape = powers / ((q - k2 + 0.25) ** 2 + k2) ** 5
    return np.asarray(32 * energy / (RYDBERG * screened) ** 2 / screened**2 * factor * shape)


def _coulomb(q: Array, k2: Array, charge: float) -> Array:
    """Return exp(−(2/κ) arctan(2cκ/(Q − κ² + c²)))/(1 − exp(−2π/κ)), continued below κ² = 0.

    `charge` c is 1 for the K shell and 1/2 for the L shell (1/n).
    """
    k = np.maximum(np.sqrt(np.abs(k2)), 1e-4)
    distance = q - k2 + charge**2
    angle = np.arctan2(2 * charge * k, distance)
    with np.errstate(over="ignore"):
        above = np.exp(-2 / k * angle) / (1 - np.exp(-2 * np.pi / k))
    inner = (distance + 2 * charge * k) / np.maximum(distance - 2 * charge * k, 1e-12)
    below = np.exp(-np.log(np.maximum(inner, 1e-12)) / k)
    return np.where(k2 > 0, above, below)


def differential(
    energy: Array, element: str, shell: str, beam_energy_kev: float, collection_mrad: float
) -> Array:
    """Return dσ/dE into a round aperture.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Energy losses.
    element : str
        Chemical symbol.
    shell : str
        "K" or "L3" (all six 2p electrons, as L3 and L2 overlap).
    beam_energy_kev : float, keV
        Of the electrons.
    collection_mrad : float, mrad
        Semi-angle β.

    Returns
    -------
    array of shape (n,), barn/eV

    Notes
    -----
    dσ/dE = (4π a₀² R²/(E T)) ∫ df/dE d ln (q a₀)², T = m v²/2 (Egerton, eq. 3.151), with
    q² = (k₀ − k₁)² + 4 k₀ k₁ sin²(θ/2) from relativistic momenta.
    """
    number = table()[element, "K"].atomic_number
    strength = {"K": oscillator_strength_k, "L3": oscillator_strength_l23}[shell]
    beam = beam_energy_kev * 1e3
    gamma = 1 + beam / REST_ENERGY
    half_mv2 = 0.5 * REST_ENERGY * (1 - 1 / gamma**2)
    k0, k1 = _wavenumber(beam), _wavenumber(beam - energy)
    smallest = (BOHR * (k0 - k1)) ** 2
    largest = smallest + 4 * BOHR**2 * k0 * k1 * np.sin(0.5e-3 * collection_mrad) ** 2
    points = np.linspace(0, 1, 65)
    log_q2 = np.log(smallest)[:, None] + points * np.log(largest / smallest)[:, None]
    density = strength(energy[:, None], np.exp(log_q2), number)
    inner = np.trapezoid(density, log_q2, axis=1)
    return np.asarray(4 * np.pi * BOHR**2 * RYDBERG**2 / (energy * half_mv2) * inner / BARN)


def _wavenumber(kinetic: Array | float) -> Array:
    """Return k (1/nm) of an electron of kinetic energy (eV): ħck = √(E(E + 2mc²))."""
    return np.asarray(np.sqrt(kinetic * (kinetic + 2 * REST_ENERGY)) / 197.3269804)


def partial_cross_section(
    element: str, shell: str, *, beam_energy_kev: float, collection_mrad: float, window: float
) -> float:
    """Return σ(β, Δ) in barn: losses from the onset to the onset + Δ into the aperture.

    Parameters
    ----------
    element, shell : str
        E.g. "O", "K"; "Mn", "L3".
    beam_energy_kev : float, keV
        20 to 1000.
    collection_mrad : float, mrad
        Semi-angle β, above 0.
    window : float, eV
        Δ.
    """
    if shell not in SYSTEMATIC:
        raise ConfigError(
            "no hydrogenic cross-section for this shell",
            got=f"{element} {shell}",
            expected="K or L3",
        )
    if not (collection_mrad > 0 and 20 <= beam_energy_kev <= 1000):
        raise ConfigError(
            "cross-sections need the beam energy and the collection angle",
            got=f"{beam_energy_kev} keV, {collection_mrad} mrad",
            expected="20 to 1000 keV and more than 0 mrad",
            hint="--beam-energy and --collection-angle",
        )
    onset = loss_onset(element, shell)
    energy = np.linspace(onset, onset + window, 65)
    values = differential(energy, element, shell, beam_energy_kev, collection_mrad)
    return float(np.trapezoid(values, energy))


@dataclass(frozen=True)
class Composition:
    """Atomic fractions of the elements whose edges were counted.

    Parameters
    ----------
    elements : tuple of str
        In the order of the counts.
    fractions, sigma : arrays of shape (…, n)
        Fractions sum to 1; sigma holds counting and, added in squares, the systematic error.
    """

    elements: tuple[str, ...]
    fractions: Array
    sigma: Array


def composition(
    elements: tuple[str, ...],
    counts: Array,
    variance: Array,
    cross_sections: Array,
    systematic: Array,
) -> Composition:
    """Return atomic fractions: N_a ∝ I_a/σ_a.

    Parameters
    ----------
    elements : tuple of n str
        Names.
    counts, variance : arrays of shape (…, n), counts and counts²
        Above the background, in windows of the cross-sections' Δ.
    cross_sections : array of shape (n,), barn
        Partial cross-sections.
    systematic : array of shape (n,)
        Their relative errors.

    Notes
    -----
    First-order propagation of x_i = a_i/Σa with var(a_i) = a_i²(var(I_i)/I_i² + s_i²).
    """
    amount = counts / cross_sections
    spread = variance / cross_sections**2 + (amount * systematic) ** 2
    total = amount.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, amount / total, np.nan)
        others = spread.sum(axis=-1, keepdims=True) - spread
        variance_of_share = ((1 - share) ** 2 * spread + share**2 * others) / total**2
    return Composition(elements, share, np.sqrt(variance_of_share))
