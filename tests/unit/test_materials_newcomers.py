"""Species that the table does not hold: a trend goes on to them, and the bars say how well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope.materials.alloys.models import AlloyModel, combine, stack_weights
from matterscope.materials.alloys.newcomers import Answer, learn_newcomers, species_groups
from matterscope.materials.alloys.persistence import load_model, save_model
from matterscope.materials.alloys.process import Fractions
from matterscope.materials.alloys.sitekernels import TREND_TERMS, TrendKernel, site_bases
from matterscope.materials.alloys.spaces import make_space
from matterscope.materials.alloys.species import properties

SPECIES = {"A": ("K", "Rb", "Cs"), "B": ("Ca", "Sr", "Ba", "Ge", "Sn", "Pb"), "X": ("Cl", "Br", "I")}  # fmt: skip


def compounds() -> Fractions:
    space = make_space(SPECIES, {"A": 1, "B": 2, "X": 1})
    counts = space.unrank(np.arange(space.size))
    a, b, x = (counts[s] / space.steps[s] for s in "ABX")
    return a, b, x


def lattice(fractions: Fractions) -> np.ndarray:
    """Return a lattice constant that is linear in the ionic radii, Å."""
    radii = [f @ properties(s, SPECIES[s])[:, 0] for s, f in zip("ABX", fractions, strict=True)]
    return 1.4 * radii[1] + 2.0 * radii[2] + 0.3 * radii[0]


@pytest.fixture(scope="module")
def without_iodide() -> tuple[AlloyModel, Fractions, np.ndarray]:
    fractions = compounds()
    iodide = fractions[2][:, 2] > 0
    a, b, x = (f[~iodide] for f in fractions)
    known = lattice((a, b, x)) + 0.01 * np.random.default_rng(4).normal(size=len(a))
    members = ("vegard-process", "trend-process", "trees")
    model = AlloyModel(SPECIES, (a, b, x), {"lattice_constant": known}, members=members).fit()
    a, b, x = (f[iodide] for f in fractions)
    return model, (a, b, x), lattice((a, b, x))


def test_a_trend_in_the_radii_goes_on_to_a_halide_never_seen(
    without_iodide: tuple[AlloyModel, Fractions, np.ndarray],
) -> None:
    model, asked, truth = without_iodide
    value, sigma = model.predict(asked)
    error = np.abs(value[:, 0] - truth)
    # from bromide to iodide the law moves by 2 · (2.20 − 1.96) = 0.48 Å
    assert error.max() < 0.1
    assert np.mean(error <= 2 * sigma[:, 0]) > 0.95
    model.models["lattice_constant"].newcomers = {}
    usual = np.abs(model.predict(asked)[0][:, 0] - truth)
    assert np.median(usual) > 2 * np.median(error)


def test_weights_for_new_species_are_kept_in_the_file(
    tmp_path: Path, without_iodide: tuple[AlloyModel, Fractions, np.ndarray]
) -> None:
    model = without_iodide[0]
    model.models["lattice_constant"].newcomers = {}
    fitted = model.fit_target("lattice_constant")
    model.models["lattice_constant"] = fitted
    assert set(fitted.newcomers) == {"A", "B", "X"}
    save_model(model, tmp_path / "alloys.npz", "a table", "0" * 64)
    again = load_model(tmp_path / "alloys.npz").models["lattice_constant"].newcomers
    for site, new in fitted.newcomers.items():
        assert np.array_equal(again[site].weights, new.weights)
        assert again[site].scale == new.scale


def test_a_trend_without_skill_is_not_trusted_on_a_site_of_two_species() -> None:
    fractions = compounds()
    keep = fractions[2][:, 2] == 0
    a, b, x = (f[keep] for f in fractions)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=len(a))

    def wrong(rows: np.ndarray) -> list[Answer]:
        far = 3 + np.zeros(len(rows))
        return [(far, np.ones(len(rows))), (np.zeros(len(rows)), np.ones(len(rows)))]

    names = ["trend-process", "smooth-process"]
    found = learn_newcomers(names, wrong, (a, b, x), noise, stack_weights, combine)
    assert set(species_groups((a, b, x))) == {"A", "B"}
    assert set(found) == {"A", "B", "X"}
    assert all(new.weights[1] > 0.8 for new in found.values())


def test_the_gradient_of_the_trend_kernel_is_that_of_central_differences() -> None:
    fractions = compounds()
    kernel = TrendKernel(site_bases(SPECIES), fractions, fractions)
    theta = np.array([0.3, -1.0, 0.2])
    weight = np.random.default_rng(0).normal(size=(len(fractions[0]),) * 2)
    value, pullback = kernel.value_and_pullback(theta)
    assert np.allclose(value, kernel.matrix(theta))
    assert len(TREND_TERMS) == len(theta) - 1
    step = 1e-5
    for slope, shift in zip(pullback(weight), step * np.eye(3), strict=True):
        ends = [np.vdot(weight, kernel.matrix(theta + s * shift)) for s in (1, -1)]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)
