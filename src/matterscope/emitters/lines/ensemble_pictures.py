"""Pictures of many emitters: centres and widths with their population, width against temperature.

In: tables and draws. Out: `Picture`s as data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.pictures import Panel, Picture, line, mark, points, span, steps
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
    edges = np.histogram_bin_edges(values, bins=min(max(8, int(np.sqrt(values.size) * 2)), 40))
    number, _ = np.histogram(values, edges)
    grid = np.linspace(edges[0] - 0.1 * np.ptp(edges), edges[-1] + 0.1 * np.ptp(edges), 200)
    error = float(np.median(table["centre_sigma"].fillna(0)))
    laws = parts or [(1.0, middle, spread)]
    curve = sum(
        share
        * np.exp(-0.5 * ((grid - m) / np.hypot(w, error)) ** 2)
        / np.hypot(w, error)
        / np.sqrt(2 * np.pi)
        for share, m, w in laws
    )
    panels = [
        Panel(
            [
                span(middle - spread, middle + spread, label="μ ± σ"),
                steps(edges, number, "emitters"),
                line(grid, np.asarray(curve) * values.size * (edges[1] - edges[0]), "population"),
            ],
            "centre (eV)",
            "emitters",
            title=f"{HC / middle:.1f} ± {spread * HC / middle**2:.1f} nm",
        )
    ]
    widths = 1e3 * table["width"].dropna().to_numpy()
    if widths.size >= 3:
        bins = np.histogram_bin_edges(widths, bins=min(max(8, int(np.sqrt(widths.size) * 2)), 40))
        count, _ = np.histogram(widths, bins)
        panels.append(
            Panel(
                [steps(bins, count, "emitters"), mark(x=[25.42], label="kT at 295 K")],
                "width (meV)",
                "emitters",
            )
        )
    return Picture(
        "ensemble",
        f"{len(table)} emitters at {middle:.4f} eV ± {1e3 * spread:.1f} meV",
        panels,
        caption="Left: centres with mean and intrinsic scatter, measurement errors removed. Right: widths.",
        columns=2,
        width=7.6,
        height=3.2,
    )


def linewidth(
    t: Floats, y: Floats, s: Floats, grid: Floats, curves: dict[str, Floats], best: int
) -> Picture:
    """Return the width against temperature with the laws, the preferred one in front."""
    names = list(curves)
    layers = [line(grid, curves[n], n, "muted") for k, n in enumerate(names) if k != best]
    layers += [
        line(grid, curves[names[best]], f"preferred: {names[best]}"),
        points(t, y, "measured", y_low=y - s, y_high=y + s),
    ]
    return Picture(
        "linewidth",
        "Width against temperature",
        [Panel(layers, "temperature (K)", "full width (meV)", y_range=(0, 1.2 * float(y.max())))],
        caption="Bars are standard errors; the law is chosen by the Bayesian information criterion.",
    )
