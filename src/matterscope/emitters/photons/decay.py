"""Lifetime: exponentials seen through the response, wrapped around the laser period.

In: a T3 stream, a T2 stream with a clock or a period, or a stored decay. Out: components with
intervals, their number by BIC, residuals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.emitters.photons.decay_pictures import decay_picture, intensity_picture
from matterscope.emitters.photons.delays import Arrivals, Decay, gather_decays, response_of
from matterscope.emitters.photons.exponentials import (
    POOR_CHI_SQUARE,
    DecayModel,
    chi_square,
    choose_model,
)
from matterscope.emitters.photons.joining import join_inputs
from matterscope.emitters.photons.resampling import answer_resampled, resample_decay
from matterscope.learn.fitting import Fit

if TYPE_CHECKING:
    from matterscope.emitters.settings import LifetimeSettings

Floats = NDArray[np.float64]
PLANCK = 4.135667696
"""µeV per GHz."""
AT_THE_END = 1e-3
"""Of the range of the visibility: there the curvature of the likelihood says nothing."""
REFERENCES = [
    "Maus et al., Anal. Chem. 73, 2078 (2001): maximum likelihood against least squares for decays",
    "O'Connor and Phillips, Time-correlated single photon counting (1984)",
    "Flissikowski et al., Phys. Rev. Lett. 86, 3172 (2001): beats of a dot's fine structure",
]


def infer_lifetime(inputs: list[Input], settings: LifetimeSettings, call: Call) -> list[Estimate]:
    """Return one estimate per decay: lifetimes, amplitudes, residuals."""
    answers = []
    for given in join_inputs(inputs, settings.sample):
        for decay, arrivals in gather_decays(given, settings):
            ref = InputRef(given.source, decay.selector or given.selector, given.sha256)
            answers.append(_one(ref, decay, arrivals, settings, call))
    return answers


def _one(
    ref: InputRef,
    decay: Decay,
    arrivals: Arrivals | None,
    settings: LifetimeSettings,
    call: Call,
) -> Estimate:
    estimate = Estimate("emitters lifetime", ref)
    for f in decay.flags:
        estimate.flag(f["code"], f["message"], f.get("remedy", ""))
    if decay.counts.sum() < 100:
        raise DataError(
            "too few counts for a lifetime",
            where=ref.source,
            got=int(decay.counts.sum()),
            expected="at least 100",
            hint="record longer",
        )
    response = response_of(settings.response, decay) if settings.response else None
    (model, fit), bic = choose_model(decay, settings, response)
    _answer(estimate, decay, model, fit, call)
    estimate.diagnostics |= {
        "bic": bic,
        "how": decay.how,
    }
    if response is None:
        estimate.flag(
            "response-fitted",
            "no measured response was given: a normal one was fitted with the decay",
            "--response FILE takes a recording of the laser; lifetimes below its width need it",
        )
    if not decay.period:
        estimate.flag(
            "period-unknown",
            "the laser period is not known: the tail of earlier pulses counts as background",
            "--period says it",
        )
    estimate.provenance = {"references": REFERENCES, "settings": settings.model_dump()}
    estimate.pictures.append(decay_picture(decay, model, fit))
    if arrivals is not None:
        if settings.bootstrap:
            _resample(estimate, arrivals, decay, (model, fit), settings, call)
        drawn = intensity_picture(arrivals, fit.values["shift"], settings.trace_bin)
        estimate.pictures += [drawn] if drawn else []
    return estimate


def _resample(
    estimate: Estimate,
    arrivals: Arrivals,
    decay: Decay,
    found: tuple[DecayModel, Fit],
    settings: LifetimeSettings,
    call: Call,
) -> None:
    model, fit = found
    rng = call.rng("stretches")
    drawn = resample_decay(arrivals, decay.edges, (fit, model.counts), settings.bootstrap, rng)
    shortest = min(range(1, model.terms + 1), key=lambda k: fit.values[f"lifetime_{k}"])
    name = "lifetime" if model.terms == 1 else "lifetime_1"
    answer_resampled(estimate, name, drawn[f"lifetime_{shortest}"], "ns", call.levels)


def _answer_beat(estimate: Estimate, fit: Fit, call: Call) -> None:
    estimate.quantities["beat_frequency"] = fit.quantity("beat_frequency", call.levels)
    visibility = fit.quantity("beat_visibility", call.levels)
    if visibility.value is not None and float(visibility.value) > 1.0 - AT_THE_END:
        why = "at the end of its range: the fit gives no interval"
        visibility = Quantity(visibility.value, "1", reason=why)
    estimate.quantities["beat_visibility"] = visibility
    estimate.quantities["fine_structure_splitting"] = replace(
        fit.quantity("beat_frequency", call.levels, PLANCK), units="µeV"
    )
    estimate.flag(
        "beats",
        f"the decay beats at {fit.values['beat_frequency']:.3g} GHz: two levels that the pulse excites together "
        "(the fine structure of a dot seen through a polariser), or an echo of the laser in the optics",
        "turn the polariser: beats of a fine structure change, an echo does not; --beats off leaves them out",
    )


def _answer(estimate: Estimate, decay: Decay, model: DecayModel, fit: Fit, call: Call) -> None:
    values = fit.values
    order = sorted(range(1, model.terms + 1), key=lambda k: values[f"lifetime_{k}"])
    total = sum(values[f"counts_{k}"] for k in order)
    for rank, k in enumerate(order, 1):
        name = "lifetime" if model.terms == 1 else f"lifetime_{rank}"
        estimate.quantities[name] = fit.quantity(f"lifetime_{k}", call.levels)
    if model.terms > 1:
        mean = sum(values[f"counts_{k}"] * values[f"lifetime_{k}"] for k in order) / total
        estimate.quantities["mean_lifetime"] = Quantity(
            float(mean),
            "ns",
            reason="intensity-weighted mean of the components; their intervals carry the error",
        )
    if model.response is None:
        estimate.quantities["response_width"] = fit.quantity("response", call.levels)
    share = values["background"] * decay.counts.size / max(float(decay.counts.sum()), 1.0)
    estimate.quantities["background_share"] = Quantity(
        float(share),
        "1",
        sigma=float(fit.sigma("background") * decay.counts.size / decay.counts.sum()),
        reason="flat part of the fit",
    )
    if model.beating:
        _answer_beat(estimate, fit, call)
    chi = chi_square(decay, model, fit)
    if chi > POOR_CHI_SQUARE:
        estimate.flag(
            "poor-fit",
            f"the residuals are {np.sqrt(chi):.1f} times counting noise: the intervals are too narrow",
            "measure the response and give it with --response, or add --components",
        )
    estimate.diagnostics |= {
        "chi_square_per_dof": chi,
        "components": model.terms,
        "counts": float(decay.counts.sum()),
        "period_ns": decay.period / 1000.0,
        "shift_ns": values["shift"],
    }
    table = pd.DataFrame(
        {
            "lifetime": [values[f"lifetime_{k}"] for k in order],
            "lifetime_sigma": [fit.sigma(f"lifetime_{k}") for k in order],
            "share": [values[f"counts_{k}"] / total for k in order],
        }
    )
    table.attrs["units"] = {"lifetime": "ns", "lifetime_sigma": "ns", "share": "1"}
    estimate.tables["components"] = table
    if fit.weak:
        estimate.flag(
            "not-identifiable", f"the data do not determine {', '.join(fit.weak)}", "record longer"
        )
    shortest = values[f"lifetime_{order[0]}"]
    if model.response is None and shortest < values["response"]:
        estimate.flag(
            "response-limited",
            f"a component of {shortest:.3g} ns is shorter than the fitted response of {values['response']:.3g} ns",
            "measure the response and give it with --response",
        )
