"""Text with numbers in columns, whatever stands above them: rows, names, the header as written.

In: the text of a file. Out: a `Table`; an error names the line and the column. What the columns mean
is the business of `columns`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.limits import MAX_TEXT_BYTES

Floats = NDArray[np.float64]
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eEdD][+-]?\d+)?$")
MOST_WORDS = 3
"""Words of a column's name where names stand one a line."""
MOST_HEADER_ROWS = 20
"""Rows of numbers above a line of words that still belong to the header: regions, gains, offsets."""


@dataclass(frozen=True)
class Table:
    """Numbers with column names: what every dialect is reduced to."""

    names: list[str]
    values: Floats
    """Shape (rows, columns)."""
    header: list[str]
    first_line: int


def decoded(path: Path) -> str:
    """Return the text of a file in UTF-8 (with or without BOM), UTF-16 or Latin-1."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ReadError(
            "this text file is too large", where=str(path), expected=f"{MAX_TEXT_BYTES:,} bytes"
        )
    return text_of(path.read_bytes())


def text_of(raw: bytes) -> str:
    """Return bytes as text."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace").lstrip("\ufeff")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def is_number(token: str) -> bool:
    """Return whether a token is a number, also with a decimal comma or a D exponent."""
    return bool(_NUMBER.match(token))


def split_row(row: str, delimiter: str | None = None) -> list[str]:
    """Return the cells of a row; without a delimiter it is told from the row."""
    if delimiter is None:
        delimiter = next((d for d in (";", "\t") if d in row), None)
        if delimiter is None and "," in row and not _comma_decimals(row.split()):
            delimiter = ","
    return [t.strip() for t in row.strip().strip(delimiter).split(delimiter)]


def _comma_decimals(tokens: list[str]) -> bool:
    return len(tokens) > 1 and all(re.fullmatch(r"[+-]?\d*,?\d+(e[+-]?\d+)?", t) for t in tokens)


def parse(path: Path, text: str) -> Table:
    """Return the numbers of a text with their names; raise a ReadError with line and column."""
    rows: list[tuple[int, list[str]]] = []
    header: list[str] = []
    for number, row in enumerate(text.splitlines(), 1):
        body = row.strip()
        if not body:
            continue
        tokens = split_row(body)
        if body[0] in "#%!*/" or (not rows and not all(map(is_number, tokens))):
            if not rows:
                header.append(body)
            continue
        if not is_number(tokens[0]) and len(rows) <= MOST_HEADER_ROWS:
            # the rows above a line of words were regions or gains, not data
            header += [" ".join(t) for _, t in rows] + [body]
            rows = []
            continue
        rows.append((number, tokens))
    if not rows:
        raise ReadError(
            "no rows of numbers found",
            where=str(path),
            got=repr(text[:40]),
            hint="is this a table?",
        )
    if len(rows) == 1:
        raise ReadError(
            "only one row of numbers",
            where=f"{path}, line {rows[0][0]}",
            hint="the file is cut, or it is no table",
        )
    width = len(rows[0][1])
    values = np.empty((len(rows), width))
    for i, (number, tokens) in enumerate(rows):
        if len(tokens) != width:
            raise ReadError(
                "rows of different length",
                where=f"{path}, line {number}",
                got=f"{len(tokens)} columns",
                expected=width,
                hint="a cut line, or a comma both as separator and as decimal sign",
            )
        values[i] = [number_of(path, number, k, t) for k, t in enumerate(tokens, 1)]
    return Table(_names(header, width), values, header, rows[0][0])


def number_of(path: Path, line: int, column: int, token: str) -> float:
    """Return the finite number written as `token`, or raise a ReadError with line and column."""
    fixed = token.replace("D", "E").replace("d", "e")
    if fixed.count(",") == 1 and "." not in fixed:
        fixed = fixed.replace(",", ".")
    try:
        value = float(fixed)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ReadError(
            "this is not a finite number",
            where=f"{path}, line {line}, column {column}",
            got=repr(token),
            hint="remove the row, or write numbers as 1234.5",
        )
    return value


def _names(header: list[str], width: int) -> list[str]:
    """Return the names of the columns: a row of as many words, nearest to the data, or one name a line."""
    numbered = [
        m
        for row in header
        if (m := re.match(r"[#%!*/\s]*column\.?\s*(\d+)\s*[:=]\s*(.+)", row, re.I))
    ]
    if sorted({int(m[1]) for m in numbered}) == list(range(1, width + 1)):
        return [name for _, name in sorted((int(m[1]), m[2].strip()) for m in numbered)]
    nearest = _names_in(header[-1], width) if header else []
    if nearest:
        return nearest
    last = [row.lstrip("#%!*/ ").strip() for row in header[-width:]]
    short = all(len(n.split()) <= MOST_WORDS and not is_number(n) for n in last)
    if len(last) == width > 1 and short and any("energy" in n.lower() for n in last):
        return last
    found = next((n for row in reversed(header) if (n := _names_in(row, width))), None)
    return found or [f"col{k}" for k in range(1, width + 1)]


def _names_in(row: str, width: int) -> list[str]:
    """Return the `width` names that a header row holds, or nothing."""
    body = row.lstrip("#%!*/ ").strip()
    tokens = [t for t in split_row(body) if t] if body else []
    rule = all(set(t) <= set("-=_") for t in tokens)
    if len(tokens) == width and not rule and not all(map(is_number, tokens)):
        return [t.strip("\"'") for t in tokens]
    quoted = re.findall(r'"([^"]*)"', row)
    if len(quoted) == width:
        return quoted
    packed = re.match(r"cols:\s*\d*\s*(.*)", body)
    return packed[1].split() if packed and len(packed[1].split()) == width else []
