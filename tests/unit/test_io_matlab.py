"""The MATLAB 5 reader against what the common library writes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from matterscope.core.errors import ReadError
from matterscope.io.matlab import read_variables


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_arrays_of_every_type_come_back_with_their_axes(tmp_path, compressed, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    savemat(tmp_path / "a.mat", {"x": array}, do_compression=compressed)
    found = read_variables(tmp_path / "a.mat")["x"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_structures_cells_and_text_are_nested_values(tmp_path):
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0], cell[0, 1] = np.array([1.0, 2.0]), "two words"
    savemat(tmp_path / "a.mat", {"s": {"inner": {"y": 3.0}, "cell": cell}, "c": 1 + 2j})
    found = read_variables(tmp_path / "a.mat")
    assert found["s"]["inner"]["y"].item() == 3.0
    assert found["s"]["cell"][0, 1] == "two words"
    assert found["c"].item() == 1 + 2j


def test_a_cut_variable_is_refused_with_its_offset(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.arange(100.0)})
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[:400])
    with pytest.raises(ReadError, match="offset"):
        read_variables(tmp_path / "a.mat")


def test_a_variable_that_expands_without_end_is_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.zeros(30_000_000)}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 300_000
    with pytest.raises(ReadError, match="expands without end"):
        read_variables(tmp_path / "a.mat")
