"""What energy-loss spectra with a fault are answered with: flags, refusals, and nothing clipped."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.errors import DataError
from matterscope.core.schema import measurement
from matterscope.physics.edges import loss_onset, separation
from matterscope.spectra.loss.cross_sections import partial_cross_section
from matterscope.spectra.loss.loss_reduction import find_spikes, is_energy_loss

CORE = np.arange(430.0, 760.0, 0.5)


def _spectrum(energy, counts, **attrs):
    return measurement(
        "spectrum", {"energy": (energy, "eV")}, {"mu": (("energy",), counts, "counts")},
        **({"signal": "EELS"} | attrs),
    )  # fmt: skip


def _core(seed=0, mn=1.0, fe=1.0, energy=CORE):
    clean = 4e4 * (energy / 500.0) ** -3.0
    for element, amount in (("Mn", mn), ("Fe", fe)):
        onset = loss_onset(element, "L3")
        for position, weight in ((onset, 1.0), (onset + separation(element), 0.5)):
            clean = clean + 8e3 * amount * weight * np.exp(-0.5 * (energy - position - 1.0) ** 2)
            step = 1 / (1 + np.exp(-np.clip((energy - position - 1) / 0.4, -50, 50)))
            clean = clean + 2e3 * amount * weight * step
    return np.random.default_rng(seed).poisson(clean).astype(float)


def _low(shift=0.0):
    energy = np.arange(-30.0, 200.0, 0.3)
    x = energy - shift
    plasmon = 3e3 / (1 + ((x - 24) / 8) ** 2) * (x > 3)
    return energy, 1e5 * np.exp(-0.5 * (x / 0.9) ** 2) + plasmon + 5.0


def test_negative_counts_are_kept_and_told(tmp_path):
    energy, counts = _low()
    counts = counts + np.random.default_rng(1).normal(0, 60, counts.size)
    answer = spectra.reduce(_spectrum(energy, counts - 40), artifacts=tmp_path)
    assert answer.flagged("negative_counts")
    assert float(answer.arrays["spectrum"].min()) < 0


def test_a_gain_spike_is_listed_and_left_where_it_is(tmp_path):
    counts = _core()
    counts[400] *= 1.5
    answer = spectra.reduce(_spectrum(CORE, counts), artifacts=tmp_path)
    assert answer.flagged("spikes")
    assert answer.diagnostics["spikes_ev"] == [CORE[400]]
    assert float(answer.arrays["spectrum"][400]) == counts[400]


def test_white_lines_are_no_spikes():
    assert find_spikes(_core(mn=5.0)).size == 0


def test_without_zero_loss_the_thickness_is_refused(tmp_path):
    answer = spectra.reduce(_spectrum(CORE, _core()), artifacts=tmp_path)
    assert answer["thickness"].value is None
    assert "zero loss" in answer["thickness"].reason


def test_a_shifted_zero_loss_is_told_and_put_at_zero(tmp_path):
    answer = spectra.reduce(_spectrum(*_low(shift=-3.3)), artifacts=tmp_path)
    assert answer["zero_loss_position"].value == pytest.approx(-3.3, abs=0.05)
    assert answer.flagged("zero_loss_shifted")
    spectrum = answer.arrays["spectrum"]
    assert abs(float(spectrum["energy"].values[np.argmax(spectrum.values)])) < 0.3


def test_an_all_zero_spectrum_is_refused(tmp_path):
    with pytest.raises(DataError, match="every count"):
        spectra.reduce(_spectrum(CORE, np.zeros(CORE.size)), artifacts=tmp_path)


def test_a_wrong_dispersion_is_repaired_by_the_white_lines(tmp_path):
    stretched = 600.0 + 1.08 * (CORE - 600.0)
    answer = spectra.reduce(_spectrum(stretched, _core()), artifacts=tmp_path)
    assert list(answer.tables["edges"]["edge"]) == ["Mn L3", "Fe L3"]
    assert answer.flagged("axis_not_rigid")
    assert answer.tables["edges"]["residual"].abs().max() < 1.0


def test_low_loss_warns_that_lithium_is_hidden(tmp_path):
    answer = spectra.reduce(_spectrum(*_low()), artifacts=tmp_path)
    assert answer.flagged("lithium_hidden")


def test_a_composition_needs_the_collection_angle(tmp_path):
    spectrum = _spectrum(CORE, _core(), beam_energy_kev=300.0)
    assert spectra.reduce(spectrum, artifacts=tmp_path).flagged("no_composition")
    answer = spectra.reduce(spectrum, collection_angle=20.0, artifacts=tmp_path)
    table = answer.tables["composition"].set_index("element")
    sections = [
        partial_cross_section(e, "L3", beam_energy_kev=300.0, collection_mrad=20.0, window=40.0)
        for e in ("Mn", "Fe")
    ]
    # the counts of the two edges are equal, so amounts go as 1/σ; their windows hold the same share
    expected = (1 / sections[0]) / (1 / sections[0] + 1 / sections[1])
    share = table.loc["Mn", "fraction"]
    assert abs(share - expected) < 3 * table.loc["Mn", "fraction_sigma"]
    assert table["fraction"].sum() == pytest.approx(1.0)


def test_plural_scattering_is_removed_with_the_low_loss(tmp_path):
    from matterscope.io import write

    energy, counts = _low()
    low = np.clip((energy > 3) * counts * 8, 0, None) + np.where(energy <= 3, counts, 0)
    write(_spectrum(energy, low), tmp_path / "low.h5")
    answer = spectra.reduce(
        _spectrum(CORE, _core()), low_loss=str(tmp_path / "low.h5"), artifacts=tmp_path
    )
    single = answer.arrays["single_scattering"].sel(energy=slice(655, 690)).mean()
    plural = answer.arrays["above_background"].sel(energy=slice(655, 690)).mean()
    assert 0 < float(single) < float(plural)


def test_an_absorption_scan_is_not_taken_for_energy_loss():
    xas = measurement(
        "spectrum", {"energy": (np.arange(7000.0, 7300.0), "eV")},
        {"mu": (("energy",), np.arange(300.0), "1")}, element="Fe", edge="K",
    )  # fmt: skip
    assert not is_energy_loss(xas)


def test_an_emsa_file_of_electrons_without_a_signal_type_is_energy_loss(tmp_path):
    from matterscope.io import read

    energy = np.arange(440.0, 540.0, 0.5)
    rows = [f"{e:.1f}, {c:.1f}" for e, c in zip(energy, 1e4 * (440 / energy) ** 3, strict=True)]
    head = ["#FORMAT : EMSA/MAS Spectral Data File", "#VERSION : 1.0", "#XUNITS : eV", "#YUNITS : e-", "#DATATYPE : XY", "#SPECTRUM :"]  # fmt: skip
    (tmp_path / "hl.msa").write_text("\n".join([*head, *rows, "#ENDOFDATA :"]))
    assert is_energy_loss(read(tmp_path / "hl.msa")[0])


def test_counts_that_fall_over_a_soft_axis_are_energy_loss_in_any_format():
    energy = np.arange(640.0, 760.0, 0.5)
    assert is_energy_loss(_plain(energy, 4e4 * (energy / 640.0) ** -3))
    assert not is_energy_loss(_plain(energy, 1.0 + (energy > 710.0)))


def _plain(energy, values):
    return measurement("spectrum", {"energy": (energy, "eV")}, {"mu": (("energy",), values, "1")})


def test_lines_between_those_of_cobalt_and_barium_are_not_called_either_without_a_word(tmp_path):
    energy = np.arange(500.0, 900.0, 0.3)
    clean = 4e4 * (energy / 500.0) ** -3.0 + 5e3 * np.exp(-0.5 * ((energy - 533) / 1.2) ** 2)
    for place, height in ((780.5, 4e3), (795.3, 2.2e3)):
        clean = clean + height * np.exp(-0.5 * ((energy - place) / 1.1) ** 2)
    counts = np.random.default_rng(3).poisson(clean).astype(float)
    answer = spectra.reduce(_spectrum(energy, counts), artifacts=tmp_path)
    assert answer.flagged("look_alike")


def test_the_fractions_leave_out_edges_without_a_cross_section_and_say_so(tmp_path):
    energy = np.arange(430.0, 900.0, 0.5)
    counts = _core(energy=energy)
    for place, height in ((833.0, 4e3), (850.0, 4.6e3)):
        counts = counts + height * np.exp(-0.5 * (energy - place) ** 2)
    spectrum = _spectrum(energy, counts, beam_energy_kev=300.0)
    answer = spectra.reduce(
        spectrum, collection_angle=20.0, elements=("Mn", "Fe", "La"), artifacts=tmp_path
    )
    assert answer.flagged("no_cross_section")
    assert list(answer.tables["composition"]["element"]) == ["Mn", "Fe"]
