"""The report: a run's record as one self-contained HTML page, rendered from the record alone.

In: a run directory. Out: ``report.html`` (and detail pages beside it above a dozen answers): no
network, no script needed to read it, the data of every plot embedded. The same bytes anywhere.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from matterscope.core.files import write_text
from matterscope.core.pictures import Picture
from matterscope.core.quantities import QUANTITIES
from matterscope.runs import records
from matterscope.runs.answers import half_width, interval_text, number, quantity_text, subject
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
    write_text(page, template.render(answers=[], pages=names, back=None, **shared))
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
                "csv": _csv(picture),
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
            "uncertainty": q.get("uncertainty", ""),
        }
        for name, q in entry["quantities"].items()
    ]
    return {
        "entry": entry,
        "pictures": pictures,
        "quantities": quantities,
        "tables": [_table(folder, name, stored) for name, stored in entry["tables"].items()],
    }


def _svg(picture: Picture) -> str:
    from markupsafe import Markup

    from matterscope.runs.drawing import to_svg

    # the drawing escapes user text itself; nothing of the user's reaches it as markup
    return Markup(to_svg(picture))


def _table(folder: Path, name: str, stored: dict[str, Any]) -> dict[str, Any]:
    with records.inside(folder, stored["path"]).open(newline="") as handle:
        rows = [row for row, _ in zip(csv.reader(handle), range(TABLE_ROWS + 1), strict=False)]
    head = (
        [
            f"{c} / {stored['columns'][c]}"
            if stored["columns"].get(c) not in {"", "1", None}
            else c
            for c in rows[0]
        ]
        if rows
        else []
    )
    return {
        "name": name.replace("_", " "),
        "head": head,
        "rows": [[_cell(c) for c in row] for row in rows[1:]],
        "count": stored["rows"],
        "path": stored["path"],
    }


def _cell(text: str) -> str:
    try:
        return number(float(text)) if "." in text or "e" in text else text
    except ValueError:
        return text


def _csv(picture: Picture) -> str:
    """Return the drawn data as CSV text, one block per layer; empty if it is too much to embed."""
    lines: list[str] = []
    count = 0
    for at, panel in enumerate(picture.panels):
        for layer in panel.layers:
            columns = {
                k: v
                for k, v in layer.data.items()
                if isinstance(v, list) and v and not isinstance(v[0], list)
            }
            if not columns or layer.kind == "image":
                continue
            length = max(len(v) for v in columns.values())
            count += length * len(columns)
            lines.append(
                f"# panel {at + 1}: {layer.label or layer.kind}; x: {panel.x_label}; y: {panel.y_label}"
            )
            lines.append(",".join(columns))
            lines += [
                ",".join("" if i >= len(v) or v[i] is None else str(v[i]) for v in columns.values())
                for i in range(length)
            ]
    return "\n".join(lines) + "\n" if 0 < count <= EMBED_VALUES else ""


def _overview(entries: list[dict[str, Any]]) -> dict[str, Any]:
    names: list[str] = []
    for entry in entries:
        names += [n for n in entry["quantities"] if n not in names]
    rows = []
    for entry in entries:
        cells = [
            quantity_text(entry["quantities"][n]) if n in entry["quantities"] else ""
            for n in names[:6]
        ]
        rows.append(
            {
                "subject": subject(entry),
                "cells": cells,
                "flags": [f["code"] for f in entry["flags"]],
            }
        )
    return {"names": [n.replace("_", " ") for n in names[:6]], "rows": rows}
