"""`materials train` for tables of alloys: fit all properties, and say how far they can be trusted.

In: a table of compositions and properties. Out: a model file with its card, and grouped scores with
Vegard and the mean beside them; the choice of model is made inside every fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, SchemaError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.fidelity import cheap_partners
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.newcomers import new_rows
from matterscope.materials.alloys.persistence import save_model
from matterscope.materials.alloys.pictures import calibration_picture, parity_picture
from matterscope.materials.alloys.process import take
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.table_fidelities import merge_duplicates
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.findings import raise_first
from matterscope.materials.settings import AlloyTableSettings, TrainSettings

Array = NDArray[np.float64]

FEWEST_ROWS, FEWEST_SUPPORTED = 20, 10
FOLDS = 5
REFERENCES = ["arXiv 2109.10798", "Vegard, Z. Phys. 5, 17 (1921)"]


def train_alloys(inputs: list[Input], settings: TrainSettings, call: Call) -> list[Estimate]:
    """Fit and validate models of every property of a table of alloys."""
    table = training_table(inputs, settings)
    held = groups(table, settings.leave_out, call)
    scores, predictions = validate(table, held, call)
    model = fit_all(table, call)
    if settings.leave_out in {"A", "X", "A,X"}:
        model.no_skill = tuple(scores.loc[~scores["better_than_mean"], "property"])
    answer = Estimate("materials train", InputRef(table.source, "", _digest(inputs)))
    path = save_model(model, call.artifact("alloys.npz"), table.source, _digest(inputs))
    answer.diagnostics["artifacts"] = [path]
    answer.diagnostics["model"] = path["name"]
    answer.diagnostics["leave_out"] = settings.leave_out
    answer.tables["scores"] = scores
    answer.tables["predictions"] = predictions
    answer.tables["stacks"] = stack_table(model)
    report_fidelities(answer, model)
    answer.quantities["number_of_compounds"] = Quantity(len(table), "1", reason="counted")
    for note in reading_notes(table):
        answer.flag(*note)
    _notes(answer, table, model, scores)
    unseen = sorted(set(predictions.loc[predictions["unseen_pair"], "row"]))
    if unseen:
        answer.flag(
            "outside-the-table",
            f"{len(unseen)} of {len(table)} rows were predicted from a table that holds no compound of their A and X: "
            "their decomposition energies depend on a reference phase that the table does not show",
            "read the scores as those of new families, not of new alloys; the column unseen_pair marks the rows",
        )
    answer.pictures += [
        parity_picture(predictions, table.units),
        calibration_picture(predictions, table.units),
    ]
    answer.provenance |= {
        "references": REFERENCES,
        "model": path["name"],
        "population": population(table),
    }
    return [answer]


def training_table(inputs: Sequence[Input], settings: AlloyTableSettings) -> AlloyTable:
    """Return a table fit for learning; raise for the first faulty row."""
    table = read_alloys(
        inputs, fidelity=settings.fidelity, phase=settings.phase, renormalise=settings.renormalise
    )
    raise_first(table.findings, table.source)
    wanted = settings.targets if isinstance(settings, TrainSettings) else ()
    return chosen_targets(merge_duplicates(table), wanted)


def reading_notes(table: AlloyTable) -> list[tuple[str, str, str]]:
    """Return what was assumed while reading, as flags."""
    if not table.assumed:
        return []
    return [("table-read-as", f"{table.source}: " + "; ".join(table.assumed), "")]


def _digest(inputs: Sequence[Input]) -> str:
    return "+".join(i.sha256 for i in inputs)


def population(table: AlloyTable) -> str:
    """Return the training population in one sentence."""
    species = table.species
    return f"{len(table)} compounds ABX₃, " + ", ".join(f"{s}: {' '.join(n)}" for s, n in species.items())  # fmt: skip


def chosen_targets(table: AlloyTable, wanted: Sequence[str]) -> AlloyTable:
    """Return the table with the named properties only; all of them when none is named."""
    unknown = [w for w in wanted if w not in table.targets]
    if unknown:
        raise ConfigError(
            "the table has no such property",
            where=table.source,
            got=", ".join(unknown),
            expected=", ".join(table.targets),
        )
    partners = cheap_partners(table.targets)
    names = list(wanted) or list(table.targets)
    names += [partners[n] for n in names if n in partners and partners[n] not in names]
    table.targets = {n: table.targets[n] for n in names}
    need = {n: FEWEST_SUPPORTED if n in partners else FEWEST_ROWS for n in names}
    few = [n for n in names if np.isfinite(table.targets[n]).sum() < need[n]]
    if few or not names:
        raise SchemaError(
            f"too few rows to learn from: {', '.join(few) or 'no property'}",
            where=table.source,
            got=min((int(np.isfinite(table.targets[n]).sum()) for n in few), default=0),
            expected=f"at least {FEWEST_ROWS} ({FEWEST_SUPPORTED} where a cheaper level of theory has more)",
            hint="choose the others with --targets",
        )
    return table


# --- validation -------------------------------------------------------------------------------
def groups(table: AlloyTable, leave_out: str, call: Call) -> NDArray[np.int64]:
    """Return the group of each row; groups are left out one after the other, −1 never."""
    if leave_out in {"fold", "auto"}:
        order = call.rng("folds").permutation(len(table))
        held = np.empty(len(table), dtype=np.int64)
        held[order] = np.arange(len(table)) % FOLDS
        return held
    if leave_out == "mixed":
        mixed = np.any([(f > 1e-6).sum(1) > 1 for f in table.fractions], axis=0)
        return np.where(mixed, 0, -1)
    sites = leave_out.split(",")
    if not set(sites) <= {"A", "B", "X"}:
        raise ConfigError(
            "leave_out of materials train is not known for alloys",
            got=leave_out,
            expected="fold, mixed, A, B, X or A,X",
        )
    labels = ["|".join("".join(sorted(c[s])) for s in sites) for c in table.compositions]
    names, held = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise SchemaError(
            "leaving groups out needs at least two of them",
            where=table.source,
            got=f"one group on {leave_out}: {names[0]}",
        )
    return np.asarray(held, dtype=np.int64)


def fit_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Fit one property without one group and predict that group; a pure function of `item`."""
    fractions, values = item["fractions"], item["target"]
    held, name = item["held"], item["name"]
    targets = {name: values[~held]} | {n: v[~held] for n, v in item.get("cheap", {}).items()}
    model = AlloyModel(item["species"], take(fractions, ~held), targets, seed=item["seed"])
    held = held & np.isfinite(values)
    asked = take(fractions, held)
    new = any(new_rows(site, model.fractions, asked).any() for site in SITES)
    stack = model.models[name] = model.fit_target(name, newcomers=new)
    model.targets = {name: targets[name]}
    value, sigma = model.predict_target(name, asked)
    return {
        "value": value,
        "sigma": sigma,
        "vegard": model.vegard(asked)[:, 0],
        "mean": np.full(int(held.sum()), float(np.nanmean(targets[name]))),
        "quantiles": {str(k): v for k, v in stack.quantiles.items()},
        "weights": [float(w) for w in stack.weights],
        "members": [m.name for m in stack.members],
        "weak": unseen_pairs(model.fractions, asked),
    }


def unseen_pairs(known: tuple[Array, ...], asked: tuple[Array, ...]) -> NDArray[np.bool_]:
    """Return which compounds hold an (A, X) pair that no known compound holds."""
    seen = np.einsum("ni,nk->ik", (known[0] > 0).astype(float), (known[2] > 0).astype(float)) > 0
    need = np.einsum("ni,nk->nik", (asked[0] > 0).astype(float), (asked[2] > 0).astype(float)) > 0
    return np.asarray((need & ~seen[None]).any((1, 2)))


def validate(
    table: AlloyTable, held: NDArray[np.int64], call: Call
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores by property and the predictions they were made of."""
    items, places = [], []
    partners = cheap_partners(table.targets)
    for name, values in table.targets.items():
        known = np.isfinite(values)
        cheap = partners.get(name)
        kept = np.flatnonzero(known | np.isfinite(table.targets[cheap]) if cheap else known)
        for group in range(int(held.max()) + 1):
            # the cheap value of a row is hidden with the dear one
            out = (held == group)[kept]
            if not (out & known[kept]).any() or not (~out & known[kept]).any():
                continue
            items.append(
                {
                    "name": name, "species": table.species, "seed": call.seed, "held": out,
                    "fractions": take(table.fractions, kept), "target": values[kept],
                    "cheap": {cheap: table.targets[cheap][kept]} if cheap else {},
                }
            )  # fmt: skip
            places.append(kept[out & known[kept]])
    results = call.map(fit_unit, items, "alloy-validation")
    formulas = table.formulas
    rows = []
    for item, place, found in zip(items, places, results, strict=True):
        half = {k: found["quantiles"][k] * np.asarray(found["sigma"]) for k in found["quantiles"]}
        rows.append(
            pd.DataFrame(
                {
                    "property": item["name"], "row": [table.rows[i] for i in place],
                    "formula": [formulas[i] for i in place], "group": held[place],
                    "truth": table.targets[item["name"]][place], "value": found["value"],
                    "sigma": found["sigma"], "half_width_68": half["0.68"],
                    "half_width_95": half["0.95"], "vegard": found["vegard"],
                    "mean": found["mean"], "unseen_pair": found["weak"],
                }
            )
        )  # fmt: skip
    predictions = pd.concat(rows, ignore_index=True)
    return score(predictions, table.units), predictions


def score(predictions: pd.DataFrame, units: dict[str, str]) -> pd.DataFrame:
    """Return RMSE, MAE, baselines, width and coverage for each property."""
    rows = []
    for name, part in predictions.groupby("property", sort=False):
        error = (part["value"] - part["truth"]).to_numpy()
        rows.append(
            {
                "property": name,
                "units": units.get(str(name), "1"),
                "rmse": float(np.sqrt(np.mean(error**2))),
                "mae": float(np.mean(np.abs(error))),
                "vegard_rmse": float(np.sqrt(np.mean((part["vegard"] - part["truth"]) ** 2))),
                "mean_rmse": float(np.sqrt(np.mean((part["mean"] - part["truth"]) ** 2))),
                "z_std": float(np.std(error / part["sigma"])),
                "coverage_68": float(np.mean(np.abs(error) <= part["half_width_68"])),
                "coverage_95": float(np.mean(np.abs(error) <= part["half_width_95"])),
                "rows": len(part),
                "better_than_mean": bool(
                    np.mean(error**2) < np.mean((part["mean"] - part["truth"]) ** 2)
                ),
            }
        )
    return pd.DataFrame(rows)


def fit_all(table: AlloyTable, call: Call) -> AlloyModel:
    """Return the model of all properties, fitted on all rows."""
    model = AlloyModel(
        table.species, table.fractions, dict(table.targets), seed=call.seed, units=table.units
    )
    for done, name in enumerate(table.targets):
        model.models[name] = model.fit_target(name)
        call.progress(done + 1, len(table.targets), "properties fitted")
    return model


# --- words ------------------------------------------------------------------------------------
def stack_table(model: AlloyModel) -> pd.DataFrame:
    """Return the weight of each member for each property."""
    rows = []
    for name, stack in model.models.items():
        weights = {m.name: float(w) for m, w in zip(stack.members, stack.weights, strict=True)}
        rows.append({"property": name, **weights, "sigma_scale": stack.scale})
    return pd.DataFrame(rows).fillna(0.0)


def report_fidelities(answer: Estimate, model: AlloyModel) -> None:
    """Put the losses of all ways to use a cheaper level of theory, and what was chosen, into the answer."""
    rows = []
    for name, stack in model.models.items():
        if not stack.losses:
            continue
        support = next((m.support for m in stack.members if m.support is not None), None)
        best = min(("delta", "co-kriging", "alone"), key=lambda k: stack.losses[k])
        weight = sum(
            float(w) for m, w in zip(stack.members, stack.weights, strict=True) if m.support
        )
        cheap = cheap_partners(model.targets)[name]
        rows.append(
            {"property": name, "cheap": cheap, "rows": len(stack.rows), "chosen": best,
             "slope": support.slope if support else np.nan, "weight_in_stack": weight,
             **{f"rmse_{k}": v for k, v in stack.losses.items()}}
        )  # fmt: skip
        if support is None:
            answer.flag(
                f"cheap-does-not-help-{name}",
                f"{cheap} does not help to learn {name}: rows of {name} alone err by {stack.losses['alone']:.3g}, "
                f"with it by {min(stack.losses['delta'], stack.losses['co-kriging']):.3g}, when left out",
                "check that the two columns hold the same compounds",
            )
    if rows:
        answer.tables["fidelities"] = pd.DataFrame(rows)


def _notes(answer: Estimate, table: AlloyTable, model: AlloyModel, scores: pd.DataFrame) -> None:
    mixed = {s for stack in model.models.values() for s in stack.mixed}
    for site in "ABX":
        if site not in mixed:
            answer.flag(
                f"site-{site.lower()}-not-mixed",
                f"no training compound mixes the {site} site: mixtures on it are Vegard means with a wide interval",
                f"add rows that mix {site}",
            )
    for _, row in scores.iterrows():
        if not row["better_than_mean"]:
            answer.flag(
                f"no-skill-{row['property']}",
                f"{row['property']}: no better than the mean of the other groups "
                f"(RMSE {row['rmse']:.3g} against {row['mean_rmse']:.3g} {row['units']}) when groups like these are left out",
                "values for compounds that far from the table are withheld unless forced",
            )
    recovered = sum(f.rule == "composition recovered" for f in table.findings)
    if recovered:
        answer.flag(
            "composition-recovered",
            f"{recovered} compositions were recovered from the descriptors",
            "the table 'findings' of materials audit gives the margin of each",
        )
    sentinels = sum(f.rule == "sentinel" for f in table.findings)
    if sentinels:
        answer.flag("sentinels", f"{sentinels} sentinel values were read as missing")
