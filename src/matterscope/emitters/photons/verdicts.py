"""What g2(0) says about emitters: background removed, purity, a second emitter's share, the verdict.

In: g2(0) as measured, with intervals or limits. Out: quantities of the estimate, in the same order of
honesty: raw, corrected for the stated background, and a word that may be "cannot tell". A dip below ½
proves antibunching, not one emitter: two unequal ones dip below ½ too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.emitters.photons.dips import second_emitter_share
from matterscope.emitters.photons.posterior import G2_GRID, Population

if TYPE_CHECKING:
    from matterscope.emitters.settings import G2Settings

Floats = NDArray[np.float64]
SURE = 0.95
"""Probability of one emitter from which the word is "single"."""


def answer_purity(
    estimate: Estimate, raw: Quantity, settings: G2Settings, single: float | None = None
) -> None:
    """Add g2(0) raw and with the stated background removed, purity, second emitter's share, verdict.

    g2 = 1 + (g2_raw − 1)/ρ², ρ the signal fraction on each detector. `single` is the probability of
    one emitter where a posterior has given it; else it is weighed from the interval of g2(0).
    """
    share = settings.signal_fraction**2 if settings.signal_fraction else 1.0
    clean = mapped(raw, lambda g: max(1.0 + (g - 1.0) / share, 0.0))
    estimate.quantities["g2_zero_raw"] = raw
    estimate.quantities["g2_zero"] = clean
    estimate.quantities["purity"] = mapped(clean, lambda g: 1.0 - g, flip=True)
    estimate.quantities["second_emitter_share"] = mapped(clean, second_emitter_share)
    if settings.signal_fraction is None:
        estimate.flag(
            "background-not-stated",
            "no background was removed: g2(0) is an upper value for the emitter alone",
            "--signal-fraction states the share of counts that come from the emitter",
        )
    if single is None:
        single = single_probability(raw, population_of(settings))
    if single is not None:
        estimate.quantities["single_probability"] = Quantity(
            single, "1", probabilities={"one": single, "more": 1.0 - single}
        )
        estimate.diagnostics["population"] = population_of(settings).words()
    estimate.quantities["verdict"] = verdict_of(clean, settings, single)
    _flag_second(estimate)


def population_of(settings: G2Settings) -> Population:
    """Return what emitters are like beforehand, as the settings say."""
    return Population(
        settings.emitters_beforehand,
        settings.signal_fraction,
        scatter=settings.brightness_scatter,
        signal_error=settings.signal_fraction_error,
    )


def single_probability(raw: Quantity, population: Population) -> float | None:
    """Return the probability of one emitter from g2(0) before any correction, or None without interval.

    The likelihood of g2(0) is taken as normal on either side of the value, with the widths of the
    68 % interval; below the value of a mere upper limit it is flat.

    Examples
    --------
    >>> sharp = Quantity(0.45, intervals=(Interval(0.68, 0.42, 0.48),))
    >>> single_probability(sharp, Population(signal_fraction=0.95)) < 0.01
    True
    """
    likelihood = _likelihood(raw)
    if likelihood is None:
        return None
    each = (population.densities() * likelihood).sum(axis=1)
    return float(each[0] / max(float(each.sum()), 1e-300))


def _likelihood(raw: Quantity) -> Floats | None:
    """Return the likelihood on `G2_GRID` that a value with its intervals stands for."""
    if not isinstance(raw.value, (int, float)) or not raw.intervals:
        return None
    band = raw.interval(0.68) or raw.intervals[0]
    # half width of a normal law, two-sided or one-sided, in standard deviations
    half = {True: 1.645, False: 0.994}
    least = 0.25 * float(G2_GRID[1])
    if band.low is None:
        limit = raw.interval(0.95) or band
        if limit.high is None:
            return None
        wide = max((limit.high - raw.value) / half[limit.level > 0.9], least)
        below, above = np.inf, wide
    else:
        high = band.high if band.high is not None else 2 * raw.value - band.low
        below = max((raw.value - band.low) / half[False], least)
        above = max((high - raw.value) / half[False], least)
    pull = (G2_GRID - raw.value) / np.where(raw.value > G2_GRID, below, above)
    return np.asarray(np.exp(-0.5 * pull**2))


def verdict_of(g2: Quantity, settings: G2Settings, single: float | None) -> Quantity:
    """Return "single", "antibunched", "not single" or "cannot tell".

    The 95 % interval of g2(0) against ½ decides first; below ½ one emitter must also be likelier
    than 95 % beforehand and afterwards, several unequal ones being weighed against it.
    """
    found = g2.interval(0.95)
    word, base = "cannot tell", "the 95 % interval of g2(0) reaches across ½"
    if found is not None and found.high is not None and found.high < 0.5:
        word = "single" if single is not None and single >= SURE else "antibunched"
        base = (
            f"the 95 % interval of g2(0) lies below ½, and one emitter has a probability of {single or 0:.2f}; "
            f"a second one of up to {_relative(found.high):.0%} of the first's brightness is not excluded"
        )
    elif found is not None and found.low is not None and found.low > 0.5:
        word, base = "not single", "the 95 % interval of g2(0) lies above ½"
    told = "background as stated" if settings.signal_fraction else "no background removed"
    return Quantity(word, "1", reason=f"{base}; {told}")


def _relative(g2: float) -> float:
    """Return the brightness of a second emitter against the first at which a pair has this g2(0)."""
    share = second_emitter_share(g2)
    return share / (1.0 - share)


def _flag_second(estimate: Estimate) -> None:
    """Say beside the word what a dip below ½ leaves open."""
    verdict, found = estimate["verdict"].value, estimate["g2_zero"].interval(0.95)
    if verdict not in ("single", "antibunched") or found is None or found.high is None:
        return
    bound = f"a second emitter of up to {_relative(found.high):.0%} of the first's brightness is not excluded (95 %)"
    chance = estimate["single_probability"].value if verdict == "antibunched" else None
    estimate.flag(
        "second-emitter",
        f"antibunched; {bound}"
        + (
            f"; one emitter alone has a probability of {chance:.2f}"
            if isinstance(chance, float)
            else ""
        ),
        "state the background with --signal-fraction, or record longer",
    )


def mapped(quantity: Quantity, change: Any, *, flip: bool = False) -> Quantity:
    """Return a quantity with value and interval ends put through a rising (`flip`: falling) function."""
    if not isinstance(quantity.value, (int, float)):
        return quantity
    bands = []
    for i in quantity.intervals:
        ends = [None if e is None else float(change(e)) for e in (i.low, i.high)]
        bands.append(Interval(i.level, *(ends[::-1] if flip else ends)))
    return Quantity(
        float(change(quantity.value)), "1", intervals=tuple(bands), reason=quantity.reason
    )
