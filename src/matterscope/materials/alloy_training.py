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
from matterscope.materials.alloy_persistence import save_model
from matterscope.materials.alloy_pictures import calibration_picture, parity_picture
from matterscope.materials.alloy_tables import AlloyTable, read_alloys
from matterscope.materials.alloys import AlloyModel, TargetModel, take
from matterscope.materials.findings import raise_first

Array = NDArray[np.float64]

FEWEST_ROWS = 20
FOLDS = 5
REFERENCES = ["arXiv 2109.10798", "Vegard, Z. Phys. 5, 17 (1921)"]


def train_alloys(inputs: list[Input], settings: Any, call: Call) -> list[Estimate]:
    """Fit and validate models of every property of a table of alloys."""
    table = read_alloys(inputs, fidelity=settings.fidelity)
    raise_first(table.findings, table.source)
    table = chosen_targets(merge_duplicates(table), settings.targets)
    held = groups(table, settings.leave_out, call)
    scores, predictions = validate(table, held, call)
    model = fit_all(table, call)
    answer = Estimate("materials train", InputRef(table.source, "", _digest(inputs)))
    path = save_model(model, call.artifact("alloys.npz"), table.source, _digest(inputs))
    answer.diagnostics["artifacts"] = [path]
    answer.diagnostics["model"] = path["name"]
    answer.diagnostics["leave_out"] = settings.leave_out
    answer.tables["scores"] = scores
    answer.tables["predictions"] = predictions
    answer.tables["stacks"] = stack_table(model)
    answer.quantities["number_of_compounds"] = Quantity(len(table), "1", reason="counted")
    _notes(answer, table, model, scores)
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
    names = list(wanted) or list(table.targets)
    table.targets = {n: table.targets[n] for n in names}
    few = [n for n in names if np.isfinite(table.targets[n]).sum() < FEWEST_ROWS]
    if few or not names:
        raise SchemaError(
            f"too few rows to learn from: {', '.join(few) or 'no property'}",
            where=table.source,
            got=min((int(np.isfinite(table.targets[n]).sum()) for n in few), default=0),
            expected=f"at least {FEWEST_ROWS}",
        )
    return table


def merge_duplicates(table: AlloyTable) -> AlloyTable:
    """Return the table with equal rows merged.

    Raises
    ------
    SchemaError
        When two rows of one compound, phase and fidelity have different values.
    """
    first: dict[tuple[Any, ...], int] = {}
    keep = []
    for i, (formula, key) in enumerate(zip(table.formulas, table.keys, strict=True)):
        known = first.setdefault((formula, *key), i)
        if known == i:
            keep.append(i)
            continue
        for name, values in table.targets.items():
            pair = values[[known, i]]
            if np.isfinite(pair).all() and abs(pair[0] - pair[1]) > 1e-9:
                raise SchemaError(
                    f"{formula} stands twice with different values of {name}",
                    where=f"{table.source}, {table.rows[known]} and {table.rows[i]}",
                    got=f"{pair[0]:g} and {pair[1]:g}",
                    expected="one value for each compound, phase and fidelity",
                    hint="remove one, or tell them apart in a phase or fidelity column",
                )
    return table if len(keep) == len(table) else table.subset(np.array(keep))


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
    held = item["held"]
    model = AlloyModel(
        item["species"], take(fractions, ~held), {item["name"]: values[~held]}, seed=item["seed"]
    ).fit()
    asked = take(fractions, held)
    value, sigma = model.predict_target(item["name"], asked)
    stack = model.models[item["name"]]
    return {
        "value": value,
        "sigma": sigma,
        "vegard": model.vegard(asked)[:, 0],
        "mean": np.full(int(held.sum()), float(np.nanmean(values[~held]))),
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
    for name, values in table.targets.items():
        known = np.isfinite(values)
        for group in range(int(held.max()) + 1):
            out = (held == group)[known]
            if not out.any() or out.all():
                continue
            items.append(
                {
                    "name": name, "species": table.species, "seed": call.seed, "held": out,
                    "fractions": take(table.fractions, np.flatnonzero(known)), "target": values[known],
                }
            )  # fmt: skip
            places.append(np.flatnonzero(known)[out])
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


def final_unit(item: dict[str, Any], rng: np.random.Generator) -> TargetModel:
    """Fit one property on all rows; a pure function of `item`."""
    model = AlloyModel(
        item["species"], item["fractions"], {item["name"]: item["target"]}, seed=item["seed"]
    )
    return model.fit_target(item["name"])


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
