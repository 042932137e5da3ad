"""Pictures of energy-loss spectra: zero loss and thickness, named edges, the repaired axis.

In: arrays and interpretations. Out: pictures as data; how they look is decided elsewhere.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.pictures import Layer, Panel, Picture, band, line, mark, points, span, text
from matterscope.spectra.loss.energy_loss import Thickness, ZeroLoss
from matterscope.spectra.loss.recalibration import Axis, Interpretation

Array = NDArray[np.float64]


def zero_loss_picture(
    energy: Array, counts: Array, mean: ZeroLoss, zero: ZeroLoss, thickness: Thickness
) -> Picture:
    """Return the low-loss spectrum with its split, and thickness along the pixels.

    Parameters
    ----------
    energy, counts : arrays of shape (n,), eV and counts
        Sum spectrum, zero loss at 0.
    mean, zero : ZeroLoss
        Of the sum and of the pixels, on the axis as recorded.
    thickness : Thickness
        Of the pixels.
    """
    near = (energy > -15) & (energy < 80)
    cut = float(mean.cut - mean.centre)
    # a logarithmic axis shows zero loss and plasmon together; what is not above 0 cannot be drawn on it
    shown = np.where(counts[near] > 0, counts[near], np.nan)
    panels = [
        Panel(
            (
                span(float(energy[near][0]), cut, label="taken as zero loss"),
                line(energy[near], shown, "sum of all pixels", "data"),
                mark(x=[0.0]),
            ),
            x_label="energy loss (eV)",
            y_label="counts",
            y_scale="log",
            title="zero loss and plasmons",
        )
    ]
    if zero.centre.size > 1:
        pixel = np.arange(zero.centre.size)
        values = thickness.value.ravel()
        panels.append(
            Panel(
                (
                    points(
                        pixel,
                        values,
                        "t/λ, error bar: counting and split",
                        y_low=np.fmin(thickness.low, thickness.high).ravel()
                        - thickness.sigma.ravel(),
                        y_high=np.fmax(thickness.low, thickness.high).ravel()
                        + thickness.sigma.ravel(),
                    ),
                ),
                x_label="pixel",
                y_label="thickness t/λ",
                title="thickness in mean free paths",
                height=0.7,
            )
        )
    return Picture(
        "zero-loss",
        "Zero loss and thickness",
        panels,
        "The shaded part is counted as zero loss; t/λ = ln(total/zero loss).",
        height=4.6,
    )


def edges_picture(
    energy: Array, counts: Array, found: Interpretation, axis: Axis | None
) -> Picture:
    """Return the spectrum as recorded and as repaired, with its edges named.

    Parameters
    ----------
    energy, counts : arrays of shape (n,), eV and counts
        As recorded.
    found : Interpretation
        Peaks and edges.
    axis : Axis or None
        Repaired axis.
    """
    recorded: list[Layer] = [line(energy, counts, "as recorded", "data")]
    peaks = [p for p in found.peaks if p.significance >= 4.5]
    recorded.append(
        points(
            [p.position for p in peaks],
            np.interp([p.position for p in peaks], energy, counts),
            "significant maxima",
            "flagged",
        )
    )
    panels = [Panel(recorded, "energy loss as recorded (eV)", "counts", "recorded")]
    if axis is not None and found.edges:
        repaired = axis(energy)
        onsets = axis(np.array([found.peaks[e.first].onset for e in found.edges]))
        top, names = float(counts.max()), [e.label for e in found.edges]
        panels.append(
            Panel(
                (
                    line(repaired, counts, "on the repaired axis", "data"),
                    mark(x=onsets, label="onset found", role="model"),
                    mark(
                        x=[e.reference for e in found.edges], label="edge table", role="reference"
                    ),
                    text(onsets + 3, np.full(onsets.size, 1.06 * top), names, "model"),
                ),
                "energy loss (eV)",
                "counts",
                "repaired",
                y_range=(float(min(counts.min(), 0.0)), 1.18 * top),
            )
        )
    return Picture(
        "edges",
        "Edges named and axis repaired",
        panels,
        "Edges are named from the distances of their white lines and their order; dashed: edge table.",
        height=5.2,
    )


def axis_picture(energy: Array, found: Interpretation, axis: Axis, table: pd.DataFrame) -> Picture:
    """Return the correction of the axis with its uncertainty, and the residual at each edge.

    Parameters
    ----------
    energy : array of shape (n,), eV
        As recorded.
    found : Interpretation
        Named edges.
    axis : Axis
        Repaired axis.
    table : DataFrame
        Edges with onset, reference, residual and sigma.
    """
    correction, sigma = axis(energy) - energy, axis.sigma(energy)
    onset = table["recorded_onset"].to_numpy(float)
    wanted = table["reference"].to_numpy(float) - onset
    error = table["onset_sigma"].to_numpy(float)
    return Picture(
        "axis",
        "Correction of the energy axis",
        (
            Panel(
                (
                    band(energy, correction - sigma, correction + sigma, "68 % band"),
                    line(energy, correction, "correction", "model"),
                    points(
                        onset,
                        wanted,
                        "edge table − recorded onset",
                        "data",
                        y_low=wanted - 1.5,
                        y_high=wanted + 1.5,
                    ),
                    text(onset, wanted + 2.5, [e.label for e in found.edges]),
                ),
                "energy loss as recorded (eV)",
                "correction (eV)",
                "what is added to the recorded axis",
            ),
            Panel(
                (
                    mark(y=[0.0]),
                    points(
                        table["reference"],
                        table["residual"],
                        "repaired onset − table",
                        "residual",
                        y_low=table["residual"] - error,
                        y_high=table["residual"] + error,
                    ),
                ),
                "edge energy (eV)",
                "residual (eV)",
                height=0.6,
            ),
        ),
        "The bars of the points are the spread of chemical shifts, 1.5 eV.",
        height=4.6,
    )
