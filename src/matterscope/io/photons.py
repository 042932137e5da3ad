"""Photon tables: NPZ (ours and Swabian's exported arrays), CSV and Photon-HDF5.

In: a path. Out: a `photons` measurement in int64 ps, sorted; and the same written back.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared, plain_dataset
from matterscope.io.photon_text import CHANNELS, TIMES, UNITS, find_columns, read_text
from matterscope.io.picoquant import misorder, misorder_flag

if TYPE_CHECKING:
    import h5py
    import xarray as xr

Raw = np.ndarray[Any, Any]
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file holds a table of times and channels."""
    if head.startswith(b"PK"):
        return path.suffix.lower() == ".npz" and _pick(_names(path), TIMES)[0] is not None
    if head.startswith(HDF5_MAGIC):
        return _is_photon_hdf5(path)
    return b"\0" not in head and find_columns(head.decode("utf-8", "replace")) is not None


def read(path: Path) -> list[xr.Dataset]:
    """Return the stream; times before the first event of a foreign clock are kept."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    if head.startswith(b"PK"):
        return [_dataset(path, *_from_npz(path))]
    if head.startswith(HDF5_MAGIC):
        return [_dataset(path, *_from_hdf5(path))]
    time, channel, scale, flags = read_text(path)
    return [_dataset(path, time, channel, None, {"tick_ps": scale, "warnings": flags})]


def write(dataset: xr.Dataset, path: Path) -> None:
    """Write a `photons` measurement as NPZ, CSV or Photon-HDF5, by the name of the file."""
    from matterscope.core.files import atomic, write_text

    time, channel = dataset["time"].values, dataset["channel"].values
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays: dict[str, Raw] = {"time": time, "channel": channel, "tick_ps": np.array(1.0)}
        if "delay" in dataset:
            arrays |= {
                "delay": dataset["delay"].values,
                "sync_period_ps": np.array(float(dataset.attrs["sync_period_ps"])),
            }
        with atomic(path) as handle:
            np.savez_compressed(handle, allow_pickle=False, **arrays)
        return
    if suffix == ".csv":
        rows = "\n".join(f"{t},{c}" for t, c in zip(time.tolist(), channel.tolist(), strict=True))
        write_text(path, f"time_ps,channel\n{rows}\n")
        return
    _write_hdf5(dataset, path)


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [n.removesuffix(".npy") for n in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise ReadError(
            "the archive is damaged", where=str(path), got=str(error), hint="copy the file again"
        ) from None


def _pick(names: list[str], wanted: tuple[str, ...]) -> tuple[str | None, float]:
    """Return (name of the array, ps per unit of its suffix) among the names, or (None, 0)."""
    for name in names:
        stem, _, unit = name.lower().rpartition("_")
        if name.lower() in wanted:
            return name, 0.0
        if stem in wanted and unit in UNITS:
            return name, UNITS[unit]
    return None, 0.0


def _from_npz(path: Path) -> tuple[Raw, Raw, Raw | None, dict[str, Any]]:
    names = _names(path)
    with zipfile.ZipFile(path) as archive:
        declared(sum(i.file_size for i in archive.infolist()), str(path), "the arrays")
    (t, scale), (c, _) = _pick(names, TIMES), _pick(names, CHANNELS)
    if t is None or c is None:
        raise ReadError(
            "the archive lacks times or channels",
            where=str(path),
            got=", ".join(names),
            expected=f"one of {', '.join(TIMES)} and one of {', '.join(CHANNELS)}",
        )
    with np.load(path, allow_pickle=False) as archive:
        tick = float(archive["tick_ps"]) if "tick_ps" in names else scale
        delay = archive["delay"] if "delay" in names else None
        about: dict[str, Any] = {"tick_ps": tick or _unit_by_range(archive[t], path)}
        if not tick and about["tick_ps"] != 1.0:
            about["warnings"] = [
                {
                    "code": "unit-assumed",
                    "message": "the archive states no unit: its fractional times were taken for seconds",
                    "remedy": "call the array time_s, time_ns or time_ps, or add tick_ps",
                }
            ]
        if delay is not None and "sync_period_ps" in names:
            about["sync_period_ps"] = float(archive["sync_period_ps"])
        return archive[t], archive[c], delay, about


def _unit_by_range(time: Raw, path: Path) -> float:
    """Return ps per unit of an array without one: whole numbers are ps, small fractions seconds."""
    if time.dtype.kind in "iu" or not time.size or not np.isfinite(time).all():
        return 1.0
    if (time == np.round(time)).all():
        return 1.0
    if float(np.abs(time).max()) < 1e6:
        return 1e12
    raise ReadError(
        "the unit of the times is not known",
        where=str(path),
        got=f"fractions up to {float(np.abs(time).max()):.3g}",
        expected="whole ps, or an array called time_ns, time_us or time_s",
    )


def _is_photon_hdf5(path: Path) -> bool:
    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("photon_data", getlink=True)
        return isinstance(group, h5py.HardLink) and "timestamps" in file["photon_data"]


def _scalar(group: h5py.Group, name: str, where: str) -> float | None:
    if name.split("/", 1)[0] not in group or name not in group:
        return None
    return float(plain_dataset(group, name, where)[()])


def _from_hdf5(path: Path) -> tuple[Raw, Raw, Raw | None, dict[str, Any]]:
    import h5py

    where = str(path)
    with h5py.File(path, "r") as file:
        group = file["photon_data"]
        time = plain_dataset(group, "timestamps", where)[()]
        if "detectors" in group:
            channel = plain_dataset(group, "detectors", where)[()].astype(np.int64)
        else:
            channel = np.zeros(time.size, np.int64)
        unit = _scalar(group, "timestamps_specs/timestamps_unit", where)
        if unit is None or not 0 < unit < 1:
            raise ReadError(
                "the file gives no unit of its timestamps",
                where=f"{where}, /photon_data/timestamps_specs/timestamps_unit",
                got=unit,
                expected="seconds between 0 and 1",
            )
        delay = None
        about: dict[str, Any] = {"tick_ps": unit * 1e12}
        bin_s = _scalar(group, "nanotimes_specs/tcspc_unit", where)
        if "nanotimes" in group and bin_s:
            delay = np.round(plain_dataset(group, "nanotimes", where)[()] * bin_s * 1e12)
            about["sync_period_ps"] = about["tick_ps"]
            about["delay_bin_ps"] = bin_s * 1e12
        ours = "channels_from" in file.attrs
    # detectors of Photon-HDF5 count from 0, inputs here from 1; our own files keep ours
    return time, channel if ours else channel + 1, delay, about


def _dataset(
    path: Path, time: Raw, channel: Raw, delay: Raw | None, about: dict[str, Any]
) -> xr.Dataset:
    from matterscope.core.schema import measurement

    if time.ndim != 1 or time.shape != channel.shape:
        raise ReadError(
            "times and channels must be vectors of one length",
            where=str(path),
            got=f"{time.shape} and {channel.shape}",
        )
    lanes = channel.astype(np.int64)
    # Swabian numbers falling edges with a minus; they are channels of their own
    lanes = np.where(lanes < -15, 64 - lanes, lanes)
    if lanes.size and (np.abs(lanes) > 127).any():
        at = int(np.argmax(np.abs(lanes) > 127))
        raise ReadError(
            "a channel number is impossible", where=f"{path}, event {at}", got=int(lanes[at])
        )
    tick = float(about["tick_ps"])
    if time.dtype.kind == "f" and not np.isfinite(time).all():
        raise ReadError(
            "a time is not finite", where=f"{path}, event {int(np.argmin(np.isfinite(time)))}"
        )
    whole = tick == int(tick) and time.dtype.kind in "iu"
    stamps = (
        time.astype(np.int64) * int(tick)
        if whole
        else np.floor(time * tick + 1e-6).astype(np.int64)
    )
    flags = list(about.pop("warnings", ()))
    order, steps, worst = misorder(stamps, str(path))
    if order is not None:
        stamps, lanes = stamps[order], lanes[order]
        delay = delay[order] if delay is not None else None
        flags.append(misorder_flag(steps, worst))
    variables: dict[str, Any] = {
        "time": (("event",), stamps, "ps"),
        "channel": (("event",), lanes.astype(np.int8), "1"),
    }
    if delay is not None:
        variables["delay"] = (("event",), delay.astype(np.int64), "ps")
    return measurement(
        "photons",
        {},
        variables,
        source={"reader": "photon-table"},
        record_type="photon table",
        records=int(stamps.size),
        warnings=flags,
        **about,
    )


def _write_hdf5(dataset: xr.Dataset, path: Path) -> None:
    """Write Photon-HDF5 names; a root attribute marks that detectors keep our numbers."""
    import h5py

    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            file.attrs["format_name"] = "Photon-HDF5"
            file.attrs["format_version"] = "0.5"
            file.attrs["channels_from"] = 1
            span = dataset["time"].values
            file["acquisition_duration"] = float(span[-1] - span[0]) * 1e-12 if span.size else 0.0
            file["description"] = "photon stream written by matterscope"
            group = file.create_group("photon_data")
            options = {"compression": "gzip", "shuffle": True} if span.size else {}
            group.create_dataset("timestamps", data=span, **options)
            group.create_dataset("detectors", data=dataset["channel"].values, **options)
            group["timestamps_specs/timestamps_unit"] = 1e-12
            if "delay" in dataset:
                group.create_dataset("nanotimes", data=dataset["delay"].values, **options)
                group["nanotimes_specs/tcspc_unit"] = 1e-12
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
