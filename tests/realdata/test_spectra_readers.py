"""The public files of absorption spectra: what each must give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope.core.errors import ReadError
from matterscope.io import read

pytestmark = pytest.mark.realdata

ERRORS = (1, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24)
WARNED = {
    2: "xdi_edge",
    3: "xdi_element",
    4: "xdi_edge",
    5: "xdi_element",
    6: "xdi_no_end",
    7: "xdi_labels",
    8: "xdi_labels",
    9: "xdi_labels",
    10: "xdi_labels",
    11: "xdi_comment",
    12: "axis_angle_unknown",
    23: "xdi_key",
    28: "xdi_time",
    29: "xdi_time",
    30: "xdi_element",
    31: "xdi_d_spacing",
    32: "xdi_recommended",
    33: "xdi_value",
    34: "xdi_value",
    35: "xdi_value",
}


@pytest.mark.parametrize("number", range(36))
def test_each_broken_xdi_file_gives_what_its_list_asks(data: Path, number: int) -> None:
    path = data / f"spectra/xdi/baddata/bad_{number:02d}.xdi"
    if number in ERRORS:
        with pytest.raises(ReadError, match=r"line \d+"):
            read(path)
        return
    (found,) = read(path)
    codes = {w["code"] for w in found.attrs["warnings"]}
    assert codes >= {WARNED[number]} if number in WARNED else not codes


def test_all_groups_of_all_projects_are_read(data: Path) -> None:
    counts = {p.stem: len(read(p)) for p in (data / "spectra/athena").glob("*.prj")}
    assert sum(counts.values()) == 200
    assert counts["Vathena"] == 88
    assert counts["CuHERFD_standards"] == 39


def test_chi_groups_are_curves_over_wavenumber(data: Path) -> None:
    found = read(data / "spectra/athena/cuybco.prj")
    chi = [d for d in found if d.attrs["kind"] == "curve"]
    assert len(chi) == 4
    assert all(d.x.attrs["units"] == "1/Å" and float(d.x[-1]) < 14 for d in chi)


def test_labels_are_found_wherever_they_stand(data: Path) -> None:
    labels = [d.attrs["label"] for d in read(data / "spectra/athena/athena1.prj")]
    assert labels == ["AII_-25", "AII_45"]


def test_every_column_file_is_a_spectrum(data: Path) -> None:
    files = sorted((data / "spectra/columns").iterdir())
    assert len(files) == 14
    for path in files:
        (found,) = read(path, kind="spectrum")
        assert np.isfinite(found.mu.values).all()
