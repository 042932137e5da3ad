"""The DM3/DM4 reader: byte orders, axes, thumbnails, selectors, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from golden import DigitalMicrographWriter, dm_image, dm_tree
from matterscope.core.errors import ReadError
from matterscope.io import digitalmicrograph, read


def _write(tmp_path: Path, version: int = 3, order: str = "<") -> Path:
    path = tmp_path / f"a.dm{version}"
    path.write_bytes(DigitalMicrographWriter(version, order).file(dm_tree()))
    return path


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_version_and_byte_order_gives_the_same_objects(tmp_path, version, order):
    found = digitalmicrograph.read(_write(tmp_path, version, order))
    assert [d.attrs["label"] for d in found] == ["cube", "line", "image"]
    assert found[0]["mu"].values[2, 1, 0] == -7 + 5


def test_the_energy_axis_comes_last_and_is_calibrated(tmp_path):
    cube = digitalmicrograph.read(_write(tmp_path))[0]
    assert cube["mu"].dims == ("y", "x", "energy")
    assert cube["mu"].shape == (3, 2, 40)
    np.testing.assert_allclose(cube["energy"], (np.arange(40) - 10) * 0.5)
    np.testing.assert_allclose(cube["y"], [0, 2, 4])
    assert cube.attrs["signal"] == "EELS"
    assert cube.attrs["beam_energy_kev"] == 300


def test_a_micrometre_axis_is_given_in_nanometres(tmp_path):
    image = digitalmicrograph.read(_write(tmp_path), kind="image")[0]
    assert image["x"].attrs["units"] == "nm"
    np.testing.assert_allclose(image["x"], [0, 2, 4, 6])


def test_the_selector_takes_a_name_or_a_number(tmp_path):
    path = _write(tmp_path)
    assert read(path, selector="line")[0].attrs["label"] == "line"
    assert read(path, selector="3")[0].attrs["label"] == "image"


def test_objects_of_one_name_are_picked_by_number(tmp_path):
    tree = dm_tree()
    tree["ImageList"].append(dm_image(np.ones(40, "f4"), [(0.0, 1.0, "eV")], "line"))
    path = tmp_path / "two.dm3"
    path.write_bytes(DigitalMicrographWriter().file(tree))
    assert [d.attrs["source"]["selector"] for d in read(path)] == ["cube", "2", "image", "4"]


def test_large_pixels_stay_in_the_file(tmp_path):
    big = dm_image(np.zeros((50, 60), "f4"), [(0, 1.0, "nm"), (0, 1.0, "nm")], "big")
    path = tmp_path / "big.dm3"
    path.write_bytes(DigitalMicrographWriter().file({"ImageList": [big]}))
    values = digitalmicrograph.read(path)[0]["intensity"].values
    while values.base is not None and not isinstance(values, np.memmap):
        values = values.base
    assert isinstance(values, np.memmap)


def test_an_empty_image_says_so(tmp_path):
    dark = dm_image(np.zeros((2, 3), "f4"), [(0, 1.0, "nm"), (0, 1.0, "nm")], "dark")
    path = tmp_path / "dark.dm3"
    path.write_bytes(DigitalMicrographWriter().file({"ImageList": [dark]}))
    assert digitalmicrograph.read(path)[0].attrs["warnings"][0]["code"] == "all_zero"


def test_a_cut_file_names_the_offset(tmp_path):
    path = _write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="offset"):
        read(path)


def test_dimensions_larger_than_the_pixels_are_refused(tmp_path):
    image = dm_image(np.zeros((50, 60), "f4"), [(0, 1.0, "nm"), (0, 1.0, "nm")], "lie")
    image["ImageData"]["Dimensions"] = [60, 51]
    path = tmp_path / "lie.dm3"
    path.write_bytes(DigitalMicrographWriter().file({"ImageList": [image]}))
    with pytest.raises(ReadError, match="smaller than its dimensions"):
        read(path)


def test_tags_nested_without_end_are_refused(tmp_path):
    deep: dict = {"a": 1}
    for _ in range(100):
        deep = {"a": deep}
    path = tmp_path / "deep.dm3"
    path.write_bytes(DigitalMicrographWriter().file(deep))
    with pytest.raises(ReadError, match="too deeply"):
        read(path)


def test_a_file_without_the_kind_wanted_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no object of this file is of kind movie"):
        read(_write(tmp_path), kind="movie")
