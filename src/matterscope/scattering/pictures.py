"""Pictures of `scattering`: the pattern, the structure behind it, the posterior, the rings.

In: arrays of an answer. Out: pictures as data, drawn by the report.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.core import pictures as draw
from matterscope.core.pictures import Layer, Panel, Picture

Floats = NDArray[np.float64]


def circles(
    y: Floats, x: Floats, radius: Floats, label: str, role: str, points: int = 40
) -> list[Layer]:
    """Return one outline per disk; only the first carries the label."""
    angle = np.linspace(0.0, 2.0 * np.pi, points)
    return [
        draw.line(b + r * np.cos(angle), a + r * np.sin(angle), label if k == 0 else "", role)
        for k, (a, b, r) in enumerate(zip(y, x, radius, strict=True))
    ]


def pattern_panel(image: Floats, open_pixels: NDArray[np.bool_], title: str = "pattern") -> Panel:
    """Return the pattern on a logarithmic scale, masked pixels left blank, at most 129 px a side."""
    shown = np.where(open_pixels, np.log10(np.maximum(image, 0.0) + 1.0), np.nan)
    stride = max(max(shown.shape) // 129, 1)
    ny, nx = shown.shape
    return Panel(
        (
            draw.image(
                shown[::stride, ::stride], (0.0, float(nx)), (0.0, float(ny)), origin="upper"
            ),
        ),
        x_label="column (px)",
        y_label="row (px)",
        title=title,
        equal=True,
        color_label="log₁₀(counts + 1)",
    )


def pattern_and_structure(
    image: Floats, open_pixels: NDArray[np.bool_], disks: Sequence[Layer], units: str, note: str
) -> Picture:
    """Return the pattern beside the structure found behind it."""
    structure = Panel(
        tuple(disks),
        x_label=f"x ({units})",
        y_label=f"y ({units})",
        title="structure found",
        equal=True,
    )
    return Picture(
        "pattern_and_structure",
        "The pattern and the disks behind it",
        (pattern_panel(image, open_pixels), structure)
        if disks
        else (pattern_panel(image, open_pixels),),
        caption=note if disks else "The pattern was not inverted.",
        columns=2 if disks else 1,
        height=3.4,
        width=7.4 if disks else 3.9,
    )


def posterior(numbers: Floats, probability: Floats, parts: dict[str, Floats]) -> Picture:
    """Return the posterior over the number of disks, with what each estimator says alone."""
    low, high = np.flatnonzero(probability > 1e-4)[[0, -1]]
    where = slice(max(low - 5, 0), high + 6)
    layers = [draw.bars(numbers[where], probability[where], "posterior", "model")]
    layers += [
        draw.points(numbers[where], other[where], name, f"series{k + 1}")
        for k, (name, other) in enumerate(parts.items())
    ]
    panel = Panel(
        tuple(layers),
        x_label="number of disks N",
        y_label="probability",
        y_range=(0.0, 1.05),
        x_range=(float(numbers[where][0]) - 0.6, float(numbers[where][-1]) + 0.6),
    )
    return Picture(
        "posterior",
        "How many disks",
        (panel,),
        caption="Bars: the combined posterior. Points: each estimator by itself.",
    )


def rings(
    q: Floats, mean: Floats, model: Floats | None, contrast: Floats, expected: float, units: str
) -> Picture:
    """Return radial intensity with the fitted model, and speckle contrast² against q."""
    layers = [draw.points(q, mean, "ring mean", "data")]
    if model is not None:
        layers.append(draw.line(q, model, "fitted disks", "model"))
    upper = Panel(tuple(layers), x_label=f"q ({units})", y_label="counts per pixel", y_scale="log")
    lower = Panel(
        (
            draw.points(q, contrast, "contrast² per ring", "data"),
            draw.mark(y=[expected], label="1 − 1/N, coherent", role="reference"),
        ),
        x_label=f"q ({units})",
        y_label="contrast²",
        y_range=(0.0, 2.0),
    )
    return Picture(
        "rings",
        "Rings: intensity and speckle contrast",
        (upper, lower),
        caption="Contrast² has the photon noise removed; N independent equal disks give 1 − 1/N.",
        columns=2,
        width=7.4,
        height=3.0,
    )


def frames(time: Floats, number: Floats, low: Floats, high: Floats) -> Picture:
    """Return the number of disks against the frame."""
    panel = Panel(
        (
            draw.band(time, low, high, "90 %", "band"),
            draw.points(time, number, "likeliest N", "data"),
        ),
        x_label="frame",
        y_label="number of disks N",
        y_range=(float(low.min()) - 1.0, float(high.max()) + 1.0),
    )
    caption = (
        "Points: each frame by itself. Band: 90 % sets, of no width where one number is certain."
    )
    return Picture("frames", "Number of disks against time", (panel,), caption=caption)


def ablation(q: Floats, probability: Floats, score: Floats, units: str) -> Picture:
    """Return what is lost when one ring of q is masked: the exact form of a saliency map."""
    panels = (
        Panel(
            (draw.bars(q, probability, "", "data"),),
            x_label=f"q of the masked ring ({units})",
            y_label="probability of the answer",
            y_range=(0.0, 1.05),
        ),
        Panel(
            (draw.bars(q, score, "", "model"),),
            x_label=f"q of the masked ring ({units})",
            y_label="evidence lost (nats)",
        ),
    )
    return Picture(
        "ring_ablation",
        "Which q carries the information",
        panels,
        caption="Each ring was masked in turn and the answer computed again.",
        columns=2,
        width=7.4,
        height=3.0,
    )


def confusion(numbers: Floats, counts: Floats, title: str) -> Picture:
    """Return the confusion matrix, share of each true number."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    low, high = float(numbers[0]) - 0.5, float(numbers[-1]) + 0.5
    panel = Panel(
        (draw.image(share, (low, high), (low, high)),),
        x_label="number answered",
        y_label="true number",
        equal=True,
        color_label="share of the true number",
    )
    return Picture("confusion", title, (panel,), width=4.6, height=4.0)


def calibration(confidence: Floats, frequency: Floats, edges: Floats, pit: Floats) -> Picture:
    """Return the reliability diagram and the histogram of the randomised PIT."""
    panels = (
        Panel(
            (
                draw.line([0, 1], [0, 1], "ideal", "reference"),
                draw.points(confidence, frequency, "answers", "data"),
            ),
            x_label="stated probability",
            y_label="share correct",
            x_range=(0, 1.02),
            y_range=(0, 1.02),
        ),
        Panel(
            (draw.steps(edges, pit, "", "data"), draw.mark(y=[1.0], label="uniform")),
            x_label="randomised PIT",
            y_label="density",
        ),
    )
    return Picture(
        "calibration",
        "Does the posterior mean what it says",
        panels,
        columns=2,
        width=7.4,
        height=3.0,
    )


def plan(photons: Floats, exact: Floats, visible: Floats, stops: Sequence[float]) -> Picture:
    """Return the chance of the exact number, and the smallest visible disk, against the exposure."""
    roles = [f"series{k + 1}" for k in range(len(stops))]
    named = [f"beam stop {s:g} px" for s in stops]
    left = [draw.line(photons, e, n, r) for e, n, r in zip(exact, named, roles, strict=True)]
    right = [draw.line(photons, v, n, r) for v, n, r in zip(visible, named, roles, strict=True)]
    panels = (
        Panel(
            tuple(left),
            x_label="photons per pixel",
            y_label="chance that every disk stands out",
            x_scale="log",
            y_range=(0.0, 1.05),
        ),
        Panel(
            tuple(right),
            x_label="photons per pixel",
            y_label="smallest visible area / mean area",
            x_scale="log",
            y_scale="log",
        ),
    )
    return Picture(
        "plan",
        "What the exposure can resolve",
        panels,
        caption="Limit of the information in one pattern; the check of the plan says how far the search reaches it.",
        columns=2,
        width=7.4,
        height=3.2,
    )


def learning_curve(
    size: Floats, accuracy: Floats, low: Floats, high: Floats, baseline: Floats
) -> Picture:
    """Return accuracy against the number of training patterns, the linear baseline beside it."""
    panel = Panel(
        (
            draw.points(size, accuracy, "classifier", "data", y_low=low, y_high=high),
            draw.line(size, baseline, "linear discriminant", "reference"),
        ),
        x_label="training patterns per number",
        y_label="share of exact answers",
        x_scale="log",
        y_range=(0.0, 1.05),
    )
    return Picture("learning_curve", "What more simulation is worth", (panel,))


def study(
    x: Floats, share: Floats, low: Floats, high: Floats, score: Floats, label: str
) -> Picture:
    """Return the share of exact answers, and the log score of the posterior, against one condition."""
    scale = "log" if x.min() > 0 and x.max() / x.min() > 20 else "linear"
    panels = (
        Panel(
            (draw.points(x, share, "exact", "data", y_low=low, y_high=high),),
            x_label=label,
            y_label="share of exact answers",
            x_scale=scale,
            y_range=(0.0, 1.05),
        ),
        Panel(
            (draw.points(x, score, "", "model"),),
            x_label=label,
            y_label="mean ln p(true N)",
            x_scale=scale,
        ),
    )
    return Picture(
        "study",
        f"Answers against {label}",
        panels,
        caption="Left: exact answers with 90 % intervals. Right: log score of the posterior, 0 at best.",
        columns=2,
        width=7.4,
        height=3.0,
    )
