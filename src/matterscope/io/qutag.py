"""quTAG binary time tags: a 40-byte header, then int64 time (ps) and uint16 channel in 10 bytes.

In: a path. Out: a `photons` measurement, sorted, with the number of backward steps in a flag.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared
from matterscope.io.picoquant import misorder, misorder_flag

if TYPE_CHECKING:
    import xarray as xr

MAGIC = bytes.fromhex("87b391fa22dd2800")
HEADER = 40
RECORD = np.dtype([("time", "<i8"), ("channel", "<u2")])


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins with the quTAG magic number."""
    return head.startswith(MAGIC)


def read(path: Path) -> list[xr.Dataset]:
    """Return the stream; the vendor's clock counts from an epoch, ours from the first event."""
    from matterscope.core.schema import measurement

    size = path.stat().st_size - HEADER
    if size < 0:
        raise ReadError(
            "the file ends inside its header",
            where=f"{path}, offset 0",
            got=f"{size + HEADER} bytes",
            expected=f"at least {HEADER}",
        )
    count, stray = divmod(size, RECORD.itemsize)
    declared(count * 9, str(path), "the photon stream")
    with path.open("rb") as handle:
        header = handle.read(HEADER)
        records = np.fromfile(handle, RECORD, count)
    time = records["time"].astype(np.int64)
    channel = records["channel"]
    if channel.size and channel.max() > 127:
        at = int(np.argmax(channel > 127))
        raise ReadError(
            "a channel number is impossible",
            where=f"{path}, offset {HEADER + RECORD.itemsize * at}",
            got=int(channel[at]),
            expected="0 to 127",
            hint="the records are out of step: bytes are missing or stray",
        )
    flags = []
    order, steps, worst = misorder(time, str(path))
    if order is not None:
        time, channel = time[order], channel[order]
        flags.append(misorder_flag(steps, worst))
    if stray:
        flags.append(
            {
                "code": "cut-file",
                "message": f"{stray} bytes of a last, cut record were dropped after {count:,} whole ones",
                "remedy": "copy the file again; --strict refuses a cut file",
            }
        )
    epoch = int(time[0]) if time.size else 0
    return [
        measurement(
            "photons",
            {},
            {
                "time": (("event",), time - epoch, "ps"),
                "channel": (("event",), channel.astype(np.int8), "1"),
            },
            source={"reader": "qutag"},
            vendor={"header": header.hex(), "epoch_ps": epoch},
            record_type="quTAG",
            records=count,
            overflows=0,
            tick_ps=1.0,
            warnings=flags,
        )
    ]
