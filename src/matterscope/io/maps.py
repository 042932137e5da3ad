"""Raster-scanned maps: NVision JSON, confocal .mat, TIFF and NPY images of counts.

In: a file. Out: one `map`, counts or counts per second over (y, x) in µm or px, with the pixel clock
where the file states it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io.limits import declared
from matterscope.io.matlab import read_variables

Floats = NDArray[np.float64]
MAT_5 = b"MATLAB 5.0 MAT-file"


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a map: by its keys, its magic, or an image's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return b'"datasets"' in head or b'"ScanCounts"' in head or b"FsmScan" in head
    if suffix == ".mat":
        return head.startswith(MAT_5)
    if suffix in {".tif", ".tiff"}:
        return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
    return suffix == ".npy" and head.startswith(b"\x93NUMPY")


def read(path: Path) -> list[xr.Dataset]:
    """Return the map."""
    declared(path.stat().st_size, str(path), "the file")
    reader = {".json": _json, ".mat": _mat, ".npy": _npy}.get(path.suffix.lower(), _tiff)
    return [reader(path)]


def _json(path: Path) -> xr.Dataset:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        sets = stored["datasets"]
        x, y = np.asarray(sets["xSteps"], float), np.asarray(sets["ySteps"], float)
        counts = np.asarray(sets["ScanCounts"], float)
    except (ValueError, KeyError, TypeError) as error:
        raise ReadError(
            f"this JSON is no scan: {type(error).__name__} {error}",
            where=str(path),
            expected="datasets with xSteps, ySteps and ScanCounts",
        ) from None
    if counts.shape != (y.size, x.size):
        raise ReadError(
            "the scan's axes do not fit its counts",
            where=str(path),
            got=counts.shape,
            expected=(y.size, x.size),
        )
    return as_map(
        counts,
        x,
        y,
        "µm",
        "counts/s",
        {"params": stored.get("params", {}), "title": stored.get("title")},
    )


def _mat(path: Path) -> xr.Dataset:
    stored = read_variables(path)
    data = stored.get("data")
    if not isinstance(data, dict) or not {"plScan", "xCoords", "yCoords"} <= set(data):
        raise ReadError(
            "this .mat file holds no confocal scan", where=str(path), expected="data.plScan"
        )
    rate = 1e3 * np.asarray(data["plScan"], float)  # kcounts/s
    x, y = (np.asarray(data[name], float).ravel() for name in ("xCoords", "yCoords"))
    if rate.shape != (y.size, x.size):
        raise ReadError(
            "the scan's axes do not fit its counts",
            where=str(path),
            got=rate.shape,
            expected=(y.size, x.size),
        )
    rate_entry = np.ravel(data.get("clockRate", []))
    clock = float(rate_entry[0]) if rate_entry.size == 1 else None
    return as_map(
        rate, x, y, "µm", "counts/s", {"columns": str(stored.get("columnNames", ""))}, clock
    )


def _npy(path: Path) -> xr.Dataset:
    try:
        counts = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError as error:
        raise ReadError(f"the array cannot be read: {error}", where=str(path)) from None
    return _image(np.asarray(counts), path)


def _tiff(path: Path) -> xr.Dataset:
    import tifffile

    with tifffile.TiffFile(path) as stored:
        page = stored.pages[0]
        declared(int(np.prod(page.shape)) * 8, str(path), "the image")
        return _image(page.asarray(), path)


def _image(counts: NDArray[Any], path: Path) -> xr.Dataset:
    if counts.ndim != 2 or counts.dtype.kind not in "uif":
        raise ReadError(
            "a map is an image of numbers", where=str(path), got=f"{counts.dtype} {counts.shape}"
        )
    vendor: dict[str, Any] = {"dtype": str(counts.dtype)}
    if counts.dtype.kind == "u":
        vendor["saturated_pixels"] = int((counts >= np.iinfo(counts.dtype).max).sum())
    ny, nx = counts.shape
    return as_map(
        counts.astype(float),
        np.arange(nx, dtype=float),
        np.arange(ny, dtype=float),
        "px",
        "counts",
        vendor,
    )


def as_map(
    counts: Floats,
    x: Floats,
    y: Floats,
    length: str,
    units: str,
    vendor: dict[str, Any],
    clock: float | None = None,
) -> xr.Dataset:
    """Return a scan, shape (y, x), with its axes increasing; `clock` is the pixel clock in Hz where it is known."""
    if x.size > 1 and x[1] < x[0]:
        x, counts = x[::-1], counts[:, ::-1]
    if y.size > 1 and y[1] < y[0]:
        y, counts = y[::-1], counts[::-1]
    attrs: dict[str, Any] = {} if clock is None else {"clock_rate": clock}
    return measurement(
        "map",
        {"y": (y, length), "x": (x, length)},
        {"counts": (("y", "x"), counts, units)},
        vendor=vendor,
        **attrs,
    )
