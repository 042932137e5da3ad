"""Zero loss, background, thickness and plural scattering against closed forms and simulations."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.errors import ConfigError, DataError
from matterscope.spectra.loss.energy_loss import (
    edge_signal,
    find_zero_loss,
    fit_power_law,
    fit_two_power_laws,
    measure_thickness,
)
from matterscope.spectra.loss.plural_scattering import fourier_log, fourier_ratio, simulate_plural

STEP = 0.5
LOSS = np.arange(1024) * STEP
SIGMA = 2.0  # channels of the zero-loss peak


def _plasmon() -> np.ndarray:
    """Return a Drude single-scattering distribution, E_p 22 eV, width 6 eV, unit sum."""
    single = LOSS * 6.0 * 22.0**2 / ((LOSS**2 - 22.0**2) ** 2 + (LOSS * 6.0) ** 2)
    return single / single.sum()


def _zero_peak() -> np.ndarray:
    index = np.arange(LOSS.size)
    wrapped = np.minimum(index, LOSS.size - index)
    peak = np.exp(-0.5 * (wrapped / SIGMA) ** 2)
    return 1e6 * peak / peak.sum()


def _low_loss(thickness: float, before: int = 40) -> np.ndarray:
    """Return a spectrum whose zero loss stands at channel `before`."""
    total = simulate_plural(_plasmon(), _zero_peak(), thickness)
    left = _zero_peak()[-before:] * np.exp(-thickness)
    return np.concatenate([left, total])


@pytest.mark.parametrize("thickness", [0.3, 0.8, 1.5])
def test_thickness_is_the_mean_number_of_losses(thickness):
    energy = (np.arange(LOSS.size + 40) - 40) * STEP
    counts = _low_loss(thickness)
    found = measure_thickness(energy, counts, find_zero_loss(energy, counts))
    # the tail of the plasmon under the zero loss and beyond the window is below 2 %
    assert float(found.value) == pytest.approx(thickness, rel=0.04)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("thickness", [0.3, 0.8, 1.5])
def test_fourier_log_gives_the_single_scattering_distribution(thickness):
    single = fourier_log(_low_loss(thickness), 40, 40 + 12)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / SIGMA) ** 2)
    expected = np.convolve(_plasmon(), kernel / kernel.sum(), "same")
    expected = expected * thickness * 1e6 * np.exp(-thickness)
    region = (LOSS > 10) & (LOSS < 120)
    error = np.abs(single[: LOSS.size] - expected)[region].max() / expected.max()
    assert error < 0.02


@pytest.mark.parametrize("thickness", [0.3, 0.8, 1.5])
def test_fourier_ratio_gives_the_single_scattering_edge_within_two_per_cent(thickness):
    edge = np.where(LOSS > 100, (np.maximum(LOSS, 1.0) / 100.0) ** -3.0, 0.0) + 2.0 * np.exp(
        -0.5 * ((LOSS - 104) / 1.5) ** 2
    )
    low = _low_loss(thickness)
    blurred = np.fft.irfft(
        np.fft.rfft(edge, 4096) * np.fft.rfft(np.roll(np.pad(low, (0, 4096 - low.size)), -40)), 4096
    )[: LOSS.size]
    found = fourier_ratio(blurred, low, 40, 40 + 12, width=1.0)
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / 1.0) ** 2)
    expected = np.convolve(edge, kernel / kernel.sum(), "same") * low[: 40 + 12].sum()
    region = (LOSS > 90) & (LOSS < 250)
    assert np.abs(found - expected)[region].max() / expected.max() < 0.02
    # and without the correction it would be far off
    assert np.abs(blurred - expected)[region].max() / expected.max() > 0.1


def test_the_variance_of_the_extrapolated_background_covers():
    energy = np.arange(400.0, 700.0, 1.0)
    clean = 500.0 * (energy / 400.0) ** -3.2
    rng = np.random.default_rng(7)
    counts = rng.poisson(clean, size=(2000, energy.size)).astype(float)
    background = fit_power_law(energy, counts, (420.0, 520.0))
    window = (530.0, 580.0)
    signal, variance = edge_signal(energy, counts, background, window)
    # there is no edge: the signal is 0 within its error; 3 standard errors of a share of 2000
    for level, width in ((0.68, 0.9945), (0.9, 1.6449), (0.95, 1.96)):
        share = np.mean(np.abs(signal) < width * np.sqrt(variance))
        assert abs(share - level) < 3 * np.sqrt(level * (1 - level) / 2000) + 0.01


def test_the_exponent_is_unbiased_at_low_counts_with_negative_values():
    energy = np.arange(100.0, 160.0, 0.5)
    clean = 6.0 * (energy / 100.0) ** -3.0
    rng = np.random.default_rng(8)
    counts = rng.poisson(clean, size=(3000, energy.size)) + rng.normal(0, 1.5, (3000, energy.size))
    found = fit_power_law(energy, counts, (100.0, 160.0))
    error = found.exponent.std() / np.sqrt(3000)
    assert (counts < 0).mean() > 0.02
    assert abs(found.exponent.mean() - 3.0) < 4 * error + 0.03


def test_two_power_laws_hold_where_one_fails():
    energy = np.arange(60.0, 200.0, 0.5)
    clean = 1e5 * ((energy / 60.0) ** -2.0 + (energy / 60.0) ** -6.0)
    window = (60.0, 95.0)
    after = energy > 120.0
    one = fit_power_law(energy, clean, window)(energy)[after]
    two = fit_two_power_laws(energy, clean, window, (2.0, 6.0))(energy)[after]
    assert np.abs(two / clean[after] - 1).max() < 1e-6
    assert np.abs(one / clean[after] - 1).max() > 0.1


def test_a_spectrum_without_zero_loss_has_no_thickness():
    with pytest.raises(DataError, match="no zero-loss peak"):
        find_zero_loss(np.arange(100.0, 200.0), np.ones(100))


def test_a_window_with_too_few_points_is_refused():
    with pytest.raises(ConfigError, match="too few points"):
        fit_power_law(np.arange(100.0), np.ones(100), (10.0, 12.0))
