"""Comparison of features: which description of a spectrum survives what instruments do to it.

In: a training set (and measured spectra with labels, where there are any). Out: the table of
features × models × nuisances, every cell scored on groups left out, and a default with its reason.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, ReadError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.pictures import Panel, Picture, image
from matterscope.core.random import generator
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.learn.kernelridge import train_kernel_ridge
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.learned.features import COMPONENTS, DISTORTIONS, FEATURES, distort
from matterscope.spectra.learned.training import groups_of
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape
from matterscope.spectra.measured.quality import examine_all
from matterscope.spectra.sets.trainingsets import TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import CompareFeaturesSettings

Floats = NDArray[np.float64]

FIXED = np.arange(-8.0, 42.0 + 1e-9, 0.5)
"""eV from the median E½ of the training set: the window of a description that is not aligned."""


def describe(
    energy: Floats, mu: Floats, aligned: bool, window: str, centre: float
) -> tuple[Floats, Floats]:
    """Return (values, grid) of one spectrum, aligned at its own E½ or on the fixed axis."""
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
    return {
        name: {
            "coordination_f1": macro_f1(truth, p[:, :-1].argmax(axis=1)),
            "bond_mae": mean_absolute_error(bond, p[:, -1]),
        }
        for name, p in found.items()
    }


def compare_features(
    inputs: list[Input], settings: CompareFeaturesSettings, call: Call
) -> list[Estimate]:
    """Fill the table of features × models × distortions and recommend a default."""
    (given,) = inputs
    assert given.path is not None
    training = load_set(given.path)
    rows = np.flatnonzero(training.oxygen)
    if settings.sites and settings.sites < rows.size:
        rows = np.sort(call.rng("sites").permutation(rows)[: settings.sites])
    folds = grouped_folds(groups_of(training, settings.split)[rows], settings.folds, call.seed)
    views = _views(training, rows, settings, call)
    targets = training.targets()
    jobs = []
    for aligned in (True, False) if settings.unaligned else (True,):
        for feature in settings.features:
            for model in settings.models:
                shapes = {
                    name: FEATURES[feature](values, grid).astype(np.float32)
                    for name, (values, grid) in views[aligned].items()
                }
                jobs.append(
                    {
                        "label": f"{'aligned ' if aligned else ''}{feature}, {model}",
                        "shapes": shapes,
                        "model": model,
                        "feature": feature,
                        "folds": folds,
                        "truth": targets["coordination"][rows],
                        "bond": targets["bond"][rows],
                    }
                )
    results = call.map(compare_unit, jobs, "comparison")
    return [_estimate(given, jobs, results, training, rows, settings, call)]


def _views(
    training: TrainingSet, rows: NDArray[np.int64], settings: CompareFeaturesSettings, call: Call
) -> dict[bool, dict[str, tuple[Floats, Floats]]]:
    centre = float(
        np.median([aligned_shape(training.energy[i], training.mu[i], "narrow")[1] for i in rows])
    )
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
    call: Call,
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
    chosen = frame[(frame["description"] == best) & (frame["distortion"] == "clean")]
    for name, units in (("coordination_f1", "1"), ("bond_mae", "Å")):
        worst = frame[frame["description"] == best][name]
        value = float(chosen[name].iloc[0]) if len(chosen) else float(worst.iloc[0])
        estimate.quantities[name] = Quantity(
            value,
            units,
            reason=f"over the distortions it goes from {worst.min():.3g} to {worst.max():.3g}",
        )
    estimate.provenance["references"] = ["Lei, Xu, Hwang and Chan, arXiv 2310.07049"]
    for name, title in (
        ("coordination_f1", "macro-F1 of the coordination"),
        ("bond_mae", "bond MAE / Å"),
    ):
        estimate.pictures.append(_card(frame, name, title))
    if settings.experiment:
        estimate.tables["experiment"] = transfer(training, settings, call)
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


def transfer(training: TrainingSet, settings: CompareFeaturesSettings, call: Call) -> pd.DataFrame:
    """Train each description on theory alone and answer measured spectra with known labels.

    The table of the experiment has the columns ``file``, ``selector``, ``coordination_number``,
    ``bond_length`` (Å).
    """
    from matterscope.io.reading import read

    path = Path(settings.experiment)
    if not path.is_file():
        raise ReadError("there is no such table", where=str(path))
    own = np.flatnonzero(training.oxygen)
    targets = training.targets()
    shapes = training.shapes(settings.window)[own]
    hot = np.eye(5)[targets["coordination"][own]]
    goal = np.column_stack([hot, targets["bond"][own]])
    measured = []
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle):
            file = (
                Path(row["file"]) if Path(row["file"]).is_absolute() else path.parent / row["file"]
            )
            (seen,) = examine_all(read(file, kind="spectrum", selector=row.get("selector", "")))
            assert seen.normalised is not None
            shape, _ = aligned_shape(
                seen.normalised.energy, seen.normalised.mu, settings.window, seen.position
            )
            measured.append((row, np.nan_to_num(shape, nan=1.0)))
    grid = WINDOWS[settings.window]
    rows = []
    for feature in settings.features:
        for name in settings.models:
            model = _model(name, int(call.rng("transfer").integers(2**31)), feature)
            mean = goal.mean(axis=0)
            model.fit(FEATURES[feature](shapes, grid), goal - mean)
            found = (
                model.predict(FEATURES[feature](np.array([m[1] for m in measured]), grid)) + mean
            )
            for (row, _), answer in zip(measured, found, strict=True):
                rows.append(
                    {
                        "description": f"aligned {feature}, {name}",
                        "spectrum": row.get("selector") or row["file"],
                        "coordination_number": int(answer[:-1].argmax()) + 2,
                        "true_coordination": row["coordination_number"],
                        "bond_length": float(answer[-1]),
                        "true_bond": row["bond_length"],
                    }
                )
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"bond_length": "Å", "true_bond": "Å"}
    return frame
