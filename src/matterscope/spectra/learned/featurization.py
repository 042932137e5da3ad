"""Comparison of features: which description of a spectrum survives what instruments do to it.

In: a training set (and measured spectra with labels, where there are any). Out: the table of
features × models × nuisances, every cell scored on groups left out, and a default with its reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.pictures import Panel, Picture, image
from matterscope.core.random import generator
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.learn.kernelridge import train_kernel_ridge
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.learned.features import COMPONENTS, DISTORTIONS, FEATURES, distort
from matterscope.spectra.learned.training import groups_of
from matterscope.spectra.learned.transfer import (
    LABELS,
    MEASURED,
    Standard,
    parity_picture,
    read_standards,
    score_standards,
    weigh,
)
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape
from matterscope.spectra.sets.trainingsets import COORDINATIONS, TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import CompareFeaturesSettings

Floats = NDArray[np.float64]

FIXED = np.arange(-8.0, 42.0 + 1e-9, 0.5)
"""eV from the median edge of the training set: the window of a description that is not aligned."""


def describe(
    energy: Floats, mu: Floats, aligned: bool, window: str, centre: float
) -> tuple[Floats, Floats]:
    """Return (values, grid) of one spectrum, aligned at its own edge or on the fixed axis."""
    if aligned:
        shape, _ = aligned_shape(energy, mu, window)
        return np.nan_to_num(shape, nan=float(mu[-1])), WINDOWS[window]
    return np.interp(centre + FIXED, energy, mu), FIXED


class _Kernel:
    """Kernel ridge behind the two methods that every model here has."""

    def __init__(self, seed: int, rank: int) -> None:
        self.rng, self.rank = np.random.default_rng(seed), rank

    def fit(self, features: Floats, goal: Floats) -> _Kernel:
        """Solve for the weights."""
        noise = np.full(len(features), 0.05)
        self.machine = train_kernel_ridge(features, goal, noise, self.rng, rank=self.rank)
        return self

    def predict(self, features: Floats) -> Floats:
        """Return the answers."""
        return self.machine.predict(features)


def _model(name: str, seed: int, feature: str) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
    from sklearn.pipeline import make_pipeline

    few = feature == "components"
    if name == "kernel":
        return _Kernel(seed, COMPONENTS if few else 10_000)
    kinds = {"forest": RandomForestRegressor, "trees": ExtraTreesRegressor}
    if name not in kinds:
        raise ConfigError("unknown model", got=name, expected="forest, trees, kernel")
    trees = kinds[name](100, max_features="sqrt", random_state=seed)
    return make_pipeline(PCA(COMPONENTS, random_state=seed), trees) if few else trees


def compare_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Score one description with one model on every fold and distortion (a unit of `Call.map`)."""
    seed = int(rng.integers(2**31))
    shapes, folds = item["shapes"], item["folds"]
    truth, bond = item["truth"], item["bond"]
    hot = np.eye(int(truth.max()) + 1)[truth]
    goal = np.column_stack([hot, bond])
    # one model answers both: shares of the classes and the bond, on comparable scales
    centre, scale = goal.mean(axis=0), np.r_[np.ones(hot.shape[1]), bond.std()]
    found = {name: np.zeros_like(goal) for name in shapes}
    for train, test in folds:
        model = _model(item["model"], seed, item["feature"])
        model.fit(shapes["clean"][train], (goal[train] - centre) / scale)
        for name, view in shapes.items():
            found[name][test] = model.predict(view[test]) * scale + centre
    scores = {
        name: {
            "coordination_f1": macro_f1(truth, p[:, :-1].argmax(axis=1)),
            "bond_mae": mean_absolute_error(bond, p[:, -1]),
        }
        for name, p in found.items()
    }
    asked = item["measured"]
    return {"scores": scores, "measured": None if asked is None else _answer_measured(item, seed)}


def _answer_measured(item: dict[str, Any], seed: int) -> Floats:
    """Return coordination number, bond (Å) and oxidation state (n, 3) of the measured spectra."""
    truth, bond, states = item["truth"], item["bond"], item["states"]
    goal = np.column_stack([np.eye(int(truth.max()) + 1)[truth], bond, states])
    centre = goal.mean(axis=0)
    scale = np.r_[np.ones(truth.max() + 1), bond.std(), max(states.std(), 1e-9)]
    model = _model(item["model"], seed, item["feature"])
    model.fit(item["shapes"]["clean"], (goal - centre) / scale)
    found = np.asarray(model.predict(item["measured"])) * scale + centre
    named = np.array(COORDINATIONS)[found[:, :-2].argmax(axis=1)]
    return np.column_stack([named, found[:, -2:]])


def compare_features(
    inputs: list[Input], settings: CompareFeaturesSettings, call: Call
) -> list[Estimate]:
    """Fill the table of features × models × distortions and recommend a default."""
    (given,) = inputs
    assert given.path is not None
    training = load_set(given.path)
    rows = np.flatnonzero(training.oxygen)
    if rows.size < 2 * COMPONENTS:
        raise DataError(
            "too few sites with a first shell of oxygen to compare descriptions on",
            where=str(given.path),
            got=rows.size,
            expected=f"at least {2 * COMPONENTS}",
            hint="build a larger set",
        )
    if settings.sites and settings.sites < rows.size:
        rows = np.sort(call.rng("sites").permutation(rows)[: settings.sites])
    folds = grouped_folds(groups_of(training, settings.split)[rows], settings.folds, call.seed)
    views = _views(training, rows, settings, call)
    standards: list[Standard] = []
    left: list[dict[str, str]] = []
    if settings.experiment:
        standards, left = read_standards(Path(settings.experiment), settings.window)
    asked = _asked(standards, training, rows, settings) if standards else {}
    targets = training.targets()
    known = targets["valence"][rows]
    states = np.where(known >= 0, known + 1.0, (known[known >= 0] + 1).mean() if (known >= 0).any() else 0.0)  # fmt: skip
    jobs: list[dict[str, Any]] = []
    for aligned in (True, False) if settings.unaligned else (True,):
        for feature in settings.features:
            for model in settings.models:
                shapes = {
                    name: FEATURES[feature](values, grid).astype(np.float32)
                    for name, (values, grid) in views[aligned].items()
                }
                jobs.append(
                    {
                        "label": f"{'aligned' if aligned else 'fixed-axis'} {feature}, {model}",
                        "shapes": shapes,
                        "measured": FEATURES[feature](*asked[aligned]).astype(np.float32)
                        if asked
                        else None,
                        "states": states,
                        "model": model,
                        "feature": feature,
                        "folds": folds,
                        "truth": targets["coordination"][rows],
                        "bond": targets["bond"][rows],
                    }
                )
    results = call.map(compare_unit, jobs, "comparison")
    scores = [r["scores"] for r in results]
    estimate = _estimate(given, jobs, scores, training, rows, settings)
    if settings.experiment:
        answers = {j["label"]: r["measured"] for j, r in zip(jobs, results, strict=True)}
        _judge_transfer(estimate, answers if standards else {}, standards, left, jobs[0], call)
    _summarise(estimate)
    return [estimate]


def _centre(training: TrainingSet, rows: NDArray[np.int64]) -> float:
    """Return the median edge (eV) of the computed spectra: where a fixed axis is centred."""
    found = [aligned_shape(training.energy[i], training.mu[i], "narrow")[1] for i in rows]
    return float(np.median(found))


def _asked(
    standards: list[Standard],
    training: TrainingSet,
    rows: NDArray[np.int64],
    settings: CompareFeaturesSettings,
) -> dict[bool, tuple[Floats, Floats]]:
    """Return the measured spectra as (values, grid), aligned and on the fixed axis of the theory."""
    centre = _centre(training, rows)
    found = {}
    for aligned in (True, False):
        pairs = [describe(s.energy, s.mu, aligned, settings.window, centre) for s in standards]
        found[aligned] = (np.array([p[0] for p in pairs]), pairs[0][1])
    return found


def _judge_transfer(
    estimate: Estimate,
    answers: dict[str, Floats],
    standards: list[Standard],
    left: list[dict[str, str]],
    job: dict[str, Any],
    call: Call,
) -> None:
    """Put the measured spectra beside the distortions and let them speak on the recommendation."""
    if left:
        estimate.tables["experiment_left_out"] = pd.DataFrame(left)
        message = f"{len(left)} measured spectra were left out: {left[0]['spectrum']} ({left[0]['left out because']})."
        estimate.flag("experiment_left_out", message, "see the table experiment_left_out")
    if not standards:
        return
    most = np.bincount(job["truth"]).argmax()
    guesses = (COORDINATIONS[most], float(job["bond"].mean()), float(job["states"].mean()))
    mean = dict(zip(LABELS, guesses, strict=True))
    estimate.tables["experiment"], table = score_standards(standards, answers, mean)
    estimate.tables["transfer"] = table
    column = table[["description", "coordination_f1", "bond_mae"]].assign(distortion=MEASURED)
    card = estimate.tables["stress_card"]
    joined = pd.concat([card, column], ignore_index=True)
    joined.attrs["units"] = card.attrs["units"]
    estimate.tables["stress_card"] = joined
    stressed = str(estimate.diagnostics["recommended"])
    chosen, why = weigh(stressed, standards, answers, call.rng("samples"))
    estimate.diagnostics |= {
        "recommended": chosen,
        "recommended_by_distortions": stressed,
        "reason": f"{estimate.diagnostics['reason']}; {why}",
    }
    if any(np.isfinite(s.truth["bond_length"]) for s in standards):
        estimate.pictures.append(parity_picture(standards, answers, chosen, mean["bond_length"]))


def _summarise(estimate: Estimate) -> None:
    """State the recommendation with its scores, and draw the cards."""
    frame, best = estimate.tables["stress_card"], str(estimate.diagnostics["recommended"])
    own = frame[(frame["description"] == best) & (frame["distortion"] != MEASURED)]
    estimate.quantities["recommended"] = Quantity(best, "1", reason=estimate.diagnostics["reason"])
    chosen = own[own["distortion"] == "clean"]
    for name, units in (("coordination_f1", "1"), ("bond_mae", "Å")):
        value = float((chosen if len(chosen) else own)[name].iloc[0])
        reach = f"over the distortions it goes from {own[name].min():.3g} to {own[name].max():.3g}"
        estimate.quantities[name] = Quantity(value, units, reason=reach)
    titles = {"coordination_f1": "macro-F1 of the coordination", "bond_mae": "bond MAE / Å"}
    cards = [_card(frame, n, t) for n, t in titles.items()]
    estimate.pictures = [*cards, *estimate.pictures]


def _views(
    training: TrainingSet, rows: NDArray[np.int64], settings: CompareFeaturesSettings, call: Call
) -> dict[bool, dict[str, tuple[Floats, Floats]]]:
    centre = _centre(training, rows)
    views: dict[bool, dict[str, tuple[Floats, Floats]]] = {True: {}, False: {}}
    for number, name in enumerate(settings.distortions):
        if name not in DISTORTIONS:
            raise ConfigError("unknown distortion", got=name, expected=", ".join(DISTORTIONS))
        how = DISTORTIONS[name]
        seen = [
            distort(
                training.energy[i],
                training.mu[i],
                how,
                centre,
                generator(call.seed, f"distortion {name}", int(i)),
            )
            for i in rows
        ]
        for aligned, target in views.items():
            pairs = [describe(e, m, aligned, settings.window, centre) for e, m in seen]
            target[name] = (np.array([p[0] for p in pairs]), pairs[0][1])
        call.progress(number + 1, len(settings.distortions), "distorting the spectra")
    return views


def _estimate(
    given: Input,
    jobs: list[dict[str, Any]],
    results: list[dict[str, Any]],
    training: TrainingSet,
    rows: NDArray[np.int64],
    settings: CompareFeaturesSettings,
) -> Estimate:
    estimate = Estimate("spectra compare-features", given.ref)
    targets = training.targets()
    bond, truth = targets["bond"][rows], targets["coordination"][rows]
    table = [
        {"description": job["label"], "distortion": name, **cell}
        for job, result in zip(jobs, results, strict=True)
        for name, cell in result.items()
    ]
    most = np.full(truth.size, np.bincount(truth).argmax())
    baseline = {"coordination_f1": macro_f1(truth, most), "bond_mae": float(np.abs(bond - bond.mean()).mean())}  # fmt: skip
    table += [
        {"description": "mean of the training set", "distortion": name, **baseline}
        for name in settings.distortions
    ]
    frame = pd.DataFrame(table)
    frame.attrs["units"] = {"bond_mae": "Å"}
    estimate.tables["stress_card"] = frame
    best, reason = recommend(frame[frame["description"] != "mean of the training set"])
    estimate.diagnostics |= {"recommended": best, "reason": reason, "sites": len(rows)}
    estimate.provenance["references"] = ["Lei, Xu, Hwang and Chan, arXiv 2310.07049"]
    return estimate


def recommend(frame: pd.DataFrame) -> tuple[str, str]:
    """Return the description with the best mean rank over distortions and both scores, and why."""
    wide_f1 = frame.pivot_table(index="description", columns="distortion", values="coordination_f1")
    wide_mae = frame.pivot_table(index="description", columns="distortion", values="bond_mae")
    ranks = pd.concat([wide_f1.rank(ascending=False), wide_mae.rank()], axis=1).mean(axis=1)
    best = str(ranks.idxmin())
    reason = (
        f"best mean rank over {wide_f1.shape[1]} distortions; macro-F1 {wide_f1.loc[best].min():.3f}–"
        f"{wide_f1.loc[best].max():.3f}, bond MAE {wide_mae.loc[best].min():.4f}–{wide_mae.loc[best].max():.4f} Å"
    )
    return best, reason


def _card(frame: pd.DataFrame, name: str, title: str) -> Picture:
    table = frame.pivot_table(index="description", columns="distortion", values=name, sort=False)
    rows, columns = list(table.index), list(table.columns)
    panel = Panel(
        [image(table.to_numpy(), (-0.5, len(columns) - 0.5), (-0.5, len(rows) - 0.5), annotate=True)],
        "distortion of the test spectra", "description, model", title,
        x_ticks=[str(c) for c in columns], y_ticks=[str(r) for r in rows], color_label=title,
        color_map="viridis" if name == "coordination_f1" else "viridis_r",
    )  # fmt: skip
    caption = "Every cell: pooled predictions on groups that the model had not seen."
    size = (2.5 + 1.1 * len(columns), 1.5 + 0.42 * len(rows))
    return Picture(f"card_{name}", title, [panel], caption, width=size[0], height=size[1])
