"""Training: an ensemble on aligned shapes, scored and calibrated on materials left out.

In: a training set. Out: a model file with weights only, its card, and grouped scores beside the
baseline. Splits are by material unless the user asks for a harder one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, bars, image, line, points
from matterscope.core.random import generator
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.learn.conformal import coverage
from matterscope.learn.domain import fit_domain
from matterscope.learn.ensembles import Ensemble
from matterscope.learn.kernelridge import KernelRidge, train_kernel_ridge
from matterscope.learn.networks import Head, Network, Recipe, train_network
from matterscope.learn.persist import Arrays, prefixed, save_model
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.aligned import CALIBRATION_GRID, FAMILY, Calibration, WindowModel, joined
from matterscope.spectra.alignment import WINDOWS, aligned_shape
from matterscope.spectra.features import DISTORTIONS, Nuisance, distort, perturb
from matterscope.spectra.trainingsets import COORDINATIONS, SHELL, TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import TrainSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FALSE_FLAGS = 0.02
"""Share of good left-out sites that each gate may refuse."""

HEADS = (
    Head("coordination", len(COORDINATIONS)),
    Head("bond"),
    Head("valence", 3, 0.5),
    Head("shell", 2, 0.5, 0.5),
    *(Head(f"distance_{k + 1}", 0, 0.2) for k in range(SHELL)),
)


@dataclass
class Held:
    """Predictions on left-out materials: mean and disagreement per head."""

    coordination: Floats
    bond: Floats
    bond_spread: Floats
    valence: Floats
    shell: Floats
    """Probability of an oxygen shell."""


@dataclass(frozen=True)
class Plan:
    """What is trained: shared by training, the comparison of features and the benchmarks."""

    window: str
    members: int
    recipe: Recipe
    nuisance: Nuisance | None
    strength: float
    """Share of training samples seen through nuisances."""
    kernels: bool = False
    """Whether a kernel machine answers beside the networks."""


def train_member(
    shapes: Floats,
    targets: dict[str, NDArray[Any]],
    rows: Ints,
    plan: Plan,
    rng: np.random.Generator,
) -> Network:
    """Return one network trained on the given rows."""
    augment = None
    if plan.nuisance is not None and plan.strength > 0:
        nuisance, strength, window = plan.nuisance, plan.strength, plan.window

        def augment(x: NDArray[np.float32], g: np.random.Generator) -> NDArray[np.float32]:
            seen = perturb(x, g, window, nuisance)
            return np.where(g.random((len(x), 1)) < strength, seen, x).astype(np.float32)

    chosen = {head.name: targets[head.name][rows] for head in HEADS}
    return train_network(shapes[rows], chosen, HEADS, plan.recipe, rng, augment)


def train_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Train one member on one set of rows (a unit of work of `Call.map`): arrays and JSON data."""
    member = train_member(item["shapes"], item["targets"], item["rows"], item["plan"], rng)
    return {"arrays": member.as_arrays(), "meta": member.as_json()}


def _members(units: list[dict[str, Any]]) -> Ensemble:
    return Ensemble(tuple(Network.rebuild(u["arrays"], u["meta"]) for u in units))


def train_machine(
    shapes: Floats, targets: dict[str, NDArray[Any]], rows: Ints, plan: Plan
) -> KernelRidge | None:
    """Return the kernel machine of a plan, trained on the oxygen-coordinated ones of the rows."""
    if not plan.kernels:
        return None
    own = rows[targets["shell"][rows] == 1]
    labels = targets["coordination"][own]
    return train_kernel_ridge(shapes[own], labels, targets["bond"][own], len(COORDINATIONS))


def predict_held(ensemble: Ensemble, machine: KernelRidge | None, shapes: Floats) -> Held:
    """Return the predictions of networks and kernel machine for shapes (n, m)."""
    found = joined(ensemble, machine, shapes.astype(np.float32))
    return Held(
        found["coordination"][0], *found["bond"], found["valence"][0], found["shell"][0][:, 1]
    )


def cross_validate(
    shapes: Floats,
    targets: dict[str, NDArray[Any]],
    folds: list[tuple[Ints, Ints]],
    plan: Plan,
    call: Call,
    views: dict[str, Floats] | None = None,
) -> dict[str, Held]:
    """Return pooled out-of-fold predictions for the clean shapes and for every other view of them."""
    seen = {"clean": shapes, **(views or {})}
    common = {"shapes": shapes, "targets": targets, "plan": plan}
    items = [{**common, "rows": train} for train, _ in folds for _ in range(plan.members)]
    units = call.map(train_unit, items, f"cross-validation {plan.window}")
    pooled: dict[str, Held] = {}
    for number, (train, test) in enumerate(folds):
        machine = train_machine(shapes, targets, train, plan)
        ensemble = _members(units[number * plan.members : (number + 1) * plan.members])
        for name, view in seen.items():
            held = predict_held(ensemble, machine, view[test])
            target = pooled.setdefault(name, _empty(len(shapes), held))
            for part, values in vars(held).items():
                getattr(target, part)[test] = values
    return pooled


def _empty(count: int, like: Held) -> Held:
    return Held(*(np.full((count, *np.shape(v)[1:]), np.nan) for v in vars(like).values()))


def calibrate(
    targets: dict[str, NDArray[Any]], views: list[Held], rows: NDArray[np.bool_]
) -> Calibration:
    """Return temperatures, conformal scores and gates from out-of-fold predictions.

    Parameters
    ----------
    targets : dict
        Labels of all sites.
    views : list of Held
        Out-of-fold predictions: clean, and through nuisances when the model was trained through them.
    rows : array of bool
        Sites that count (oxygen-coordinated).
    """
    first = views[0]
    temperature = {
        "coordination": _temperature(first.coordination[rows], targets["coordination"][rows]),
        "valence": _temperature(first.valence[rows], targets["valence"][rows]),
    }
    misses = [np.abs(v.bond[rows] - targets["bond"][rows]) for v in views]
    spreads = [v.bond_spread[rows] for v in views]
    floor = 0.5 * float(np.median(misses[0]))
    scores = np.concatenate(
        [m / np.sqrt(s**2 + floor**2) for m, s in zip(misses, spreads, strict=True)]
    )
    named = np.concatenate([v.coordination[rows].argmax(axis=1) + 2 for v in views])
    tables = {"all": _table(scores)}
    for cn in COORDINATIONS:
        own = scores[named == cn]
        if own.size >= 60:
            tables[str(cn)] = _table(own)
    shell = float(np.quantile(first.shell[rows], FALSE_FLAGS))
    doubt = float(np.quantile(first.bond_spread[rows], 1 - FALSE_FLAGS / 2))
    return Calibration(temperature, floor, tables, shell, doubt)


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


def score(
    held: Held, targets: dict[str, NDArray[Any]], rows: NDArray[np.bool_]
) -> dict[str, float]:
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


def distorted(training: TrainingSet, window: str, call: Call) -> dict[str, Floats]:
    """Return the shapes (n, m) of the set after each distortion, aligned anew: what the test sees."""
    result = {}
    names = [n for n in DISTORTIONS if n != "clean"]
    for number, name in enumerate(names):
        rows = []
        for i, (energy, mu) in enumerate(zip(training.energy, training.mu, strict=True)):
            rng = generator(call.seed, f"distortion {name}", i)
            centre = float(energy[0]) + 10.0
            seen = distort(energy, mu, DISTORTIONS[name], centre, rng)
            rows.append(aligned_shape(*seen, window, centre)[0])
        result[name] = np.nan_to_num(np.array(rows), nan=1.0)
        call.progress(number + 1, len(names), f"distorted test spectra ({window})")
    shifts = call.rng("shift").uniform(-3.0, 3.0, len(training.energy))
    moved = zip(training.energy, training.mu, shifts, strict=True)
    result["random ±3 eV"] = np.array([aligned_shape(e + s, m, window)[0] for e, m, s in moved])
    return result


def groups_of(training: TrainingSet, split: str) -> NDArray[Any]:
    """Return the group of every site: its material, formula or chemical system."""
    table = {
        "material": training.materials,
        "formula": training.formulas,
        "system": training.systems,
    }
    if split not in table:
        raise ConfigError("unknown split", got=split, expected=", ".join(table))
    return table[split]


def train_model(inputs: list[Input], settings: TrainSettings, call: Call) -> list[Estimate]:
    """Train a model on a folder of spectra and structures; write it and its card."""
    (given,) = inputs
    assert given.path is not None
    training = load_set(given.path)
    targets, rows = training.targets(), training.oxygen
    folds = grouped_folds(groups_of(training, settings.split), settings.folds, call.seed)
    nuisance = Nuisance() if settings.nuisances > 0 else None
    arrays: Arrays = {}
    meta: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    estimate = Estimate("spectra train", given.ref)
    for window in settings.windows:
        recipe, share = Recipe(epochs=settings.epochs), settings.nuisances
        plan = Plan(window, settings.members, recipe, nuisance, share, settings.kernels)
        shapes = training.shapes(window)
        views = {}
        if nuisance is not None:
            views["nuisances"] = perturb(shapes, call.rng("view"), window, nuisance).astype(float)
        if settings.stress:
            views |= distorted(training, window, call)
        held = cross_validate(shapes, targets, folds, plan, call, views)
        calibrating = [held[name] for name in ("clean", "nuisances") if name in held]
        calibration = calibrate(targets, calibrating, rows)
        model = _final(training, shapes, targets, plan, calibration, call)
        packed, meta[window] = model.pack()
        arrays |= prefixed(packed, window)
        scores[window] = _scores(training, held, targets, calibration, folds, calibrating)
        estimate.pictures.append(_parity(window, held["clean"], targets, rows))
        _tables(estimate, window, scores[window])
    card = _card(training, settings, meta, scores, call.seed)
    path = call.artifact(f"{settings.name}.model.npz")
    digest = save_model(path, FAMILY, card, arrays)
    best = scores[settings.windows[0]]["clean"]
    for name, units in (("coordination_f1", "1"), ("bond_mae", "Å")):
        low, high = scores[settings.windows[0]]["bootstrap"][name]
        estimate.quantities[name] = Quantity(
            best[name], units, intervals=(Interval(0.9, low, high),)
        )
    estimate.diagnostics |= {
        "artifacts": [{"path": path.name, "sha256": digest}],
        "scores": scores,
        "card": {k: v for k, v in card.items() if k != "windows"},
    }
    estimate.provenance |= {
        "training_data": {"name": training.name, "sha256": training.digest},
        "references": list(REFERENCES),
    }
    return [estimate]


REFERENCES = (
    "Lei, Xu, Hwang and Chan, arXiv 2310.07049",
    "Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005)",
    "Brese and O'Keeffe, Acta Cryst. B47, 192 (1991)",
)


def _final(
    training: TrainingSet,
    shapes: Floats,
    targets: dict[str, NDArray[Any]],
    plan: Plan,
    calibration: Calibration,
    call: Call,
) -> WindowModel:
    item = {"shapes": shapes, "targets": targets, "plan": plan, "rows": np.arange(len(shapes))}
    units = call.map(train_unit, [item] * plan.members, f"final ensemble {plan.window}")
    own = training.oxygen
    good, classes = shapes[own], targets["coordination"][own]
    if plan.nuisance is not None:  # what instruments do is inside the domain
        seen = perturb(good, call.rng("domain"), plan.window, plan.nuisance).astype(float)
        good, classes = np.concatenate([good, seen]), np.concatenate([classes, classes])
    low, high = np.quantile(shapes[own], [0.05, 0.95], axis=0)
    return WindowModel(
        plan.window,
        _members(units),
        fit_domain(good, classes),
        calibration,
        shapes[own].mean(axis=0),
        low,
        high,
        train_machine(shapes, targets, np.arange(len(shapes)), plan),
    )


def _scores(
    training: TrainingSet,
    held: dict[str, Held],
    targets: dict[str, NDArray[Any]],
    calibration: Calibration,
    folds: list[tuple[Ints, Ints]],
    calibrating: list[Held],
) -> dict[str, Any]:
    rows = training.oxygen
    result: dict[str, Any] = {name: score(h, targets, rows) for name, h in held.items()}
    result["pure shells"] = score(held["clean"], targets, training.pure)
    if training.held_out.any():
        result["own validation split, out of fold"] = score(
            held["clean"], targets, rows & training.held_out
        )
    bond = targets["bond"][rows]
    most = np.bincount(targets["coordination"][rows]).argmax()
    result["baseline"] = {
        "coordination_f1": macro_f1(targets["coordination"][rows], np.full(rows.sum(), most)),
        "bond_mae": float(np.mean(np.abs(bond - bond.mean()))),
    }
    result["coverage"] = {
        name: fold_coverage(h, targets, rows, folds, calibrating) for name, h in held.items()
    }
    result["bootstrap"] = _bootstrap(training, held["clean"], targets)
    others = ~rows
    result["refused"] = {
        "non-oxygen sites": float(
            np.mean(held["clean"].shell[others] < calibration.shell_threshold)
        ),
        "oxygen sites": float(np.mean(held["clean"].shell[rows] < calibration.shell_threshold)),
    }
    return result


def fold_coverage(
    held: Held,
    targets: dict[str, NDArray[Any]],
    rows: NDArray[np.bool_],
    folds: list[tuple[Ints, Ints]],
    views: list[Held],
    level: float = 0.9,
) -> dict[str, float]:
    """Return coverage and mean width (Å) of bond intervals, each fold calibrated on the others.

    Per coordination number too: the intervals of a class are those of its predicted class.
    """
    low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for train, test in folds:
        inside = np.zeros(len(rows), dtype=bool)
        inside[train] = True
        own = calibrate(targets, views, rows & inside)
        named = held.coordination[test].argmax(axis=1) + 2
        sigma = np.sqrt(held.bond_spread[test] ** 2 + own.floor**2)
        half = np.array(
            [own.half_width(s, str(c), level) for s, c in zip(sigma, named, strict=True)]
        )
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


def _bootstrap(
    training: TrainingSet, held: Held, targets: dict[str, NDArray[Any]], draws: int = 200
) -> dict[str, tuple[float, float]]:
    """Return 90 % intervals of the scores, materials drawn with replacement."""
    rows = np.flatnonzero(training.oxygen)
    names, codes = np.unique(training.materials[rows], return_inverse=True)
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


def _card(
    training: TrainingSet, settings: TrainSettings, meta: dict[str, Any], scores: dict[str, Any], seed: int
) -> dict[str, Any]:  # fmt: skip
    counts = np.bincount(training.targets()["coordination"][training.oxygen])
    return {
        "name": settings.name,
        "edges": [f"{training.element}:{training.edge}"],
        "answers": ["coordination_number", "bond_length", "oxidation_state"],
        "population": (
            f"{int(training.oxygen.sum())} oxygen-coordinated {training.element} sites with CN 2–6 "
            f"({', '.join(f'CN {k}: {n}' for k, n in zip(COORDINATIONS, counts, strict=True))}) in "
            f"{len(set(training.materials[training.oxygen]))} materials, simulated; "
            f"{int((~training.oxygen).sum())} other sites taught the refusal"
        ),
        "training_data": {"name": training.name, "sha256": training.digest, "licence": settings.licence},
        "grid": {w: WINDOWS[w].tolist() for w in settings.windows},
        "split": f"{settings.folds} folds by {settings.split}, pooled out of fold",
        "scores": scores,
        "recipe": {
            "members": settings.members, "epochs": settings.epochs, "seed": seed,
            "nuisances": settings.nuisances, "windows": list(settings.windows),
        },
        "limits": [
            "shape only: absolute energies are not used, because the training set holds no reference",
            "an average over sites is answered as if it were one site",
            "shells other than oxygen are refused, not answered",
            "the step from theory to experiment is checked on a few standards only",
        ],
        "windows": meta,
    }  # fmt: skip


def _tables(estimate: Estimate, window: str, scores: dict[str, Any]) -> None:
    rows = [
        {"window": window, "evaluated on": name, **entry}
        for name, entry in scores.items()
        if name not in {"coverage", "bootstrap", "refused"}
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"bond_mae": "Å"}
    old = estimate.tables.get("scores")
    estimate.tables["scores"] = frame if old is None else pd.concat([old, frame], ignore_index=True)


def _parity(
    window: str, held: Held, targets: dict[str, NDArray[Any]], rows: NDArray[np.bool_]
) -> Picture:
    truth, found = targets["bond"][rows], held.bond[rows]
    ends = [float(truth.min()), float(truth.max())]
    cn, named = targets["coordination"][rows], held.coordination[rows].argmax(axis=1)
    table = np.zeros((5, 5))
    np.add.at(table, (cn, named), 1.0)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = [str(c) for c in COORDINATIONS]
    few = generator(0, "picture").permutation(len(truth))[:1200]
    panels = [
        Panel(
            [line(ends, ends, "perfect", "reference"), points(truth[few], found[few], "left-out sites", size=2)],
            "bond length in the structure / Å", "from the spectrum / Å", equal=True,
        ),
        Panel(
            [image(shares, (-0.5, 4.5), (-0.5, 4.5), annotate=True)],
            "CN from the spectrum", "CN in the structure", x_ticks=names, y_ticks=names,
            color_label="share of the row",
        ),
        Panel(
            [bars(np.arange(5), [2 * shares[k, k] * table[k].sum() / max(table[k].sum() + table[:, k].sum(), 1) for k in range(5)], "F1")],
            "CN", "F1", x_ticks=names, y_range=(0.0, 1.0),
        ),
    ]  # fmt: skip
    caption = "Every point was predicted by an ensemble that had seen no site of its material."
    return Picture(
        f"parity_{window}",
        f"Left-out materials, {window} window",
        panels,
        caption,
        columns=3,
        width=10.0,
        height=3.4,
    )
