"""The cosmic rays and jumping lines of two real recordings of hexagonal boron nitride."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import emitters
from matterscope.emitters.lines.cosmics import find_cosmics
from matterscope.io import read

pytestmark = pytest.mark.realdata
KNOWN = {"hbn_11": [(1, 650.94), (6, 677.52), (14, 652.87), (14, 765.41)], "hbn_14": [(1, 759.47)]}


@pytest.mark.parametrize("name", KNOWN)
def test_the_five_real_cosmics_go_and_nothing_else(data, name):
    (spectra,) = read(data / f"emitters/spectra/{name}.spe", kind="emission")
    counts, axis = spectra["counts"].values, spectra["wavelength"].values
    mask, groups, _ = find_cosmics(counts)
    known = np.zeros(counts.shape, bool)
    for frame, wavelength in KNOWN[name]:
        pixel = int(np.argmin(np.abs(axis - wavelength)))
        assert mask[frame, pixel], (frame, wavelength)
        known[frame, pixel - 2 : pixel + 3] = True
    assert not (mask & ~known).any()
    if name == "hbn_11":
        assert len(set(groups[3:9])) == 1 == len(set(groups[13:17]))
        assert len({groups[0], groups[3], groups[9], groups[13]}) == 4


def test_the_jumping_line_is_limited_by_the_instrument(data):
    estimate = emitters.spectrum(data / "emitters/spectra/hbn_11.spe")
    assert estimate["zpl_wavelength"].value == pytest.approx(622.27, abs=0.1)
    assert estimate.flagged("line-jumps")
    assert estimate.flagged("instrument-limited")


def test_wavelengths_in_metres_are_converted_with_a_flag(data):
    estimate = emitters.spectrum(data / "emitters/qudi/spectrum.dat")
    assert any("metres" in f.message for f in estimate.flags)
    band = estimate.tables["frames"]
    assert 600 < band["line_wavelength"].iloc[0] < 800
