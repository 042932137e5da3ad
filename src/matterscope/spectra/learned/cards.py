"""Model cards: what a stored model was trained on, how well it did on what it had not seen, what it cannot.

In: a model file, or the name of a shipped model. Out: its scores, coverage, limits and provenance as tables
and pictures; nothing is computed anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.models import model_file
from matterscope.core.pictures import Panel, Picture, bars, mark
from matterscope.spectra.learned.models import Model, open_model, shipped_models
from matterscope.spectra.learned.scorecards import REFERENCES

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import CardSettings

BESIDE = {"coverage", "bootstrap", "refused"}
"""Parts of a window's scores that are no view of the test spectra."""
FACTS = ("population", "split", "edges", "answers", "training_data", "engines", "recipe", "made_by")


def show_cards(inputs: list[Input], settings: CardSettings, call: Call) -> list[Estimate]:
    """Return the card of every model given; without any, of every shipped one."""
    shipped = {p.name.removesuffix(".model.npz"): p for p in shipped_models()}
    paths = [i.path for i in inputs if i.path is not None]
    if settings.name:
        own = settings.name
        paths.append(shipped[own] if own in shipped else model_file(own))
    return [card_of_model(p) for p in paths or shipped.values()]


def card_of_model(path: Path) -> Estimate:
    """Return the card of the model in a file."""
    model = open_model(path)
    estimate = Estimate("spectra card", InputRef(model.name, "", model.sha256))
    facts = {n: model.card[n] for n in FACTS if n in model.card}
    estimate.tables["model"] = pd.DataFrame(
        [{"what": n.replace("_", " "), "value": _words(v)} for n, v in facts.items()]
        + [{"what": "size", "value": f"{path.stat().st_size / 1e6:.1f} MB"}]
    )
    limits = [str(x) for x in model.card.get("limits", [])]
    estimate.tables["limits"] = pd.DataFrame({"limit": limits})
    estimate.provenance |= {
        "model": model.name,
        "model_sha256": model.sha256,
        "references": list(model.card.get("references", REFERENCES)),
    }
    if model.family == "aligned":
        _show_aligned(estimate, model)
    else:
        _show_fusion(estimate, model)
    return estimate


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_words(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value)
    return str(value)


def _show_aligned(estimate: Estimate, model: Model) -> None:
    grids = model.card["grid"]
    scores: dict[str, Any] = {
        w: model.card["scores"][w] for w in sorted(grids, key=lambda w: -float(grids[w][-1]))
    }
    rows, cover = [], []
    for window, parts in scores.items():
        rows += [{"window": window, "evaluated on": n, **v} for n, v in parts.items() if n not in BESIDE]  # fmt: skip
        cover += [{"window": window, "evaluated on": n, **v} for n, v in parts["coverage"].items()]
    first, best = next(iter(scores.items()))
    estimate.tables["scores"] = pd.DataFrame(rows)
    estimate.tables["scores"].attrs["units"] = {"bond_mae": "Å"}
    estimate.tables["coverage"] = pd.DataFrame(cover)
    estimate.tables["coverage"].attrs["units"] = {"mean_width": "Å"}
    refused = [{"window": w, **p["refused"]} for w, p in scores.items()]
    estimate.tables["refused"] = pd.DataFrame(refused)
    for name, units in (("coordination_f1", "1"), ("bond_mae", "Å")):
        band = Interval(0.9, *best["bootstrap"][name])
        estimate.quantities[name] = Quantity(best["clean"][name], units, intervals=(band,))
    estimate.diagnostics |= {"scores_of": f"{first} window, {model.card['split']}"}
    estimate.pictures += [_stress(w, p) for w, p in scores.items()]
    estimate.pictures += [_cover(w, p["coverage"]["clean"]) for w, p in scores.items()]


def _stress(window: str, parts: dict[str, Any]) -> Picture:
    views = [n for n in parts if n not in BESIDE and n != "baseline"]
    place = np.arange(len(views))
    panels = []
    # one legend is enough, and below there is room for it
    for name, label, names in (
        ("coordination_f1", "macro-F1 of CN", ("", "")),
        ("bond_mae", "bond MAE / Å", ("the model", "mean predictor")),
    ):
        layers = [
            bars(place, [parts[n][name] for n in views], names[0]),
            mark(y=[parts["baseline"][name]], label=names[1]),
        ]
        panels.append(Panel(layers, "", label, x_ticks=[wrapped(v) for v in views]))
    caption = "Left-out spectra as computed, and with one thing done to them."
    title = f"Scores, {window} window"
    return Picture(f"scores_{window}", title, panels, caption, columns=1, width=9.0, height=6.4)


def wrapped(view: str) -> str:
    """Return a label of few letters a line."""
    words, lines = view.replace(" %", "\u00a0%").replace(" eV", "\u00a0eV").split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 11:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(line for line in lines if line)


def _cover(window: str, found: dict[str, float]) -> Picture:
    names = [n for n in found if n != "mean_width"]
    layers = [
        bars(np.arange(len(names)), [found[n] for n in names], "coverage"),
        mark(y=[0.9], label="nominal"),
    ]
    panel = Panel(layers, "", "share inside the 90 % interval", x_ticks=names, y_range=(0.5, 1.0))
    caption = "Bond lengths of left-out materials; every fold calibrated on the others."
    title = f"Coverage, {window} window"
    return Picture(f"coverage_{window}", title, [panel], caption, width=5.0, height=3.2)


def _show_fusion(estimate: Estimate, model: Model) -> None:
    scores: dict[str, Any] = model.card["scores"]
    for name, rows in scores.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            estimate.tables[name] = pd.DataFrame(rows)
    table = estimate.tables.get("ablation")
    gain = model.card.get("gain", {})
    if gain:
        band = Interval(0.95, gain["low"], gain["high"])
        estimate.quantities["fusion_gain"] = Quantity(gain["ratio"], "1", intervals=(band,))
        estimate.diagnostics["fusion_gain"] = (
            f"MAE of lithium with all streams over that of the best single one ({gain['best_stream']})"
        )
    if table is None or "lithium_content_mae" not in table:
        return
    place = np.arange(len(table))
    layers = [bars(place, table["lithium_content_mae"], "left-out parents")]
    ticks = [wrapped(str(s).replace("_", " ")) for s in table["streams"]]
    panel = Panel(layers, "", "lithium MAE per metal", x_ticks=ticks)
    caption = "Streams by themselves, together, and the controls."
    estimate.pictures.append(
        Picture("ablation", "What each edge is worth", [panel], caption, width=11.0, height=3.8)
    )
