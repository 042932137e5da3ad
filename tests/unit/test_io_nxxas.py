"""NXxas: modes, units, round trip, and links that lead elsewhere."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from golden import nxxas as golden_nxxas
from matterscope.core.errors import ReadError
from matterscope.io import read, write


def test_transmission_is_a_logarithm_and_fluorescence_a_ratio(tmp_path):
    first, second = read(golden_nxxas(tmp_path / "a"))
    np.testing.assert_allclose(first["energy"], [8970, 8980, 9000])
    np.testing.assert_allclose(first["mu"], np.log([2, 1, 4]))
    np.testing.assert_allclose(second["mu"], [0.5, 1, 0.25])
    assert (first.attrs["element"], first.attrs["edge"]) == ("Cu", "K")


def test_an_entry_is_picked_by_its_name(tmp_path):
    assert read(golden_nxxas(tmp_path / "a"), selector="second")[0].attrs["label"] == "second scan"


def test_writing_and_reading_is_the_identity(tmp_path):
    found = read(golden_nxxas(tmp_path / "a"))
    write(found, tmp_path / "b.nxs", format="nxxas")
    again = read(tmp_path / "b.nxs")
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one["energy"], two["energy"])
        np.testing.assert_array_equal(one["mu"], two["mu"])
        assert one.attrs["label"] == two.attrs["label"]
        assert one.attrs["element"] == two.attrs["element"]


def test_data_of_another_file_are_refused(tmp_path):
    path = golden_nxxas(tmp_path / "a")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(3.0)
    with h5py.File(path, "a") as file:
        del file["first/absorbed_beam/data"]
        file["first/absorbed_beam/data"] = h5py.ExternalLink("secret.h5", "/x")
    with pytest.raises(ReadError, match="link"):
        read(path)


def test_arrays_of_unlike_length_are_refused(tmp_path):
    path = golden_nxxas(tmp_path / "a")
    with h5py.File(path, "a") as file:
        del file["first/monochromator/energy"]
        file["first/monochromator/energy"] = np.arange(5.0)
    with pytest.raises(ReadError, match="one length"):
        read(path)


def test_an_entry_without_energy_is_refused(tmp_path):
    path = golden_nxxas(tmp_path / "a")
    with h5py.File(path, "a") as file:
        del file["second/monochromator"]
    with pytest.raises(ReadError, match="no energy"):
        read(path)
