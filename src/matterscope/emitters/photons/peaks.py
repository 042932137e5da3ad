"""g2 of pulsed light as an estimate: the train of peaks, the empty one, and what limits the answer.

In: coincidences with a laser period. Out: g2(0) raw and against the blinking envelope, period, delay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matterscope.core.calls import Call
from matterscope.core.errors import SchemaError
from matterscope.core.estimates import Estimate, Quantity, gaussian
from matterscope.emitters.photons.coincidences import FINE_PS, Evidence, sampled
from matterscope.emitters.photons.correlation import Coincidences
from matterscope.emitters.photons.photon_pictures import peaks_picture
from matterscope.emitters.photons.pulsed import (
    Comb,
    PulsedPeaks,
    find_comb,
    measure_peaks,
    ratio_interval,
    refined_period,
)
from matterscope.emitters.photons.resampling import answer_resampled, resample_peaks
from matterscope.emitters.photons.verdicts import answer_purity, mapped

if TYPE_CHECKING:
    from matterscope.emitters.settings import G2Settings


def find_train(evidence: Evidence, settings: G2Settings) -> Comb | None:
    """Return the train of laser pulses in the coincidences, or None for continuous light.

    Raises
    ------
    SchemaError
        Pulses were asked for and are not there.
    """
    comb = _comb(evidence.histogram, settings)
    return None if comb is None else _on_long_intervals(comb, evidence, settings)


def _comb(histogram: Coincidences, settings: G2Settings) -> Comb | None:
    if settings.excitation == "continuous":
        return None
    edges, counts = histogram.edges.astype(float), histogram.counts.astype(float)
    period = settings.period * 1000 if settings.period else None
    steady = np.ptp(np.diff(edges)) < 1e-6 * float(np.diff(edges).mean())
    found = find_comb(edges, counts, period=period) if steady else None
    if found is None and settings.excitation == "pulsed":
        raise SchemaError(
            "no train of pulses in these coincidences",
            expected="peaks at a laser period",
            hint="give --period, a wider --window, or --excitation continuous",
        )
    return found


def _on_long_intervals(comb: Comb, evidence: Evidence, settings: G2Settings) -> Comb:
    """Return the train with the period that long intervals of one detector give."""
    if settings.period or evidence.stream is None:
        return comb
    h = evidence.histogram
    span = float(h.edges[-1] - h.edges[0])
    events = sampled(evidence.stream, evidence.pair[0])
    period, _ = refined_period(events, comb.period, 0.5 * span)
    if abs(period - comb.period) > 0.5 * comb.period**2 / span:
        return comb
    again = find_comb(h.edges.astype(float), h.counts.astype(float), period=period)
    return comb if again is None else replace(again, period=period, significance=comb.significance)


def answer_pulsed(
    estimate: Estimate, evidence: Evidence, comb: Comb, settings: G2Settings, call: Call
) -> float:
    """Measure the peaks; return the central delay, ps."""
    h = evidence.histogram
    delay = None if settings.delay is None else settings.delay * 1000
    peaks = measure_peaks(h.edges.astype(float), h.counts.astype(float), h.expected, comb, delay)
    zero, sides = float(peaks.area[peaks.centre]), float(peaks.area[peaks.used].sum())
    count = int(peaks.used.sum())
    intervals = tuple(ratio_interval(zero, sides, count, level) for level in call.levels)
    raw = Quantity(peaks.raw, "1", intervals=intervals)
    # the envelope weights the side peaks by what they would be at zero delay
    weight = (
        peaks.corrected / peaks.raw
        if peaks.raw
        else float(peaks.side_mean / peaks.envelope[peaks.centre])
    )
    blinking = mapped(raw, lambda g: g * weight)
    answer_purity(estimate, blinking, settings)
    estimate.quantities["g2_zero_raw"] = raw
    found = float(peaks.position[peaks.centre]) / 1000.0
    error = float(np.hypot(0.29 * FINE_PS, comb.offset_error)) / 1000.0
    estimate.quantities["delay"] = gaussian(found, error, "ns", call.levels)
    estimate.quantities["laser_period"] = Quantity(
        comb.period / 1000.0,
        "ns",
        reason="periodogram of the coincidences, refined on longer intervals",
    )
    if peaks.chance > 1e-3 and delay is None:
        estimate.flag(
            "no-empty-peak",
            f"no peak is emptier than chance allows (probability {peaks.chance:.2g} after trials)",
            "this light is not antibunched, or the delay lies outside the window: --delay, --window",
        )
    if zero < 10:
        estimate.flag(
            "few-coincidences",
            f"{zero:.0f} coincidences in the central peak: only an upper limit is given",
            "record longer for an interval",
        )
    if peaks.blinking_amplitude > 0:
        estimate.flag(
            "slow-blinking",
            f"side peaks rise towards zero delay by {100 * peaks.blinking_amplitude:.0f} % (blinking, {peaks.blinking_time / 1000:.0f} ns); g2_zero is taken against the envelope",
        )
    _report_peaks(estimate, peaks, comb)
    if settings.bootstrap and evidence.stream is not None:
        drawn = resample_peaks(peaks, comb, evidence, settings.bootstrap, call.rng("stretches"))
        answer_resampled(estimate, "g2_zero", drawn, "1", call.levels)
    estimate.pictures.append(peaks_picture(h, peaks, comb.period, []))
    return float(peaks.position[peaks.centre])


def _report_peaks(estimate: Estimate, peaks: PulsedPeaks, comb: Comb) -> None:
    order = np.round((peaks.position - peaks.position[peaks.centre]) / comb.period).astype(int)
    table = pd.DataFrame(
        {
            "peak": order,
            "delay": peaks.position / 1000.0,
            "area": peaks.area,
            "area_sigma": np.sqrt(np.maximum(peaks.area, 1.0)),
            "envelope": peaks.envelope,
        }
    )
    table.attrs["units"] = {
        "peak": "1",
        "delay": "ns",
        "area": "counts",
        "area_sigma": "counts",
        "envelope": "counts",
    }
    estimate.tables["peaks"] = table
    estimate.diagnostics |= {
        "mode": "pulsed",
        "central_counts": float(peaks.area[peaks.centre]),
        "side_peaks": int(peaks.used.sum()),
        "side_mean": peaks.side_mean,
        "near_mean": float(peaks.area[np.abs(order) <= 5][order[np.abs(order) <= 5] != 0].mean()),
        "chance_of_empty_peak": peaks.chance,
        "pulse_contrast": comb.contrast,
        "overdispersion": peaks.overdispersion,
        "pairs_over_uncorrelated": 0.0,
    }
