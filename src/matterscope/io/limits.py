"""What hostile or broken files may not do: size, memory and links, checked before decoding.

In: a path and declared sizes. Out: nothing, or a ReadError with the declared size and the limit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from matterscope.core.errors import ReadError

if TYPE_CHECKING:
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


def plain_dataset(group: h5py.Group, name: str, where: str) -> h5py.Dataset:
    """Return a dataset of an HDF5 group, refusing every way in which it could read another file."""
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
    declared(int(node.size) * int(node.dtype.itemsize), where, f"dataset '{name}'")
    return node
