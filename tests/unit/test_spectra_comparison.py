"""Comparison and mixture as verbs: known shifts, widths and fractions come back with honest flags."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.errors import ConfigError
from matterscope.core.schema import measurement
from matterscope.io import write
from matterscope.spectra.measured.comparison import broadened
from matterscope.spectra.simulators.broadening import lorentzian_broaden, seah_dench_half_width

ENERGY = np.arange(7000.0, 7400.0, 0.25)


def _mu(position=7118.0, line=0.6, lorentzian=0.0, gaussian=0.0):
    x = ENERGY - position
    mu = 0.5 + np.arctan(x / 0.8) / np.pi + line * np.exp(-0.5 * ((x - 4) / 1.5) ** 2)
    mu = mu + 0.08 * np.exp(-np.clip(x, 0, None) / 60) * np.sin(np.clip(x, 0, None) / 6)
    return broadened(mu, 0.25, lorentzian, gaussian)


def _spectrum(label, noise=0.0, seed=0, **shape):
    mu = _mu(**shape) + np.random.default_rng(seed).normal(0, noise, ENERGY.size)
    return measurement(
        "spectrum", {"energy": (ENERGY, "eV")}, {"mu": (("energy",), mu, "1")},
        element="Fe", edge="K", label=label, normalised=True,
    )  # fmt: skip


def test_broadening_keeps_the_area_and_adds_the_variance():
    grid = np.arange(-60.0, 60.0, 0.1)
    peak = np.exp(-0.5 * (grid / 1.0) ** 2)
    wide = broadened(peak, 0.1, 0.0, 2.0)
    assert wide.sum() == pytest.approx(peak.sum(), rel=1e-6)
    variance = (wide * grid**2).sum() / wide.sum()
    assert variance == pytest.approx(1.0 + 4.0, rel=1e-3)


def test_a_lorentzian_of_a_line_has_its_full_width():
    grid = np.arange(-200.0, 200.0, 0.1)
    peak = (np.abs(grid) < 0.05) * 1.0
    wide = broadened(peak, 0.1, 3.0, 0.0)
    above = grid[wide > 0.5 * wide.max()]
    assert np.ptp(above) == pytest.approx(3.0, abs=0.21)  # a grid step on either side


def test_shift_and_width_of_a_sharper_spectrum_come_back():
    measured = _spectrum("measured", position=7121.5, lorentzian=1.2, gaussian=0.7, noise=0.002)
    found = spectra.compare(measured, _spectrum("theory"))
    assert found["energy_shift"].value == pytest.approx(3.5, abs=0.05)
    assert found["lorentzian_width"].value == pytest.approx(1.2, abs=0.25)
    assert found["gaussian_width"].value == pytest.approx(0.7, abs=0.25)
    assert found["pearson_r"].value > 0.999


def _theory(**shape):
    """A simulation as engines give it: begins 6 eV before its edge, ends 55 eV above it."""
    whole = _spectrum("theory", **shape)
    part = whole.isel(energy=(ENERGY > 7112.0) & (ENERGY < 7173.0))
    part.attrs |= {"simulated": "true"}
    return part


def test_the_photoelectrons_width_is_fitted_of_a_simulation_and_of_nothing_else():
    fine = np.arange(7000.0, 7400.0, 0.25)
    half = seah_dench_half_width(fine, 7118.0, 0.0, amplitude=3.0)
    measured = _spectrum("measured")
    measured["mu"].values[:] = lorentzian_broaden(fine, _mu(), half)
    found = spectra.compare(measured, _theory())
    assert found["photoelectron_width"].value == pytest.approx(6.0, abs=1.5)
    assert found["pearson_r"].value > 0.999
    assert "photoelectron_width" not in spectra.compare(measured, _spectrum("other")).quantities


@pytest.mark.parametrize("origin", [0.0, -7110.0, 20.0])
def test_a_simulation_is_laid_on_its_edge_wherever_its_axis_begins(origin):
    theory = _theory()
    moved = theory.assign_coords(energy=("energy", theory.energy.values + origin, {"units": "eV"}))
    found = spectra.compare(_spectrum("measured", gaussian=1.0, noise=0.002), moved)
    assert found["energy_shift"].value == pytest.approx(-origin, abs=0.3)
    assert found["pearson_r"].value > 0.995
    assert not found.flagged("large_shift")
    assert not found.flagged("no_edge")


def test_intervals_of_widths_do_not_reach_below_zero():
    found = spectra.compare(_spectrum("measured", gaussian=0.3, noise=0.02), _spectrum("theory"))
    for name in ("gaussian_width", "lorentzian_width"):
        assert all(i.low >= 0 for i in found[name].intervals)


def test_another_species_is_not_called_a_match():
    other = _spectrum("other", line=4.0)
    found = spectra.compare(_spectrum("one", line=0.0), other, broaden=False)
    assert found.flagged("poor_match")


def test_one_spectrum_is_no_comparison():
    with pytest.raises(ConfigError, match="two spectra"):
        spectra.compare(_spectrum("alone"))


@pytest.fixture
def references(tmp_path):
    names = []
    for label, shape in (("ferrous", {"line": 0.2}), ("ferric", {"position": 7122.0, "line": 0.9})):
        write(_spectrum(label, **shape), tmp_path / f"{label}.h5")
        names.append(str(tmp_path / f"{label}.h5"))
    return tuple(names)


def test_a_mixture_of_two_references_is_fitted_with_its_intervals(references):
    mixed = _spectrum("mixed", line=0.2)
    mixed["mu"].values[:] = 0.3 * _mu(line=0.2) + 0.7 * _mu(position=7122.0, line=0.9)
    mixed["mu"].values[:] += np.random.default_rng(1).normal(0, 0.005, ENERGY.size)
    found = spectra.mixture(mixed, basis=references, seed=1)
    table = found.tables["fractions"].set_index("component")
    assert table.loc["ferric", "fraction"] == pytest.approx(0.7, abs=0.02)
    assert table.loc["ferric", "fraction_low_90"] < 0.7 < table.loc["ferric", "fraction_high_90"]
    assert not found.flagged("incomplete_basis")


def test_a_missing_species_is_noticed(references):
    stranger = _spectrum("stranger", position=7115.0, line=2.0, noise=0.003)
    assert spectra.mixture(stranger, basis=references).flagged("incomplete_basis")


def test_a_series_of_two_species_is_counted_and_resolved():
    series = []
    for k, share in enumerate(np.linspace(0, 1, 7)):
        item = _spectrum(f"scan {k}")
        item["mu"].values[:] = (1 - share) * _mu(line=0.2) + share * _mu(position=7122.0, line=0.9)
        item["mu"].values[:] += np.random.default_rng(k).normal(0, 0.004, ENERGY.size)
        series.append(item)
    found = spectra.mixture(*series)
    assert found["components"].value == 2
    assert found["components"].probabilities["2"] > 0.9
    shares = found.tables["shares"][["species 1", "species 2"]].to_numpy()
    best = max((shares[:, k] for k in range(2)), key=lambda s: s[-1])
    np.testing.assert_allclose(best, np.linspace(0, 1, 7), atol=0.05)
