"""Enumeration and the data-set builder: geometry, labels, resume, the same bytes for any workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.errors import ConfigError
from matterscope.physics.structures import first_shell, shortest_distance
from matterscope.spectra.sets.builder import (
    Recipe,
    distort,
    plans,
    read_recipe,
    representative_sites,
)
from matterscope.spectra.sets.labels_nmc import structure_labels
from matterscope.spectra.sets.structures import CELLS, DEFECTS, Plan, layered_cell, make_structure
from support.recipes import LAYERED, contents, quick


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(quick(LAYERED, 2))
    return path


@pytest.mark.parametrize("units", CELLS)
def test_cells_hold_octahedra_of_the_layered_oxide(units: int) -> None:
    plan = plans(Recipe(count=60), 1)
    one = next(p for p in plan if p.units == units and p.vacancies == p.antisites == 0)
    atoms = make_structure(one)
    assert len(atoms) == 3 * units + one.lithium
    for site in np.flatnonzero(atoms.numbers > 20):
        assert first_shell(atoms, int(site)).coordination_number == 6
    assert shortest_distance(atoms)[0] > 1.8


def test_lattice_constants_give_the_volume_of_the_formula() -> None:
    cell, _ = layered_cell(9, 1.0)
    expected = 9 * (2.87**2 * np.sqrt(3) / 2) * 14.25 / 3  # three formula units per hexagonal cell
    assert abs(np.linalg.det(cell)) == pytest.approx(expected, rel=1e-9)


def test_defects_are_all_drawn_and_independent_of_lithium() -> None:
    found = plans(Recipe(count=600), 3)
    vacancy = np.array([p.vacancies > 0 for p in found])
    lithium = np.array([p.lithium / p.units for p in found])
    assert len(DEFECTS) == len({(p.vacancies > 0, p.antisites > 0) for p in found})
    # two means of ~270 and ~330 uniform numbers differ by less than 4 standard errors
    error = lithium.std() * np.sqrt(1 / vacancy.sum() + 1 / (~vacancy).sum())
    assert abs(lithium[vacancy].mean() - lithium[~vacancy].mean()) < 4 * error


def test_children_share_their_parents_metals() -> None:
    found = plans(Recipe(count=6), 5)
    assert [p.parent for p in found] == ["p0000"] * 3 + ["p0001"] * 3
    assert len({p.family for p in found[:3]}) == 1


def test_a_longer_set_begins_with_the_shorter_one() -> None:
    assert plans(Recipe(count=9), 5)[:6] == plans(Recipe(count=6), 5)


def test_labels_count_what_was_put_in() -> None:
    plan = next(p for p in plans(Recipe(count=60), 2) if p.vacancies and p.antisites)
    atoms = make_structure(plan)
    labels = structure_labels(plan, atoms, np.full(len(atoms), 0.9), atoms.arrays["layer"])
    assert labels["antisites"] == plan.antisites
    assert np.sum(atoms.numbers == 8) == 2 * plan.units - plan.vacancies
    assert labels["lithium_content"] == pytest.approx(plan.lithium / plan.units)
    assert labels["nickel_content"] == pytest.approx(plan.metals[0] / plan.units)
    assert labels["nickel_oxidation_state"] == 3.0


def test_representative_sites_stand_for_all_sites() -> None:
    plan = plans(Recipe(count=3), 2)[0]
    atoms = distort(make_structure(plan), Recipe().distort, 1)
    moments = np.zeros(len(atoms))
    two = representative_sites(atoms, moments, 8, 2)
    three = representative_sites(atoms, moments, 8, 3)
    assert sum(share for _, share in three) == pytest.approx(1.0)
    assert [s for s, _ in three[:2]] == [s for s, _ in two]


def test_an_odd_site_is_chosen_second() -> None:
    plan = Plan(0, "p", "f", 9, (3, 3, 3), "random", 1, 9, "random", 0, 0, 1)
    atoms = make_structure(plan)
    nickel = np.flatnonzero(atoms.numbers == 28)
    atoms.positions[nickel[1]] += 0.2
    chosen = representative_sites(atoms, np.zeros(len(atoms)), 28, 2)
    assert chosen[1][0] == nickel[1]


def test_building_again_computes_nothing_and_gives_the_same_bytes(
    recipe: Path, tmp_path: Path
) -> None:
    first = spectra.build(recipe, folder=str(tmp_path / "a"), seed=4)
    made = contents(tmp_path / "a")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "a" / "sites").rglob("*.json")}
    again = spectra.build(recipe, folder=str(tmp_path / "a"), seed=4)
    assert contents(tmp_path / "a") == made
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert first.diagnostics["digest"] == again.diagnostics["digest"]
    assert first["structures"].value == 2
    assert first["failed_units"].value == 0


def test_a_set_interrupted_after_some_units_ends_like_one_that_was_not(
    recipe: Path, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    spectra.build(recipe, folder=str(whole), seed=4)
    spectra.build(recipe, folder=str(part), seed=4, count=1)
    lost = next((part / "sites").rglob("*.json"))
    lost.unlink()  # as if the process had died before this site was written
    spectra.build(recipe, folder=str(part), seed=4)
    assert contents(part) == contents(whole)


def test_a_failed_site_is_listed_with_its_reason(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matterscope.spectra.sets import builder
    from matterscope.spectra.simulators.contract import StageFailed

    def fail(*_: object) -> None:
        raise StageFailed("a stage of FEFF failed")

    monkeypatch.setattr(builder, "cached", fail)
    found = spectra.build(recipe, folder=str(tmp_path / "a"), seed=4)
    assert found["failed_units"].value == 4
    assert any("a stage of FEFF failed" in f for f in found.diagnostics["failures"])
    assert found.flagged("failed-units")


def test_planning_computes_nothing(recipe: Path, tmp_path: Path) -> None:
    found = spectra.build(recipe, folder=str(tmp_path / "a"), plan_only=True, count=50)
    assert not (tmp_path / "a").exists()
    assert len(found.tables["plans"]) == 50
    assert found.diagnostics["cost"]["cpu_hours"] > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count = 0", "count of recipe"),
        ("counts = 3", "no setting 'counts'"),
        ("[sites]\nAl = 2", "element the family has not"),
        ("count = ", "not TOML"),
    ],
)
def test_a_faulty_recipe_is_refused_with_the_faulty_entry(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_recipe(path)


def test_the_recipe_with_dopants_is_valid() -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "nmc-doped.toml")
    assert recipe.dopants.elements == ("Al", "Mg")


def test_the_projects_recipe_is_valid() -> None:
    root = Path(__file__).parents[2]
    whole, small = (read_recipe(root / "recipes" / f"{n}.toml") for n in ("nmc", "nmc-small"))
    assert whole.count >= 300
    # the small set is the beginning of the whole one
    assert small.model_copy(update={"count": whole.count}) == whole


def test_dopants_replace_metals_in_a_share_of_the_structures_and_change_nothing_else() -> None:
    bare = Recipe.model_validate({"count": 60})
    given = Recipe.model_validate(
        {"count": 60, "dopants": {"elements": ["Al", "Mg"], "share": 0.5, "most": 2}}
    )
    doped = [(a, b) for a, b in zip(plans(bare, 7), plans(given, 7), strict=True) if b.dopants]
    assert 20 <= len(doped) <= 40
    assert {b.dopant for _, b in doped} == {"Al", "Mg"}
    for before, after in doped:
        one, other = make_structure(before), make_structure(after)
        changed = np.flatnonzero(one.numbers != other.numbers)
        assert len(changed) == after.dopants
        assert set(other.numbers[changed]) == {{"Al": 13, "Mg": 12}[after.dopant]}
        assert np.array_equal(one.positions, other.positions)
        layer = other.arrays["layer"]
        labels = structure_labels(after, other, np.full(len(other), np.nan), layer)
        metals = sum(labels[f"{m}_content"] for m in ("nickel", "manganese", "cobalt"))
        assert metals + labels["dopant_content"] == pytest.approx(1.0)
        assert Plan.from_record(after.as_record()) == after


def test_plans_without_dopants_keep_the_record_they_had() -> None:
    assert all("dopant" not in p.as_record() for p in plans(Recipe.model_validate({"count": 9}), 7))


def test_a_record_of_a_structure_is_plain_json(recipe: Path, tmp_path: Path) -> None:
    spectra.build(recipe, folder=str(tmp_path / "a"), seed=4, count=1)
    record = json.loads((tmp_path / "a" / "structures" / "00000.json").read_text())
    assert {"plan", "labels", "spectra", "structure", "digest", "failures"} <= set(record)
