"""Planning an exposure, and the studies of `scattering evaluate`."""

import numpy as np
import pytest

from matterscope import scattering
from matterscope.core.errors import ConfigError
from matterscope.scattering.planning import limit_of_structure
from matterscope.scattering.settings import PlanSettings


def limits(**given):
    item = (PlanSettings(**given).model_dump(), 1, 7.0)
    return limit_of_structure(item, np.random.default_rng(0))


def test_more_photons_never_resolve_less_and_show_smaller_disks():
    found = limits(n=10)
    assert (np.diff(found["exact"]) >= -1e-9).all()
    assert (np.diff(found["visible"]) < 0).all()
    assert (found["within_one"] >= found["exact"] - 1e-12).all()


def test_the_smallest_visible_area_falls_a_little_faster_than_the_root_of_the_photons():
    found = limits(n=6)
    # from 0.95 to 30 photons; as disks get smaller they show by their fringes rather than by their own light
    ratio, root = found["visible"][-1] / found["visible"][6], (30.0 / 0.9487) ** -0.5
    assert root**1.2 < ratio < root


def test_a_plan_gives_exposures_in_order_and_checks_them():
    answer = scattering.plan(n=5, structures=3, check=2, beamstops=(7.0,))
    assert answer["photons_within_one"].value <= answer["photons_exact"].value
    assert answer.diagnostics["check"]["patterns"] == 2
    assert {p.name for p in answer.pictures} == {"plan"}


def test_speckles_finer_than_two_pixels_are_refused():
    with pytest.raises(ConfigError, match="speckle"):
        scattering.plan(box=6000.0, check=0)


def test_half_a_geometry_is_refused():
    with pytest.raises(ConfigError, match="geometry"):
        scattering.plan(energy=10.0, check=0)


def test_masking_rings_is_a_study_over_the_same_structures():
    answer = scattering.evaluate(
        study="rings", n=3, n_last=4, each=1, pixels=65, law="fixed", estimator="moments"
    )
    table = answer.tables["conditions"]
    assert table["ring"].tolist() == list(range(9))
    assert answer.pictures[-1].name == "study"


def test_a_learning_curve_has_its_baseline_beside():
    answer = scattering.evaluate(
        study="training-size", n=2, n_last=4, each=6, training=32, pixels=65, law="fixed"
    )
    table = answer.tables["conditions"]
    assert table["training_patterns"].tolist() == [4, 8, 16, 32]
    assert {"exact", "baseline_exact"} <= set(table.columns)
    assert answer["accuracy"].value > 0.6
