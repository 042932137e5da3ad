"""Formulae: what holds for any composition."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from matterscope.physics.elements import molar_mass, parse_formula, symbols, write_formula

compositions = st.dictionaries(
    st.sampled_from(symbols()), st.integers(1, 800).map(lambda n: n / 8), min_size=1, max_size=6
)


@settings(derandomize=True, max_examples=150)
@given(compositions)
def test_a_written_formula_reads_back_as_itself(amounts):
    assert parse_formula(write_formula(amounts)) == amounts


@settings(derandomize=True, max_examples=50)
@given(compositions, st.integers(2, 9))
def test_a_bracket_multiplies_the_mass(amounts, factor):
    once = molar_mass(amounts)
    assert (
        abs(molar_mass(f"({write_formula(amounts)}){factor}") - factor * once)
        < 1e-9 * once * factor
    )
