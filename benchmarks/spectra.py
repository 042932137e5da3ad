"""Learned answers from Cu K spectra: goals, what is reached, and the baselines, in one table.

In: the folder cu_k_feff (argument 1, else MATTERSCOPE_DATA/spectra/cu_k_feff), windows (argument 2), networks
(argument 3). Out: pooled out-of-fold scores, grouped by material, of the experts that `spectra train` makes,
of their networks alone, and of kernel machines (support vectors, Laplacian ridge) that keep every training
spectrum; coverage of the intervals, per coordination; what the gate refuses.
"""

import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.svm import SVC

from matterscope.core.calls import Call
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.learn.networks import Recipe
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.learned.experts import Experts
from matterscope.spectra.learned.held_out import CALIBRATED_ON, fold_coverage, refusals
from matterscope.spectra.learned.training import (
    Plan,
    all_targets,
    distorted,
    fold_experts,
    instrument_views,
    predict_folds,
    training_views,
)
from matterscope.spectra.sets.trainingsets import load_set

GOALS = {"wide": (0.88, 0.0140, 0.855, 0.0153), "narrow": (0.83, 0.0178, 0.81, 0.0190)}
BASELINE = {"wide": "0.861 / 0.0148", "narrow": "0.813 / 0.0187"}
SHARE = 0.7


def kernel_machines(shapes, views, targets, rows, folds):
    """Support-vector classes (RBF, C 10) and a Laplacian kernel ridge for bonds, per fold."""
    share = {n: np.zeros((len(shapes), 5)) for n in views}
    bond = {n: np.zeros(len(shapes)) for n in views}
    width = 0.01 * 87 / shapes.shape[1]
    for train, test in folds:
        own = train[rows[train]]
        centre, spread = shapes[own].mean(axis=0), shapes[own].std(axis=0) + 1e-3
        x = (shapes[own] - centre) / spread
        cn, goal = targets["coordination"][own], targets["bond"][own]
        gram = laplacian_kernel(x, x, width) + 0.03 * np.eye(len(own))
        weights = cho_solve(cho_factor(gram), goal - goal.mean())
        machine = SVC(C=10, probability=True, random_state=0).fit(x, cn)
        for name, view in views.items():
            y = (view[test] - centre) / spread
            bond[name][test] = laplacian_kernel(y, x, width) @ weights + goal.mean()
            share[name][test] = machine.predict_proba(y)
    return share, bond


def line(window, name, shares, bonds, targets, sets):
    cells = []
    for rows in sets.values():
        f1 = macro_f1(targets["coordination"][rows], shares[rows].argmax(axis=1))
        mae = mean_absolute_error(targets["bond"][rows], bonds[rows])
        cells.append(f"{f1:.3f} / {mae:.4f}")
    print(f"| {window} | {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    # the replacement that scikit-learn 1.9 announces does not exist in the oldest version supported
    warnings.filterwarnings("ignore", message="The `probability` parameter")
    root = Path(os.environ.get("MATTERSCOPE_DATA", "../shared/data"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "spectra/cu_k_feff"
    windows = sys.argv[2].split(",") if len(sys.argv) > 2 else ["wide", "narrow"]
    members = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    training = load_set(folder)
    targets, rows = all_targets(training), training.oxygen
    folds = grouped_folds(training.materials, 5, 0)
    call = Call(seed=0)
    sets = {"all": rows, "pure shells": training.pure, "own val split": rows & training.held_out}
    for window in windows:
        started = time.process_time()
        goal = GOALS[window]
        print(
            f"\n{window}: goal {goal[0]} / {goal[1]} Å, required {goal[2]} / {goal[3]} Å, baseline {BASELINE[window]} Å"
        )
        print("| window | model | " + " | ".join(sets) + " |\n|---|---|" + "---|" * len(sets))
        shapes = training.shapes(window)
        views = distorted(training, window, call)
        views["nuisances"] = instrument_views(training, window, call.rng("view"), 1)[0]
        seen = training_views(training, window, call)
        both = Plan(window, members, Recipe(), SHARE)
        views = {"clean": shapes, **views}
        experts = fold_experts(shapes, seen, targets, folds, both, call)
        held = predict_folds(experts, folds, views)
        networks = [Experts(e.ensemble, e.grid) for e in experts]
        alone = predict_folds(networks, folds, views)
        share, bond = kernel_machines(shapes, views, targets, rows, folds)
        for name, found in held.items():
            line(window, f"experts, {name}", found.coordination, found.bond, targets, sets)
            nets = alone[name]
            line(window, f"networks, {name}", nets.coordination, nets.bond, targets, sets)
            line(window, f"SVC and KRR, {name}", share[name], bond[name], targets, sets)
        calibrating = [held[name] for name in CALIBRATED_ON]
        for name, found in held.items():
            cover = fold_coverage(found, targets, rows, folds, calibrating)
            print(name, "coverage of 90 % intervals", {k: round(v, 3) for k, v in cover.items()})
        print("refused by the gate on the shell:", refusals(held["clean"], rows, folds))
        print(f"CPU {time.process_time() - started:.0f} s")


if __name__ == "__main__":
    main()
