"""Pictures of a map: the scan with its sites and lattice, brightness with its mixture.

In: counts, sites, a registered array. Out: `Picture`s as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.pictures import Panel, Picture, image, line, points, steps

if TYPE_CHECKING:
    from matterscope.emitters.sites.arrays import Occupation, Registration, Sites
    from matterscope.emitters.sites.detection import Found

Floats = NDArray[np.float64]
CLASSES = (("no emitter", "muted"), ("one emitter", "series1"), ("two or more", "series3"))


def sites(
    counts: Floats,
    data: xr.Dataset,
    found: Found,
    array: Registration | None,
    law: Occupation | None,
) -> Picture:
    """Return the map with the sites found or, on a lattice, with the class of each site."""
    x, y, units = data["x"].values, data["y"].values, str(data["x"].attrs["units"])
    shown, skip = counts, max(1, -(-max(counts.shape) // 360))
    if skip > 1:
        ny, nx = (n // skip * skip for n in counts.shape)
        shown = counts[:ny, :nx].reshape(ny // skip, skip, nx // skip, skip).mean(axis=(1, 3))
    low, high = np.nanpercentile(counts, [1, 99.7])
    layers = [image(shown, (x[0], x[-1]), (y[0], y[-1]), vmin=float(low), vmax=float(high))]
    if array is None or law is None:
        layers.append(
            points(
                np.interp(found.sites["x"], np.arange(x.size), x),
                np.interp(found.sites["y"], np.arange(y.size), y),
                f"{len(found.sites)} sites",
                "flagged",
                marker="o",
                markersize=5,
                hollow=True,
            )
        )
        title = f"{len(found.sites)} sites, no lattice"
    else:
        kind = law.classes.argmax(axis=1)
        for k, (name, role) in enumerate(CLASSES):
            chosen = array.places[kind == k]
            layers.append(
                points(
                    np.interp(chosen[:, 0], np.arange(x.size), x),
                    np.interp(chosen[:, 1], np.arange(y.size), y),
                    f"{name}: {len(chosen)}",
                    role,
                    marker="o",
                    markersize=5,
                    hollow=True,
                )
            )
        title = f"{len(array.nodes)} sites on a lattice of pitch {float(array.lattice.pitch.mean()) * float(np.median(np.diff(x))):.3g} {units}"
    return Picture(
        "map",
        title,
        [Panel(layers, f"x ({units})", f"y ({units})", equal=True, color_label="counts")],
        caption="Each site has the colour of its most probable class; the table 'array' holds the probabilities."
        if array
        else "Sites that stand out of the noise at the stated share of false ones.",
        width=6.4,
        height=5.6,
    )


def brightness(found: Sites) -> Picture:
    """Return the heights of the sites against the fitted mixture over numbers of emitters."""
    from matterscope.emitters.sites.arrays import _brightness_law, _number_law

    heights, law = found.heights, found.law
    top = float(np.quantile(heights, 0.995)) * 1.15
    edges = np.linspace(min(float(heights.min()), 0.0), top, 41)
    number, _ = np.histogram(heights, edges)
    grid = np.linspace(edges[0], top, 300)
    width = edges[1] - edges[0]
    median, spread, mean = (
        float(np.median(v)) for v in (law.brightness, law.spread, law.mean_number)
    )
    shares = np.exp(_number_law(mean, 0.0))
    sigma = float(np.median(found.sigma))
    layers = [steps(edges, number, "sites")]
    total = np.zeros(grid.size)
    for n in range(4):
        if n == 0:
            density = np.exp(-0.5 * (grid / sigma) ** 2) / sigma / np.sqrt(2 * np.pi)
        else:
            middle, wide = _brightness_law(n, np.log(median), spread)
            safe = np.maximum(grid, 1e-9)
            wide = float(np.hypot(wide, sigma / np.exp(middle)))
            density = (
                np.exp(-0.5 * ((np.log(safe) - middle) / wide) ** 2)
                / safe
                / wide
                / np.sqrt(2 * np.pi)
                * (grid > 0)
            )
        curve = density * shares[n] * heights.size * width
        curve = np.where(curve > 1e-6, curve, 0.0)
        total += curve
        layers.append(
            line(
                grid,
                np.minimum(curve, 1.3 * max(number.max(), 1)),
                f"{n} emitter{'s' if n != 1 else ''}",
                f"series{n}",
            )
        )
    return Picture(
        "brightness",
        f"{mean:.2f} emitters per site",
        [
            Panel(
                layers,
                "height of the site (counts)",
                "sites",
                y_range=(0, 1.15 * float(max(number.max(), 1))),
            )
        ],
        caption="Heights of all sites and the mixture that explains them: a sum of n lognormal brightnesses on top of the background's noise.",
    )
