"""Photon formats: every record type by the own writer, tables, and what damage is answered with."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from matterscope import io
from matterscope.core.errors import MatterscopeError, ReadError
from matterscope.core.schema import measurement
from matterscope.io.picoquant_records import RECORD_TYPES
from matterscope.io.picoquant_writing import write_ptu

T2 = [c for c, t in RECORD_TYPES.items() if t.mode == 2]
T3 = [c for c, t in RECORD_TYPES.items() if t.mode == 3 and t.layout != "timeharp"]


def stream(channels: list[int], step: int = 40_000_000, n: int = 400) -> xr.Dataset:
    rng = np.random.default_rng(len(channels))
    time = np.sort(rng.integers(0, step * n, n) // 8 * 8)
    channel = rng.choice(channels, n).astype(np.int8)
    return measurement(
        "photons",
        {},
        {"time": (("event",), time, "ps"), "channel": (("event",), channel, "1")},
        source={"uri": "test"},
    )


@pytest.mark.parametrize("code", T2)
def test_every_t2_record_type_comes_back_as_it_was_written(code: int, tmp_path: Path) -> None:
    # SYNC and markers keep channels of their own where the layout has them
    hydra = RECORD_TYPES[code].layout == "hydra"
    given = stream([0, 1, 2, 5, -1, -3] if hydra else [1, 2, 3, 4])
    write_ptu(given, tmp_path / "a.ptu", record_type=code)
    found = io.read(tmp_path / "a.ptu")[0]
    unit = 1 if hydra else 4
    assert np.array_equal(found["time"], given["time"] // unit * unit)
    assert np.array_equal(found["channel"], given["channel"])
    assert found.attrs["overflows"] > 0
    assert not found.attrs["warnings"]


@pytest.mark.parametrize("code", T3)
def test_every_t3_record_type_keeps_delay_and_sync(code: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    period, n = 50_000.0, 500
    syncs = np.sort(rng.integers(0, 300_000, n))
    delay = rng.integers(1, 3000, n) * 16
    given = measurement(
        "photons",
        {},
        {
            "time": (("event",), (syncs * 50_000 + delay), "ps"),
            "channel": (("event",), rng.integers(1, 3, n).astype(np.int8), "1"),
            "delay": (("event",), delay, "ps"),
        },
        source={"uri": "test"},
        sync_period_ps=period,
        delay_bin_ps=16.0,
    )
    given = given.isel(event=np.argsort(given["time"].values, kind="stable"))
    write_ptu(given, tmp_path / "a.ptu", record_type=code)
    found = io.read(tmp_path / "a.ptu")[0]
    for name in ("time", "channel", "delay"):
        assert np.array_equal(found[name], given[name]), name


def test_sync_events_do_not_mix_with_the_first_input(tmp_path: Path) -> None:
    given = stream([0, 1])
    io.write(given, tmp_path / "a.ptu")
    found = io.read(tmp_path / "a.ptu")[0]["channel"].values
    assert (found == 0).sum() == (given["channel"] == 0).sum()
    assert (found == 1).sum() == (given["channel"] == 1).sum()


@pytest.mark.parametrize("suffix", ["npz", "csv", "h5"])
def test_photon_tables_come_back_as_they_were_written(suffix: str, tmp_path: Path) -> None:
    given = stream([1, 2])
    path = tmp_path / f"a.{suffix}"
    from matterscope.io.photons import write

    write(given, path)
    found = io.read(path, kind="photons")[0]
    assert np.array_equal(found["time"], given["time"])
    assert np.array_equal(found["channel"], given["channel"])


def test_exported_swabian_arrays_are_read_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", timestamps=np.array([5, 9, 12]), channels=np.array([1, 2, 1]))
    found = io.read(tmp_path / "s.npz", kind="photons")[0]
    assert found["time"].values.tolist() == [5, 9, 12]


def test_an_unknown_record_type_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.ptu"
    write_ptu(stream([1, 2]), path)
    data = path.read_bytes().replace(
        (0x01010204).to_bytes(8, "little"), (0x01010299).to_bytes(8, "little")
    )
    path.write_bytes(data)
    with pytest.raises(ReadError, match="01010299") as caught:
        io.read(path)
    assert "HydraHarp V2 T2" in str(caught.value)


def test_a_small_misorder_is_sorted_and_counted_and_a_large_one_refused(tmp_path: Path) -> None:
    time = np.arange(0, 10**9, 10**6)
    time[500] -= 1_500_000
    channel = np.tile([1, 2], 500)
    np.savez(tmp_path / "a.npz", time=time, channel=channel)
    found = io.read(tmp_path / "a.npz", kind="photons")[0]
    assert np.all(np.diff(found["time"].values) >= 0)
    assert "1 events" in found.attrs["warnings"][0]["message"]
    time[700] -= 5_000_000
    np.savez(tmp_path / "b.npz", time=time, channel=channel)
    with pytest.raises(ReadError, match="backwards"):
        io.read(tmp_path / "b.npz", kind="photons")


def test_t3_delays_beyond_the_sync_period_are_refused(tmp_path: Path) -> None:
    n = 200
    given = measurement(
        "photons",
        {},
        {
            "time": (("event",), np.arange(n) * 100_000 + 90_000, "ps"),
            "channel": (("event",), np.ones(n, np.int8), "1"),
            "delay": (("event",), np.full(n, 90_000), "ps"),
        },
        source={"uri": "test"},
        sync_period_ps=50_000.0,
        delay_bin_ps=16.0,
    )
    write_ptu(given, tmp_path / "a.ptu", record_type=0x01010304)
    with pytest.raises(ReadError, match="sync period"):
        io.read(tmp_path / "a.ptu")


def test_damaged_headers_end_in_one_clear_error_or_a_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.ptu"
    write_ptu(stream([1, 2]), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, 420, 3):
            data[at] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        # anything but an error of the one tree escapes and fails
        with contextlib.suppress(MatterscopeError):
            assert io.read(path)[0].attrs["kind"] == "photons"


@pytest.mark.parametrize("step", [1, 3, 4, 41, 400])
def test_a_cut_file_keeps_the_whole_records_and_says_both_numbers(
    step: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.ptu"
    write_ptu(stream([1, 2]), path)
    whole = path.read_bytes()
    total = io.read(path)[0].attrs["records"]
    path.write_bytes(whole[:-step])
    found = io.read(path)[0]
    held = total - (step + 3) // 4
    warning = next(w for w in found.attrs["warnings"] if w["code"] == "cut-file")
    assert f"{total:,}" in warning["message"]
    assert f"{held:,}" in warning["message"]
    assert found.attrs["records"] == held


@pytest.mark.parametrize(("unit", "along"), [("ps", True), ("ns", False)])
def test_numbers_without_a_header_are_read_as_the_histogram_they_are(
    unit: str, along: bool, tmp_path: Path
) -> None:
    lag = np.arange(-800_000.0, 800_000.0, 640.0)
    counts = np.random.default_rng(0).poisson(20.0, lag.size)
    table = np.stack([lag / (1.0 if unit == "ps" else 1e3), counts])
    path = tmp_path / "export.txt"
    np.savetxt(path, table if along else table.T, fmt="%.6g")
    (m,) = io.read(path)
    assert m.attrs["kind"] == "histogram"
    assert np.allclose(m["lag"], lag)
    assert (m["counts"] == counts).all()
    assert f"taken as {unit}" in m.attrs["warnings"][0]["message"]


def test_an_energy_loss_that_begins_below_zero_is_no_histogram(tmp_path: Path) -> None:
    loss = np.arange(-10.0, 200.0, 0.1)
    path = tmp_path / "loss.txt"
    np.savetxt(path, np.stack([loss, np.full(loss.size, 7)], axis=1), fmt="%.6g")
    assert io.read(path)[0].attrs["kind"] != "histogram"
