"""Pictures of levels: ladders in the gap, parity by host, calibration, low against high fidelity.

In: tables of levels. Out: `Picture`s as data.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.pictures import (
    Layer,
    Panel,
    Picture,
    bars,
    image,
    line,
    mark,
    points,
    span,
    steps,
    text,
)
from matterscope.materials.transitions.tables import SITES

Array = NDArray[np.float64]
SHOWN_HOSTS = 7


def parity_picture(predictions: pd.DataFrame) -> Picture:
    """Return predicted against computed levels, each host predicted from the others only."""
    error = (predictions["value"] - predictions["truth"]).abs()
    worst = (
        error.groupby(predictions["host"]).mean().sort_values(ascending=False).index[:SHOWN_HOSTS]
    )
    rest = ~predictions["host"].isin(worst)
    low = float(min(predictions["truth"].min(), predictions["value"].min())) - 0.3
    high = float(max(predictions["truth"].max(), predictions["value"].max())) + 0.3
    layers: list[Layer] = [line([low, high], [low, high], "equal", "reference")]
    if rest.any():
        layers.append(_parity_points(predictions[rest], "other hosts", "muted"))
    layers += [
        _parity_points(predictions[predictions["host"] == h], str(h), f"series{i}")
        for i, h in enumerate(worst)
    ]
    panel = Panel(
        layers,
        "level from the table (eV)",
        "level predicted without its host (eV)",
        x_range=(low, high),
        y_range=(low, high),
        equal=True,
    )
    return Picture(
        "parity",
        "Levels of hosts that were left out",
        (panel,),
        "Each point is one transition level of a host whose defects the model has not seen; bars are 68 %. The seven hosts with the largest errors are coloured.",
        width=5.6,
        height=5.2,
    )


def _parity_points(rows: pd.DataFrame, label: str, role: str) -> Layer:
    # half a thousand points say all that three thousand do
    some = rows.iloc[:: max(1, len(rows) // 500)]
    half = some["half_68"]
    return points(
        some["truth"],
        some["value"],
        label,
        role,
        y_low=some["value"] - half,
        y_high=some["value"] + half,
        size=2.5,
    )


def hosts_picture(hosts: pd.DataFrame) -> Picture:
    """Return the error of each host with its baseline, the farthest host first."""
    at = np.arange(len(hosts))
    layers = [
        bars(at, hosts["rmse"], "this model", "model"),
        points(at, hosts["blind_rmse"], "mean of the other hosts", "reference", size=4),
    ]
    far = np.flatnonzero(~hosts["in_domain"].to_numpy())
    if far.size:
        layers.insert(0, span(-0.5, float(far.max()) + 0.5, label="outside the domain"))
    panel = Panel(
        layers,
        "host left out, the one farthest from the others first",
        "RMSE of its levels (eV)",
        x_ticks=[str(h) for h in hosts["host"]],
    )
    return Picture(
        "hosts",
        "Error by host",
        (panel,),
        "Root-mean-square error of all levels of a host that the model has not seen.",
        width=8.0,
    )


def calibration_picture(predictions: pd.DataFrame) -> Picture:
    """Return coverage of the intervals and the law of the standardised errors."""
    z = ((predictions["value"] - predictions["truth"]) / predictions["sigma"]).to_numpy()
    nominal = np.linspace(0.05, 0.99, 40)
    width = np.array([NormalDist().inv_cdf(0.5 + p / 2) for p in nominal])
    seen = (np.abs(z)[:, None] <= width[None]).mean(0)
    left = Panel(
        [
            line([0, 1], [0, 1], "ideal", "reference"),
            line(nominal, seen, "hosts left out", "model"),
        ],
        "nominal share inside ±kσ",
        "share seen",
        x_range=(0, 1),
        y_range=(0, 1),
    )
    edges = np.linspace(-4, 4, 41)
    count = np.histogram(np.clip(z, -4, 4), edges)[0] / len(z) / (edges[1] - edges[0])
    centre = 0.5 * (edges[1:] + edges[:-1])
    right = Panel(
        [
            steps(edges, count, "errors / σ", "data"),
            line(
                centre,
                np.exp(-0.5 * centre**2) / np.sqrt(2 * np.pi),
                "standard normal",
                "reference",
            ),
        ],
        "(predicted − true) / σ",
        "density",
    )
    return Picture(
        "calibration",
        "Do the error bars mean what they say?",
        (left, right),
        f"Standard deviation of the standardised errors {z.std():.2f} (ideal 1); all levels of all hosts, each host left out.",
        columns=2,
        width=8.4,
    )


def ladder_picture(
    levels: pd.DataFrame, gaps: dict[str, float], offsets: dict[str, float], *, most: int = 24
) -> Picture:
    """Return level ladders, one column a defect; valence bands at their depth below the vacuum scale.

    Parameters
    ----------
    levels : DataFrame
        host, defect, level (name), value, low, high; eV from the valence-band maximum.
    gaps, offsets : dict of host to eV
        Gap, and valence-band maximum on a scale common to all hosts.
    """
    columns = list(dict.fromkeys(zip(levels["host"], levels["defect"], strict=True)))[:most]
    layers: list[Layer] = []
    ticks, places, values, low, high, names = [], [], [], [], [], []
    for index, (host, defect) in enumerate(columns):
        base = offsets.get(host, 0.0)
        layers.append(
            line(
                [index - 0.45, index + 0.45],
                [base, base],
                "valence band" if index == 0 else "",
                "reference",
                width=2.5,
            )
        )
        layers.append(
            line(
                [index - 0.45, index + 0.45],
                [base + gaps[host]] * 2,
                "conduction band" if index == 0 else "",
                "truth",
                width=2.5,
            )
        )
        rows = levels[(levels["host"] == host) & (levels["defect"] == defect)]
        places += [index] * len(rows)
        values += (rows["value"] + base).tolist()
        low += (rows["low"] + base).tolist()
        high += (rows["high"] + base).tolist()
        names += [f"  {n}" for n in rows["level"]]
        ticks.append(f"{defect} in {host}")
    layers.append(points(places, values, "68 %", "model", y_low=low, y_high=high, size=4, bar=3.0))
    # one stroke a level, a gap between strokes
    strokes = np.column_stack(
        [np.array(places) - 0.28, np.array(places) + 0.28, np.full(len(places), np.nan)]
    )
    heights = np.column_stack([values, values, np.full(len(values), np.nan)])
    layers.append(line(strokes.ravel(), heights.ravel(), "level", "model", width=2.0))
    if len(columns) <= 8:
        layers.append(text(np.array(places) + 0.26, values, names, "muted"))
    bottom = min([offsets.get(h, 0.0) for h, _ in columns]) - 2.5
    top = max([offsets.get(h, 0.0) + gaps[h] for h, _ in columns]) + 2.0
    common = len({h for h, _ in columns}) > 1
    label = (
        "energy on the scale of free atoms (eV)" if common else "energy above the valence band (eV)"
    )
    panel = Panel(layers, "", label, x_ticks=ticks, y_range=(bottom, top))
    note = "Hosts are aligned by their tight-binding valence bands (Harrison)." if common else ""
    return Picture(
        "ladder",
        "Transition levels",
        (panel,),
        f"Each level with its 68 % interval. {note}",
        width=max(6.0, 0.55 * len(columns) + 3),
        height=4.6,
    )


def map_picture(levels: pd.DataFrame, gaps: dict[str, float]) -> Picture:
    """Return two maps, impurity against host: the donor level (+1/0) and the acceptor level (0/−1).

    The site is the first in `SITES` asked about as often as any, or nearly; hosts stand in the order of their gaps.
    """
    counts = levels["site"].value_counts()
    site = next(s for s in (*SITES, *counts.index) if counts.get(s, 0) >= 0.9 * counts.max())
    mine = levels[levels["site"] == site]
    hosts = sorted(mine["host"].unique(), key=lambda h: (gaps[str(h)], h))
    impurities = list(dict.fromkeys(mine["impurity"]))
    panels = []
    for name, title in (("(+1/0)", "donor level (+1/0)"), ("(0/-1)", "acceptor level (0/−1)")):
        part = mine[mine["level"] == name]
        table = part.pivot_table(index="impurity", columns="host", values="value")
        z = table.reindex(index=impurities, columns=hosts).to_numpy(dtype=float)
        extents = (-0.5, len(hosts) - 0.5), (-0.5, len(impurities) - 0.5)
        panels.append(
            Panel(
                [image(z, *extents, "level", origin="lower")],
                "host, by rising gap", "impurity", title, x_ticks=[str(h) for h in hosts],
                y_ticks=[str(m) for m in impurities], color_label="eV above the valence band",
            )
        )  # fmt: skip
    return Picture(
        "level_map",
        f"Levels of impurities on {site} in all hosts",
        panels,
        "Mean predictions; blank: an atom of the host in its own place. σ, intervals, other levels and sites stand in the table.",
        width=max(6.4, 0.22 * len(hosts) + 2.0),
        height=2 * max(2.2, 0.15 * len(impurities) + 1.3),
    )


def fidelity_picture(
    before: Array, after: Array, truth: Array, hosts: Sequence[str], method: str
) -> Picture:
    """Return low- and corrected levels against the high-fidelity ones."""
    values = np.concatenate([before, after, truth])
    low, high = float(values.min()) - 0.2, float(values.max()) + 0.2
    names = list(dict.fromkeys(hosts))
    panels = []
    for title, shown in (("low fidelity", before), (f"corrected ({method})", after)):
        rmse = float(np.sqrt(np.mean((shown - truth) ** 2)))
        layers: list[Layer] = [line([low, high], [low, high], "equal", "reference")]
        for index, host in enumerate(names[:8]):
            mine = np.array([h == host for h in hosts])
            layers.append(points(truth[mine], shown[mine], host, f"series{index}", size=3))
        mine = np.array([h in names[8:] for h in hosts])
        if mine.any():
            layers.append(points(truth[mine], shown[mine], "other hosts", "muted", size=3))
        panels.append(
            Panel(
                layers,
                "high-fidelity level (eV)",
                "level (eV)",
                f"{title}: RMSE {rmse:.2f} eV",
                x_range=(low, high),
                y_range=(low, high),
                equal=True,
            )
        )
    return Picture(
        "fidelity",
        "Before and after the correction",
        panels,
        "Every host is corrected without its own high-fidelity levels.",
        columns=2,
        width=9.0,
        height=4.4,
    )


def shift_picture(before: Array, after: Array, method: str) -> Picture:
    """Return how far each level moves where nothing measures the result."""
    low, high = (
        float(min(before.min(), after.min())) - 0.2,
        float(max(before.max(), after.max())) + 0.2,
    )
    panel = Panel(
        [
            line([low, high], [low, high], "unchanged", "reference"),
            points(before, after, method, "model", size=4),
            mark(y=[0.0]),
        ],
        "low-fidelity level (eV)",
        "corrected level (eV)",
        x_range=(low, high),
    )
    return Picture(
        "shift",
        "What the correction does",
        (panel,),
        "No high-fidelity level is known: this is the law that was applied, not a test of it.",
    )


def potential_picture(curves: Sequence[tuple[str, Array, Array, Array, float]]) -> Picture:
    """Return planar averages with their model and plateau; one panel an axis.

    Parameters
    ----------
    curves : sequence of (axis, position in Å, difference, model, plateau in V)
    """
    panels = [
        Panel(
            [line(x, difference, "defect − bulk", "data"), line(x, model, "long-range model", "model"), line(x, difference - model, "short range", "series2"), mark(y=[plateau], label=f"plateau {plateau * 1000:.0f} mV")],
            f"position along {axis} (Å)", "potential (V)",
        )
        for axis, x, difference, model, plateau in curves
    ]  # fmt: skip
    return Picture(
        "alignment",
        "Potential alignment",
        panels,
        "Far from the defect the short-range part must be flat; its height is the alignment.",
        height=2.6 * len(panels) + 0.6,
    )
