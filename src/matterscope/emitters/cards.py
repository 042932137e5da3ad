"""A card: what several answers say about one emitter or one array, on one page.

In: stored answers (estimates.json of runs, or --json output). Out: one estimate with every quantity,
where it came from, disagreements, and the verdicts side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, mark, points
from matterscope.core.quantities import QUANTITIES
from matterscope.emitters.lines.result_tables import answers, site_of, subject

if TYPE_CHECKING:
    from matterscope.emitters.settings import CardSettings

VERDICTS = (
    "verdict",
    "zpl_test",
    "thermal_verdict",
    "spectrally_identical",
    "identity",
    "width_law",
)


@dataclass(frozen=True)
class Entry:
    """One quantity of one answer."""

    name: str
    stored: dict[str, Any]
    capability: str
    source: str


def join_answers(inputs: list[Input], settings: CardSettings, call: Call) -> list[Estimate]:
    """Join answers into one card, one for each thing, or one for each site and one for the array."""
    entries: dict[str, list[Entry]] = {}
    flags: dict[str, list[dict[str, str]]] = {}
    for given in inputs:
        for answer in _stored(given):
            name = _about(answer, settings)
            source = str(answer.get("input", {}).get("source", given.source))
            for quantity, stored in answer["quantities"].items():
                entry = Entry(quantity, stored, str(answer.get("capability", "")), source)
                entries.setdefault(name, []).append(entry)
            flags.setdefault(name, []).extend(answer.get("flags", []))
    if not entries:
        raise SchemaError(
            "no answers were given", expected="estimates.json of runs, or files made with --json"
        )
    wanted = {n: _ARRAY if n == _whole(settings) else _WANTED for n in entries}
    if settings.each != "site":
        wanted = dict.fromkeys(entries, _WANTED)
    cards = [
        _card(name, found, flags[name], settings, wanted[name]) for name, found in entries.items()
    ]
    if settings.each == "site":
        _gather_sites(cards, _whole(settings))
    call.progress(len(cards), len(cards), "cards")
    return cards


def _whole(settings: CardSettings) -> str:
    return settings.name or "array"


def _about(answer: dict[str, Any], settings: CardSettings) -> str:
    """Return the name of the card that an answer belongs to."""
    if settings.each == "selector":
        return subject(answer)
    if settings.each == "site":
        site = site_of(answer)
        return f"site {site}" if site else _whole(settings)
    return settings.name or "emitter"


SITE_COLUMNS = {
    # column of the array's table: quantity of a site's card, units
    "zpl_energy": "eV",
    "zpl_width": "meV",
    "debye_waller": "1",
    "g2_zero": "1",
    "verdict": "1",
    "antibunching_time": "ns",
    "lifetime": "ns",
    "thermal_verdict": "1",
    "identity": "1",
}


def _gather_sites(cards: list[Estimate], whole: str) -> None:
    """Put the table and the picture of all sites on the array's card, which comes first."""
    sites = [c for c in cards if c.input.source != whole]
    array = next((c for c in cards if c.input.source == whole), None)
    if array is None or not sites:
        return
    cards.sort(key=lambda c: c is not array)
    rows = [
        {"site": c.input.source.removeprefix("site ")}
        | {n: c.quantities[n].value for n in SITE_COLUMNS if n in c.quantities}
        | {f"{n}_sigma": c.quantities[n].sigma for n in SITE_COLUMNS if n in c.quantities}
        for c in sites
    ]
    table = pd.DataFrame(rows).dropna(axis=1, how="all")
    table.attrs["units"] = {
        c: SITE_COLUMNS.get(c.removesuffix("_sigma"), "1") for c in map(str, table.columns)
    }
    array.tables["sites"] = table
    for name, quantity in (("verdict", "verdicts"), ("thermal_verdict", "thermal_verdicts")):
        if name in table:
            array.diagnostics[quantity] = table[name].value_counts().to_dict()
    array.pictures.insert(0, _sites_picture(sites, whole))


def _sites_picture(sites: list[Estimate], whole: str) -> Picture:
    """Return line centre, width and g2(0) of every site with 90 % intervals."""
    panels = []
    # names are left out where they would overlap
    every = max(len(sites) // 20, 1)
    names = [
        c.input.source.removeprefix("site ") if k % every == 0 else "" for k, c in enumerate(sites)
    ]
    for name, label, level in (
        ("zpl_energy", "line centre (eV)", None),
        ("zpl_width", "line width (meV)", None),
        ("g2_zero", "g²(0)", 0.5),
    ):
        known = [
            (k, c.quantities[name], band)
            for k, c in enumerate(sites)
            if name in c.quantities
            and c.quantities[name].value is not None
            and (band := c.quantities[name].interval(0.9)) is not None
        ]
        if not known:
            continue
        value = np.array([float(str(q.value)) for _, q, _ in known])
        low = np.array(
            [v if b.low is None else b.low for v, (_, _, b) in zip(value, known, strict=True)]
        )
        high = np.array(
            [v if b.high is None else b.high for v, (_, _, b) in zip(value, known, strict=True)]
        )
        drawn = points([k for k, _, _ in known], value, "90 % interval", y_low=low, y_high=high)
        line = [] if level is None else [mark(y=[level], label="½")]
        reach = (-0.5, len(sites) - 0.5)
        panels.append(Panel([drawn, *line], "site", label, x_ticks=names, x_range=reach))
    return Picture(
        "sites",
        f"{whole}: {len(sites)} sites",
        panels or [Panel([mark(y=[0.0])], "", "")],
        caption="Every site that has an answer of its own, in the order of the table; bars are 90 % intervals.",
        height=2.0 + 1.4 * len(panels),
        width=8.0,
    )


def _stored(given: Input) -> list[dict[str, Any]]:
    if given.path is None:
        raise ReadError("a card needs stored answers", where=given.source)
    path = given.path / "estimates.json" if given.path.is_dir() else given.path
    if not path.is_file():
        raise ReadError(
            "this folder holds no answers", where=str(given.path), expected="estimates.json"
        )
    return answers(path)


def _card(
    name: str,
    entries: list[Entry],
    flags: list[dict[str, str]],
    settings: CardSettings,
    wanted: dict[str, tuple[str, ...]],
) -> Estimate:
    estimate = Estimate("emitters card", InputRef(name, ""))
    estimate.diagnostics["answers"] = sorted({e.capability for e in entries})
    rows = []
    mixed = _mixed(entries)
    if mixed:
        estimate.flag(
            "several-things",
            f"{mixed}: one card cannot speak for all, and the smallest error speaks for each number",
            "--each site or --each selector makes a card for each",
        )
    for quantity in dict.fromkeys(e.name for e in entries):
        same = [e for e in entries if e.name == quantity and e.stored.get("value") is not None]
        if not same or quantity not in QUANTITIES:
            continue
        # the answer with the smaller error speaks; the others must agree with it
        chosen = min(same, key=lambda e: e.stored.get("sigma") or np.inf)
        estimate.quantities[quantity] = _quantity(chosen.stored)
        for other in same:
            if not (mixed and other.capability == chosen.capability):
                _compare(estimate, quantity, chosen, other)
        rows.append(
            (
                quantity,
                chosen.stored["value"],
                chosen.stored.get("sigma"),
                chosen.stored.get("units", "1"),
                chosen.capability,
                Path(chosen.source).name,
            )
        )
    table = pd.DataFrame(
        rows, columns=["quantity", "value", "sigma", "units", "answer", "source"]
    ).astype({"value": str})
    table.attrs["units"] = dict.fromkeys(table.columns, "1")
    estimate.tables["card"] = table
    for flag in flags:
        estimate.flag(flag.get("code", ""), flag.get("message", ""), flag.get("remedy", ""))
    estimate.diagnostics["verdicts"] = {
        v: estimate.quantities[v].value for v in VERDICTS if v in estimate.quantities
    }
    missing = [
        what for what, names in wanted.items() if not any(n in estimate.quantities for n in names)
    ]
    if missing:
        estimate.flag(
            "incomplete", f"not yet measured: {', '.join(missing)}", "add their answers to the card"
        )
    estimate.pictures.append(_picture(estimate, name))
    estimate.provenance = {
        "model": "answers joined; the smaller error speaks",
        "settings": settings.model_dump(),
        "references": [],
    }
    return estimate


def _mixed(entries: list[Entry]) -> str:
    """Say which verb answered about several things that one card joins, or nothing."""
    about: dict[str, set[str]] = {}
    for e in entries:
        about.setdefault(e.capability, set()).add(e.source)
    verb = max(about, key=lambda c: len(about[c]), default="")
    # two answers may be repeats of one measurement; three sources of one verb are a series
    return (
        f"{verb} answered about {len(about[verb])} inputs" if len(about.get(verb, ())) > 2 else ""
    )


_WANTED = {
    "photon correlation": ("g2_zero", "g2_zero_raw"),
    "line": ("zpl_energy", "centre_mean"),
    "lifetime": ("lifetime", "antibunching_time"),
    "identity": ("identity",),
}
_ARRAY = {
    "map": ("emitters_per_site", "sites_found"),
    "population of lines": ("centre_mean",),
    "conversion yield": ("conversion_yield",),
}


def _quantity(stored: dict[str, Any]) -> Quantity:
    bands = tuple(
        Interval(i["level"], i.get("low"), i.get("high")) for i in stored.get("intervals", [])
    )
    reason = str(stored.get("uncertainty", "")).removeprefix("none: ")
    shares = stored.get("probabilities") or {}
    if not (bands or shares or reason):
        reason = "as stored"
    return Quantity(
        stored["value"],
        stored.get("units", "1"),
        sigma=stored.get("sigma"),
        intervals=bands,
        probabilities=shares,
        reason=reason,
    )


def _compare(estimate: Estimate, name: str, a: Entry, b: Entry) -> None:
    x, y = a.stored.get("value"), b.stored.get("value")
    s, t = a.stored.get("sigma"), b.stored.get("sigma")
    if a is b or s is None or t is None or not all(isinstance(v, (int, float)) for v in (x, y)):
        return
    x, y = float(str(x)), float(str(y))
    pull = abs(x - y) / max(float(np.hypot(s, t)), 1e-300)
    if pull > 3:
        estimate.flag(
            "disagreement",
            f"{name} is {x:.5g} in {a.capability} ({Path(a.source).name}) and {y:.5g} in {b.capability} ({Path(b.source).name}): {pull:.1f} standard errors apart",
            "look which answer belongs to this emitter",
        )


def _picture(estimate: Estimate, name: str) -> Picture:
    """Return relative 90 % intervals of all numbers: what is known well, what is not."""
    names, low, high = [], [], []
    for quantity, q in estimate.quantities.items():
        band = q.interval(0.9)
        if (
            band is None
            or band.low is None
            or band.high is None
            or not isinstance(q.value, (int, float))
            or not q.value
        ):
            continue
        names.append(quantity)
        low.append(np.clip(100 * (band.low / q.value - 1), -100, 100))
        high.append(np.clip(100 * (band.high / q.value - 1), -100, 100))
    x = np.arange(len(names))
    layers = (
        [
            points(
                x,
                np.zeros(len(names)),
                "90 % interval",
                y_low=np.minimum(low, high),
                y_high=np.maximum(low, high),
            ),
            mark(y=[0.0]),
        ]
        if names
        else [mark(y=[0.0])]
    )
    return Picture(
        "card",
        f"{name}: what is known, and how well",
        [Panel(layers, "", "interval about the value (%)", x_ticks=names)],
        caption="Relative 90 % intervals of every number on the card, cut at 100 %.",
        width=8.0,
    )
