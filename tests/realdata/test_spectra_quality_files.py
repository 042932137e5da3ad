"""The verdicts of real files: which edge each shows, and what is wrong with it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.io import read
from matterscope.spectra.measured.quality import examine_all

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(
    ("file", "edge"),
    [
        ("athena/CuHERFD_standards.prj", "Cu K"),
        ("athena/cuybco.prj", "Cu K"),
        ("athena/Fe.prj", "Fe K"),
        ("athena/Fe-K-ALS-10.3.2.prj", "Fe K"),
        ("athena/FeXAFS_Glasses.prj", "Fe K"),
        ("athena/Se_Standards.prj", "Se K"),
        ("athena/zn_solution.prj", "Zn K"),
        ("columns/pt_metal_rt.xdi", "Pt L3"),
        ("columns/v_foil.xdi", "V K"),
        ("xdi/data/zn_znse_rt.xdi", "Zn K"),
    ],
)
def test_every_spectrum_of_a_file_shows_the_edge_that_it_is(
    data: Path, file: str, edge: str
) -> None:
    seen = examine_all(read(data / "spectra" / file, kind="spectrum"))
    assert {f"{s.element} {s.edge}" for s in seen if "chi_k" not in s.codes} == {edge}


def test_vanadium_is_not_taken_for_lanthanum_because_a_project_says_so(data: Path) -> None:
    seen = examine_all(read(data / "spectra/athena/Vathena.prj", kind="spectrum"))
    claimed = [s for s in seen if s.dataset.attrs["element"] == "La"]
    assert len(claimed) == 30
    right = [s for s in claimed if (s.element, s.edge) == ("V", "K")]
    assert len(right) >= 29
    assert all("element_conflict" in s.codes for s in right)


@pytest.mark.parametrize(
    ("file", "label", "code"),
    [
        ("athena/cuybco.prj", "cu010", "chi_k"),
        ("athena/Vathena.prj", "V_XANES_WD7A_run2.001", "post_edge_missing"),
        ("athena/CuHERFD_standards.prj", "CuHERFD_nanoCuO.002", "repeat_drift"),
        ("athena/P_CAMD.prj", "ATP powder", "element_conflict"),
        ("athena/P_CAMD.prj", "AlPO4", "axis_moved"),
        ("columns/fe_xanes_8ch.xdi", "fe_xanes_8ch", "edge_missing"),
    ],
)
def test_what_is_wrong_with_a_scan_is_found(data: Path, file: str, label: str, code: str) -> None:
    seen = examine_all(read(data / "spectra" / file, kind="spectrum"))
    (scan,) = [s for s in seen if s.label == label]
    assert code in scan.codes


def test_a_foil_without_its_shift_is_flagged_and_with_it_is_not(data: Path) -> None:
    (foil,) = [d for d in read(data / "spectra/athena/Fe.prj") if d.attrs["label"] == "Fe foil"]
    assert "foil_offset" not in {f.code for f in spectra.assess(foil).flags}
    raw = foil.assign_coords(energy=foil.energy - foil.attrs["energy_shift"])
    raw.energy.attrs["units"] = "eV"
    assert "foil_offset" in {f.code for f in spectra.assess(raw).flags}


STATES = {
    "Fe": (
        ["Fe.prj", "FeO.prj", "Fe-K-ALS-10.3.2.prj"],
        {
            "Ferrihydrite": 3,
            "Goerthite": 3,
            "Hematite": 3,
            "Lepidocrocite": 3,
            "FeO": 2,
            "Chromite": 2,
            "Hercynite": 2,
            "Olivine (Fo0)": 2,
            "Olivine (Fo40)": 2,
            "Olivine (Fo80)": 2,
        },
        0.10,
    ),
    "Se": (
        ["Se_Standards.prj"],
        {
            **{f"Se {n}Se (merge6)": -2 for n in ("Co", "Cu2", "Cu", "Hg", "Ni", "Zn")},
            "Se Se0 (merge6)": 0,
            "Se Na2SeO3 (merge6)": 4,
            "Se Na2SeO4 (merge6)": 6,
        },
        0.9,
    ),
    "V": (
        ["Vathena.prj"],
        {
            "V_XANES_VFoil.002": 0,
            "V_XANES_V2O3_standard.001": 3,
            "V_XANES_VO2_standard.001": 4,
            "V_XANES_V2O5_standard.001": 5,
            "V_XANES_V2O5_standard.002": 5,
        },
        0.85,
    ),
}


@pytest.mark.parametrize("element", sorted(STATES))
def test_the_oxidation_state_of_a_standard_follows_from_the_others(
    data: Path, tmp_path: Path, element: str
) -> None:
    files, states, goal = STATES[element]
    table = tmp_path / "states.csv"
    with table.open("w", newline="") as handle:
        csv.writer(handle).writerows([("label", "state"), *states.items()])
    answers = spectra.oxidation(*(data / "spectra/athena" / f for f in files), states=str(table))
    first = answers[0] if isinstance(answers, list) else answers
    assert len(first.tables["standards"]) == len(states)
    assert first["oxidation_mae"].value <= goal
    if isinstance(answers, list):
        values = [a["oxidation_state"].value for a in answers[1:]]
        assert all(v is None or np.isfinite(v) for v in values)


def test_charged_and_uncharged_nickel_separate_by_position(data: Path) -> None:
    from matterscope.spectra.measured.standards import centroid, half

    found = read(
        data / "spectra/nmc_ni_k_experiment/nmc622.json", kind="spectrum", energy="8330:0.4"
    )
    seen = examine_all(found)
    charged = np.array([s.label.split()[1] in {"4.3", "4.8"} for s in seen])
    assert charged.sum() == 5
    for index in (half, centroid):
        values = np.array([index(s) for s in seen])
        assert values[charged].min() > values[~charged].max()
