"""`materials train` for tables of levels: fit, and say how good it is on hosts it has never seen.

In: one or more tables of levels (impurities, native defects). Out: a model file with its card, and scores
with whole hosts left out: pooled, as the mean over hosts, within the domain, beside the mean of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.learn.calibration import bootstrap, root_mean_square_error
from matterscope.materials.transitions.features import Known
from matterscope.materials.transitions.models import LevelModel
from matterscope.materials.transitions.persistence import save_levels
from matterscope.materials.transitions.pictures import (
    calibration_picture,
    hosts_picture,
    parity_picture,
)
from matterscope.materials.transitions.tables import VACANCY, read_levels
from matterscope.materials.transitions.validation import (
    EASIER,
    host_table,
    leave_groups_out,
    leave_hosts_out,
    score_table,
)

Array = NDArray[np.float64]
FEWEST = 30
REFERENCES = [
    "arXiv 2203.10349 (J. Chem. Phys. 156, 114110)",
    "Rasmussen and Williams, Gaussian Processes for Machine Learning (2006)",
]


def gather(inputs: list[Input]) -> tuple[pd.DataFrame, Known, list[str]]:
    """Return the complete defects of all tables, gap and lattice where stated, and notes."""
    frames: list[pd.DataFrame] = []
    known: dict[str, tuple[float | None, float | None]] = {}
    notes: list[str] = []
    for given in inputs:
        if given.path is None:
            raise ReadError("training takes tables of levels", where=given.source)
        table = read_levels(given.path, strict=False)
        notes += [f"{given.path.name}: {n}" for n in table.notes]
        whole = table.complete
        short = len(table.defects) - len(whole)
        if short:
            notes.append(f"{given.path.name}: {short} defects without all six levels are not used")
        known |= table.known_hosts()
        frames.append(whole)
    joined = pd.concat(frames, ignore_index=True)
    inside = joined["site"].isin(("M_A", "M_B", "M_i_A", "M_i_B", "M_i_neut"))
    joined = joined[inside].reset_index(drop=True)
    joined["native"] = joined["native"].astype(bool)
    twice = joined.duplicated(["host", "impurity", "site"])
    if twice.any():
        first = joined[twice].iloc[0]
        notes.append(
            f"{int(twice.sum())} repeated defects (first: {first['impurity']} on {first['site']} of {first['host']}) kept once"
        )
        joined = joined[~twice].reset_index(drop=True)
    if len(joined) < FEWEST:
        raise DataError(
            "too few complete defects to learn from", got=len(joined), expected=f"at least {FEWEST}"
        )
    return joined, known, notes


def train_levels(inputs: list[Input], settings: Any, call: Call) -> list[Estimate]:
    """Fit and validate a model of transition levels."""
    if settings.leave_out not in ("auto", "host", *EASIER):
        raise ConfigError(
            "leave_out of materials train is not known for levels",
            got=settings.leave_out,
            expected="auto, host, impurity or fold (single levels of one defect in training and test would leak)",
        )
    table, known, notes = gather(inputs)
    protocols = leave_hosts_out(table, known, call)
    predictions = protocols["name"]
    scores = score_table(predictions)
    model = LevelModel().fit(table, known, call.seed)
    digest = "+".join(i.sha256 for i in inputs)
    answer = Estimate("materials train", InputRef(inputs[0].source, "", digest))
    card = model_card(model, scores, [i.source for i in inputs], digest)
    saved = save_levels(model, call.artifact("levels.npz"), card)
    answer.diagnostics |= {
        "artifacts": [saved],
        "model": saved["name"],
        "share_of_processes": model.share,
        "inflation": model.inflation,
        "excluded": model.excluded,
    }
    for note in notes:
        answer.flag("table_note", note)
    if model.excluded:
        answer.flag(
            "rows_left_out",
            f"{len(model.excluded)} defects were left out of training: {'; '.join(model.excluded[:5])}",
            "check them with materials audit",
        )
    hosts = host_table(predictions)
    if "natives" in protocols:
        answer.tables["scores_with_own_natives"] = score_table(protocols["natives"])
        known_better = host_table(protocols["natives"])[["host", "rmse"]]
        hosts = hosts.merge(known_better, "left", "host", suffixes=("", "_with_own_natives"))
    _flag_hosts(answer, hosts)
    if settings.leave_out in EASIER:
        easier = leave_groups_out(table, known, settings.leave_out, call)
        answer.tables[f"scores_{settings.leave_out}_left_out"] = score_table(easier)
        answer.flag(
            "easier_protocol",
            f"scores with {settings.leave_out}s left out know every host; the headline leaves hosts out",
            "quote the error of hosts left out for a host that is not in the table",
        )
    answer.quantities["level_rmse"] = _scored(predictions)
    answer.tables |= {"scores": scores, "hosts": hosts, "predictions": predictions}
    answer.provenance |= {
        "references": REFERENCES,
        "model": saved["name"],
        "population": card["population"],
    }
    answer.pictures += [
        parity_picture(predictions),
        hosts_picture(hosts),
        calibration_picture(predictions),
    ]
    return [answer]


def _flag_hosts(answer: Estimate, hosts: pd.DataFrame) -> None:
    far = hosts.loc[~hosts["in_domain"], "host"].tolist()
    if far:
        answer.flag(
            "outside_domain",
            f"left out, these hosts lie outside the domain of the others: {', '.join(far)}",
            "their errors are larger; give some of their levels",
        )
    lost = hosts.loc[hosts["rmse"] >= hosts["blind_rmse"], "host"].tolist()
    if lost:
        answer.flag(
            "no_skill",
            f"no better than the mean of the other hosts on {', '.join(lost)}",
            "levels of such hosts are withheld unless forced",
        )


def _scored(predictions: pd.DataFrame) -> Quantity:
    draw = bootstrap(
        root_mean_square_error,
        predictions["truth"],
        predictions["value"],
        predictions["host"],
        baseline=predictions["mean_of_others"],
    )
    return Quantity(draw.value, "eV", intervals=(Interval(0.9, draw.low, draw.high),))


def model_card(
    model: LevelModel, scores: pd.DataFrame, sources: list[str], digest: str
) -> dict[str, Any]:
    """Return what anybody must know before using the model."""
    hosts = sorted(set(model.rows["host"]))
    impurities = sorted(set(model.rows.loc[~model.rows["native"], "impurity"]) - {VACANCY})
    gaps = model.rows["gap"]
    return {
        "population": f"{len(model.rows)} defects in {len(hosts)} zinc-blende or diamond hosts",
        "hosts": hosts, "impurities": impurities, "gap_range": [float(gaps.min()), float(gaps.max())],
        "trained_on": sources, "trained_on_sha256": digest, "scores_with_hosts_left_out": scores.to_dict("records"),
        "excluded": model.excluded,
        "limits": "levels of the functional of the table (semilocal levels are not gaps of experiment); single defects; no negative U in the training data",
    }  # fmt: skip
