"""Grids of alloys: exact counts, and each compound by its number.

In: species and a denominator for each site, and what is left out. Out: how many compounds there are,
and a two-way map between a compound's number and its integer counts, vectorised and without a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.materials.alloys.compositions import SITE_OF, SITES, species_of

TABLE_LIMIT = 5_000_000
"""Largest number of rows of one site that is tabulated when rules leave some of them out."""

PAPER_SPACE = {
    "A": ("K", "Rb", "Cs", "MA", "FA"),
    "B": ("Ca", "Sr", "Ba", "Ge", "Sn", "Pb"),
    "X": ("Cl", "Br", "I"),
}
"""Species of arXiv 2109.10798."""

LEFT_OUT_PARTITION = (3, 3, 1, 1)
"""The partition of 8 that the 17,955 compounds of arXiv 2109.10798 do not contain (inferred)."""


def number_of_compositions(steps: int, kinds: int) -> int:
    """Return C(steps + kinds − 1, kinds − 1): ways to share `steps` parts among `kinds` species.

    Examples
    --------
    >>> number_of_compositions(8, 6)
    1287
    """
    return comb(steps + kinds - 1, kinds - 1)


@dataclass(frozen=True)
class SiteGrid:
    """All compositions of one site in parts of 1/steps, in ascending lexicographic order.

    Parameters
    ----------
    species : tuple of str
        Columns of the counts.
    steps : int
        Denominator.
    max_mixed : int, optional
        At most so many species share the site.
    left_out : tuple of tuple of int
        Partitions (descending) that are skipped.
    """

    species: tuple[str, ...]
    steps: int
    max_mixed: int | None = None
    left_out: tuple[tuple[int, ...], ...] = ()

    @property
    def full_size(self) -> int:
        """Compositions before anything is left out."""
        return number_of_compositions(self.steps, len(self.species))

    @cached_property
    def size(self) -> int:
        """Compositions of this grid."""
        return self.full_size if self._kept is None else len(self._kept)

    @cached_property
    def _kept(self) -> NDArray[np.int64] | None:
        unlimited = self.max_mixed is None or self.max_mixed >= min(self.steps, len(self.species))
        if unlimited and not self.left_out:
            return None
        if self.full_size > TABLE_LIMIT:
            raise ConfigError(
                "a limit on mixing needs a table of this site, which is too large",
                got=f"{self.full_size:,} compositions",
                expected=f"at most {TABLE_LIMIT:,}",
                hint="take fewer steps, or no --max-mixed",
            )
        counts = self._unrank_full(np.arange(self.full_size)).astype(np.int64)
        keep = np.ones(len(counts), dtype=bool)
        if self.max_mixed is not None:
            keep &= (counts > 0).sum(1) <= self.max_mixed
        ordered = -np.sort(-counts, axis=1)
        for partition in self.left_out:
            padded = np.zeros(counts.shape[1], dtype=int)
            if len(partition) > len(padded):
                continue
            padded[: len(partition)] = partition
            keep &= ~(ordered == padded).all(1)
        return np.flatnonzero(keep)

    def unrank(self, index: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return counts of shape (n, k), uint8, of the compositions with these numbers."""
        number = np.asarray(index).astype(np.int64)
        if number.size and (number.min() < 0 or number.max() >= self.size):
            raise ConfigError(
                "there is no composition with this number",
                got=int(number.max()),
                expected=f"0 … {self.size - 1}",
            )
        return self._unrank_full(number if self._kept is None else self._kept[number])

    def rank(self, counts: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the numbers of compositions given as counts of shape (n, k)."""
        parts = np.asarray(counts).astype(np.int64)
        if (parts.sum(1) != self.steps).any() or (counts < 0).any():
            raise ConfigError(
                f"counts must be ≥ 0 and sum to {self.steps}", got=counts.tolist()[:3]
            )
        full = self._rank_full(parts)
        if self._kept is None:
            return full
        place = np.searchsorted(self._kept, full)
        if (self._kept[np.minimum(place, self.size - 1)] != full).any():
            raise ConfigError("a composition was left out of this grid")
        return place

    def _tails(self, kinds: int) -> NDArray[np.int64]:
        # tails[m] = compositions of m parts among `kinds` species
        return np.array(
            [number_of_compositions(m, kinds) for m in range(self.steps + 1)], dtype=np.int64
        )

    def _rank_full(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        kinds = len(self.species)
        rank = np.zeros(len(counts), dtype=np.int64)
        left = np.full(len(counts), self.steps, dtype=np.int64)
        for column in range(kinds - 1):
            # those with a smaller count here come first: N(left, k) − N(left − c, k)
            tails = self._tails(kinds - column)
            rank += tails[left] - tails[left - counts[:, column]]
            left = left - counts[:, column]
        return rank

    def _unrank_full(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        kinds = len(self.species)
        counts = np.zeros((len(index), kinds), dtype=np.uint8)
        left = np.full(len(index), self.steps, dtype=np.int64)
        rest = index.copy()
        for column in range(kinds - 1):
            tails = self._tails(kinds - column)
            # the largest c with N(left) − N(left − c) ≤ rest, i.e. N(left − c) ≥ N(left) − rest
            need = tails[left] - rest
            after = np.searchsorted(tails, need, side="left")
            counts[:, column] = left - after
            rest = rest - (tails[left] - tails[after])
            left = after
        counts[:, kinds - 1] = left
        return counts

    def counting_formula(self) -> str:
        """Return how the size comes about, in words a reader can check."""
        text = f"C({self.steps}+{len(self.species)}−1, {len(self.species)}−1) = {self.full_size:,}"
        return (
            text if self.size == self.full_size else f"{text} less {self.full_size - self.size:,}"
        )


@dataclass(frozen=True)
class Space:
    """All compounds of a search: the product of the grids of the sites A, B and X.

    The number of a compound is ``(i_A · n_B + i_B) · n_X + i_X``.
    """

    grids: tuple[SiteGrid, SiteGrid, SiteGrid]

    @cached_property
    def size(self) -> int:
        """Number of compounds."""
        return prod(g.size for g in self.grids)

    @property
    def species(self) -> dict[str, tuple[str, ...]]:
        """Site → species."""
        return {s: g.species for s, g in zip(SITES, self.grids, strict=True)}

    @property
    def steps(self) -> dict[str, int]:
        """Site → denominator."""
        return {s: g.steps for s, g in zip(SITES, self.grids, strict=True)}

    def split(self, index: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
        """Return the numbers on each site of compounds with these numbers."""
        number = np.asarray(index).astype(np.int64)
        n_b, n_x = self.grids[1].size, self.grids[2].size
        return number // (n_b * n_x), number // n_x % n_b, number % n_x

    def unrank(self, index: NDArray[np.integer]) -> dict[str, NDArray[np.uint8]]:
        """Return site → counts of shape (n, k_site)."""
        return {
            s: g.unrank(i) for s, g, i in zip(SITES, self.grids, self.split(index), strict=True)
        }

    def rank(self, counts: Mapping[str, NDArray[np.integer]]) -> NDArray[np.int64]:
        """Return the numbers of compounds given as site → counts."""
        a, b, x = (g.rank(counts[s]) for s, g in zip(SITES, self.grids, strict=True))
        return (a * self.grids[1].size + b) * self.grids[2].size + x

    def counting_formula(self) -> str:
        """Return the count with its formula."""
        return " × ".join(g.counting_formula().rsplit(" = ", 1)[0] for g in self.grids) + (
            " = " + " × ".join(f"{g.size:,}" for g in self.grids) + f" = {self.size:,}"
        )


def make_space(
    species: Mapping[str, Sequence[str]],
    steps: Mapping[str, int],
    *,
    max_mixed: int | None = None,
    left_out: Sequence[Sequence[int]] = (),
) -> Space:
    """Return the space of these species; `left_out` names partitions skipped on site B.

    Examples
    --------
    >>> make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1}).size
    19305
    >>> make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1}, left_out=[(3, 3, 1, 1)]).size
    17955
    """
    grids = []
    for site in SITES:
        names = tuple(species_of(name) for name in species[site])
        wrong = [n for n in names if SITE_OF[n] != site]
        if wrong or len(set(names)) != len(names) or not names:
            raise ConfigError(
                f"the species of site {site} are not allowed",
                got=", ".join(names) or "none",
                expected=f"different species of site {site}",
                hint=f"{wrong[0]} sits on site {SITE_OF[wrong[0]]}" if wrong else "",
            )
        if not 1 <= steps[site] <= 250:
            raise ConfigError(
                f"the denominator of site {site} is out of range",
                got=steps[site],
                expected="1 … 250",
            )
        skipped = tuple(tuple(p) for p in left_out) if site == "B" else ()
        grids.append(SiteGrid(names, steps[site], max_mixed, skipped))
    return Space((grids[0], grids[1], grids[2]))


def partitions(grid: SiteGrid) -> dict[str, int]:
    """Return partition ("4+2+2") → number of compositions, largest parts first."""
    counts = -np.sort(-grid.unrank(np.arange(grid.size)).astype(int), axis=1)
    kinds, sizes = np.unique(counts, axis=0, return_counts=True)
    return {
        "+".join(str(v) for v in row if v): int(n)
        for row, n in zip(kinds[::-1], sizes[::-1], strict=True)
    }
