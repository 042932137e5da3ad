"""STEM-EELS of Si-doped NMC: what the files hold, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.errors import DataError
from matterscope.io import read
from matterscope.spectra.loss.energy_loss import find_zero_loss

pytestmark = pytest.mark.realdata


@pytest.fixture
def eels(data: Path) -> Path:
    return data / "spectra" / "nmc_si_doped_eels"


def test_the_energy_is_the_first_axis_of_the_file_and_the_last_of_ours(eels):
    cube = read(eels / "ZLP" / "EELS_Spectrum_Image.dm3", kind="spectrum")[0]
    assert cube["mu"].shape == (2, 21, 2048)
    assert cube["mu"].dtype == np.float32
    assert float((cube["mu"] < 0).mean()) == pytest.approx(0.21, abs=0.01)


def test_the_extracted_spectrum_file_holds_three_spectra(eels):
    found = read(eels / "Si" / "(1)_Spectrum_of_EELS_Spectrum_Image.dm3", kind="spectrum")
    assert [d.attrs["label"] for d in found] == [
        "(1) Spectrum of EELS Spectrum Image",
        "Bkgd Spectrum",
        "Edge Spectrum",
    ]


def test_the_silicon_adf_image_is_all_zeros_and_says_so(eels):
    image = read(eels / "Si" / "ADF_Image.dm3", kind="image")[0]
    assert image.attrs["warnings"][0]["code"] == "all_zero"


def test_the_zero_loss_lies_three_electronvolts_low(eels):
    cube = read(eels / "ZLP" / "EELS_Spectrum_Image.dm3", kind="spectrum")[0]
    zero = find_zero_loss(cube["energy"].values, cube["mu"].values.astype(float))
    # maxima fall on channels −3.3 and −3.0 (step 0.3)
    assert np.all((zero.centre > -3.5) & (zero.centre < -2.8))
    assert float(np.median(zero.full_width)) == pytest.approx(2.1, abs=0.3)


def test_the_sum_spectrum_is_named_and_repaired_within_one_electronvolt(eels, tmp_path):
    answer = spectra.reduce(eels / "TM" / "Extracted_Spectrum_1.msa", artifacts=tmp_path)
    table = answer.tables["edges"]
    assert list(table["edge"]) == ["O K", "Mn L3", "Co L3", "Ni L3"]
    assert table["probability"].min() > 0.95
    assert table["residual"].abs().max() < 1.0
    assert answer.flagged("axis_off")
    assert answer.flagged("axis_not_rigid")
    assert (tmp_path / "Extracted_Spectrum_1.csv").exists()


def test_cobalt_and_nickel_are_told_from_barium_and_lanthanum_by_the_heights_of_their_lines(
    eels, tmp_path
):
    answer = spectra.reduce(eels / "TM" / "Extracted_Spectrum_1.msa", artifacts=tmp_path)
    table = answer.tables["edges"].set_index("edge")["probability"]
    assert table["Co L3"] > 0.9
    assert table["Ni L3"] > 0.9
    assert not answer.flagged("look_alike")


def test_the_specimen_is_thicker_away_from_the_vacuum(eels):
    thickness = spectra.map(eels / "ZLP" / "EELS_Spectrum_Image.dm3").arrays["thickness"].values
    assert thickness.shape == (2, 21)
    assert thickness[:, :3].max() < 0.1
    assert 0.8 < thickness[:, -5:].mean() < 1.2


def test_silicon_in_the_low_loss_map_is_named_with_doubt(eels):
    answer = spectra.map(eels / "Si" / "Si_EELS_Spectrum_Image.dm3")
    assert answer.diagnostics["edges"] == ["Si L3"]
    assert answer.flagged("edge_unsure")
    sure = spectra.map(eels / "Si" / "Si_EELS_Spectrum_Image.dm3", elements=("Si", "O"))
    assert max(sure.diagnostics["edge_probabilities"]) > 0.75


def test_every_energy_loss_file_gets_a_verdict(eels):
    from matterscope.spectra import assess

    verdicts = {}
    for path in sorted([*eels.rglob("*.msa"), *eels.rglob("*Spectrum*.dm3")]):
        for spectrum in read(path, kind="spectrum"):
            try:
                verdict = assess(spectrum).diagnostics["verdict"]
            except DataError as error:
                verdict = str(error)
            verdicts[f"{path.parent.name}/{path.name}:{spectrum.attrs['label']}"] = verdict
    assert len(verdicts) == 9
    assert set(verdicts.values()) <= {"PASS", "WARN", "FAIL"}
    assert verdicts["TM/Extracted_Spectrum_1.msa:Extracted Spectrum 1"] == "WARN"
