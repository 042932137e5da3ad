"""NeXus detectors: the geometry and the bad pixels that stand beside the frames of a beamline's file.

In: an open HDF5 file and the path of its frames. Out: wavelength, distance and pixel size as far as the
file tells them, and its own mask. Links that lead to other files are not followed.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError, UnitError
from matterscope.core.units import HC, convert
from matterscope.io.limits import plain_dataset

WAVELENGTHS = ("incident_wavelength", "wavelength")
ENERGIES = ("incident_energy", "energy", "photon_energy")
DISTANCES = ("detector_distance", "distance")
MASKS = ("pixel_mask", "detectorSpecific/pixel_mask", "mask")


def geometry(file: h5py.File, dataset: str) -> dict[str, Any]:
    """Return wavelength (nm), distance (m) and pixel (y, x in m) of the entry that holds `dataset`."""
    entry = file[dataset.split("/", maxsplit=1)[0]] if "/" in dataset else file
    if not isinstance(entry, h5py.Group):
        return {}
    found: dict[str, Any] = {}
    detectors, beams = _groups(entry, dataset)
    wavelength = _first(beams, WAVELENGTHS, "nm")
    if wavelength is None and (energy := _first(beams, ENERGIES, "eV")) is not None:
        wavelength = HC / energy
    if wavelength is not None:
        found["wavelength"] = wavelength
    if (distance := _first(detectors, DISTANCES, "m")) is not None:
        found["distance"] = abs(distance)
    sides = [_first(detectors, (f"{a}_pixel_size",), "m") for a in "yx"]
    if None not in sides:
        found["pixel"] = tuple(sides)
    return {k: v for k, v in found.items() if np.all(np.asarray(v) > 0)}


def pixel_mask(file: h5py.File, dataset: str, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return where the file's own mask calls pixels good (0), or None where it has none of this shape."""
    entry = file[dataset.split("/", maxsplit=1)[0]] if "/" in dataset else file
    if not isinstance(entry, h5py.Group):
        return None
    for group in _groups(entry, dataset)[0]:
        for name in MASKS:
            if not isinstance(_plain(group, name), h5py.Dataset):
                continue
            values = np.asarray(plain_dataset(group, name, str(file.filename))[()])
            if values.shape == shape and values.dtype.kind in "uib":
                return np.asarray(values == 0, dtype=np.bool_)
    return None


def _groups(entry: h5py.Group, dataset: str) -> tuple[list[h5py.Group], list[h5py.Group]]:
    """Return the groups that may describe the detector, and those that may describe the beam."""
    home = dataset.rsplit("/", 1)[0] if "/" in dataset else ""
    detectors = [entry.file[home]] if home else []
    beams = []
    for name in ("instrument", "instrument_1", "sample"):
        node = _plain(entry, name)
        if not isinstance(node, h5py.Group):
            continue
        beams.append(node)
        for child in node:
            part = _plain(node, child)
            if not isinstance(part, h5py.Group):
                continue
            kind = str(part.attrs.get("NX_class", b""))
            if "NXdetector" in kind or child.startswith("detector"):
                detectors.append(part)
            if any(k in kind for k in ("NXbeam", "NXmonochromator", "NXsource")) or child in {
                "beam",
                "monochromator",
                "source_1",
                "beam_1",
            }:
                beams.append(part)
    return detectors, [*beams, *detectors]


def _plain(group: h5py.Group, name: str) -> Any:
    """Return a member that lies in this very file, or None."""
    node: Any = group
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            return None
        link = node.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return None
        node = node[part]
    return node


def _first(groups: list[h5py.Group], names: tuple[str, ...], unit: str) -> float | None:
    """Return the first scalar of one of these names, in `unit`; without units it is not believed."""
    for group in groups:
        for name in names:
            node = _plain(group, name)
            if not isinstance(node, h5py.Dataset) or node.size != 1 or node.dtype.kind not in "uif":
                continue
            units = node.attrs.get("units", "")
            units = units.decode() if isinstance(units, bytes) else str(units)
            try:
                return float(
                    convert(np.asarray(node[()]).ravel()[0], SHORT.get(units, units), unit)
                )
            except (UnitError, ReadError):
                continue
    return None


SHORT = {"angstrom": "Å", "Angstrom": "Å", "A": "Å", "metre": "m", "meter": "m", "um": "µm"}
