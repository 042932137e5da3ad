"""Turn any photon stream into an open table, with an audit of what was read.

In: a stream in any format. Out: NPZ, Photon-HDF5, CSV or PTU, and rates, wraps, order, duration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import sha256_of
from matterscope.emitters.photons.joining import join_inputs
from matterscope.emitters.photons.photon_pictures import rate_picture
from matterscope.emitters.photons.streams import open_stream, survey

if TYPE_CHECKING:
    from matterscope.emitters.settings import ConvertSettings


def convert_streams(inputs: list[Input], settings: ConvertSettings, call: Call) -> list[Estimate]:
    """Return one audit per stream; the table is written beside it."""
    return [_one(given, settings, call) for given in join_inputs(inputs, settings.sample)]


def _one(given: Input, settings: ConvertSettings, call: Call) -> Estimate:
    from matterscope.io import measurements

    estimate = Estimate("emitters convert", given.ref)
    m = measurements(given, "photons")[0]
    stem = Path(given.source).stem or "stream"
    path = call.artifact(f"{stem}.{settings.format}")
    if settings.format == "ptu":
        from matterscope.io.picoquant_writing import write_ptu

        write_ptu(m, path)
    else:
        from matterscope.io.photons import write

        write(m, path)
    stream = open_stream(given)
    found = survey(stream)
    for f in stream.flags:
        estimate.flag(f["code"], f["message"], f.get("remedy", ""))
    rows = pd.DataFrame(
        {
            "channel": sorted(found.counts),
            "events": [found.counts[c] for c in sorted(found.counts)],
            "rate": [found.counts[c] / max(found.duration, 1e-12) for c in sorted(found.counts)],
            "role": [_role(c, found.clocks) for c in sorted(found.counts)],
        }
    )
    rows.attrs["units"] = {"channel": "1", "events": "counts", "rate": "counts/s", "role": "1"}
    estimate.tables["channels"] = rows
    counted = "counted: exact"
    estimate.quantities = {
        "photons": Quantity(found.events, "counts", reason=counted),
        "recording_duration": Quantity(found.duration, "s", reason="first to last event"),
    }
    estimate.diagnostics = {
        "record_type": m.attrs.get("record_type", ""),
        "records": m.attrs.get("records"),
        "overflows": m.attrs.get("overflows"),
        "tick_ps": m.attrs.get("tick_ps"),
        "header_duration_s": stream.acquisition,
        "clock_channels_ps": {str(c): p for c, p in found.clocks.items()},
        "artifacts": [{"path": path.name, "sha256": sha256_of(path)}],
    }
    estimate.provenance = {"settings": settings.model_dump(), "references": []}
    if stream.acquisition and abs(found.duration - stream.acquisition) > 0.1 * stream.acquisition:
        estimate.flag(
            "duration-differs",
            f"the events span {found.duration:.3f} s, the header states {stream.acquisition:.3f} s",
            "the file may be cut, or the record type wrong",
        )
    traces = {f"channel {c}": t for c, t in sorted(found.traces.items()) if c >= 0}
    estimate.pictures.append(rate_picture(traces, found.step * 1e-12))
    return estimate


def _role(channel: int, clocks: dict[int, float]) -> str:
    if channel == 0:
        return "sync"
    if channel < 0:
        return f"marker {-channel}"
    return f"clock, {clocks[channel] / 1000:.3f} ns" if channel in clocks else "input"
