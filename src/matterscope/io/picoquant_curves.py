"""PicoQuant histograms: PHU, PHD, HHD and THD, every curve with its resolution.

In: a path. Out: one `histogram` over delay (ps) per curve; the vendor's fields stay with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.limits import declared
from matterscope.io.picoquant import sniff as is_tagging
from matterscope.io.picoquant_headers import (
    HYDRA_COMMON,
    MAX_HEADER,
    PICO_COMMON,
    TEXT_IDENTS,
    TIMEHARP6_COMMON,
    TIMEHARP_COMMON,
    Layout,
    fixed,
    ints,
    tagged_header,
)

if TYPE_CHECKING:
    import xarray as xr

MAX_CURVES = 8192

TIMEHARP_CURVE = Layout(
    (
        *ints("CurveIndex TimeOfRecording BoardSerial CFDZeroCross CFDDiscriminatorMin SyncLevel"),
        *ints("CurveOffset RoutingChannel SubMode MeasurementMode"),
        *((f"P{i}", "f") for i in (1, 2, 3)),
        *ints("RangeNo Offset AcquisitionTime StopAfter StopReason SyncRate CFDCountRate"),
        *ints("TDCCountRate IntegralCount"),
        ("Resolution", "f"),
        *ints("ExternalDevices Reserved"),
    )
)
PICO_CURVE = Layout(
    (
        *ints("CurveIndex TimeOfRecording"),
        ("HardwareIdent", "16s"),
        ("HardwareVersion", "8s"),
        *ints("HardwareSerial SyncDivider CFDZeroCross0 CFDLevel0 CFDZeroCross1 CFDLevel1"),
        *ints("Offset RoutingChannel ExternalDevices MeasurementMode SubMode"),
        *((f"P{i}", "f") for i in (1, 2, 3)),
        ("RangeNo", "i"),
        ("Resolution", "f"),
        *ints("Channels AcquisitionTime StopAfter StopReason InputRate0 InputRate1 HistCountRate"),
        ("IntegralCount", "q"),
        *ints("Reserved DataOffset RouterModelCode RouterEnabled InputType InputLevel InputEdge"),
        *ints("CFDPresent CFDLevel CFDZeroCross"),
    )
)
HYDRA_CURVE = Layout(
    (
        *ints("CurveIndex TimeOfRecording"),
        ("HardwareIdent", "16s"),
        ("HardwarePartNo", "8s"),
        *ints("HardwareSerial NumberOfModules"),
        *((f"ModuleInfo[{i}].{n}", "i") for i in range(10) for n in ("ModelCode", "VersionCode")),
        ("BaseResolution", "d"),
        ("InputsEnabled", "q"),
        *ints("InputChannelsPresent ReferenceClockSource ExternalDevices MarkerSettings"),
        *ints("SyncDivider SyncCFDLevel SyncCFDZeroCross SyncOffset"),
        *ints("InputModuleIndex InputCFDLevel InputCFDZeroCross InputOffset InputChannel"),
        *ints("MeasurementMode SubMode Binning"),
        ("Resolution", "d"),
        *ints("Offset AcquisitionTime StopAfter StopReason"),
        *((f"P{i}", "f") for i in (1, 2, 3)),
        *ints("SyncRate InputRate HistCountRate"),
        ("IntegralCount", "q"),
        *ints("HistogramBins DataOffset"),
    )
)


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file begins like a histogram file of PicoQuant."""
    if head.startswith(b"PQHISTO\0"):
        return True
    return head.startswith(TEXT_IDENTS) and not is_tagging(path, head)


def read(path: Path) -> list[xr.Dataset]:
    """Return every curve that holds counts, or the first where none does."""
    with path.open("rb") as handle:
        head = handle.read(MAX_HEADER)
    if head.startswith(b"PQHISTO\0"):
        vendor, curves = _phu(path, head)
    elif head.startswith(b"HydraHarp"):
        vendor, curves = _hydra(path, head)
    elif head.startswith(b"PicoHarp 300"):
        vendor, curves = _pico(path, head)
    else:
        vendor, curves = _timeharp(path, head)
    found = [_curve(path, c, vendor) for c in curves]
    filled = [m for m in found if float(m["counts"].sum()) > 0]
    return filled or found[:1]


Curve = dict[str, Any]


def _number(count: Any, path: Path) -> int:
    if not isinstance(count, int) or not 0 < count <= MAX_CURVES:
        raise ReadError(
            "impossible number of curves",
            where=f"{path}, header",
            got=count,
            expected=f"1 to {MAX_CURVES}",
        )
    return count


def _phu(path: Path, head: bytes) -> tuple[dict[str, Any], list[Curve]]:
    fields, _ = tagged_header(head, str(path))
    count = _number(fields.get("HistoResult_NumberOfCurves"), path)
    curves = []
    for i in range(count):
        names = ("DataOffset", "HistogramBins", "MDescResolution")
        offset, bins, step = (fields.get(f"HistResDscr_{n}[{i}]") for n in names)
        if not (isinstance(offset, int) and isinstance(bins, int) and isinstance(step, float)):
            raise ReadError("a curve is not described in the header", where=f"{path}, curve {i}")
        rate = fields.get(f"HistResDscr_SyncRate[{i}]")
        curves.append(
            {"offset": offset, "bins": bins, "step": step * 1e12, "index": i, "rate": rate}
        )
    return fields, curves


def _hydra(path: Path, head: bytes) -> tuple[dict[str, Any], list[Curve]]:
    fields, at = fixed(HYDRA_COMMON, head, 0, str(path))
    at += 16 * int(fields["InputChannelsPresent"])
    curves = []
    for _ in range(_number(fields["NumberOfCurves"], path)):
        c, at = fixed(HYDRA_CURVE, head, at, str(path))
        curves.append(_described(c, c["HistogramBins"], c["Resolution"], c["DataOffset"]))
    return fields, curves


def _pico(path: Path, head: bytes) -> tuple[dict[str, Any], list[Curve]]:
    fields, at = fixed(PICO_COMMON, head, 0, str(path))
    curves = []
    for _ in range(_number(fields["NumberOfCurves"], path)):
        c, at = fixed(PICO_CURVE, head, at, str(path))
        c["SyncRate"] = c["InputRate0"]
        curves.append(_described(c, c["Channels"], c["Resolution"] * 1000.0, c["DataOffset"]))
    return fields, curves


def _timeharp(path: Path, head: bytes) -> tuple[dict[str, Any], list[Curve]]:
    layout = TIMEHARP6_COMMON if head[16:18] == b"6." else TIMEHARP_COMMON
    fields, _ = fixed(layout, head, 0, str(path))
    count, bins = _number(fields["NumberOfCurves"], path), int(fields["NumberOfChannels"])
    if not 0 < bins <= 1 << 20:
        raise ReadError("impossible number of bins", where=f"{path}, header", got=bins)
    size = 4 * len(TIMEHARP_CURVE.fields) + 4 * bins
    # versions differ in the length of the board's fields: the curves end with the file
    at = path.stat().st_size - count * size
    curves = []
    for _ in range(count):
        c, start = fixed(TIMEHARP_CURVE, head, max(at, 0), str(path))
        curves.append(_described(c, bins, c["Resolution"] * 1000.0, start))
        at = start + 4 * bins
    return fields, curves


def _described(fields: dict[str, Any], bins: int, step: float, offset: int) -> Curve:
    return {
        "offset": int(offset),
        "bins": int(bins),
        "step": float(step),
        "index": int(fields["CurveIndex"]),
        "rate": fields.get("SyncRate"),
        "fields": fields,
    }


def _curve(path: Path, curve: Curve, vendor: dict[str, Any]) -> xr.Dataset:
    from matterscope.core.schema import measurement

    bins, offset, step = curve["bins"], curve["offset"], curve["step"]
    declared(4 * max(bins, 0), str(path), "a curve")
    size = path.stat().st_size
    if bins <= 0 or offset < 0 or offset + 4 * bins > size or not step > 0:
        raise ReadError(
            "a curve lies outside the file",
            where=f"{path}, curve {curve['index']}, offset {offset}",
            got=f"{bins} bins of {step:g} ps in {size} bytes",
            expected="all bins inside the file",
            hint="the file was cut or its header is damaged",
        )
    with path.open("rb") as handle:
        handle.seek(offset)
        counts = np.fromfile(handle, "<u4", bins).astype(np.int64)
    rate = curve.get("rate")
    name = f"curve {curve['index'] + 1}"
    return measurement(
        "histogram",
        {"delay": (np.arange(bins) * step, "ps")},
        {"counts": (("delay",), counts, "counts")},
        source={"reader": "picoquant-histogram", "selector": name},
        vendor=vendor | {"curve": curve.get("fields", {})},
        label=name,
        sync_period_ps=1e12 / rate if isinstance(rate, int) and rate > 0 else 0.0,
        bin_width_ps=step,
        warnings=[],
    )
