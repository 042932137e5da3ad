"""The nitrogen–vacancy centre in diamond: Huang–Rhys factor of two excited geometries."""

from __future__ import annotations

import pytest

from matterscope import emitters

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(
    ("excited", "factor", "delta_q"), [("zpl", 2.9271, 0.64257), ("frac_zpl", 2.5747, 0.60338)]
)
def test_the_nitrogen_vacancy_couples_as_known(data, excited, factor, delta_q):
    folder = data / "emitters/nv_huang_rhys"
    estimate = emitters.lineshape(
        folder / "gs/CONTCAR.gz",
        folder / f"{excited}/CONTCAR.gz",
        folder / "dfpt/FORCE_CONSTANTS.gz",
    )
    assert estimate["huang_rhys"].value == pytest.approx(factor, abs=1e-3)
    assert estimate["delta_q"].value == pytest.approx(delta_q, abs=1e-4)
    assert estimate.diagnostics["norm"] == pytest.approx(1, abs=1e-4)
    assert estimate.diagnostics["dropped_modes"] == 3
    assert estimate.flagged("sum-rule")
