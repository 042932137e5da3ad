"""The record of a run on disk: estimates with their arrays, tables and pictures, and the digest.

In: estimates in memory. Out: files under one run directory, each written aside and renamed; entries
of ``estimates.json``; a sha256 that is the same for the same inputs, settings and seed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matterscope.core.errors import DataError
from matterscope.core.files import canonical_json, write_array, write_bytes, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from matterscope.core.estimates import Estimate

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def safe_name(name: str) -> str:
    """Return a name fit for a file."""
    return _UNSAFE.sub("-", name).strip("-.") or "unnamed"


def write_estimate(folder: Path, index: int, estimate: Estimate, run: str) -> dict[str, Any]:
    """Write what an estimate holds under `folder`; return its entry of ``estimates.json``."""
    for name in ("arrays", "tables", "figures"):
        (folder / name).mkdir(exist_ok=True)
    entry = estimate.as_json()
    entry["arrays"] = {
        name: _write_array(folder, f"arrays/{index}-{safe_name(name)}", array)
        for name, array in estimate.arrays.items()
    }
    entry["tables"] = {
        name: _write_table(folder, f"tables/{index}-{safe_name(name)}.csv", frame)
        for name, frame in estimate.tables.items()
    }
    entry["figures"] = []
    for picture in estimate.pictures:
        path = f"figures/{index}-{safe_name(picture.name)}.json"
        write_json(folder / path, picture.as_json())
        entry["figures"].append({"name": picture.name, "title": picture.title, "path": path})
    entry["run"], entry["index"] = run, index
    plain_entry: dict[str, Any] = json.loads(canonical_json(entry))
    return plain_entry


def move_estimate(
    source: Path, entry: dict[str, Any], target: Path, index: int, run: str
) -> dict[str, Any]:
    """Copy a stored estimate into another run under a new number; return its new entry."""
    old = f"{entry['index']}-"

    def moved(path: str) -> str:
        place, _, name = path.partition("/")
        goal = f"{place}/{index}-{name.removeprefix(old)}"
        (target / place).mkdir(exist_ok=True)
        write_bytes(target / goal, inside(source, path).read_bytes())
        return goal

    copied: dict[str, Any] = json.loads(json.dumps(entry))
    held = [*copied["arrays"].values(), *copied["tables"].values(), *copied["figures"]]
    held += [c for a in copied["arrays"].values() for c in a.get("coords", {}).values()]
    for item in held:
        item["path"] = moved(item["path"])
    copied["index"], copied["run"] = index, run
    return copied


def _write_array(folder: Path, stem: str, array: Any) -> dict[str, Any]:
    import numpy as np

    values = np.asarray(array.values)
    if values.dtype == object:
        raise DataError("an estimate's array must hold numbers or text of fixed length", got=stem)
    write_array(folder / f"{stem}.npy", values)
    entry: dict[str, Any] = {
        "path": f"{stem}.npy",
        "dims": list(array.dims),
        "units": array.attrs.get("units", "1"),
    }
    extra = {k: v for k, v in array.attrs.items() if k != "units"}
    if extra:
        entry["attrs"] = extra
    coords = {}
    for name, coord in array.coords.items():
        if coord.ndim == 1 and coord.dtype.kind in "ifubUM":
            path = f"{stem}.{safe_name(str(name))}.npy"
            write_array(folder / path, np.asarray(coord.values))
            coords[str(name)] = {
                "path": path,
                "dims": list(coord.dims),
                "units": coord.attrs.get("units", "1"),
            }
    if coords:
        entry["coords"] = coords
    return entry


def _write_table(folder: Path, path: str, frame: pd.DataFrame) -> dict[str, Any]:
    write_bytes(folder / path, frame.to_csv(index=False).encode())
    units = dict(frame.attrs.get("units") or {})
    return {
        "path": path,
        "columns": {str(c): units.get(c, "") for c in frame.columns},
        "rows": len(frame),
    }


def read_array(folder: Path, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return a stored array of an estimate's entry."""
    import numpy as np

    array: np.ndarray[Any, Any] = np.load(inside(folder, entry["path"]), allow_pickle=False)
    return array


def inside(folder: Path, relative: str) -> Path:
    """Return `folder / relative`, refusing a path that leaves the folder."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError("a record names a file outside of its run", where=str(folder), got=relative)
    return path


def digest(folder: Path, entries: list[dict[str, Any]]) -> str:
    """Return the sha256 of what was answered: estimates without run, source and timings, then arrays.

    Run id, file names, times and the host stay out of it, so that Python, the command line and a
    resumed run agree.
    """
    result = hashlib.sha256()
    for entry in entries:
        kept = {k: v for k, v in entry.items() if k not in {"run", "arrays", "tables", "figures"}}
        kept["input"] = {k: v for k, v in entry["input"].items() if k != "source"}
        kept["diagnostics"] = {k: v for k, v in entry["diagnostics"].items() if k != "timings"}
        kept["shapes"] = {
            n: {k: v for k, v in a.items() if k in {"dims", "units"}}
            for n, a in entry["arrays"].items()
        }
        result.update(canonical_json(kept).encode())
        for name in sorted(entry["arrays"]):
            result.update(name.encode())
            result.update(read_array(folder, entry["arrays"][name]).tobytes())
        for name in sorted(entry["tables"]):
            result.update(name.encode())
            result.update(inside(folder, entry["tables"][name]["path"]).read_bytes())
    return result.hexdigest()


def pack(value: Any) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """Split a unit's result into JSON data and arrays (``{"__array__": i}`` stands for the i-th)."""
    import numpy as np

    arrays: list[np.ndarray[Any, Any]] = []

    def walk(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            if node.dtype == object:
                raise TypeError(
                    "a unit of work returned an array of objects; return numbers or text"
                )
            arrays.append(node)
            return {"__array__": len(arrays) - 1}
        if isinstance(node, dict):
            return {str(k): walk(v) for k, v in node.items()}
        if isinstance(node, (list, tuple)):
            return [walk(v) for v in node]
        if isinstance(node, np.generic):
            return walk(np.asarray(node)) if node.dtype.kind == "c" else node.item()
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        raise TypeError(
            f"a unit of work must return JSON data and arrays, got {type(node).__name__}"
        )

    return walk(value), arrays


def unpack(tree: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Rebuild what `pack` split."""
    if isinstance(tree, dict):
        if set(tree) == {"__array__"}:
            return arrays[tree["__array__"]]
        return {k: unpack(v, arrays) for k, v in tree.items()}
    if isinstance(tree, list):
        return [unpack(v, arrays) for v in tree]
    return tree


def write_unit(path: Path, value: Any) -> None:
    """Checkpoint a unit's result: one ``.npz``, renamed into place, with its own checksum inside."""
    import io

    import numpy as np

    tree, arrays = pack(value)
    text = json.dumps(tree)
    buffer = io.BytesIO()
    stored: dict[str, Any] = {f"a{i}": a for i, a in enumerate(arrays)}
    np.savez(buffer, tree=np.frombuffer(text.encode(), dtype=np.uint8), **stored)
    data = buffer.getvalue()
    part = path.with_name(path.name + ".part")
    # no fsync: a kill loses nothing, and after a power cut the checksum drops a torn unit
    part.write_bytes(hashlib.sha256(data).digest() + data)
    part.replace(path)


def read_unit(path: Path) -> tuple[bool, Any]:
    """Return (True, result) of a checkpointed unit, or (False, None) if it is absent or torn."""
    import io

    import numpy as np

    if not path.exists():
        return False, None
    blob = path.read_bytes()
    if len(blob) < 32 or hashlib.sha256(blob[32:]).digest() != blob[:32]:
        return False, None
    with np.load(io.BytesIO(blob[32:]), allow_pickle=False) as stored:
        tree = json.loads(stored["tree"].tobytes().decode())
        arrays = [stored[f"a{i}"] for i in range(len(stored.files) - 1)]
    return True, unpack(tree, arrays)
