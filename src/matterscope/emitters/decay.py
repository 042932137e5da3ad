"""Lifetime: exponentials seen through the response, wrapped around the laser period.

In: a T3 stream, a T2 stream with a clock or a period, or a stored decay. Out: components with
intervals, their number by BIC, residuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.pictures import Panel, Picture, line, mark, points, steps
from matterscope.emitters.delays import Decay, gather_decays, response_of
from matterscope.learn.fitting import Fit, Parameter, Values, fit_counts
from matterscope.physics.rates import periodic_decay

if TYPE_CHECKING:
    from matterscope.emitters.settings import LifetimeSettings

Floats = NDArray[np.float64]
REFERENCES = [
    "Maus et al., Anal. Chem. 73, 2078 (2001): maximum likelihood against least squares for decays",
    "O'Connor and Phillips, Time-correlated single photon counting (1984)",
]


@dataclass(frozen=True)
class DecayModel:
    """Σ n_k·share_k(t; τ_k) + background per bin, through a normal or a measured response.

    Times in ns; without a known period the decay is given room to die out.
    """

    edges: Floats
    period: float
    terms: int
    response: Floats | None = None

    def counts(self, values: Values) -> Floats:
        """Return expected counts in each bin."""
        total = np.full(self.edges.size - 1, values["background"])
        for k in range(1, self.terms + 1):
            total += values[f"counts_{k}"] * self.share(values[f"lifetime_{k}"], values)
        return np.asarray(np.maximum(total, 1e-9))

    def share(self, lifetime: float, values: Values) -> Floats:
        """Return the share of one exponential in each bin."""
        period = self.period or 50.0 * float(self.edges[-1] - self.edges[0]) + 40.0 * lifetime
        if self.response is None:
            return periodic_decay(self.edges, period, lifetime, values["shift"], values["response"])
        bare = periodic_decay(self.edges, period, lifetime, float(self.edges[0]), 0.0)
        n = bare.size
        frequency = np.fft.rfftfreq(n, float(np.diff(self.edges).mean()))
        turn = np.exp(-2j * np.pi * frequency * values["shift"])
        # without a known period a linear convolution would need padding: the tail is negligible
        mixed = np.fft.irfft(np.fft.rfft(bare) * np.fft.rfft(self.response) * turn, n)
        return np.maximum(mixed, 0.0)


def fit_decay(decay: Decay, terms: int, response: Floats | None = None) -> tuple[DecayModel, Fit]:
    """Fit `terms` exponentials by the Poisson likelihood."""
    edges, counts = decay.edges / 1000.0, decay.counts
    model = DecayModel(edges, decay.period / 1000.0, terms, response)
    step, span = float(np.diff(edges).mean()), float(edges[-1] - edges[0])
    peak = int(np.argmax(np.convolve(counts, np.ones(3), "same")))
    floor = float(np.quantile(counts, 0.05))
    above = np.maximum(np.roll(counts, -peak) - floor, 0.0)
    mean = float((np.arange(above.size) * step) @ above / max(above.sum(), 1.0)) + step
    total = max(float(counts.sum() - floor * counts.size), 10.0)
    low, high = 0.2 * step, 20.0 * span
    parameters = [
        Parameter("background", max(floor, 1e-3), 1e-6, float(counts.max()) + 1.0, "counts", "log"),
        Parameter(
            "shift", 0.0 if response is not None else float(edges[peak]), -span, 2 * span, "ns"
        ),
        Parameter(
            "response", 1.5 * step, 0.02 * step, 0.2 * span, "ns", "log", response is not None
        ),
    ]
    spread = [1.0] if terms == 1 else [0.35, 1.8] if terms == 2 else [0.2, 0.8, 3.0]
    for k, factor in enumerate(spread, 1):
        start = float(np.clip(mean * factor, low, high))
        parameters.append(
            Parameter(f"counts_{k}", total / terms, 1e-3, 1e3 * total, "counts", "log")
        )
        parameters.append(Parameter(f"lifetime_{k}", start, low, high, "ns", "log"))
    return model, fit_counts(model.counts, counts, parameters).settle()


def infer_lifetime(inputs: list[Input], settings: LifetimeSettings, call: Call) -> list[Estimate]:
    """Return one estimate per decay: lifetimes, amplitudes, residuals."""
    answers = []
    for given in inputs:
        for decay in gather_decays(given, settings):
            ref = InputRef(given.source, decay.selector or given.selector, given.sha256)
            answers.append(_one(ref, decay, settings, call))
    return answers


def _one(ref: InputRef, decay: Decay, settings: LifetimeSettings, call: Call) -> Estimate:
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
    wanted = (1, 2, 3) if settings.components == "auto" else (int(settings.components),)
    tried: dict[int, tuple[DecayModel, Fit]] = {}
    for k in wanted:
        tried[k] = fit_decay(decay, k, response)
        if k - 1 in tried and tried[k][1].bic() > tried[k - 1][1].bic():
            break
    best = min(tried, key=lambda k: tried[k][1].bic())
    model, fit = tried[best]
    _answer(estimate, decay, model, fit, call)
    estimate.diagnostics |= {
        "bic": {str(k): f.bic() for k, (_, f) in tried.items()},
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
    estimate.pictures.append(_picture(decay, model, fit))
    return estimate


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
    mean_counts = model.counts(values)
    chi = float(np.sum((decay.counts - mean_counts) ** 2 / mean_counts) / max(fit.dof, 1))
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


def _picture(decay: Decay, model: DecayModel, fit: Fit) -> Picture:
    edges, centre = model.edges, 0.5 * (model.edges[1:] + model.edges[:-1])
    mean = model.counts(fit.values)
    residual = (decay.counts - mean) / np.sqrt(mean)
    layers = [steps(edges, np.maximum(decay.counts, 0.5), "measured"), line(centre, mean, "fit")]
    if model.response is not None:
        scale = decay.counts.max() / model.response.max()
        layers.append(line(centre, np.maximum(model.response * scale, 0.5), "response", "muted"))
    if model.terms > 1:
        for k in range(1, model.terms + 1):
            part = fit.values[f"counts_{k}"] * model.share(fit.values[f"lifetime_{k}"], fit.values)
            layers.append(
                line(
                    centre,
                    np.maximum(part, 0.5),
                    f"{fit.values[f'lifetime_{k}']:.3g} ns",
                    f"series{k}",
                )
            )
    return Picture(
        "decay",
        "Decay after the pulse",
        (
            Panel(
                layers,
                "time after the pulse (ns)",
                "counts",
                y_scale="log",
                y_range=(0.4, 2.0 * float(decay.counts.max())),
                height=1.6,
            ),
            Panel(
                [points(centre, residual, role="residual"), mark(y=[-2.0, 2.0])],
                "time after the pulse (ns)",
                "residual (σ)",
                height=0.6,
            ),
        ),
        "Exponentials through the response, wrapped around the laser period; residuals in standard errors.",
        height=5.0,
    )
