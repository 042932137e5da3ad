"""Pictures of alloy models and screens, as data: parity, calibration, funnel, maps, ternaries.

In: tables of predictions. Out: pictures that a person of the field would draw first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate
from matterscope.core.pictures import (
    Layer,
    Panel,
    Picture,
    bars,
    image,
    line,
    mark,
    points,
    steps,
    text,
)

if TYPE_CHECKING:
    from matterscope.materials.screens.streaming import Plan

FloatMap = NDArray[np.floating]
IntMap = NDArray[np.integer]
Ranges = tuple[tuple[float, float], tuple[float, float]]

SHORT = {
    "lattice_constant_pbe": "lattice, PBE", "lattice_constant_hse": "lattice, HSE",
    "decomposition_energy_pbe": "decomposition, PBE", "decomposition_energy_hse": "decomposition, HSE",
    "band_gap_pbe": "gap, PBE", "band_gap_hse": "gap, HSE", "refractive_index": "refractive index",
    "figure_of_merit": "log₁₀ FOM", "defect_formation_energy": "defect formation",
    "equilibrium_fermi_level": "Fermi level", "vacancy_level_a": "V_A (0/−)", "vacancy_level_x": "V_X (+/0)",
}  # fmt: skip


def short(name: str) -> str:
    """Return the short name of a property for panels."""
    return SHORT.get(name, name.replace("_", " "))


def with_unit(name: str, units: Mapping[str, str]) -> str:
    """Return "gap, HSE (eV)"."""
    unit = units.get(name, "1")
    return short(name) + ("" if unit == "1" else f" ({unit})")


def parity_picture(predictions: pd.DataFrame, units: Mapping[str, str]) -> Picture:
    """Return predicted against true values of left-out rows, with 68 % bars."""
    panels = []
    for name, part in predictions.groupby("property", sort=False):
        truth, value = part["truth"].to_numpy(), part["value"].to_numpy()
        half = part["half_width_68"].to_numpy()
        ends = [min(truth.min(), value.min()), max(truth.max(), value.max())]
        pure = ~part["formula"].str.contains(r"0\.\d").to_numpy()
        layers: list[Layer] = [line(ends, ends, role="reference")]
        for mask, label, role in ((pure, "pure", "data"), (~pure, "mixed", "series1")):
            if mask.any():
                layers.append(
                    points(truth[mask], value[mask], label, role,
                           y_low=(value - half)[mask], y_high=(value + half)[mask])
                )  # fmt: skip
        label = with_unit(str(name), units)
        panels.append(Panel(layers, x_label=f"table: {label}", y_label="left-out prediction"))
    rows = -(-len(panels) // 3)
    return Picture(
        "parity", "Left-out rows against the table", panels,
        "Every point was predicted without its group; bars are 68 % intervals.",
        columns=min(3, len(panels)), width=9.6, height=3.0 * rows,
    )  # fmt: skip


def calibration_picture(predictions: pd.DataFrame, units: Mapping[str, str]) -> Picture:
    """Return nominal against observed coverage, and the histogram of z over all properties."""
    levels = np.linspace(0.05, 0.98, 32)
    layers: list[Layer] = [line([0, 1], [0, 1], "ideal", "reference")]
    every = []
    for i, (name, part) in enumerate(predictions.groupby("property", sort=False)):
        z = ((part["value"] - part["truth"]) / part["sigma"]).to_numpy()
        every.append(z)
        half = np.array([NormalDist().inv_cdf(0.5 + level / 2) for level in levels])
        covered = (np.abs(z)[None] <= half[:, None]).mean(1)
        layers.append(line(levels, covered, short(str(name)), f"series{i % 8}"))
    z = np.clip(np.concatenate(every), -5, 5)
    edges = np.linspace(-5, 5, 41)
    share, _ = np.histogram(z, edges, density=True)
    middle = (edges[1:] + edges[:-1]) / 2
    normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    panels = [
        Panel(layers, x_label="stated level", y_label="observed coverage", equal=True),
        Panel([steps(edges, share, "left-out rows"), line(middle, normal, "unit normal", "reference")],
              x_label="(prediction − truth)/σ", y_label="density"),
    ]  # fmt: skip
    return Picture(
        "calibration", "Are the error bars right?", panels,
        "Left: share of left-out rows inside the interval. Right: residuals in units of σ, clipped at ±5.",
        columns=2, width=9.6, height=4.0,
    )  # fmt: skip


def funnel_picture(
    names: Sequence[str], by_mean: Sequence[float], expected: Sequence[float]
) -> Picture:
    """Return how many compounds pass each rule in turn, by mean and by expected count."""
    place = np.arange(len(names), dtype=float)
    panel = Panel(
        [
            bars(place - 0.2, np.maximum(by_mean, 0.5), "by predicted value", "series0", width=0.38),
            bars(place + 0.2, np.maximum(expected, 0.5), "expected count", "series1", width=0.38),
        ],
        x_ticks=list(names), y_scale="log", y_label="compounds", x_label="rules, one after the other",
    )  # fmt: skip
    return Picture(
        "funnel", "Screening funnel", [panel],
        "Compounds left after each rule; the expected count is the sum of the probabilities.",
    )  # fmt: skip


def property_map_picture(plan: Plan, best: FloatMap, density: IntMap, answer: Estimate) -> Picture:
    """Return gap against stability: the best figure of merit, and how many compounds pass, cell by cell."""
    x_name, y_name, colour = plan.map_axes
    units = answer.tables["best"].attrs.get("units", {}) if "best" in answer.tables else {}
    shown = np.where(np.isfinite(best), best, np.nan)
    front = answer.tables.get("pareto_front")
    layers: list[Layer] = [image(shown, *plan.map_ranges, short(colour))]
    limits = rule_marks(plan, x_name, y_name)
    title = "all compounds"
    if front is not None and len(front):
        layers.append(points(front[x_name], front[y_name], "", "flagged", size=5))
        title += "; points: Pareto front"
    panels = [
        Panel([*layers, *limits], x_label=with_unit(x_name, units), y_label=with_unit(y_name, units),
              color_label=f"largest {short(colour)}", title=title),
    ]  # fmt: skip
    if density.sum():
        logged = np.where(density > 0, np.log10(np.maximum(density, 1)), np.nan)
        cut, ranges = around(logged, plan.map_ranges)
        inside = [m for m in limits if within(m, ranges)]
        panels.append(
            Panel([image(cut, *ranges, "passing"), *inside], x_label=with_unit(x_name, units),
                  y_label=with_unit(y_name, units), color_label="log₁₀ of their number",
                  x_range=ranges[0], y_range=ranges[1], title="compounds that pass, enlarged")
        )  # fmt: skip
    return Picture(
        "property_map", "Gap and stability of the search", panels,
        f"Colour: the best {short(colour)} in each cell of predicted gap and decomposition energy; points: compounds no other beats in every objective; lines: limits of the rules.",
        columns=len(panels), width=9.6, height=4.2,
    )  # fmt: skip


def rule_marks(plan: Plan, x_name: str, y_name: str) -> list[Layer]:
    """Return the limits of the rules on the two axes of the map."""
    limits = [
        (rule.name, limit)
        for rule in plan.rules
        for limit in (rule.low, rule.high)
        if np.isfinite(limit) and rule.name in {x_name, y_name}
    ]
    return [mark(x=[v]) if name == x_name else mark(y=[v]) for name, v in limits]


def around(cells: FloatMap, ranges: Ranges, margin: int = 2) -> tuple[FloatMap, Ranges]:
    """Return the part of a map that holds numbers, a few cells more on every side, and its ranges."""
    rows, columns = np.nonzero(np.isfinite(cells))
    new = []
    parts = []
    for found, count, (low, high) in zip((columns, rows), cells.shape[::-1], ranges, strict=True):
        first, last = max(int(found.min()) - margin, 0), min(int(found.max()) + margin + 1, count)
        width = (high - low) / count
        new.append((low + first * width, low + last * width))
        parts.append(slice(first, last))
    return cells[parts[1], parts[0]], (new[0], new[1])


def within(layer: Layer, ranges: Ranges) -> bool:
    """Return whether a rule across the panel lies inside its ranges."""
    axis = "x" if layer.data.get("x") is not None else "y"
    low, high = ranges[0 if axis == "x" else 1]
    return bool(low <= float(np.ravel(layer.data[axis])[0]) <= high)


def species_picture(species: pd.DataFrame) -> Picture:
    """Return the mean fraction of each species among the survivors and in the whole search."""
    place = np.arange(len(species), dtype=float)
    panel = Panel(
        [
            bars(place - 0.2, species["mean_fraction_all"], "all compounds", "muted", width=0.38),
            bars(place + 0.2, species["mean_fraction_passing"], "passing", "series0", width=0.38),
        ],
        x_ticks=list(species["species"]), y_label="mean fraction of its site", x_label="species",
    )  # fmt: skip
    return Picture(
        "species", "What the survivors are made of", [panel],
        "Mean site fraction of each species among compounds that pass, beside the whole search.",
    )  # fmt: skip


def ternary_picture(plan: Plan, listed: pd.DataFrame) -> Picture | None:
    """Return the probability of passing over the ternary of three B species.

    They are the three most frequent in the list of the best; A and X stay those of the best compound.
    """
    from matterscope.materials.alloys.compositions import parse_formula
    from matterscope.materials.screens.rules import joint_draws, joint_probability
    from matterscope.materials.screens.streaming import evaluate

    grid = plan.space.grids[1]
    if len(grid.species) < 3 or grid.steps < 2 or not plan.rules:
        return None
    parsed = [parse_formula(str(f)) for f in listed["formula"].head(50)]
    found = parsed[0]
    weight = {s: sum(c["B"].get(s, 0.0) for c in parsed) for s in grid.species}
    shares = sorted(grid.species, key=lambda s: -weight[s])[:3]
    corner = [grid.species.index(s) for s in shares]
    counts = {
        s: np.array([[round(found[s].get(n, 0.0) * g.steps) for n in g.species]])
        for s, g in zip("ABX", plan.space.grids, strict=True)
    }
    every = grid.unrank(np.arange(grid.size)).astype(int)
    rows = np.flatnonzero(every[:, corner].sum(1) == grid.steps)
    a = int(plan.space.grids[0].rank(counts["A"])[0])
    x = int(plan.space.grids[2].rank(counts["X"])[0])
    where = [plan.names.index(r.name) for r in plan.rules]
    chance = np.empty(len(rows))
    for i, b in enumerate(rows):
        pair = a * grid.size + int(b)
        values, sigmas = evaluate(plan, pair, pair + 1)
        _, every_p = joint_probability(
            plan.rules, values[where][:, 0, x][None], sigmas[where][:, 0, x][None],
            joint_draws(plan.correlation), plan.threshold,
        )  # fmt: skip
        chance[i] = every_p[0]
    part = every[rows][:, corner] / grid.steps
    layers: list[Layer] = [line([0, 1, 0.5, 0], [0, 0, np.sqrt(3) / 2, 0], role="muted")]
    bands = (
        (0.0, 0.1, "muted"),
        (0.1, 0.5, "series0"),
        (0.5, 0.8, "series1"),
        (0.8, 1.01, "series2"),
    )
    horizontal, vertical = part[:, 1] + part[:, 2] / 2, part[:, 2] * np.sqrt(3) / 2
    for low, high, role in bands:
        mask = (chance >= low) & (chance < high)
        if mask.any():
            label = f"P {low:g}–{min(high, 1):g}"
            layers.append(points(horizontal[mask], vertical[mask], label, role, size=9))
    layers.append(text([-0.07, 1.07, 0.5], [-0.07, -0.07, 0.93], shares))
    # empty names: a ternary has no axes
    panel = Panel(
        layers,
        equal=True,
        x_range=(-0.15, 1.15),
        y_range=(-0.12, 1.0),
        x_ticks=("",),
        y_ticks=("",),
    )
    rest = {s: "".join(found[s]) for s in "AX"}
    return Picture(
        "ternary", f"Probability of passing, {rest['A']}({'–'.join(shares)}){rest['X']}₃", [panel],
        "Each point is one composition of the B site; A and X are those of the best compound.",
        width=5.2, height=4.6,
    )  # fmt: skip
