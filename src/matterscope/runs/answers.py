"""Stored answers as text: numbers, intervals and quantities in the form that people read.

In: entries of ``estimates.json``. Out: short text, the same in the terminal and in the report.
"""

from __future__ import annotations

from typing import Any


def number(value: Any) -> str:
    """Return a number as people write it: five significant digits, no trailing noise.

    Examples
    --------
    >>> number(0.00440123), number(1234567.0), number("Cu"), number(None)
    ('0.0044012', '1.2346e+06', 'Cu', '—')
    """
    if value is None:
        return "—"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**7:
        return str(value)
    return f"{value:.5g}"


def quantity_text(entry: dict[str, Any]) -> str:
    """Return a quantity with its 90 % interval in one line.

    Examples
    --------
    >>> quantity_text({"value": 1.953, "units": "Å", "intervals": [{"level": 0.9, "low": 1.9, "high": 2.0}]})
    '1.953 Å (90 %: 1.9 … 2)'
    """
    units = "" if entry["units"] == "1" else f" {entry['units']}"
    text = number(entry["value"]) + (units if entry["value"] is not None else "")
    band = next((i for i in entry.get("intervals", []) if abs(i["level"] - 0.9) < 1e-9), None)
    if band:
        text += f" (90 %: {interval_text(band)})"
    elif entry.get("probabilities") and entry["value"] is not None:
        text += f" (p = {number(entry['probabilities'].get(_key(entry['value']), 0.0))})"
    return text


def interval_text(band: dict[str, Any]) -> str:
    """Return an interval as text; one-sided ones with ≤ or ≥."""
    if band["low"] is None:
        return f"≤ {number(band['high'])}"
    if band["high"] is None:
        return f"≥ {number(band['low'])}"
    return f"{number(band['low'])} … {number(band['high'])}"


def _key(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
