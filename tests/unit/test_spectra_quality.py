"""Edges, normalisation and verdicts on spectra whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

from matterscope.core.schema import measurement
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape, half_step
from matterscope.spectra.measured.quality import examine, examine_all
from matterscope.spectra.measured.reduction import normalise, point_scatter
from matterscope.spectra.sets.labels import site_labels


def edge(
    centre: float = 8985.0, start: float = -150.0, stop: float = 400.0, **attrs: object
) -> xr.Dataset:
    energy = centre + np.arange(start, stop, 0.5)
    x = energy - centre
    mu = 0.5 + np.arctan(x / 1.5) / np.pi + 0.4 * np.exp(-0.5 * ((x - 4) / 3) ** 2)
    mu = 2.0 * mu + 0.7 - 1e-3 * x
    return measurement(
        "spectrum", {"energy": (energy, "eV")}, {"mu": (("energy",), mu, "1")}, **attrs
    )


def test_the_edge_is_named_from_its_position() -> None:
    seen = examine(edge())
    assert (seen.element, seen.edge) == ("Cu", "K")
    assert seen.candidates.probability.iloc[0] > 0.9


def test_a_wrong_header_is_contradicted_by_the_spectrum() -> None:
    seen = examine(edge(5472.0, element="La", edge="L3", label="WD7A"))
    assert (seen.element, seen.edge) == ("V", "K")
    assert "element_conflict" in seen.codes


def test_the_edge_step_is_recovered() -> None:
    data = edge()
    made = normalise(data.energy.values, data.mu.values, 8985.0)
    # the arctangent is 1.5/(π·30) = 1.6 % above zero where the pre-edge line is fitted, and
    # 1.5/(π·60) = 0.8 % below one where the post-edge polynomial begins
    assert made.step == pytest.approx(2.0, rel=0.024)


def test_normalisation_does_not_depend_on_gain_and_offset() -> None:
    data = edge()
    a = normalise(data.energy.values, data.mu.values, 8985.0).mu
    b = normalise(data.energy.values, 7.0 * data.mu.values - 3.0, 8985.0).mu
    np.testing.assert_allclose(a, b, atol=1e-10)


def test_the_scatter_of_points_is_measured_on_a_slope() -> None:
    rng = np.random.default_rng(0)
    energy = np.arange(4000.0)
    sigma = point_scatter(energy, 0.01 * energy + rng.normal(0, 0.2, 4000))
    # median absolute deviation of 4000 values: relative standard error 1.17/√4000; 4 of them
    assert sigma == pytest.approx(0.2, rel=4 * 1.17 / np.sqrt(4000))


@pytest.mark.parametrize("shift", [-3.0, 0.37, 2.9])
@pytest.mark.parametrize("window", sorted(WINDOWS))
def test_the_aligned_shape_does_not_see_a_shift_of_the_axis(shift: float, window: str) -> None:
    data = edge()
    made = normalise(data.energy.values, data.mu.values, 8985.0)
    shape, position = aligned_shape(made.energy, made.mu, window)
    moved, other = aligned_shape(made.energy + shift, made.mu, window)
    np.testing.assert_allclose(moved, shape, atol=1e-9)
    assert other - position == pytest.approx(shift, abs=1e-9)


def test_half_step_is_half_of_the_stated_level() -> None:
    energy = np.linspace(0, 100, 1001)
    assert half_step(energy, energy / 100, level=1.0) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (edge(stop=8.0), "post_edge_missing"),
        (edge(stop=30.0), "post_edge_short"),
        (edge(stop=-20.0, element="Cu", edge="K"), "edge_missing"),
        (edge(label="Cu foil", centre=8990.0), "foil_offset"),
        (edge(centre=9001.0, element="Cu"), "axis_offset"),
    ],
)
def test_what_is_wrong_is_said(data: xr.Dataset, code: str) -> None:
    assert code in examine(data).codes


def test_exchanged_detectors_are_seen() -> None:
    data = edge()
    data["mu"] = -data["mu"]
    assert "falls_at_edge" in examine(data).codes


def test_noise_alone_has_no_edge() -> None:
    data = edge()
    data["mu"] = ("energy", np.random.default_rng(1).normal(size=data.mu.size), {"units": "1"})
    assert examine(data).verdict == "FAIL"


def test_a_scan_that_differs_from_its_repeats_is_flagged() -> None:
    scans = [edge(label=f"oxide.00{k}") for k in range(1, 5)]
    bump = 0.5 * np.exp(-0.5 * ((scans[2].energy.values - 8983) / 1.5) ** 2)
    scans[2]["mu"] = scans[2]["mu"] + bump
    found = examine_all(scans)
    assert ["repeat_drift" in s.codes for s in found] == [False, False, True, False]


def test_the_first_shell_of_a_metal_has_twelve_neighbours_at_one_distance() -> None:
    labels = site_labels(bulk("Cu", "fcc", a=3.6149), 0)
    assert labels is not None
    assert (labels.coordination, labels.ligand, labels.pure) == (12, "Cu", True)
    assert labels.bond == pytest.approx(3.6149 / np.sqrt(2))


def test_labels_do_not_depend_on_the_cell_chosen() -> None:
    cell = bulk("CuO", "rocksalt", a=4.2)
    bigger = cell.repeat((2, 1, 3))
    bigger.positions += 0.37
    a, b = site_labels(cell, 0), site_labels(bigger, 0)
    assert a is not None
    assert b is not None
    assert (a.coordination, a.ligand) == (b.coordination, b.ligand) == (6, "O")
    np.testing.assert_allclose(a.distances, b.distances)


@pytest.mark.parametrize(("shift", "flagged"), [(0.0, False), (4.0, True), (-2.5, True)])
def test_the_foil_behind_the_sample_says_how_far_the_axis_is_off(tmp_path, shift, flagged) -> None:
    from matterscope.io import read

    sample = edge(8986.0)
    energy = sample["energy"].values
    foil = 0.4 + np.arctan((energy - 8979.0 - shift) / 0.8) / np.pi
    beam = np.full(energy.size, 1e6)
    behind = beam * np.exp(-sample["mu"].values)
    rows = np.column_stack([energy, beam, behind, behind * np.exp(-foil)])
    path = tmp_path / "scan.dat"
    np.savetxt(path, rows, header="energy i0 itrans irefer", fmt="%.6f")
    seen = examine(read(path, kind="spectrum")[0])
    assert seen.reference_offset == pytest.approx(shift, abs=0.5)  # a step of the axis
    assert ("reference_offset" in seen.codes) is flagged
