"""Several files of one recording: parts that follow each other, or one file for each detector.

In: the inputs of a sample. Out: one stream in memory, with a flag that says how it was put together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.calls import Input
from matterscope.core.errors import DataError
from matterscope.core.schema import measurement
from matterscope.io import measurements

if TYPE_CHECKING:
    import xarray as xr

GAP_PS = 1_000_000_000
"""Parts whose clocks start anew are set 1 ms apart: long against a dip, short against a recording."""


def join_inputs(inputs: list[Input], sample: str) -> list[Input]:
    """Return the inputs as they are, or one input that holds them all if they are one sample.

    Raises
    ------
    DataError
        Some have delays after a laser pulse and some do not.
    """
    if not sample or len(inputs) < 2:
        return inputs
    parts = [m for given in inputs for m in measurements(given, "photons")]
    digest = " ".join(i.sha256[:16] for i in inputs)
    return [Input(sample, "", None, joined(parts, sample), digest)]


def joined(parts: list[xr.Dataset], sample: str) -> xr.Dataset:
    """Return one stream of several: side by side if each is one detector over the same time, else in turn.

    Parts in turn keep their times where these go on from one to the next; where the clock starts anew
    they are set a millisecond apart.
    """
    with_delay = ["delay" in p for p in parts]
    if any(with_delay) and not all(with_delay):
        raise DataError(
            "these files are not parts of one recording",
            where=sample,
            got="T3 and T2 streams",
            expected="streams of one kind",
        )
    beside = _side_by_side(parts)
    times, lanes = [], []
    end: int | None = None
    for number, part in enumerate(parts, 1):
        time, lane = part["time"].values, part["channel"].values
        if beside:
            lane = np.full(lane.size, number, np.int8)
        elif time.size and end is not None and int(time[0]) < end:
            time = time - time[0] + end + GAP_PS
        if time.size:
            end = int(time[-1])
        times.append(time)
        lanes.append(lane)
    whole, channel = np.concatenate(times), np.concatenate(lanes)
    order = np.argsort(whole, kind="stable")
    variables: dict[str, tuple[tuple[str, ...], Any, str]] = {
        "time": (("event",), whole[order], "ps"),
        "channel": (("event",), channel[order], "1"),
    }
    if all(with_delay):
        delay = np.concatenate([p["delay"].values for p in parts])
        variables["delay"] = (("event",), delay[order], "ps")
    how = (
        "one detector each, side by side" if beside else "parts of a recording, one after the other"
    )
    flag = {
        "code": "joined",
        "message": f"{len(parts)} files were joined: {how}",
        "remedy": "without --sample each file is answered alone",
    }
    first = parts[0].attrs
    keep = {k: first[k] for k in ("sync_period_ps", "delay_bin_ps", "tick_ps") if k in first}
    return measurement(
        "photons",
        {},
        variables,
        source={"uri": sample},
        record_type=str(first.get("record_type", "")),
        records=int(whole.size),
        acquisition_s=sum(float(p.attrs.get("acquisition_s") or 0.0) for p in parts),
        warnings=[flag, *(w for p in parts for w in p.attrs.get("warnings") or ())],
        **keep,
    )


def _side_by_side(parts: list[xr.Dataset]) -> bool:
    """Return whether every part is one channel, over times that overlap by more than half."""
    if any(not p.sizes["event"] or np.ptp(p["channel"].values) for p in parts):
        return False
    starts = [int(p["time"].values[0]) for p in parts]
    stops = [int(p["time"].values[-1]) for p in parts]
    shared = min(stops) - max(starts)
    return shared > 0.5 * max(b - a for a, b in zip(starts, stops, strict=True))
