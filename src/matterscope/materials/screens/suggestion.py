"""`materials suggest`: which compounds to compute or make next.

In: a model (or a table), a search, objectives and rules. Out: compounds not yet in the table, each with its
formula in site order, predictions, probability of passing, and why it was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.materials.alloys.compositions import SITES, formulas, write_formula
from matterscope.materials.alloys.domains import domain_notes, out_of_domain
from matterscope.materials.alloys.enumeration import space_of
from matterscope.materials.alloys.model_choice import model_for
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.pictures import short, with_unit
from matterscope.materials.alloys.process import AlloyProcess
from matterscope.materials.screens.evolution import Counts, evolve, random_counts, space_key
from matterscope.materials.screens.frontiers import diverse, non_dominated_ranks
from matterscope.materials.screens.rules import joint_draws, joint_probability
from matterscope.materials.screens.screening import error_correlation, make_plan, padded
from matterscope.materials.screens.streaming import Plan
from matterscope.materials.settings import SuggestSettings

Array = NDArray[np.float64]

CANDIDATES = 6000
REFERENCES = [
    "Deb et al., IEEE Trans. Evol. Comput. 6, 182 (2002)",
    "Jones, Schonlau and Welch, J. Global Optim. 13, 455 (1998)",
    "Ginsbourger, Le Riche and Carraro, Computational Intelligence in Expensive Optimization Problems (2010), pending points",
]


def suggest_compounds(inputs: list[Input], settings: SuggestSettings, call: Call) -> list[Estimate]:
    """Return the next compounds by evolution or by batches of Bayesian optimisation."""
    model, source, notes = model_for(inputs, settings, call)
    space = space_of(settings)
    plan, assumed = make_plan(model, space, settings, call)
    if not plan.objectives:
        raise ConfigError("nothing to optimise", hint="--objective 'max NAME'")
    answer = Estimate("materials suggest", InputRef(source["source"], "", source["sha256"]))
    for note in [*notes, *assumed]:
        answer.flag(*note)
    maker = _batch if settings.method == "batch" else _evolved
    counts, why = maker(answer, plan, model, settings, call)
    if len(counts["A"]) == 0:
        raise ConfigError("every compound of this search is in the table", got=space.size)
    answer.tables["suggestions"] = _table(plan, model, counts, why, settings)
    doubts(answer, plan, model, settings)
    answer.quantities["compounds_suggested"] = Quantity(len(counts["A"]), "1", reason="counted")
    answer.pictures.append(_objective_picture(plan, model, answer.tables["suggestions"]))
    answer.provenance |= {"model": source["name"], "references": REFERENCES}
    return [answer]


def doubts(answer: Estimate, plan: Plan, model: AlloyModel, settings: SuggestSettings) -> None:
    """Flag searches beyond the table, and suggestions that are unlikely to pass the rules."""
    for flag in out_of_domain(model, plan.space):
        answer.flag(*flag)
    chance = answer.tables["suggestions"]["probability"].to_numpy()
    unlikely = int((chance < settings.minimum_probability).sum())
    if not plan.rules or not unlikely:
        return
    texts = ", ".join(f"'{r.text}'" for r in plan.rules)
    if unlikely == len(chance):
        answer.flag(
            "rules-not-met",
            f"no suggestion passes {texts} with a probability of {settings.minimum_probability:g}; the best has {chance.max():.2g}",
            "loosen a rule: materials screen shows which one empties the search",
        )
    else:
        answer.flag(
            "rules-doubtful",
            f"{unlikely} of {len(chance)} suggestions pass {texts} with less than {settings.minimum_probability:g}",
            "they are worth computing only to learn; sort by probability",
        )


# --- predictions ------------------------------------------------------------------------------
def lookup(plan: Plan, counts: Counts) -> tuple[Array, Array]:
    """Return values and σ of compounds given as counts, shape (n, properties), from the plan's tables."""
    grids = dict(zip(SITES, plan.space.grids, strict=True))
    shares = {s: counts[s] / grids[s].steps for s in SITES}
    place = {s: grids[s].rank(counts[s]) for s in SITES}
    taught: dict[str, tuple[Array, Array]] = {}
    if plan.student is not None:
        known = [v.astype(float) for v in plan.student.rows(*(place[s] for s in SITES))]
        taught = {n: (known[0][:, i], known[1][:, i]) for i, n in enumerate(plan.student.names)}
    values, sigmas = [], []
    for name, table in zip(plan.names, plan.tables, strict=True):
        if table is None:
            value, sigma = taught[name]
        else:
            weights = {s: shares[s] if s in table.interpolated else None for s in SITES}
            rows = {s: None if s in table.interpolated else place[s] for s in SITES}
            value, sigma = (_gather(grid, rows, weights) for grid in (table.value, table.sigma))
            variance = sum(
                (
                    table.bowing**2 * 2.0 * (1.0 - (shares[s] ** 2).sum(1))
                    for s in table.interpolated
                ),
                np.zeros(len(shares["A"])),
            )
            sigma = np.hypot(sigma, np.sqrt(np.maximum(variance, 0.0)))
        values.append(value)
        sigmas.append(sigma)
    return np.column_stack(values), np.column_stack(sigmas)


def _gather(
    grid: NDArray[np.float32],
    rows: dict[str, NDArray[np.int64] | None],
    weights: dict[str, Array | None],
) -> Array:
    n = len(next(v for v in [*rows.values(), *weights.values()] if v is not None))
    if all(r is not None for r in rows.values()):
        return np.asarray(grid[rows["A"], rows["B"], rows["X"]], dtype=float)
    result = np.zeros(n)
    choices = {s: range(w.shape[1]) if (w := weights[s]) is not None else (None,) for s in SITES}
    for a in choices["A"]:
        for b in choices["B"]:
            for x in choices["X"]:
                share = np.ones(n)
                place = []
                for site, pick in zip(SITES, (a, b, x), strict=True):
                    weight = weights[site]
                    if weight is None or pick is None:
                        place.append(rows[site])
                    else:
                        share = share * weight[:, pick]
                        place.append(np.full(n, pick))
                result += share * grid[place[0], place[1], place[2]]
    return result


def probability_of_rules(plan: Plan, values: Array, sigmas: Array) -> Array:
    """Return P(all rules) of each row; 1 without rules."""
    if not plan.rules:
        return np.ones(len(values))
    where = [plan.names.index(r.name) for r in plan.rules]
    _, every = joint_probability(
        plan.rules, values[:, where], sigmas[:, where], joint_draws(plan.correlation), 1e-3
    )
    return np.asarray(every, dtype=float)


def new_ones(counts: Counts, plan: Plan, model: AlloyModel) -> NDArray[np.bool_]:
    """Return which compounds are not rows of the training table."""
    known = {
        write_formula(
            {
                s: {n: float(v) for n, v in zip(model.species[s], f[i], strict=True) if v > 1e-6}
                for s, f in zip(SITES, model.fractions, strict=True)
            }
        )
        for i in range(len(model.fractions[0]))
    }
    return np.array(
        [f not in known for f in formulas(counts, plan.space.species, plan.space.steps)]
    )


# --- methods ----------------------------------------------------------------------------------
def _evolved(
    answer: Estimate, plan: Plan, model: AlloyModel, settings: SuggestSettings, call: Call
) -> tuple[Counts, list[str]]:
    where = [plan.names.index(n) for n, _ in plan.objectives]
    signs = np.array([s for _, s in plan.objectives])
    spread = np.array([plan.reach(n)[2] + 1e-9 for n, _ in plan.objectives])

    def score(counts: Counts) -> Array:
        values, sigmas = lookup(plan, counts)
        chance = probability_of_rules(plan, values, sigmas)
        scaled = signs * values[:, where] / spread
        # an unlikely compound is beaten in every objective by a likely one
        penalty = 3.0 * np.log10(np.maximum(chance, 1e-6) / settings.minimum_probability)
        scaled = scaled + np.minimum(penalty, 0.0)[:, None]
        return np.asarray(scaled.sum(1, keepdims=True) if settings.method == "genetic" else scaled)

    found = evolve(
        score, plan.space, call.rng("evolution"), settings.population, settings.generations
    )
    answer.pictures.append(_history_picture(found.history, settings.method))
    answer.diagnostics["evaluations"] = settings.population * (settings.generations + 1)
    fresh = np.flatnonzero(new_ones(found.counts, plan, model))
    ranks = non_dominated_ranks(found.objectives[fresh]) if len(fresh) else np.empty(0)
    total = found.objectives[fresh].sum(1)
    order = np.lexsort((-total, ranks))
    fractions = np.column_stack([found.counts[s] / plan.space.steps[s] for s in SITES])[
        fresh[order]
    ]
    chosen = fresh[order][diverse(-np.arange(len(order), dtype=float), fractions, settings.count, settings.diversity)]  # fmt: skip
    why = [f"front {int(ranks[list(fresh).index(i)])}" for i in chosen]
    return {s: found.counts[s][chosen] for s in SITES}, why


def _batch(
    answer: Estimate, plan: Plan, model: AlloyModel, settings: SuggestSettings, call: Call
) -> tuple[Counts, list[str]]:
    name, sign = plan.objectives[0]
    place = plan.names.index(name)
    counts = random_counts(plan.space, CANDIDATES, call.rng("candidates"))
    _, first = np.unique(space_key(counts), axis=0, return_index=True)
    counts = {s: counts[s][np.sort(first)] for s in SITES}
    fresh = np.flatnonzero(new_ones(counts, plan, model))
    counts = {s: counts[s][fresh] for s in SITES}
    values, sigmas = lookup(plan, counts)
    chance = probability_of_rules(plan, values, sigmas)
    stack = model.models[name]
    process = next(m.process for m in stack.members if m.process is not None)
    fractions = padded(model, plan.space, {s: c.astype(np.uint8) for s, c in counts.items()})
    best = _best_known(plan, model, name, sign)
    variance = sigmas[:, place] ** 2
    mean = sign * values[:, place]
    chosen: list[int] = []
    why: list[str] = []
    downdates: list[Array] = []
    for _ in range(min(settings.count, len(fresh))):
        width = np.sqrt(np.maximum(variance, 1e-12))
        gain = acquisition(mean, width, best, settings.acquisition) * chance
        gain[chosen] = -np.inf
        pick = int(gain.argmax())
        chosen.append(pick)
        why.append(f"{settings.acquisition.upper()} {gain[pick]:.3g}")
        # a pending point is believed at its mean: the mean stays, the doubt around it shrinks
        covariance = posterior_covariance(process, fractions, pick)
        for earlier in downdates:
            covariance = covariance - earlier * earlier[pick]
        own = max(float(covariance[pick]), 1e-12) + (process.noise * process.spread) ** 2
        step = covariance / np.sqrt(own)
        downdates.append(step)
        variance = np.maximum(variance - step**2, (0.05 * sigmas[:, place]) ** 2)
    answer.diagnostics["candidates"] = len(fresh)
    return {s: counts[s][chosen] for s in SITES}, why


def _best_known(plan: Plan, model: AlloyModel, name: str, sign: float) -> float:
    """Return the best value of the table among rows that pass the rules, of all rows if none does."""
    passing = np.isfinite(model.targets[name])
    for rule in plan.rules:
        passing = passing & rule.by_value(model.targets[rule.name])
    values = sign * model.targets[name]
    return float(np.nanmax(values[passing] if passing.any() else values))


def acquisition(mean: Array, sigma: Array, best: float, kind: str) -> Array:
    """Return expected improvement over `best`, or the upper bound at 2σ above the worst; to be maximised.

    EI = (μ − f*) Φ(z) + σ φ(z), z = (μ − f*)/σ.
    """
    if kind == "ucb":
        upper = mean + 2.0 * sigma
        return np.asarray(upper - upper.min())
    z = (mean - best) / sigma
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray((mean - best) * ndtr(z) + sigma * density)


def posterior_covariance(
    process: AlloyProcess, fractions: tuple[Array, Array, Array], pick: int
) -> Array:
    """Return the covariance of all compounds with one of them, given the training rows."""
    one = tuple(f[pick : pick + 1] for f in fractions)
    a, b, x = one
    return process.covariance(fractions, (a, b, x))[:, 0]


# --- answer -----------------------------------------------------------------------------------
def _table(
    plan: Plan, model: AlloyModel, counts: Counts, why: Sequence[str], settings: SuggestSettings
) -> pd.DataFrame:
    values, sigmas = lookup(plan, counts)
    small = {s: c.astype(np.uint8) for s, c in counts.items()}
    fractions = padded(model, plan.space, small)
    frame = pd.DataFrame(
        {
            "formula": formulas(small, plan.space.species, plan.space.steps),
            "reason": list(why),
            "probability": probability_of_rules(plan, values, sigmas),
        }
    )
    vegard = model.vegard(fractions)
    for t, name in enumerate(plan.names):
        frame[name], frame[f"{name}_sigma"] = values[:, t], sigmas[:, t]
        frame[f"{name}_vegard"] = vegard[:, t]
    frame["domain"] = domain_notes(model, fractions)
    if settings.cost:
        frame["compute"] = fidelity_choice(plan, model, sigmas, settings.cost)
    frame.attrs["units"] = {n: model.units.get(n, "1") for n in plan.names}
    return frame


def fidelity_choice(
    plan: Plan, model: AlloyModel, sigmas: Array, costs: Sequence[str]
) -> list[str]:
    """Return which fidelity of the first objective to compute: the larger gain for its cost.

    A computation at another fidelity with correlation ρ of the errors removes ρ²σ² of the doubt.
    """
    price = {}
    for word in costs:
        label, _, number = word.partition("=")
        try:
            price[label.strip().lower()] = float(number)
        except ValueError:
            raise ConfigError(
                "a cost must be FIDELITY=NUMBER", got=word, expected="pbe=1"
            ) from None
    name = plan.objectives[0][0]
    stem = name.rsplit("_", 1)[0]
    options = [f for f in price if f"{stem}_{f}" in plan.names]
    if len(options) < 2 or name not in {f"{stem}_{f}" for f in options}:
        raise ConfigError(
            "these fidelities are not in the model",
            got=", ".join(price),
            expected=f"two of the fidelities of {stem}",
        )
    rho = error_correlation(model, [name, *[f"{stem}_{f}" for f in options]])[0, 1:]
    gain = [
        (1.0 if f"{stem}_{f}" == name else float(r) ** 2) / price[f]
        for f, r in zip(options, rho, strict=True)
    ]
    best = options[int(np.argmax(gain))]
    text = f"{stem}_{best} (removes {100 * gain[options.index(best)] * price[best]:.0f} % of the variance for {price[best]:g})"
    return [text] * len(sigmas)


def _history_picture(history: Sequence[float], method: str) -> Picture:
    panel = Panel(
        [line(np.arange(len(history)), history, "best of the first objective")],
        x_label="generation",
        y_label="score (spreads of the property)",
    )
    return Picture(
        "search", f"Course of the {method} search", [panel], "The best score found so far."
    )


def _objective_picture(plan: Plan, model: AlloyModel, frame: pd.DataFrame) -> Picture:
    names = [n for n, _ in plan.objectives]
    x, y = (names[0], names[1]) if len(names) > 1 else (names[0], names[0])
    values, other = model.targets[x], model.targets[y]
    units = dict(model.units)
    panel = Panel(
        [
            points(values, other, "table", "muted"),
            points(frame[x], frame[y], "suggested", "flagged",
                   y_low=frame[y] - frame[f"{y}_sigma"], y_high=frame[y] + frame[f"{y}_sigma"]),
        ],
        x_label=with_unit(x, units), y_label=with_unit(y, units),
    )  # fmt: skip
    return Picture(
        "suggestions", f"Suggested compounds: {short(x)} and {short(y)}", [panel],
        "Grey: rows of the table; orange: suggestions with ±1σ.",
    )  # fmt: skip
