"""`materials train` for impurities in halide perovskites: each host predicted from the others.

In: the header-less table. Out: scores of every level and formation energy with whole hosts left out, beside
the mean of the others and the same impurity elsewhere; five-fold scores for the card.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError, ReadError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.pictures import Layer, Panel, Picture, line, points
from matterscope.learn.calibration import bootstrap, root_mean_square_error
from matterscope.materials.transitions.halide_impurities import (
    TARGETS,
    leave_folds_out,
    leave_host_out,
    read_halides,
)
from matterscope.materials.transitions.pictures import calibration_picture

SHORT = {
    "formation_energy_X_rich": "formation energy, X-rich",
    "formation_energy_Pb_rich": "formation energy, Pb-rich",
}


def train_halides(inputs: list[Input], settings: Any, call: Call) -> list[Estimate]:
    """Score levels and formation energies with whole hosts left out; one estimate a table."""
    if settings.leave_out not in ("auto", "host"):
        raise ConfigError(
            "leave_out of materials train is not known for impurities in halide perovskites",
            got=settings.leave_out,
            expected="auto or host",
        )
    return [_train(given, call) for given in inputs]


def host_unit(item: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Return the predictions of one host left out, or of the random folds."""
    frame, seed = item["frame"], item["seed"]
    if item["held"]:
        return leave_host_out(frame, item["held"], seed)
    return leave_folds_out(frame, seed)


def _train(given: Input, call: Call) -> Estimate:
    if given.path is None:
        raise ReadError("training takes a table of impurities", where=given.source)
    frame = read_halides(given.path)
    hosts = sorted(set(frame["host"]))
    if len(hosts) < 2:
        raise DataError(
            "leaving hosts out needs ≥ 2 hosts", where=given.source, got=", ".join(hosts)
        )
    items = [{"frame": frame, "held": h, "seed": call.seed} for h in [*hosts, ""]]
    *left, folds = call.map(host_unit, items, "leave-hosts-out")
    predictions = pd.concat(left, ignore_index=True)
    answer = Estimate("materials train", given.ref)
    draw = bootstrap(
        root_mean_square_error, *(predictions[c] for c in ("truth", "value", "host")),
        baseline=predictions["mean_of_others"],
    )  # fmt: skip
    answer.quantities["level_rmse"] = Quantity(
        draw.value, "eV", intervals=(Interval(0.9, draw.low, draw.high),)
    )
    answer.tables |= {
        "scores": score_targets(predictions),
        "scores_random_folds": score_targets(folds),
        "hosts": score_targets(predictions, by_host=True),
        "predictions": predictions,
    }
    answer.flag(
        "no_model_stored",
        "the nineteen descriptors of this table have no names: nobody could ask a stored model",
        "give a table with columns host, impurity, site to materials levels",
    )
    answer.flag(
        "few_hosts",
        f"{len(hosts)} hosts: what sets one apart from the others is learnt from {len(hosts) - 1}",
        "bars are those of hosts left out, and wide for it",
    )
    answer.provenance |= {"population": f"{len(frame)} impurities in {', '.join(hosts)}"}
    answer.pictures += [_parity(predictions), calibration_picture(predictions)]
    return answer


def score_targets(predictions: pd.DataFrame, *, by_host: bool = False) -> pd.DataFrame:
    """Return errors, baselines, coverage and the spread of z for each target (and host)."""
    keys = ["property", "host"] if by_host else ["property"]
    rows = []
    for name, part in predictions.groupby(keys, sort=False):
        error = (part["value"] - part["truth"]).to_numpy()
        rows.append(
            dict(zip(keys, name, strict=True)) | {
                "rows": len(part), "rmse": _rms(error), "mae": float(np.abs(error).mean()), "bias": float(error.mean()),
                "mean_of_others_rmse": _rms((part["mean_of_others"] - part["truth"]).to_numpy()),
                "same_impurity_rmse": _rms((part["same_impurity"] - part["truth"]).dropna().to_numpy()),
                "z_std": float(np.std(error / part["sigma"])),
                "coverage_68": float(np.mean(np.abs(error) <= part["half_68"])),
                "coverage_95": float(np.mean(np.abs(error) <= part["half_95"])),
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {c: "eV" for c in frame if c.endswith("rmse") or c in ("mae", "bias")}
    return frame


def _rms(error: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean(error**2)))


def _parity(predictions: pd.DataFrame) -> Picture:
    panels = []
    hosts = sorted(set(predictions["host"]))
    for name in TARGETS:
        part = predictions[predictions["property"] == name]
        ends = [float(f(part[["truth", "value"]].to_numpy())) for f in (np.min, np.max)]
        layers: list[Layer] = [line(ends, ends, role="reference")]
        for index, host in enumerate(hosts):
            mine = part[part["host"] == host]
            layers.append(
                points(
                    mine["truth"], mine["value"], host if name == TARGETS[0] else "", f"series{index}", size=3,
                    y_low=mine["value"] - mine["half_68"], y_high=mine["value"] + mine["half_68"],
                )
            )  # fmt: skip
        label = SHORT.get(name, f"level {name}")
        panels.append(Panel(layers, f"{label}, table (eV)", "host left out (eV)", equal=True))
    return Picture(
        "parity",
        "Impurities in hosts that were left out",
        panels,
        "Each point is an impurity of a host of which the model has seen nothing; bars are 68 %.",
        columns=3,
        width=9.0,
        height=6.4,
    )
