"""Our readers against RosettaSciIO on the same files (needs `pip install rosettasciio`; GPL, oracle only)."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.io import read

pytestmark = [pytest.mark.realdata, pytest.mark.oracle]


def test_every_object_of_every_dm3_has_the_oracle_s_numbers_and_axes(data):
    oracle = pytest.importorskip("rsciio.digitalmicrograph")
    files = sorted((data / "spectra" / "nmc_si_doped_eels").rglob("*.dm3"))
    assert len(files) == 7
    for path in files:
        theirs = oracle.file_reader(str(path))
        for ours, other in zip(read(path), theirs, strict=True):
            values = ours["mu"] if "mu" in ours else ours["intensity"]
            expected = np.asarray(other["data"])
            if values.ndim == 3:  # theirs has the energy first, as the file
                expected = np.moveaxis(expected, 0, -1)
            np.testing.assert_array_equal(values.values, expected)
            axis = next((a for a in other["axes"] if a["units"] == "eV"), None)
            if axis is not None:
                grid = axis["offset"] + axis["scale"] * np.arange(axis["size"])
                np.testing.assert_allclose(ours["energy"], grid, atol=1e-9)


def test_every_emsa_file_has_the_oracle_s_numbers_and_axis(data):
    oracle = pytest.importorskip("rsciio.msa")
    files = sorted((data / "spectra" / "nmc_si_doped_eels").rglob("*.msa"))
    assert len(files) >= 3
    for path in files:
        (ours,), (theirs,) = read(path), oracle.file_reader(str(path))
        np.testing.assert_allclose(ours["mu"], np.asarray(theirs["data"]), rtol=1e-6)
        axis = theirs["axes"][0]
        grid = axis["offset"] + axis["scale"] * np.arange(axis["size"])
        np.testing.assert_allclose(ours["energy"], grid, atol=1e-3)
