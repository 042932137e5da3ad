"""Pictures of many emitters: centres and widths with their population, width against temperature.

In: tables and draws. Out: `Picture`s as data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from matterscope.core.pictures import Layer, Panel, Picture, line, mark, points, span, steps
from matterscope.core.units import HC

Floats = NDArray[np.float64]


def ensemble(
    table: pd.DataFrame,
    mean: Floats,
    scatter: Floats,
    parts: list[tuple[float, float, float]] | None,
) -> Picture:
    """Return histograms of centre and width with the population behind them."""
    values = table["centre"].to_numpy()
    middle, spread = float(np.median(mean)), float(np.median(scatter))
    error = float(np.median(table["centre_sigma"].fillna(0)))
    laws = [
        (share, m, float(np.hypot(w, error))) for share, m, w in parts or [(1.0, middle, spread)]
    ]
    title = f"{HC / middle:.1f} ± {spread * HC / middle**2:.1f} nm"
    band = span(middle - spread, middle + spread, label="μ ± σ")
    panels = [Panel([band, *_spread(values, laws)], "centre (eV)", _of(values), title=title)]
    widths = 1e3 * table["width"].dropna().to_numpy()
    if widths.size >= 3:
        warm = mark(x=[25.42], label="kT at 295 K")
        panels.append(Panel([*_spread(widths, []), warm], "width (meV)", _of(widths)))
    return Picture(
        "ensemble",
        f"{len(table)} emitters at {middle:.4f} eV ± {1e3 * spread:.1f} meV",
        panels,
        caption="Left: centres with mean and intrinsic scatter, measurement errors removed. Right: widths.",
        columns=2,
        width=7.6,
        height=3.2,
    )


FEW = 20
"""Emitters below which a histogram says less than their order does."""


def _of(values: Floats) -> str:
    return "share of emitters below" if values.size < FEW else "emitters"


def _spread(values: Floats, laws: list[tuple[float, float, float]]) -> list[Layer]:
    """Return the values as a histogram, few of them as a cumulative share, with their population."""
    if values.size < FEW:
        x = np.sort(values)
        grid = np.linspace(x[0] - 0.3 * np.ptp(x), x[-1] + 0.3 * np.ptp(x), 200)
        layers: list[Layer] = [points(x, (np.arange(x.size) + 0.5) / x.size, "emitters")]
        if laws:
            curve = sum(share * ndtr((grid - m) / w) for share, m, w in laws)
            layers.append(line(grid, np.asarray(curve), "population"))
        return layers
    edges = np.histogram_bin_edges(values, bins=min(max(8, int(np.sqrt(values.size) * 2)), 40))
    number, _ = np.histogram(values, edges)
    layers = [steps(edges, number, "emitters")]
    if laws:
        grid = np.linspace(edges[0] - 0.1 * np.ptp(edges), edges[-1] + 0.1 * np.ptp(edges), 200)
        curve = sum(
            share * np.exp(-0.5 * ((grid - m) / w) ** 2) / w / np.sqrt(2 * np.pi)
            for share, m, w in laws
        )
        height = values.size * (edges[1] - edges[0])
        layers.append(line(grid, np.asarray(curve) * height, "population"))
    return layers


def linewidth(
    t: Floats, y: Floats, s: Floats, grid: Floats, curves: dict[str, Floats], best: int
) -> Picture:
    """Return the width against temperature with the laws, the preferred one in front."""
    names = list(curves)
    layers = _laws(t, y, s, grid, curves, names[best])
    return Picture(
        "linewidth",
        "Width against temperature",
        [Panel(layers, "temperature (K)", "full width (meV)", y_range=(0, 1.2 * float(y.max())))],
        caption="Bars are standard errors; the law is chosen by the Bayesian information criterion.",
    )


def shift(
    t: Floats, y: Floats, s: Floats, grid: Floats, curves: dict[str, Floats], best: int
) -> Picture:
    """Return the centre against temperature with the laws, from its value for T → 0."""
    layers = _laws(t, y, s, grid, curves, list(curves)[best])
    return Picture(
        "shift",
        "Centre against temperature",
        [Panel(layers, "temperature (K)", "shift of the centre (meV)")],
        caption="From the preferred law's value for T → 0; bars are standard errors.",
    )


def _laws(
    t: Floats, y: Floats, s: Floats, grid: Floats, curves: dict[str, Floats], best: str
) -> list[Layer]:
    """Return the measured points and all laws, the preferred one in front."""
    others = [n for n in curves if n != best]
    layers: list[Layer] = [
        line(grid, curves[n], n, f"series{k + 2}", width=0.8) for k, n in enumerate(others)
    ]
    layers += [
        line(grid, curves[best], f"preferred: {best}"),
        points(t, y, "measured", y_low=y - s, y_high=y + s),
    ]
    return layers
