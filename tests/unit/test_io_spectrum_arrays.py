"""Spectrum images as bare arrays: axes found, asked for, or refused; never guessed."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from matterscope.core.errors import ReadError
from matterscope.io import read

ENERGY = np.arange(500.0, 600.0, 0.5)
CUBE = np.random.default_rng(0).poisson(100, (3, 4, ENERGY.size)).astype("u4")


def test_an_array_without_an_axis_asks_for_it(tmp_path):
    np.save(tmp_path / "cube.npy", CUBE)
    with pytest.raises(ReadError, match="no energy axis") as told:
        read(tmp_path / "cube.npy", kind="spectrum")
    assert "--energy START:STEP" in str(told.value)
    found = read(tmp_path / "cube.npy", kind="spectrum", energy="500:0.5")[0]
    assert found["mu"].dims == ("y", "x", "energy")
    assert np.array_equal(found["energy"].values, ENERGY)
    assert found["mu"].attrs["units"] == "counts"


def test_the_axis_of_the_energies_becomes_the_last(tmp_path):
    np.savez(tmp_path / "cube.npz", energy=ENERGY[::-1], stack=np.moveaxis(CUBE, -1, 0)[::-1])
    found = read(tmp_path / "cube.npz", kind="spectrum")[0]
    assert np.array_equal(found["mu"].values, CUBE)
    assert np.array_equal(found["energy"].values, ENERGY)


def test_kilo_electronvolts_of_an_hdf5_file_are_converted(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["entry/instrument/energy"] = ENERGY / 1000
        file["entry/instrument/energy"].attrs["units"] = "keV"
        file["entry/data/cube"] = CUBE
    found = read(tmp_path / "scan.h5", kind="spectrum")[0]
    assert found["energy"].values == pytest.approx(ENERGY)
    assert found.attrs["source"]["selector"] == "entry/data/cube"


def test_a_hyperspy_file_states_its_axis_and_signal(tmp_path):
    with h5py.File(tmp_path / "image.hspy", "w") as file:
        group = file.create_group("Experiments/core loss")
        group["data"] = CUBE
        for number, (units, navigate) in enumerate((("nm", True), ("nm", True), ("eV", False))):
            attrs = group.create_group(f"axis-{number}").attrs
            attrs["units"], attrs["navigate"] = units, navigate
            attrs["scale"], attrs["offset"] = (1.0, 0.0) if navigate else (0.5, 500.0)
        group.create_group("metadata/Signal").attrs["signal_type"] = "EELS"
    found = read(tmp_path / "image.hspy", kind="spectrum")[0]
    assert np.array_equal(found["energy"].values, ENERGY)
    assert found.attrs["signal"] == "ELS"
    assert found["mu"].shape == CUBE.shape


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"energy": ENERGY, "data": CUBE[..., :7]}, "as long as the energies"),
        ({"energy": ENERGY * 0, "data": CUBE}, "do not increase"),
        ({"energy": ENERGY, "data": CUBE.astype("c8")}, "array of numbers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(tmp_path, arrays, message):
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ReadError, match=message):
        read(tmp_path / "odd.npz", kind="spectrum")


def test_links_into_other_files_are_left_alone(tmp_path):
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["energy"] = ENERGY
        file["data"] = h5py.ExternalLink("other.h5", "/data")
    with pytest.raises(ReadError, match="as long as the energies"):
        read(tmp_path / "linked.h5", kind="spectrum")
