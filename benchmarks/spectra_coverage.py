"""What `spectra infer` itself covers and flags, on left-out materials: alignment error and draws included.

In: the folder cu_k_feff (argument 1), window (argument 2), spectra per distortion (argument 3), seed of the drawn
sites and of the noise (argument 4), a folder that teaches the gate other shells (argument 5), oxygen sites drawn as they
come for the false alarms (argument 6). Out: per distortion the share of left-out oxygen sites that is answered, right in
coordination, inside its 90 % interval (per coordination too), its mean width and the bond error; false alarms and what
raised them; mis-set axes, other sites and spectra of other elements that are refused or flagged.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.random import generator
from matterscope.core.schema import measurement
from matterscope.learn.domain import fit_domain
from matterscope.learn.networks import Recipe
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.learned.aligned import WindowModel, answer
from matterscope.spectra.learned.features import Distortion, distort
from matterscope.spectra.learned.held_out import CALIBRATED_ON, calibrate
from matterscope.spectra.learned.inference import MEASURED, flag_gates, half_width
from matterscope.spectra.learned.training import (
    Plan,
    all_targets,
    fold_experts,
    instrument_views,
    predict_folds,
    read_others,
    training_views,
)
from matterscope.spectra.measured.quality import examine
from matterscope.spectra.sets.trainingsets import load_set

TRIED = {
    "clean": Distortion(),
    "+3 eV": Distortion(shift=3.0),
    "noise 1 %": Distortion(noise=0.01),
    "slope +5 %": Distortion(slope=0.05),
}
AXES = {f"axis {s:+.0f} eV": Distortion(shift=s) for s in (-7.0, -5.5, 5.5, 7.0)}
"""The goal is to notice axes that are more than 5 eV off."""
GOOD = {"clean": Distortion(), "noise 1 %": Distortion(noise=0.01)}
LEVEL = 0.9
OXIDES = 8979.0 + 6.5
"""eV; E½ of measured copper(II) oxides."""
ENGINE = 8993.0
"""eV; median E½ of the set, computed."""


def models(training, window, members, folds, call, folder):
    """Return the model of every fold, calibrated on the folds that it was trained on."""
    targets, rows, shapes = all_targets(training), training.oxygen, training.shapes(window)
    views = training_views(training, window, call)
    plan = Plan(window, members, Recipe(), 0.7)
    others = read_others((folder,), window, call) if folder else None
    beside = [others.without(training.materials[t].astype(str)) if others else None for _, t in folds]  # fmt: skip
    experts = fold_experts(shapes, views, targets, folds, plan, call, beside)
    nuisances = instrument_views(training, window, call.rng("view"), 1)[0]
    held = predict_folds(experts, folds, {"clean": shapes, "nuisances": nuisances})
    made = []
    for own, (train, _) in zip(experts, folds, strict=True):
        inside = np.zeros(len(rows), dtype=bool)
        inside[train] = True
        good = np.flatnonzero(rows & inside)
        known = np.concatenate([shapes[good], views.loud[0, good]])
        domain = fit_domain(known, np.tile(targets["coordination"][good], 2))
        calibration = calibrate(targets, [held[n] for n in CALIBRATED_ON], rows & inside)
        calibration.edge_anchor = OXIDES - ENGINE
        low, high = np.quantile(shapes[good], [0.05, 0.95], axis=0)
        mean = shapes[good].mean(axis=0)
        made.append(WindowModel(window, own, domain, calibration, mean, low, high))
    return made


def ask(training, i, how, model, call, seed):
    """Return (answer, refused, flags) of one site through one distortion.

    The computed axis is moved as a whole to where measured oxides stand, so that the gates on it mean something.
    """
    energy, mu = training.energy[i] + OXIDES - ENGINE, training.mu[i]
    rng = generator(seed, "coverage", int(i))
    seen = distort(energy, mu, how, float(energy[0]) + 10.0, rng)
    data = measurement(
        "spectrum",
        {"energy": (seen[0], "eV")},
        {"mu": (("energy",), seen[1], "1")},
        normalised=True,
        element=training.element,
        edge=training.edge,
    )
    examined = examine(data)
    if examined.normalised is None:
        return None, True, {"no_edge"}
    found = answer(examined, model, call, MEASURED)
    estimate = Estimate("spectra infer", InputRef("left out"))
    reason = flag_gates(estimate, examined, found, model, False)
    codes = {f.code for f in estimate.flags} | (examined.codes & {"axis_offset"})
    return found, bool(reason), codes


def alarms(training, chosen, made, home, call, seed):
    """Print what good oxygen sites, mis-set axes and other elements raise."""
    for name, how in {**GOOD, **AXES}.items():
        own = chosen if name in GOOD else chosen[: len(chosen) // 3]
        raised = [ask(training, i, how, made[home[i]], call, seed)[1:] for i in own]
        counts = Counter(code for _, codes in raised for code in codes)
        share, refused = np.mean([bool(c) for _, c in raised]), np.mean([r for r, _ in raised])
        what = ", ".join(f"{c} {n / len(own):.3f}" for c, n in counts.most_common())
        print(f"oxygen sites, {name}: flagged {share:.3f}, refused {refused:.3f} of {len(own)} ({what})", flush=True)  # fmt: skip


def other_elements(training, chosen):
    """Print how often a spectrum moved to another element's edge is named Cu K all the same."""
    wrong = 0
    for number, i in enumerate(chosen):
        offset = (7112.0, 8333.0, 9659.0)[number % 3] - 8979.0  # Fe, Ni, Zn K
        data = measurement(
            "spectrum",
            {"energy": (training.energy[i] + OXIDES - ENGINE + offset, "eV")},
            {"mu": (("energy",), training.mu[i], "1")},
            normalised=True,
        )
        wrong += examine(data).element == training.element
    print(f"spectra at the K edges of Fe, Ni and Zn taken for {training.element}: {wrong} of {len(chosen)}")  # fmt: skip


def coverage_rows(training, made, home, call, rng, count, seed):
    """Print what is answered, right and covered, by distortion."""
    targets, rows = all_targets(training), training.oxygen
    cn = np.where(rows, targets["coordination"], -1)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(cn == k))[: count // 5] for k in range(5)]
    )
    print("| distortion | answered | CN right | bond MAE | covered | CN 2 … 6 | width | flagged |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    weight = np.array([(cn == k).sum() / max((cn[chosen] == k).sum(), 1) for k in range(5)])
    for name, how in TRIED.items():
        cells = []
        for i in chosen:
            found, refused, codes = ask(training, i, how, made[home[i]], call, seed)
            flagged = bool(codes)
            if found is None:
                cells.append((cn[i], 1, 0, np.nan, np.nan, np.nan, 1))
                continue
            half = half_width(found, made[home[i]], LEVEL)
            miss = abs(found.bond - targets["bond"][i])
            right = int(np.argmax(found.coordination) == cn[i])
            cells.append((cn[i], refused, right, miss, miss <= half, 2 * half, flagged))
        table = np.array(cells, dtype=float)
        w = weight[table[:, 0].astype(int)]
        mean = [np.sum((w * c)[np.isfinite(c)]) / np.sum(w[np.isfinite(c)]) for c in table[:, 1:].T]
        own = " ".join(f"{np.nanmean(table[table[:, 0] == k, 4]):.2f}" for k in range(5))
        print(f"| {name} | {1 - mean[0]:.3f} | {mean[1]:.3f} | {mean[2]:.4f} | {mean[3]:.3f} | {own} | {mean[4]:.3f} | {mean[5]:.3f} |", flush=True)  # fmt: skip


def main():
    root = Path(os.environ.get("MATTERSCOPE_DATA", "../shared/data"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "spectra/cu_k_feff"
    window = sys.argv[2] if len(sys.argv) > 2 else "wide"
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    shells = sys.argv[5] if len(sys.argv) > 5 else ""
    plain = int(sys.argv[6]) if len(sys.argv) > 6 else 300
    training, call = load_set(folder), Call(seed=0)
    rows = training.oxygen
    folds = grouped_folds(training.materials, 5, 0)
    made = models(training, window, 2, folds, call, shells)
    home = np.empty(len(rows), dtype=int)
    for k, (_, test) in enumerate(folds):
        home[test] = k
    # as many of every coordination, so that each has a number
    rng = np.random.default_rng(seed)
    coverage_rows(training, made, home, call, rng, count, seed)
    drawn = rng.permutation(np.flatnonzero(rows))[:plain]
    alarms(training, drawn, made, home, call, seed)
    other_elements(training, drawn[:90])
    others = np.flatnonzero(~rows)
    caught = [ask(training, i, Distortion(), made[home[i]], call, seed)[1:] for i in others]
    share = np.mean([bool(c) for _, c in caught])
    refused = np.mean([r for r, _ in caught])
    print(f"other sites: refused {refused:.3f}, refused or flagged {share:.3f} of {len(others)}")
    ties = np.array([bool(s) and s.ligand == "" for s in (training.labels[i] for i in others)])
    kept = np.array([bool(c) for _, c in caught])
    print(f"without the {ties.sum()} shells that are half oxygen: flagged {kept[~ties].mean():.3f}")


if __name__ == "__main__":
    main()
