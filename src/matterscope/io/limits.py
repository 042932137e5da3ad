"""What hostile or broken files may not do: size, memory and links, checked before decoding.

In: a path and declared sizes. Out: nothing, or a ReadError with the declared size and the limit.
"""

from __future__ import annotations

import gzip
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from matterscope.core.errors import ReadError, require

if TYPE_CHECKING:
    import zipfile

    import h5py

DEFAULT_MAX_BYTES = 2_000_000_000
MAX_TEXT_BYTES = 200_000_000


def max_bytes() -> int:
    """Return the limit on decoded bytes (MATTERSCOPE_MAX_BYTES, else 2 GB)."""
    return int(float(os.environ.get("MATTERSCOPE_MAX_BYTES", DEFAULT_MAX_BYTES)))


def regular_file(path: Path) -> Path:
    """Return `path` if it is an existing regular file."""
    if str(path).startswith(("http:", "https:", "ftp:")):
        raise ReadError("this is an address, not a file", where=str(path), hint="download it first")
    if not path.exists():
        raise ReadError("no such file", where=str(path), hint="check the path")
    if not path.is_file():
        raise ReadError(
            "not a regular file",
            where=str(path),
            expected="a file",
            hint="give the file, not its folder",
        )
    if path.stat().st_size == 0:
        raise ReadError("the file is empty", where=str(path), got="0 bytes")
    return path


def declared(count: int, where: str, what: str = "decoded data") -> None:
    """Raise unless `count` declared bytes stay under the limit; call it before decoding."""
    limit = max_bytes()
    if count < 0 or count > limit:
        raise ReadError(
            f"{what} would take {count:,} bytes",
            where=where,
            expected=f"at most {limit:,}",
            hint="raise the limit with --max-bytes if you trust the file",
        )


def unpacked_text(path: Path) -> str:
    """Return the text of a file, unpacked if it is gzip; the unpacked size is limited."""
    regular_file(path)
    if path.suffix.lower() != ".gz":
        declared(path.stat().st_size, str(path), "the text")
        return path.read_text(encoding="utf-8", errors="replace")
    parts, total = [], 0
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                total += len(block)
                declared(total, str(path), "the unpacked text")
                parts.append(block)
    except (OSError, EOFError) as error:
        raise ReadError(f"the gzip file is damaged: {error}", where=str(path)) from None
    return b"".join(parts).decode("utf-8", "replace")


def plain_dataset(group: h5py.Group, name: str, where: str, *, whole: bool = True) -> h5py.Dataset:
    """Return a dataset of an HDF5 group, refusing every way in which it could read another file.

    Its size is held against the limit: the `whole`, or one entry of its first axis if it is read so.
    """
    import h5py

    node: h5py.Group = group
    parts = [p for p in name.split("/") if p]
    for part in parts:
        link = node.get(part, getlink=True)
        if link is None:
            raise ReadError(f"the file has no '{name}'", where=where)
        if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
            raise ReadError(
                f"'{part}' is a link",
                where=where,
                got=type(link).__name__,
                hint="copy the data into the file",
            )
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise ReadError(f"'{name}' is a group, not a dataset", where=where)
    if node.is_virtual or node.external:
        raise ReadError(
            f"'{name}' keeps its data in another file",
            where=where,
            hint="copy the data into the file",
        )
    entries = 1 if whole or node.ndim < 3 else max(node.shape[0], 1)
    declared(int(node.size) * int(node.dtype.itemsize) // entries, where, f"dataset '{name}'")
    _unpackable(node, where)
    return node


def _unpackable(node: h5py.Dataset, where: str) -> None:
    """Raise unless every compression of a dataset can be undone; detectors use ones that HDF5 lacks."""
    import h5py

    plist = node.id.get_create_plist()
    filters = [plist.get_filter(k) for k in range(plist.get_nfilters())]
    missing = [f for f in filters if not h5py.h5z.filter_avail(f[0])]
    if not missing:
        return
    name = missing[0][3].decode("latin-1").partition(";")[0].strip() or "a filter"
    require("hdf5plugin", f"{where}: a dataset compressed by {name}")
    import_module("hdf5plugin")  # it registers its filters
    if not all(h5py.h5z.filter_avail(f[0]) for f in missing):
        raise ReadError(
            "a dataset is compressed in a way that is not known",
            where=where,
            got=f"filter {missing[0][0]} ({name})",
            hint="write it without compression or with gzip, e.g. by h5repack",
        )


def check_npz(path: Path) -> None:
    """Raise ReadError when an array of an ``.npz`` declares more than the limit or than it holds.

    ``np.load`` allocates what the header of a member declares before it reads the member: a file of a
    few kilobytes can ask for terabytes. Call this before it.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_member(
                    archive, member.filename, member.file_size, f"{path}:{member.filename}"
                )
    # RuntimeError: a member is encrypted, or packed in a way that the library does not know
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError) as error:
        raise ReadError(
            f"the archive is damaged or closed: {error}",
            where=str(path),
            hint="copy the file again",
        ) from error


def _check_member(archive: zipfile.ZipFile, name: str, size: int, where: str) -> None:
    import math

    from numpy.lib import format as npy

    declared(size, where, "an array of the archive")
    if not name.endswith(".npy"):
        return
    with archive.open(name) as handle:
        version = npy.read_magic(handle)
        if version not in ((1, 0), (2, 0)):
            raise ReadError("unknown version of an array file", where=where, got=version)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(handle)
    if dtype.hasobject:
        raise ReadError("the array holds Python objects", where=where, hint="save numbers only")
    needed = math.prod(shape) * dtype.itemsize
    declared(needed, where, "an array of the archive")
    if needed > size:
        raise ReadError(
            "an array is shorter than its header says", where=where, got=f"{size:,} bytes",
            expected=f"{needed:,}",
        )  # fmt: skip
