"""Merging the repeats of a beamline project: damage is seen, stable samples are not accused."""

from __future__ import annotations

import pytest

from matterscope import spectra

pytestmark = pytest.mark.realdata


def test_the_damaged_oxide_is_flagged_among_the_repeats(data, tmp_path):
    answers = spectra.reduce(
        data / "spectra" / "athena" / "CuHERFD_standards.prj", merge="repeats", artifacts=tmp_path
    )
    assert len(answers) == 7
    flagged = {a.input.selector.rsplit(".", 1)[0] for a in answers if a.flagged("repeat_drift") or a.flagged("outlier_scans")}  # fmt: skip
    assert "CuHERFD_nanoCuO" in flagged
    assert not any("Foil" in name for name in flagged)


def test_the_iron_foil_of_the_project_lies_where_the_table_has_it(data, tmp_path):
    """With the project's own shift the foil needs 0.2 eV more, not 6."""
    answer = spectra.reduce(
        data / "spectra" / "xdi" / "data" / "feo_rt1.xdi",
        foil=str(data / "spectra" / "athena" / "Fe.prj") + ":Fe foil",
        artifacts=tmp_path,
    )
    assert abs(answer.diagnostics["foil"]["shift_ev"]) < 0.5
