"""FDMNES decks: the crystal and the keywords of an input file.

In: the text of a deck. Out: `ase.Atoms` (Å) and keywords (lower case) with their values.
"""

from __future__ import annotations

from ase import Atoms

from matterscope.core.errors import ReadError


def is_fdmnes_deck(text: str) -> bool:
    """Return whether a text has the keywords that every FDMNES deck of a crystal has."""
    words = {line.split()[0].lower() for line in text.splitlines() if line.split()}
    return "crystal" in words and bool(words & {"filout", "range", "radius"})


def read_fdmnes_deck(text: str) -> tuple[Atoms, dict[str, str]]:
    """Return the crystal of an FDMNES deck and its keywords (lower case) with their values.

    Raises
    ------
    ReadError
        Without a crystal, or with a row that is not one.
    """
    keywords: dict[str, str] = {}
    numbers: list[int] = []
    places: list[list[float]] = []
    cell: list[float] = []
    current = ""
    for number, row in enumerate(text.splitlines(), start=1):
        words = row.split("!")[0].split()
        if not words:
            continue
        if not _is_number(words[0]) and current not in ("filout", "edge"):
            current = words[0].lower()
            keywords[current] = ""
        elif current == "crystal":
            if not all(_is_number(w) for w in words):
                current = words[0].lower()
                keywords[current] = ""
            elif not cell:
                cell = [float(w) for w in words]
            elif len(words) >= 4:
                numbers.append(int(float(words[0])))
                places.append([float(w) for w in words[1:4]])
            else:
                raise ReadError("not an atom of the crystal", where=f"line {number}", got=row)
        else:
            keywords[current] = (keywords.get(current, "") + " " + " ".join(words)).strip()
            if current in ("filout", "edge"):
                current = ""
    if len(cell) != 6 or not numbers:
        raise ReadError("no crystal in this FDMNES deck", expected="Crystal, a b c α β γ, atoms")
    return Atoms(numbers=numbers, scaled_positions=places, cell=cell, pbc=True), keywords


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
