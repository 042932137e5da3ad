"""Scans as control programs write them: SPEC files with many scans, FIO files of DESY with one.

In: a file with ``#S`` scans and ``#L`` names, or with the sections %c, %p, %d. Out: one spectrum for each
energy scan with an absorption; scans of motors are curves, and are left out where spectra are wanted.
Format: SPEC's standard data file (Certified Scientific Software); FIO as HASYLAB's Online writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.io.columns import curve, roles_of, spectrum
from matterscope.io.limits import declared
from matterscope.io.text_columns import Table, decoded, number_of

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True
SCAN = re.compile(r"^#S[ \t]+(\d+)[ \t]*(.*)$", re.MULTILINE)
COLUMN = re.compile(r"^\s*Col\s+\d+\s+(\S+)")
FEWEST_ROWS = 3
"""A scan of fewer points was stopped at its start."""


@dataclass(frozen=True)
class Scan:
    """One scan: its number in the file as a selector, the command, its columns."""

    number: str
    command: str
    table: Table


def sniff(path: Path, head: bytes) -> bool:
    """Return whether this is a SPEC file or a FIO file."""
    if b"\0" in head:
        return False
    scans = re.search(rb"^#S[ \t]+\d+", head, re.MULTILINE)
    if head.startswith(b"#F ") and (scans or re.search(rb"^#[EDO]", head, re.MULTILINE)):
        return True
    if scans and re.search(rb"^#[NLD] ?", head, re.MULTILINE):
        return True
    return path.suffix.lower() == ".fio" and bool(re.search(rb"^\s*%[cpd]\s*$", head, re.MULTILINE))


def read(
    path: Path, *, kind: str | None = None, columns: str = "", swap: bool = False, **_: object
) -> list[xr.Dataset]:
    """Read every scan of a file that was not stopped at its start.

    Parameters
    ----------
    path : path
        SPEC or FIO text.
    kind : str, optional
        "spectrum" leaves scans without energy and absorption out and says which; by default they are curves.
    columns : str
        ``energy=1,i0=3,it=4``: roles to 1-based columns or to names, for all scans.
    swap : bool
        Exchange I0 and It.

    Raises
    ------
    ReadError
        With line and column; also where no scan holds what is wanted.
    """
    declared(path.stat().st_size, str(path), "this text")
    text = decoded(path)
    scans = _spec(path, text) if SCAN.search(text) else _fio(path, text)
    found: list[xr.Dataset] = []
    left: list[str] = []
    refused: ReadError | None = None
    for scan in scans:
        label = f"{scan.number} {scan.command}".strip()
        try:
            found.append(_measurement(path, scan, label, kind, columns, swap))
        except ReadError as error:
            left, refused = [*left, scan.number], refused or error
    if not found and refused is not None:
        raise refused
    if not found:
        raise ReadError("no scan of this file was measured", where=str(path))
    if left:
        message = f"Scans without an absorption over energy were left out: {', '.join(left)}."
        for dataset in found:
            given = dataset.attrs.get("warnings") or []
            dataset.attrs["warnings"] = [*given, {"code": "scans_left_out", "message": message}]
    return found


def _measurement(
    path: Path, scan: Scan, label: str, kind: str | None, columns: str, swap: bool
) -> xr.Dataset:
    table = scan.table
    roles = roles_of(path, table, columns)
    energies = "energy" in roles or "angle" in roles
    if kind == "curve" or (kind is None and not energies):
        dataset = curve(path, table)
        dataset.attrs |= {"label": label, "source": {"selector": scan.number}}
        return dataset
    return spectrum(
        path, table.names, table.values, roles, header=table.header, swap=swap,
        label=label, source={"selector": scan.number},
    )  # fmt: skip


def _spec(path: Path, text: str) -> list[Scan]:
    scans: list[Scan] = []
    seen: dict[str, int] = {}
    marks = list(SCAN.finditer(text))
    ends = [m.start() for m in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        first = text.count("\n", 0, mark.start()) + 1
        seen[mark[1]] = seen.get(mark[1], 0) + 1
        again = f".{seen[mark[1]]}" if seen[mark[1]] > 1 else ""
        table = _rows(path, text[mark.start() : end].splitlines(), first)
        if table is not None:
            scans.append(Scan(mark[1] + again, " ".join(mark[2].split()), table))
    return scans


def _rows(path: Path, lines: list[str], first: int) -> Table | None:
    """Return the columns of one SPEC scan; arrays of a spectrum analyser (@) are passed over."""
    named = ""
    header: list[str] = []
    values: list[list[float]] = []
    continued = False
    for number, line in enumerate(lines, first):
        array = continued or line.startswith("@")
        continued = array and line.rstrip().endswith("\\")
        if array or not line.strip():
            continue
        if line.startswith("#"):
            header.append(line)
            named = line[2:].strip() if line.startswith("#L") else named
        else:
            values.append(_row(path, number, line, len(values[0]) if values else 0))
    if len(values) < FEWEST_ROWS:
        return None
    width = len(values[0])
    # two blanks stand between names, one may stand inside a name; some programs write one everywhere
    ways = (re.split(r"\s{2,}|\t", named), named.split())
    names = next((w for w in ways if len(w) == width), [f"col{k}" for k in range(1, width + 1)])
    return Table(names, np.array(values), header, first)


def _row(path: Path, number: int, line: str, width: int) -> list[float]:
    """Return the numbers of a row, which must be `width` where that is not 0."""
    tokens = line.split()
    if width and len(tokens) != width:
        raise ReadError(
            "a row of this scan has another number of columns",
            where=f"{path}, line {number}",
            got=len(tokens),
            expected=width,
            hint="the file is cut or damaged there",
        )
    return [number_of(path, number, k, t) for k, t in enumerate(tokens, 1)]


def _fio(path: Path, text: str) -> list[Scan]:
    head, mark, body = text.partition("%d")
    if not mark:
        raise ReadError(
            "this FIO file has no data section",
            where=str(path),
            expected="%d",
            hint="the file is cut",
        )
    first = head.count("\n") + 1
    names: list[str] = []
    values: list[list[float]] = []
    for number, line in enumerate(body.splitlines(), first):
        found = COLUMN.match(line)
        if found:
            names.append(found[1])
        elif line.strip() and not line.startswith("!"):
            values.append(_row(path, number, line, len(names)))
    if len(values) < FEWEST_ROWS:
        return []
    # DESY puts the name of the file before each name of a column
    stem = path.stem.upper() + "_"
    names = [n[len(stem) :] if n.upper().startswith(stem) else n for n in names]
    header = [row for row in head.splitlines() if row.strip() and not row.startswith("!")]
    return [Scan("1", "", Table(names, np.array(values), header, first))]
