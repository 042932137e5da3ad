"""matterscope's own HDF5: one group per measurement, any kind, with provenance and vendor metadata.

In: a file with the attribute ``matterscope`` = 1. Out: the measurements that were written, equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.files import canonical_json
from matterscope.io.limits import plain_dataset, regular_file

MAGIC = b"\x89HDF\r\n\x1a\n"
VERSION = 1


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is an HDF5 file of ours."""
    if not head.startswith(MAGIC):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "matterscope" in file.attrs
    except OSError:
        return False


def read(path: Path) -> list[xr.Dataset]:
    """Return the measurements of the file, in the order in which they were written."""
    with h5py.File(path, "r") as file:
        names = _names(file, path)
        return [_read_group(file, name, path) for name in names]


@contextmanager
def opened(path: Path, apart: str) -> Iterator[list[tuple[xr.Dataset, h5py.Dataset]]]:
    """Yield the measurements of a file without their variable `apart`, and that one as it lies on disk.

    The file stays open meanwhile: of a stack of any length one frame is read when it is indexed.
    """
    with h5py.File(regular_file(path), "r") as file:
        names = [n for n in _names(file, path) if apart in file[n].get("variables", {})]
        yield [
            (
                _read_group(file, name, path, apart),
                plain_dataset(file, f"{name}/variables/{apart}", str(path), whole=False),
            )
            for name in names
        ]


def _names(file: h5py.File, path: Path) -> list[str]:
    version = int(file.attrs["matterscope"])
    if version > VERSION:
        raise ReadError(
            "this file was written by a newer matterscope",
            where=str(path),
            got=version,
            expected=f"at most {VERSION}",
        )
    return sorted(file, key=lambda n: (len(n), n))


def _read_group(file: h5py.File, name: str, path: Path, apart: str = "") -> xr.Dataset:
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Group):
        raise ReadError(f"'{name}' is not a measurement", where=str(path), expected="a group")
    group = file[name]
    parts: dict[str, dict[str, Any]] = {"coords": {}, "variables": {}}
    for role, found in parts.items():
        for variable in group.get(role, {}):
            if variable == apart:
                continue
            node = plain_dataset(group, f"{role}/{variable}", f"{path}:{name}")
            attrs = json.loads(node.attrs["attrs"])
            values = node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
            found[variable] = (tuple(json.loads(node.attrs["dims"])), np.asarray(values), attrs)
    return xr.Dataset(
        parts["variables"], coords=parts["coords"], attrs=json.loads(group.attrs["attrs"])
    )


def write(measurements: xr.Dataset | list[xr.Dataset], path: Path) -> None:
    """Write measurements to a new file, aside first and renamed."""
    given = measurements if isinstance(measurements, list) else [measurements]
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w", track_order=True) as file:
            file.attrs["matterscope"] = VERSION
            for number, dataset in enumerate(given):
                _write_group(file.create_group(str(number), track_order=True), dataset)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_stack(
    template: xr.Dataset, name: str, length: int, entries: Iterable[NDArray[Any]], path: Path
) -> None:
    """Write a measurement whose variable `name` is too long for memory, one entry after the other.

    Parameters
    ----------
    template : Dataset
        The measurement with a single entry along the first dimension of `name`.
    name : str
        The long variable.
    length : int
        Number of entries.
    entries : iterable of arrays
        The entries, all of the template's shape and type.
    path : Path
        New file, written aside first and renamed; the same entries give the same bytes.
    """
    part = path.with_name(path.name + ".part")
    array = template[name]
    try:
        with h5py.File(part, "w", track_order=True) as file:
            file.attrs["matterscope"] = VERSION
            group = file.create_group("0", track_order=True)
            _write_group(group, template.drop_vars(name))
            node = group["variables"].create_dataset(
                name,
                (length, *array.shape[1:]),
                array.dtype,
                chunks=(1, *array.shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            node.attrs["dims"] = json.dumps(list(array.dims))
            node.attrs["attrs"] = canonical_json(array.attrs)
            for index, entry in enumerate(entries):
                node[index] = entry
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_group(group: h5py.Group, dataset: xr.Dataset) -> None:
    group.attrs["attrs"] = canonical_json(dataset.attrs)
    for role, members in (("coords", dataset.coords), ("variables", dataset.data_vars)):
        home = group.create_group(role, track_order=True)
        for name, array in members.items():
            values = np.asarray(array.values)
            text = values.dtype.kind in "UO"
            squeeze = (
                {} if values.ndim == 0 or text else {"compression": "gzip", "compression_opts": 4}
            )
            node = home.create_dataset(
                str(name),
                data=values.astype(object) if text else values,
                dtype=h5py.string_dtype() if text else None,
                **squeeze,
            )
            node.attrs["dims"] = json.dumps(list(array.dims))
            node.attrs["attrs"] = canonical_json(array.attrs)
