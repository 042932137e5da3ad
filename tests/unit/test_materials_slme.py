"""`materials slme`: what is refused, what is assumed, and what is answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError, SchemaError
from matterscope.core.estimates import Estimate
from matterscope.core.verbs import as_input
from matterscope.materials.settings import SlmeSettings
from matterscope.materials.solar.efficiency import limit_efficiency

ENERGY = np.arange(0.5, 4.6005, 0.005)
ALPHA = 5e4 * np.sqrt(np.maximum(ENERGY - 1.5, 0)) / ENERGY


def write(
    folder: Path, energy: np.ndarray, *columns: np.ndarray, head: str = "energy,alpha"
) -> Path:
    path = folder / "alpha.csv"
    rows = np.column_stack([energy, *columns])
    np.savetxt(path, rows, delimiter=",", header=head, comments="")
    return path


def answer(path: Path, **settings: object) -> Estimate:
    (found,) = limit_efficiency([as_input(path)], SlmeSettings(**settings), Call())  # type: ignore[arg-type]
    return found


def test_a_file_gives_the_efficiency_of_its_spectrum(tmp_path: Path) -> None:
    found = answer(write(tmp_path, ENERGY, ALPHA), gap=1.5)
    assert found["slme"].value == pytest.approx(0.2538, abs=3e-4)
    assert found["shockley_queisser_limit"].value > found["slme"].value
    assert {p.name for p in found.pictures} == {"thickness", "current_voltage"}


def test_gaps_in_the_column_name_are_used(tmp_path: Path) -> None:
    path = write(tmp_path, ENERGY, ALPHA, head="energy,alpha gap=1.4 direct=1.5")
    assert answer(path)["band_gap"].value == 1.4


def test_an_absorption_in_inverse_metres_is_not_taken_for_inverse_centimetres(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, ENERGY, 100 * ALPHA)
    with pytest.raises(SchemaError) as caught:
        answer(path, gap=1.5)
    assert "1/cm if the unit is 1/cm" in str(caught.value)
    assert "if it is 1/m" in str(caught.value)
    assert "--alpha-unit" in str(caught.value)


def test_the_unit_that_is_told_is_used(tmp_path: Path) -> None:
    metres = answer(write(tmp_path, ENERGY, 100 * ALPHA), gap=1.5, alpha_unit="1/m")
    centimetres = answer(write(tmp_path, ENERGY, ALPHA), gap=1.5)
    assert metres["slme"].value == pytest.approx(centimetres["slme"].value, rel=1e-12)


def test_a_spectrum_that_ends_too_early_names_the_missing_range(tmp_path: Path) -> None:
    keep = ENERGY < 3.0
    with pytest.raises(SchemaError, match=r"3 … 4.4 eV is missing|is missing"):
        answer(write(tmp_path, ENERGY[keep], ALPHA[keep]), gap=1.5)


def test_energies_out_of_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="must increase"):
        answer(write(tmp_path, ENERGY[::-1], ALPHA[::-1]), gap=1.5)


def test_noise_below_zero_is_clipped_and_real_negatives_are_refused(tmp_path: Path) -> None:
    small, large = ALPHA.copy(), ALPHA.copy()
    small[3], large[3] = -0.5, -50.0
    assert answer(write(tmp_path, ENERGY, small), gap=1.5)["slme"].value > 0
    with pytest.raises(SchemaError, match="negative"):
        answer(write(tmp_path, ENERGY, large), gap=1.5)


def test_a_gap_of_zero_gives_no_efficiency_and_says_why(tmp_path: Path) -> None:
    found = answer(write(tmp_path, ENERGY, ALPHA), gap=0.0)
    assert found["slme"].value == 0.0
    assert found.flagged("no-gap")


def test_a_gap_read_from_the_onset_is_flagged(tmp_path: Path) -> None:
    found = answer(write(tmp_path, ENERGY, ALPHA))
    assert found.flagged("gap-from-onset")
    assert found["band_gap"].value == pytest.approx(1.5, abs=0.01)


def test_a_direct_gap_below_the_gap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="below the fundamental"):
        answer(write(tmp_path, ENERGY, ALPHA), gap=1.5, direct_gap=1.4)


def test_a_wavelength_axis_is_turned_into_energies(tmp_path: Path) -> None:
    wavelength = 1239.841984 / ENERGY[::-1]
    path = write(tmp_path, wavelength, ALPHA[::-1], head="wavelength_nm,alpha")
    energies = answer(write(tmp_path / ".." / tmp_path.name, ENERGY, ALPHA), gap=1.5)
    path = write(tmp_path, wavelength, ALPHA[::-1], head="wavelength_nm,alpha")
    assert answer(path, gap=1.5)["slme"].value == pytest.approx(energies["slme"].value, rel=1e-9)


def test_nothing_given_is_refused() -> None:
    with pytest.raises(ConfigError, match="--sq"):
        limit_efficiency([], SlmeSettings(), Call())


def test_a_gap_alone_gives_the_detailed_balance(tmp_path: Path) -> None:
    (found,) = limit_efficiency([], SlmeSettings(sq=(1.34,)), Call())
    assert found["shockley_queisser_limit"].value == pytest.approx(0.3376, abs=3e-4)


def test_the_last_absorption_is_held_where_hardly_any_photons_are(tmp_path: Path) -> None:
    whole = answer(write(tmp_path, ENERGY, ALPHA), gap=1.5)
    inside = ENERGY < 4.0
    cut = answer(write(tmp_path, ENERGY[inside], ALPHA[inside]), gap=1.5)
    assert "alpha-held" in {f.code for f in cut.flags}
    assert cut["slme"].value == pytest.approx(whole["slme"].value, rel=1e-3)
    inside = ENERGY < 3.0
    with pytest.raises(SchemaError, match=r"3 … 4\.4 eV is missing"):
        answer(write(tmp_path, ENERGY[inside], ALPHA[inside]), gap=1.5)


def test_a_comment_may_name_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "alpha.txt"
    rows = np.column_stack([1239.841984 / ENERGY[::-1], ALPHA[::-1]])
    np.savetxt(path, rows, header="measured\nwavelength (nm) absorption (cm^-1)")
    found = answer(path, gap=1.5)
    whole = answer(write(tmp_path, ENERGY, ALPHA), gap=1.5)
    assert found["slme"].value == pytest.approx(whole["slme"].value, rel=1e-6)
