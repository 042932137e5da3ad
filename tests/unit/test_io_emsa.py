"""The EMSA reader and writer: Y and XY, units, and what exporters get wrong."""

from __future__ import annotations

import numpy as np
import pytest

from golden import emsa as golden_emsa
from matterscope.core.errors import ReadError
from matterscope.io import read, write


def _text(tmp_path, *lines):
    path = tmp_path / "a.msa"
    path.write_text("\n".join(["#FORMAT : EMSA/MAS Spectral Data File", *lines]))
    return path


def test_pairs_are_read_although_the_header_says_one_column(tmp_path):
    spectrum = read(golden_emsa(tmp_path / "a"))[0]
    np.testing.assert_allclose(spectrum["energy"], 440 + 0.5 * np.arange(41))
    assert spectrum["mu"].values[40] == -20
    assert "columns" in [w["code"] for w in spectrum.attrs["warnings"]]


def test_a_beam_energy_in_volts_is_given_in_kilovolts(tmp_path):
    assert read(golden_emsa(tmp_path / "a"))[0].attrs["beam_energy_kev"] == 300


def test_y_rows_of_several_columns_are_read_in_order(tmp_path):
    path = _text(tmp_path, "#XUNITS : keV", "#DATATYPE : Y", "#NCOLUMNS : 3", "#XPERCHAN : 0.01",
                 "#OFFSET : 0.1", "#SPECTRUM :", "1, 2, 3", "4, 5,", "#ENDOFDATA :")  # fmt: skip
    spectrum = read(path)[0]
    np.testing.assert_allclose(spectrum["energy"], [100, 110, 120, 130, 140])
    np.testing.assert_allclose(spectrum["mu"], [1, 2, 3, 4, 5])


def test_a_row_may_hold_several_points_and_the_unit_may_stand_in_brackets(tmp_path):
    path = _text(tmp_path, "#XUNITS : Energy Loss (keV)", "#DATATYPE : XY", "#NCOLUMNS : 2",
                 "#XPERCHAN : 0.01", "#OFFSET : 0.1", "#NPOINTS : 3.", "#SPECTRUM :",
                 "0.10, 7, 0.11, 8", "0.12, 9", "#ENDOFDATA :")  # fmt: skip
    spectrum = read(path)[0]
    np.testing.assert_allclose(spectrum["energy"], [100, 110, 120])
    np.testing.assert_allclose(spectrum["mu"], [7, 8, 9])
    assert spectrum.attrs["warnings"] == []


def test_an_x_ray_emission_spectrum_is_called_no_core_loss(tmp_path):
    path = _text(tmp_path, "#XUNITS : eV", "#DATATYPE : Y", "#XPERCHAN : 10", "#OFFSET : 0",
                 "#SIGNALTYPE : EDS", "#SPECTRUM :", "1, 2, 3", "#ENDOFDATA :")  # fmt: skip
    assert "another_signal" in [w["code"] for w in read(path)[0].attrs["warnings"]]


def test_a_cut_file_gives_the_whole_rows_and_says_how_many_were_promised(tmp_path):
    path = golden_emsa(tmp_path / "a")
    text = path.read_text()
    path.write_text(text[: text.index("4.470000e")])
    spectrum = read(path)[0]
    assert spectrum.sizes["energy"] == 14
    message = next(w["message"] for w in spectrum.attrs["warnings"] if w["code"] == "length")
    assert "41" in message
    assert "14" in message


def test_a_word_among_numbers_is_named_with_its_line(tmp_path):
    path = _text(tmp_path, "#DATATYPE : XY", "#SPECTRUM :", "1, 2", "3, four")
    with pytest.raises(ReadError, match="line 5"):
        read(path)


def test_a_header_without_data_is_refused(tmp_path):
    with pytest.raises(ReadError, match="ends before its data"):
        read(_text(tmp_path, "#DATATYPE : XY"))


def test_an_axis_that_is_no_energy_is_refused(tmp_path):
    with pytest.raises(ReadError, match="not an energy"):
        read(_text(tmp_path, "#XUNITS : furlong", "#DATATYPE : XY", "#SPECTRUM :", "1, 2", "2, 3"))


def test_writing_and_reading_is_the_identity(tmp_path):
    first = read(golden_emsa(tmp_path / "a"))[0]
    write(first, tmp_path / "b.msa")
    second = read(tmp_path / "b.msa")[0]
    np.testing.assert_array_equal(first["energy"], second["energy"])
    np.testing.assert_array_equal(first["mu"], second["mu"])
    assert second.attrs["label"] == "tiny"
