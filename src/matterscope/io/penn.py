"""MATLAB files of the Penn photon-correlation scripts: coincidences by state, and rate traces.

In: a .mat file with `AllT2data` (a cell of structs, one per recording). Out: one `histogram`
(recording, state, lag) with the expectation stored in the file, and one `trace` per recording.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared
from matterscope.io.matlab import read_variables

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True
STATES = ("dim", "bright")
"""Partitions in the order of the columns (flags 1 and 2 of the file)."""
FIELDS = ("tauAxis", "xCorr", "g2norm", "tAxis", "countRates", "tFlag")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a MATLAB 5 file with `AllT2data`."""
    if not head.startswith(b"MATLAB 5.0"):
        return False
    try:
        return "AllT2data" in read_variables(path)
    except ReadError:
        return False


def read(path: Path, *, kind: str | None = None) -> list[xr.Dataset]:
    """Return the histogram and the traces, or those of the wanted kind."""
    declared(50 * path.stat().st_size, str(path), "the arrays")
    cells = np.ravel(read_variables(path)["AllT2data"])
    recordings = [cell if isinstance(cell, dict) else {} for cell in cells]
    for i, recording in enumerate(recordings):
        missing = [f for f in FIELDS if f not in recording]
        if missing:
            raise ReadError(
                "a recording lacks fields",
                where=f"{path}, AllT2data{{{i + 1}}}",
                got="no " + ", ".join(missing),
                expected=", ".join(FIELDS),
            )
    found = []
    if kind in (None, "histogram"):
        found.append(_histogram(recordings, path))
    if kind in (None, "trace"):
        found += [_trace(r, i) for i, r in enumerate(recordings)]
    return found


def _histogram(recordings: list[Any], path: Path) -> xr.Dataset:
    from matterscope.core.schema import measurement

    lag = np.asarray(recordings[0]["tauAxis"], float).ravel() * 1e12
    if any(np.asarray(r["tauAxis"]).size != lag.size for r in recordings):
        raise ReadError("the recordings have different delay axes", where=str(path))
    # xCorr is stored as the smallest integer that holds it (uint8 in one file): widen before any sum
    counts = np.stack([np.asarray(r["xCorr"]).astype(np.int64).T for r in recordings])
    expected = np.stack([np.asarray(r["g2norm"], float).T for r in recordings])
    states = list(STATES) if counts.shape[1] == 2 else [str(i + 1) for i in range(counts.shape[1])]
    dims = ("recording", "state", "lag")
    m = measurement(
        "histogram",
        {"lag": (lag, "ps")},
        {"counts": (dims, counts, "counts"), "expected": (dims, expected, "counts")},
        source={"reader": "penn-mat", "selector": "coincidences"},
        vendor={"stored_as": str(np.asarray(recordings[0]["xCorr"]).dtype)},
        states=states,
        warnings=[],
    )
    return m.assign_coords(state=("state", states))


def _trace(recording: Any, index: int) -> xr.Dataset:
    from matterscope.core.schema import measurement

    time = np.asarray(recording["tAxis"], float).ravel()
    step = float(np.median(np.diff(time)))
    rates = np.asarray(recording["countRates"]).astype(np.float64)
    # rates come in whole counts per bin
    counts = np.round(rates * step).astype(np.int64)
    return measurement(
        "trace",
        {"time": (time, "s")},
        {
            "counts": (("detector", "time"), counts, "counts"),
            "author_state": (
                ("time",),
                np.asarray(recording["tFlag"]).astype(np.int8).ravel(),
                "1",
            ),
        },
        source={"reader": "penn-mat", "selector": f"recording {index + 1}"},
        label=f"recording {index + 1}",
        warnings=[],
    )
