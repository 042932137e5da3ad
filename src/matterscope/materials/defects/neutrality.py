"""The Fermi level by charge neutrality: bands by effective masses, defects by their formation energies.

In: gap, masses, temperature, formation energies with site densities. Out: E_F, n, p, concentrations.
Concentrations per cm³, energies in eV from the valence-band maximum, temperatures in K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from matterscope.core.errors import DataError

Array = NDArray[np.float64]
BOLTZMANN = 8.617333262e-5
"""eV/K, CODATA 2018."""
BAND_DENSITY = 2.5094e19 / 300**1.5
"""2 (2π mₑ k / h²)^(3/2) in 1/(cm³ K^(3/2)) for mass 1."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)


@dataclass(frozen=True)
class Bands:
    """Parabolic bands: gap in eV, effective masses in electron masses."""

    gap: float
    electron_mass: float
    hole_mass: float


@dataclass(frozen=True)
class Charged:
    """One charge state: E_f at the valence-band maximum, sites per cm³, degeneracy g."""

    charge: int
    energy: float
    sites: float
    degeneracy: float = 1.0


@dataclass(frozen=True)
class Neutral:
    """The solution of the neutrality condition."""

    fermi_level: float
    electrons: float
    holes: float
    concentrations: Array
    """One per charge state given, 1/cm³."""


def fermi_integral(reduced: ArrayLike) -> Array:
    r"""Return (2/√π) ∫₀^∞ √x / (1 + e^(x−η)) dx; → e^η for η → −∞.

    Examples
    --------
    >>> float(fermi_integral(-20.0) / np.exp(-20.0)).__round__(6)
    1.0
    """
    eta = np.atleast_1d(np.asarray(reduced, dtype=float))
    # x = t² removes the root; the integrand has died 60 kT above the Fermi level
    top = np.sqrt(np.maximum(eta, 0) + 60)
    t = 0.5 * top[:, None] * (_NODES[None] + 1)
    power = np.clip(t * t - eta[:, None], -700, 700)
    inside = 2 * t * t * np.exp(-np.logaddexp(0, power))
    value = 2 / np.sqrt(np.pi) * (inside * _WEIGHTS).sum(1) * 0.5 * top
    return np.asarray(value if np.ndim(reduced) else value[0])


def carriers(bands: Bands, fermi: float, temperature: float) -> tuple[float, float]:
    """Return n and p, 1/cm³."""
    thermal = BOLTZMANN * temperature
    scale = BAND_DENSITY * temperature**1.5
    n = scale * bands.electron_mass**1.5 * float(fermi_integral((fermi - bands.gap) / thermal))
    p = scale * bands.hole_mass**1.5 * float(fermi_integral(-fermi / thermal))
    return n, p


def concentrations(
    states: Sequence[Charged], fermi: float, temperature: float, dilute: bool = True
) -> Array:
    """Return c = N g e^(−E_f/kT), or N c/(1 + c) where sites can be full, 1/cm³."""
    energy = np.array([s.energy + s.charge * fermi for s in states])
    weight = np.array([s.degeneracy for s in states]) * np.exp(
        np.clip(-energy / (BOLTZMANN * temperature), -700, 200)
    )
    sites = np.array([s.sites for s in states])
    return np.asarray(sites * (weight if dilute else weight / (1 + weight)))


def neutral_point(
    bands: Bands,
    states: Sequence[Charged],
    temperature: float,
    *,
    dopants: Sequence[tuple[float, int]] = (),
    dilute: bool = True,
) -> Neutral:
    """Solve p − n + Σ q c + Σ z N = 0 for the Fermi level.

    Parameters
    ----------
    bands : Bands
    states : sequence of Charged
    temperature : float, K
    dopants : sequence of (concentration in 1/cm³, charge)
        Fixed, fully ionised.
    dilute : bool
        False lets sites fill up.

    Raises
    ------
    DataError
        If no Fermi level within 2 eV of the gap makes the crystal neutral.
    """
    charges = np.array([s.charge for s in states], dtype=float)
    fixed = sum(c * z for c, z in dopants)

    def excess(fermi: float) -> float:
        n, p = carriers(bands, fermi, temperature)
        ions = charges @ concentrations(states, fermi, temperature, dilute) if states else 0.0
        total = p - n + float(ions) + fixed
        return float(np.sign(total) * np.log1p(abs(total)))

    low, high = -2.0, bands.gap + 2.0
    if excess(low) <= 0 or excess(high) >= 0:
        raise DataError(
            "no Fermi level near the gap makes this crystal neutral",
            got=f"excess charge at the ends {excess(low):.3g}, {excess(high):.3g} (logarithmic)",
            hint="check formation energies and their signs",
        )
    fermi = float(brentq(excess, low, high, xtol=1e-10))
    n, p = carriers(bands, fermi, temperature)
    return Neutral(
        fermi, n, p, concentrations(states, fermi, temperature, dilute) if states else np.empty(0)
    )


def quenched(
    bands: Bands,
    states: Sequence[Charged],
    groups: Sequence[str],
    high: float,
    low: float,
    dopants: Sequence[tuple[float, int]] = (),
) -> Neutral:
    """Freeze the total of each defect at `high` and share its charges anew at `low`.

    Parameters
    ----------
    groups : sequence of str
        Name of the defect each state belongs to.
    high, low : float, K
    """
    hot = neutral_point(bands, states, high, dopants=dopants)
    names = np.asarray(groups)
    totals = {g: hot.concentrations[names == g].sum() for g in set(groups)}
    charges = np.array([s.charge for s in states], dtype=float)
    fixed = sum(c * z for c, z in dopants)

    def shared(fermi: float) -> Array:
        energy = np.array([s.energy + s.charge * fermi for s in states]) / (BOLTZMANN * low)
        logs = np.log([s.degeneracy * s.sites for s in states]) - energy
        out = np.empty(len(states))
        for group, total in totals.items():
            mine = names == group
            weight = np.exp(logs[mine] - logs[mine].max())
            out[mine] = total * weight / weight.sum()
        return out

    def excess(fermi: float) -> float:
        n, p = carriers(bands, fermi, low)
        total = p - n + float(charges @ shared(fermi)) + fixed
        return float(np.sign(total) * np.log1p(abs(total)))

    fermi = float(brentq(excess, -2.0, bands.gap + 2.0, xtol=1e-10))
    n, p = carriers(bands, fermi, low)
    return Neutral(fermi, n, p, shared(fermi))
