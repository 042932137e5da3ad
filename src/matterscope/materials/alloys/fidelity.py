"""Two levels of theory for alloys: few dear values, many cheap ones.

In: a cheap property for (almost) all rows, a dear one for a few. Out: the dear property of any compound, with
the cheap value known or not; or the dear rows alone where the cheap ones do not help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.process import AlloyProcess, Fractions, mixed_sites, take
from matterscope.materials.alloys.sitekernels import VEGARD_TERMS, SiteBasis, bowing_terms

Array = NDArray[np.float64]

BLOCKS = 10
WORTHWHILE = 0.2
"""Share of further rows with the cheap value alone from which it is worth asking whether they help."""
FEWEST_PAIRS = 5
LADDER = ("lda", "pbe", "pbesol", "gga", "scan", "r2scan", "mbj", "hse", "hse06", "pbe0", "g0w0", "gw", "experiment")  # fmt: skip
"""Levels of theory in the order of their price."""


@dataclass
class Support:
    """Cheap values that carry a dear property: slope × cheap, measured or predicted.

    Parameters
    ----------
    name : str
        The cheap property.
    slope : float
    process : AlloyProcess
        Of the cheap property, with its rows.
    """

    name: str
    slope: float
    process: AlloyProcess
    _known: dict[bytes, float] = field(default_factory=dict, repr=False)

    def values(self, fractions: Fractions) -> tuple[Array, Array]:
        """Return slope × cheap and its σ: 0 for compounds whose cheap value is in the table."""
        low, doubt = self.process.predict(fractions)
        known = self.labels(fractions)
        inside = np.isfinite(known)
        return (
            self.slope * np.where(inside, known, low),
            abs(self.slope) * np.where(inside, 0.0, doubt),
        )

    def labels(self, fractions: Fractions) -> Array:
        """Return the cheap value of compounds of the table, NaN for others."""
        if not self._known:
            rows = np.column_stack(self.process.fractions).round(6) + 0.0
            self._known = {r.tobytes(): y for r, y in zip(rows, self.process.target, strict=True)}
        asked = np.column_stack(fractions).round(6) + 0.0
        return np.array([self._known.get(row.tobytes(), np.nan) for row in asked])

    def grid(self, tables: Fractions) -> tuple[Array, Array]:
        """Return slope × cheap and its σ for all products of site compositions."""
        low, doubt = self.process.predict_grid(tables)
        return self.slope * low, abs(self.slope) * doubt


@dataclass
class TwoFidelities:
    """Dear = slope × cheap + difference, each a process over alloys.

    Parameters
    ----------
    method : str
        "delta" (slope 1), "co-kriging" (slope fitted), or "alone" (dear rows only).
    difference : AlloyProcess
        Process of dear − slope × cheap, or of the dear property itself.
    support : Support or None
    losses : dict
        Left-out RMSE of each method on the dear rows, their cheap values known; "none" takes the cheap value
        as it is, "linear" a line through the pairs.
    """

    method: str
    difference: AlloyProcess
    support: Support | None
    losses: dict[str, float]

    def predict(self, fractions: Fractions, cheap: Array | None = None) -> tuple[Array, Array]:
        """Return the dear property and σ; `cheap` holds the cheap values where they are known."""
        value, sigma = self.difference.predict(fractions)
        if self.support is None:
            return value, sigma
        low, doubt = self.support.values(fractions)
        if cheap is not None:
            known = np.isfinite(cheap)
            low = np.where(known, self.support.slope * cheap, low)
            doubt = np.where(known, 0.0, doubt)
        return value + low, np.hypot(sigma, doubt)


def cheap_partners(targets: Mapping[str, Array]) -> dict[str, str]:
    """Return dear → cheap for properties of which the cheap one is known for markedly more rows."""
    partners = {}
    for name, values in targets.items():
        stem, _, level = name.rpartition("_")
        if level not in LADDER:
            continue
        few = np.isfinite(values)
        gains = {}
        for cheaper in LADDER[: LADDER.index(level)]:
            low = np.isfinite(targets.get(f"{stem}_{cheaper}", np.full(len(values), np.nan)))
            if (low & ~few).sum() >= WORTHWHILE * few.sum() and (low & few).sum() >= FEWEST_PAIRS:
                gains[f"{stem}_{cheaper}"] = int(low.sum())
        if gains:
            partners[name] = max(gains, key=lambda n: gains[n])
    return partners


def learn_two_fidelities(
    fractions: Fractions,
    cheap: Array,
    dear: Array,
    bases: Sequence[SiteBasis],
    name: str = "cheap",
) -> TwoFidelities:
    """Return the best of difference, co-kriging and dear rows alone, by left-out dear rows.

    Parameters
    ----------
    fractions : three arrays of n rows
    cheap, dear : arrays of shape (n,)
        NaN where not computed; rows with both make the difference.
    name : str
        Of the cheap property.

    References
    ----------
    Kennedy and O'Hagan, Biometrika 87, 1 (2000), for one cheap and one dear level.
    """
    both = np.flatnonzero(np.isfinite(cheap) & np.isfinite(dear))
    some = np.flatnonzero(np.isfinite(cheap))
    rows = take(fractions, both)
    terms = VEGARD_TERMS + bowing_terms(mixed_sites(take(fractions, some)))
    kept = tuple(bases)
    low = AlloyProcess(terms, kept).fit(take(fractions, some), cheap[some])
    blocks = np.arange(len(both)) % min(BLOCKS, len(both))
    line = float(np.polyfit(cheap[both], dear[both], 1)[0])
    fits: dict[str, tuple[float, AlloyProcess]] = {}
    losses = simple_losses(cheap[both], dear[both], blocks)
    for method, slope in (("delta", 1.0), ("co-kriging", line), ("alone", 0.0)):
        target = dear[both] - slope * cheap[both]
        process = AlloyProcess(terms, kept, robust=len(both) > 40).fit(rows, target)
        value, _ = process.leave_out(blocks)
        losses[method] = float(np.sqrt(np.mean((value - target) ** 2)))
        fits[method] = (slope, process)
    best = min(fits, key=lambda k: losses[k])
    slope, process = fits[best]
    support = None if best == "alone" else Support(name, slope, low)
    return TwoFidelities(best, process, support, losses)


def simple_losses(cheap: Array, dear: Array, blocks: NDArray[np.integer]) -> dict[str, float]:
    """Return left-out RMSE of the cheap value as it is, and of a line through the other pairs."""
    value = np.empty(len(dear))
    for block in np.unique(blocks):
        out = blocks == block
        slope, shift = np.polyfit(cheap[~out], dear[~out], 1)
        value[out] = slope * cheap[out] + shift
    return {
        "none": float(np.sqrt(np.mean((cheap - dear) ** 2))),
        "linear": float(np.sqrt(np.mean((value - dear) ** 2))),
    }
