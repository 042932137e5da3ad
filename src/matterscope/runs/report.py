"""The report: a run's record as one self-contained HTML page, rendered from the record alone.

In: a run directory. Out: ``report.html`` (and detail pages beside it above a dozen answers): no
network, no script needed to read it, the data of every plot embedded. The same bytes anywhere.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from matterscope.core.files import write_text
from matterscope.core.pictures import Picture
from matterscope.core.quantities import QUANTITIES
from matterscope.runs import records
from matterscope.runs.answers import (
    half_width,
    headings,
    interval_text,
    number,
    quantity_text,
    subject,
    table_view,
)
from matterscope.runs.palette import INK, ROLES
from matterscope.runs.store import read_json

DETAILS_ABOVE = 12
TABLE_ROWS = 15
PIXELS_PER_INCH = 118
"""Width on the page of one inch of a picture: its 9.5-point type reads as the page's own."""
EMBED_VALUES = 60_000
"""Numbers of a picture embedded for the CSV button; larger pictures name their file instead."""


def render(folder: Path) -> Path:
    """Write the report of a stored run; return its path."""
    record = read_json(folder / "run.json")
    entries = read_json(folder / "estimates.json")
    failures = record["failures"] + read_json(folder / "failures.json")
    answers = [answer_view(folder, entry) for entry in entries]
    template = environment().get_template("report.html")
    shared = {
        "run": record,
        "failures": failures,
        "title": f"{record['verb']}",
        "overview": _overview(entries),
        "references": list(
            dict.fromkeys(r for e in entries for r in e["provenance"].get("references", []))
        ),
    }
    page = folder / "report.html"
    if len(answers) <= DETAILS_ABOVE:
        write_text(page, template.render(answers=answers, pages=None, back=None, **shared))
        return page
    names = [f"report-{entry['index']}.html" for entry in entries]
    for name, answer in zip(names, answers, strict=True):
        write_text(
            folder / name,
            template.render(answers=[answer], pages=None, back="report.html", **shared),
        )
    # what is said of a file as a whole, beside its parts, belongs on the first page
    parts = {e["input"]["source"] for e in entries if e["input"]["selector"]}
    whole = [
        answer
        for answer, e in zip(answers, entries, strict=True)
        if not e["input"]["selector"] and e["input"]["source"] in parts
    ]
    write_text(page, template.render(answers=whole[:1], pages=names, back=None, **shared))
    return page


def environment() -> Any:
    """Return the one template environment: everything escaped, undefined names refused."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("matterscope.runs"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["vendored"] = _vendored
    made.filters["number"] = number
    made.filters["subject"] = subject
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": True}
    return made


def answer_view(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Return what the template shows of one estimate."""
    pictures = []
    for stored in entry["figures"]:
        picture = Picture.from_json(read_json(records.inside(folder, stored["path"])))
        pictures.append(
            {
                "name": picture.name,
                "title": picture.title,
                "caption": picture.caption,
                "svg": _svg(picture),
                "pixels": round(picture.width * PIXELS_PER_INCH),
                "data": _data(picture),
                "zooms": _zooms(picture),
                "path": stored["path"],
            }
        )
    quantities = [
        {
            "name": name.replace("_", " "),
            "definition": QUANTITIES[name][1] if name in QUANTITIES else "",
            "text": number(q["value"], half_width(q)),
            "units": "" if q["units"] == "1" else q["units"],
            "intervals": [
                f"{round(100 * i['level'])} %: {interval_text(i, half_width(q))}"
                for i in q.get("intervals", [])
            ],
            "probabilities": sorted(
                q.get("probabilities", {}).items(), key=lambda item: -(item[1] or 0)
            ),
            "reason": q.get("uncertainty", "").removeprefix("none: "),
        }
        for name, q in entry["quantities"].items()
    ]
    return {
        "entry": entry,
        "pictures": pictures,
        "quantities": quantities,
        "tables": [
            table_view(folder, name, stored, TABLE_ROWS) for name, stored in entry["tables"].items()
        ],
    }


def _svg(picture: Picture) -> str:
    from markupsafe import Markup

    from matterscope.runs.drawing import to_svg

    # the drawing escapes user text itself; nothing of the user's reaches it as markup
    return Markup(to_svg(picture))


def _data(picture: Picture) -> list[dict[str, Any]]:
    """Return the drawn numbers of a picture, panel by panel; empty if it is too much to embed."""
    panels, count = [], 0
    for panel in picture.panels:
        series = []
        for layer in panel.layers:
            columns = {
                k: v
                for k, v in layer.data.items()
                if isinstance(v, list) and v and not isinstance(v[0], list)
            }
            if layer.kind == "image" or not columns:
                continue
            count += sum(len(v) for v in columns.values())
            color = layer.style.get("color", ROLES.get(layer.role, INK))
            series.append(
                {"kind": layer.kind, "label": layer.label, "color": color, "data": columns}
            )
        log = [panel.x_scale == "log", panel.y_scale == "log"]
        panels.append(
            {
                "x": panel.x_label,
                "y": panel.y_label,
                "title": panel.title,
                "log": log,
                "series": series,
            }
        )
    return panels if 0 < count <= EMBED_VALUES else []


def _zooms(picture: Picture) -> bool:
    return any(
        layer.kind in {"line", "points", "steps"}
        for panel in picture.panels
        for layer in panel.layers
        if not panel.x_ticks
    )


@cache
def _vendored(name: str) -> str:
    """Return a script or style sheet of ours as it is; nothing of the user's is in it."""
    from markupsafe import Markup

    text = resources("matterscope.runs").joinpath("vendored", name).read_text(encoding="utf-8")
    return Markup(text)


def _overview(entries: list[dict[str, Any]]) -> dict[str, Any]:
    names = headings(entries, 6)
    one_source = len({e["input"]["source"] for e in entries}) == 1
    rows = []
    for entry in entries:
        cells = [
            quantity_text(entry["quantities"][n]) if n in entry["quantities"] else "" for n in names
        ]
        rows.append(
            {
                "subject": (entry["input"]["selector"] if one_source else "") or subject(entry),
                "cells": cells,
                "flags": [f["code"] for f in entry["flags"]],
            }
        )
    return {"names": [n.replace("_", " ") for n in names], "rows": rows}
