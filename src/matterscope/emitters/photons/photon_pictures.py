"""Pictures of photon statistics: the g2 dip, the pulsed peaks, log g2, rates.

In: histograms and fits. Out: `Picture`s; the report draws them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matterscope.core.pictures import (
    Layer,
    Panel,
    Picture,
    band,
    bars,
    line,
    mark,
    points,
    span,
    steps,
)
from matterscope.emitters.photons.correlation import Coincidences, LogCorrelation
from matterscope.emitters.photons.dips import DipFit
from matterscope.emitters.photons.pulsed import PulsedPeaks

Floats = NDArray[np.float64]
MOST_BINS = 800


def _thinned(edges: Floats, values: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Return edges, sums of values and of weights with at most `MOST_BINS` bins."""
    factor = max(int(np.ceil(values.size / MOST_BINS)), 1)
    n = values.size // factor * factor
    grouped = (x[:n].reshape(-1, factor).sum(1) for x in (values, weights))
    return (edges[: n + 1 : factor], *grouped)


def _masks(masks: list[tuple[float, float]]) -> list[Layer]:
    return [span(a, b, label="masked" if i == 0 else "") for i, (a, b) in enumerate(masks)]


def dip_picture(
    found: DipFit, masks: list[tuple[float, float]], background: float | None
) -> Picture:
    """Return g2 with its fit around the dip, the whole window, and the residuals."""
    model, values = found.model, found.fit.values
    scale = values["scale"]
    edges, counts, expected = _thinned(model.edges, found.observed, model.expected * scale)
    centre = 0.5 * (edges[1:] + edges[:-1])
    g2, error = counts / expected, np.sqrt(np.maximum(counts, 1.0)) / expected
    smooth = np.linspace(model.edges[0], model.edges[-1], 801)
    fine = 0.5 * (smooth[1:] + smooth[:-1])
    curve = model.correlation(values, smooth)
    t0, reach = values["delay"], 8.0 * values["antibunching_time"]
    close = np.linspace(t0 - reach, t0 + reach, 401)
    near = np.abs(0.5 * (model.edges[1:] + model.edges[:-1]) - t0) < reach
    ratio = found.observed[near] / (model.expected[near] * scale)
    bar = np.sqrt(np.maximum(found.observed[near], 1.0)) / (model.expected[near] * scale)
    at = 0.5 * (model.edges[1:] + model.edges[:-1])[near]
    detail = [
        *_masks([m for m in masks if m[1] > close[0] and m[0] < close[-1]]),
        points(at, ratio, "measured", y_low=ratio - bar, y_high=ratio + bar),
        line(
            0.5 * (close[1:] + close[:-1]),
            model.correlation(values, close),
            "fit through the response",
        ),
        mark(y=[0.5], label="two equal emitters"),
    ]
    if background is not None:
        clean = 1.0 + (model.correlation(values, close) - 1.0) / background
        detail.append(line(0.5 * (close[1:] + close[:-1]), clean, "background removed", "series2"))
    residual = (counts - np.interp(centre, fine, curve) * expected) / np.sqrt(
        np.maximum(counts, 1.0)
    )
    return Picture(
        "g2",
        "Antibunching",
        (
            Panel(detail, "delay (ns)", "g²(τ)", "around the dip", height=1.2),
            Panel(
                [
                    *_masks(masks),
                    band(centre, g2 - error, g2 + error, "± 1 standard error"),
                    steps(edges, g2, "measured"),
                    line(fine, curve, "fit"),
                ],
                "delay (ns)",
                "g²(τ)",
                "whole window",
            ),
            Panel(
                [points(centre, residual, role="residual"), mark(y=[-2.0, 2.0])],
                "delay (ns)",
                "residual (σ)",
                height=0.5,
            ),
        ),
        "The dip at the found delay, fitted by the Poisson likelihood through the response of the detectors; "
        "below 0.5 two equal emitters are excluded, not two unequal ones.",
        height=8.0,
    )


def peaks_picture(
    histogram: Coincidences, peaks: PulsedPeaks, period: float, masks: list[tuple[float, float]]
) -> Picture:
    """Return the peaks around the empty one, and all areas with the envelope."""
    middle = peaks.position[peaks.centre]
    part = histogram.window(middle - 6.5 * period, middle + 6.5 * period)
    edges, counts, _ = _thinned(part.edges / 1000.0, part.counts.astype(float), part.expected)
    order = (peaks.position - middle) / period
    used = peaks.used
    return Picture(
        "pulsed-g2",
        "Pulsed coincidences",
        (
            Panel(
                [
                    steps(edges, counts, "coincidences"),
                    mark(
                        x=[middle / 1000.0],
                        label=f"central peak at {middle / 1000.0:+.2f} ns",
                        role="flagged",
                    ),
                ],
                "delay (ns)",
                "counts",
                "around the central peak",
                # the legend stands above the peaks
                y_range=(-0.03 * float(counts.max()), 1.35 * float(counts.max())),
            ),
            Panel(
                [
                    *_masks(masks),
                    bars(order[used], peaks.area[used], "side peaks")
                    if used.sum() < 60
                    else points(order[used], peaks.area[used], "side peaks"),
                    points([0.0], [peaks.area[peaks.centre]], "central peak", "flagged"),
                    line(order, peaks.envelope, "envelope without antibunching"),
                ],
                "laser periods from the central peak",
                "peak area (counts)",
                "areas",
            ),
        ),
        "The central peak is compared with the envelope of the side peaks, which also carries slow blinking.",
        height=5.6,
    )


def log_picture(log: LogCorrelation) -> Picture:
    """Return g2 over logarithmic lags with Poisson errors."""
    error = np.sqrt(np.maximum(log.counts, 1.0)) / log.expected
    # bins with hardly any pairs would stretch the axis
    enough = log.counts >= 4
    lag, g2, error = log.lag[enough] / 1000.0, log.g2[enough], error[enough]
    return Picture(
        "g2-log",
        "Correlation from nanoseconds to seconds",
        (
            Panel(
                [
                    band(lag, g2 - error, g2 + error, "± 1 standard error"),
                    line(lag, g2, "both orders of detectors", "data"),
                    mark(y=[1.0]),
                ],
                "lag (ns)",
                "g²(τ)",
                x_scale="log",
            ),
        ),
        "Antibunching at short lags, bunching from shelving and blinking above; the level at long lags shows drift.",
    )


def rate_picture(traces: dict[str, NDArray[np.int64]], step: float) -> Picture:
    """Return count rates of the channels over time; `step` in s."""
    layers = []
    for i, (name, counts) in enumerate(traces.items()):
        factor = max(int(np.ceil(counts.size / 500)), 1)
        n = counts.size // factor * factor
        if not n:
            continue
        rate = counts[:n].reshape(-1, factor).mean(1) / step / 1000.0
        time = (np.arange(rate.size) + 0.5) * factor * step
        layers.append(line(time, rate, name, f"series{i % 8}"))
    return Picture(
        "rates",
        "Count rates",
        (Panel(layers, "time (s)", "rate (kcounts/s)"),),
        "Drift or blinking of the rate appears as bunching in g².",
        height=2.6,
    )


def flat_picture(edges: Floats, ratio: Floats) -> Picture:
    """Return g2 without a dip, as measured."""
    thin, values, weights = _thinned(edges, ratio, np.ones(ratio.size))
    return Picture(
        "g2",
        "Coincidences without a dip",
        (Panel([steps(thin, values / weights, "measured"), mark(y=[1.0])], "delay (ns)", "g²(τ)"),),
        "No antibunching rises above the noise in this window.",
    )


def coarse_picture(
    histogram: Coincidences, index: int, masks: list[tuple[float, float]], origin: str
) -> Picture:
    """Return a stored histogram with the bin at zero delay marked."""
    centre = 0.5 * (histogram.edges[1:] + histogram.edges[:-1]) / 1000.0
    g2 = histogram.g2
    error = np.sqrt(np.maximum(histogram.counts, 1.0)) / histogram.expected
    panels = [
        Panel(
            [
                *(_masks(masks) if not origin.startswith("log") else []),
                points(centre, g2, "measured", y_low=g2 - error, y_high=g2 + error),
                points([centre[index]], [g2[index]], "zero delay", "flagged"),
                mark(y=[0.5], label="two equal emitters"),
                mark(y=[1.0]),
            ],
            "delay (ns)",
            "g²(τ)",
        )
    ]
    if origin.startswith("log"):
        right = centre > 0
        panels = [
            Panel(
                [
                    points(centre[right], g2[right], "channel order 1, 2"),
                    points(-centre[~right][::-1], g2[~right][::-1], "order 2, 1", "series1"),
                    mark(y=[1.0]),
                ],
                "|delay| (ns)",
                "g²(τ)",
                x_scale="log",
            )
        ]
    return Picture(
        "g2",
        "Stored coincidences",
        panels,
        "The bin at zero delay is read against the expectation stored with the histogram.",
    )
