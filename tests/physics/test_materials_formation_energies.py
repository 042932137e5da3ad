"""Formation energies: hulls, levels, neutrality and chemical potentials against closed forms."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from matterscope.core.errors import DataError
from matterscope.materials.defects.formation_energies import (
    crossing_sentences,
    energies_to_levels,
    hull_energy,
    levels_to_energies,
    lower_hull,
    probability_of_negative_u,
)
from matterscope.materials.defects.neutrality import (
    BOLTZMANN,
    Bands,
    Charged,
    carriers,
    fermi_integral,
    neutral_point,
    quenched,
)
from matterscope.materials.defects.potentials import Phase, precipitates, stability_corners

tables = st.dictionaries(
    st.integers(-4, 4), st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=2
)
CDTE_VCD = {0: 0.0, -1: 0.542, -2: 0.941}


def test_the_cadmium_vacancy_skips_its_single_negative_charge():
    hull = lower_hull(CDTE_VCD)
    assert hull.stable == (0, -2)
    assert hull.levels[0].energy == pytest.approx(0.4705)
    assert hull.negative_u


def test_single_electron_levels_off_the_hull_are_kept_apart():
    hull = lower_hull(CDTE_VCD)
    assert [round(lv.energy, 3) for lv in hull.single_electron] == [0.542, 0.399]


def test_the_reason_for_an_absent_charge_is_its_height_at_the_crossing():
    hull = lower_hull(CDTE_VCD)
    # at E_F = 0.4705 both lines are at 0, the −1 line at 0.542 − 0.4705
    assert hull.off_hull[0].height == pytest.approx(0.0715)
    assert "charge −1 lies 0.07 eV above the 0 / −2 line" in crossing_sentences(hull)[0]


def test_a_charge_that_nobody_computed_is_said_to_hide_levels():
    hull = lower_hull({0: 0.0, -2: 0.9})
    assert not hull.negative_u
    assert crossing_sentences(hull) == ["charge −1 not computed: (0/−2) may hide (0/−1), (−1/−2)"]


@settings(derandomize=True, max_examples=150)
@given(tables)
def test_the_hull_is_the_lower_envelope_of_all_lines(energies):
    hull = lower_hull(energies)
    grid = np.linspace(-12, 12, 4001)
    seen = set(hull_energy(energies, grid)[1].tolist())
    assert seen <= set(hull.stable) or all(
        # a tie may show either charge; its line touches the hull
        min(abs(hull_energy(energies, grid)[0] - (energies[q] + q * grid))) < 1e-9
        for q in seen
    )


@settings(derandomize=True, max_examples=150)
@given(tables)
def test_levels_on_the_hull_rise_as_the_charge_falls(energies):
    levels = [lv.energy for lv in lower_hull(energies).levels]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(levels))


@settings(derandomize=True, max_examples=100)
@given(tables, st.floats(-3, 3))
def test_a_constant_shift_changes_no_level(energies, shift):
    before = lower_hull(energies)
    after = lower_hull({q: e + shift for q, e in reversed(energies.items())})
    assert before.stable == after.stable
    assert np.allclose(
        [lv.energy for lv in before.levels], [lv.energy for lv in after.levels], atol=1e-9
    )


@settings(derandomize=True, max_examples=100)
@given(st.lists(st.floats(-4, 9), min_size=6, max_size=6), st.floats(-3, 12))
def test_levels_and_energies_are_two_forms_of_one_vector(levels, neutral):
    energies = levels_to_energies(neutral, levels, highest=3)
    assert energies[3] == pytest.approx(neutral, abs=1e-12)
    assert np.allclose(energies_to_levels(energies), levels, atol=1e-12)


def test_the_share_of_reversed_samples_is_the_probability_of_negative_u():
    draws = np.array([[[0.0, 1.0]], [[1.0, 0.0]], [[0.2, 0.3]], [[0.5, 0.4]]])
    assert probability_of_negative_u(draws).tolist() == [0.5]


def test_the_fermi_integral_has_both_limits():
    assert fermi_integral(-12.0) == pytest.approx(np.exp(-12.0), rel=1e-5)
    # Sommerfeld: 4 η^1.5 / (3 √π) (1 + π²/8η²)
    assert fermi_integral(40.0) == pytest.approx(
        4 * 40**1.5 / (3 * np.pi**0.5) * (1 + np.pi**2 / 8 / 1600), rel=1e-5
    )


def test_mass_action_holds_while_nothing_is_degenerate():
    bands = Bands(1.5, 0.1, 0.5)
    low, high = (np.prod(carriers(bands, e, 600.0)) for e in (0.6, 0.8))
    assert low == pytest.approx(high, rel=1e-4)


def test_an_intrinsic_crystal_sits_where_the_masses_put_it():
    bands, t = Bands(1.5, 0.1, 0.5), 400.0
    exact = 0.75 + 0.75 * BOLTZMANN * t * np.log(5)
    assert neutral_point(bands, [], t).fermi_level == pytest.approx(exact, abs=1e-5)


def test_quenching_keeps_the_total_of_each_defect():
    bands = Bands(1.5, 0.1, 0.5)
    states = [
        Charged(2, 0.3, 1e22),
        Charged(1, 0.9, 1e22),
        Charged(0, 1.9, 1e22),
        Charged(-2, 3.0, 1e22),
        Charged(0, 2.2, 1e22),
    ]
    names = ["D", "D", "D", "A", "A"]
    hot = neutral_point(bands, states, 900.0).concentrations
    cold = quenched(bands, states, names, 900.0, 300.0).concentrations
    assert cold[:3].sum() == pytest.approx(hot[:3].sum(), rel=1e-9)
    assert cold[3:].sum() == pytest.approx(hot[3:].sum(), rel=1e-9)


def test_no_neutral_point_is_an_error_not_a_number():
    with pytest.raises(DataError, match="neutral"):
        neutral_point(Bands(1.0, 1.0, 1.0), [], 300.0, dopants=[(1e30, 1)])


def test_a_competing_phase_cuts_the_stability_region():
    host = Phase("CdTe", {"Cd": 1, "Te": 1}, -1.2)
    rich = Phase("CdTe2", {"Cd": 1, "Te": 2}, -1.5)
    corners = stability_corners(host, [rich])
    assert max(c.delta_mu["Te"] for c in corners) == pytest.approx(-0.3)
    assert precipitates({"Cd": -1.2, "Te": 0.0}, [rich], ["Cd", "Te"]) == [
        ("CdTe2", pytest.approx(0.3))
    ]


def test_an_unstable_host_is_refused():
    host = Phase("CdTe", {"Cd": 1, "Te": 1}, -1.2)
    with pytest.raises(DataError, match="not stable"):
        stability_corners(host, [Phase("Cd2Te2", {"Cd": 2, "Te": 2}, -3.0)])
