"""Atomic files: written aside, synced, renamed; a reader sees all of it or nothing.

In: a path and bytes (or text, JSON, arrays). Out: the file, complete, or an error and no file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it appears only when the block ends without an error."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with atomic(path) as handle:
        handle.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as canonical JSON (sorted keys, no NaN), atomically."""
    write_text(path, canonical_json(value, indent=1) + "\n")


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write one array as ``.npy`` without pickling, atomically."""
    import numpy as np

    with atomic(path) as handle:
        np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Return JSON with sorted keys, shortest floats and plain numbers; NaN and inf become null.

    Examples
    --------
    >>> canonical_json({"b": float("nan"), "a": 1})
    '{"a":1,"b":null}'
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        plain(value),
        sort_keys=True,
        allow_nan=False,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
    )


def plain(value: Any) -> Any:
    """Return `value` with numpy scalars, arrays, tuples, paths and NaN turned into JSON's own types."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def sha256_of_folder(folder: Path) -> str:
    """Return one sha256 over the relative names and contents of all files of a folder.

    Hidden files are left out: editors and systems leave them behind.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file, read in blocks of 1 MB."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()
