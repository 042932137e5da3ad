"""Pictures of alloy models and screens, as data: parity, calibration, funnel, maps, ternaries.

In: tables of predictions. Out: pictures that a person of the field would draw first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd

from matterscope.core.pictures import Layer, Panel, Picture, bars, line, points, steps

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
