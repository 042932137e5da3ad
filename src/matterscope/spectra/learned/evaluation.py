"""Evaluation: a stored model on a set of spectra with structures that it was not trained on.

In: a model file (or shipped name) and a folder like that of `train` (or of `build`, for fusion models). Out: scores with intervals from drawing
materials, coverage by coordination, refusals, and the controls: mean predictor, shuffled labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, ModelError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, bars, mark
from matterscope.learn.calibration import macro_f1, mean_absolute_error
from matterscope.spectra.fusion.scoring import evaluate_fusion
from matterscope.spectra.learned.aligned import WindowModel
from matterscope.spectra.learned.cards import wrapped
from matterscope.spectra.learned.held_out import Held, bootstrap, predict_held, score
from matterscope.spectra.learned.inference import windows_of
from matterscope.spectra.learned.models import Model, choose
from matterscope.spectra.learned.scorecards import REFERENCES, parity
from matterscope.spectra.learned.training import distorted, groups_of
from matterscope.spectra.sets.trainingsets import COORDINATIONS, TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import EvaluateSettings

LEVEL = 0.9
LEAST = 20
"""Sites of one coordination below which its coverage is not worth a number."""
Rows = NDArray[np.bool_]


def evaluate_model(inputs: list[Input], settings: EvaluateSettings, call: Call) -> list[Estimate]:
    """Score a model on every folder given."""
    return [_evaluate(given, settings, call) for given in inputs]


def _evaluate(given: Input, settings: EvaluateSettings, call: Call) -> Estimate:
    assert given.path is not None
    if (given.path / "structures").is_dir():  # a folder of `spectra build`
        model = choose("Ni", "K", settings.model)
        _must_be(model, "fusion", given.path)
        return evaluate_fusion(given, model, settings, call)
    training = load_set(given.path)
    model = choose(training.element, training.edge, settings.model)
    _must_be(model, "aligned", given.path)
    windows = windows_of(model)
    window = settings.window if settings.window in windows else next(iter(windows))
    estimate = Estimate("spectra evaluate", given.ref)
    estimate.provenance |= {
        "model": model.name,
        "model_sha256": model.sha256,
        "dataset": {"name": training.name, "sha256": training.digest},
        "references": list(REFERENCES),
    }
    if model.card["training_data"].get("sha256") == training.digest:
        estimate.flag(
            "trained_on_this",
            "The model was trained on this very set: these scores say how well it remembers.",
            "spectra card shows its scores on materials left out",
        )
    if not training.oxygen.any():
        raise ConfigError(
            "this set holds no oxygen shells with two to six neighbours", got=training.name
        )
    _score(estimate, training, windows[window], settings, call)
    return estimate


def _must_be(model: Model, family: str, folder: Path) -> None:
    if model.family != family:
        kinds = {
            "aligned": "spectra.npz and structures.extxyz.gz, for models of `train`",
            "fusion": "a folder of `spectra build`, for models of `fuse`",
        }
        raise ModelError(
            f"the model '{model.name}' cannot be scored on this folder", where=str(folder),
            got=kinds[family], expected=kinds[model.family],
        )  # fmt: skip


def _score(
    estimate: Estimate,
    training: TrainingSet,
    model: WindowModel,
    settings: EvaluateSettings,
    call: Call,
) -> None:
    targets, rows = training.targets(), training.oxygen
    shapes = _whole(training.shapes(model.window))
    seen = {"clean": shapes}
    if settings.stress:
        seen |= {n: _whole(v) for n, v in distorted(training, model.window, call).items()}
    held = {name: predict_held(model.experts, view) for name, view in seen.items()}
    table = [{"evaluated on": n, **score(h, targets, rows)} for n, h in held.items()]
    table += controls(targets, held["clean"], rows, call.rng("shuffle"))
    estimate.tables["scores"] = pd.DataFrame(table)
    estimate.tables["scores"].attrs["units"] = {"bond_mae": "Å"}
    cover = [{"evaluated on": n, **covered(h, targets, rows, model)} for n, h in held.items()]
    estimate.tables["coverage"] = pd.DataFrame(cover)
    estimate.tables["coverage"].attrs["units"] = {"mean_width": "Å"}
    refused = held["clean"].shell < model.calibration.shell_threshold
    estimate.diagnostics |= {
        "window": model.window,
        "sites": int(rows.sum()),
        "groups": len(set(groups_of(training, settings.split)[rows])),
        "refused_oxygen_shells": float(refused[rows].mean()),
        "refused_other_shells": float(refused[~rows].mean()) if (~rows).any() else None,
    }
    bands = bootstrap(training, held["clean"], targets, groups=groups_of(training, settings.split))
    for name, units in (("coordination_f1", "1"), ("bond_mae", "Å")):
        low, high = bands[name]
        value = float(estimate.tables["scores"][name].iloc[0])
        estimate.quantities[name] = Quantity(value, units, intervals=(Interval(0.9, low, high),))
    share = float(estimate.tables["coverage"]["all"].iloc[0])
    error = float(np.sqrt(LEVEL * (1 - LEVEL) / rows.sum()))
    why = f"nominal {LEVEL:.0%}; {rows.sum()} sites by themselves would scatter by {error:.3f}"
    estimate.quantities["coverage"] = Quantity(share, "1", reason=why)
    if share < LEVEL - max(0.03, 3 * error):
        estimate.flag(
            "intervals_too_narrow",
            f"The 90 % intervals hold {share:.0%} of these sites: the set is unlike what the model was calibrated on.",
            "train on spectra like these",
        )
    estimate.pictures += [
        parity(
            model.window,
            held["clean"],
            targets,
            rows,
            "Sites of this set, as the model answers them.",
        ),
        _picture(estimate.tables["scores"]),
    ]


def _whole(shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shapes with 1 where a spectrum ends before its window does."""
    return np.nan_to_num(shapes, nan=1.0)


def controls(
    targets: dict[str, NDArray[Any]], held: Held, rows: Rows, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return the scores of the mean predictor, and of the model against shuffled labels: no skill may remain."""
    cn, bond = targets["coordination"][rows], targets["bond"][rows]
    most = np.full(cn.size, np.bincount(cn).argmax())
    order = rng.permutation(cn.size)
    named = held.coordination[rows].argmax(axis=1)
    return [
        {
            "evaluated on": "mean predictor",
            "coordination_f1": macro_f1(cn, most),
            "bond_mae": mean_absolute_error(bond, np.full(bond.size, bond.mean())),
        },
        {
            "evaluated on": "shuffled labels",
            "coordination_f1": macro_f1(cn[order], named),
            "bond_mae": mean_absolute_error(bond[order], held.bond[rows]),
        },
    ]


def covered(
    held: Held, targets: dict[str, NDArray[Any]], rows: Rows, model: WindowModel
) -> dict[str, float]:
    """Return the share of bonds inside their 90 % intervals, by coordination too, and the mean width (Å)."""
    shares = model.calibration.temper("coordination", held.coordination[rows])
    half = model.calibration.half_widths(shares, held.bond_spread[rows], LEVEL)
    inside = np.abs(held.bond[rows] - targets["bond"][rows]) <= half
    result = {"all": float(inside.mean()), "mean_width": float(2 * half.mean())}
    for k, name in enumerate(COORDINATIONS):
        own = targets["coordination"][rows] == k
        result[f"CN {name}"] = float(inside[own].mean()) if own.sum() >= LEAST else float("nan")
    return result


def _picture(table: pd.DataFrame) -> Picture:
    own = table[~table["evaluated on"].isin(["mean predictor", "shuffled labels"])]
    rest = table[table["evaluated on"] == "mean predictor"].iloc[0]
    panels = []
    for name, label, names in (
        ("coordination_f1", "macro-F1 of CN", ("", "")),
        ("bond_mae", "bond MAE / Å", ("the model", "mean predictor")),
    ):
        layers = [bars(np.arange(len(own)), own[name], names[0]), mark(y=[rest[name]], label=names[1])]  # fmt: skip
        ticks = [wrapped(str(n)) for n in own["evaluated on"]]
        panels.append(Panel(layers, "", label, x_ticks=ticks))
    caption = "Spectra as given, and with one thing done to them."
    return Picture("scores", "Scores", panels, caption, columns=1, width=9.0, height=6.0)
