"""Two levels of theory for alloys: few dear values, many cheap ones.

In: a cheap property for (almost) all rows, a dear one for a few. Out: the dear property of any compound, with
the cheap value known or not; or the dear rows alone where the cheap ones do not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloy_process import AlloyProcess
from matterscope.materials.alloys import Fractions, mixed_sites, take
from matterscope.materials.sitekernels import VEGARD_TERMS, SiteBasis, bowing_terms

Array = NDArray[np.float64]

BLOCKS = 10


@dataclass
class TwoFidelities:
    """Dear = slope × cheap + difference, each a process over alloys.

    Parameters
    ----------
    method : str
        "delta" (slope 1 or fitted, with a process for the rest) or "alone" (dear rows only).
    slope : float
    difference, cheap : AlloyProcess
        Process of dear − slope × cheap (or of the dear property itself), and of the cheap property.
    losses : dict
        Left-out RMSE of each method on the dear rows.
    """

    method: str
    slope: float
    difference: AlloyProcess
    cheap: AlloyProcess
    losses: dict[str, float]

    def predict(self, fractions: Fractions, cheap: Array | None = None) -> tuple[Array, Array]:
        """Return the dear property and σ; `cheap` holds the cheap values where they are known."""
        value, sigma = self.difference.predict(fractions)
        if self.method == "alone":
            return value, sigma
        low, doubt = self.cheap.predict(fractions)
        if cheap is not None:
            known = np.isfinite(cheap)
            low, doubt = np.where(known, cheap, low), np.where(known, 0.0, doubt)
        return value + self.slope * low, np.hypot(sigma, self.slope * doubt)


def learn_two_fidelities(
    fractions: Fractions, cheap: Array, dear: Array, bases: Sequence[SiteBasis]
) -> TwoFidelities:
    """Return the better of difference and dear rows alone, by left-out dear rows.

    Parameters
    ----------
    fractions : three arrays of n rows
    cheap, dear : arrays of shape (n,)
        NaN where not computed; rows with both make the difference.
    """
    both = np.flatnonzero(np.isfinite(cheap) & np.isfinite(dear))
    some = np.flatnonzero(np.isfinite(cheap))
    rows = take(fractions, both)
    terms = VEGARD_TERMS + bowing_terms(mixed_sites(take(fractions, some)))
    kept = tuple(bases)
    low = AlloyProcess(terms, kept).fit(take(fractions, some), cheap[some])
    blocks = np.arange(len(both)) % min(BLOCKS, len(both))
    fits: dict[str, tuple[float, AlloyProcess]] = {}
    losses: dict[str, float] = {}
    line = float(np.polyfit(cheap[both], dear[both], 1)[0])
    for name, slope in (("delta", 1.0), ("line", line), ("alone", 0.0)):
        target = dear[both] - slope * cheap[both]
        process = AlloyProcess(terms, kept, robust=len(both) > 40).fit(rows, target)
        value, _ = process.leave_out(blocks)
        losses[name] = float(np.sqrt(np.mean((value - target) ** 2)))
        fits[name] = (slope, process)
    best = min(losses, key=lambda k: losses[k])
    slope, process = fits[best]
    return TwoFidelities("alone" if best == "alone" else "delta", slope, process, low, losses)
