"""Hosts: gap and lattice constant of zinc-blende and diamond semiconductors, and what follows from them.

In: a host's formula, and what the user knows better. Out: gap (eV), lattice constant (Å), band offsets.
The shipped table is approximate (±0.1–0.3 eV); every entry can be overridden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from matterscope.core.errors import DataError
from matterscope.physics.elements import element_table, nearest, parse_formula

_FILE = Path(__file__).parents[1] / "shipped" / "hosts.csv"
HARRISON_V2 = 2.16 * 7.61996
"""η_xx ħ²/m in eV Å²: Harrison, Electronic Structure (1980), table 4-1 as used for V_xx."""


@dataclass(frozen=True)
class Host:
    """A binary or elemental semiconductor.

    Parameters
    ----------
    name : str
    a, b : str
        Elements on the sublattices; equal for an elemental host. The first named is A.
    gap : float, eV
    lattice : float, Å
    given : bool
        The user's numbers, not the shipped table's.
    """

    name: str
    a: str
    b: str
    gap: float
    lattice: float
    given: bool = False

    @property
    def elemental(self) -> bool:
        """Whether both sublattices hold the same element."""
        return self.a == self.b


@cache
def host_table() -> dict[str, tuple[float, float]]:
    """Return the shipped hosts: name → (gap in eV, lattice constant in Å)."""
    import pandas as pd

    frame = pd.read_csv(_FILE)
    pairs = zip(frame["gap"].astype(float), frame["lattice_constant"].astype(float), strict=True)
    return dict(zip(frame["host"], pairs, strict=True))


def find_host(
    name: str, known: Mapping[str, tuple[float | None, float | None]] | None = None, where: str = ""
) -> Host:
    """Return a host by its formula.

    Parameters
    ----------
    name : str
        ``CdTe``, ``Si``; the first element named is sublattice A.
    known : mapping of host to (gap, lattice)
        The user's numbers; None falls back on the table.

    Raises
    ------
    DataError
        If it is neither a binary nor an element, or gap or lattice constant are unknown.

    Examples
    --------
    >>> find_host("CdTe").gap
    1.5
    """
    amounts = parse_formula(name, where=where)
    elements = list(amounts)
    if len(elements) > 2 or (len(elements) == 2 and len(set(amounts.values())) != 1):
        raise DataError(
            f"'{name}' is not a 1:1 binary or an element",
            where=where,
            expected="a zinc-blende or diamond host such as CdTe or Si",
            hint="an alloy lies between its end members: ask for each of them",
        )
    own = (known or {}).get(name, (None, None))
    gap, lattice = host_table().get(name, (None, None))
    gap = gap if own[0] is None else own[0]
    lattice = lattice if own[1] is None else own[1]
    if gap is None or lattice is None:
        raise DataError(
            f"gap and lattice constant of '{name}' are not in the host table",
            where=where,
            expected=nearest(name, host_table()) or "a known host",
            hint="give both: --gap EV --lattice ANGSTROM, or columns gap and lattice",
        )
    return Host(name, elements[0], elements[-1], float(gap), float(lattice), own != (None, None))


@cache
def _p_energy(symbol: str) -> float:
    """Return the energy of the valence p orbital, eV; from the s orbital where p is empty."""
    table = element_table()
    value = table.loc[symbol, "orbital_energy_p"]
    # an empty p level lies at about 0.45 of the s binding energy (ratio over groups 13 and 14)
    return (
        float(value) if not np.isnan(value) else 0.45 * float(table.loc[symbol, "orbital_energy_s"])
    )


def natural_valence_band(host: Host) -> float:
    """Return the tight-binding valence-band maximum on the scale of free atoms, eV.

    E_v = (ε_c + ε_a)/2 − √(V₃² + V₂²), V₃ = (ε_c − ε_a)/2, V₂ = 2.16 ħ²/(m d²)
    (Harrison, Electronic Structure and the Properties of Solids, 1980, chapter 10).

    Examples
    --------
    >>> natural_valence_band(find_host("ZnS")) < natural_valence_band(find_host("ZnTe"))
    True
    """
    mean = 0.5 * (_p_energy(host.a) + _p_energy(host.b))
    return mean - float(np.hypot(polar_energy(host), covalent_energy(host)))


def polar_energy(host: Host) -> float:
    """Return Harrison's polar energy V₃ = |ε_c − ε_a|/2 of the valence p levels, eV; 0 for an element."""
    return 0.5 * abs(_p_energy(host.a) - _p_energy(host.b))


def covalent_energy(host: Host) -> float:
    """Return Harrison's covalent energy V₂ = 2.16 ħ²/(m d²) of the bond, eV.

    Examples
    --------
    >>> round(covalent_energy(find_host("Si")), 2)
    2.98
    """
    bond = host.lattice * 3**0.5 / 4
    return HARRISON_V2 / bond**2


def polarity(host: Host) -> float:
    """Return Harrison's bond polarity V₃/√(V₃² + V₂²), 0 for an elemental host."""
    return polar_energy(host) / float(np.hypot(polar_energy(host), covalent_energy(host)))
