"""From dose to emitters: the probability of none, one or several on a site, and the best dose.

In: the areas of a site, draws of the conversion yield, native emitters. Out: the dose–yield plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.emitters.sites.statistics import emitter_numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DosePlan:
    """Yield against dose for one aperture: doses (1/cm²), P(0), P(1), P(≥2), and their bands."""

    doses: Floats
    numbers: Floats
    """Shape (3, doses): P(0), P(1), P(≥2) averaged over the yield's prior."""
    single_low: Floats
    single_high: Floats
    best: Floats
    """Draws of the dose with the most single emitters."""
    chosen: float
    mean_number: Floats
    """Draws of λ at the chosen dose."""
    single: Floats
    """Draws of P(1) at the chosen dose."""


def plan_dose(
    catching_area: float,
    site_area: float,
    yields: Floats,
    native: float,
    scatter: float,
    dose: float | None,
) -> DosePlan:
    """Return yield against dose: λ = Φ·A·f·ε + ρ·A.

    Parameters
    ----------
    catching_area : float, cm²
        A·f, aperture area times the share of ions that stop in the flake.
    site_area : float, cm²
        Area of the site that native emitters live on.
    yields : array, 1
        Draws of the conversion yield ε.
    native : float, 1/cm²
        Density of native emitters.
    scatter : float
        Coefficient of variation of the aperture area.
    dose : float or None, 1/cm²
        None: the dose with the largest mean P(1).
    """
    middle = float(np.median(yields))
    doses = np.geomspace(0.01, 30, 160) / (catching_area * middle)
    lam = doses[None, :] * catching_area * yields[:, None] + native * site_area
    numbers = emitter_numbers(lam, scatter, most=2)
    mean = numbers.mean(axis=1)
    best = doses[np.argmax(numbers[1], axis=1)]
    chosen = float(dose) if dose is not None else float(doses[np.argmax(mean[1])])
    at = chosen * catching_area * yields + native * site_area
    low, high = np.quantile(numbers[1], [0.05, 0.95], axis=0)
    return DosePlan(
        doses, mean, low, high, best, chosen, at, emitter_numbers(at, scatter, most=2)[1]
    )
