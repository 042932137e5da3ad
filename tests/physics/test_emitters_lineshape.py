"""Huang–Rhys theory in closed form: one mode, sum rules, temperature, translations."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from matterscope import emitters
from matterscope.core.errors import ReadError, SchemaError
from matterscope.emitters.lines.lineshapes import couple, displacement, lineshape, phonons

K = 8.617333262e-5


def pair(constant=10.0, masses=(12.0, 14.0)):
    """Two atoms on a spring: one vibration at √(k/µ), five of zero energy."""
    forces = np.zeros((2, 2, 3, 3))
    block = np.diag([constant, 0, 0])
    forces[0, 0] = forces[1, 1] = block
    forces[0, 1] = forces[1, 0] = -block
    return forces, np.array(masses)


def test_a_spring_vibrates_at_the_root_of_stiffness_over_reduced_mass():
    forces, masses = pair()
    reduced = masses.prod() / masses.sum()
    # ħ√(eV/Å²/amu) = 64.654 meV
    assert phonons(forces, masses).energy.max() == pytest.approx(
        0.0646541 * np.sqrt(10 / reduced), rel=1e-5
    )


def test_the_huang_rhys_factor_is_the_relaxation_energy_over_the_quantum():
    forces, masses = pair()
    delta = np.array([[0.05, 0, 0], [-0.05 * 12 / 14, 0, 0]])
    modes = phonons(forces, masses)
    coupling = couple(modes, masses, delta)
    stretch = delta[0, 0] - delta[1, 0]
    assert coupling.factors.sum() * modes.energy.max() == pytest.approx(
        0.5 * 10 * stretch**2, rel=1e-5
    )


def test_a_shift_of_the_whole_crystal_couples_to_nothing():
    forces, masses = pair()
    coupling = couple(phonons(forces, masses), masses, np.full((2, 3), 0.1))
    assert coupling.factors.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_the_lineshape_has_unit_norm_and_the_poisson_weights(temperature):
    energy, factor = np.array([0.0625]), np.array([1.3])
    axis, shape = lineshape(energy, factor, temperature, 1e-3)
    step = axis[1] - axis[0]
    assert shape.sum() * step == pytest.approx(1, abs=1e-4)
    near = np.abs(axis) < 0.03
    weight = shape[near].sum() * step
    coth = 1 / np.tanh(energy[0] / (2 * K * temperature)) if temperature else 1.0
    bessel = 1.0
    if temperature:
        from scipy.special import iv

        n = 1 / np.expm1(energy[0] / (K * temperature))
        bessel = iv(0, 2 * 1.3 * np.sqrt(n * (n + 1)))  # hops up and down again return to the line
    # Lorentzian of 1 meV: 2 % of every line lies beyond ±30 meV
    assert weight == pytest.approx(np.exp(-1.3 * coth) * bessel, rel=0.03, abs=0.01)


def test_the_mean_of_the_lineshape_is_the_relaxation_energy():
    energy, factor = np.array([0.03, 0.16]), np.array([0.5, 1.1])
    axis, shape = lineshape(energy, factor, 0.0, 1e-5)
    step = axis[1] - axis[0]
    assert (axis * shape).sum() * step == pytest.approx(energy @ factor, rel=5e-3)


def test_displacements_go_the_short_way_round_the_cell():
    a = Atoms("BN", [[0.05, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)
    b = Atoms("BN", [[3.95, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)
    assert displacement(a, b)[0, 0] == pytest.approx(-0.1)


def test_other_species_are_refused():
    with pytest.raises(SchemaError, match="other atoms"):
        displacement(Atoms("BN", cell=[4, 4, 4]), Atoms("NB", cell=[4, 4, 4]))


def test_cut_force_constants_are_refused(tmp_path):
    from ase.io import write

    for name in ("a", "b"):
        write(
            tmp_path / f"{name}.vasp",
            Atoms("BN", [[0, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True),
            format="vasp",
        )
    (tmp_path / "FORCE_CONSTANTS").write_text("2 2\n1 1\n1 0 0\n0 1 0\n0 0 1\n1 2\n0 0 0\n")
    with pytest.raises(ReadError, match="incomplete"):
        emitters.lineshape(tmp_path / "a.vasp", tmp_path / "b.vasp", tmp_path / "FORCE_CONSTANTS")
