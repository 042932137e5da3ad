"""Sets of any crystal by recipe: what is drawn, what is labelled, what can be trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.errors import ConfigError, DataError
from matterscope.physics.structures import first_shell
from matterscope.spectra.sets.assembly import assemble
from matterscope.spectra.sets.builder import plans, start_structure
from matterscope.spectra.sets.prototypes import PrototypePlan, formula_units, prototype_labels
from matterscope.spectra.sets.recipes import read_recipe
from matterscope.spectra.sets.trainingsets import load_set
from support.recipes import PROTOTYPE, quick

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rock_salt(tmp_path: Path) -> Path:
    path = tmp_path / "salt.toml"
    path.write_text(quick(PROTOTYPE, 40))
    return path


def test_the_spinel_recipe_has_the_shells_of_a_spinel() -> None:
    recipe = read_recipe(ROOT / "recipes" / "spinel.toml")
    plan = next(p for p in plans(recipe, 1) if not any(p.left.values()))
    atoms = start_structure(plan, recipe)
    assert recipe.prototype is not None
    assert formula_units(recipe.prototype) == 2
    assert len(atoms) == 14
    for z, number in ((3, 4), (25, 6), (8, 4)):
        site = int(np.flatnonzero(atoms.numbers == z)[0])
        assert first_shell(atoms, site).coordination_number == number
    manganese = first_shell(atoms, int(np.flatnonzero(atoms.numbers == 25)[0]))
    assert manganese.bond_length == pytest.approx(1.96, abs=0.02)  # LiMn2O4, powder diffraction


def test_contents_follow_the_plan_and_stay_between_the_bounds(rock_salt: Path) -> None:
    recipe = read_recipe(rock_salt)
    assert recipe.prototype is not None
    for plan in plans(recipe, 3):
        assert isinstance(plan, PrototypePlan)
        atoms = start_structure(plan, recipe)
        labels = prototype_labels(recipe.prototype, plan, atoms, ("Ni",))
        assert 0.25 <= labels["content_Ni"] <= 0.75
        assert labels["content_Ni"] + labels["content_Mg"] == pytest.approx(1.0)
        assert labels["content_O"] == pytest.approx(1 - plan.left["O"] / 4)
        assert labels["vacancy_O"] == int(plan.left["O"] > 0)
        assert PrototypePlan.from_record(plan.as_record()) == plan


def test_children_share_their_parents_metals_and_a_longer_set_begins_with_the_shorter(
    rock_salt: Path,
) -> None:
    recipe = read_recipe(rock_salt)
    found = plans(recipe, 5)
    assert found[:6] == plans(recipe.model_copy(update={"count": 6}), 5)
    full = [start_structure(p, recipe) for p in found]
    for one, other in zip(full[::2], full[1::2], strict=True):
        metals = [a.positions[a.numbers == 28] for a in (one, other)]
        assert np.array_equal(*metals)


def test_a_built_prototype_is_a_training_set_and_no_layered_one(
    rock_salt: Path, tmp_path: Path
) -> None:
    found = spectra.build(rock_salt, folder=str(tmp_path / "a"), seed=2, count=2)
    assert found["failed_units"].value == 0
    nickel = load_set(tmp_path / "a" / "training" / "Ni_K")
    assert (nickel.element, nickel.edge) == ("Ni", "K")
    assert len(set(nickel.materials)) == 2
    assert set(found.diagnostics["training_sets"]) == {"Ni_K", "O_K"}
    with pytest.raises(DataError, match="end before the narrow window does"):
        nickel.shapes("narrow")
    with pytest.raises(DataError, match="built from a prototype"):
        assemble(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('element = "Mg", by', 'element = "Fe", by'), "no Fe among the atoms"),
        (("low = 0.25, high = 0.75", "low = 0.9, high = 0.75"), "low exceeds high"),
        (('by = "Ni"', 'by = "Qq"'), "is no element"),
        (("spacegroup = 225", "spacegroup = 999"), "spacegroup"),
        (('family = "prototype"', ""), "do not belong together"),
        (("Ni = 1\nO", "Cu = 1\nO"), "element the family has not"),
    ],
)
def test_a_faulty_prototype_is_refused_with_its_fault(
    rock_salt: Path, change: tuple[str, str], message: str
) -> None:
    rock_salt.write_text(rock_salt.read_text().replace(*change))
    with pytest.raises(ConfigError, match=message):
        read_recipe(rock_salt)
