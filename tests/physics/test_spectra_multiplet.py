"""Multiplets against closed forms and against the EDRIXS 0.2.0 fixtures."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import numpy as np
import pytest

from matterscope.spectra.simulators import fock
from matterscope.spectra.simulators.l23 import Multiplet
from matterscope.spectra.simulators.ligandfield import octahedral_axes, tetragonal_field
from matterscope.spectra.simulators.multiplet import IONS, Field, Ion, lines_to_spectrum, sticks

OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])


def bare(electrons: int, core: float = 10.0) -> Ion:
    """Return an ion without repulsion and without 3d spin–orbit coupling."""
    return Ion("Xx", 0, electrons, *[0.0] * 9, core, 0.0, (0.2, 0.2))


def test_d2_terms_follow_racah() -> None:
    f2, f4 = 9.0, 6.0
    b, c = f2 / 49 - 5 * f4 / 441, 35 * f4 / 441
    matrix = f2 * fock.repulsion(2, 2) + f4 * fock.repulsion(2, 4)
    values, counts = np.unique(
        np.round(np.linalg.eigvalsh(matrix.toarray()), 9), return_counts=True
    )
    expected = sorted(
        [(-8 * b, 21), (7 * b, 9), (4 * b + 2 * c, 9), (-3 * b + 2 * c, 5), (14 * b + 7 * c, 1)]
    )
    # F⁰ is left out: levels agree up to one common constant
    shift = values[0] - expected[0][0]
    assert [n for _, n in expected] == counts.tolist()
    assert np.allclose(values - shift, [e for e, _ in expected], atol=1e-9)


@pytest.mark.parametrize("electrons", range(10))
def test_there_are_binomially_many_determinants(electrons: int) -> None:
    assert len(fock.determinants(electrons)) == comb(10, electrons)


@pytest.mark.parametrize("name", ["Mn4+", "Co3+", "Ni3+", "Ni2+", "Cu2+"])
def test_total_strength_is_the_number_of_holes(name: str) -> None:
    ion = IONS[name]
    total = sticks(ion, Field(1.3).matrix()).isotropic.sum()
    assert total == pytest.approx(10 - ion.electrons, abs=1e-6)


def test_an_empty_shell_without_repulsion_has_edges_two_to_one() -> None:
    lines = sticks(bare(0), np.zeros((5, 5)))
    upper = lines.energy > lines.energy.mean()
    assert lines.isotropic[~upper].sum() / lines.isotropic[upper].sum() == pytest.approx(2.0)
    assert np.ptp(lines.energy) == pytest.approx(15.0)  # 3/2 of ζ(2p) = 10


def test_core_spin_of_pure_edges_is_one_and_nought() -> None:
    lines = sticks(bare(0), np.zeros((5, 5)))
    assert sorted({round(float(c), 9) for c in lines.core}) == [0.0, 1.0]


def test_a_hole_of_total_spin_five_halves_has_no_l2() -> None:
    free = Ion("Cu", 2, 9, 0, 0, 0.1, 0, 0, 0, 0, 0, 0.1, 13.5, 932.7, (0.3, 0.6))
    lines = sticks(free, np.zeros((5, 5)), temperature=1.0)
    strength = lines.isotropic
    assert strength[lines.core < 0.5].sum() < 1e-9 * strength.sum()


def test_field_of_a_site_does_not_depend_on_its_orientation() -> None:
    from scipy.spatial.transform import Rotation

    bonds = OCTAHEDRON * np.array([2.0, 2.0, 2.3])
    turned = bonds @ Rotation.random(random_state=3).as_matrix().T
    assert tetragonal_field(bonds, "Ni2+") == tetragonal_field(turned, "Ni2+")


@pytest.mark.parametrize(
    ("name", "ten_dq", "degeneracy", "next_level"),
    [
        ("Ni2+", 1.1, 3, 1063.0), ("Co3+", 2.4, 1, 428.5), ("Ni3+", 2.8, 4, 140.4),
        ("Ni4+", 2.8, 1, 653.4), ("Mn4+", 2.4, 4, 2352.8), ("Cu2+", 1.3, 4, 1209.5),
    ],
)  # fmt: skip
def test_ground_levels_agree_with_edrixs(
    name: str, ten_dq: float, degeneracy: int, next_level: float
) -> None:
    found = sticks(IONS[name], Field(ten_dq).matrix())
    assert found.degeneracy == degeneracy
    # 1 meV, and half a digit of the fixture
    assert found.levels[degeneracy] * 1e3 == pytest.approx(next_level, abs=1.05)


@pytest.mark.parametrize(("name", "ten_dq"), [("Co3+", 2.1), ("Ni3+", 2.6)])
def test_below_the_crossing_the_ground_state_is_high_spin(name: str, ten_dq: float) -> None:
    low = {"Co3+": 1, "Ni3+": 4}[name]
    assert sticks(IONS[name], Field(ten_dq).matrix()).degeneracy != low


@pytest.mark.parametrize(
    ("name", "ten_dq", "lines"),
    [
        ("Ni2+", 1.1, [(0, 1), (0.90, 0.17), (2.08, 0.23), (2.92, 0.08), (17.38, 0.26), (18.61, 0.33)]),
        ("Co3+", 2.4, [(-2.47, 0.08), (0, 1), (1.31, 0.17), (2.14, 0.35), (13.81, 0.31), (14.37, 0.53)]),
        ("Cu2+", 1.3, [(0, 1), (20.26, 0.35)]),
    ],
)  # fmt: skip
def test_lines_agree_with_edrixs(
    name: str, ten_dq: float, lines: list[tuple[float, float]]
) -> None:
    ion = IONS[name]
    found = sticks(ion, Field(ten_dq).matrix())
    energy = np.arange(found.energy.min() - 4, found.energy.max() + 4, 0.005)
    mu = lines_to_spectrum(energy, found, ion, half_widths=(0.2, 0.2))
    inner = mu[1:-1]
    tops = 1 + np.flatnonzero((inner > mu[:-2]) & (inner > mu[2:]))
    strongest = int(np.argmax(mu))
    positions, heights = energy[tops] - energy[strongest], mu[tops] / mu[strongest]
    for place, height in lines:
        nearest = int(np.argmin(np.abs(positions - place)))
        assert positions[nearest] == pytest.approx(place, abs=0.02)
        assert heights[nearest] == pytest.approx(height, abs=0.01)


def test_a_colder_ion_has_fewer_lines_and_the_same_strength() -> None:
    ion = IONS["Ni3+"]
    cold = sticks(ion, Field(2.6).matrix(), temperature=1.0)
    warm = sticks(ion, Field(2.6).matrix(), temperature=900.0)
    assert len(cold.energy) < len(warm.energy)
    assert cold.isotropic.sum() == pytest.approx(warm.isotropic.sum(), rel=1e-6)


def test_octahedral_axes_are_orthogonal() -> None:
    axes = octahedral_axes(OCTAHEDRON + 0.05)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-12)


def test_ten_dq_falls_with_the_fifth_power_of_the_distance() -> None:
    near, far = (tetragonal_field(OCTAHEDRON * d, "Mn4+").ten_dq for d in (1.8, 2.0))
    # both are rounded to 0.02 eV
    assert near / far == pytest.approx((2.0 / 1.8) ** 5, abs=0.02)


def test_a_missing_oxygen_makes_a_tetragonal_field() -> None:
    whole, broken = (
        tetragonal_field(OCTAHEDRON * 2, "Ni2+"),
        tetragonal_field((OCTAHEDRON * 2)[:5], "Ni2+"),
    )
    assert (whole.ds, whole.dt) == (0.0, 0.0)
    assert broken.ds > 0.05


def test_l3_maxima_move_up_with_the_charge() -> None:
    tops = []
    for name in ("Ni2+", "Ni3+", "Ni4+"):
        engine = Multiplet(ion=name, field=Field(2.8 if name != "Ni2+" else 1.1))
        found = engine.expect(engine.ion_task())
        low = found.energy.values < 862
        tops.append(float(found.energy.values[low][np.argmax(found.mu.values[low])]))
    assert all(b > a for a, b in pairwise(tops))
