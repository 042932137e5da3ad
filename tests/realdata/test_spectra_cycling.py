"""Cycling of NMC cells: lithium content is capacity arithmetic, and five files are one measurement."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.io import read

pytestmark = pytest.mark.realdata

THEORETICAL = {"622": 276.39, "712": 276.46, "712-Al": 274.99, "811": 270.76, "811-Al": 272.31}
"""mAh/g, from the sheet beside the files."""


@pytest.fixture
def folder(data):
    return data / "spectra" / "nmc_si_doped_eels" / "electrochemistry"


@pytest.mark.parametrize("name", THEORETICAL)
def test_lithium_follows_the_capacity_by_the_theoretical_one(folder, name):
    for half in read(folder / f"{name}.csv"):
        slope, start = np.polyfit(half["x"].values, half["lithium"].values, 1)
        rest = half["lithium"].values - (start + slope * half["x"].values)
        assert np.abs(rest).max() < 1e-6
        # the files were made with the sheet's capacities rounded to 0.1 mAh/g
        assert 1 / abs(slope) == pytest.approx(THEORETICAL[name], rel=2e-4)
        assert (slope < 0) == half.attrs["label"].endswith("C")


def test_each_table_holds_four_cycles_of_charge_and_discharge(folder):
    labels = [half.attrs["label"] for half in read(folder / "622.csv")]
    assert labels == ["1C", "1D", "2C", "2D", "5C", "5D", "10C", "10D"]


def test_the_five_files_hold_one_measurement_of_voltage_and_capacity(folder):
    """Only the lithium column differs, by the theoretical capacity: not five independent cells."""
    reference = read(folder / "622.csv")
    for name in THEORETICAL:
        for one, two in zip(reference, read(folder / f"{name}.csv"), strict=True):
            np.testing.assert_array_equal(one["x"].values, two["x"].values)
            np.testing.assert_array_equal(one["y"].values, two["y"].values)


def test_cycle_one_of_622_ends_where_the_page_says(folder):
    half = {h.attrs["label"]: h for h in read(folder / "622.csv")}
    charge = half["1C"]
    at = {v: float(np.interp(v, charge["y"].values, charge["lithium"].values)) for v in (4.3,)}
    assert at[4.3] == pytest.approx(0.18, abs=0.02)
    assert float(charge["lithium"].values[-1]) == pytest.approx(0.11, abs=0.01)
    assert float(half["1D"]["lithium"].values[-1]) == pytest.approx(0.91, abs=0.01)
