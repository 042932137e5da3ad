"""Princeton Instruments SPE files, versions 2 and 3: spectra as frames over wavelength.

In: a .spe file. Out: one `emission` measurement per region of interest, (frame, wavelength) counts.
The header's own numbers and the XML footer stay apart as vendor metadata.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io.limits import declared

HEADER = 4100
MAGIC = 0x01234567
PIXELS_3 = {
    "MonochromeUnsigned16": "<u2",
    "MonochromeUnsigned32": "<u4",
    "MonochromeFloating32": "<f4",
}
PIXELS_2 = {0: "<f4", 1: "<i4", 2: "<i2", 3: "<u2", 5: "<f8", 6: "<u1", 8: "<u4"}


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is an SPE file: its version number stands at offset 1992."""
    if path.suffix.lower() != ".spe" or len(head) < 2000:
        return False
    return bool(1.0 <= struct.unpack_from("<f", head, 1992)[0] < 4.0)


def read(path: Path) -> list[xr.Dataset]:
    """Return the spectra of an SPE file; images of several rows are summed over rows."""
    data = path.read_bytes()
    if len(data) < HEADER:
        raise ReadError(
            "the file ends inside its header",
            where=f"{path}, offset {len(data)}",
            got=f"{len(data)} bytes",
            expected=f"at least {HEADER}",
        )
    version = struct.unpack_from("<f", data, 1992)[0]
    return _read_3(path, data) if version >= 3 else [_read_2(path, data, version)]


def _read_3(path: Path, data: bytes) -> list[xr.Dataset]:
    offset = struct.unpack_from("<Q", data, 678)[0]
    where = f"{path}, offset {offset}"
    if not HEADER <= offset < len(data):
        raise ReadError(
            "the XML footer lies beyond the end of the file",
            where=where,
            got=f"{len(data)} bytes",
            hint="the file was cut; copy it again",
        )
    text = data[offset:]
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ReadError("the XML footer defines entities", where=where)
    try:
        root = ET.fromstring(text)  # entities were refused above
    except ET.ParseError as error:
        raise ReadError(f"the XML footer is damaged: {error}", where=where) from None
    block = _find(root, "DataBlock", where)
    form = block.get("pixelFormat", "")
    if form not in PIXELS_3:
        raise ReadError("unknown pixel format", where=where, got=form, expected=", ".join(PIXELS_3))
    count, size = _integer(block, "count", where), _integer(block, "size", where)
    stride = _integer(block, "stride", where)
    declared(count * stride, where, "the frames")
    whole = min(count, (offset - HEADER) // stride) if stride > 0 else 0
    if whole < 1 or size > stride:
        raise ReadError("the file holds no whole frame", where=where, got=f"stride {stride} bytes")
    wavelength = _wavelengths(root, where)
    vendor = {"version": 3.0, "frames": count, "pixel_format": form, "exposure_s": _exposure(root)}
    found, start = [], 0
    regions = [b for b in block if _name(b) == "DataBlock" and b.get("type") == "Region"]
    for k, region in enumerate(regions):
        width, height = _integer(region, "width", where), _integer(region, "height", where)
        step = _integer(region, "size", where)
        frames = np.stack(
            [
                np.frombuffer(data, PIXELS_3[form], width * height, HEADER + i * stride + start)
                for i in range(whole)
            ]
        ).reshape(whole, height, width)
        start += step
        flags = [] if whole == count else [f"{whole} of {count} frames are in the file"]
        name = f"region {k + 1}" if len(regions) > 1 else ""
        found.append(_emission(frames, wavelength, name, vendor, flags, where))
    return found


def _read_2(path: Path, data: bytes, version: float) -> xr.Dataset:
    width, kind = struct.unpack_from("<H", data, 42)[0], struct.unpack_from("<h", data, 108)[0]
    height, count = struct.unpack_from("<H", data, 656)[0], struct.unpack_from("<i", data, 1446)[0]
    where = f"{path}, offset 108"
    if kind not in PIXELS_2:
        raise ReadError("unknown data type", where=where, got=kind, expected=sorted(PIXELS_2))
    dtype = np.dtype(PIXELS_2[kind])
    size = width * height * dtype.itemsize
    declared(size * count, where, "the frames")
    whole = min(count, (len(data) - HEADER) // size) if size > 0 else 0
    if whole < 1:
        raise ReadError(
            "the file holds no whole frame", where=where, got=f"{width} × {height} × {count}"
        )
    frames = np.frombuffer(data, dtype, whole * width * height, HEADER)
    # 6 coefficients of the calibration polynomial over the 1-based pixel number
    order = min(data[3101], 5)
    terms = struct.unpack_from("<6d", data, 3263)[: order + 1]
    wavelength = np.polynomial.polynomial.polyval(np.arange(1, width + 1), terms)
    vendor = {
        "version": round(float(version), 2),
        "frames": count,
        "exposure_s": struct.unpack_from("<f", data, 10)[0],
    }
    flags = [] if whole == count else [f"{whole} of {count} frames are in the file"]
    return _emission(frames.reshape(whole, height, width), wavelength, "", vendor, flags, where)


def _emission(
    frames: NDArray[Any],
    wavelength: NDArray[np.float64] | None,
    name: str,
    vendor: dict[str, Any],
    flags: list[str],
    where: str,
) -> xr.Dataset:
    counts = frames.astype(float).sum(axis=1)
    if wavelength is None or wavelength.size != counts.shape[1] or np.ptp(wavelength) == 0:
        raise ReadError(
            "the file has no wavelength calibration for its pixels",
            where=where,
            got=f"{counts.shape[1]} pixels",
            hint="calibrate the spectrometer, or export the spectrum as a table",
        )
    if frames.dtype.kind == "u":
        full = np.iinfo(frames.dtype).max
        vendor = vendor | {"saturated_pixels": int((frames >= full).sum())}
    order = np.argsort(wavelength, kind="stable")
    return measurement(
        "emission",
        {"frame": (np.arange(len(counts)), "frame"), "wavelength": (wavelength[order], "nm")},
        {"counts": (("frame", "wavelength"), counts[:, order], "counts")},
        source={"selector": name},
        vendor=vendor,
        flags=flags,
        label=name,
    )


def _name(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _find(root: ET.Element, name: str, where: str) -> ET.Element:
    for element in root.iter():
        if _name(element) == name:
            return element
    raise ReadError(f"the XML footer has no {name}", where=where)


def _integer(element: ET.Element, name: str, where: str) -> int:
    value = element.get(name, "")
    if not value.isdigit():
        raise ReadError(f"'{name}' in the XML footer is no number", where=where, got=repr(value))
    return int(value)


def _wavelengths(root: ET.Element, where: str) -> NDArray[np.float64] | None:
    for element in root.iter():
        if _name(element) == "Wavelength" and element.text and "," in element.text:
            try:
                return np.array([float(v) for v in element.text.split(",")])
            except ValueError:
                raise ReadError("the wavelengths are not numbers", where=where) from None
    return None


def _exposure(root: ET.Element) -> float | None:
    for element in root.iter():
        if _name(element) == "ExposureTime" and element.text:
            try:
                return float(element.text) / 1e3
            except ValueError:
                return None
    return None
