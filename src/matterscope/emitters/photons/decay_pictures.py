"""Pictures of decays: counts after the pulse with their fit, and delay against intensity.

In: decays, fits, delays of single photons. Out: `Picture`s; the report draws them.
"""

from __future__ import annotations

import numpy as np

from matterscope.core.pictures import Layer, Panel, Picture, image, line, mark, points, steps
from matterscope.emitters.photons.delays import Arrivals, Decay
from matterscope.emitters.photons.exponentials import DecayModel
from matterscope.learn.fitting import Fit

LEAST_PHOTONS = 20.0
"""Mean photons per time bin below which a mean delay says nothing."""


def decay_picture(decay: Decay, model: DecayModel, fit: Fit) -> Picture:
    """Return the decay with its fit and components on a logarithmic scale, and the residuals."""
    edges, centre = model.edges, 0.5 * (model.edges[1:] + model.edges[:-1])
    mean = model.counts(fit.values)
    residual = (decay.counts - mean) / np.sqrt(mean)
    layers: list[Layer] = [
        steps(edges, np.maximum(decay.counts, 0.5), "measured"),
        line(centre, mean, "fit"),
    ]
    if model.response is not None:
        scale = decay.counts.max() / model.response.max()
        layers.append(line(centre, np.maximum(model.response * scale, 0.5), "response", "muted"))
    if model.terms > 1:
        for k in range(1, model.terms + 1):
            part = fit.values[f"counts_{k}"] * model.share(fit.values[f"lifetime_{k}"], fit.values)
            seen = part >= 0.5
            # series1 has the colour of the fit
            layers.append(
                line(
                    centre[seen],
                    part[seen],
                    f"{fit.values[f'lifetime_{k}']:.3g} ns",
                    f"series{k + 1}",
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


def intensity_picture(arrivals: Arrivals, shift: float, bin_ms: float) -> Picture | None:
    """Return the number of time bins by rate and mean delay after the pulse, or None if too few.

    Delays count from `shift` (ns) on, modulo the laser period.
    """
    step = round(bin_ms * 1e9)
    index = (arrivals.time - arrivals.time[0]) // step
    number = np.bincount(index)[:-1]
    if number.size < 100 or number.mean() < LEAST_PHOTONS:
        return None
    delay = arrivals.delay / 1000.0 - shift
    if arrivals.period:
        # the rise smears to before the shift: leave it a tenth of the period
        period = arrivals.period / 1000.0
        delay = np.mod(delay + 0.1 * period, period) - 0.1 * period
    mean = np.bincount(index, delay)[:-1] / np.maximum(number, 1)
    used = number >= 5
    rate = number[used] / (step * 1e-12) / 1000.0
    low, high = np.quantile(mean[used], [0.005, 0.995])
    heights, x, y = np.histogram2d(
        rate, mean[used], (48, 40), ((0.0, float(rate.max())), (float(low), float(high)))
    )
    panel = Panel(
        [image(heights.T, (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1])))],
        "rate (kcounts/s)",
        "mean delay after the pulse (ns)",
        color_label="number of bins",
    )
    return Picture(
        "delay-intensity",
        "Delay against intensity",
        (panel,),
        f"Bins of {bin_ms:g} ms. A charged or quenched state shows as a second spot with a shorter delay; "
        "one emitter that only goes dark keeps its delay.",
    )
