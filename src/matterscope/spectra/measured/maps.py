"""The verb `map`: spectrum images and XANES stacks, pixel by pixel, read in chunks of rows.

In: a spectrum with leading axes (y, x, energy), memory-mapped where the file allows it. Out: maps of
thickness, elements, white lines, edge position, anomaly, and of the pixels where no answer is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import SchemaError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.pictures import Panel, Picture, image, line, mark
from matterscope.io import measurements
from matterscope.physics.edges import separation
from matterscope.spectra.loss.energy_loss import (
    edge_signal,
    find_zero_loss,
    fit_power_law,
    measure_thickness,
)
from matterscope.spectra.loss.loss_reduction import is_energy_loss
from matterscope.spectra.loss.recalibration import Axis, Interpretation, NamedEdge, interpret
from matterscope.spectra.settings import MapSettings

Array = NDArray[np.float64]
REFERENCES = [
    "Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed., Springer (2011)"
]


@dataclass
class _Plan:
    """What is done to every pixel; fixed from the sum spectrum before any pixel is looked at."""

    energy: Array
    mean: Array
    edges: list[tuple[NamedEdge, float]] = field(default_factory=list)
    """Edges with their onsets on the repaired axis."""
    low_loss: bool = False
    absorption: bool = False
    components: Array | None = None
    found: Interpretation | None = None


def map_pixels(inputs: list[Input], settings: MapSettings, call: Call) -> list[Estimate]:
    """Answer for every pixel of a spectrum image or of a stack.

    Parameters
    ----------
    inputs : list of Input
        Files with leading axes.
    settings : MapSettings
        Windows, chunk size and thresholds.
    call : Call
        Progress, levels.

    Returns
    -------
    list of Estimate
        One per spectrum image; maps in `arrays` with axes (y, x).
    """
    answers = []
    for given in inputs:
        axis = {"energy": settings.energy} if settings.energy else {}
        cubes = [d for d in measurements(given, "spectrum", **axis) if d["mu"].ndim > 1]
        if not cubes:
            raise SchemaError(
                "this file holds single spectra, no map",
                where=given.source,
                expected="a spectrum image (y, x, energy)",
                hint="matterscope spectra reduce answers for single spectra",
            )
        for cube in cubes:
            origin = cube.attrs.get("source") or {}
            ref = InputRef(given.source, str(origin.get("selector", "")), given.sha256)
            answers.append(map_cube(cube, ref, settings, call))
    return answers


def map_cube(cube: xr.Dataset, ref: InputRef, settings: MapSettings, call: Call) -> Estimate:
    """Return the maps of one spectrum image, shape (…, energy), as an estimate."""
    estimate = Estimate("spectra map", ref, provenance={"references": REFERENCES})
    mu = cube["mu"]
    plan = _plan(cube, settings)
    _say_plan(estimate, plan)
    flat_rows, size = mu.shape[0], mu.shape[-1]
    maps: dict[str, list[Array]] = {}
    rows = max(1, settings.chunk // max(1, int(np.prod(mu.shape[1:-1]))))
    for start in range(0, flat_rows, rows):
        block = np.asarray(mu[start : start + rows].values, dtype=float)
        for name, values in _pixels(block.reshape(-1, size), plan, settings).items():
            maps.setdefault(name, []).append(values.reshape(block.shape[:-1]))
        call.progress(min(start + rows, flat_rows), flat_rows, "rows")
    dims = mu.dims[:-1]
    coords = {d: cube[d] for d in dims if d in cube.coords}
    for name, parts in maps.items():
        units = _UNITS.get(name.split(".")[0], "1")
        estimate.arrays[name] = xr.DataArray(
            np.concatenate(parts), dims=dims, coords=coords, attrs={"units": units}
        )
    _summarise(estimate, plan)
    _draw(estimate, plan, cube)
    return estimate


_UNITS = {
    "zero_loss_position": "eV",
    "zero_loss_width": "eV",
    "counts": "counts",
    "edge_position": "eV",
}


# --- before the pixels ------------------------------------------------------------------------


def _chunks(cube: xr.Dataset, rows: int) -> Iterator[Array]:
    mu = cube["mu"]
    for start in range(0, mu.shape[0], rows):
        yield np.asarray(mu[start : start + rows].values, float).reshape(-1, mu.shape[-1])


def _plan(cube: xr.Dataset, settings: MapSettings) -> _Plan:
    energy = cube["energy"].values.astype(float)
    width = max(1, settings.chunk // max(1, int(np.prod(cube["mu"].shape[1:-1]))))
    total, gram, pixels = np.zeros(energy.size), None, 0
    bins = _bins(energy.size)
    for block in _chunks(cube, width):
        total += block.sum(0)
        reduced = _shape(block, bins)
        gram = reduced.T @ reduced if gram is None else gram + reduced.T @ reduced
        pixels += len(block)
    plan = _Plan(energy, total / max(pixels, 1))
    assert gram is not None
    _, vectors = np.linalg.eigh(gram)
    plan.components = vectors[:, ::-1][:, : settings.components].T
    if not is_energy_loss(cube):
        plan.absorption = True
    elif energy[0] < -2 < 5 < energy[-1]:
        plan.low_loss = True
    else:
        plan.found = interpret(energy, total, elements=settings.elements)
        if plan.found.axis is not None:
            plan.energy = _repaired(energy, plan.found.axis)
            for edge in plan.found.edges:
                onset = plan.found.axis(np.array([plan.found.peaks[edge.first].onset]))
                plan.edges.append((edge, float(onset[0])))
    return plan


def _repaired(energy: Array, axis: Axis) -> Array:
    repaired = axis(energy)
    return repaired if np.all(np.diff(repaired) > 0) else energy


def _bins(size: int) -> NDArray[np.intp]:
    """Return the starts of about 128 equal bins; the shape of a spectrum needs no more to be odd."""
    return np.unique(np.linspace(0, size, min(129, size + 1)).astype(int))[:-1]


def _shape(block: Array, bins: NDArray[np.intp]) -> Array:
    binned = np.add.reduceat(block, bins, axis=1)
    scale = np.sqrt(np.maximum((binned**2).sum(1, keepdims=True), 1e-30))
    return np.asarray(binned / scale)


# --- the pixels -------------------------------------------------------------------------------


def _pixels(block: Array, plan: _Plan, settings: MapSettings) -> dict[str, Array]:
    maps: dict[str, Array] = {"anomaly": _anomaly(block, plan)}
    if plan.low_loss:
        maps |= _thickness(block, plan)
    elif plan.absorption:
        maps |= _absorption(block, plan)
    else:
        maps |= _elements(block, plan, settings)
    dead = ~np.isfinite(block).all(1) | (block == 0).all(1)
    refused = dead | (maps.pop("refused") > 0)
    answers = {name: np.where(dead, np.nan, values) for name, values in maps.items()}
    return answers | {"refused": refused.astype(float)}


def _anomaly(block: Array, plan: _Plan) -> Array:
    """Return the share of a spectrum's shape that the common components do not explain."""
    assert plan.components is not None
    shape = _shape(np.nan_to_num(block), _bins(block.shape[1]))
    rest = shape - (shape @ plan.components.T) @ plan.components
    return np.asarray((rest**2).sum(1))


def _thickness(block: Array, plan: _Plan) -> dict[str, Array]:
    zero = find_zero_loss(plan.energy, block)
    thickness = measure_thickness(plan.energy, block, zero)
    spread = np.abs(thickness.high - thickness.low) / 2
    return {
        "thickness": thickness.value,
        "thickness_sigma": np.hypot(thickness.sigma, spread),
        "zero_loss_position": zero.centre,
        "zero_loss_width": zero.full_width,
        "refused": ~np.isfinite(thickness.value),
    }


def _elements(block: Array, plan: _Plan, settings: MapSettings) -> dict[str, Array]:
    maps: dict[str, Array] = {}
    previous = -np.inf
    for edge, onset in plan.edges:
        low = max(onset - 50.0, previous + 25.0, plan.energy[0] + 25.0)
        previous = onset
        if onset - 4.0 - low < 8.0:
            continue
        background = fit_power_law(plan.energy, block, (low, onset - 4.0))
        window = (onset - 2.0, onset - 2.0 + settings.signal_width)
        counts, variance = edge_signal(plan.energy, block, background, window)
        name = edge.label.replace(" ", "_")
        sigma = np.sqrt(variance)
        maps[f"counts.{name}"], maps[f"counts.{name}_sigma"] = counts, sigma
        maps[f"background_exponent.{name}"] = background.exponent
        if edge.separation is not None:
            maps |= _white_lines(block, plan, edge, onset, background, settings)
    # a pixel in which no edge reaches three standard errors gives no answer
    strongest = [
        maps[n] / np.maximum(maps[f"{n}_sigma"], 1e-12)
        for n in maps
        if n.startswith("counts.") and not n.endswith("_sigma")
    ]
    best = np.max(strongest, axis=0) if strongest else np.zeros(len(block))
    maps["refused"] = (best < 3.0).astype(float)
    return maps


def _white_lines(
    block: Array,
    plan: _Plan,
    edge: NamedEdge,
    onset: float,
    background: Any,
    settings: MapSettings,
) -> dict[str, Array]:
    """Return the first white line over both, which follows the number of d or f electrons, and its error."""
    gap = separation(edge.element)
    half = 0.5 * gap
    first, var_first = edge_signal(plan.energy, block, background, (onset - 2.0, onset - 2.0 + half * 1.2))  # fmt: skip
    second, var_second = edge_signal(plan.energy, block, background, (onset + gap - 2.0, onset + gap - 2.0 + half * 1.2))  # fmt: skip
    total = first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = first / total
        sigma = np.sqrt((1 - ratio) ** 2 * var_first + ratio**2 * var_second) / np.abs(total)
    good = sigma < settings.white_line_error
    name = f"white_line_branching.{edge.element}"
    return {name: np.where(good, ratio, np.nan), f"{name}_sigma": sigma}


def _absorption(block: Array, plan: _Plan) -> dict[str, Array]:
    """Return edge jump and half-height position of every pixel of a XANES stack."""
    size = plan.energy.size
    ends = max(3, size // 8)
    pre, post = block[:, :ends].mean(1), np.median(block[:, -max(3, size // 5) :], axis=1)
    jump = post - pre
    noise = np.sqrt(np.mean(np.diff(block, n=2, axis=1) ** 2, axis=1) / 6)
    with np.errstate(divide="ignore", invalid="ignore"):
        normal = (block - pre[:, None]) / jump[:, None]
    above = normal >= 0.5
    index = np.argmax(above, axis=1)
    index = np.clip(index, 1, size - 1)
    rows = np.arange(len(block))
    low, high = normal[rows, index - 1], normal[rows, index]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((0.5 - low) / (high - low), 0, 1)
    position = plan.energy[index - 1] + share * (plan.energy[index] - plan.energy[index - 1])
    refused = ~above.any(1) | (np.abs(jump) < 3 * noise)
    return {
        "edge_jump": jump,
        "edge_position": np.where(refused, np.nan, position),
        "white_line_height": np.where(refused, np.nan, normal.max(1)),
        "refused": refused,
    }


# --- after the pixels -------------------------------------------------------------------------


def _say_plan(estimate: Estimate, plan: _Plan) -> None:
    if plan.found is None:
        return
    labels = [edge.label for edge, _ in plan.edges]
    estimate.diagnostics["edges"] = labels
    estimate.diagnostics["edge_probabilities"] = plan.found.probabilities
    if not labels:
        estimate.flag(
            "no_edge",
            "no edge of the table stands out of the sum spectrum",
            "give the elements with --elements, or sum neighbouring pixels",
        )
    elif min(plan.found.probabilities) < 0.9:
        estimate.flag(
            "edge_unsure",
            f"{', '.join(labels)}: the least certain name has a probability of {min(plan.found.probabilities):.0%}",
            "give the elements that can be present with --elements",
        )


def _summarise(estimate: Estimate, plan: _Plan) -> None:
    refused = float(np.asarray(estimate.arrays["refused"].values).mean())
    estimate.quantities["refused_share"] = Quantity(
        refused, "1", reason="share of the pixels without an answer"
    )
    if refused > 0.5:
        estimate.flag(
            "mostly_refused",
            f"{refused:.0%} of the pixels give no answer",
            "bin pixels before mapping: the counts of one pixel do not carry the edge",
        )
    values = np.asarray(estimate.arrays["anomaly"].values)
    middle = float(np.nanmedian(values))
    spread = 1.4826 * float(np.nanmedian(np.abs(values - middle)))
    odd = int(np.nansum(values > middle + 6 * max(spread, 1e-12)))
    estimate.diagnostics["anomalous_pixels"] = odd
    if odd:
        estimate.flag(
            "anomalous_pixels",
            f"{odd} pixel(s) have a shape that the others do not explain",
            "look at the anomaly map before averaging over the area",
        )


def _draw(estimate: Estimate, plan: _Plan, cube: xr.Dataset) -> None:
    shown = [
        n
        for n, a in estimate.arrays.items()
        if not n.endswith("_sigma") and a.ndim == 2 and (n != "refused" or bool(a.values.any()))
    ]
    panels = [_map_panel(name, estimate.arrays[name], cube) for name in shown]
    if panels:
        estimate.pictures.append(
            Picture(
                "maps",
                "Maps",
                panels,
                "White: no answer for that pixel. Colours run from the 1st to the 99th percentile.",
                columns=2,
                width=9.0,
                height=1.6 * ((len(panels) + 1) // 2) + 0.6,
            )
        )
    layers = [line(plan.energy, plan.mean, "mean of all pixels", "data")]
    if plan.edges:
        layers.append(mark(x=[onset for _, onset in plan.edges], label="edges mapped"))
    estimate.pictures.append(
        Picture(
            "mean-spectrum",
            "Mean spectrum and mapped edges",
            (Panel(layers, "energy (eV)", "counts per pixel"),),
            ", ".join(edge.label for edge, _ in plan.edges),
        )
    )


def _map_panel(name: str, values: xr.DataArray, cube: xr.Dataset) -> Panel:
    z = np.asarray(values.values, float)
    y_name, x_name = values.dims
    units = cube[x_name].attrs.get("units", "px") if x_name in cube.coords else "px"
    extent = {}
    for axis, dim in (("x", x_name), ("y", y_name)):
        at = cube[dim].values.astype(float) if dim in cube.coords else np.arange(z.shape[0])
        half = 0.5 * (at[1] - at[0]) if at.size > 1 else 0.5
        extent[axis] = (float(at[0] - half), float(at[-1] + half))
    finite = z[np.isfinite(z)]
    low, high = np.quantile(finite, [0.01, 0.99]) if finite.size else (0.0, 1.0)
    if name == "refused":
        low, high = 0.0, 1.0
    layer = image(
        z,
        extent["x"],
        extent["y"],
        origin="upper",
        vmin=float(low),
        vmax=float(max(high, low + 1e-12)),
    )
    return Panel(
        (layer,),
        f"x ({units})",
        f"y ({units})",
        name.replace(".", " ").replace("_", " "),
        color_label="" if values.attrs.get("units", "1") == "1" else values.attrs["units"],
        equal=True,
    )
