"""The posterior of a line: intervals that hold the truth, whatever the shape of the line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from matterscope.core.units import HC
from matterscope.emitters.lines.line_posterior import widths_of
from matterscope.emitters.lines.zero_phonon import Light, edges_of, fit_line, zero_phonon_share
from matterscope.emitters.made.twin import expected_spectrum, spectrum_axis
from matterscope.physics.lineshapes import FWHM_OF_SIGMA, pixel_voigt, voigt_width


def made(width, share, photons, instrument, span, rng):
    """Return a spectrum of one line (eV, counts; instrument in nm) and its centre."""
    axis = spectrum_axis(*span, 700)
    edges = np.sort(HC / edges_of(axis))
    centre = 2.0989 + rng.normal(0, 0.003)
    fixed = instrument * centre**2 / HC
    sigma, lorentz = widths_of(np.float64(width), np.float64(share))
    energy = 0.5 * (edges[1:] + edges[:-1])
    line = pixel_voigt(edges, centre, np.hypot(sigma, fixed / FWHM_OF_SIGMA), lorentz)
    counts = rng.poisson(photons * line * (energy / centre) ** 3 + 5) + rng.normal(600, 6, 700)
    return Light(edges, counts, 6.0, 600.0, 1.0, np.ones(700, bool)), fixed, centre


def test_width_and_share_are_turned_into_sigma_and_gamma_and_back():
    share = np.linspace(0, 1, 11)
    sigma, lorentz = widths_of(np.full(11, 3.0), share)
    assert voigt_width(sigma, lorentz) == pytest.approx(3.0, rel=1e-4)
    assert lorentz == pytest.approx(3 * share)


@pytest.mark.parametrize(
    ("width", "share", "instrument", "span"),
    [
        (0.0252, 1.0, 0.3, (535, 770)),
        (0.0015, 0.0, 0.2, (580, 620)),
        (0.012, 0.5, 0.4, (560, 660)),
    ],
)
def test_intervals_of_centre_and_width_hold_the_truth(width, share, instrument, span):
    rng = np.random.default_rng(4)
    inside, tries = np.zeros(2), 30
    for _ in range(tries):
        light, fixed, centre = made(width, share, 4000, instrument, span, rng)
        line = fit_line(light, fixed, rng)
        for k, (draws, truth) in enumerate(((line.centre, centre), (line.width, width))):
            low, high = np.quantile(draws, [0.05, 0.95])
            inside[k] += low < truth < high
    # 90 % intervals: fewer hits than this happen once in a thousand
    assert inside.min() >= binom.ppf(1e-3, tries, 0.9)


def test_the_debye_waller_factor_is_not_biased_by_the_tails_of_the_line():
    rng, axis = np.random.default_rng(6), spectrum_axis()
    edges, found = np.sort(HC / edges_of(axis)), []
    for _ in range(6):
        mean = expected_spectrum(axis, 2.0989, 0.0252, 0.45, 2e5)
        counts = (rng.poisson(mean - 600) + rng.normal(600, 8, axis.size))[::-1]
        light = Light(edges, counts, 8.0, 600.0, 1.0, np.ones(axis.size, bool))
        share = zero_phonon_share(light, fit_line(light, 0.3 * 2.0989**2 / HC, rng), rng)
        found.append(share.debye_waller)
    means = np.array([f.mean() for f in found])
    assert abs(means.mean() - 0.45) < 3 * np.mean([f.std() for f in found]) / np.sqrt(6)
