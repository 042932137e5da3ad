"""The element table and the formula parser: what they know, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.errors import ConfigError, DataError
from matterscope.physics import elements


def test_the_table_is_complete_in_what_every_element_has():
    table = elements.element_table()
    assert len(table) == 103
    assert table["number"].tolist() == list(range(1, 104))
    assert (
        table[["mass", "period", "group", "ionisation_energy_1", "covalent_radius"]]
        .notna()
        .all()
        .all()
    )


def test_every_column_names_its_units_and_source():
    table = elements.element_table()
    columns = set(table.columns) - {"source", "licence"}
    assert columns == set(table.attrs["units"]) == set(table.attrs["sources"])
    assert (table["source"] != "").all()
    assert (table["licence"] != "").all()


def test_masses_agree_with_ase():
    from ase.data import atomic_masses

    ours = elements.element_table()["mass"].to_numpy()
    assert np.allclose(ours, atomic_masses[1:104], rtol=1e-6)


def test_sodium_is_not_a_missing_value():
    assert elements.number("Na") == 11


def test_filled_properties_have_no_gaps_for_any_element():
    names = elements.symbols()
    columns = [
        "electronegativity",
        "electron_affinity",
        "metallic_radius",
        "orbital_energy_s",
        "melting_point",
    ]
    assert np.isfinite(elements.properties(names, columns)[1:]).all()


def test_a_missing_electron_affinity_means_no_bound_anion():
    assert elements.properties(["Zn"], ["electron_affinity"])[0, 0] == 0.0


def test_an_unknown_column_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="electronegativity"):
        elements.properties(["Zn"], ["electronegativty"])


@pytest.mark.parametrize(
    ("ion", "charge", "coordination", "radius"),
    [
        ("Li", 1, 4, 0.59),
        ("O", -2, 6, 1.40),
        ("Pb", 2, 6, 1.19),
        ("Ni", 2, 6, 0.69),
        ("Co", 3, 6, 0.61),
    ],
)
def test_ionic_radii_are_those_of_shannon(ion, charge, coordination, radius):
    assert elements.ionic_radius(ion, charge, coordination) == pytest.approx(radius, abs=1e-9)


def test_low_spin_cobalt_is_smaller_than_high_spin():
    low = elements.ionic_radius("Co", 3, 6, spin="LS")
    assert low == pytest.approx(0.545)


def test_an_unknown_ion_names_the_known_charges():
    with pytest.raises(DataError, match=r"\+2"):
        elements.ionic_radius("Zn", 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CdTe", {"Cd": 1, "Te": 1}),
        ("Mg(OH)2", {"Mg": 1, "O": 2, "H": 2}),
        ("CsPb_{0.125}Sn_{0.875}I_3", {"Cs": 1, "Pb": 0.125, "Sn": 0.875, "I": 3}),
        ("K4[Fe(CN)6]·3H2O", {"K": 4, "Fe": 1, "C": 6, "N": 6, "H": 6, "O": 3}),
        ("Li Ni_0.6 Mn_0.2 Co_0.2 O_2", {"Li": 1, "Ni": 0.6, "Mn": 0.2, "Co": 0.2, "O": 2}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
    ],
)  # fmt: skip
def test_formulae_are_read_as_chemists_write_them(text, expected):
    assert elements.parse_formula(text) == expected


def test_molecular_species_are_kept_whole():
    assert elements.parse_formula("MAPbI3", {"MA", "FA"}) == {"MA": 1, "Pb": 1, "I": 3}


@pytest.mark.parametrize("text", ["AbSb", "Cd(Te", "CdTe)", "", "Cd?", "Cd[Te)2"])
def test_a_broken_formula_is_an_error_that_shows_it(text):
    with pytest.raises(DataError, match="formula"):
        elements.parse_formula(text)


def test_a_misprinted_symbol_is_answered_with_the_nearest_one():
    with pytest.raises(DataError, match="Sb"):
        elements.symbol_of("Ab")


def test_writing_and_reading_a_formula_is_the_identity():
    amounts = {"Cs": 0.5, "Rb": 0.5, "Pb": 0.125, "Ge": 0.875, "I": 2.49, "Br": 0.51}
    assert elements.parse_formula(elements.write_formula(amounts)) == amounts
