"""The way of a file: regular → size → format → decode → schema → selector.

In: a path, the kind wanted, a selector (``FILE:SELECTOR``). Out: checked measurements.
Any exception of a foreign decoder becomes a ReadError that names the file and the reader.
"""

from __future__ import annotations

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matterscope.core.errors import DataError, MatterscopeError, ReadError
from matterscope.core.files import sha256_of
from matterscope.io.formats import FORMATS, Format
from matterscope.io.limits import regular_file

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.core.calls import Input

HEAD_BYTES = 4096
FOREIGN = {
    ".ttbin": ("Swabian's own time-tag format", "export it with their FileReader as NPZ or CSV"),
    ".wdf": ("Renishaw's WiRE format", "save the spectrum as text in WiRE"),
    ".sif": ("Andor's own image format", "export it as ASCII in Solis"),
    ".l6s": ("LabSpec's own format", "save the spectrum as text in LabSpec"),
    ".opj": ("an Origin project", "export the columns as text"),
    ".xlsx": ("a workbook", "save the sheet as CSV"),
    ".ser": ("an FEI/TIA series", "save it as DM3 or EMSA"),
    ".emd": ("an EMD file", "save the spectrum as DM4, EMSA or HyperSpy's .hspy"),
    ".mccd": ("a MarCCD frame", "convert it to TIFF or CBF"),
    ".png": ("a picture, colours and not counts", "export the numbers as TIFF, CSV or NPY"),
    ".jpg": ("a picture, colours and not counts", "export the numbers as TIFF, CSV or NPY"),
}
"""Formats that people hold and that are not read here → what they are, what to do."""


def sniff(path: Path, kind: str | None = None) -> Format:
    """Return the format of a file, by its content first and its name second."""
    regular_file(path)
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    wanted = [f for f in FORMATS if kind is None or kind in f.kinds or "*" in f.kinds]
    # formats that make the wanted kind are asked first, the others only to say what the file is
    for entry in [*wanted, *(f for f in FORMATS if f not in wanted)]:
        if _claims(entry, path, head):
            return entry
    if path.suffix.lower() in FOREIGN:
        maker, remedy = FOREIGN[path.suffix.lower()]
        raise ReadError(f"this is {maker}, which is not read", where=str(path), hint=remedy)
    suits = [f for f in FORMATS if kind is None or kind in f.kinds]
    raise ReadError(
        "the format of this file is not known",
        where=str(path),
        got=repr(head[:16]),
        expected="one of " + ", ".join(f.name for f in suits or FORMATS),
        hint="docs/formats.md lists what is read",
    )


def kinds_claimed(path: Path) -> list[str]:
    """Return the kinds of measurement that a file could be read as, the likeliest first."""
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    kinds = (k for f in FORMATS if f.kinds != ("*",) and _claims(f, path, head) for k in f.kinds)
    return list(dict.fromkeys(kinds))


def _claims(entry: Format, path: Path, head: bytes) -> bool:
    try:
        return bool(import_module(f"matterscope.io.{entry.module}").sniff(path, head))
    except (MatterscopeError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise ReadError(
            f"this looks like {entry.name} and is damaged: {type(error).__name__}: {error}",
            where=str(path),
            hint="copy the file again from its source",
        ) from error


def read(
    path: Path | str, *, kind: str | None = None, selector: str = "", **options: Any
) -> list[xr.Dataset]:
    """Read every measurement of a file.

    Parameters
    ----------
    path : path
        An existing regular file.
    kind : str, optional
        Kind wanted (a key of `core.schema.KINDS`); others in the file are refused.
    selector : str
        Picks one measurement by name, or by its 1-based number.
    **options
        Passed to the reader (``energy="8330:0.4"``, ``columns=…``).

    Raises
    ------
    ReadError, SchemaError, UnitError
    """
    from matterscope.core.schema import check

    path = Path(path)
    entry = sniff(path, kind)
    digest = sha256_of(path)
    found = _decode(path, entry, kind, options)
    for dataset in found:
        source = {"uri": str(path), "sha256": digest, "reader": entry.name, "selector": ""}
        dataset.attrs["source"] = source | {
            k: v for k, v in (dataset.attrs.get("source") or {}).items() if v
        }
        check(dataset)
    if selector:
        found = _select(found, selector, path)
    if kind is not None:
        for dataset in found:
            check(dataset, kind)
    return found


def _decode(
    path: Path, entry: Format, kind: str | None, options: dict[str, Any]
) -> list[xr.Dataset]:
    module = import_module(f"matterscope.io.{entry.module}")
    given = {"kind": kind, **options} if getattr(module, "WANTS_KIND", False) else options
    takes = signature(module.read).parameters
    open_ended = any(p.kind is Parameter.VAR_KEYWORD for p in takes.values())
    if not open_ended and (strange := [name for name in given if name not in takes]):
        raise ReadError(
            f"a file of the format {entry.name} takes no {', '.join('--' + n for n in strange)}",
            where=str(path),
            hint="leave it out: this format says so itself",
        )
    try:
        found: list[xr.Dataset] = module.read(path, **given)
    except MatterscopeError as error:
        if error.where:
            raise
        # a reader that builds a measurement does not repeat the path in every message
        raise type(error)(
            error.what, where=str(path), got=error.got, expected=error.expected, hint=error.hint
        ) from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise ReadError(
            f"the {entry.name} reader could not decode this file: {type(error).__name__}: {error}",
            where=str(path),
            hint="the file is damaged, or of another format than it seems",
        ) from error
    if not found:
        raise ReadError(f"the {entry.name} reader found nothing in this file", where=str(path))
    return found


def _select(found: list[xr.Dataset], selector: str, path: Path) -> list[xr.Dataset]:
    names = [str(d.attrs["source"].get("selector") or d.attrs.get("label") or "") for d in found]
    chosen = [d for d, name in zip(found, names, strict=True) if name == selector]
    if not chosen and selector.isdigit() and 1 <= int(selector) <= len(found):
        chosen = [found[int(selector) - 1]]
    if not chosen:
        shown = ", ".join(repr(n) for n in names[:12]) + (" …" if len(names) > 12 else "")
        raise DataError(
            f"nothing in this file is called '{selector}'",
            where=str(path),
            expected=shown or "a number",
            hint="FILE:1 picks the first",
        )
    return chosen


def measurements(given: Input, kind: str, **options: Any) -> list[xr.Dataset]:
    """Return the measurements of a verb's input: read from its file, or already in memory."""
    from matterscope.core.schema import check

    if given.data is not None:
        data = given.data if isinstance(given.data, list) else [given.data]
        return [check(d, kind) for d in data]
    if given.path is None:
        raise ReadError("this input has neither a file nor data", where=given.source)
    return read(given.path, kind=kind, selector=given.selector, **options)
