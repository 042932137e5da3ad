"""Time tags of other hardware: text in any dialect, units, channels from 0, several files, old boards."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from matterscope import emitters, io
from matterscope.core.errors import DataError, ReadError
from matterscope.emitters.made.sources import Detection, Excitation, simulate_site
from matterscope.emitters.photons.pulsed import find_comb
from matterscope.emitters.photons.streams import clock_period
from matterscope.io.photon_text import find_columns
from matterscope.physics.rates import ThreeLevels


@pytest.fixture(scope="module")
def tags():
    rng = np.random.default_rng(0)
    time = np.sort(rng.integers(0, 10**9, 500)).astype(np.int64)
    return time, rng.integers(1, 3, 500)


DIALECTS = {
    "swabian": ("Timestamp (ps),Channel\n", ",", 1.0, 0),
    "semicolon": ("time [ns]; detector\n", ";", 1e-3, 0),
    "tabs": ("# run 4\n# time_us\tch\n", "\t", 1e-6, 0),
    "seconds": ("time_s,channel\n", ",", 1e-12, 0),
    "zero": ("time_ps channel\n", " ", 1.0, 1),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_text_of_any_dialect_gives_the_same_stream(name: str, tags, tmp_path: Path) -> None:
    head, separator, unit, base = DIALECTS[name]
    path = tmp_path / "tags.txt"
    rows = [f"{t * unit:.15g}{separator}{c - base}" for t, c in zip(*tags, strict=True)]
    path.write_text(head + "\n".join(rows) + "\n")
    found = io.read(path, kind="photons")[0]
    # fifteen digits of a double
    assert np.abs(found["time"].values - tags[0]).max() <= 1
    assert np.array_equal(found["channel"].values + base, tags[1])


def test_two_columns_without_names_are_told_by_their_content(tags, tmp_path: Path) -> None:
    path = tmp_path / "tags.txt"
    path.write_text("\n".join(f"{c}\t{t}" for t, c in zip(*tags, strict=True)) + "\n")
    found = io.read(path)[0]
    assert found.attrs["kind"] == "photons"
    assert np.array_equal(found["time"].values, tags[0])
    assert [w["code"] for w in found.attrs["warnings"]] == ["unit-assumed"]


def test_axes_of_spectra_and_histograms_are_not_time_tags() -> None:
    spectrum = "\n".join(f"{8000 + 2 * i},{i % 5}" for i in range(200))
    counts = "time_ns,counts\n" + "\n".join(f"{i},{i % 7}" for i in range(200))
    assert find_columns(spectrum) is None
    assert find_columns(counts) is None


def test_arrays_of_seconds_are_read_as_seconds_and_said_so(tags, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", timestamps=tags[0] * 1e-12, channels=tags[1])
    found = io.read(tmp_path / "a.npz")[0]
    assert np.abs(found["time"].values - tags[0]).max() <= 1
    assert found.attrs["warnings"][0]["code"] == "unit-assumed"
    np.savez(tmp_path / "b.npz", timestamps=tags[0] + 1e6 + 0.5, channels=tags[1])
    with pytest.raises(ReadError, match="unit of the times"):
        io.read(tmp_path / "b.npz")


def test_times_that_do_not_move_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", timestamps=np.zeros(500), channels=np.arange(500) % 2 + 1)
    with pytest.raises(DataError, match="one time"):
        emitters.g2(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def light():
    return simulate_site(
        [1.0],
        0.1,
        np.random.default_rng(1),
        rate=8e5,
        background_rate=1e4,
        levels=ThreeLevels(3e7, 1.7e8),
        detection=Detection(delay=7e-9),
    )


def test_a_file_that_counts_channels_from_zero_is_answered(light) -> None:
    shifted = light.copy()
    shifted["channel"] = light["channel"] - 1
    shifted["channel"].attrs = light["channel"].attrs
    a, b = (emitters.g2(m, longest_lag=0.0) for m in (light, shifted))
    assert b["g2_zero"].value == a["g2_zero"].value
    assert b.flagged("sync-as-detector")
    assert not a.flagged("sync-as-detector")


def test_one_file_for_each_detector_is_one_recording(light, tmp_path: Path) -> None:
    time, channel = light["time"].values, light["channel"].values
    paths = []
    for k in (1, 2):
        some = channel == k
        paths.append(tmp_path / f"detector{k}.npz")
        np.savez(paths[-1], timestamps=time[some], channels=np.ones(some.sum(), int))
    together = emitters.g2(*paths, sample="emitter 7", longest_lag=0.0)
    assert together.flagged("joined")
    assert together["g2_zero"].value == emitters.g2(light, longest_lag=0.0)["g2_zero"].value


def test_a_split_recording_counts_like_the_whole(light, tmp_path: Path) -> None:
    time, channel = light["time"].values, light["channel"].values
    half = time.size // 2
    for name, part, start in (("a", slice(0, half), 0), ("b", slice(half, None), time[half])):
        np.savez(tmp_path / f"{name}.npz", timestamps=time[part] - start, channels=channel[part])
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    both = emitters.g2(*paths, sample="s", longest_lag=0.0)
    whole = emitters.g2(light, longest_lag=0.0)
    # the part's joint loses a few of the pairs, the millisecond adds 1 % to the clock
    assert both["g2_zero"].value == pytest.approx(whole["g2_zero"].value, abs=0.02)
    assert both["antibunching_time"].value == pytest.approx(
        whole["antibunching_time"].value, rel=0.1
    )


@pytest.mark.parametrize("period", [200e-9, 1e-6, 6e-6])
def test_a_slow_laser_is_not_taken_for_its_harmonic(period: float) -> None:
    stream = simulate_site(
        [1.0],
        2.0,
        np.random.default_rng(2),
        rate=0.03 / period if period > 1e-6 else 3e4,
        background_rate=300.0,
        levels=ThreeLevels(1e9, 4e8),
        excitation=Excitation(period=period, excitation=0.5),
    )
    answer = emitters.g2(stream, longest_lag=0.0)
    assert answer["laser_period"].value == pytest.approx(period * 1e9, rel=1e-3)
    assert abs(answer["delay"].value) < 4.0 * answer["delay"].sigma


def test_light_of_a_slow_laser_is_not_taken_for_a_clock() -> None:
    rng = np.random.default_rng(3)
    pulses = np.cumsum(rng.geometric(0.05, 5000)) * 2_000_000
    photons = pulses + rng.exponential(3000.0, pulses.size)
    assert clock_period(np.sort(photons).astype(np.int64)) == 0.0
    assert clock_period(pulses + rng.normal(0, 20, pulses.size).astype(np.int64)) > 0.0


def test_every_second_peak_missing_is_no_train_of_that_period() -> None:
    edges = np.arange(-500_000.0, 500_001.0, 50.0)
    centre = 0.5 * (edges[1:] + edges[:-1])
    rng = np.random.default_rng(4)

    def train(period):
        phase = np.mod(centre + period / 2, period) - period / 2
        return rng.poisson(20.0 * np.exp(-np.abs(phase) / 2500.0)).astype(float)

    assert find_comb(edges, train(200_000.0)) is None
    assert find_comb(edges, train(50_000.0)).period == pytest.approx(50_000.0, rel=2e-3)


@pytest.mark.realdata
def test_tags_of_timeharp_6_are_those_of_5_behind_its_longer_header(
    data: Path, tmp_path: Path
) -> None:
    old = (data / "emitters/picoquant/timeharp/v50.t3r").read_bytes()
    # version 6 has the longer text block in front and names the board before its settings
    text = b"TimeHarp 200".ljust(16, b"\0") + b"6.0".ljust(6, b"\0")
    text += b"TimeHarp".ljust(18, b"\0") + b"6.0".ljust(12, b"\0") + old[28:304]
    tail = struct.calcsize("<5if13i")
    common = old[304 : 592 - tail]
    board = b"TH200".ljust(16, b"\0") + b"1.0".ljust(8, b"\0")
    path = tmp_path / "v60.t3r"
    path.write_bytes(text + common + board + old[592 - tail :])
    five = io.read(data / "emitters/picoquant/timeharp/v50.t3r")[0]
    six = io.read(path)[0]
    for name in ("time", "channel", "delay"):
        assert np.array_equal(five[name], six[name])
    assert "layout-unseen" in [w["code"] for w in six.attrs["warnings"]]


def test_one_channel_twice_is_refused(light) -> None:
    with pytest.raises(DataError, match="two different channels"):
        emitters.g2(light, channels=(1, 1))


def test_where_bunching_has_died_away_is_no_dip() -> None:
    faint = simulate_site([1.0], 0.0204, np.random.default_rng(0), rate=1.4e6, background_rate=7e4)
    answer = emitters.g2(faint, longest_lag=0.0)
    assert not answer.flagged("dip-outside-window")
    assert answer["g2_zero"].value is not None


@pytest.mark.realdata
def test_a_t2_file_called_t3_is_refused_block_by_block(data: Path, tmp_path: Path) -> None:
    given = (data / "emitters/hbt_t2_320mhz_hydraharp.ptu").read_bytes()
    at = given.index(b"TTResultFormat_TTTRRecType") + 40
    path = tmp_path / "wrong.ptu"
    path.write_bytes(given[:at] + struct.pack("<q", 0x01010304) + given[at + 8 :])
    with pytest.raises(ReadError, match="longer than the sync period"):
        emitters.g2(path)


def test_a_scan_is_read_as_matrix_with_axes_and_as_list(tmp_path):
    rng = np.random.default_rng(9)
    counts = rng.poisson(20, (9, 12))
    x, y = 10 + 0.5 * np.arange(12), 3 + 0.25 * np.arange(9)
    bare, framed, listed = (tmp_path / n for n in ("bare.txt", "framed.csv", "list.csv"))
    np.savetxt(bare, counts, fmt="%d")
    table = np.vstack([np.r_[0, x], np.column_stack([y, counts])])
    np.savetxt(framed, table, delimiter=";", header="scan in um", comments="# ")
    points = [
        f"{a * 1000},{b * 1000},{n}"
        for b, row in zip(y, counts, strict=True)
        for a, n in zip(x, row, strict=True)
    ]
    listed.write_text("x (nm),y (nm),rate (cps)\n" + "\n".join(rng.permutation(points)) + "\n")
    for path, length, units in (
        (bare, "px", "counts"), (framed, "µm", "counts"), (listed, "µm", "counts/s")
    ):  # fmt: skip
        found = io.read(path, kind="map")[0]
        assert np.array_equal(found["counts"], counts), path
        assert found["x"].attrs["units"] == length
        assert found["counts"].attrs["units"] == units
        if length == "µm":
            assert np.allclose(found["x"], x)
            assert np.allclose(found["y"], y)
    listed.write_text("\n".join(listed.read_text().splitlines()[:-1]))
    with pytest.raises(ReadError, match="do not fill a grid"):
        io.read(listed, kind="map")


def test_spectra_of_many_frames_are_no_map(tmp_path):
    path = tmp_path / "frames.csv"
    frames = np.random.default_rng(2).poisson(9, (60, 20))
    np.savetxt(path, np.column_stack([np.linspace(540, 700, 60), frames]), delimiter=",")
    assert io.read(path)[0].attrs["kind"] == "emission"


def test_a_trace_is_read_with_its_units_and_a_gap_is_refused(tmp_path):
    path = tmp_path / "trace.txt"
    rows = [f"{k * 10}\t{k % 7}" for k in range(100)]
    path.write_text("time (ms)\tAPD counts\n" + "\n".join(rows) + "\n")
    found = io.read(path, kind="trace")[0]
    assert np.allclose(np.diff(found["time"]), 0.01)
    assert found["counts"].values[0, :9].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    path.write_text("time (ms)\tAPD counts\n" + "\n".join(rows[:40] + rows[60:]) + "\n")
    with pytest.raises(ReadError, match="no even steps"):
        io.read(path, kind="trace")


@pytest.mark.parametrize(
    "header", ["# delay (ns) counts", "Time [ns]\tCounts", "tau (ns);coincidences"]
)
def test_a_histogram_is_known_by_the_name_of_its_first_column(tmp_path, header):
    path = tmp_path / "decay.txt"
    mark = next((c for c in "\t;" if c in header), " ")
    rows = [f"{k * 0.016:.3f}{mark}{k}" for k in range(60)]
    text = "\n".join([header, *rows])
    path.write_text(text.replace(".", ",") if mark == ";" else text)
    found = io.read(path, kind="histogram")[0]
    assert np.allclose(np.diff(found["lag"]), 16.0)
    assert found["counts"].values[-1] == 59


@pytest.mark.parametrize(
    ("name", "word"), [("a.ttbin", "Swabian"), ("a.wdf", "WiRE"), ("a.png", "picture")]
)
def test_what_is_not_read_is_called_by_its_name(tmp_path, name, word):
    path = tmp_path / name
    path.write_bytes(b"\x01\x02SITT" + bytes(50))
    with pytest.raises(ReadError, match=word):
        io.read(path)
