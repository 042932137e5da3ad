"""Oxidation state from the position of an edge, calibrated on standards of known state.

In: spectra of one edge on one axis, and a table of the states of some. Out: the state of the others,
with the index of edge position chosen inside leave-one-out and an interval from the same.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.pictures import Panel, Picture, line, points, text
from matterscope.io.reading import measurements
from matterscope.physics.curves import cumulative_shape
from matterscope.spectra.measured.alignment import half_step
from matterscope.spectra.measured.quality import SEVERE, Examined, examine_all
from matterscope.spectra.measured.reduction import derivative_edge, integral_edge

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import OxidationSettings

Floats = NDArray[np.float64]

LEAST = 4
"""Standards below which no line is drawn."""


def _shape(seen: Examined) -> tuple[Floats, Floats]:
    assert seen.normalised is not None
    return seen.normalised.energy, seen.normalised.mu


def derivative(seen: Examined) -> float:
    """Return the steepest rise (eV): unstable where an edge has a shoulder."""
    return derivative_edge(*_shape(seen), seen.position)


def smooth_derivative(seen: Examined) -> float:
    """Return the steepest rise after 1 eV of Gaussian smoothing (eV)."""
    return derivative_edge(*_shape(seen), seen.position, smoothing=1.0)


def half(seen: Examined) -> float:
    """Return E½, the crossing of half the edge step (eV)."""
    energy, mu = _shape(seen)
    near = energy > seen.position - 25
    return half_step(energy[near], mu[near], 1.0)


def integral(seen: Examined) -> float:
    """Return the mean energy of the rise from 0.15 to 1 (eV)."""
    energy, mu = _shape(seen)
    near = energy > seen.position - 25
    return integral_edge(energy[near], mu[near])


def centroid(seen: Examined) -> float:
    """Return Σ (1 − c_j) ΔE on table − 15 … + 40 eV: where the cumulated absorption stands (eV)."""
    grid = seen.table + np.arange(-15.0, 40.0, 0.25)
    share = cumulative_shape(np.interp(grid, *_shape(seen)))
    return float(grid[0] + np.sum(1 - share) * 0.25)


def white_line(seen: Examined) -> float:
    """Return the energy of the highest point within 30 eV above E½."""
    energy, mu = _shape(seen)
    near = (energy > seen.position - 2) & (energy < seen.position + 30)
    return float(energy[near][int(np.argmax(mu[near]))])


INDICES: dict[str, Callable[[Examined], float]] = {
    "derivative": derivative,
    "smooth derivative": smooth_derivative,
    "half step": half,
    "integral": integral,
    "centroid": centroid,
    "white line": white_line,
}
"""Name → function of an examined spectrum, in eV on its own axis."""


@dataclass
class Line:
    """state = a + b · (index − centre), and the left-out errors of its standards."""

    name: str
    centre: float
    coefficients: tuple[float, float]
    left_out: Floats
    """Signed errors of each standard predicted without it."""

    def __call__(self, position: float) -> float:
        """Return the state at a position (eV)."""
        return self.coefficients[0] + self.coefficients[1] * (position - self.centre)


def fit_line(name: str, positions: Floats, states: Floats) -> Line:
    """Return the least-squares line and its leave-one-out residuals e_i/(1 − h_i)."""
    centre = float(positions.mean())
    x = np.column_stack([np.ones(positions.size), positions - centre])
    hat = x @ np.linalg.pinv(x)
    a, b = np.linalg.lstsq(x, states, rcond=None)[0]
    error = (states - x @ np.array([a, b])) / np.maximum(1 - np.diag(hat), 1e-9)
    return Line(name, centre, (float(a), float(b)), error)


def best_line(table: dict[str, Floats], states: Floats) -> Line:
    """Return the line of the index with the smallest left-out mean absolute error."""
    lines = [
        fit_line(name, values, states)
        for name, values in table.items()
        if np.isfinite(values).all()
    ]
    if not lines:
        raise DataError("no index of edge position exists for all standards")
    return min(lines, key=lambda found: float(np.mean(np.abs(found.left_out))))


def nested_errors(table: dict[str, Floats], states: Floats) -> tuple[Floats, list[str]]:
    """Return the error of each standard when index and line were chosen without it, and the choices."""
    errors, chosen = [], []
    for i in range(states.size):
        rest = np.arange(states.size) != i
        found = best_line({n: v[rest] for n, v in table.items()}, states[rest])
        errors.append(found(float(table[found.name][i])) - states[i])
        chosen.append(found.name)
    return np.array(errors), chosen


def calibrate_oxidation(
    inputs: list[Input], settings: OxidationSettings, call: Call
) -> list[Estimate]:
    """Calibrate edge position against the standards of a table and answer the other spectra."""
    states = read_states(Path(settings.states))
    seen: list[tuple[InputRef, Examined]] = []
    for given in inputs:
        for spectrum in examine_all(measurements(given, "spectrum")):
            source = spectrum.dataset.attrs.get("source") or {}
            ref = InputRef(
                given.source, str(source.get("selector") or given.selector), given.sha256
            )
            seen.append((ref, spectrum))
    usable = [(r, s) for r, s in seen if not s.codes & SEVERE and s.element]
    edges = {s.element + " " + s.edge for _, s in usable if s.label in states}
    if len(edges) != 1:
        raise DataError("one calibration has one edge", got=", ".join(sorted(edges)) or "none")
    (edge,) = edges
    known = [(r, s, states[s.label]) for r, s in usable if s.label in states]
    if len(known) < LEAST:
        raise DataError(
            "too few standards", got=len(known), expected=f"at least {LEAST} labels of {settings.states}"
        )  # fmt: skip
    table = {n: np.array([f(s) for _, s, _ in known]) for n, f in INDICES.items()}
    truth = np.array([q for _, _, q in known])
    found = best_line(table, truth)
    errors, chosen = nested_errors(table, truth)
    first = _calibration(known, table, found, errors, chosen, call)
    answers = [first]
    for ref, spectrum in seen:
        if spectrum.label not in states:
            answer = _answer(ref, spectrum, found, table[found.name], errors, call)
            if f"{spectrum.element} {spectrum.edge}" != edge:
                answer.quantities["oxidation_state"] = refused("1", f"this is no {edge} edge")
            answers.append(answer)
    return answers


def read_states(path: Path) -> dict[str, float]:
    """Return label → oxidation state from a CSV with the columns ``label`` and ``state``."""
    if not path.is_file():
        raise ReadError(
            "there is no table of states",
            where=str(path),
            hint="--states FILE.csv with label,state",
        )
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    try:
        return {row["label"]: float(row["state"]) for row in rows if row["state"].strip()}
    except (KeyError, ValueError) as error:
        raise ReadError(
            f"the table of states is not understood: {error}",
            where=str(path),
            expected="label,state",
        ) from error


def _half_width(errors: Floats, level: float) -> float:
    """Half width from left-out errors: their ⌈(n+1)·level⌉-th size, or a normal law when n is small."""
    from statistics import NormalDist

    sizes = np.sort(np.abs(errors))
    rank = int(np.ceil((sizes.size + 1) * level))
    normal = NormalDist().inv_cdf(0.5 + level / 2) * float(np.sqrt(np.mean(errors**2)))
    return float(sizes[rank - 1]) if rank <= sizes.size else max(float(sizes[-1]), normal)


def _calibration(
    known: list[tuple[InputRef, Examined, float]],
    table: dict[str, Floats],
    found: Line,
    errors: Floats,
    chosen: list[str],
    call: Call,
) -> Estimate:
    estimate = Estimate("spectra oxidation", known[0][0])
    mae = float(np.mean(np.abs(errors)))
    draws = call.rng("bootstrap").integers(0, errors.size, (1000, errors.size))
    low, high = np.quantile(np.abs(errors)[draws].mean(axis=1), [0.05, 0.95])
    estimate.quantities["oxidation_mae"] = Quantity(
        mae, "1", intervals=(Interval(0.9, float(low), float(high)),)
    )
    truth = np.array([q for _, _, q in known])
    frame = pd.DataFrame(
        {
            "label": [s.label for _, s, _ in known],
            "state": truth,
            **{f"{n}": v for n, v in table.items()},
            "left_out_error": errors,
            "index_chosen_without_it": chosen,
        }
    )
    frame.attrs["units"] = dict.fromkeys(table, "eV")
    estimate.tables["standards"] = frame
    rows = [
        {"index": n, "mean_absolute_error": float(np.mean(np.abs(fit_line(n, v, truth).left_out)))}
        for n, v in table.items()
    ]
    rows.append({"index": "mean of the standards", "mean_absolute_error": float(np.mean(np.abs(truth - truth.mean())))})  # fmt: skip
    rows.append({"index": "chosen inside leave-one-out", "mean_absolute_error": mae})
    estimate.tables["indices"] = pd.DataFrame(rows)
    estimate.diagnostics |= {"index": found.name, "slope_per_ev": found.coefficients[1]}
    # a standard that the others contradict by three times their own error stands on another axis
    for (_, s, _), error in zip(known, errors, strict=True):
        rest = np.median(np.abs(errors)) * 1.4826
        if abs(error) > max(3 * rest, 0.5):
            estimate.flag(
                "standard_disagrees",
                f"'{s.label}' misses the line of the others by {error:+.2f}: its axis or its state is suspect.",
                "measure it with a foil on the same axis",
            )
        for flag in s.flags:
            if flag.code in {
                "axis_offset",
                "axis_moved",
                "axis_outlier",
                "foil_offset",
                "repeat_drift",
            }:
                estimate.flag(flag.code, f"{s.label}: {flag.message}", flag.remedy)
    x = table[found.name]
    ends = np.array([x.min() - 0.5, x.max() + 0.5])
    labels = [s.label for _, s, _ in known]
    panel = Panel(
        [
            line(ends, [found(float(e)) for e in ends], "least squares", "model"),
            points(x, truth, "standards", "data"),
            text(x, truth, labels),
        ],
        f"{found.name} / eV",
        "oxidation state",
    )
    estimate.pictures.append(
        Picture("calibration", "Edge position against oxidation state", [panel], f"Index chosen by leave-one-out: {found.name}.")
    )  # fmt: skip
    estimate.provenance["references"] = [
        "Wong, Lytle, Messmer and Maylotte, Phys. Rev. B 30, 5596 (1984)",
        "Capehart, Herbst, Mishra and Pinkerton, Phys. Rev. B 52, 7907 (1995)",
    ]
    return estimate


def _answer(
    ref: InputRef, seen: Examined, found: Line, standards: Floats, errors: Floats, call: Call
) -> Estimate:
    estimate = Estimate("spectra oxidation", ref, flags=list(seen.flags))
    if seen.codes & SEVERE or not seen.element:
        estimate.quantities["oxidation_state"] = refused("1", "the spectrum cannot be used")
        return estimate
    position = INDICES[found.name](seen)
    value = found(position)
    if not standards.min() - 1.0 <= position <= standards.max() + 1.0:
        estimate.flag(
            "extrapolated", "The edge lies outside the standards.", "measure a standard beyond it"
        )
    intervals = tuple(
        Interval(level, value - _half_width(errors, level), value + _half_width(errors, level))
        for level in call.levels
    )
    estimate.quantities["oxidation_state"] = Quantity(value, "1", intervals=intervals)
    details: dict[str, Any] = {"index": found.name, "position_ev": position}
    estimate.diagnostics |= details
    return estimate
