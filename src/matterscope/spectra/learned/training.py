"""Training: networks and kernel machines on aligned shapes, scored and calibrated on materials left out.

In: a training set. Out: a model file with weights only, its card, and grouped scores beside the
baseline. Splits are by material unless the user asks for a harder one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.random import generator
from matterscope.learn.domain import fit_domain
from matterscope.learn.ensembles import Ensemble
from matterscope.learn.networks import Head, Network, Recipe, train_network
from matterscope.learn.persist import Arrays, prefixed, save_model
from matterscope.learn.splits import grouped_folds
from matterscope.physics.edges import edge
from matterscope.spectra.learned.aligned import FAMILY, Calibration, WindowModel
from matterscope.spectra.learned.experts import (
    Experts,
    Taught,
    class_shares,
    machines_in,
    train_machines,
)
from matterscope.spectra.learned.features import DISTORTIONS, distort
from matterscope.spectra.learned.held_out import CALIBRATED_ON, Held, calibrate, empty, predict_held
from matterscope.spectra.learned.instruments import Instrument, fine_shapes, observe
from matterscope.spectra.learned.scorecards import REFERENCES, card_of, parity, scores_of, tabulate
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape
from matterscope.spectra.sets.trainingsets import COORDINATIONS, SHELL, TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import TrainSettings

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Targets = dict[str, NDArray[Any]]

VIEWS = 6
"""Instruments through which the networks see every spectrum; each epoch draws one of them anew."""
QUIET_VIEWS = 2
QUIET = Instrument(shake_down=0.0, discrepancy=0.0, pre_edge=0.0, alignment=0.0, disorder=0.0)
"""What instruments do where theory is right."""
OPEN_SHELL = 1
"""Index of the oxidation state (2+) whose d shell is open: it can be shaken down."""

HEADS = (
    Head("coordination", len(COORDINATIONS)),
    Head("bond"),
    Head("valence", 3, 0.5),
    Head("shell", 2, 0.5, 0.5),
    *(Head(f"distance_{k + 1}", 0, 0.2) for k in range(SHELL)),
)


@dataclass(frozen=True)
class Plan:
    """What is trained: shared by training and the benchmarks."""

    window: str
    members: int
    recipe: Recipe
    strength: float
    """Share of training samples seen through instruments."""
    kernels: bool = True
    """Whether kernel machines answer beside the networks."""


@dataclass(frozen=True)
class Views:
    """The shapes of a set through instruments, (k, n, m) each."""

    loud: Singles
    """For the networks: all that an instrument and theory may do."""
    quiet: Singles
    """For the kernel machines, which would learn the discrepancy of theory by heart."""


def instrument_views(
    training: TrainingSet,
    window: str,
    rng: np.random.Generator,
    count: int = VIEWS,
    instrument: Instrument | None = None,
) -> Singles:
    """Return the shapes (count, n, m) through random instruments."""
    fine = fine_shapes(training.energy, training.mu)
    shells = training.targets()["valence"] == OPEN_SHELL
    seen = [observe(fine, rng, window, instrument or Instrument(), shells) for _ in range(count)]
    return np.array(seen, dtype=np.float32).reshape(count, len(fine), -1)


def training_views(training: TrainingSet, window: str, call: Call) -> Views:
    """Return the views that networks and kernel machines are trained through."""
    return Views(
        instrument_views(training, window, call.rng("instruments")),
        instrument_views(training, window, call.rng("quiet"), QUIET_VIEWS, QUIET),
    )


def train_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Train a network, or the kernel machines, on some rows (a unit of work of `Call.map`)."""
    shapes, views, rows, plan = (item[name] for name in ("shapes", "views", "rows", "plan"))
    targets: Targets = item["targets"]
    if item["expert"] == "machines":
        grid, others = WINDOWS[plan.window], item["others"]
        found = train_machines(shapes, views.quiet, targets, rows, rng, grid, others)
        arrays: Arrays = {}
        for name, machine in found.items():
            arrays |= prefixed(machine.as_arrays(), name)
        return {"arrays": arrays, "meta": {}}

    def augment(x: Singles, g: np.random.Generator) -> Singles:
        picked = views.loud[g.integers(0, len(views.loud), len(rows)), rows]
        return np.where(g.random((len(x), 1)) < plan.strength, picked, x).astype(np.float32)

    chosen = {head.name: targets[head.name][rows] for head in HEADS}
    chosen["coordination"] = targets["shares"][rows]
    member = train_network(
        shapes[rows], chosen, HEADS, plan.recipe, rng, augment if plan.strength > 0 else None
    )
    return {"arrays": member.as_arrays(), "meta": member.as_json()}


@dataclass(frozen=True)
class Others:
    """Further spectra for the gates: shells of other ligands, and oxides by the same engine.

    A material of a test fold teaches nothing there.
    """

    materials: NDArray[Any]
    taught: Taught

    def without(self, materials: NDArray[Any]) -> Taught:
        """Return the shapes of all other materials."""
        keep = ~np.isin(self.materials, materials)
        own = self.taught
        return Taught(own.shapes[keep], own.views[:, keep], own.shell[keep])


def read_others(folders: tuple[str, ...], window: str, call: Call) -> Others | None:
    """Return what the folders teach the gates; None without any."""
    if not folders:
        return None
    parts, names = [], []
    for number, folder in enumerate(folders):
        known = load_set(Path(folder))
        rng = call.rng("others", number)
        shapes = np.nan_to_num(known.shapes(window), nan=1.0)
        views = instrument_views(known, window, rng, 1, QUIET)
        parts.append(Taught(shapes, views, known.oxygen.astype(int)))
        names.append(known.materials.astype(str))
    taught = Taught(
        np.concatenate([p.shapes for p in parts]),
        np.concatenate([p.views for p in parts], axis=1),
        np.concatenate([p.shell for p in parts]),
    )
    return Others(np.concatenate(names), taught)


def _units(
    common: dict[str, Any], rows: Ints, plan: Plan, others: Taught | None
) -> list[dict[str, Any]]:
    kinds = ["network"] * plan.members + ["machines"] * plan.kernels
    return [{**common, "rows": rows, "expert": kind, "others": others} for kind in kinds]


def _experts(units: list[dict[str, Any]], plan: Plan, labels: Ints) -> Experts:
    members = [Network.rebuild(u["arrays"], u["meta"]) for u in units[: plan.members]]
    machines = machines_in(units[-1]["arrays"]) if plan.kernels else {}
    own = class_shares(labels)
    return Experts(Ensemble(tuple(members)), WINDOWS[plan.window], **machines, shares=own)


def fold_experts(
    shapes: Floats,
    views: Views,
    targets: Targets,
    folds: list[tuple[Ints, Ints]],
    plan: Plan,
    call: Call,
    others: list[Taught | None] | None = None,
) -> list[Experts]:
    """Return the experts of every fold.

    Parameters
    ----------
    shapes : array of shape (n, m)
    views : Views
        The same through instruments.
    targets : dict
        Labels.
    folds : list of (train, test)
    plan : Plan
    call : Call
    others : list, optional
        What else teaches the gates of each fold.
    """
    common = {"shapes": shapes, "views": views, "targets": targets, "plan": plan}
    also = others or [None] * len(folds)
    items = [u for (train, _), o in zip(folds, also, strict=True) for u in _units(common, train, plan, o)]  # fmt: skip
    units = call.map(train_unit, items, f"cross-validation {plan.window}")
    size = len(items) // len(folds)
    cn = targets["coordination"]
    return [
        _experts(units[k * size : (k + 1) * size], plan, cn[train])
        for k, (train, _) in enumerate(folds)
    ]


def predict_folds(
    experts: list[Experts], folds: list[tuple[Ints, Ints]], views: dict[str, NDArray[Any]]
) -> dict[str, Held]:
    """Return pooled out-of-fold predictions for every view (n, m) of the set."""
    pooled: dict[str, Held] = {}
    for own, (_, test) in zip(experts, folds, strict=True):
        for name, view in views.items():
            held = predict_held(own, view[test])
            target = pooled.setdefault(name, empty(len(view), held))
            for part, values in vars(held).items():
                getattr(target, part)[test] = values
    return pooled


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


def all_targets(training: TrainingSet) -> Targets:
    """Return the labels from the structures and ``edge``: where the edge stands on the engine's own axis, less the table (eV)."""
    table = edge(training.element, training.edge).energy
    pairs = zip(training.energy, training.mu, strict=True)
    found = np.array([aligned_shape(e, m, "narrow")[1] for e, m in pairs])
    return training.targets() | {"edge": found - table}


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
    folds = grouped_folds(groups_of(training, settings.split), settings.folds, call.seed)
    arrays: Arrays = {}
    meta: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    estimate = Estimate("spectra train", given.ref)
    for window in settings.windows:
        model, held, scores[window] = _window(training, window, folds, settings, call)
        packed, meta[window] = model.pack()
        arrays |= prefixed(packed, window)
        estimate.pictures.append(parity(window, held, training.targets(), training.oxygen))
        tabulate(estimate, window, scores[window])
    card = card_of(training, settings, meta, scores, call.seed)
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
        "model": f"{settings.name}@{digest[:8]}",
        "scores": scores,
        "card": {k: v for k, v in card.items() if k != "windows"},
    }
    estimate.provenance |= {
        "training_data": {"name": training.name, "sha256": training.digest},
        "references": list(REFERENCES),
    }
    return [estimate]


def _window(
    training: TrainingSet,
    window: str,
    folds: list[tuple[Ints, Ints]],
    settings: TrainSettings,
    call: Call,
) -> tuple[WindowModel, Held, dict[str, Any]]:
    """Train, score and calibrate one window."""
    targets, rows = all_targets(training), training.oxygen
    recipe, share = Recipe(epochs=settings.epochs), settings.nuisances
    plan = Plan(window, settings.members, recipe, share, settings.kernels)
    shapes = training.shapes(window)
    nothing = np.empty((0, *shapes.shape), dtype=np.float32)
    views, seen = Views(nothing, nothing), {"clean": shapes}
    if share > 0:
        views = training_views(training, window, call)
        seen["nuisances"] = instrument_views(training, window, call.rng("view"), 1)[0].astype(float)
    if settings.stress:
        seen |= distorted(training, window, call)
    others = read_others(settings.others, window, call)
    beside = [others.without(training.materials[t].astype(str)) if others else None for _, t in folds]  # fmt: skip
    experts = fold_experts(shapes, views, targets, folds, plan, call, beside)
    held = predict_folds(experts, folds, seen)
    calibrating = [held[name] for name in CALIBRATED_ON if name in held]
    calibration = calibrate(targets, calibrating, rows)
    if settings.anchor is not None:
        calibration.edge_anchor = settings.anchor
    every = others.taught if others else None
    model = _final(training, shapes, views, plan, calibration, call, every)
    return model, held["clean"], scores_of(training, held, targets, folds, calibrating)


def _final(
    training: TrainingSet,
    shapes: Floats,
    views: Views,
    plan: Plan,
    calibration: Calibration,
    call: Call,
    others: Taught | None,
) -> WindowModel:
    targets = all_targets(training)
    common = {"shapes": shapes, "views": views, "targets": targets, "plan": plan}
    items = _units(common, np.arange(len(shapes)), plan, others)
    units = call.map(train_unit, items, f"final experts {plan.window}")
    own = training.oxygen
    # what instruments do is inside the domain
    good = np.concatenate([shapes[own], *(v[own] for v in views.loud[:1])])
    classes = np.tile(targets["coordination"][own], len(good) // int(own.sum()))
    low, high = np.quantile(shapes[own], [0.05, 0.95], axis=0)
    return WindowModel(
        plan.window,
        _experts(units, plan, targets["coordination"]),
        fit_domain(good, classes),
        calibration,
        shapes[own].mean(axis=0),
        low,
        high,
    )
