"""Real confocal maps: a suspended flake over a hole, and flakes with excess noise."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import emitters
from matterscope.emitters.sites.detection import find_sites
from matterscope.io import read

pytestmark = pytest.mark.realdata


def test_the_hole_map_is_read_in_counts(data):
    (scan,) = read(data / "emitters/maps/hbn_suspended_8um_hole.mat", kind="map")
    counts = scan["counts"].values / scan.attrs["clock_rate"]
    assert np.abs(counts - np.rint(counts)).max() < 0.01
    assert (np.rint(counts).min(), np.rint(counts).max(), np.median(np.rint(counts))) == (
        2,
        1418,
        96,
    )


def test_the_rim_of_the_hole_is_not_taken_for_a_row_of_emitters(data):
    (scan,) = read(data / "emitters/maps/hbn_suspended_8um_hole.mat", kind="map")
    sites = find_sites(np.rint(scan["counts"].values / 150)).sites
    # the thin part of the rim (lower right) has no compact spot; elsewhere it carries two bright ones
    angle = np.rad2deg(np.arctan2(sites["y"] - 33, sites["x"] - 33.5))
    rim = np.abs(np.hypot(sites["x"] - 33.5, sites["y"] - 33) - 27) < 4
    assert (rim & (angle > -45) & (angle < 135)).sum() < 2
    assert len(sites) > 8


def test_excess_noise_of_a_real_map_is_measured_and_flagged(data):
    estimate = emitters.map(data / "emitters/maps/fsmScan040725_194501final.json")
    assert estimate.flagged("dwell-inferred")
    assert (
        1.8 < estimate.diagnostics["excess_noise"] < 3.5
    )  # variance 390–650 where counting gives 200


def test_a_glowing_flake_holds_no_array(data):
    estimate = emitters.map(data / "emitters/qudi/confocal_xy.dat")
    assert estimate["pitch"].value is None
