"""Formulas and grids of alloys: spellings, counts, numbers."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.errors import ConfigError, SchemaError
from matterscope.materials.alloys.compositions import formulas, parse_formula, write_formula
from matterscope.materials.alloys.spaces import PAPER_SPACE, make_space, partitions

TWENTY_PARTITIONS = {
    "8": 6, "7+1": 30, "6+2": 30, "5+3": 30, "4+4": 15, "6+1+1": 60, "5+2+1": 120, "4+3+1": 120,
    "4+2+2": 60, "3+3+2": 60, "5+1+1+1": 60, "4+2+1+1": 180, "3+3+1+1": 90, "3+2+2+1": 180,
    "2+2+2+2": 15, "4+1+1+1+1": 30, "3+2+1+1+1": 120, "2+2+2+1+1": 60, "3+1+1+1+1+1": 6,
    "2+2+1+1+1+1": 15,
}  # fmt: skip


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("CH3NH3PbI3", "MAPbI3"),
        ("(CH3NH3)PbI3", "MAPbI3"),
        ("HC(NH2)2PbBr3", "FAPbBr3"),
        ("CH(NH2)2PbBr3", "FAPbBr3"),
        ("Cs0.5FA0.5Pb(I0.83Br0.17)3", "Cs0.5FA0.5Pb(Br0.17I0.83)3"),
        ("FA0.5Cs0.5Pb(Br0.17I0.83)3", "Cs0.5FA0.5Pb(Br0.17I0.83)3"),
        ("Cs₀.₅FA₀.₅PbI₃", "Cs0.5FA0.5PbI3"),
        ("CsPb_{0.125}Sn_{0.875}I_3", "CsSn0.875Pb0.125I3"),
        ("CsPb_0.125Sn_0.875I_3", "CsSn0.875Pb0.125I3"),
        ("Cs8Ge1Sn7Br24", "CsGe0.125Sn0.875Br3"),
        ("methylammonium Pb I3", "MAPbI3"),
    ],
)
def test_every_usual_spelling_gives_the_same_formula(spelling: str, canonical: str) -> None:
    assert write_formula(parse_formula(spelling)) == canonical


def test_a_misspelt_species_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SchemaError, match=r"'Pn'.*row 7.*perhaps"):
        parse_formula("CsPnI3", "row 7")


def test_a_site_that_does_not_sum_to_one_is_refused_with_row_site_and_sum() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_formula("Cs0.5FA0.4PbI3", "row 3")
    assert "site A" in str(caught.value)
    assert "row 3" in str(caught.value)
    assert "0.9" in str(caught.value)
    assert "1 ± 0.01" in str(caught.value)


def test_renormalising_is_done_on_request_only() -> None:
    found = parse_formula("Cs0.5FA0.4PbI3", renormalise=True)
    assert sum(found["A"].values()) == pytest.approx(1.0)


def test_the_space_of_the_paper_has_19305_compounds() -> None:
    assert make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1}).size == 19_305


def test_the_compatible_space_leaves_out_one_partition_and_has_17955_compounds() -> None:
    space = make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1}, left_out=[(3, 3, 1, 1)])
    assert space.size == 17_955
    assert "3+3+1+1" not in partitions(space.grids[1])


def test_all_sites_in_eighths_make_28667925_compounds() -> None:
    assert make_space(PAPER_SPACE, {"A": 8, "B": 8, "X": 8}).size == 28_667_925


def test_the_partitions_of_eight_over_six_elements_have_their_known_counts() -> None:
    space = make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1})
    assert partitions(space.grids[1]) == TWENTY_PARTITIONS


def test_a_limit_on_mixing_leaves_pure_and_binary_compositions() -> None:
    space = make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1}, max_mixed=2)
    assert space.grids[1].size == 6 + 15 * 7


def test_formulas_keep_the_order_of_the_sites() -> None:
    space = make_space(PAPER_SPACE, {"A": 2, "B": 4, "X": 3})
    for text in formulas(space.unrank(np.arange(0, space.size, 997)), space.species, space.steps):
        assert write_formula(parse_formula(text)) == text


def test_a_species_on_the_wrong_site_is_refused() -> None:
    with pytest.raises(ConfigError, match="sits on site B"):
        make_space({"A": ("Pb",), "B": ("Pb",), "X": ("I",)}, {"A": 1, "B": 1, "X": 1})


def test_double_perovskites_put_two_cations_on_b() -> None:
    assert parse_formula("Cs2AgBiBr6")["B"] == {"Ag": 0.5, "Bi": 0.5}
    assert parse_formula("Cs2NaBiCl6") == {
        "A": {"Cs": 1},
        "B": {"Na": 0.5, "Bi": 0.5},
        "X": {"Cl": 1},
    }
    assert parse_formula("K0.5Cs0.5PbI3")["A"] == {"K": 0.5, "Cs": 0.5}


def test_an_oxide_is_refused_in_words() -> None:
    with pytest.raises(SchemaError, match="O is no halide"):
        parse_formula("SrTiO3")
