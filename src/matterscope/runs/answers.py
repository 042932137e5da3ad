"""Stored answers as text: numbers, intervals and quantities in the form that people read.

In: entries of ``estimates.json``. Out: short text, the same in the terminal and in the report.
A number shows two digits of its uncertainty, and five where it has none.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from matterscope.core.quantities import QUANTITIES
from matterscope.runs import records


def number(value: Any, uncertainty: float | None = None) -> str:
    """Return a number as people write it; with an uncertainty, rounded to two digits of it.

    Examples
    --------
    >>> number(0.00440123), number("Cu"), number(None), number(369980.4)
    ('0.0044012', 'Cu', '—', '369980')
    >>> number(1.95312, 0.0123), number(-8985.31, 12.0), number(1.573e12, 7e11)
    ('1.953', '−8985', '1.57×10¹²')
    """
    if value is None:
        return "—"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) and uncertainty is None and abs(value) < 10**10:
        return str(value).replace("-", "−")
    exponent = math.floor(math.log10(abs(value))) if value else 0
    # an uncertainty far below double precision would print noise
    known = (
        uncertainty is not None
        and 0 < uncertainty < math.inf
        and (not value or uncertainty > 1e-9 * abs(value))
    )
    if -4 <= exponent < 6:
        if known and uncertainty is not None:
            return f"{value:.{_decimals(uncertainty)}f}".replace("-", "−")
        text = f"{value:.0f}" if exponent == 5 else f"{value:.5g}"
        return text.replace("-", "−", 1)
    scaled = value / 10.0**exponent
    digits = _decimals(uncertainty / 10.0**exponent) if known and uncertainty is not None else 4
    mantissa = (
        f"{scaled:.{digits}f}".rstrip("0").rstrip(".") if not known else f"{scaled:.{digits}f}"
    )
    return f"{mantissa}×10{superscript(exponent)}".replace("-", "−")


def _decimals(uncertainty: float) -> int:
    return min(max(0, 1 - math.floor(math.log10(uncertainty))), 8)


def superscript(exponent: int) -> str:
    """Return an integer in superscript digits.

    Examples
    --------
    >>> superscript(-12)
    '⁻¹²'
    """
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def subject(entry: dict[str, Any]) -> str:
    """Return what an answer is about in a few words: the part of the file, the file, or the verb.

    Examples
    --------
    >>> subject({"input": {"source": "/data/scan.prj", "selector": "foil"}, "capability": "spectra infer"})
    'foil · scan.prj'
    """
    file = entry["input"]["source"].replace("\\", "/").rsplit("/", 1)[-1]
    part = entry["input"]["selector"]
    return f"{part} · {file}" if part and file else part or file or str(entry["capability"])


def half_width(entry: dict[str, Any]) -> float | None:
    """Return the uncertainty that decides how many digits are shown.

    σ, half of an interval, or the spread of probabilities over numbers.
    """
    if entry.get("sigma"):
        return float(entry["sigma"])
    for band in entry.get("intervals", []):
        if band["low"] is not None and band["high"] is not None and band["high"] > band["low"]:
            return float(band["high"] - band["low"]) / 2
        ends = [e for e in (band["low"], band["high"]) if e is not None]
        if (
            len(ends) == 1
            and isinstance(entry["value"], (int, float))
            and ends[0] != entry["value"]
        ):
            return abs(float(ends[0] - entry["value"]))
    return _spread(entry)


def _spread(entry: dict[str, Any]) -> float | None:
    """Return the standard deviation of probabilities over numbers about a mean between them."""
    value = entry["value"]
    if not isinstance(value, float) or value.is_integer():
        return None
    try:
        terms = [(float(v), float(p or 0)) for v, p in entry.get("probabilities", {}).items()]
    except ValueError:
        return None
    return math.sqrt(sum(p * (v - value) ** 2 for v, p in terms)) or None


def quantity_text(entry: dict[str, Any]) -> str:
    """Return a quantity with its 90 % interval in one line.

    Examples
    --------
    >>> quantity_text({"value": 1.953, "units": "Å", "intervals": [{"level": 0.9, "low": 1.9, "high": 2.0}]})
    '1.953 Å (90 %: 1.900 … 2.000)'
    """
    units = "" if entry["units"] == "1" else f" {entry['units']}"
    text = number(entry["value"], half_width(entry)) + (units if entry["value"] is not None else "")
    band = next((i for i in entry.get("intervals", []) if abs(i["level"] - 0.9) < 1e-9), None)
    if band:
        text += f" (90 %: {interval_text(band, half_width(entry))})"
    elif _key(entry["value"]) in entry.get("probabilities", {}):
        text += f" (p = {number(entry['probabilities'][_key(entry['value'])], 0.01)})"
    return text


def interval_text(band: dict[str, Any], uncertainty: float | None = None) -> str:
    """Return an interval as text; one-sided ones with ≤ or ≥."""
    if band["low"] is None and band["high"] is None:
        return "unbounded"
    if band["low"] is None:
        return f"≤ {number(band['high'], uncertainty)}"
    if band["high"] is None:
        return f"≥ {number(band['low'], uncertainty)}"
    return f"{number(band['low'], uncertainty)} … {number(band['high'], uncertainty)}"


def _key(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def headings(entries: list[dict[str, Any]], most: int) -> list[str]:
    """Return the quantities that a table of several answers shows: those that most answers hold come first.

    Among equals the order is that of the table of quantities, which names the main ones of a thing before its details.

    Examples
    --------
    >>> none, found = {"value": None}, {"value": 1.0}
    >>> headings([{"quantities": {"charge": none, "shift": found}}], 1)
    ['shift']
    """
    answered: dict[str, int] = {}
    for entry in entries:
        for name, quantity in entry["quantities"].items():
            answered[name] = answered.get(name, 0) + (quantity["value"] is not None)
    place = {name: k for k, name in enumerate(QUANTITIES)}
    return sorted(answered, key=lambda n: (-answered[n], place.get(n, len(place))))[:most]


def table_view(folder: Path, name: str, stored: dict[str, Any], most: int) -> dict[str, Any]:
    """Return heading with units, the first `most` rows as text, and the number of rows of a stored table."""
    with records.inside(folder, stored["path"]).open(newline="") as handle:
        rows = [row for row, _ in zip(csv.reader(handle), range(most + 1), strict=False)]
    head = (
        [
            f"{c} / {stored['columns'][c]}"
            if stored["columns"].get(c) not in {"", "1", None}
            else c
            for c in rows[0]
        ]
        if rows
        else []
    )
    return {
        "name": name.replace("_", " "),
        "head": head,
        "rows": [[_cell(c) for c in row] for row in rows[1:]],
        "count": stored["rows"],
        "path": stored["path"],
    }


def _cell(text: str) -> str:
    try:
        return number(float(text)) if "." in text or "e" in text else text
    except ValueError:
        return text
