"""`materials screen`: which alloys of a search pass every rule, with what probability.

In: a model (or a table to learn from), a search, rules. Out: the funnel by predicted value and by expected
count, the Pareto front, a diverse list of the best, maps, and all rows as Parquet for queries.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, NotInstalled, require
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.materials.alloys.compositions import SITES, formulas
from matterscope.materials.alloys.domains import domain_notes, out_of_domain
from matterscope.materials.alloys.enumeration import space_of
from matterscope.materials.alloys.model_choice import model_for
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.pictures import (
    funnel_picture,
    property_map_picture,
    species_picture,
    ternary_picture,
)
from matterscope.materials.alloys.spaces import Space
from matterscope.materials.alloys.students import teach, too_large
from matterscope.materials.screens.frontiers import diverse, pareto_front
from matterscope.materials.screens.rules import Rule, parse_rules, resolve_property
from matterscope.materials.screens.streaming import Plan, SiteTable, chunk_unit, site_table
from matterscope.materials.settings import ScreenSettings

Array = NDArray[np.float64]

DEFAULT_RULES = ("decomposition<0", "gap in 1.0:3.0", "defect_formation>0.5")
DEFAULT_OBJECTIVES = ("max figure_of_merit", "min decomposition", "max defect_formation")
BYTES_PER_ROW = 112
LARGEST_SPACE = 10**9
FRONT_LIMIT = 2000
NO_SIGMA = "a count over the search; the doubt is in the probabilities it sums"


def screen_space(inputs: list[Input], settings: ScreenSettings, call: Call) -> list[Estimate]:
    """Screen a search of alloys by the probability of passing every rule."""
    model, source, notes = model_for(inputs, settings, call)
    space = space_of(settings)
    _check_species(model, space)
    plan, assumed = make_plan(model, space, settings, call)
    _check_size(plan, settings)
    items = [{"plan": plan, "number": i, "range": pair} for i, pair in enumerate(plan.chunks())]
    parts = call.map(chunk_unit, items, "screen")
    answer = Estimate("materials screen", InputRef(source["source"], "", source["sha256"]))
    for note in [*notes, *assumed]:
        answer.flag(*note)
    total = _funnel(answer, plan, parts)
    _tables(answer, plan, parts, model, settings)
    _pictures(answer, plan, parts, settings)
    _files(answer, plan, parts)
    _remarks(answer, plan, model, total)
    if settings.query:
        answer.tables["query"] = query(Path(plan.folder), settings.query)
    answer.provenance |= {"model": source["name"], "references": ["arXiv 2109.10798"]}
    return [answer]


# --- plan -------------------------------------------------------------------------------------
def make_plan(
    model: AlloyModel, space: Space, settings: ScreenSettings, call: Call
) -> tuple[Plan, list[tuple[str, str, str]]]:
    """Return the plan of a screen, and notes on what was assumed."""
    names = model.names
    texts = settings.rule or _available(DEFAULT_RULES, names)
    rules, read_as = parse_rules(texts, names)
    assumed = [("rule-read", note, "name the property in full") for note in read_as]
    objectives = _objectives(settings.objective or _available(DEFAULT_OBJECTIVES, names), names)
    rank_by = resolve_property(settings.rank, names) if settings.rank else _default_rank(names)
    folder = call.artifact("screen")
    if settings.keep != "none":
        require("pyarrow", "writing Parquet")
    tables: list[SiteTable | None] = []
    taught = [n for n in names if too_large(model, space, n)]
    for done, name in enumerate(names):
        tables.append(None if name in taught else site_table(model, name, space))
        call.progress(done + 1, len(names), "properties tabulated")
    student = teach(model, taught, space, call) if taught else None
    plan = Plan(
        space, tuple(names), tuple(tables), tuple(rules),
        error_correlation(model, [r.name for r in rules]), tuple(objectives), rank_by,
        settings.minimum_probability, settings.keep, str(folder), student=student,
    )  # fmt: skip
    axes, ranges = _map_axes(plan)
    return replace(plan, map_axes=axes, map_ranges=ranges), [*assumed, *student_notes(plan, model)]


def student_notes(plan: Plan, model: AlloyModel) -> list[tuple[str, str, str]]:
    """Return a flag that says which properties a student answers, and with what error."""
    if plan.student is None:
        return []
    shares = []
    for name, error in zip(plan.student.names, plan.student.error, strict=True):
        value, _ = model.models[name].left_out()
        own = float(np.sqrt(np.mean((value - model.models[name].target) ** 2)))
        shares.append(f"{name} {error:.3g} ({100 * error / own:.0f} % of the model's own)")
    return [
        (
            "answered-by-a-student",
            "every site is mixed in training and in the search: networks taught by the model answer for it; their "
            "error is part of every σ: " + ", ".join(shares),
            "materials predict asks the model itself",
        )
    ]


def _available(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    kept = []
    for text in texts:
        word = text.replace("max ", "").replace("min ", "")
        for stop in ("<", ">", " in "):
            word = word.split(stop)[0]
        try:
            resolve_property(word.strip(), names)
        except ConfigError:
            continue
        kept.append(text)
    return kept


def _objectives(texts: Sequence[str], names: Sequence[str]) -> list[tuple[str, float]]:
    found = []
    for text in texts:
        sense, _, word = text.strip().partition(" ")
        if sense not in {"max", "min"} or not word:
            raise ConfigError(
                "this is not an objective", got=repr(text), expected="'max NAME' or 'min NAME'"
            )
        found.append((resolve_property(word.strip(), names), 1.0 if sense == "max" else -1.0))
    return found


def _default_rank(names: Sequence[str]) -> str:
    return next((n for n in ("figure_of_merit", "slme") if n in names), "")


def _map_axes(
    plan: Plan,
) -> tuple[tuple[str, str, str], tuple[tuple[float, float], tuple[float, float]]]:
    try:
        x, y = (resolve_property(word, plan.names) for word in ("gap", "decomposition"))
    except ConfigError:
        return ("", "", ""), ((0.0, 1.0), (0.0, 1.0))
    (x_low, x_high, _), (y_low, y_high, _) = plan.reach(x), plan.reach(y)
    return (x, y, plan.rank_by or x), ((x_low, x_high + 1e-6), (y_low, y_high + 1e-6))


def error_correlation(model: AlloyModel, names: Sequence[str]) -> Array:
    """Return the correlation of the leave-one-out errors of several properties, shrunk to be definite."""
    columns = []
    for name in names:
        stack = model.models[name]
        value, sigma = stack.left_out()
        z = np.full(len(model.fractions[0]), np.nan)
        z[stack.rows] = np.clip((stack.target - value) / sigma, -3, 3)
        columns.append(z)
    if len(names) < 2:
        return np.eye(len(names))
    frame = pd.DataFrame(np.column_stack(columns))
    raw = frame.corr(min_periods=20).fillna(0.0).to_numpy()
    shrunk = 0.95 * raw + 0.05 * np.eye(len(names))
    np.fill_diagonal(shrunk, 1.0)
    return np.asarray(shrunk)


def _check_species(model: AlloyModel, space: Space) -> None:
    for site, names in space.species.items():
        unknown = [n for n in names if n not in model.species[site]]
        if unknown:
            raise ConfigError(
                f"the model has never seen {', '.join(unknown)} on site {site}",
                expected=f"species of the training table: {' '.join(model.species[site])}",
                hint=f"choose with --{site}",
            )


def _check_size(plan: Plan, settings: ScreenSettings) -> None:
    size = plan.space.size * BYTES_PER_ROW if plan.keep == "all" else 0
    folder = Path(plan.folder).parent
    free = shutil.disk_usage(folder if folder.exists() else Path.cwd()).free
    too_many = plan.space.size > LARGEST_SPACE
    if (too_many or size > free) and not settings.yes:
        raise ConfigError(
            "this screen is larger than it may be without a word",
            got=f"{plan.space.size:,} compounds, {size / 1e9:.1f} GB of {free / 1e9:.1f} GB free",
            expected=f"at most {LARGEST_SPACE:,} compounds, and room for the rows",
            hint="--keep none stores the lists only; --yes goes on",
        )


# --- answer -----------------------------------------------------------------------------------
def _funnel(answer: Estimate, plan: Plan, parts: Sequence[dict[str, Any]]) -> int:
    rows = sum(p["rows"] for p in parts)
    by_value = np.sum([p["by_value"] for p in parts], axis=0).astype(int).ravel()
    alone = np.sum([p["alone"] for p in parts], axis=0).astype(int).ravel()
    expected = np.sum([p["expected"] for p in parts], axis=0).ravel()
    joint = float(sum(p["expected_joint"] for p in parts))
    confident = int(sum(p["confident"] for p in parts))
    texts = [r.text for r in plan.rules]
    answer.tables["funnel"] = pd.DataFrame(
        {
            "rule": ["all compounds", *texts],
            "passing_alone": [rows, *alone],
            "left_by_value": [rows, *by_value],
            "left_expected": [float(rows), *expected],
        }
    )
    last = int(by_value[-1]) if len(by_value) else rows
    quantities = {
        "number_of_compounds": rows,
        "compounds_passing_by_value": last,
        "compounds_expected_to_pass": joint if plan.rules else float(rows),
        "compounds_passing_confidently": confident,
    }
    for name, value in quantities.items():
        answer.quantities[name] = Quantity(value, "1", reason=NO_SIGMA)
    answer.pictures.append(
        funnel_picture(["all", *texts], [rows, *by_value], [float(rows), *expected])
    )
    if plan.rules and confident == 0:
        worst = texts[int(np.argmin(alone))]
        answer.flag(
            "nothing-passes",
            f"no compound passes all rules with a probability of {plan.threshold:g}; "
            f"'{worst}' alone leaves {alone.min():,} of {rows:,}",
            "the table 'nearest_misses' holds the best of the others; loosen that rule",
        )
    return confident


def _merged(plan: Plan, parts: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    return {
        field: np.concatenate([p[key][field] for p in parts])
        for field in ("number", "values", "sigmas", "probability")
    }


def _frame(plan: Plan, found: dict[str, Any], rows: NDArray[np.intp], model: AlloyModel) -> pd.DataFrame:  # fmt: skip
    number = found["number"][rows]
    counts = plan.space.unrank(number)
    frame = pd.DataFrame(
        {
            "number": number,
            "formula": formulas(counts, plan.space.species, plan.space.steps),
            "probability": found["probability"][rows],
        }
    )
    fractions = padded(model, plan.space, counts)
    vegard = model.vegard(fractions) if len(rows) else np.empty((0, len(plan.names)))
    for t, name in enumerate(plan.names):
        frame[name] = found["values"][rows, t]
        frame[f"{name}_sigma"] = found["sigmas"][rows, t]
        frame[f"{name}_vegard"] = vegard[:, t]
    frame["domain"] = domain_notes(model, fractions)
    frame.attrs["units"] = {n: model.units.get(n, "1") for n in plan.names}
    return frame


def padded(
    model: AlloyModel, space: Space, counts: dict[str, NDArray[np.uint8]]
) -> tuple[Array, Array, Array]:
    """Return fractions over the species of the model from counts over those of the space."""
    result = []
    for site in SITES:
        known = model.species[site]
        rows = np.zeros((len(counts[site]), len(known)))
        rows[:, [known.index(s) for s in space.species[site]]] = counts[site] / space.steps[site]
        result.append(rows)
    return result[0], result[1], result[2]


def _tables(
    answer: Estimate, plan: Plan, parts: Sequence[dict[str, Any]], model: AlloyModel,
    settings: ScreenSettings,
) -> None:  # fmt: skip
    best = _merged(plan, parts, "best")
    score = (
        best["values"][:, plan.names.index(plan.rank_by)] if plan.rank_by else best["probability"]
    )
    if len(score):
        counts = plan.space.unrank(best["number"])
        fractions = np.column_stack(padded(model, plan.space, counts))
        # ties in the score are broken by the number of the compound
        order = np.lexsort((best["number"], -score))
        chosen = order[diverse(score[order], fractions[order], settings.top, settings.diversity)]
        frame = _frame(plan, best, chosen, model)
        answer.tables["top_ten"] = top_ten(frame, plan)
        answer.tables["best"] = frame
    front = _merged(plan, parts, "front")
    if len(front["number"]):
        signed = np.column_stack(
            [sign * front["values"][:, plan.names.index(n)] for n, sign in plan.objectives]
        )
        keep = pareto_front(signed)[:FRONT_LIMIT]
        answer.tables["pareto_front"] = _frame(plan, front, keep, model)
        answer.diagnostics["pareto_front"] = len(keep)
    misses = _merged(plan, parts, "misses")
    if len(score) == 0 and len(misses["number"]):
        order = np.lexsort((misses["number"], -misses["probability"]))[:20]
        answer.tables["nearest_misses"] = _frame(plan, misses, order.astype(np.intp), model)


def top_ten(frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the first ten of the list, with what they were chosen by."""
    named = dict.fromkeys(
        [*([plan.rank_by] if plan.rank_by else []), *(r.name for r in plan.rules)]
    )
    columns = [c for n in named for c in (n, f"{n}_sigma")]
    short = frame[["formula", "probability", *columns]].head(10)
    short.attrs = dict(frame.attrs)
    return short


def _pictures(
    answer: Estimate, plan: Plan, parts: Sequence[dict[str, Any]], settings: ScreenSettings
) -> None:
    if plan.map_axes[0]:
        best = np.max([p["map"] for p in parts], axis=0)
        density = np.sum([p["density"] for p in parts], axis=0)
        answer.pictures.append(property_map_picture(plan, best, density, answer))
    sums = {k: np.sum([p["species"][k] for p in parts], axis=0) for k in parts[0]["species"]}
    answer.tables["species"] = pd.DataFrame(
        [
            {"site": s, "species": name, "mean_fraction_passing": sums[f"passing_{s}"][i] / max(sums[f"passing_{s}"].sum(), 1e-12),
             "mean_fraction_all": sums[f"all_{s}"][i] / sums[f"all_{s}"].sum()}
            for s in SITES for i, name in enumerate(plan.space.species[s])
        ]
    )  # fmt: skip
    answer.pictures.append(species_picture(answer.tables["species"]))
    if "best" in answer.tables and len(answer.tables["best"]):
        picture = ternary_picture(plan, answer.tables["best"])
        if picture is not None:
            answer.pictures.append(picture)


def _files(answer: Estimate, plan: Plan, parts: Sequence[dict[str, Any]]) -> None:
    written = [p for p in parts if p.get("file")]
    answer.diagnostics["artifacts"] = [
        {"path": f"screen/{p['file']}", "sha256": p["sha256"]} for p in written
    ]
    answer.diagnostics["rows_written"] = int(sum(p["rows_written"] for p in parts))
    answer.diagnostics["chunks"] = len(parts)
    answer.diagnostics["query"] = "SELECT … FROM read_parquet('artifacts/screen/*.parquet')"


def _remarks(answer: Estimate, plan: Plan, model: AlloyModel, confident: int) -> None:
    for flag in out_of_domain(model, plan.space):
        answer.flag(*flag)
    families = model_families(model, plan.rules)
    if families:
        answer.flag(
            "families-off-reference",
            f"the decomposition energies of {', '.join(families)} stand on another reference in the "
            "training table: a limit on decomposition removes these families as a whole",
            "materials audit shows the steps",
        )


def model_families(model: AlloyModel, rules: Sequence[Rule]) -> list[str]:
    """Return (A, X) families whose decomposition energies are off by a step, if a rule uses them."""
    from matterscope.materials.alloys.audit import off_families

    found: list[str] = []
    for rule in rules:
        if rule.name.startswith("decomposition"):
            found += off_families(model.fractions, model.species, model.targets[rule.name])
    return sorted(set(found))


def query(folder: Path, sql: str) -> pd.DataFrame:
    """Return the answer of a DuckDB query over the rows of a screen, the view ``screen``.

    Raises
    ------
    ConfigError
        When the query is wrong, or no rows were written.
    """
    require("duckdb", "querying the rows of a screen")
    import duckdb

    if not any(folder.glob("*.parquet")):
        raise ConfigError("no rows were written", hint="use --keep passing or --keep all")
    connection = duckdb.connect(":memory:")
    try:
        pattern = str(folder / "*.parquet").replace("'", "''")
        connection.execute(f"CREATE VIEW screen AS SELECT * FROM read_parquet('{pattern}')")
        frame = connection.execute(sql).df()
    except duckdb.Error as error:
        raise ConfigError("the query failed", got=str(error).splitlines()[0]) from None
    finally:
        connection.close()
    if not isinstance(frame, pd.DataFrame):
        raise NotInstalled("the query returned no table")
    return frame
