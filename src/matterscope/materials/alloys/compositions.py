"""Formulas of ABX₃ alloys: text to fractions of each site, and back.

In: a formula in any usual spelling, or amounts by species. Out: fractions on the sites A, B and X that
sum to one, and one canonical formula in site order. Wrong input gives a SchemaError that names it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import SchemaError

SITES = ("A", "B", "X")
SITE_COUNTS = {"A": 1, "B": 1, "X": 3}
"""Atoms of each site in one formula unit ABX₃."""

ORGANIC = {
    "MA": ("CH3NH3", "NH3CH3", "CH6N", "methylammonium"),
    "FA": ("HC(NH2)2", "CH(NH2)2", "NH2CHNH2", "HC(NH)NH3", "CH5N2", "formamidinium"),
    "GA": ("C(NH2)3", "guanidinium"),
    "DMA": ("(CH3)2NH2", "dimethylammonium"),
    "EA": ("CH3CH2NH3", "C2H5NH3", "ethylammonium"),
    "NH4": ("ammonium",),
}
"""Molecular cations and the spellings they are known by."""

A_CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Fr", "Tl", *ORGANIC)
B_CATIONS = (
    *("Be", "Mg", "Ca", "Sr", "Ba", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Pd"),
    *("Cd", "Hg", "Ge", "Sn", "Pb", "Eu", "Yb", "Sm", "Tm", "Dy", "Pt", "Ra"),
    *("Ag", "Au", "Al", "Ga", "In", "Sb", "Bi", "Sc", "Y", "La", "Ce", "Gd"),  # double perovskites
)
ANIONS = ("F", "Cl", "Br", "I", "At")
OTHER_ANIONS = ("O", "S", "Se", "Te", "N", "H")
SITE_OF = {s: site for site, group in zip(SITES, (A_CATIONS, B_CATIONS, ANIONS), strict=True) for s in group}  # fmt: skip
"""Species → the site it takes in a halide perovskite: monovalent A, B of mean charge 2, halide X."""
_PLACES = {name: i for i, name in enumerate(SITE_OF)}
EITHER_SITE = ("Li", "Na", "K")
"""A cations that stand on B where A is full: Cs₂NaBiCl₆."""
CHARGES: dict[str, tuple[int, int]] = {
    "Ag": (1, 1), "Au": (1, 3), "Cu": (1, 2), "Li": (1, 1), "Na": (1, 1), "K": (1, 1), "In": (1, 3), "Al": (3, 3),
    "Ga": (3, 3), "Sb": (3, 3), "Bi": (3, 3), "Sc": (3, 3), "Y": (3, 3), "La": (3, 3), "Ce": (3, 4), "Gd": (3, 3),
    "Fe": (2, 3), "Cr": (2, 3), "V": (2, 4), "Ti": (2, 4), "Mn": (2, 4), "Co": (2, 3), "Ni": (2, 4), "Pd": (2, 4), "Pt": (2, 4),
    "Sn": (2, 4), "Eu": (2, 3), "Yb": (2, 3), "Sm": (2, 3), "Tm": (2, 3), "Dy": (2, 3),
}  # fmt: skip
"""Lowest and highest usual charge of B cations; 2 where nothing is said."""

FRACTION_TOLERANCE = 0.01
"""How far a site may be from one before the row is refused."""

_TOKEN = re.compile(r"DMA|NH4|[MFGE]A|[A-Z][a-z]?|\d+\.?\d*|\.\d+|[()\[\]]")
_SPELLINGS = sorted(
    ((spelling, name) for name, all_ in ORGANIC.items() for spelling in all_),
    key=lambda pair: -len(pair[0]),
)

Composition = dict[str, dict[str, float]]
"""Site → species → fraction."""


def plain_formula(text: str) -> str:
    """Return `text` with subscripts, LaTeX, spaces and spelled-out cations made plain.

    Examples
    --------
    >>> plain_formula("CH₃NH₃Pb(I_{0.5}Br_0.5)₃")
    'MAPb(I0.5Br0.5)3'
    """
    short = unicodedata.normalize("NFKC", text)
    short = re.sub(r"[\s_${}\\·*⁺+]", "", short).replace("mathrm", "")
    for spelling, name in _SPELLINGS:
        short = short.replace(f"({spelling})", name).replace(spelling, name)
    return short


def species_of(name: str, where: str = "") -> str:
    """Return the canonical name of a species; raise with the nearest known name otherwise."""
    short = plain_formula(name)
    if short in SITE_OF:
        return short
    by_fold = {s.lower(): s for s in SITE_OF}
    near = difflib.get_close_matches(short.lower(), by_fold, n=1, cutoff=0.3)
    if short in OTHER_ANIONS:
        raise SchemaError(
            f"{short} is no halide: models are made for ABX₃ with halides on X",
            where=where,
            expected=" ".join(ANIONS),
        )
    raise SchemaError(
        f"'{name}' is not a species of a halide perovskite",
        where=where,
        expected=f"perhaps {by_fold[near[0]]}" if near else "A, B or X species",
        hint="A: " + " ".join(A_CATIONS) + "; B: " + " ".join(B_CATIONS) + "; X: " + " ".join(ANIONS),
    )  # fmt: skip


def amounts(text: str, where: str = "") -> dict[str, float]:
    """Return the amount of each species in a formula, brackets multiplied out.

    Examples
    --------
    >>> amounts("Cs0.5FA0.5PbI3")
    {'Cs': 0.5, 'FA': 0.5, 'Pb': 1.0, 'I': 3.0}
    """
    short = plain_formula(text)
    tokens = _TOKEN.findall(short)
    if not tokens or "".join(tokens) != short:
        raise SchemaError(
            "this is not a formula", where=where, got=repr(text), expected="e.g. Cs0.5FA0.5PbI3"
        )
    stack: list[dict[str, float]] = [{}]
    last: dict[str, float] = {}
    for token in tokens:
        if token[0].isdigit() or token[0] == ".":
            for name, amount in last.items():
                stack[-1][name] = stack[-1].get(name, 0.0) + amount * (float(token) - 1.0)
            last = {}
        elif token in "([":
            stack.append({})
            last = {}
        elif token in ")]":
            last = _close(stack, text, where)
        else:
            last = {species_of(token, where): 1.0}
            for name in last:
                stack[-1][name] = stack[-1].get(name, 0.0) + 1.0
    if len(stack) != 1:
        raise SchemaError("a bracket is not closed", where=where, got=repr(text))
    return stack[0]


def _close(stack: list[dict[str, float]], text: str, where: str) -> dict[str, float]:
    if len(stack) < 2:
        raise SchemaError("a bracket closes that was not opened", where=where, got=repr(text))
    group = stack.pop()
    for name, amount in group.items():
        stack[-1][name] = stack[-1].get(name, 0.0) + amount
    return group


def parse_formula(text: str, where: str = "", *, renormalise: bool = False) -> Composition:
    """Return the fractions of each site of an ABX₃ formula.

    Cells of several formula units are allowed (``Cs8Pb8I24``): every site is divided by the
    number of units.

    Raises
    ------
    SchemaError
        For unknown species, empty sites, or sites that do not sum to one.

    Examples
    --------
    >>> parse_formula("Cs0.5FA0.5Pb(I0.75Br0.25)3")["X"]
    {'I': 0.75, 'Br': 0.25}
    """
    return by_site(amounts(text, where), where or text, renormalise=renormalise)


def by_site(found: Mapping[str, float], where: str, *, renormalise: bool = False) -> Composition:
    """Return fractions by site from amounts by species; X may sum to 1 or 3."""
    sites: Composition = {s: {} for s in SITES}
    for name, amount in found.items():
        if amount < 0 or not np.isfinite(amount):
            raise SchemaError(f"the amount of {name} is not allowed", where=where, got=amount)
        if amount > 0:
            sites[SITE_OF[name]][name] = float(amount)
    _fill_b_with_surplus(sites)
    totals = {s: sum(group.values()) for s, group in sites.items()}
    units = _formula_units(totals)
    for site, group in sites.items():
        if not group:
            raise SchemaError(
                f"no species on site {site}", where=where, got=", ".join(found) or "nothing"
            )
        share = totals[site] / units
        if site == "X" and abs(share - 3) <= 3 * FRACTION_TOLERANCE:
            share /= 3
        if abs(share - 1) > FRACTION_TOLERANCE + 1e-9 and not renormalise:
            raise SchemaError(
                f"the fractions of site {site} do not sum to one",
                where=where,
                got=f"{totals[site]:.4g}",
                expected="1 ± 0.01" + (" (or 3 for X)" if site == "X" else ""),
                hint="--renormalise divides by the sum, if you are sure that nothing is missing",
            )
        sites[site] = {name: amount / totals[site] for name, amount in group.items()}
    return sites


def _fill_b_with_surplus(sites: Composition) -> None:
    """Move the one small cation to B that makes A and B equal: Cs₂NaBiCl₆ is Cs₂(NaBi)Cl₆."""
    surplus = sum(sites["A"].values()) - sum(sites["B"].values())
    for name in EITHER_SITE:
        amount = sites["A"].get(name, 0.0)
        if amount > 0 and len(sites["A"]) > 1 and abs(surplus - 2 * amount) < FRACTION_TOLERANCE:
            sites["B"][name] = sites["A"].pop(name)
            return


def mean_charge(group: Mapping[str, float]) -> tuple[float, float]:
    """Return the lowest and highest mean charge of a B site.

    Examples
    --------
    >>> mean_charge({"Ag": 0.5, "Bi": 0.5})
    (2.0, 2.0)
    """
    low = sum(share * CHARGES.get(name, (2, 2))[0] for name, share in group.items())
    high = sum(share * CHARGES.get(name, (2, 2))[1] for name, share in group.items())
    return low, high


def _formula_units(totals: Mapping[str, float]) -> float:
    a, b = totals["A"], totals["B"]
    # a cell of n formula units has n atoms on A and on B; 1.0 otherwise, so that faults show
    cell = a > 1.5 and abs(a - b) <= FRACTION_TOLERANCE * a and abs(a - round(a)) < 1e-6
    return float(round(a)) if cell else 1.0


def number(value: float) -> str:
    """Return a fraction as short as it is exact to 6 decimals, without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def write_formula(composition: Mapping[str, Mapping[str, float]]) -> str:
    """Return the canonical formula: sites in the order A, B, X, species in the order of this module's lists.

    Examples
    --------
    >>> write_formula({"A": {"Cs": 1}, "B": {"Sn": 0.125, "Pb": 0.875}, "X": {"I": 0.5, "Br": 0.5}})
    'CsSn0.125Pb0.875(Br0.5I0.5)3'
    """
    text = ""
    for site in SITES:
        present = [s for s, v in composition[site].items() if v > 0]
        group = {s: composition[site][s] for s in sorted(present, key=_PLACES.__getitem__)}
        inner = "".join(s + ("" if abs(v - 1) < 5e-7 else number(v)) for s, v in group.items())
        if SITE_COUNTS[site] > 1:
            inner = f"({inner})" if len(group) > 1 else inner
            inner += str(SITE_COUNTS[site])
        text += inner
    return text


def formulas(
    counts: Mapping[str, NDArray[np.integer]],
    species: Mapping[str, Sequence[str]],
    steps: Mapping[str, int],
) -> list[str]:
    """Return canonical formulas of many compositions given as integer counts.

    Parameters
    ----------
    counts : mapping of site to array of shape (n, k_site)
        Counts that sum to ``steps[site]``.
    species, steps : mapping of site
        Names of the columns, and denominator.
    """
    rows = len(next(iter(counts.values())))
    return [
        write_formula(
            {
                s: {
                    name: int(c) / steps[s]
                    for name, c in zip(species[s], counts[s][i], strict=True)
                    if c
                }
                for s in SITES
            }
        )
        for i in range(rows)
    ]


def gather_species(compositions: Iterable[Composition]) -> dict[str, tuple[str, ...]]:
    """Return the species met on each site, in the order of this module's lists."""
    order = list(SITE_OF)
    seen: dict[str, set[str]] = {s: set() for s in SITES}
    for composition in compositions:
        for site, group in composition.items():
            seen[site] |= set(group)
    return {s: tuple(sorted(seen[s], key=order.index)) for s in SITES}


def fraction_matrix(
    compositions: Sequence[Composition], species: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.float64]]:
    """Return fractions as one array of shape (n, k_site) for each site."""
    return {
        site: np.array(
            [[c[site].get(name, 0.0) for name in species[site]] for c in compositions], dtype=float
        ).reshape(len(compositions), len(species[site]))
        for site in SITES
    }
