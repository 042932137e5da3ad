"""Detailed balance and SLME against published values and exact laws."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.materials.solar.photovoltaics import (
    BOLTZMANN,
    absorptance_limits,
    absorption_from_dielectric,
    detailed_balance,
    energy_grid,
)

ENERGY = np.arange(0.5, 4.6005, 0.001)


def alpha(gap: float) -> np.ndarray:
    return 5e4 * np.sqrt(np.maximum(ENERGY - gap, 0)) / ENERGY


@pytest.mark.parametrize(
    ("gap", "percent"),
    [(1.00, 31.65), (1.12, 33.48), (1.34, 33.76), (1.424, 33.16), (1.60, 30.57), (2.00, 22.85)],
)
def test_the_shockley_queisser_limit_has_its_tabulated_values(gap: float, percent: float) -> None:
    # another quadrature of the same table differs by up to 0.03 % absolute
    assert 100 * detailed_balance(gap).efficiency[0] == pytest.approx(percent, abs=0.03)


def test_the_best_gap_is_1335_meV_with_33_77_percent() -> None:
    gaps = np.arange(1.25, 1.42, 0.001)
    limit = detailed_balance(gaps).efficiency
    assert gaps[limit.argmax()] == pytest.approx(1.335, abs=0.01)
    assert 100 * limit.max() == pytest.approx(33.77, abs=0.05)


def test_photons_of_the_sun_are_conserved_by_the_energy_grid() -> None:
    grid = energy_grid()
    # 280–4000 nm of AM1.5G: power of the photons in the bins, centre energy each
    power = (grid.flux * grid.centres).sum() * 1.602176634e-19
    assert power == pytest.approx(1000.37, rel=2e-5)


@pytest.mark.parametrize(
    ("direct", "delta", "expected"),
    [
        (1.5, 0.0, (8.989, 25.364, 31.811, 32.098)),
        (1.5, 0.1, (8.217, 23.169, 29.025, 29.274)),
        (1.1, 0.0, (11.414, 28.826, 33.037, 32.981)),
    ],
)
def test_slme_agrees_with_pymatgen_within_three_per_mille(
    direct: float, delta: float, expected: tuple[float, ...]
) -> None:
    # values of pymatgen 2026.10.24
    found = absorptance_limits(
        ENERGY, alpha(direct), direct - delta, direct, [0.1, 0.5, 2, 50], 298.15
    )
    assert 100 * found.efficiency[0, :, 0] == pytest.approx(expected, rel=3e-3)


def test_slme_of_a_thick_step_absorber_is_the_shockley_queisser_limit() -> None:
    step = np.where(ENERGY >= 1.2, 1e5, 0.0)
    found = absorptance_limits(ENERGY, step, 1.2, 1.2, 1e4, 298.15)
    # interpolation of the step over one grid step of 1 meV moves the edge by half of it
    assert found.efficiency[0, 0, 0] == pytest.approx(detailed_balance(1.2).efficiency[0], abs=5e-4)


def test_the_voltage_falls_by_exactly_the_distance_of_the_gaps() -> None:
    one = absorptance_limits(ENERGY, alpha(1.5), 1.5, 1.5, 1.0, 300.0).voltage
    two = absorptance_limits(ENERGY, alpha(1.5), 1.37, 1.5, 1.0, 300.0).voltage
    # ln(1 + J/J₀) against ln(J/J₀): the 1 is below 1e-12 here
    assert float(one[0, 0, 0] - two[0, 0, 0]) == pytest.approx(0.13, abs=1e-9)


def test_maximum_power_is_a_maximum() -> None:
    found = detailed_balance(1.34)
    j, j0 = float(found.current[0]), float(found.dark_current[0])
    voltage = np.linspace(0, float(found.voltage[0]), 200_001)
    power = voltage * (j - j0 * np.expm1(voltage / (BOLTZMANN * 298.15)))
    assert power.max() / 1000.370656 == pytest.approx(float(found.efficiency[0]), rel=1e-8)


def test_no_gap_gives_no_efficiency() -> None:
    assert detailed_balance([0.0, -0.2]).efficiency.tolist() == [0.0, 0.0]


def test_absorption_of_a_lossless_dielectric_is_zero() -> None:
    assert absorption_from_dielectric([1.0, 2.0], [4.0, 4.0], [0.0, 0.0]).tolist() == [0.0, 0.0]
