"""What g2(0) says about emitters: background removed, purity, a second emitter's share, the verdict.

In: g2(0) as measured, with intervals or limits. Out: quantities of the estimate, in the same order of
honesty: raw, corrected for the stated background, and a word that may be "cannot tell".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.emitters.photons.dips import second_emitter_share

if TYPE_CHECKING:
    from matterscope.emitters.settings import G2Settings


def answer_purity(estimate: Estimate, raw: Quantity, settings: G2Settings) -> None:
    """Add g2(0) raw and with the stated background removed, purity, second emitter's share, verdict.

    g2 = 1 + (g2_raw − 1)/ρ², ρ the signal fraction on each detector.
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
    estimate.quantities["verdict"] = verdict_of(clean, settings)


def verdict_of(g2: Quantity, settings: G2Settings) -> Quantity:
    """Return "single", "not single" or "cannot tell", decided by the 95 % interval of g2(0) against ½."""
    found = g2.interval(0.95)
    word = "cannot tell"
    if found is not None and found.high is not None and found.high < 0.5:
        word = "single"
    elif found is not None and found.low is not None and found.low > 0.5:
        word = "not single"
    base = f"the 95 % interval of g2(0) {'lies below' if word == 'single' else 'lies above' if word == 'not single' else 'reaches across'} ½"
    told = "background as stated" if settings.signal_fraction else "no background removed"
    return Quantity(
        word, "1", reason=f"{base}; {told}; a weaker second emitter is bounded by its share"
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
