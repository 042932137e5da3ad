"""The shipped Cu K model on measured standards that it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

import matterscope.spectra as spectra

pytestmark = pytest.mark.realdata

DOUBTS = {"not_oxygen", "outside_training", "rim_of_training", "axis_disagrees", "members_disagree"}


def test_yttrium_barium_cuprate_is_answered_as_the_diffractionists_have_it(data: Path) -> None:
    answers = spectra.infer(data / "spectra/athena/cuybco.prj", seed=1)
    answered = [a for a in answers if a["bond_length"].value is not None]
    assert len(answered) == 12
    for answer in answered:
        # YBa2Cu3O7 has fourfold and fivefold copper, 1.94–1.96 Å in the planes
        assert answer["coordination_number"].value in (4, 5)
        assert answer["bond_length"].value == pytest.approx(1.95, abs=0.04)
        assert abs(answer["oxidation_state"].value - 2.2) < 0.25


def test_sulfides_and_foils_are_flagged_and_copper_oxide_is_answered(data: Path) -> None:
    answers = spectra.infer(data / "spectra/athena/CuHERFD_standards.prj", seed=1)
    assert len(answers) == 39
    for answer in answers:
        label = answer.input.selector
        codes = {f.code for f in answer.flags}
        if "S.00" in label or "Foil" in label or "Chalcopyrite" in label:
            assert codes & DOUBTS, label
        # scan 2 is photoreduced: its shoulder at 8983 eV is twice that of the first
        if "nanoCuO" in label and not label.endswith("002"):
            assert answer["bond_length"].value == pytest.approx(1.956, abs=0.04)


@pytest.mark.parametrize(
    "file",
    [
        "athena/Fe.prj",
        "athena/Se_Standards.prj",
        "athena/zn_solution.prj",
        "columns/pt_metal_rt.xdi",
        "columns/v_foil.xdi",
        "columns/fe_xanes_8ch.xdi",
    ],
)
def test_every_other_file_is_read_and_refused_with_the_reason(data: Path, file: str) -> None:
    answers = spectra.infer(data / "spectra" / file, model="cu-k-xanes")
    for answer in answers if isinstance(answers, list) else [answers]:
        assert answer["coordination_number"].value is None
        assert answer["coordination_number"].reason
        assert answer.flags
