"""Elements: one table of properties with units and sources, ionic radii, and formulae.

In: symbols, charges, formulae as people write them. Out: numbers from the shipped tables, compositions.
The tables under ``physics/data`` are made by ``scripts/make_elements.py``; nothing is typed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_DATA = Path(__file__).parent / "data"
_ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12, "XIV": 14}  # fmt: skip
_UNBOUND = {"electron_affinity": 0.0, "oxidation_states": ""}
"""Where a blank has a meaning: no bound anion, no compounds."""


@cache
def _table() -> pd.DataFrame:
    import pandas as pd

    # keep_default_na: sodium nitride's "NaN" and the symbol "Na" must not turn into missing values
    frame = pd.read_csv(_DATA / "elements.csv", keep_default_na=False, na_values=[""])
    return frame.set_index("symbol", drop=False)


def element_table() -> pd.DataFrame:
    """Return a copy of the element table: one row per element, index = symbol.

    ``frame.attrs["units"]`` gives the units of each column, ``frame.attrs["sources"]`` its source.

    Examples
    --------
    >>> element_table().loc["Te", "electronegativity"].item()
    2.1
    """
    import pandas as pd

    frame = _table().copy()
    columns = pd.read_csv(_DATA / "columns.csv")
    frame.attrs["units"] = dict(zip(columns["column"], columns["units"], strict=True))
    frame.attrs["sources"] = dict(zip(columns["column"], columns["source"], strict=True))
    return frame


@cache
def symbols() -> tuple[str, ...]:
    """Return the symbols of the table in the order of the atomic number."""
    return tuple(_table().index)


def is_element(text: str) -> bool:
    """Return whether `text` is the symbol of an element.

    Examples
    --------
    >>> is_element("Sb"), is_element("Ab")
    (True, False)
    """
    return text in _table().index


def symbol_of(text: str, where: str = "") -> str:
    """Return `text` as a symbol; a symbol in another case or an English name is understood.

    Raises
    ------
    DataError
        With the nearest known names.

    Examples
    --------
    >>> symbol_of("te"), symbol_of("Tellurium")
    ('Te', 'Te')
    """
    word = text.strip()
    if is_element(word):
        return word
    names = dict(zip(_table()["name"].str.lower(), symbols(), strict=True))
    names |= {s.lower(): s for s in symbols()}
    if word.lower() in names:
        return str(names[word.lower()])
    raise DataError(
        f"'{text}' is not an element",
        where=where,
        expected=nearest(word) or "a chemical symbol",
        hint="check the spelling of the symbol",
    )


def nearest(word: str, among: Iterable[str] | None = None) -> str:
    """Return the known names nearest to a misspelt one, for error messages.

    Examples
    --------
    >>> "Sb" in nearest("Ab")
    True
    """
    known = list(among) if among is not None else list(symbols())
    close = get_close_matches(word, known, n=3, cutoff=0.5)
    if not close:
        close = [k for k in known if k[:1].lower() == word[:1].lower()][:3]
    return " or ".join(close)


def number(symbol: str) -> int:
    """Return the atomic number.

    Examples
    --------
    >>> number("Cu")
    29
    """
    return int(_table().loc[symbol_of(symbol), "number"])


def mass(symbol: str) -> float:
    """Return the standard atomic weight, amu."""
    return float(_table().loc[symbol_of(symbol), "mass"])


def properties(names: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
    """Return numeric properties of elements, without gaps.

    A blank electron affinity is 0 (no bound anion); any other blank takes the mean of the nearest
    elements in Z that have a value, the usual guess within the f block and at its ends.

    Parameters
    ----------
    names : sequence of str, length n
        Chemical symbols.
    columns : sequence of str, length k
        Columns of the table; units as in ``columns.csv``.

    Returns
    -------
    array of shape (n, k)

    Examples
    --------
    >>> properties(["Cd", "Te"], ["electronegativity"]).ravel().tolist()
    [1.69, 2.1]
    """
    rows = [number(n) - 1 for n in names]
    return np.column_stack([_filled(c)[rows] for c in columns])


@cache
def _filled(column: str) -> NDArray[np.float64]:
    frame = _table()
    if column not in frame or frame[column].dtype.kind not in "if":
        numeric = [c for c in frame if frame[c].dtype.kind in "if"]
        raise ConfigError(
            f"the element table has no numeric column '{column}'", expected=", ".join(numeric)
        )
    values: NDArray[np.float64] = frame[column].to_numpy(dtype=float).copy()
    gaps = np.isnan(values)
    if column in _UNBOUND:
        values[gaps] = 0.0
        return values
    known = np.flatnonzero(~gaps)
    for index in np.flatnonzero(gaps):
        below, above = known[known < index], known[known > index]
        around = [values[side] for side in (*below[-1:], *above[:1])]
        values[index] = float(np.mean(around))
    return values


def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Return the common oxidation states of an element.

    Examples
    --------
    >>> oxidation_states("Ni")
    (2,)
    """
    text = _table().loc[symbol_of(symbol), "oxidation_states"]
    return tuple(int(s) for s in text.split()) if isinstance(text, str) else ()


@cache
def _radii() -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(_DATA / "ionic_radii.csv", keep_default_na=False, na_values=[])


def ionic_radius(
    symbol: str, charge: int, coordination: int | None = 6, *, spin: str = "", crystal: bool = False
) -> float:
    """Return the Shannon radius of an ion, Å; the nearest tabulated coordination where needed.

    Parameters
    ----------
    symbol : str
        Element.
    charge : int
        Charge of the ion, e.
    coordination : int, optional
        Number of neighbours; None takes the coordination marked most reliable.
    spin : str
        "HS" or "LS"; high spin where nothing is said and both exist.
    crystal : bool
        Return the crystal radius (0.14 Å larger for cations) instead of the effective ionic radius.

    Raises
    ------
    DataError
        If the ion is not in Shannon's table; the charges that are there are named.

    Examples
    --------
    >>> ionic_radius("Te", -2), ionic_radius("Cd", 2, 4)
    (2.21, 0.78)
    """
    frame = _radii()
    rows = frame[(frame["symbol"] == symbol_of(symbol)) & (frame["charge"] == charge)]
    if rows.empty:
        known = sorted(set(frame.loc[frame["symbol"] == symbol, "charge"]))
        raise DataError(
            f"Shannon's table has no ion {symbol}{charge:+d}",
            expected="one of the charges " + ", ".join(f"{c:+d}" for c in known) if known else None,
        )
    if spin or (rows["spin"] != "").any():
        chosen = rows[rows["spin"].isin([spin or "HS", ""])]
        rows = chosen if len(chosen) else rows
    if coordination is None:
        order = -rows["reliable"]
    else:
        neighbours = rows["coordination"].str.extract(r"^([IVX]+)")[0].map(_ROMAN).fillna(99)
        order = (neighbours - coordination).abs() - 0.1 * rows["reliable"]
    best = rows.loc[order.idxmin()]
    return float(best["crystal_radius" if crystal else "ionic_radius"])


# ---------------------------------------------------------------- formulae
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₋．", "0123456789-.")
_OPEN, _CLOSE = "([{", ")]}"
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")


def parse_formula(text: str, species: Iterable[str] = (), *, where: str = "") -> dict[str, float]:
    """Return the amount of each species in a chemical formula.

    Understood are brackets of any kind and depth, fractions, subscripts (``₀``, ``_0.5``,
    ``_{0.5}``), blanks, and adducts joined by ``·``. Names in `species` (``"MA"``, ``"FA"``) are
    kept whole and take precedence over elements.

    Parameters
    ----------
    text : str
        Formula as written.
    species : iterable of str
        Names of molecular ions or other building blocks that count as one.
    where : str
        Place named in an error (file and line).

    Returns
    -------
    dict of str to float
        In the order of first appearance.

    Raises
    ------
    DataError
        For an unknown symbol (the nearest known one is named) or unbalanced brackets.

    Examples
    --------
    >>> parse_formula("Cs0.5FA0.5Pb(I0.83Br0.17)3", {"FA"})["Br"]
    0.51
    >>> parse_formula("Ca₃(PO₄)₂")
    {'Ca': 3.0, 'P': 2.0, 'O': 8.0}
    """
    # the braces of a subscript go first: the others are groups
    plain = re.sub(r"_\{\s*([\d.]+)\s*\}", r"\1", text.translate(_SUBSCRIPTS)).replace("_", "")
    total: dict[str, float] = {}
    for part in re.split(r"[·•]|\*(?=\S)", re.sub(r"\s+", "", plain)):
        lead = _NUMBER.match(part)
        factor = float(lead.group()) if lead else 1.0
        body = part[lead.end() :] if lead else part
        _add(total, _parse(body, sorted(species, key=len, reverse=True), text, where), factor)
    if not total:
        raise DataError("the formula is empty", where=where, got=repr(text))
    return {name: round(amount, 10) for name, amount in total.items()}


def _parse(body: str, species: Sequence[str], text: str, where: str) -> dict[str, float]:
    """Read a formula without adducts; a stack holds the groups that are still open."""
    stack: list[tuple[str, dict[str, float]]] = [("", {})]
    at = 0
    while at < len(body):
        char = body[at]
        if char in _OPEN:
            stack.append((_CLOSE[_OPEN.index(char)], {}))
            at += 1
            continue
        if char in _CLOSE:
            closing, group = stack.pop()
            if closing != char or not stack:
                raise _broken("brackets do not match", text, where)
            at += 1
        else:
            name = _symbol_at(body, at, species, text, where)
            group = {name: 1.0}
            at += len(name)
        amount = _NUMBER.match(body, at)
        at = amount.end() if amount else at
        _add(stack[-1][1], group, float(amount.group()) if amount else 1.0)
    if len(stack) != 1:
        raise _broken("a bracket is not closed", text, where)
    return stack[0][1]


def _symbol_at(body: str, at: int, species: Sequence[str], text: str, where: str) -> str:
    for name in species:
        if body.startswith(name, at):
            return name
    for width in (2, 1):
        word = body[at : at + width]
        if len(word) == width and is_element(word):
            return word
    found = re.match(r"[A-Za-z][a-z]?|.", body[at:])
    unknown = found.group() if found else body[at:]
    raise DataError(
        f"'{unknown}' in the formula '{text}' is not an element",
        where=where,
        expected=nearest(unknown, [*symbols(), *species]) or "a chemical symbol",
    )


def _broken(what: str, text: str, where: str) -> DataError:
    return DataError(f"{what} in the formula '{text}'", where=where, hint="check the brackets")


def _add(total: dict[str, float], group: Mapping[str, float], factor: float) -> None:
    for name, amount in group.items():
        total[name] = total.get(name, 0.0) + factor * amount


def write_formula(amounts: Mapping[str, float], digits: int = 6) -> str:
    """Return a formula in the given order; an amount of 1 is not written, of 0 left out.

    Examples
    --------
    >>> write_formula({"Cs": 1, "Pb": 0.5, "Sn": 0.5, "I": 3})
    'CsPb0.5Sn0.5I3'
    """
    parts = []
    for name, amount in amounts.items():
        value = round(float(amount), digits)
        if value:
            parts.append(name if value == 1 else f"{name}{value:g}")
    return "".join(parts)


def molar_mass(formula: str | Mapping[str, float]) -> float:
    """Return the mass of one formula unit, amu.

    Examples
    --------
    >>> round(molar_mass("CdTe"), 2)
    240.01
    """
    amounts = parse_formula(formula) if isinstance(formula, str) else formula
    return float(sum(mass(name) * amount for name, amount in amounts.items()))
