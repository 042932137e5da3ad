"""Writing measurements: the format is chosen by name or by the extension of the path.

In: one or more measurements and a path. Out: the file, complete, or one error and no file.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from matterscope.core.errors import ConfigError
from matterscope.core.schema import check
from matterscope.io.formats import FORMATS

if TYPE_CHECKING:
    import xarray as xr


def write(
    measurements: xr.Dataset | list[xr.Dataset], path: Path | str, *, format: str = ""
) -> Path:
    """Write measurements atomically; return the path.

    Parameters
    ----------
    measurements : Dataset or list of Dataset
        Checked against the schema of their kind before anything is written.
    path : path
        Its folder must exist.
    format : str
        Name of a format that writes; empty: by the extension.
    """
    target = Path(path)
    given = measurements if isinstance(measurements, list) else [measurements]
    for dataset in given:
        check(dataset)
    kinds = {str(d.attrs["kind"]) for d in given}
    able = [f for f in FORMATS if f.writes and ("*" in f.kinds or kinds <= set(f.kinds))]
    chosen = [
        f for f in able if (f.name == format if format else target.suffix.lower() in f.extensions)
    ]
    if not chosen:
        raise ConfigError(
            "no format writes this",
            where=str(target),
            got=format or target.suffix or "no extension",
            expected=", ".join(f"{f.name} ({' '.join(f.extensions)})" for f in able),
        )
    if not target.parent.is_dir():
        raise ConfigError("the folder does not exist", where=str(target.parent))
    import_module(f"matterscope.io.{chosen[0].module}").write(measurements, target)
    return target
