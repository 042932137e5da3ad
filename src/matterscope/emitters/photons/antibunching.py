"""Is it one emitter? g2 of a photon stream or of a coincidence histogram, with every correction shown.

In: time tags or a histogram. Out: g2(0), times, purity, the largest share of a second emitter, and a
verdict that can say "cannot tell". Continuous and pulsed excitation are told apart by the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.emitters.photons import photon_pictures as pictures
from matterscope.emitters.photons.coincidences import (
    Evidence,
    fit_window,
    gather,
    kind_of,
    log_g2,
    search_window,
    stored,
)
from matterscope.emitters.photons.correlation import LogCorrelation
from matterscope.emitters.photons.dips import (
    DipFit,
    after_flash,
    find_dip,
    fit_dip,
    pair_response,
    poisson_ratio,
)
from matterscope.emitters.photons.gating import streams_of
from matterscope.emitters.photons.joining import join_inputs
from matterscope.emitters.photons.peaks import answer_pulsed, find_train
from matterscope.emitters.photons.resampling import answer_resampled, resample_dip
from matterscope.emitters.photons.sparse import answer_sparse, is_sparse
from matterscope.emitters.photons.streams import open_stream
from matterscope.emitters.photons.verdicts import answer_purity

if TYPE_CHECKING:
    from matterscope.emitters.settings import G2Settings

REFERENCES = [
    "Hanbury Brown and Twiss, Nature 177, 27 (1956)",
    "Laurence, Fore and Huser, Opt. Lett. 31, 829 (2006): exact finite-window normalisation",
    "Kitson et al., Phys. Rev. A 58, 620 (1998): three-level g2",
    "Clopper and Pearson, Biometrika 26, 404 (1934): binomial interval",
]


def infer_g2(inputs: list[Input], settings: G2Settings, call: Call) -> list[Estimate]:
    """Return one estimate per stream or stored histogram: g2(0) and what it says about emitters."""
    answers = []
    for given in join_inputs(inputs, settings.sample):
        if kind_of(given) == "photons":
            reach = round(10_000 * settings.window)
            parts = streams_of(open_stream(given), settings.state, settings.trace_bin, reach)
            for label, stream in parts:
                ref = InputRef(given.source, label or given.selector, given.sha256)
                answers.append(answer_evidence(ref, gather(stream, settings), settings, call))
            continue
        state = "" if settings.state == "each" else settings.state
        for label, evidence in stored(given, state):
            ref = InputRef(given.source, label or given.selector, given.sha256)
            answers.append(answer_evidence(ref, evidence, settings, call))
    return answers


def answer_evidence(
    ref: InputRef, evidence: Evidence, settings: G2Settings, call: Call
) -> Estimate:
    """Return the estimate that some coincidences give, pulsed or continuous, fine or coarse."""
    estimate = Estimate("emitters g2", ref)
    for f in evidence.flags:
        estimate.flag(f["code"], f["message"], f.get("remedy", ""))
    estimate.provenance = {"references": REFERENCES, "settings": settings.model_dump()}
    if evidence.stream is None and evidence.histogram.counts.size < 200:
        zero_bin(estimate, evidence, settings, call)
        return estimate
    comb = find_train(evidence, settings)
    if comb is not None:
        delay = answer_pulsed(estimate, evidence, comb, settings, call)
    else:
        delay = _continuous(estimate, evidence, settings, call)
    _describe_stream(estimate, evidence)
    if evidence.stream is not None and settings.longest_lag > 0:
        log = log_g2(evidence, delay, settings)
        _add_log(estimate, log)
    return estimate


def parse_masks(texts: tuple[str, ...]) -> list[tuple[float, float]]:
    """Return (low, high) ns of ``LOW:HIGH`` texts.

    Examples
    --------
    >>> parse_masks(("40:52",))
    [(40.0, 52.0)]
    """
    from matterscope.core.errors import ConfigError

    found = []
    for text in texts:
        low, colon, high = text.partition(":")
        try:
            pair = (float(low), float(high))
        except ValueError:
            pair = (1.0, 0.0)
        if not colon or pair[0] >= pair[1]:
            raise ConfigError(
                "a mask is LOW:HIGH in ns of emitters g2", got=repr(text), expected="e.g. 40:52"
            )
        found.append(pair)
    return found


def _continuous(estimate: Estimate, evidence: Evidence, settings: G2Settings, call: Call) -> float:
    """Fit the dip; return its delay, ps."""
    edges, counts, expected = fit_window(evidence, settings)
    masks = [*parse_masks(settings.mask), *_flashes(estimate, evidence, settings)]
    centre = 0.5 * (edges[1:] + edges[:-1])
    keep = np.ones(counts.size, bool)
    for low, high in masks:
        keep &= (centre < low) | (centre > high)
    hidden = settings.delay is None and _nothing_there(edges, counts, expected, evidence)
    if is_sparse(edges, counts, settings, hidden):
        window = search_window(evidence, settings)
        return answer_sparse(estimate, window, masks, evidence.free_scale, settings, call)
    if hidden:
        return _no_dip(estimate, edges, counts, expected)
    found = fit_dip(
        edges,
        counts,
        expected,
        sigma=pair_response(settings.jitter),
        delay=settings.delay if settings.fix_delay else None,
        terms="auto" if settings.bunching_terms == "auto" else int(settings.bunching_terms),
        free_scale=evidence.free_scale,
        keep=keep,
    )
    _answer_dip(estimate, found, settings, call)
    _jitter_sensitivity(estimate, found, evidence, settings)
    if settings.bootstrap and evidence.stream is not None:
        drawn = resample_dip(found, evidence, settings.bootstrap, call.rng("stretches"))
        answer_resampled(estimate, "g2_zero_raw", drawn["g2_zero"], "1", call.levels)
        answer_resampled(
            estimate, "antibunching_time", drawn["antibunching_time"], "ns", call.levels
        )
    background = settings.signal_fraction**2 if settings.signal_fraction else None
    estimate.pictures.append(pictures.dip_picture(found, masks, background))
    return float(found.fit.values["delay"] * 1000)


def _nothing_there(edges: Any, counts: Any, expected: Any, evidence: Evidence) -> bool:
    return find_dip(edges, counts, expected)[2] < 3.0


def _flashes(
    estimate: Estimate, evidence: Evidence, settings: G2Settings
) -> list[tuple[float, float]]:
    """Return delays at which one detector lit the other, found in bins of 4 ns; flagged and masked."""
    if not settings.after_flash:
        return []
    h = evidence.histogram
    step = float(np.diff(h.edges).mean())
    coarse = h.rebinned(max(round(4000.0 / step), 1))
    edges, counts = coarse.edges / 1000.0, coarse.counts.astype(float)
    delay = settings.delay
    if delay is None:
        delay = find_dip(h.edges / 1000.0, h.counts.astype(float), h.expected)[0]
    # a flash is narrower than two bins; what goes on for longer is bunching
    found = after_flash(
        edges, counts, coarse.expected * counts.sum() / coarse.expected.sum(), delay
    )
    if not found:
        return []
    merged = [found[0]]
    for low, high in found[1:]:
        if low <= merged[-1][1] + 4.0:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    wide = [(low - 4.0, high + 4.0) for low, high in merged]
    text = ", ".join(f"{a:.0f} to {b:.0f} ns" for a, b in wide)
    estimate.flag(
        "after-flash",
        f"coincidences stand out at {text}: light that one detector sends to the other; these delays are masked",
        "--no-after-flash keeps them",
    )
    estimate.diagnostics["after_flash_ns"] = wide
    return wide


def _no_dip(estimate: Estimate, edges: Any, counts: Any, expected: Any) -> float:
    """Answer that no dip rises above the noise."""
    estimate.flag(
        "no-dip",
        "no antibunching dip rises above the noise (3 σ after trials)",
        "give the cable delay with --delay, widen --window, or record longer",
    )
    estimate.quantities = {
        "g2_zero": refused("1", "no dip was found"),
        "g2_zero_raw": refused("1", "no dip was found"),
        "verdict": Quantity("cannot tell", "1", reason="no dip was found"),
    }
    ratio = counts / np.maximum(expected, 1e-12)
    estimate.pictures.append(pictures.flat_picture(edges, ratio))
    return 0.0


def _answer_dip(estimate: Estimate, found: DipFit, settings: G2Settings, call: Call) -> None:
    fit = found.fit
    raw = fit.quantity("g2_zero", call.levels)
    dip_pairs = _pairs_in_dip(found)
    if dip_pairs < 10:
        raw = Quantity(
            fit.values["g2_zero"],
            "1",
            intervals=tuple(fit.limit("g2_zero", v) for v in call.levels),
        )
        estimate.flag(
            "few-coincidences",
            f"{dip_pairs:.0f} coincidences in the dip: only an upper limit is given",
            "record longer",
        )
    answer_purity(estimate, raw, settings)
    if fit.parameters[fit.index("delay")].fixed:
        estimate.quantities["delay"] = Quantity(fit.values["delay"], "ns", reason="given")
    else:
        estimate.quantities["delay"] = fit.quantity("delay", call.levels)
    estimate.quantities["antibunching_time"] = fit.quantity("antibunching_time", call.levels)
    for k in range(found.model.terms):
        for name in (f"bunching_{k + 1}", f"bunching_time_{k + 1}"):
            estimate.quantities[name] = fit.quantity(name, call.levels)
    if fit.weak:
        estimate.flag(
            "not-identifiable",
            f"the data do not determine {', '.join(fit.weak)}",
            "widen --fit-window or record longer",
        )
    if not fit.converged:
        estimate.flag("not-converged", "the fit did not converge", "try another --bin-width")
    estimate.diagnostics |= {
        "mode": "continuous",
        "chi_square_per_dof": found.chi_square,
        "bunching_terms": found.model.terms,
        "bic": {str(k): v for k, v in found.bic.items()},
        "levels": found.model.terms + 2,
        "response_sigma_ns": found.model.sigma,
        "evaluations": fit.evaluations,
    }


def _pairs_in_dip(found: DipFit) -> float:
    centre = 0.5 * (found.model.edges[1:] + found.model.edges[:-1])
    values = found.fit.values
    near = np.abs(centre - values["delay"]) < 2.0 * values["antibunching_time"]
    return float(found.observed[near].sum())


def _jitter_sensitivity(
    estimate: Estimate, found: DipFit, evidence: Evidence, settings: G2Settings
) -> None:
    """Refit with half and one and a half times the assumed response; say what g2(0) does."""
    values = {}
    for factor in (0.5, 1.5):
        again = fit_dip(
            found.model.edges,
            found.observed,
            found.model.expected,
            sigma=found.model.sigma * factor,
            delay=found.fit.values["delay"],
            terms=found.model.terms,
            free_scale=evidence.free_scale,
            keep=found.keep,
        )
        values[f"{factor * settings.jitter:g} ps"] = again.fit.values["g2_zero"]
    spread = max(abs(v - found.fit.values["g2_zero"]) for v in values.values())
    estimate.diagnostics["g2_zero_if_jitter"] = values
    estimate.quantities["g2_zero_jitter_shift"] = Quantity(
        spread, "1", reason="largest change of g2(0) when the assumed jitter is halved or times 1.5"
    )


def zero_bin(estimate: Estimate, evidence: Evidence, settings: G2Settings, call: Call) -> None:
    """Read g2(0) from the bin at zero delay of a coarse histogram: a Poisson ratio, no model.

    The bin averages over its width, so that the value is an upper one for a dip narrower than it.
    """
    h = evidence.histogram
    edges = h.edges / 1000.0
    at = settings.delay or 0.0
    index = int(np.clip(np.searchsorted(edges, at, "right") - 1, 0, h.counts.size - 1))
    masked = after_flash(edges, h.counts.astype(float), h.expected, at)
    count, expected = float(h.counts[index]), float(h.expected[index])
    bands = tuple(poisson_ratio(count, expected, level) for level in call.levels)
    sigma = float(np.sqrt(count) / expected) if count >= 10 else None
    raw = Quantity(count / expected, "1", sigma=sigma, intervals=bands)
    answer_purity(estimate, raw, settings)
    if count < 10:
        estimate.flag(
            "few-coincidences",
            f"{count:.0f} coincidences in the zero bin: only an upper limit is given",
            "record longer",
        )
    if evidence.free_scale:
        estimate.flag(
            "normalisation-assumed",
            "the file states no normalisation: the median of the bins was taken as g2 = 1",
            "give the rates, or a histogram with its expected counts",
        )
    if masked:
        text = ", ".join(f"{a:.0f} to {b:.0f} ns" for a, b in masked)
        estimate.flag(
            "after-flash",
            f"coincidences stand out at {text}: light that one detector sends to the other",
            "these delays are left out of levels and drawn grey",
        )
    if evidence.origin == "histogram":
        estimate.flag(
            "coarse-bins",
            f"g2(0) is the mean over a bin of {edges[index + 1] - edges[index]:.2g} ns; no dip was fitted",
            "record with finer bins",
        )
    estimate.diagnostics |= {
        "mode": "zero bin",
        "zero_counts": count,
        "zero_expected": expected,
        "zero_bin_ns": [float(edges[index]), float(edges[index + 1])],
        "after_flash_ns": masked,
    }
    estimate.pictures.append(pictures.coarse_picture(h, index, masked, evidence.origin))


def _describe_stream(estimate: Estimate, evidence: Evidence) -> None:
    h = evidence.histogram
    total = float(h.expected.sum())
    if not evidence.free_scale and total > 0:
        estimate.diagnostics["pairs_over_uncorrelated"] = float(h.counts.sum()) / total
    found, stream = evidence.found, evidence.stream
    if found is None or stream is None:
        return
    a, b = evidence.pair
    estimate.diagnostics |= {
        "channels": [a, b],
        "sign": f"positive delay: channel {b} after channel {a}",
        "events": {str(c): n for c, n in found.counts.items()},
        "clock_channels_ps": {str(c): p for c, p in found.clocks.items()},
        "duration_s": found.duration,
        "stream": stream.about,
    }
    rates = {}
    for c in evidence.pair:
        rate = found.counts[c] / max(found.duration, 1e-12)
        rates[c] = rate
        name = "first" if c == a else "second"
        half = np.sqrt(found.counts[c]) / max(found.duration, 1e-12)
        estimate.quantities[f"{name}_rate"] = Quantity(
            rate,
            "counts/s",
            sigma=float(half),
            intervals=(Interval(0.68, rate - half, rate + half),),
        )
    duration = stream.acquisition
    if duration and found.duration < 0.9 * duration and not estimate.flagged("cut-file"):
        estimate.flag(
            "short-recording",
            f"the events span {found.duration:.3f} s, the header states {duration:.3f} s",
            "the file may be cut",
        )
    traces = {f"channel {c}": found.traces[c] for c in evidence.pair}
    estimate.pictures.append(pictures.rate_picture(traces, found.step * 1e-12))


def _add_log(estimate: Estimate, log: LogCorrelation) -> None:
    if not log.lag.size:
        return
    lag = {"lag": ("lag", log.lag, {"units": "ps"})}
    g2 = xr.DataArray(log.g2, lag, ("lag",), attrs={"units": "1"})
    sigma = np.sqrt(np.maximum(log.counts, 1.0)) / log.expected
    estimate.arrays["g2_log"] = g2
    estimate.arrays["g2_log_sigma"] = xr.DataArray(sigma, lag, ("lag",), attrs={"units": "1"})
    estimate.pictures.append(pictures.log_picture(log))
