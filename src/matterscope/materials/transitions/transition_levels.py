"""`materials levels`: transition levels of any defect in any host, or a table taken to high fidelity.

In: options (host, impurity, site), a table of defects, or a table of low-fidelity levels. Out: one
estimate per defect with its coherent level vector, or one for the corrected table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.models import model_file
from matterscope.core.pictures import Picture
from matterscope.io.tables import Column, read_table
from matterscope.materials.defects.formation_energies import (
    label_of,
    levels_to_energies,
    lower_hull,
)
from matterscope.materials.defects.hosts import Host, find_host, host_table, natural_valence_band
from matterscope.materials.settings import LevelsSettings
from matterscope.materials.transitions.correcting import correct_table
from matterscope.materials.transitions.features import Known
from matterscope.materials.transitions.models import LevelModel, Prediction
from matterscope.materials.transitions.persistence import load_levels
from matterscope.materials.transitions.pictures import ladder_picture, map_picture
from matterscope.materials.transitions.tables import (
    CHARGES,
    LEVELS,
    SITES,
    LevelTable,
    defect_name,
    is_own_atom,
    known_hosts,
    read_levels,
    settle,
)
from matterscope.physics.elements import parse_formula

Array = NDArray[np.float64]
DRAWS = 400
FAR = 1.0
MANY = 40
"""More defects than this become one estimate with a table instead of one each."""
ASKED = (
    Column("host", kind="text", required=True, aliases=("AB", "host_material")),
    Column("impurity", kind="text", required=True, aliases=("dopant", "M", "Impurity")),
    Column("site", kind="text", aliases=("Site", "lattice_site", "place", "position")),
    Column("gap", "eV", aliases=("band_gap",)),
    Column("lattice", "Å", aliases=("lattice_constant",)),
)


def find_levels(inputs: list[Input], settings: LevelsSettings, call: Call) -> list[Estimate]:
    """Predict or correct levels; tables that hold levels of low fidelity are corrected."""
    answers: list[Estimate] = []
    load = cache(
        lambda: Trained(*load_levels(model_file(settings.model) if settings.model else None))
    )
    if not inputs:
        asked, known = _asked_by_options(settings, load)
        return _predict(load(), (asked, known), InputRef("options"), settings, call)
    for given in inputs:
        if given.path is None:
            raise ReadError("this verb takes a table", where=given.source)
        ref = InputRef(given.source, given.selector, given.sha256)
        table = _levels_or_none(given.path)
        wanted = settings.method if settings.method != "model" else ""
        if table is not None and len(table.pairs) and wanted != "":
            answers.append(correct_table(table, ref, settings, call))
            continue
        refused_rows: list[str] = []
        asked, known = _asked_by_table(given.path, table, settings, refused_rows)
        found = _predict(load(), (asked, known), ref, settings, call)
        for words in refused_rows:
            found[0].flag("row-refused", words, "correct the row and ask again")
        answers += found
    return answers


@dataclass(frozen=True)
class Trained:
    """A model with its card and name."""

    model: LevelModel
    card: dict[str, Any]
    name: str


def _levels_or_none(path: Path) -> LevelTable | None:
    """Return the file as a table of levels, or None where it only asks for some."""
    headings = " ".join(str(c) for c in read_table(path).columns).lower()
    holds = "charge_from" in headings or any(name.lower() in headings for name in LEVELS)
    return read_levels(path) if holds else None


def _asked_by_options(
    settings: LevelsSettings, load: Callable[[], Trained]
) -> tuple[pd.DataFrame, Known]:
    hosts, impurities = settings.host, settings.impurity
    if settings.zinc_blende:
        hosts = (*hosts, *(h for h in host_table() if h not in hosts))
        impurities = impurities or tuple(load().card.get("impurities", ()))
    if not hosts or not impurities:
        raise ConfigError(
            "levels needs a table, or a host and an impurity",
            hint="e.g. matterscope materials levels --host CdTe --impurity Cu --site Cd",
        )
    known = (
        dict.fromkeys(settings.host, (settings.gap, settings.lattice))
        if settings.gap or settings.lattice
        else {}
    )
    rows = [
        settle(host, impurity, site, False, "options")
        for host in hosts
        for impurity in impurities
        for site in (settings.site or _all_sites(host))
    ]
    defects = [row for row in rows if not is_own_atom(*row)]
    if rows and not defects:
        raise _no_defect(*rows[0], "options")
    rows = defects
    return pd.DataFrame(list(dict.fromkeys(rows)), columns=["host", "impurity", "site"]), known


def _no_defect(host: str, impurity: str, site: str, where: str) -> DataError:
    return DataError(
        f"{impurity} on {site} of {host} is an atom of the host in its own place: no defect",
        where=where,
        hint="give another impurity or site; 'vacancy' takes the atom away",
    )


def _all_sites(host: str) -> tuple[str, ...]:
    return SITES if len(parse_formula(host)) > 1 else ("M_A", "M_i_A", "M_i_neut")


def _asked_by_table(
    path: Path, table: LevelTable | None, settings: LevelsSettings, refused_rows: list[str]
) -> tuple[pd.DataFrame, Known]:
    """Return the defects asked about; rows that ask for none are added to `refused_rows` with the reason."""
    if table is not None:
        inside = table.defects["site"].isin(SITES)
        return table.defects[inside].reset_index(drop=True), table.known_hosts()
    frame = read_table(path, ASKED)
    known = known_hosts(frame)
    rows: list[tuple[str, str, str]] = []
    first: DataError | None = None
    for line, row in enumerate(
        frame.to_dict("records"), start=int(frame.attrs.get("first_line", 2))
    ):
        try:
            rows += _asked_by_row(row, known, settings, f"{path}, line {line}")
        except DataError as error:
            # one row that names no defect of a known host does not silence the others
            refused_rows.append(
                f"line {line}: {error.what}" + (f" ({error.hint})" if error.hint else "")
            )
            first = first or error
    if first is not None and not rows:
        raise first
    return pd.DataFrame(list(dict.fromkeys(rows)), columns=["host", "impurity", "site"]), known


def _asked_by_row(
    row: dict[str, Any], known: Known, settings: LevelsSettings, where: str
) -> list[tuple[str, str, str]]:
    host, impurity = str(row["host"]), str(row["impurity"])
    sites = (str(row["site"]),) if row.get("site") else settings.site or _all_sites(host)
    placed = [settle(host, impurity, s, False, where) for s in sites]
    find_host(host, known, where)
    defects = [p for p in placed if not is_own_atom(*p)]
    if not defects:
        raise _no_defect(*placed[0], where)
    return defects


def _predict(
    trained: Trained, question: tuple[pd.DataFrame, Known], ref: InputRef, settings: LevelsSettings, call: Call
) -> list[Estimate]:  # fmt: skip
    model, card, name = trained.model, trained.card, trained.name
    asked, known = question
    if settings.native:
        evidence = read_levels(Path(settings.native), strict=False)
        inside = evidence.complete["site"].isin(SITES)
        rows = evidence.complete[inside & evidence.complete["host"].isin(asked["host"])]
        if len(rows):
            model = model.extended(rows.reset_index(drop=True), {**known, **evidence.known_hosts()})
    found = model.predict(asked, known)
    table = level_rows(asked, found, model, known, call.levels)
    provenance = {
        "model": name,
        "population": card.get("population", ""),
        "references": ["arXiv 2203.10349", *card.get("references", [])],
    }
    hosts = {str(h): find_host(str(h), known) for h in asked["host"].unique()}
    places = [(0, len(asked))] if len(asked) > MANY else [(i, i + 1) for i in range(len(asked))]
    answers = []
    for index, (start, stop) in enumerate(places):
        rows = asked.iloc[start:stop]
        mine = (
            table[(table["row"] >= start) & (table["row"] < stop)]
            .drop(columns="row")
            .reset_index(drop=True)
        )
        label = (
            ref.selector
            if len(places) == 1 and len(rows) > 1
            else f"{rows['impurity'].iloc[0]} {rows['site'].iloc[0]} {rows['host'].iloc[0]}"
        )
        answer = Estimate("materials levels", InputRef(ref.source, label, ref.sha256))
        part = Prediction(
            **{f.name: getattr(found, f.name)[start:stop] for f in fields(Prediction)}
        )
        if len(rows) == 1:
            _one_defect(answer, part, model, hosts[str(rows["host"].iloc[0])].gap, call)
        gaps = {str(h): hosts[str(h)].gap for h in rows["host"]}
        answer.diagnostics["gaps"] = gaps
        _flag_domain(answer, rows, part, (card, gaps), force=settings.force)
        mine.attrs["units"] = {
            c: "eV" for c in mine if c.startswith(("value", "sigma", "low", "high"))
        }
        answer.tables["levels"] = mine
        answer.provenance |= provenance
        if len(rows) > 1:
            answer.quantities["levels_predicted"] = Quantity(len(mine), "1", reason="counted")
        many = rows["host"].nunique() > 1 and rows["impurity"].nunique() > 1
        if len(rows) > MANY and many:
            # a ladder of one impurity through the hosts says more than the first hosts with all impurities
            one = (mine["impurity"] == mine["impurity"].iloc[0]) & (
                mine["site"] == mine["site"].iloc[0]
            )
            answer.pictures += [map_picture(mine, gaps), _ladder(mine[one], hosts)]
        else:
            answer.pictures.append(_ladder(mine, hosts))
        if index == 0 and len(places) > 1:
            answer.pictures.append(
                replace(_ladder(table, hosts), name="ladders", title="All defects asked about")
            )
        answers.append(answer)
        call.progress(index + 1, len(places), "defects")
    return answers


def _ladder(levels: pd.DataFrame, hosts: dict[str, Host]) -> Picture:
    """Return the ladder of these levels; several hosts share the scale of free atoms."""
    shown = levels.rename(columns={"low_68": "low", "high_68": "high"})
    several = levels["host"].nunique() > 1
    gaps = {name: host.gap for name, host in hosts.items()}
    offsets = {name: natural_valence_band(host) if several else 0.0 for name, host in hosts.items()}
    return ladder_picture(shown, gaps, offsets)


def level_rows(
    asked: pd.DataFrame,
    found: Prediction,
    model: LevelModel,
    known: Known,
    levels: tuple[float, ...],
) -> pd.DataFrame:
    """Return one row per level: value, σ, intervals, where it lies."""
    sigma = found.sigma
    rows: list[dict[str, Any]] = []
    gaps = {str(h): find_host(str(h), known).gap for h in asked["host"].unique()}
    widths = {level: half_width(model, level) for level in levels}
    names = [
        defect_name(str(h), str(m), str(s))
        for h, m, s in zip(asked["host"], asked["impurity"], asked["site"], strict=True)
    ]
    for i, entry in enumerate(asked[["host", "impurity", "site"]].to_dict("records")):
        gap = gaps[str(entry["host"])]
        for c, name in enumerate(LEVELS):
            value, s = float(found.levels[i, c]), float(sigma[i, c])
            row = {
                "row": i, **entry, "defect": names[i], "level": name,
                "charge_from": CHARGES[c], "charge_to": CHARGES[c] - 1, "value": value, "sigma": s,
                "place": label_of(value, gap),
            }  # fmt: skip
            for level, width in widths.items():
                row |= {
                    f"low_{100 * level:g}": value - width * s,
                    f"high_{100 * level:g}": value + width * s,
                }
            rows.append(row)
    return pd.DataFrame(rows)


def half_width(model: LevelModel, level: float) -> float:
    """Return the half-width of an interval in σ, from the hosts left out of training."""
    known = sorted(model.quantiles.items())
    return float(np.interp(level, [k for k, _ in known], [v for _, v in known]))


def _one_defect(
    answer: Estimate, part: Prediction, model: LevelModel, gap: float, call: Call
) -> None:
    mean, sigma = part.levels[0], part.sigma[0]
    inside = [c for c in range(len(LEVELS)) if 0 <= mean[c] <= gap]
    # the level named in the quantities: the one nearest to the middle of the gap
    shown = min(inside or range(len(LEVELS)), key=lambda c: abs(mean[c] - gap / 2))
    bands = tuple(
        Interval(
            lv,
            float(mean[shown] - half_width(model, lv) * sigma[shown]),
            float(mean[shown] + half_width(model, lv) * sigma[shown]),
        )
        for lv in call.levels
    )
    answer.quantities["transition_level"] = Quantity(
        float(mean[shown]), "eV", sigma=float(sigma[shown]), intervals=bands
    )
    answer.diagnostics["transition_level_of"] = LEVELS[shown]
    draws = call.rng("levels").multivariate_normal(
        mean, part.covariance[0], size=DRAWS, method="cholesky"
    )
    reversed_share = float((np.diff(draws, axis=1) < 0).any(1).mean())
    answer.quantities["negative_u_probability"] = Quantity(
        reversed_share, "1", reason=f"share of {DRAWS} joint samples of the level vector"
    )
    neutral, spread = part.energies[0], part.energies_sigma[0]
    if np.isfinite(neutral).all():
        energies = levels_to_energies(neutral, np.tile(mean, (2, 1)), highest=CHARGES[0])
        charges = [*CHARGES, CHARGES[-1] - 1]
        frame = pd.DataFrame({"charge": charges, "A_rich": energies[0], "B_rich": energies[1]})
        frame["neutral_sigma"] = float(spread.max())
        frame.attrs["units"] = {
            "charge": "e",
            "A_rich": "eV",
            "B_rich": "eV",
            "neutral_sigma": "eV",
        }
        answer.tables["formation_energies"] = frame
        hull = lower_hull(dict(zip(charges, energies[0].tolist(), strict=True)))
        answer.diagnostics["stable_charges"] = list(hull.stable)
        if hull.negative_u:
            answer.flag(
                "negative_u",
                "the mean of the predicted vector skips a charge (negative U)",
                "the training levels were sorted: such a prediction is weak evidence",
            )


def _flag_domain(
    answer: Estimate, rows: pd.DataFrame, part: Prediction,
    about: tuple[dict[str, Any], dict[str, float]], *, force: bool,
) -> None:  # fmt: skip
    card, gaps = about
    hosts, impurities = set(card.get("hosts", [])), set(card.get("impurities", []))
    parts = {e for h in hosts for e in parse_formula(h)}
    seen_hosts = dict.fromkeys(str(h) for h in rows["host"])
    strangers = {h: [e for e in parse_formula(h) if e not in parts] for h in seen_hosts}
    new = [h for h, elements in strangers.items() if elements]
    if new:
        names = dict.fromkeys(e for h in new for e in strangers[h])
        answer.flag(
            "unseen_element",
            f"no training host contains {' or '.join(names)} ({', '.join(new)})",
            "expect larger errors than the interval's population",
        )
    other = [h for h in seen_hosts if h not in hosts and h not in new]
    if other:
        answer.flag(
            "new_host",
            f"{', '.join(other)} {'are' if len(other) > 1 else 'is'} not among the training hosts: the interval is that of hosts left out",
            "give native defects of the host with --native to narrow it",
        )
    low, high = card.get("gap_range", [0.0, 99.0])
    for host, gap in gaps.items():
        if not low - 1e-6 <= gap <= high + 1e-6:
            answer.flag(
                "gap_outside_range",
                f"gap {gap:.2f} eV of {host} lies beyond the training range {low:.1f}–{high:.1f}",
            )
    strange = sorted({str(m) for m in rows["impurity"]} - impurities)
    if strange and impurities:
        answer.flag(
            "unseen_impurity",
            f"no training row contains {', '.join(strange[:8])} as an impurity",
            "the answer rests on its place in the periodic table",
        )
    far = [h for h in seen_hosts if (part.distance[(rows["host"] == h).to_numpy()] > FAR).any()]
    if far:
        answer.flag(
            "outside_domain",
            f"{', '.join(far)}: farther from every training host than hosts are from each other",
            "treat the value as a guess within its interval",
        )
    wide = part.sigma.mean(1) > part.blind
    if wide.any() and not force:
        answer.flag(
            "no_better_than_blind",
            "for this host the bars are as wide as the spread of levels over the other hosts",
            "values are withheld; --force shows them",
        )
        if len(rows) == 1:
            answer.quantities["transition_level"] = refused(
                "eV", "the model is no better than the mean of the other hosts here"
            )
