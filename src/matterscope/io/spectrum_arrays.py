"""Spectra and spectrum images as bare arrays: NPY, NPZ, HDF5 of any layout, HyperSpy's HDF5.

In: an array whose last axis is the energy, or an array beside a one-dimensional array of energies. Out: one
spectrum, (…, energy). Where nothing states the energies they are asked for, never guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from matterscope.core.errors import ReadError, UnitError
from matterscope.core.schema import measurement
from matterscope.core.units import conversion, parse_unit
from matterscope.io.energy_axis import stated_axis
from matterscope.io.limits import check_npz, declared, plain_dataset

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

NPY, ZIP, HDF5 = b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
AXES = ("energy", "energy_ev", "energy_loss", "eloss", "loss", "energies", "ev", "energy_axis")
"""Names, in small letters, of arrays of energies."""
MOST_NODES = 2000
"""Datasets of an HDF5 file that are looked at."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is an NPZ or HDF5 file with an axis of energies; NPY has none to know it by."""
    if head.startswith(ZIP):
        return path.suffix.lower() == ".npz" and any(n.encode() + b".npy" in head for n in AXES)
    if not head.startswith(HDF5):
        return False
    try:
        with h5py.File(path, "r") as file:
            if "matterscope" in file.attrs:
                return False
            return _signal_group(file) is not None or bool(_axes(_datasets(file)))
    except (OSError, RuntimeError, KeyError):
        return False


def read(path: Path, energy: str = "", **options: Any) -> list[xr.Dataset]:
    """Read the spectrum or spectrum image of an array file.

    Parameters
    ----------
    path : path
        ``.npy``, ``.npz``, ``.h5``, ``.hdf5``, ``.hf5`` or ``.hspy``.
    energy : str
        ``START:STEP`` in eV for arrays without an axis.

    Returns
    -------
    list of one Dataset
        Kind "spectrum"; axes before the energy are (z,) y, x in pixels.

    Raises
    ------
    ReadError
        No energies, no array that fits them, or an axis that is not understood.
    """
    with path.open("rb") as handle:
        head = handle.read(8)
    if head.startswith(NPY):
        values = _plain(path)
        return [_spectrum(values, _given(energy, values.shape[-1], path), path, "", {})]
    if head.startswith(ZIP):
        return [_pair(_archive(path), energy, path)]
    with h5py.File(path, "r") as file:
        group = _signal_group(file)
        if group is not None:
            return [_hyperspy(file, group, energy, path)]
        return [_pair(_datasets(file), energy, path)]


def _plain(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError as error:
        raise ReadError(f"the array cannot be read: {error}", where=str(path)) from None
    declared(int(values.nbytes), str(path), "the array")
    return np.asarray(values)


def _archive(path: Path) -> dict[str, NDArray[Any]]:
    check_npz(path)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the numeric datasets of a file by path; links are left alone."""
    found: dict[str, h5py.Dataset] = {}
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    while waiting and len(found) < MOST_NODES:
        prefix, group = waiting.pop(0)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            if isinstance(node, h5py.Group):
                waiting.append((f"{prefix}{name}/", node))
            elif node.dtype.kind in "uif" and node.ndim and node.size > 1:
                found[f"{prefix}{name}"] = node
    return found


def _axes(arrays: Any) -> list[str]:
    return [n for n, a in arrays.items() if n.rsplit("/", 1)[-1].lower() in AXES and a.ndim == 1]


def _pair(arrays: Any, energy: str, path: Path) -> xr.Dataset:
    """Return the largest array that has an axis as long as the energies."""
    axes = _axes(arrays)
    if energy:
        others = {n: a for n, a in arrays.items() if n not in axes}
        if not others:
            raise ReadError("the file holds no array of numbers", where=str(path))
        name = max(others, key=lambda n: others[n].size)
        values = _load(others[name], name, path)
        return _spectrum(values, _given(energy, values.shape[-1], path), path, name, {})
    if not axes:
        raise _no_axis(path, ", ".join(f"{n} {a.shape}" for n, a in list(arrays.items())[:6]))
    axis = np.asarray(_load(arrays[axes[0]], axes[0], path), float) * _factor(arrays[axes[0]])
    fitting = {n: a for n, a in arrays.items() if n not in axes and axis.size in a.shape}
    if not fitting:
        raise ReadError(
            "no array has an axis as long as the energies",
            where=str(path),
            got=f"{axes[0]}: {axis.size}",
            expected=f"one axis of length {axis.size}",
        )
    name = max(fitting, key=lambda n: fitting[n].size)
    values = _load(fitting[name], name, path)
    places = [i for i, n in enumerate(values.shape) if n == axis.size]
    return _spectrum(np.moveaxis(values, places[-1], -1), axis, path, name, {})


def _load(node: Any, name: str, path: Path) -> NDArray[Any]:
    if isinstance(node, h5py.Dataset):
        node = plain_dataset(node.file, node.name, f"{path}:{name}")
    declared(int(node.size) * int(node.dtype.itemsize), f"{path}:{name}", "the array")
    return np.asarray(node[()])


def _factor(node: Any) -> float:
    units = getattr(node, "attrs", {}).get("units", "eV")
    text = units.decode("utf-8", "replace") if isinstance(units, bytes) else str(units)
    try:
        return conversion(parse_unit(text or "eV"), "eV")
    except UnitError:
        raise ReadError("the energies have a unit that is none", got=text, expected="eV") from None


def _given(energy: str, size: int, path: Path) -> NDArray[np.float64]:
    if not energy:
        raise _no_axis(path, f"{size} values along the last axis")
    return stated_axis(energy, size)


def _no_axis(path: Path, got: str) -> ReadError:
    return ReadError(
        "these values have no energy axis, and none is guessed",
        where=str(path),
        got=got,
        expected=f"an array called {' or '.join(AXES[:3])}",
        hint="give it with --energy START:STEP, e.g. 8330:0.4 (eV); the energy is the last axis",
    )


def _signal_group(file: h5py.File) -> str | None:
    """Return the first experiment of a HyperSpy file."""
    if not isinstance(file.get("Experiments", getlink=True), h5py.HardLink):
        return None
    for name, group in file["Experiments"].items():
        if isinstance(group, h5py.Group) and "data" in group and "axis-0" in group:
            return f"Experiments/{name}"
    return None


def _hyperspy(file: h5py.File, group: str, energy: str, path: Path) -> xr.Dataset:
    node = file[group]
    values = _load(node["data"], f"{group}/data", path)
    axes = [dict(node[f"axis-{i}"].attrs) for i in range(values.ndim)]
    last = next((i for i in range(values.ndim - 1, -1, -1) if not axes[i].get("navigate", True)), values.ndim - 1)  # fmt: skip
    if energy:
        axis: NDArray[np.float64] = _given(energy, values.shape[last], path)
    else:
        units = str(axes[last].get("units", ""))
        try:
            factor = conversion(parse_unit(units), "eV")
        except UnitError:
            raise _no_axis(path, f"units {units!r} of the signal axis") from None
        size = np.arange(values.shape[last])
        offset, scale = (float(axes[last].get(n, d)) for n, d in (("offset", 0.0), ("scale", 1.0)))
        axis = np.asarray(factor * (offset + scale * size))
    described = node.get("metadata/Signal")
    kind = str(described.attrs.get("signal_type", "")) if described is not None else ""
    known = {"signal": kind.replace("EELS", "ELS")} if kind else {}
    return _spectrum(np.moveaxis(values, last, -1), axis, path, group.rsplit("/", 1)[-1], known)


def _spectrum(
    values: NDArray[Any], energy: NDArray[np.float64], path: Path, name: str, known: dict[str, Any]
) -> xr.Dataset:
    if values.dtype.kind not in "uif" or not 1 <= values.ndim <= 4:
        raise ReadError(
            "a spectrum is an array of numbers with one to four axes",
            where=str(path),
            got=f"{values.dtype} {values.shape}",
        )
    if energy.size > 1 and energy[0] > energy[-1]:
        energy, values = energy[::-1], values[..., ::-1]
    if energy.size < 2 or np.any(np.diff(energy) <= 0):
        raise ReadError(
            "the energies do not increase", where=str(path), expected="a monotonic axis"
        )
    dims = ("z", "y", "x")[-(values.ndim - 1) :] if values.ndim > 1 else ()
    coords = {d: (np.arange(n, dtype=float), "px") for d, n in zip(dims, values.shape, strict=False)}  # fmt: skip
    unit = "counts" if values.dtype.kind in "ui" else "1"
    return measurement(
        "spectrum",
        {**coords, "energy": (energy, "eV")},
        {"mu": ((*dims, "energy"), values, unit)},
        label=name or path.stem,
        source={"selector": name},
        warnings=[],
        **known,
    )
