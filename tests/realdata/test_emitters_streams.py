"""Photon statistics of real recordings: the numbers that anybody can check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope import emitters, io
from matterscope.core.errors import ReadError

pytestmark = pytest.mark.realdata


def test_the_empty_peak_of_a_pulsed_source_is_found_without_a_hint(data: Path) -> None:
    answer = emitters.g2(data / "emitters/hbt_t2_320mhz_hydraharp.ptu")
    assert answer["delay"].value == pytest.approx(23.94, abs=0.05)
    assert answer["laser_period"].value == pytest.approx(3.1282, abs=2e-4)
    assert answer.diagnostics["central_counts"] == 2
    assert answer["g2_zero_raw"].value == pytest.approx(0.0044, abs=1e-4)
    assert answer["g2_zero_raw"].interval(0.95).high == pytest.approx(0.014, abs=5e-4)
    assert answer["g2_zero"].interval(0.95).high < 0.02
    assert answer.diagnostics["pairs_over_uncorrelated"] == pytest.approx(4.1, abs=0.1)


def test_qutag_gives_zero_counts_and_an_upper_limit(data: Path) -> None:
    answer = emitters.g2(data / "emitters/hbt_80mhz.qutag")
    assert answer["delay"].value == pytest.approx(-1.25, abs=0.03)
    assert answer.diagnostics["central_counts"] == 0
    assert answer["g2_zero_raw"].interval(0.95).high == pytest.approx(0.067, abs=1e-3)
    assert answer["g2_zero_raw"].interval(0.95).low is None
    assert list(answer.diagnostics["clock_channels_ps"]) == ["5"]
    assert "173" in next(f.message for f in answer.flags if f.code == "misordered")


def test_the_dip_of_a_real_centre_is_fitted_to_the_noise(data: Path) -> None:
    answer = emitters.g2(data / "emitters/qudi/nv_autocorrelation.dat")
    assert 0.9 < answer.diagnostics["chi_square_per_dof"] < 1.1
    assert abs(answer["delay"].value) < 1.0
    assert answer["g2_zero_jitter_shift"].value < 0.01


@pytest.mark.parametrize(
    "name", ["hydraharp/v10.ht2", "hydraharp/v20.ht2", "hydraharp/v10.ht3", "hydraharp/v20.ht3"]
)
def test_events_equal_the_vendor_reference(data: Path, name: str) -> None:
    path = data / "emitters/picoquant" / name
    rows = np.loadtxt(f"{path}.data", delimiter=",", dtype=np.int64)
    m = io.read(path)[0]
    k, channel, time = len(rows), m["channel"].values, m["time"].values
    lanes = np.where(channel == 0, 4, channel - 1)  # the reference calls SYNC the fifth input
    assert np.array_equal(lanes[:k], rows[:, 0])
    if rows.shape[1] == 2:
        assert np.array_equal(time[:k], rows[:, 1])
        return
    delay, period = m["delay"].values, m.attrs["sync_period_ps"]
    assert np.array_equal(delay[:k], rows[:, 2])
    assert np.array_equal(np.round((time - delay)[:k] / period), rows[:, 1])


def test_a_v2_file_keeps_the_v2_wrap_where_the_reference_does_not(data: Path) -> None:
    # the reference text used the V1 wrap: it falls behind by 2432 ps per wrap
    path = data / "emitters/picoquant/hydraharp/v30_t2.ptu"
    rows = np.loadtxt(f"{path}.data", delimiter=",", dtype=np.int64)
    gap = io.read(path)[0]["time"].values[: len(rows)] - rows[:, 1]
    assert set((gap % 2432).tolist()) == {0}
    assert gap[-1] == 116_736


def test_one_dead_detector_is_named(data: Path) -> None:
    from matterscope.core.errors import DataError

    with pytest.raises(DataError, match="two detectors") as caught:
        emitters.g2(data / "emitters/picoquant/hydraharp/v30_t2.ptu")
    assert "305,565" in str(caught.value)


def test_t3r_events_equal_the_vendor_reference(data: Path) -> None:
    path = data / "emitters/picoquant/timeharp/v50.t3r"
    rows = np.loadtxt(f"{path}.data", delimiter=",", dtype=np.int64)
    m = io.read(path)[0]
    photon = m["channel"].values > 0
    assert int(photon.sum()) == 85_571
    assert m.attrs["overflows"] == 1425
    bins = np.round(m["delay"].values[photon] / m.attrs["delay_bin_ps"])
    assert np.array_equal(bins[: len(rows)], rows[:, 2])
    assert any(f["code"] == "stray-bytes" for f in m.attrs["warnings"])


def test_a_cut_ptu_is_read_to_the_cut_or_refused(data: Path, tmp_path: Path) -> None:
    whole = (data / "emitters/hbt_t2_320mhz_hydraharp.ptu").read_bytes()
    path = tmp_path / "cut.ptu"
    rng = np.random.default_rng(0)
    cuts = [0, 7, 8, 17, 4391, 4392, 4393, len(whole) - 1, *rng.integers(1, len(whole), 40)]
    for cut in cuts:
        path.write_bytes(whole[: int(cut)])
        if cut < 4392:
            with pytest.raises(ReadError):
                io.read(path)
            continue
        m = io.read(path)[0]
        held = (int(cut) - 4392) // 4
        flag = next(f for f in m.attrs["warnings"] if f["code"] == "cut-file")
        assert "409,482" in flag["message"]
        assert f"{held:,}" in flag["message"]


def test_the_hexagonal_boron_nitride_recordings_give_the_published_dip(data: Path) -> None:
    dim, bright = emitters.g2(data / "emitters/hbn_g2/linear_2ns.mat", signal_fraction=0.959)
    assert bright.diagnostics["zero_counts"] == 50
    assert bright["g2_zero_raw"].value == pytest.approx(0.212, abs=5e-4)
    assert bright["g2_zero_raw"].sigma == pytest.approx(0.030, abs=5e-4)
    assert bright["g2_zero"].value == pytest.approx(0.143, abs=1e-3)
    assert bright["verdict"].value == "single"
    assert dim.diagnostics["zero_counts"] == 2
    assert dim["verdict"].value == "cannot tell"


def test_counts_stored_as_bytes_are_widened_before_they_are_added(data: Path) -> None:
    m = io.read(data / "emitters/hbn_g2/linear_2ns.mat", kind="histogram")[0]
    assert m.attrs["vendor"]["stored_as"] == "uint8"
    assert 256 in m["counts"].sum("recording").values
    assert 278 in m["counts"].sum("recording").values


def test_after_flash_of_the_detectors_is_proposed_for_masking(data: Path) -> None:
    answer = emitters.g2(data / "emitters/hbn_g2/log_to_1ms.mat", state="bright")
    spans = [abs(0.5 * (a + b)) for a, b in answer.diagnostics["after_flash_ns"]]
    assert any(abs(s - 47) < 5 for s in spans)


def test_the_states_of_a_real_trace_are_found_without_a_threshold(data: Path) -> None:
    answer = emitters.trace(io.read(data / "emitters/hbn_g2/linear_2ns.mat", kind="trace")[1])
    assert answer["states"].value in {2, 3, 4}
    assert 0.75 < answer["bright_occupancy"].value < 0.85
    assert answer.diagnostics["agreement_with_author_states"] > 0.9


def test_a_real_saturation_curve_scatters_more_than_poisson(data: Path) -> None:
    answer = emitters.saturation(data / "emitters/qudi/saturation_curve.xlsx")
    assert answer.flagged("overdispersed")
    assert answer["background_slope"].value == 0.0
    assert answer["offset"].value == pytest.approx(4.6e4, rel=0.05)


def test_the_lifetime_of_a_pulsed_source_is_fitted_to_the_noise(data: Path) -> None:
    answer = emitters.lifetime(data / "emitters/hbt_t2_320mhz_hydraharp.ptu")
    assert answer.diagnostics["chi_square_per_dof"] < 1.3
    assert 0.1 < answer["lifetime"].value < 0.2


@pytest.mark.parametrize(
    ("name", "curves"),
    [
        ("timeharp/v20.thd", 5),
        ("timeharp/v60.thd", 5),
        ("picoharp/v20.phd", 7),
        ("hydraharp/v10.hhd", 2),
    ],
)
def test_curves_hold_as_many_counts_as_their_header_says(
    data: Path, name: str, curves: int
) -> None:
    found = io.read(data / "emitters/picoquant" / name)
    assert len(found) == curves
    for m in found:
        assert int(m["counts"].sum()) == m.attrs["vendor"]["curve"]["IntegralCount"]


def test_the_decay_of_a_dot_beats_and_is_fitted_to_the_noise(data: Path) -> None:
    answer = emitters.lifetime(data / "emitters/hbt_80mhz.qutag", channels=(2,))
    # 512 bins: χ²/dof of a right model scatters by 0.06
    assert answer.diagnostics["chi_square_per_dof"] < 1.25
    assert answer["beat_frequency"].value == pytest.approx(1.795, abs=0.02)
    assert answer["lifetime_1"].value == pytest.approx(0.199, abs=0.01)
    assert answer.flagged("beats")
