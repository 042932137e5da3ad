"""Pictures as data: panels of layers with units on the axes, drawn elsewhere.

In: arrays a domain wants to show. Out: a `Picture`, plain enough to be stored as JSON and drawn
once for print (SVG) and once for zooming. Domains say what is seen; `runs.report` says how it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from matterscope.core.files import plain

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LayerKind = Literal["line", "points", "band", "steps", "bars", "image", "span", "mark", "text"]
"""line x,y · points x,y[,y_low,y_high,x_low,x_high] · band x,y_low,y_high · steps x (edges),y ·
bars x,y[,y_low,y_high] · image z (rows upwards unless origin='upper'), x and y as extents ·
span x_low,x_high (or y_low,y_high) · mark x or y: rules across the panel · text x,y,labels."""


@dataclass(frozen=True)
class Layer:
    """One thing drawn in a panel: its kind, its data, its name in the legend.

    `role` chooses the colour by meaning, the same in every picture: data, model, band, truth,
    reference, residual, flagged, muted; a further series is ``series0`` … ``series7``.
    """

    kind: LayerKind
    data: dict[str, Any]
    label: str = ""
    role: str = "data"
    style: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """Axes with quantity and unit in their labels, and layers from back to front."""

    layers: Sequence[Layer]
    x_label: str = ""
    y_label: str = ""
    title: str = ""
    x_scale: str = "linear"
    y_scale: str = "linear"
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_ticks: Sequence[str] = ()
    """Names at x = 0, 1, 2 … for categories."""
    y_ticks: Sequence[str] = ()
    equal: bool = False
    height: float = 1.0
    """Height relative to the other panels of its column."""
    color_label: str = ""
    color_map: str = "viridis"


@dataclass(frozen=True)
class Picture:
    """A figure: panels in `columns` columns, a caption that says what to see.

    Parameters
    ----------
    name : str
        File-safe name, unique within the estimate.
    title, caption : str
        One line, and one or two sentences for the reader.
    panels : sequence of Panel
        In reading order.
    columns : int
        Panels per row; panels of one column share nothing but their width.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    caption: str = ""
    columns: int = 1
    width: float = 6.4
    height: float = 3.6
    """Inches; the report scales it to the page."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data (NaN becomes null)."""
        result: dict[str, Any] = plain(asdict(self))
        return result

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Picture:
        """Rebuild a picture from its stored form."""
        panels = []
        for stored in entry["panels"]:
            layers = tuple(Layer(**layer) for layer in stored["layers"])
            fields: dict[str, Any] = {
                k: tuple(v) if k in {"x_range", "y_range"} and v else v
                for k, v in stored.items()
                if k != "layers"
            }
            panels.append(Panel(layers=layers, **fields))
        return cls(panels=tuple(panels), **{k: v for k, v in entry.items() if k != "panels"})


def line(x: ArrayLike, y: ArrayLike, label: str = "", role: str = "model", **style: Any) -> Layer:
    """Return a polyline."""
    return Layer("line", {"x": _floats(x), "y": _floats(y)}, label, role, style)


def points(
    x: ArrayLike,
    y: ArrayLike,
    label: str = "",
    role: str = "data",
    *,
    y_low: ArrayLike | None = None,
    y_high: ArrayLike | None = None,
    **style: Any,
) -> Layer:
    """Return markers, with error bars where both ends are given."""
    data = {"x": _floats(x), "y": _floats(y)}
    if y_low is not None and y_high is not None:
        data |= {"y_low": _floats(y_low), "y_high": _floats(y_high)}
    return Layer("points", data, label, role, style)


def band(
    x: ArrayLike, low: ArrayLike, high: ArrayLike, label: str = "", role: str = "band", **style: Any
) -> Layer:
    """Return a shaded band between two curves."""
    return Layer(
        "band",
        {"x": _floats(x), "y_low": _floats(low), "y_high": _floats(high)},
        label,
        role,
        style,
    )


def steps(
    edges: ArrayLike, y: ArrayLike, label: str = "", role: str = "data", **style: Any
) -> Layer:
    """Return a histogram: n + 1 edges, n heights."""
    return Layer("steps", {"x": _floats(edges), "y": _floats(y)}, label, role, style)


def bars(
    x: ArrayLike,
    y: ArrayLike,
    label: str = "",
    role: str = "data",
    *,
    y_low: ArrayLike | None = None,
    y_high: ArrayLike | None = None,
    **style: Any,
) -> Layer:
    """Return bars, with error bars where both ends are given."""
    data = {"x": _floats(x), "y": _floats(y)}
    if y_low is not None and y_high is not None:
        data |= {"y_low": _floats(y_low), "y_high": _floats(y_high)}
    return Layer("bars", data, label, role, style)


def image(
    z: ArrayLike, x: tuple[float, float], y: tuple[float, float], label: str = "", **style: Any
) -> Layer:
    """Return an image over the extents x and y; style: origin, vmin, vmax, log, annotate."""
    return Layer("image", {"z": _floats(z), "x": list(x), "y": list(y)}, label, "data", style)


def mark(
    *,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    label: str = "",
    role: str = "reference",
    **style: Any,
) -> Layer:
    """Return rules across the panel at the given x or y."""
    data = {"x": _floats(x)} if x is not None else {"y": _floats(y if y is not None else [])}
    return Layer("mark", data, label, role, style)


def span(
    x_low: float | None = None,
    x_high: float | None = None,
    *,
    y_low: float | None = None,
    y_high: float | None = None,
    label: str = "",
    role: str = "muted",
    **style: Any,
) -> Layer:
    """Return a shaded range of one axis, across the panel."""
    data = (
        {"x_low": x_low, "x_high": x_high}
        if x_low is not None
        else {"y_low": y_low, "y_high": y_high}
    )
    return Layer("span", data, label, role, style)


def text(
    x: ArrayLike, y: ArrayLike, labels: Sequence[str], role: str = "muted", **style: Any
) -> Layer:
    """Return words at points."""
    return Layer(
        "text", {"x": _floats(x), "y": _floats(y), "labels": list(labels)}, "", role, style
    )


def _floats(values: ArrayLike | None) -> Any:
    import numpy as np

    # six digits are finer than any print; they keep a report small (zeros and the tiniest stay as they are)
    array = np.atleast_1d(np.asarray(values, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 10.0 ** (6 - np.ceil(np.log10(np.abs(array))))
        short = np.round(array * scale) / scale
    return np.where(np.isfinite(short), short, array).tolist()
