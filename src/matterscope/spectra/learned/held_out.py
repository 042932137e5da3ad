"""Held-out answers: scores, calibration and coverage from materials that no expert had seen.

In: pooled out-of-fold answers and the labels. Out: scores with bootstrap intervals, temperatures,
conformal quantiles per coordination, thresholds of the gates, and the coverage that they give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.random import generator
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.learn.conformal import coverage
from matterscope.spectra.learned.aligned import CALIBRATION_GRID, Calibration
from matterscope.spectra.learned.experts import Experts
from matterscope.spectra.sets.trainingsets import COORDINATIONS, TrainingSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]
Targets = dict[str, NDArray[Any]]

FALSE_FLAGS = 0.025
"""Share of good left-out sites that the gate on the shell may refuse."""
FALSE_EDGES = 0.01
"""Share of good left-out sites whose edge may be called misplaced."""
CALIBRATED_ON = ("clean", "clean", "nuisances")
"""Views that intervals are calibrated on: one spectrum in three through a random instrument."""
LEAST = 60
"""Held-out sites below which a coordination has no quantiles of its own."""


@dataclass
class Held:
    """Predictions on left-out materials: mean and disagreement per head."""

    coordination: Floats
    bond: Floats
    bond_spread: Floats
    valence: Floats
    shell: Floats
    """Probability of an oxygen shell."""
    edge: Floats
    """eV; the edge less the table on the engine's axis, as the shape has it; NaN without a kernel machine."""


def predict_held(experts: Experts, shapes: NDArray[Any]) -> Held:
    """Return the predictions for shapes (n, m)."""
    found = experts.predict(shapes)
    unknown = (np.full(len(shapes), np.nan),)
    return Held(
        found["coordination"][0],
        *found["bond"],
        found["valence"][0],
        found["shell"][0][:, 1],
        found.get("edge", unknown)[0],
    )


def empty(count: int, like: Held) -> Held:
    """Return predictions of `count` sites that are yet to be filled."""
    return Held(*(np.full((count, *np.shape(v)[1:]), np.nan) for v in vars(like).values()))


def calibrate(targets: Targets, views: list[Held], rows: Rows) -> Calibration:
    """Return temperatures, conformal scores and gates from out-of-fold predictions.

    Quantiles are taken per true coordination, mixed by the probabilities of the classes, and scaled so that
    the pooled coverage is the nominal one: a class that is often mistaken for another keeps its coverage.

    Parameters
    ----------
    targets : dict
        Labels of all sites.
    views : list of Held
        Out-of-fold predictions: clean, and through instruments when the model was trained through them.
    rows : array of bool
        Sites that count (oxygen-coordinated).
    """
    first = views[0]
    temperature = {
        "coordination": _temperature(first.coordination[rows], targets["coordination"][rows]),
        "valence": _temperature(first.valence[rows], targets["valence"][rows]),
    }
    cn, bond = targets["coordination"][rows], targets["bond"][rows]
    misses = [np.abs(v.bond[rows] - bond) for v in views]
    centres = np.array(
        [bond[cn == k].mean() if (cn == k).any() else bond.mean() for k in range(len(COORDINATIONS))]
    )  # fmt: skip
    floor = 0.5 * float(np.median(misses[0]))
    found = Calibration(temperature, floor, centres, {}, np.ones(CALIBRATION_GRID.size), 0.0, 0.0)
    shares = np.concatenate([v.coordination[rows] for v in views])
    spreads = np.concatenate([v.bond_spread[rows] for v in views])
    scores = np.concatenate(misses) / found.widths(found.temper("coordination", shares), spreads)
    truth = np.tile(cn, len(views))
    found.scores["all"] = _table(scores)
    for k, name in enumerate(COORDINATIONS):
        if (truth == k).sum() >= LEAST:
            found.scores[str(name)] = _table(scores[truth == k])
    mixed = found.temper("coordination", shares) @ found.by_class()
    ratios = np.sort(scores[:, None] / np.maximum(mixed, 1e-12), axis=0)
    ranks = np.minimum(np.ceil(CALIBRATION_GRID * (len(scores) + 1)).astype(int), len(scores)) - 1
    found.factor = ratios[np.maximum(ranks, 0), np.arange(CALIBRATION_GRID.size)]
    found.shell_threshold = float(np.quantile(first.shell[rows], FALSE_FLAGS))
    apart = np.concatenate([np.abs(v.edge[rows] - targets["edge"][rows]) for v in views])
    if np.isfinite(apart).any():
        found.edge_tolerance = float(np.nanquantile(apart, 1 - FALSE_EDGES))
    found.doubt_threshold = float(np.quantile(first.bond_spread[rows], 0.99))
    return found


def _table(scores: Floats) -> Floats:
    """Return quantiles with the finite-sample correction ⌈(n+1)·level⌉/n of split conformal."""
    n = scores.size
    return np.asarray(np.quantile(scores, np.minimum(CALIBRATION_GRID * (n + 1) / n, 1.0)))


def _temperature(probabilities: Floats, truth: Ints) -> float:
    """Return the temperature that maximises the likelihood of the labels."""
    known = truth >= 0
    p, y = np.log(np.clip(probabilities[known], 1e-9, 1.0)), truth[known]
    grid = np.geomspace(0.4, 3.0, 60)
    losses = []
    for t in grid:
        z = p / t
        losses.append(-np.mean(z[np.arange(len(y)), y] - np.log(np.exp(z).sum(axis=1))))
    return float(grid[int(np.argmin(losses))])


def score(held: Held, targets: Targets, rows: Rows) -> dict[str, float]:
    """Return macro-F1 of the coordination, mean absolute bond error (Å) and valence accuracy."""
    named = held.coordination[rows].argmax(axis=1)
    known = rows & (targets["valence"] >= 0)
    return {
        "coordination_f1": macro_f1(targets["coordination"][rows], named),
        "bond_mae": mean_absolute_error(targets["bond"][rows], held.bond[rows]),
        "valence_accuracy": float(
            np.mean(held.valence[known].argmax(axis=1) == targets["valence"][known])
        ),
    }


def fold_coverage(
    held: Held,
    targets: Targets,
    rows: Rows,
    folds: list[tuple[Ints, Ints]],
    views: list[Held],
    level: float = 0.9,
) -> dict[str, float]:
    """Return coverage and mean width (Å) of bond intervals, each fold calibrated on the others."""
    low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for train, test in folds:
        inside = np.zeros(len(rows), dtype=bool)
        inside[train] = True
        own = calibrate(targets, views, rows & inside)
        shares = own.temper("coordination", held.coordination[test])
        half = own.half_widths(shares, held.bond_spread[test], level)
        low[test], high[test] = held.bond[test] - half, held.bond[test] + half
    truth = targets["bond"]
    result = {
        "all": coverage(truth[rows], low[rows], high[rows]),
        "mean_width": float(np.mean((high - low)[rows])),
    }
    for cn in COORDINATIONS:
        own_rows = rows & (targets["coordination"] == cn - 2)
        result[f"CN {cn}"] = coverage(truth[own_rows], low[own_rows], high[own_rows])
    return result


def refusals(held: Held, rows: Rows, folds: list[tuple[Ints, Ints]]) -> dict[str, float]:
    """Return the shares that the gate on the shell refuses, its threshold from the other folds."""
    refused = np.zeros(len(rows), dtype=bool)
    for train, test in folds:
        threshold = np.quantile(held.shell[train][rows[train]], FALSE_FLAGS)
        refused[test] = held.shell[test] < threshold
    return {
        "non-oxygen sites": float(refused[~rows].mean()) if (~rows).any() else 0.0,
        "oxygen sites": float(refused[rows].mean()),
    }


def bootstrap(
    training: TrainingSet,
    held: Held,
    targets: Targets,
    draws: int = 200,
    groups: NDArray[Any] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return 90 % intervals of the scores, materials (or other groups of sites) drawn with replacement."""
    rows = np.flatnonzero(training.oxygen)
    own = training.materials if groups is None else groups
    names, codes = np.unique(own[rows], return_inverse=True)
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    rng = generator(0, "bootstrap")
    truth, named = targets["coordination"][rows], held.coordination[rows].argmax(axis=1)
    miss = np.abs(held.bond[rows] - targets["bond"][rows])
    values = []
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        values.append((macro_f1(truth[chosen], named[chosen]), miss[chosen].mean()))
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    return {
        "coordination_f1": (float(low[0]), float(high[0])),
        "bond_mae": (float(low[1]), float(high[1])),
    }
