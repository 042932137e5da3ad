"""What any measurement must satisfy before its domain looks at it, and its plain picture.

In: a checked measurement of any kind. Out: findings (level, code, sentence, remedy) about values
that are missing, constant, negative, scaled or cut off, and axes without a calibration; a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matterscope.core.pictures import Panel, Picture, image, line
from matterscope.core.schema import KINDS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

FEWEST_POINTS = 8
"""An axis with fewer points carries no line, edge, peak or decay."""
CUT_OFF = 3
"""This many values at the largest number that a detector's word holds are no coincidence."""
CURVES, PIXELS, BINS = 6, 512, 200
"""What a plain picture shows at most: curves, pixels along a side, bins of a rate."""


class Finding(NamedTuple):
    """Something that a user must know about a file before trusting it."""

    level: str
    """WARN or FAIL."""
    code: str
    message: str
    remedy: str = ""


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Return what is wrong with the values and axes of a measurement, whatever it is of."""
    kind = str(dataset.attrs["kind"])
    if kind == "photons":
        return _of_photons(dataset)
    main = next(iter(KINDS[kind].variables))
    values = np.asarray(dataset[main].values, dtype=float)
    found = _of_values(values, str(dataset[main].attrs.get("units", "")))
    blind = [
        str(n)
        for n in dataset[main].dims
        if n in dataset.coords and "px" in str(dataset[n].attrs.get("units", ""))
    ]
    if blind:
        found.append(
            Finding(
                "WARN",
                "uncalibrated_axis",
                f"{' and '.join(blind)} count pixels: nothing in the file says how large one is.",
                "give its size, or answers that need lengths are refused",
            )
        )
    tail = dataset[main].dims[-len(KINDS[kind].dims) :]
    short = [d for d in tail if dataset.sizes[d] < FEWEST_POINTS]
    if short:
        sizes = ", ".join(f"{dataset.sizes[d]} along {d}" for d in short)
        found.append(Finding("FAIL", "too_few_points", f"There are only {sizes}."))
    return found


def _of_values(values: NDArray[np.float64], units: str) -> list[Finding]:
    finite = np.isfinite(values)
    if not finite.any():
        return [Finding("FAIL", "not_finite", "No value is a finite number.", "read the file anew")]
    found = []
    kept = values[finite]
    if kept.size < values.size:
        share = 1 - kept.size / values.size
        found.append(
            Finding("WARN", "some_not_finite", f"{share:.2%} of the values are no finite numbers.")
        )
    if kept.size > 1 and np.ptp(kept) == 0:
        found.append(Finding("FAIL", "constant", f"Every value is {kept[0]:g}: no signal."))
        return found
    if units.startswith("counts"):
        found += _of_counts(kept, whole=units == "counts")
    return found


def _of_counts(kept: NDArray[np.float64], *, whole: bool) -> list[Finding]:
    found = []
    if kept.min() < 0:
        found.append(
            Finding(
                "WARN",
                "negative_counts",
                f"{np.mean(kept < 0):.2%} of the counts are negative: a background was taken off.",
                "use the file as recorded; Poisson error bars do not hold for differences",
            )
        )
    elif whole and np.any(kept != np.round(kept)):
        found.append(
            Finding(
                "WARN",
                "scaled_counts",
                "The counts are not whole numbers: they were scaled or averaged.",
                "use the file as recorded, or Poisson error bars are off by the unknown factor",
            )
        )
    top = float(kept.max())
    at_top = int(np.count_nonzero(kept == top))
    if at_top >= CUT_OFF and top >= 255 and np.log2(top + 1).is_integer():
        found.append(
            Finding(
                "WARN",
                "saturated",
                f"{at_top} values stand at {top:.0f}, the largest that the detector's word holds.",
                "mask them, or measure with less light",
            )
        )
    return found


def _of_photons(dataset: xr.Dataset) -> list[Finding]:
    times = np.asarray(dataset["time"].values)
    if times.size < 2:
        return [Finding("FAIL", "too_few_points", f"The stream holds {times.size} photons.")]
    found = []
    back = int(np.count_nonzero(np.diff(times) < 0))
    if back:
        found.append(
            Finding("WARN", "time_steps_back", f"The clock steps back {back} times; it is sorted.")
        )
    channels = np.unique(dataset["channel"].values)
    if channels.size == 1:
        found.append(
            Finding(
                "WARN",
                "one_channel",
                f"Every photon carries the channel {channels[0]}.",
                "g2 needs two detectors, or one without dead time",
            )
        )
    return found


def summary(dataset: xr.Dataset) -> str:
    """Return what a measurement is in a few words: kind, size, what read it."""
    kind = str(dataset.attrs["kind"])
    if kind == "photons":
        channels = np.unique(dataset["channel"].values).size
        size = f"{dataset.sizes['event']:,} on {channels} channel{'s' if channels != 1 else ''}"
    else:
        shape = dataset[next(iter(KINDS[kind].variables))].shape
        size = " × ".join(str(n) for n in (shape[1:] if shape[0] == 1 else shape)) + (
            " points" if len(shape) == 1 else ""
        )
    return f"{kind}, {size}"


def picture(dataset: xr.Dataset) -> Picture:
    """Return a measurement as recorded: curves, an image, or a rate against time."""
    kind = str(dataset.attrs["kind"])
    title, caption = "As recorded", f"{summary(dataset)}. {KINDS[kind].meaning.capitalize()}."
    if kind == "photons":
        return Picture("recorded", title, (_rates(dataset),), caption)
    main = next(iter(KINDS[kind].variables))
    units = str(dataset[main].attrs.get("units", "1"))
    label = main if units in {"1", main} else f"{main} / {units}"
    values = np.asarray(dataset[main].values, dtype=float)
    rank = len(KINDS[kind].dims)
    names = dataset[main].dims[-rank:]
    axes = [
        (np.asarray(dataset[n].values, float), f"{n} / {dataset[n].attrs['units']}")
        for n in names
        if n in dataset.coords
    ]
    axes = axes or [(np.arange(values.shape[-1], dtype=float), "index")]
    frames = values.reshape(-1, *values.shape[-rank:])
    if rank == 1:
        curves = [
            line(axes[0][0], curve, role=f"series{i}") for i, curve in enumerate(frames[:CURVES])
        ]
        return Picture("recorded", title, (Panel(curves, axes[0][1], label),), caption)
    step = max(1, -(-max(frames.shape[1:]) // PIXELS))
    shown = frames[0, ::step, ::step]
    (y, y_label), (x, x_label) = axes[-2], axes[-1]
    layer = image(shown, x=(float(x[0]), float(x[-1])), y=(float(y[0]), float(y[-1])))
    panel = Panel((layer,), x_label, y_label, equal=True, color_label=label)
    return Picture("recorded", title, (panel,), caption, height=5.0)


def _rates(dataset: xr.Dataset) -> Panel:
    times = np.asarray(dataset["time"].values) * 1e-12
    channel = np.asarray(dataset["channel"].values)
    edges = np.linspace(times.min(), max(times.max(), times.min() + 1e-12), BINS + 1)
    layers: list[Any] = []
    for i, name in enumerate(np.unique(channel)[:CURVES]):
        counts = np.histogram(times[channel == name], edges)[0] / np.diff(edges)
        layers.append(line(edges[:-1], counts, f"channel {name}", role=f"series{i}"))
    return Panel(layers, "time / s", "rate / (counts/s)")
