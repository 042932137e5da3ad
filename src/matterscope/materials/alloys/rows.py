"""What a table of alloys is once it is read: compositions, properties with units, and where each row stood.

In: lists and arrays of equal length. Out: an `AlloyTable`, which the modules around it read, choose from and learn from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import (
    Composition,
    fraction_matrix,
    gather_species,
    write_formula,
)
from matterscope.materials.findings import Finding

Array = NDArray[np.float64]


@dataclass
class AlloyTable:
    """Rows of perovskites with properties.

    Parameters
    ----------
    compositions : list of Composition
    targets : dict of name to array of shape (n,)
        NaN where missing.
    units : dict of name to str
    rows : list of str
        Identifier and line of each row, for messages.
    lines : array of shape (n,)
    findings : list of Finding
        Doubts met while reading.
    extras : dict of str to array
        Columns that are no targets but that the audit needs (fractions of the gap, formation energies).
    """

    source: str
    compositions: list[Composition]
    targets: dict[str, Array]
    units: dict[str, str]
    rows: list[str]
    lines: NDArray[np.int64]
    findings: list[Finding] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    keys: list[tuple[str, str]] = field(default_factory=list)
    """Phase and fidelity of each row."""
    assumed: tuple[str, ...] = ()
    """What was assumed about the file: separator, decimal comma, encoding."""

    def __len__(self) -> int:
        return len(self.compositions)

    @property
    def species(self) -> dict[str, tuple[str, ...]]:
        """Species met on each site."""
        return gather_species(self.compositions)

    @property
    def fractions(self) -> tuple[Array, Array, Array]:
        """Fractions on A, B and X over `species`."""
        found = fraction_matrix(self.compositions, self.species)
        return found["A"], found["B"], found["X"]

    @property
    def formulas(self) -> list[str]:
        """Canonical formula of each row."""
        return [write_formula(c) for c in self.compositions]

    def subset(self, keep: NDArray[np.integer]) -> AlloyTable:
        """Return the table of the given rows."""
        index = [int(i) for i in keep]
        return AlloyTable(
            self.source,
            [self.compositions[i] for i in index],
            {n: t[index] for n, t in self.targets.items()},
            dict(self.units),
            [self.rows[i] for i in index],
            self.lines[index],
            list(self.findings),
            {n: v[index] for n, v in self.extras.items() if isinstance(v, np.ndarray)},
            [self.keys[i] for i in index],
            self.assumed,
        )
