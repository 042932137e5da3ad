"""Decays seen through a response: sums of exponentials, one of which may beat, fitted by likelihood.

In: counts over delays. Out: the model with the least BIC and its fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError
from matterscope.emitters.photons.delays import Decay
from matterscope.learn.fitting import Fit, Parameter, Values, fit_counts
from matterscope.physics.rates import periodic_beat, periodic_decay

if TYPE_CHECKING:
    from matterscope.emitters.settings import LifetimeSettings

Floats = NDArray[np.float64]
POOR_CHI_SQUARE = 1.5
"""χ² per degree of freedom above which a decay is not explained."""


@dataclass(frozen=True)
class DecayModel:
    """Σ n_k·share_k(t; τ_k) + background per bin, through a normal or a measured response.

    Times in ns; without a known period the decay is given room to die out. With `beating` the first
    component is n_1·[share(t; τ_1) + v·share of e^(−t/τ_1)·cos(2πft + φ)].
    """

    edges: Floats
    period: float
    terms: int
    response: Floats | None = None
    beating: bool = False

    def counts(self, values: Values) -> Floats:
        """Return expected counts in each bin."""
        total = np.full(self.edges.size - 1, values["background"])
        for k in range(1, self.terms + 1):
            total += values[f"counts_{k}"] * self.share(values[f"lifetime_{k}"], values)
        if self.beating:
            total += values["counts_1"] * values["beat_visibility"] * self.beat(values)
        return np.asarray(np.maximum(total, 1e-9))

    def share(self, lifetime: float, values: Values) -> Floats:
        """Return the share of one exponential in each bin."""
        period = self.period or 50.0 * float(self.edges[-1] - self.edges[0]) + 40.0 * lifetime
        if self.response is None:
            return periodic_decay(self.edges, period, lifetime, values["shift"], values["response"])
        bare = periodic_decay(self.edges, period, lifetime, float(self.edges[0]), 0.0)
        return np.maximum(self._through_response(bare, values), 0.0)

    def beat(self, values: Values) -> Floats:
        """Return the share of the oscillating part of the first component."""
        wave = (2.0 * np.pi * values["beat_frequency"], values["beat_phase"])
        lifetime, shift = values["lifetime_1"], values["shift"]
        if self.response is None:
            return periodic_beat(self.edges, self.period, lifetime, shift, values["response"], wave)
        bare = periodic_beat(self.edges, self.period, lifetime, float(self.edges[0]), 0.0, wave)
        return self._through_response(bare, values)

    def _through_response(self, bare: Floats, values: Values) -> Floats:
        assert self.response is not None
        n = bare.size
        frequency = np.fft.rfftfreq(n, float(np.diff(self.edges).mean()))
        turn = np.exp(-2j * np.pi * frequency * values["shift"])
        # without a known period a linear convolution would need padding: the tail is negligible
        return np.asarray(np.fft.irfft(np.fft.rfft(bare) * np.fft.rfft(self.response) * turn, n))


def fit_decay(
    decay: Decay, terms: int, response: Floats | None = None, *, beating: bool = False
) -> tuple[DecayModel, Fit]:
    """Fit `terms` exponentials by the Poisson likelihood, the first one beating if asked."""
    edges, counts = decay.edges / 1000.0, decay.counts
    model = DecayModel(edges, decay.period / 1000.0, terms, response, beating)
    step, span = float(np.diff(edges).mean()), float(edges[-1] - edges[0])
    peak = int(np.argmax(np.convolve(counts, np.ones(3), "same")))
    floor = float(np.quantile(counts, 0.05))
    above = np.maximum(np.roll(counts, -peak) - floor, 0.0)
    # the rise stands before the peak, that is at the end here; it is no decay
    above[above.size - _foot(counts, peak, 0.01) :] = 0.0
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
    if beating:
        # the beat stands in the shortest component; others are slower
        spread = [1.0, 5.0, 20.0][:terms]
    for k, factor in enumerate(spread, 1):
        start = float(np.clip(mean * factor, low, high))
        parameters.append(
            Parameter(f"counts_{k}", total / terms, 1e-3, 1e3 * total, "counts", "log")
        )
        parameters.append(Parameter(f"lifetime_{k}", start, low, high, "ns", "log"))
    if beating:
        parameters = _with_beat(model, counts, parameters, step)
    fit = fit_counts(model.counts, counts, parameters)
    # profiles find what lies deeper, and cost most where a component is not needed
    settled = chi_square(decay, model, fit) < 1.0 + 4.0 * np.sqrt(2.0 / max(fit.dof, 1))
    return model, fit if settled else fit.settle()


def _foot(counts: Floats, peak: int, height: float) -> int:
    """Return how many bins before the peak the counts fall below `height` of it."""
    back = np.roll(counts, -peak)[::-1]
    below = np.flatnonzero(back < height * counts[peak])
    return int(below[0]) + 1 if below.size else 1


def _with_beat(
    model: DecayModel, counts: Floats, parameters: list[Parameter], step: float
) -> list[Parameter]:
    """Return the parameters with those of a beat, started on the best of a grid.

    For a lifetime, a frequency and a rise the amplitudes of background, decay, cosine and sine are linear.
    """
    start = {p.name: p.start for p in parameters}
    rises = [0.0]
    if model.response is None:
        # a beat that starts at its minimum peaks well after the pulse: begin at the foot of the rise
        peak = int(np.argmax(counts))
        rises = [start["shift"] - _foot(counts, peak, h) * step for h in (0.5, 0.1, 0.01)]
    # the grid is coarse: a tenth of the height counts as agreement
    root = 1.0 / np.sqrt(np.maximum(counts, 1.0) + (0.1 * counts) ** 2)
    best: tuple[float, dict[str, float]] = (np.inf, {})
    lifetimes = start["lifetime_1"] * np.array([0.4, 0.6, 0.8, 1.0, 1.4])
    for lifetime, cycles, shift in product(lifetimes, np.geomspace(0.2, 3.0, 24), rises):
        frequency = cycles / lifetime
        if frequency * step > 0.25:
            continue
        at = start | {
            "lifetime_1": lifetime,
            "beat_frequency": frequency,
            "beat_phase": 0.0,
            "shift": shift,
        }
        columns = [
            np.ones(counts.size),
            model.share(lifetime, at),
            model.beat(at),
            model.beat(at | {"beat_phase": 0.5 * np.pi}),
        ]
        matrix = np.column_stack(columns) * root[:, None]
        found, *_ = np.linalg.lstsq(matrix, counts * root, rcond=None)
        cost = float(np.sum((matrix @ found - counts * root) ** 2))
        if cost < best[0] and found[1] > 0:
            wave = complex(found[2], -found[3]) / found[1]
            at |= {
                "background": max(float(found[0]), 1e-3),
                "counts_1": float(found[1]),
                "beat_visibility": min(abs(wave), 1.0),
                "beat_phase": -float(np.angle(wave)),
            }
            best = (cost, at)
    at = best[1] or start | {"beat_frequency": 1.0 / start["lifetime_1"], "beat_visibility": 0.1, "beat_phase": 0.0}  # fmt: skip
    f = at["beat_frequency"]
    extra = [
        Parameter("beat_frequency", f, 0.3 * f, 3.0 * f, "GHz", "log"),
        Parameter("beat_visibility", min(at["beat_visibility"], 1.0), 0.0, 1.0),
        Parameter("beat_phase", at["beat_phase"], -2.0 * np.pi, 2.0 * np.pi, "rad"),
    ]
    moved = [replace(p, start=min(max(at.get(p.name, p.start), p.low), p.high)) for p in parameters]
    return [*moved, *extra]


def choose_model(
    decay: Decay, settings: LifetimeSettings, response: Floats | None
) -> tuple[tuple[DecayModel, Fit], dict[str, float]]:
    """Return the model with the least BIC, and the BIC of all that were tried.

    Beats are tried where exponentials leave more than counting noise, on a known laser period.
    """
    wanted = (1, 2, 3) if settings.components == "auto" else (int(settings.components),)
    tried: dict[str, tuple[DecayModel, Fit]] = {}

    def best() -> str:
        return min(tried, key=lambda name: tried[name][1].bic())

    if settings.beats != "on":
        for k in wanted:
            tried[str(k)] = fit_decay(decay, k, response)
            if str(k - 1) in tried and tried[str(k)][1].bic() > tried[str(k - 1)][1].bic():
                break
    poor = settings.beats == "on" or (
        settings.beats == "auto" and chi_square(decay, *tried[best()]) > POOR_CHI_SQUARE
    )
    if poor and decay.period:
        for k in wanted[:2]:
            tried[f"{k} beating"] = fit_decay(decay, k, response, beating=True)
    if not tried:
        raise DataError(
            "beats need a known laser period", where=decay.how, hint="give it with --period"
        )
    model, fit = tried[best()]
    return (model, fit.settle()), {name: f.bic() for name, (_, f) in tried.items()}


def chi_square(decay: Decay, model: DecayModel, fit: Fit) -> float:
    """Return Pearson's χ² per degree of freedom."""
    mean = model.counts(fit.values)
    return float(np.sum((decay.counts - mean) ** 2 / mean) / max(fit.dof, 1))
