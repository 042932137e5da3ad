"""Absorption edges: energies and natural widths of X-ray tables, and onsets of energy-loss spectra.

In: an element and an edge, or an energy. Out: table rows. The separation L2 − L3 names a 3d element
even when the energy axis is wrong.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Edge:
    """One edge of one element.

    Parameters
    ----------
    element : str
        Chemical symbol.
    name : str
        ``"K"``, ``"L3"`` …
    energy : float, eV
        Binding energy of the X-ray tables (Elam, Ravel and Sidebottom, Radiat. Phys. Chem. 63,
        121 (2002), as distributed by xraydb).
    full_width : float, eV
        Natural width of the core hole (Keski-Rahkonen and Krause 1974); 0 when not tabulated.
    atomic_number : int
        Z.
    """

    element: str
    name: str
    energy: float
    full_width: float
    atomic_number: int

    @property
    def label(self) -> str:
        """Return ``"Ni L3"``."""
        return f"{self.element} {self.name}"


LOSS_ONSETS: dict[tuple[str, str], float] = {
    ("B", "K"): 188.0,
    ("C", "K"): 284.0,
    ("N", "K"): 401.0,
    ("O", "K"): 532.0,
    ("F", "K"): 685.0,
    ("La", "M5"): 832.0,
    ("Nd", "M5"): 978.0,
    ("Sm", "M5"): 1080.0,
    ("Eu", "M5"): 1131.0,
    ("Gd", "M5"): 1185.0,
}
"""Onsets (eV) of energy-loss spectra where they lie more than 2 eV from the X-ray tables: the table
gives binding energies of molecules or of the vacuum level (Ahn and Krivanek, EELS Atlas, 1983)."""

WHITE_LINES = ("Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu")
"""Elements with an empty 3d state, hence with narrow L3 and L2 white lines."""

RARE_EARTHS = ("Ba", "La", "Ce", "Pr", "Nd", "Sm", "Eu", "Gd")
"""Elements with an empty 4f state, hence with narrow M5 and M4 white lines (3d to 4f)."""

LINE_PAIRS = {
    **dict.fromkeys(WHITE_LINES, ("L3", "L2")),
    **dict.fromkeys(RARE_EARTHS, ("M5", "M4")),
}
"""The edges of each element's two white lines, that of lower energy first."""

LINE_SEPARATIONS = {"Ti": 5.4, "V": 7.0, "Cr": 8.6}
"""Distances (eV) of the white lines of compounds where they are more than half an eV smaller than the
tables' binding energies: 2p–3d exchange draws the lines of a nearly empty 3d shell together (Leapman,
Grunes and Fejes, Phys. Rev. B 26, 614 (1982); de Groot et al., Phys. Rev. B 41, 928 (1990))."""


@cache
def table() -> dict[tuple[str, str], Edge]:
    """Return every edge, by (element, name), in the order of the atomic number."""
    text = files("matterscope.physics").joinpath("edges.csv").read_text(encoding="utf-8")
    return {
        (row["element"], row["edge"]): Edge(
            row["element"],
            row["edge"],
            float(row["energy_ev"]),
            float(row["full_width_ev"]),
            int(row["atomic_number"]),
        )
        for row in csv.DictReader(text.splitlines())
    }


def edge(element: str, name: str) -> Edge:
    """Return one edge.

    Raises
    ------
    KeyError
        The table has no such edge.

    Examples
    --------
    >>> edge("Cu", "K").energy
    8979.0
    """
    return table()[element, name]


def edges_of(element: str) -> list[Edge]:
    """Return all edges of an element, from the deepest."""
    return [e for e in table().values() if e.element == element]


def loss_onset(element: str, name: str) -> float:
    """Return the onset (eV) of an edge in energy-loss spectra.

    Examples
    --------
    >>> loss_onset("O", "K"), loss_onset("Ni", "L3")
    (532.0, 852.7)
    """
    return LOSS_ONSETS.get((element, name), edge(element, name).energy)


def separation(element: str) -> float:
    """Return the distance (eV) of an element's two white lines: L2 − L3, or M4 − M5, as compounds show it.

    Examples
    --------
    >>> [round(separation(e), 1) for e in ("Mn", "Fe", "Co", "Ni", "Cu")]
    [11.2, 13.1, 15.1, 17.3, 19.6]
    >>> [round(separation(e), 1) for e in ("Ba", "La", "Ce")]
    [15.2, 17.0, 18.6]
    """
    first, second = LINE_PAIRS[element]
    if element in LINE_SEPARATIONS:
        return LINE_SEPARATIONS[element]
    return edge(element, second).energy - edge(element, first).energy


def near(energy: float, tolerance: float, names: tuple[str, ...] = ("K", "L3")) -> list[Edge]:
    """Return the edges within `tolerance` (eV) of `energy` (eV), nearest first.

    Parameters
    ----------
    energy : float, eV
        Where an edge was found.
    tolerance : float, eV
        How far the axis may be off.
    names : tuple of str
        Which edges are asked about.

    Examples
    --------
    >>> [e.label for e in near(8985.0, 20.0)]
    ['Cu K']
    """
    found = [e for e in table().values() if e.name in names and abs(e.energy - energy) <= tolerance]
    return sorted(found, key=lambda e: abs(e.energy - energy))
