"""The header-less files of 229 halide perovskites of arXiv 2109.10798, columns given their names.

In: the cells of ``dft_229_properties.csv`` (58 columns) or ``dft_229_defects.csv`` (69). Out: compositions
(the B fractions recovered from the fraction-weighted descriptors), properties, and columns for the audit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import SchemaError
from matterscope.materials.alloys.compositions import SITE_OF, Composition
from matterscope.materials.alloys.spaces import SiteGrid
from matterscope.materials.findings import Finding

Array = NDArray[np.float64]

PROPERTY_COLUMNS = {
    "lattice_constant_pbe": 5,
    "decomposition_energy_pbe": 6,
    "lattice_constant_hse": 7,
    "decomposition_energy_hse": 8,
    "band_gap_pbe": 9,
    "band_gap_hse": 10,
    "refractive_index": 11,
    "figure_of_merit": 12,
}
LIMITS = ("X-rich", "moderate", "B-rich")
DEFECT_COLUMNS = {
    # the moderate limit is the one that is learnt
    "defect_formation_energy": 8,
    "equilibrium_fermi_level": 9,
    "vacancy_level_a": 20,
    "vacancy_level_x": 21,
}
WIDTHS = {58: 13, 69: 24}
"""Number of columns → the first of the 45 descriptors."""
BEST_FIT, RUNNER_UP = 2e-4, 1.5
"""Largest deviation of a recovered composition, and how much worse the next candidate must be."""


@dataclass
class Part:
    """One of the two files."""

    identifiers: list[int]
    compositions: list[Composition]
    targets: dict[str, Array]
    extras: dict[str, Array]
    findings: list[Finding] = field(default_factory=list)


def recognises(cells: list[list[str]]) -> bool:
    """Return whether these cells are one of the two files."""
    first = cells[0]
    if len(first) not in WIDTHS or not first[0].isdigit():
        return False
    return SITE_OF.get(first[2]) == "A" and SITE_OF.get(first[4]) == "X"


def read(source: str, cells: list[list[str]]) -> Part:
    """Return compositions and properties of one file.

    Raises
    ------
    SchemaError
        Where a row has a wrong number of cells, no number, or a composition that cannot be recovered.
    """
    width = len(cells[0])
    start = WIDTHS[width]
    numbers = np.empty((len(cells), width - 5))
    for i, row in enumerate(cells):
        if len(row) != width:
            raise SchemaError(
                "a row has another number of cells than the first",
                where=f"{source}, line {i + 1}",
                got=len(row),
                expected=width,
            )
        try:
            numbers[i] = [float(c) if c else np.nan for c in row[5:]]
        except ValueError as error:
            raise SchemaError(
                "a cell is not a number", where=f"{source}, line {i + 1}", got=str(error)
            ) from None
    labels = [row[3] for row in cells]
    fractions, findings = recover_fractions(labels, numbers[:, start - 5 + 15 : start - 5 + 30])
    compositions = [
        {"A": {row[2]: 1.0}, "B": b, "X": {row[4]: 1.0}}
        for row, b in zip(cells, fractions, strict=True)
    ]
    columns = PROPERTY_COLUMNS if width == 58 else DEFECT_COLUMNS
    targets = {name: numbers[:, c - 5].copy() for name, c in columns.items()}
    extras = {} if width == 58 else _defect_extras(numbers)
    return Part([int(float(r[0])) for r in cells], compositions, targets, extras, findings)


def _defect_extras(numbers: Array) -> dict[str, Array]:
    """Return the columns that obey the algebra of the vacancy pair, by limit."""
    extras: dict[str, Array] = {}
    for i, limit in enumerate(LIMITS):
        extras[f"defect formation energy, {limit}"] = numbers[:, 3 * i]
        extras[f"Fermi level, {limit}"] = numbers[:, 3 * i + 1]
        extras[f"Fermi level over gap, {limit}"] = numbers[:, 3 * i + 2]
        extras[f"formation energy of V_A, {limit}"] = numbers[:, 9 + 2 * i]
        extras[f"formation energy of V_X, {limit}"] = numbers[:, 10 + 2 * i]
    for name, column in (("V_A over gap", 17), ("V_X over gap", 18)):
        extras[name] = numbers[:, column]
    return extras


def recover_fractions(
    labels: list[str], means: Array, steps: int = 8
) -> tuple[list[dict[str, float]], list[Finding]]:
    """Return the B fractions of every row from its fraction-weighted descriptors.

    Of all compositions in eighths, the one whose weighted mean of the pure vectors deviates least in
    its worst descriptor.

    Parameters
    ----------
    labels : list of str
        B species of pure rows; anything else for alloys.
    means : array of shape (n, 15)
    """
    pure = {b: means[i] for i, b in enumerate(labels) if SITE_OF.get(b) == "B"}
    species = tuple(sorted(pure, key=list(SITE_OF).index))
    grid = SiteGrid(species, steps)
    candidates = grid.unrank(np.arange(grid.size)) / steps
    predicted = candidates @ np.array([pure[s] for s in species])
    fractions, findings = [], []
    for i, row in enumerate(means):
        worst = np.abs(predicted - row).max(1)
        first, second = np.argpartition(worst, 1)[:2]
        first, second = (first, second) if worst[first] <= worst[second] else (second, first)
        found = {s: float(c) for s, c in zip(species, candidates[first], strict=True) if c > 0}
        fractions.append(found)
        certain = worst[first] <= BEST_FIT and worst[second] > RUNNER_UP * worst[first]
        alloy = labels[i] not in pure
        if alloy or not certain:
            text = (
                f"composition recovered, margin {worst[second] - worst[first]:.1e} "
                f"(best {worst[first]:.1e}, next {worst[second]:.1e})"
            )
            findings.append(
                Finding(f"id {i + 1}", "formula", "composition recovered", text,
                        "information" if certain else "error", line=i + 1)
            )  # fmt: skip
        elif found != {labels[i]: 1.0}:
            findings.append(
                Finding(f"id {i + 1}", "B", "formula ↔ columns",
                        f"labelled {labels[i]}, descriptors say {found}", "error", line=i + 1)
            )  # fmt: skip
    return fractions, findings
