"""Hydrogenic cross-sections against sum rules, limits and the composition identity."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.spectra.loss.cross_sections import (
    composition,
    differential,
    oscillator_strength_k,
    oscillator_strength_l23,
    partial_cross_section,
)


@pytest.mark.parametrize(
    ("strength", "threshold", "electrons"),
    [(oscillator_strength_k, 1.0, 1.0), (oscillator_strength_l23, 0.25, 6.0)],
)
def test_at_large_momentum_transfer_the_bethe_sum_counts_the_electrons(
    strength, threshold, electrons
):
    """Σ f = number of electrons at every q; at large q bound states take nothing."""
    ryd = 13.605693
    energy = np.concatenate(
        [np.linspace(threshold, 200, 200001), np.linspace(200, 4000, 20001)[1:]]
    )
    total = np.trapezoid(strength(energy * ryd, np.array(30.0), 1), energy * ryd)
    assert total == pytest.approx(electrons, rel=0.01)


def test_the_optical_sum_of_hydrogen_in_its_continuum_is_0_435():
    """The discrete lines of hydrogen hold 0.565 of the oscillator strength (Bethe and Salpeter)."""
    ryd = 13.605693
    energy = np.geomspace(1.0, 1e4, 40001)
    total = np.trapezoid(oscillator_strength_k(energy * ryd, np.array(0.0), 1), energy * ryd)
    assert total == pytest.approx(0.435, abs=0.002)


def test_a_wider_aperture_and_a_wider_window_collect_more():
    narrow = partial_cross_section("O", "K", beam_energy_kev=300, collection_mrad=5, window=50)
    wide = partial_cross_section("O", "K", beam_energy_kev=300, collection_mrad=30, window=50)
    longer = partial_cross_section("O", "K", beam_energy_kev=300, collection_mrad=30, window=100)
    assert narrow < wide < longer


def test_carbon_k_agrees_with_photoabsorption_in_the_dipole_limit():
    """Henke's tables give 0.95 Mb above the C K edge, df/dE = 0.0087/eV; a small aperture sees that.

    dσ/dE = (4π a₀² R²/(E T)) df/dE ln(1 + (β/θ_E)²), θ_E = E/(2γT), T = 76.8 keV, γ = 1.196 at 100 kV.
    """
    energy, half_mv2, gamma, beta = 290.0, 76.8e3, 1.1957, 2e-3
    dipole = 3.519e8 * 13.6057**2 / (energy * half_mv2) * (0.95 / 109.76)
    dipole *= np.log(1 + (beta * 2 * gamma * half_mv2 / energy) ** 2)
    ours = differential(np.array([energy]), "C", "K", 100.0, 2.0)[0]
    assert ours == pytest.approx(dipole, rel=0.15)


def test_the_cross_section_falls_as_a_power_of_the_loss():
    energy = np.linspace(600.0, 1200.0, 50)
    values = differential(energy, "O", "K", 300.0, 10.0)
    slope = np.polyfit(np.log(energy), np.log(values), 1)[0]
    assert -6.0 < slope < -2.0


def test_known_amounts_come_back_as_fractions():
    sigma = np.array([2.0, 5.0, 1.0])
    amount = np.array([1.0, 2.0, 1.0])
    found = composition(("a", "b", "c"), amount * sigma, np.zeros(3), sigma, np.full(3, 0.1))
    np.testing.assert_allclose(found.fractions, [0.25, 0.5, 0.25])
    assert np.all(found.sigma > 0)
