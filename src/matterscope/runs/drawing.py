"""How a picture looks: one drawing function per layer, the same colours by meaning everywhere.

In: a stored picture (panels of layers). Out: SVG text, the same bytes for the same picture, or PNG.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, NullFormatter

from matterscope.core.pictures import Layer, Panel, Picture
from matterscope.runs.answers import superscript
from matterscope.runs.palette import INK, ROLES

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": "#52606d",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "matterscope",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.09,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "path.simplify": True,
}
MAX_VERTICES = 4000
"""Longer curves are drawn by the minimum and maximum of equal runs; the full data stay beside."""
MAX_MARKERS = 3000
LONG_LEGEND = 6


def draw(picture: Picture) -> Figure:
    """Return the matplotlib figure of a picture."""
    with mpl.rc_context(STYLE):
        columns = max(1, picture.columns)
        rows = -(-len(picture.panels) // columns)
        heights = [
            max(p.height for p in picture.panels[r * columns : (r + 1) * columns])
            for r in range(rows)
        ]
        figure = Figure(figsize=(picture.width, picture.height))
        grid = figure.add_gridspec(rows, columns, height_ratios=heights)
        for number, panel in enumerate(picture.panels):
            _draw_panel(
                figure, figure.add_subplot(grid[number // columns, number % columns]), panel
            )
        return figure


def to_svg(picture: Picture) -> str:
    """Return the picture as SVG; byte-identical for the same picture."""
    with mpl.rc_context(STYLE):
        buffer = io.StringIO()
        draw(picture).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def to_png(picture: Picture, resolution: int = 150) -> bytes:
    """Return the picture as PNG at `resolution` dots per inch."""
    with mpl.rc_context(STYLE):
        buffer = io.BytesIO()
        draw(picture).savefig(buffer, format="png", dpi=resolution)
    return buffer.getvalue()


def _draw_panel(figure: Figure, axes: Axes, panel: Panel) -> None:
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    for order, layer in enumerate(panel.layers):
        _DRAW[layer.kind](figure, axes, layer, panel, order)
    _label_axes(axes, panel)
    if panel.equal:
        axes.set_aspect("equal")
    handles, labels = axes.get_legend_handles_labels()
    if labels and labels != [panel.y_label]:
        # a long legend finds no free place among the data; a short one stands on its own ground
        beside = len(labels) > LONG_LEGEND and not axes.images
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {"loc": "best"}
        axes.legend(
            handles,
            labels,
            **place,
            handlelength=1.6,
            labelspacing=0.3,
            frameon=not beside,
            framealpha=0.8,
            edgecolor="none",
        )


def _power(value: float, _: Any = None) -> str:
    """Return a tick of a logarithmic axis: plain near 1, a power of ten elsewhere."""
    if value <= 0:
        return ""
    if 1e-3 < value < 1e4:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10.0**exponent
    lead = "" if abs(mantissa - 1) < 1e-6 else f"{mantissa:g}×"
    return f"{lead}10{superscript(exponent)}"


def _label_axes(axes: Axes, panel: Panel) -> None:
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
    for scale, place in ((panel.x_scale, axes.xaxis), (panel.y_scale, axes.yaxis)):
        if scale == "log":
            place.set_major_formatter(FuncFormatter(_power))
            place.set_minor_formatter(NullFormatter())
    if panel.title:
        axes.set_title(panel.title)
    for names, place in ((panel.x_ticks, axes.xaxis), (panel.y_ticks, axes.yaxis)):
        if names:
            place.set_ticks(range(len(names)), labels=list(names))
    if panel.x_ticks and max(len(n) for n in panel.x_ticks) * len(panel.x_ticks) > 60:
        axes.tick_params(axis="x", labelrotation=40)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    if panel.x_range:
        axes.set_xlim(*panel.x_range)
    if panel.y_range:
        axes.set_ylim(*panel.y_range)


def _numbers(layer: Layer, name: str) -> np.ndarray[Any, Any]:
    return np.array([np.nan if v is None else v for v in layer.data[name]], dtype=float)


def _color(layer: Layer) -> str:
    return str(layer.style.get("color", ROLES.get(layer.role, INK)))


def _label(layer: Layer) -> str:
    return layer.label or "_nolegend_"


def _line(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    x, y = reduced(_numbers(layer, "x"), _numbers(layer, "y"))
    axes.plot(
        x,
        y,
        color=_color(layer),
        label=_label(layer),
        linewidth=layer.style.get("width", 1.5),
        linestyle=layer.style.get("dash", "-"),
        alpha=layer.style.get("alpha", 1.0),
        zorder=2 + order * 0.01,
    )


def _points(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    x, y = _numbers(layer, "x"), _numbers(layer, "y")
    size = layer.style.get("size", 3.0 if x.size > 200 else 4.0)
    values = layer.style.get("values")
    rasterized = x.size > MAX_MARKERS
    if values is not None:
        drawn = axes.scatter(
            x,
            y,
            c=np.asarray(values, dtype=float),
            s=size**2,
            cmap=panel.color_map,
            label=_label(layer),
            zorder=3 + order * 0.01,
            linewidths=0,
            rasterized=rasterized,
        )
        figure.colorbar(drawn, ax=axes, label=panel.color_label)
        return
    if "y_low" in layer.data:
        low, high = _numbers(layer, "y_low"), _numbers(layer, "y_high")
        bars = [np.clip(y - low, 0, None), np.clip(high - y, 0, None)]
        axes.errorbar(
            x,
            y,
            yerr=bars,
            fmt="none",
            ecolor=_color(layer),
            elinewidth=layer.style.get("bar", 0.8),
            alpha=0.6,
            zorder=2.5,
        )
    axes.plot(
        x,
        y,
        layer.style.get("marker", "o"),
        color=_color(layer),
        label=_label(layer),
        markersize=size,
        markeredgewidth=0,
        alpha=layer.style.get("alpha", 0.9),
        zorder=3 + order * 0.01,
        linestyle="",
        rasterized=rasterized,
    )


def _band(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    axes.fill_between(
        _numbers(layer, "x"),
        _numbers(layer, "y_low"),
        _numbers(layer, "y_high"),
        color=_color(layer),
        alpha=layer.style.get("alpha", 0.45),
        linewidth=0,
        label=_label(layer),
        zorder=1 + order * 0.01,
    )


def _steps(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    edges, y = _numbers(layer, "x"), _numbers(layer, "y")
    if y.size > MAX_VERTICES:
        axes.plot(
            *reduced((edges[1:] + edges[:-1]) / 2, y),
            color=_color(layer),
            label=_label(layer),
            linewidth=0.7,
            zorder=2,
        )
        return
    axes.stairs(
        y,
        edges,
        color=_color(layer),
        label=_label(layer),
        linewidth=layer.style.get("width", 1.0),
        fill=bool(layer.style.get("fill", False)),
        alpha=layer.style.get("alpha", 1.0),
        baseline=None if not layer.style.get("fill") else 0,
        zorder=2 + order * 0.01,
    )


def _bars(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    x, y = _numbers(layer, "x"), _numbers(layer, "y")
    error = None
    if "y_low" in layer.data:
        error = [
            np.clip(y - _numbers(layer, "y_low"), 0, None),
            np.clip(_numbers(layer, "y_high") - y, 0, None),
        ]
    axes.bar(
        x,
        y,
        width=layer.style.get("width", 0.8),
        yerr=error,
        color=_color(layer),
        label=_label(layer),
        alpha=layer.style.get("alpha", 0.9),
        error_kw={"elinewidth": 0.9, "ecolor": INK},
        zorder=2,
    )


def _image(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    from matplotlib.colors import LogNorm

    rows = [[np.nan if v is None else v for v in row] for row in layer.data["z"]]
    z = np.array(rows, dtype=float)
    upper = layer.style.get("origin", "lower") == "upper"
    (x0, x1), (y0, y1) = layer.data["x"], layer.data["y"]
    low, high = layer.style.get("vmin"), layer.style.get("vmax")
    scale = {"norm": LogNorm(low, high)} if layer.style.get("log") else {"vmin": low, "vmax": high}
    drawn = axes.imshow(
        z,
        origin="upper" if upper else "lower",
        extent=(x0, x1, y1, y0) if upper else (x0, x1, y0, y1),
        cmap=layer.style.get("cmap", panel.color_map),
        aspect="equal" if panel.equal else "auto",
        interpolation="nearest",
        zorder=0,
        **scale,
    )
    if layer.style.get("annotate"):
        _annotate(axes, z, layer, drawn)
    if layer.style.get("colorbar", True):
        figure.colorbar(drawn, ax=axes, label=panel.color_label, shrink=0.9)


def _annotate(axes: Axes, z: np.ndarray[Any, Any], layer: Layer, drawn: AxesImage) -> None:
    (x0, x1), (y0, y1) = layer.data["x"], layer.data["y"]
    # luma of ITU-R BT.601: maps may run from light to dark or from dark to light
    colours = np.asarray(drawn.cmap(drawn.norm(z)))
    luma = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    shown = str(layer.style["annotate"])
    pattern = shown if "{" in shown else "{:.3g}"
    for (row, column), value in np.ndenumerate(z):
        if np.isfinite(value):
            x = x0 + (column + 0.5) * (x1 - x0) / z.shape[1]
            y = y0 + (row + 0.5) * (y1 - y0) / z.shape[0]
            axes.text(
                x,
                y,
                pattern.format(value),
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if luma[row, column] < 0.5 else INK,
            )


def _mark(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    across, values = (
        (axes.axvline, layer.data["x"]) if "x" in layer.data else (axes.axhline, layer.data["y"])
    )
    # a position that was not found is stored as null
    for number, value in enumerate(v for v in values if v is not None):
        across(
            value,
            color=_color(layer),
            linewidth=layer.style.get("width", 0.9),
            linestyle=layer.style.get("dash", "--"),
            label=_label(layer) if number == 0 else "_nolegend_",
            zorder=1.5,
        )


def _span(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    shade: dict[str, Any] = {
        "color": _color(layer),
        "alpha": layer.style.get("alpha", 0.35),
        "linewidth": 0,
        "label": _label(layer),
        "zorder": 0.5,
    }
    if "x_low" in layer.data:
        axes.axvspan(layer.data["x_low"], layer.data["x_high"], **shade)
    else:
        axes.axhspan(layer.data["y_low"], layer.data["y_high"], **shade)


def _text(figure: Figure, axes: Axes, layer: Layer, panel: Panel, order: int) -> None:
    for x, y, words in zip(layer.data["x"], layer.data["y"], layer.data["labels"], strict=True):
        axes.annotate(
            str(words),
            (x, y),
            xytext=layer.style.get("offset", (3, 3)),
            textcoords="offset points",
            fontsize=layer.style.get("size", 8),
            color=layer.style.get("color", INK),
            rotation=layer.style.get("rotation", 0),
            clip_on=True,
            annotation_clip=True,
        )


_DRAW: dict[str, Callable[[Figure, Axes, Layer, Panel, int], None]] = {
    "line": _line, "points": _points, "band": _band, "steps": _steps, "bars": _bars,
    "image": _image, "mark": _mark, "span": _span, "text": _text,
}  # fmt: skip


def reduced(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a curve of at most `MAX_VERTICES` points that keeps every minimum and maximum it shows."""
    if x.size <= MAX_VERTICES:
        return x, y
    bins = MAX_VERTICES // 2
    edges = np.linspace(0, x.size, bins + 1).astype(int)
    filled = np.where(np.isfinite(y), y, 0.0)
    pick = np.empty(2 * bins, dtype=int)
    for k in range(bins):
        part = filled[edges[k] : edges[k + 1]]
        low, high = int(part.argmin()) + edges[k], int(part.argmax()) + edges[k]
        pick[2 * k], pick[2 * k + 1] = min(low, high), max(low, high)
    return x[pick], y[pick]
