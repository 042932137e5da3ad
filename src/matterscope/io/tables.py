"""Tables: CSV in any dialect, XLSX, JSON and Parquet, brought to a declared column schema.

In: a path and the columns a domain asks for. Out: a DataFrame with those names, numbers and units;
what had to be assumed (separator, decimal comma, encoding) stands in ``frame.attrs["assumed"]``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matterscope.core.errors import ReadError, SchemaError, require
from matterscope.core.units import UNITS
from matterscope.io.limits import MAX_TEXT_BYTES, declared, regular_file

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "n/a", "na()", "nan", "none", "null", "-", "--", "?", "#n/a"})
"""Words that mean "no value"; compared in lower case. "Na" is sodium and not among them."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
MAX_ROWS = 20_000_000


@dataclass(frozen=True)
class Column:
    """One column of a schema.

    Parameters
    ----------
    name : str
        Name in the resulting frame.
    units : str
        Units of its numbers.
    kind : "float", "int" or "text"
        What its cells are.
    required : bool
        Whether a table without it is refused.
    aliases : tuple of str
        Other headings that mean the same; blanks, case, brackets and dashes do not count.
    definition : str
        One sentence.
    """

    name: str
    units: str = "1"
    kind: Literal["float", "int", "text"] = "float"
    required: bool = False
    aliases: tuple[str, ...] = ()
    definition: str = ""


def key(heading: str) -> str:
    """Return a heading without case, units in brackets, blanks and punctuation, for comparing.

    Examples
    --------
    >>> key("Delta_H (A-rich)") == key("delta h  (A_rich)")
    True
    """
    bare = re.sub(r"[\[(]([^\[\]()]*)[\])]", _without_units, heading)
    if "/" in bare:  # the signs stay: they tell the levels (+1/0) and (−1/0) apart
        return re.sub(r"[^\w+/-]|_", "", bare).lower()
    return re.sub(r"[^\w]|_", "", bare).lower()


def _without_units(found: re.Match[str]) -> str:
    inside = found.group(1).strip()
    return "" if inside in UNITS or inside in ("Ang.", "A") else found.group()


def read_table(
    path: Path | str,
    columns: Sequence[Column] = (),
    *,
    header: bool | None = None,
    names: Sequence[str] = (),
    keep: bool = True,
    sheet: str = "",
) -> pd.DataFrame:
    """Read a table and bring it to a schema.

    Parameters
    ----------
    path : path
        ``.csv .tsv .txt .dat .json .xlsx .parquet``; the content decides between text formats.
    columns : sequence of Column
        Columns asked for; empty: everything as it stands, numbers where all cells are numbers.
    header : bool, optional
        Whether the first row names the columns; None looks at it.
    names : sequence of str
        Names for a table without header.
    keep : bool
        Keep columns that the schema does not name, unchanged.
    sheet : str
        Sheet of a workbook, by name or number from 1; empty: the first.

    Returns
    -------
    DataFrame
        ``attrs``: ``units`` of each schema column, ``assumed`` (sentences), ``lines`` is the column
        ``line`` only in error messages: row i of the frame is line ``attrs["first_line"] + i``.

    Raises
    ------
    ReadError, SchemaError
    """
    path = Path(path)
    regular_file(path)
    frame = _load(path, header, names, sheet)
    frame.attrs["path"] = str(path)
    return conform(frame, columns, keep=keep) if columns else _guess_numbers(frame)


@dataclass(frozen=True)
class Cells:
    """A table as text, before anything is said about its columns.

    Parameters
    ----------
    rows : list of list of str
        Cells, a heading row included; rows may differ in length.
    first_line : int
        Line of the file on which ``rows[0]`` stands.
    assumed : tuple of str
        What had to be assumed, in sentences.
    decimal : str
        ``"."`` or ``","``.
    comment : str
        The last line of comment above the rows: where no row names the columns it may.
    """

    rows: list[list[str]]
    first_line: int = 1
    assumed: tuple[str, ...] = ()
    decimal: str = "."
    comment: str = ""


def read_cells(path: Path | str) -> Cells:
    """Return the cells of a table as stripped text with decimal points, whatever its format.

    For tables whose headings a domain must judge first: alloys may name species in the headings, or
    have no heading at all.

    Raises
    ------
    ReadError
    """
    path = Path(path)
    regular_file(path)
    with path.open("rb") as handle:
        head = handle.read(4)
    if head == b"PAR1":
        return cells_of_frame(_parquet(path))
    if head == b"PK\x03\x04":
        return Cells(_xlsx(path), assumed=("first sheet of a workbook",))
    _bounded_text(path)
    text, assumed = _decode(path)
    if text.lstrip()[:1] in ("[", "{"):
        return cells_of_frame(_records(text, path))
    cells = _split(text, str(path), assumed)
    rows = [[c.strip() for c in row] for row in cells.rows]
    if cells.decimal == ",":
        rows = [[c.replace(",", ".") if _NUMBER.match(c) else c for c in row] for row in rows]
    return Cells(rows, cells.first_line, cells.assumed, comment=cells.comment)


def cells_of_frame(frame: pd.DataFrame) -> Cells:
    """Return a frame as cells, its column names first."""
    body = frame.astype(object).where(frame.notna(), "").astype(str).to_numpy().tolist()
    return Cells([[str(c) for c in frame.columns], *body], 0, tuple(frame.attrs.get("assumed", ())))


def conform(frame: pd.DataFrame, columns: Sequence[Column], *, keep: bool = True) -> pd.DataFrame:
    """Return `frame` with the names, kinds and units of a schema.

    Raises
    ------
    SchemaError
        For a missing required column (the nearest heading is named) or a cell that is no number.
    """
    import pandas as pd

    where = str(frame.attrs.get("path", ""))
    found = {key(str(c)): c for c in reversed(list(frame.columns))}
    result: dict[str, Any] = {}
    taken = set()
    for column in columns:
        heading = next(
            (found[k] for k in map(key, (column.name, *column.aliases)) if k in found), None
        )
        if heading is None:
            if column.required:
                raise _no_column(column, [str(c) for c in frame.columns], where)
            continue
        taken.add(heading)
        result[column.name] = _convert(frame[heading], column, frame.attrs)
    if keep:
        result |= {
            str(c): frame[c] for c in frame.columns if c not in taken and str(c) not in result
        }
    out = pd.DataFrame(result)
    out.attrs = dict(frame.attrs) | {
        "units": {c.name: c.units for c in columns if c.name in result}
    }
    return out


def _no_column(column: Column, headings: list[str], where: str) -> SchemaError:
    close = get_close_matches(column.name, headings, n=1, cutoff=0.4)
    return SchemaError(
        f"the table has no column '{column.name}'"
        + (f" ({column.definition})" if column.definition else ""),
        where=where,
        got=", ".join(headings[:12]) + (" …" if len(headings) > 12 else ""),
        expected=" or ".join(repr(n) for n in (column.name, *column.aliases[:3])),
        hint=f"rename '{close[0]}'" if close else "name the column in the first row",
    )


def _convert(cells: pd.Series, column: Column, attrs: dict[str, Any]) -> pd.Series:
    import pandas as pd

    if column.kind == "text":
        text = cells.astype(object).where(cells.notna(), "")
        return text.map(lambda c: str(c).strip())
    if cells.dtype.kind in "iuf":
        numbers = cells.astype(float)
    else:
        words = cells.map(lambda c: str(c).strip() if c is not None else "")
        blank = words.str.lower().isin(MISSING)
        words = words.str.replace("−", "-", regex=False)
        if column.kind == "int":
            words = words.str.replace(r"^(\d+)([+-])$", r"\2\1", regex=True)  # charges as 2+
        if attrs.get("decimal") == ",":
            words = words.str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(words.where(~blank), errors="coerce").astype(float)
        bad = (numbers.isna() & ~blank).to_numpy().nonzero()[0]
        if bad.size:
            raise _no_number(int(bad[0]), column.name, str(cells.iloc[int(bad[0])]), attrs)
    if column.kind == "int":
        odd = (numbers.notna() & (numbers != numbers.round())).to_numpy().nonzero()[0]
        if odd.size:
            raise _no_number(
                int(odd[0]), column.name, str(cells.iloc[int(odd[0])]), attrs, "a whole number"
            )
    return numbers


def _no_number(
    row: int, name: str, got: str, attrs: dict[str, Any], expected: str = "a number"
) -> SchemaError:
    line = int(attrs.get("first_line", 1)) + row
    return SchemaError(
        f"column '{name}' has a cell that cannot be used",
        where=f"{attrs.get('path', 'table')}, line {line}",
        got=repr(got),
        expected=expected,
        hint="leave the cell empty if the value is missing",
    )


def _guess_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame.copy()
    for name in out.columns:
        try:
            out[name] = _convert(out[name], Column(str(name)), frame.attrs)
        except SchemaError:
            out[name] = out[name].map(lambda c: "" if c is None else str(c).strip())
    out.attrs = dict(frame.attrs)
    return out


# ---------------------------------------------------------------- formats
def _load(path: Path, header: bool | None, names: Sequence[str], sheet: str = "") -> pd.DataFrame:
    with path.open("rb") as handle:
        head = handle.read(8)
    if head[:4] == b"PAR1":
        return _parquet(path)
    if head[:4] == b"PK\x03\x04":
        rows = _xlsx(path, sheet)
        return _frame(rows, path, header, names, ["first sheet of a workbook"], first=1)
    _bounded_text(path)
    text, assumed = _decode(path)
    if text.lstrip()[:1] in ("[", "{"):
        return _records(text, path)
    return _text(text, path, header, names, assumed)


def _bounded_text(path: Path) -> None:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError(
            "the table is too large for text",
            where=str(path),
            expected=f"at most {MAX_TEXT_BYTES:,} bytes",
            hint="convert it to Parquet",
        )


def _decode(path: Path) -> tuple[str, list[str]]:
    raw = path.read_bytes()
    if b"\x00" in raw[:4096] and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise ReadError(
            "this is not a text table",
            where=str(path),
            got="bytes that are no text",
            expected="CSV, JSON, XLSX or Parquet",
        )
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace"), ["UTF-16 text"]
    try:
        assumed = ["a byte-order mark was dropped"] if raw[:3] == b"\xef\xbb\xbf" else []
        return raw.decode("utf-8-sig"), assumed
    except UnicodeDecodeError:
        return raw.decode("latin-1"), ["Latin-1 text"]


def _text(
    text: str, path: Path, header: bool | None, names: Sequence[str], assumed: list[str]
) -> pd.DataFrame:
    cells = _split(text, str(path), assumed)
    frame = _frame(cells.rows, path, header, names, assumed, first=cells.first_line)
    frame.attrs["decimal"] = cells.decimal
    return frame


def _split(text: str, where: str, assumed: list[str]) -> Cells:
    lines = text.splitlines()
    skipped = 0
    while skipped < len(lines) and (
        not lines[skipped].strip() or lines[skipped].lstrip()[0] in "#%"
    ):
        skipped += 1
    body = [line for line in lines[skipped:] if line.strip()]
    if not body:
        raise ReadError("the table has no rows", where=where)
    mark, word = _separator(body)
    if mark != ",":
        assumed.append(f"columns are separated by {word}")
    if mark == " ":
        rows = [line.split() for line in body]
    else:
        try:
            rows = [row for row in csv.reader(io.StringIO("\n".join(body)), delimiter=mark) if row]
        except csv.Error as error:
            raise ReadError(f"the table cannot be split into cells: {error}", where=where) from None
    comma = mark != "," and _decimal_comma(rows)
    if comma:
        assumed.append("numbers have a decimal comma")
    above = [line.lstrip("#% \t") for line in lines[:skipped] if line.strip()]
    comment = above[-1] if above else ""
    return Cells(rows, skipped + 1, tuple(assumed), "," if comma else ".", comment)


def _separator(lines: list[str]) -> tuple[str, str]:
    """Return the mark that splits the first lines into the most, equally many, cells."""
    sample = lines[:50]
    best, score = (",", "commas"), 0.0
    for mark, word in ((",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        counts = [len(row) for row in csv.reader(sample, delimiter=mark)]
        same = sum(c == counts[0] for c in counts) / len(counts)
        value = (counts[0] - 1) * same
        if value > score or (mark == ";" and value and value >= score):
            best, score = (mark, word), value
    if not score:
        widths = {len(line.split()) for line in sample}
        if len(widths) == 1 and widths != {1}:
            return " ", "blanks"
    return best


def _decimal_comma(rows: list[list[str]]) -> bool:
    cells = [c.strip() for row in rows[:200] for c in row]
    commas = sum("," in c and bool(_NUMBER.match(c)) for c in cells)
    points = sum("." in c and bool(_NUMBER.match(c)) for c in cells)
    return commas > 0 and points == 0


def _frame(
    rows: list[list[str]], path: Path, header: bool | None, names: Sequence[str],
    assumed: list[str], first: int,
) -> pd.DataFrame:  # fmt: skip
    import pandas as pd

    width = max(len(row) for row in rows)
    declared(width * len(rows) * 8, str(path), "the table")
    if header is None:
        header = not names and not any(_NUMBER.match(c.strip()) for c in rows[0])
        if not header and not names:
            assumed.append("no header: columns are called 0, 1, 2 …")
    headings = (
        _headings(rows[0], width) if header else list(names) or [str(i) for i in range(width)]
    )
    body = rows[1:] if header else rows
    if len(headings) < width:
        headings += [f"column {i}" for i in range(len(headings), width)]
    for index, row in enumerate(body):
        if len(row) > len(headings) or (len(row) < len(headings) - 1 and len(row) < width):
            row.extend([""] * (len(headings) - len(row)))
        body[index] = (row + [""] * (len(headings) - len(row)))[: len(headings)]
    frame = pd.DataFrame(body, columns=headings, dtype=object)
    frame.attrs = {"assumed": assumed, "first_line": first + int(header), "decimal": "."}
    return frame


def _headings(row: list[str], width: int) -> list[str]:
    result: list[str] = []
    for index in range(width):
        name = row[index].strip() if index < len(row) else ""
        name = name or f"column {index}"
        result.append(name if name not in result else f"{name} [{index}]")
    return result


def _records(text: str, path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReadError(f"this is not valid JSON: {error}", where=str(path)) from None
    if isinstance(data, dict):
        data = data.get("rows", data.get("data", data))
    plain = isinstance(data, list) and all(isinstance(r, dict) for r in data)
    if isinstance(data, dict) and all(isinstance(v, list) for v in data.values()):
        lengths = {len(v) for v in data.values()}
        plain = len(lengths) == 1
    if not plain or not data:
        raise ReadError(
            "the JSON holds no table",
            where=str(path),
            expected="a list of objects with the same keys, or an object of equal lists",
        )
    frame = pd.DataFrame(data)
    frame.attrs = {"assumed": ["JSON records"], "first_line": 1, "decimal": "."}
    return frame


def _xlsx(path: Path, name: str = "") -> list[list[str]]:
    require("openpyxl", "reading an XLSX table")
    require("defusedxml", "reading an XLSX table safely")
    import openpyxl

    declared(path.stat().st_size * 20, str(path), "the workbook")
    try:
        # by its content: a workbook may have any name
        with path.open("rb") as handle:
            data = io.BytesIO(handle.read())
        book = openpyxl.load_workbook(data, read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # noqa: BLE001 - whatever a foreign decoder raises, the file is to blame
        raise ReadError(
            f"this archive is no workbook: {type(error).__name__}",
            where=str(path),
            expected="XLSX, CSV, JSON or Parquet",
        ) from None
    try:
        sheet = _sheet(book, name, path)
        rows = [
            ["" if c is None else str(c) for c in row] for row in sheet.iter_rows(values_only=True)
        ]
    finally:
        book.close()
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise ReadError("the first sheet is empty", where=str(path))
    return rows


def _sheet(book: Any, name: str, path: Path) -> Any:
    """Return the sheet called `name`, or the one with that number from 1, or the first."""
    sheets = list(book.worksheets)
    chosen = [s for s in sheets if s.title == name] if name else sheets[:1]
    if not chosen and name.isdigit() and 1 <= int(name) <= len(sheets):
        chosen = [sheets[int(name) - 1]]
    if not chosen:
        raise ReadError(
            f"the workbook has no sheet '{name}'",
            where=str(path),
            expected=", ".join(repr(s.title) for s in sheets[:12]),
        )
    return chosen[0]


def _parquet(path: Path) -> pd.DataFrame:
    require("pyarrow", "reading a Parquet table")
    import pyarrow.parquet as pq

    meta = pq.ParquetFile(path).metadata
    declared(
        sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)),
        str(path),
        "the table",
    )
    frame = pq.read_table(path).to_pandas()
    frame.attrs = {"assumed": [], "first_line": 1, "decimal": "."}
    return frame
