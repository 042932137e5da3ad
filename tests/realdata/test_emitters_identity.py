"""The hBN defects database: its faults, and what it says about the line of the source paper."""

from __future__ import annotations

import pytest

from matterscope import emitters
from matterscope.io.defect_libraries import read_library

pytestmark = pytest.mark.realdata


def test_the_faulty_rows_are_the_known_ones(data):
    rows = read_library(data / "emitters/hbn_defects.db")
    assert len(rows) == 395
    assert rows["huang_rhys"].notna().sum() == 86
    assert set(rows.loc[rows["fault"] != "", "defect"]) == {
        "PbB",
        "SnN",
        "CBVB",
        "OBVB",
        "CBCNCNVB",
    }
    assert (rows["fault"] != "").sum() == 5


def test_the_paper_s_line_alone_leaves_a_broad_posterior(data):
    estimate = emitters.identify(library=str(data / "emitters/hbn_defects.db"), zpl=2.099)
    assert estimate.flagged("broad")
    assert estimate.flagged("library-faults")
    assert (
        max(
            p
            for k, p in estimate["identity"].probabilities.items()
            if k not in ("others", "none of these")
        )
        < 0.1
    )
    # the proposed boron-centred tetramer is calculated at 4.42 eV: nothing supports it here
    leaders = estimate.tables["ranking"].head(10)["defect"].tolist()
    assert "CBCNCNCN" not in leaders
