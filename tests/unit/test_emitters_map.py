"""Maps of arrays: detection, lattice, numbers per site and yield, against the digital twin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from matterscope import emitters
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.schema import measurement
from matterscope.emitters.made.twin import Design, make_array
from matterscope.emitters.sites.detection import find_sites
from matterscope.io import read
from matterscope.physics.images import (
    false_maxima,
    find_lattice,
    local_maxima,
    matched_significance,
    pixel_gaussian,
)


def as_map(counts, step=0.1, units="counts", **attrs):
    ny, nx = counts.shape
    return measurement(
        "map",
        {"y": (step * np.arange(ny), "µm"), "x": (step * np.arange(nx), "µm")},
        {"counts": (("y", "x"), counts, units)},
        **attrs,
    )


def score(found, truth, reach=3.0):
    """F1 of found points against true ones, each used once."""
    distance, index = cKDTree(truth).query(found)
    hits = len({i for d, i in zip(distance, index, strict=True) if d < reach})
    return 2 * hits / (len(found) + len(truth))


@pytest.mark.parametrize(("peak", "goal"), [(8, 0.86), (15, 0.97), (40, 0.98), (150, 0.98)])
def test_occupied_sites_are_found_at_every_brightness_with_one_setting(peak, goal):
    # goals of the benchmark less three standard errors of one array of 220 occupied sites
    array = make_array(Design(peak=peak), np.random.default_rng(4))
    found = find_sites(array.counts.astype(float))
    occupied = array.sites[array.sites["emitters"] > 0][["x", "y"]].to_numpy()
    assert score(found.sites[["x", "y"]].to_numpy(), occupied) > goal


def test_noise_alone_makes_as_many_maxima_as_expected():
    rng = np.random.default_rng(0)
    z = matched_significance(rng.standard_normal((600, 600)), np.ones((600, 600)), 1.8)
    assert z.std() == pytest.approx(1.0, abs=0.02)
    for level in (2.5, 3.0, 3.5):
        expected = false_maxima(np.array(level), 600 * 600, 1.8)
        assert abs(len(local_maxima(z, level)) - expected) < 4 * np.sqrt(expected) + 0.15 * expected


def test_an_empty_background_holds_hardly_any_site():
    # about half of a false site a map, by chance; 8 maps: 4 ± 2, and three of those errors
    found = [
        len(find_sites(np.random.default_rng(s).poisson(20.0, (300, 300)).astype(float)).sites)
        for s in range(8)
    ]
    assert sum(found) <= 10


def test_a_ridge_is_no_site():
    y, x = np.mgrid[:100, :100]
    rim = 300 * np.exp(-0.5 * ((np.hypot(x - 50, y - 50) - 30) / 1.5) ** 2)
    spot = 200 * pixel_gaussian((100, 100), 50, 50, 1.5)
    counts = np.random.default_rng(2).poisson(30 + rim + spot).astype(float)
    sites = find_sites(counts).sites
    assert np.min(np.hypot(sites["x"] - 50, sites["y"] - 50)) < 0.5
    assert (np.abs(np.hypot(sites["x"] - 50, sites["y"] - 50) - 30) < 4).sum() <= 1


def test_positions_scatter_by_their_stated_error():
    rng = np.random.default_rng(3)
    truth = rng.uniform(25, 26, (60, 2))
    pulls = []
    for x, y in truth:
        counts = rng.poisson(20 + 60 * pixel_gaussian((51, 51), x, y, 1.8)).astype(float)
        site = find_sites(counts, spot=1.8).sites.iloc[0]
        pulls += [(site["x"] - x) / site["x_sigma"], (site["y"] - y) / site["y_sigma"]]
    # 120 pulls: the standard deviation is known to 6.5 %; three errors, and 10 % for the approximation
    assert 0.7 < np.std(pulls) < 1.35


@pytest.mark.parametrize("angle", [0.0, 7.0, -31.0])
def test_a_lattice_is_found_through_gaps_strays_and_rotation(angle):
    rng = np.random.default_rng(5)
    i, j = np.meshgrid(np.arange(12), np.arange(10))
    nodes = np.stack([i.ravel(), j.ravel()], 1)[rng.random(120) < 0.6]
    turn = np.deg2rad(angle)
    vectors = np.array(
        [[20 * np.cos(turn), 20 * np.sin(turn)], [-24 * np.sin(turn), 24 * np.cos(turn)]]
    )
    points = np.concatenate(
        [nodes @ vectors + rng.normal(0, 0.4, (len(nodes), 2)), rng.uniform(-50, 200, (15, 2))]
    )
    lattice = find_lattice(points, 3.0)
    assert sorted(lattice.pitch) == pytest.approx([20, 24], abs=0.1)
    assert lattice.share > 0.8


def test_random_points_form_no_lattice():
    assert find_lattice(np.random.default_rng(6).uniform(0, 500, (80, 2)), 3.0) is None


@pytest.fixture(scope="module")
def array():
    design = Design(rows=14, columns=14, emitters_per_site=1.0, peak=60, rotation=3, margin=50)
    return make_array(design, np.random.default_rng(8))


@pytest.fixture(scope="module")
def answer(array):
    return emitters.map(as_map(array.counts), ions_per_site=100.0, stopped_fraction=0.8)


def test_the_yield_is_the_mean_number_over_the_stopped_ions(answer):
    band = answer["conversion_yield"].interval(0.95)
    slack = answer["conversion_yield"].sigma  # one array: 95 % and one more standard error
    assert band.low - slack < 1.0 / 80 < band.high + slack


def test_probabilities_of_numbers_match_the_truth(array, answer):
    table = answer.tables["array"]
    places = table[["x", "y"]].to_numpy() / 0.1
    distance, site = cKDTree(array.sites[["x", "y"]]).query(places)
    assert distance.max() < 2
    number = np.minimum(array.sites["emitters"].to_numpy()[site], 2)
    assert len(table) == 196
    for k, name in enumerate(("none", "single", "several")):
        expected, spread = table[name].sum(), np.sqrt((table[name] * (1 - table[name])).sum())
        assert abs((number == k).sum() - expected) < 4 * spread + 2, name


def test_a_rate_without_a_dwell_time_is_told_from_its_steps(array):
    rate = as_map(200.0 * array.counts, units="counts/s")
    estimate = emitters.map(rate, lattice=False)
    assert estimate.flagged("dwell-inferred")
    assert "5 ms" in " ".join(f.message for f in estimate.flags)


def test_an_empty_map_is_refused():
    with pytest.raises(SchemaError, match="empty"):
        emitters.map(as_map(np.zeros((40, 40))))


def test_missing_pixels_are_left_out(array):
    counts = array.counts.astype(float)
    counts[100:130, 100:140] = np.nan
    estimate = emitters.map(as_map(counts), lattice=False)
    sites = estimate.tables["sites"]
    inside = sites["x"].between(10.3, 13.6) & sites["y"].between(10.3, 12.6)
    assert inside.sum() == 0


@pytest.mark.parametrize("name", ["map.npy", "map.tif"])
def test_images_keep_their_axes(tmp_path, name):
    import tifffile

    counts = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, counts)
    else:
        tifffile.imwrite(path, counts)
    (data,) = read(path, kind="map")
    assert data["counts"].shape == (20, 30)
    assert data["counts"].values[3, 4] == 3 * 30 + 4


def test_a_json_that_is_no_scan_is_refused(tmp_path):
    path = tmp_path / "scan.json"
    path.write_text('{"datasets": {"xSteps": [1, 2]}}')
    with pytest.raises(ReadError, match="no scan"):
        read(path, kind="map")
