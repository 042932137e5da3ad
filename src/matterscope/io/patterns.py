"""Detector frames: TIFF, CBF, EDF, HDF5/NeXus, NPY and NPZ, one frame at a time or as one measurement.

In: a file of frames. Out: `patterns` measurements, or a `Stack` that reads frame by frame.
Axes without geometry count pixels from the middle and say so (``calibrated`` = False).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io import cbf, edf, nexus_detector
from matterscope.io.detector_axes import as_patterns
from matterscope.io.limits import check_npz, declared, plain_dataset, regular_file

WANTS_KIND = True
HDF_MAGIC = b"\x89HDF\r\n\x1a\n"
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
NPY_MAGIC = b"\x93NUMPY"
USUAL = (
    "entry/data/data",
    "entry/instrument/detector/data",
    "exchange/data",
    "entry_1/data_1/data",
    "counts",
    "patterns",
    "data",
)
"""Where beamlines keep frames, asked in this order when no dataset is named."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this file may hold frames."""
    if head.startswith((NPY_MAGIC, *TIFF_MAGIC)):
        return True
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz":
        return True
    if not head.startswith(HDF_MAGIC):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "matterscope" not in file.attrs and bool(_frame_datasets(file))
    except OSError:
        # a cut HDF5 file is ours to complain about when its name says detector data
        return path.suffix.lower() in {".h5", ".hdf5", ".nxs", ".cxi"}


@dataclass(frozen=True)
class Stack:
    """Frames on disk, read one by one.

    Parameters
    ----------
    path : Path
        File.
    shape : (frames, ny, nx)
        Size of the stack; one frame has frames = 1.
    dataset : str
        Path inside the file, "" where there is only one.
    vendor : dict
        What the file says about itself.
    geometry : dict
        wavelength (nm), distance (m) and pixel (y, x in m), as far as the file tells them.
    """

    path: Path
    shape: tuple[int, int, int]
    dataset: str
    vendor: dict[str, Any]
    geometry: dict[str, Any] = field(default_factory=dict)

    def good_pixels(self) -> NDArray[np.bool_] | None:
        """Return the file's own mask of good pixels, shape (ny, nx), or None."""
        if _family(self.path) != "hdf5":
            return None
        with h5py.File(self.path, "r") as file:
            return nexus_detector.pixel_mask(file, self.dataset, self.shape[1:])

    def frames(self, first: int = 0, last: int | None = None, step: int = 1) -> Iterator[Any]:
        """Yield frames of shape (ny, nx) in their stored type; memory holds one at a time."""
        chosen = range(*slice(first, last, step).indices(self.shape[0]))
        suffix = _family(self.path)
        if suffix == "tiff":
            yield from self._tiff(chosen)
        elif suffix == "cbf":
            for _ in chosen:
                yield cbf.load(self.path)
        elif suffix == "edf":
            yield from self._edf(chosen)
        elif suffix == "hdf5":
            with h5py.File(self.path, "r") as file:
                node = plain_dataset(file, self.dataset, str(self.path), whole=False)
                for index in chosen:
                    yield self._guard(lambda i=index, n=node: n[i] if n.ndim == 3 else n[()], index)
        else:
            values = _array(self.path, self.dataset)
            for index in chosen:
                yield np.array(values[index] if values.ndim == 3 else values)

    def _edf(self, chosen: range) -> Iterator[Any]:
        found = edf.blocks(self.path)
        place = [(b, k) for b in found for k in range(b.shape[0])]
        for index in chosen:
            block, k = place[index]
            yield self._guard(lambda b=block, k=k: edf.load(self.path, b)[k], index)

    def _tiff(self, chosen: range) -> Iterator[Any]:
        with tifffile.TiffFile(self.path) as file:
            series = file.series[0]
            if len(series.shape) == 3 and len(series.pages) == series.shape[0]:
                for index in chosen:
                    page = series.pages[index]
                    yield self._guard(lambda p=page: p.asarray(), index)
            else:
                values = self._guard(series.asarray, 0).reshape(self.shape)
                for index in chosen:
                    yield values[index]

    def _guard(self, load: Any, index: int) -> NDArray[Any]:
        try:
            frame = np.asarray(load())
        except (OSError, ValueError, RuntimeError, tifffile.TiffFileError, IndexError) as error:
            raise ReadError(
                f"frame {index} cannot be read: {error}",
                where=f"{self.path}, frame {index}",
                expected=f"{self.shape[0]} frames of {self.shape[1]} × {self.shape[2]}",
                hint="the file is cut short or damaged; copy it again",
            ) from error
        if frame.shape[-2:] != self.shape[1:]:
            raise ReadError(
                "the frames have different shapes",
                where=f"{self.path}, frame {index}",
                got=frame.shape,
                expected=self.shape[1:],
            )
        return frame


def open_stack(path: Path | str, dataset: str = "") -> Stack:
    """Return the stack of frames in a file without reading them.

    Parameters
    ----------
    path : path
        TIFF, CBF, EDF, HDF5/NeXus, NPY or NPZ file.
    dataset : str
        Path inside an HDF5 file or name inside an NPZ; empty: the NeXus default or the only one.

    Raises
    ------
    ReadError
        With the available datasets where the choice is not clear.
    """
    path = regular_file(Path(path))
    family = _family(path)
    if family == "hdf5":
        return _open_hdf5(path, dataset)
    if family == "cbf":
        header, _ = cbf.read_header(path)
        shape = cbf.frame_shape(header, path)
        return Stack(path, (1, *shape), "", dict(header), cbf.geometry(header))
    if family == "edf":
        found = edf.blocks(path)
        first = found[0]
        _one_shape({b.shape[1:] for b in found}, path)
        frames = sum(b.shape[0] for b in found)
        told = edf.geometry(first.fields)
        return Stack(path, (frames, *first.shape[1:]), "", dict(first.fields), told)
    if family == "tiff":
        try:
            with tifffile.TiffFile(path) as file:
                series = file.series[0]
                _one_shape({s.shape for s in file.series}, path)
                size = series.shape
                vendor = {"pages": len(file.pages), "description": _description(file)}
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError, OSError) as error:
            raise ReadError(
                f"not a readable TIFF: {error}", where=str(path), hint="the file is cut or damaged"
            ) from error
        return Stack(path, _three(size, path), "", vendor)
    values = _array(path, dataset)
    return Stack(path, _three(values.shape, path), dataset, {"dtype": str(values.dtype)})


def _one_shape(shapes: set[tuple[int, ...]], path: Path) -> None:
    if len(shapes) > 1:
        raise ReadError("the frames have different shapes", where=str(path), got=sorted(shapes))


def _description(file: tifffile.TiffFile) -> str:
    page = file.pages[0]
    tag = page.tags.get("ImageDescription") if isinstance(page, tifffile.TiffPage) else None
    return str(tag.value)[:2000] if tag is not None else ""


def _family(path: Path) -> str:
    with path.open("rb") as handle:
        head = handle.read(4096)
    if head.startswith(HDF_MAGIC):
        return "hdf5"
    if head.startswith(TIFF_MAGIC):
        return "tiff"
    if head.startswith(cbf.MAGIC):
        return "cbf"
    if edf.sniff(path, head):
        return "edf"
    if head.startswith((NPY_MAGIC, b"PK\x03\x04")):
        return "numpy"
    raise ReadError(
        "not a file of detector frames",
        where=str(path),
        got=repr(head[:8]),
        expected="TIFF, CBF, EDF, HDF5/NeXus, NPY or NPZ",
    )


def _three(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    if len(shape) == 2:
        return 1, int(shape[0]), int(shape[1])
    if len(shape) == 3:
        return int(shape[0]), int(shape[1]), int(shape[2])
    raise ReadError(
        "frames must be two-dimensional, or a stack of them",
        where=str(path),
        got=f"shape {shape}",
        expected="(ny, nx) or (frames, ny, nx)",
    )


def _array(path: Path, dataset: str) -> NDArray[Any]:
    try:
        with path.open("rb") as handle:
            packed = handle.read(2) == b"PK"
        if not packed:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            check_npz(path)
            with np.load(path, allow_pickle=False) as archive:
                # a plain archive holds members that are no arrays
                names = [n for n in archive.files if np.ndim(archive[n]) in {2, 3}]
                chosen = dataset or next((n for n in ("counts", "patterns") if n in names), "")
                chosen = chosen or (names[0] if len(names) == 1 else "")
                if chosen not in names:
                    raise ReadError(
                        f"no array '{dataset}' of frames"
                        if dataset
                        else "several arrays could be the frames",
                        where=str(path),
                        expected=", ".join(names) or "an array of two or three dimensions",
                        hint="name it with --dataset",
                    )
                values = archive[chosen]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ReadError(
            f"not a readable array: {error}",
            where=str(path),
            hint="object arrays are refused; save plain numbers, and copy a cut file again",
        ) from error
    if values.dtype.kind not in "uifb":
        raise ReadError("frames must be real numbers", where=str(path), got=values.dtype)
    declared(int(values.nbytes) if not isinstance(values, np.memmap) else 0, str(path))
    return np.asarray(values) if not isinstance(values, np.memmap) else values


def _frame_datasets(file: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or node.ndim not in {2, 3}:
            return
        if min(node.shape[-2:]) >= 8 and node.dtype.kind in "uif":
            found.append(name)

    file.visititems(visit)
    return found


def _open_hdf5(path: Path, dataset: str) -> Stack:
    try:
        with h5py.File(path, "r") as file:
            available = _frame_datasets(file)
            chosen = dataset.strip("/") or _default(file, available)
            if chosen not in available:
                raise ReadError(
                    f"no dataset of frames '{dataset}'"
                    if dataset
                    else "several datasets could be the frames",
                    where=str(path),
                    expected=", ".join(available[:12]) or "a dataset of two or three dimensions",
                    hint="name it with --dataset",
                )
            plain = plain_dataset(file, chosen, str(path), whole=False).shape
            vendor = {str(k): str(v)[:500] for k, v in file[chosen].attrs.items()}
            told = nexus_detector.geometry(file, chosen)
            return Stack(path, _three(plain, path), chosen, vendor, told)
    except OSError as error:
        raise ReadError(
            f"not a readable HDF5 file: {error}", where=str(path), hint="the file is cut or damaged"
        ) from error


def _default(file: h5py.File, available: list[str]) -> str:
    """Return the NeXus default (``default`` → ``signal``), a usual path, or the only dataset."""
    group: Any = file
    for _ in range(4):
        name = group.attrs.get("default")
        name = name.decode() if isinstance(name, bytes) else name
        if not isinstance(name, str) or not isinstance(group.get(name), h5py.Group):
            break
        group = group[name]
    signal = group.attrs.get("signal")
    signal = signal.decode() if isinstance(signal, bytes) else signal
    if isinstance(signal, str):
        path = f"{group.name}/{signal}".strip("/")
        if path in available:
            return path
    usual = [name for name in USUAL if name in available]
    if usual:
        return usual[0]
    return available[0] if len(available) == 1 else ""


def read(path: Path, kind: str | None = None, dataset: str = "") -> list[xr.Dataset]:
    """Return all frames as one `patterns` measurement with axes in pixels from the middle.

    Parameters
    ----------
    path : Path
        File of frames.
    kind : str, optional
        Kind wanted; only ``patterns`` is made here.
    dataset : str
        Path inside the file.
    """
    if kind not in {None, "patterns"}:
        raise ReadError(f"this file of frames is no {kind}", where=str(path), expected="patterns")
    stack = open_stack(path, dataset)
    declared(int(np.prod(stack.shape)) * 8, str(path), "the whole stack")
    counts = np.stack([np.asarray(f, dtype=float) for f in stack.frames()])
    return [
        as_patterns(counts, selector=stack.dataset, vendor=stack.vendor, geometry=stack.geometry)
    ]
