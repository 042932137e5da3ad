"""Score a stored fusion model on a built set: structures it has not seen, and those it was trained on, apart.

In: a fusion model and the folder of `spectra build`. Out: scores by subset of streams with intervals from
drawing parents, coverage of the stated intervals, what the gates refuse, and the controls. A structure
of the training set is answered as it was when its parent was left out, never by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, bars, line, mark, points
from matterscope.learn.conformal import split_quantile
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.fusion.domain import STRETCH, distances
from matterscope.spectra.fusion.kernels import posterior
from matterscope.spectra.fusion.training import (
    CONTINUOUS,
    DEFECTS,
    SUBSETS,
    TARGETS,
    FusionModel,
    blocks_in,
    line_through,
    prepare,
    score,
    set_blocks,
)
from matterscope.spectra.sets.assembly import SpectralSet, assemble

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.learned.models import Model
    from matterscope.spectra.settings import EvaluateSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.9
SAME = 1e-3
"""Relative distance in score space below which a structure is one of the training set (single precision)."""
DRAWS = 500
LEAST = 20
"""Structures below which shuffled labels, coverage and the choice of the headline mean nothing."""
HEADLINES = {
    "lithium_mae": ("lithium_content", "mae"),
    "vacancy_auc": ("oxygen_vacancy", "auc"),
    "antisite_auc": ("antisite", "auc"),
}


@dataclass(frozen=True)
class Asked:
    """The structures of a set as a fusion model sees them.

    Parameters
    ----------
    blocks : dict of str to array (n, m)
    targets : array of shape (n, t)
    groups : array of shape (n,)
        What is drawn with replacement.
    volume : array of shape (n,), Å³
    row : array of shape (n,)
        Row of the training set that this structure is; −1 for a new one.
    """

    blocks: dict[str, Floats]
    targets: Floats
    groups: NDArray[Any]
    volume: Floats
    row: Ints


@dataclass(frozen=True)
class Answers:
    """Means and half widths at `LEVEL` (n, t) from one subset of streams."""

    mean: Floats
    half: Floats


def evaluate_fusion(given: Input, model: Model, settings: EvaluateSettings, call: Call) -> Estimate:
    """Return the scores of a fusion model on the built set in a folder."""
    assert given.path is not None
    fusion = FusionModel.unpack(model.arrays)
    data = assemble(given.path)
    asked = match(fusion, data)
    estimate = Estimate("spectra evaluate", given.ref)
    estimate.provenance |= {
        "model": model.name,
        "model_sha256": model.sha256,
        "dataset": {"name": given.path.name, "sha256": data.digest},
        "references": list(model.card.get("references", [])),
    }
    fresh = asked.row < 0
    if not fresh.all():
        estimate.flag(
            "trained_on_these",
            f"{int((~fresh).sum())} of {fresh.size} structures are of the set that the model was trained on: "
            "they are answered as they were with their parents left out, and stand apart from the new ones.",
            "build a set with another --seed to score the model on new structures only",
        )
    parts = {"new": fresh, "left out in training": ~fresh}
    answers = {name: answer_rows(fusion, asked, s) for name, s in SUBSETS.items()}
    for name, rows in parts.items():
        if rows.any():
            _tabulate(estimate, name, asked, answers, rows, call)
    main = "new" if fresh.sum() >= LEAST else "left out in training"
    main = main if parts[main].any() else "new"
    _summarise(estimate, main, asked, answers["all"], parts[main], call)
    refused = refused_blocks(fusion, asked)
    estimate.tables["refused"] = pd.DataFrame(
        [{"block": b, "refused": float(r.mean())} for b, r in refused.items()]
    )
    estimate.diagnostics |= {
        "structures": int(fresh.size),
        "new": int(fresh.sum()),
        "groups": len(set(asked.groups)),
        "scored": main,
        "failures": data.failures,
    }
    estimate.pictures += [
        _parity(asked, answers["all"], parts[main], main),
        _bars(estimate.tables["scores"], main),
    ]
    return estimate


def match(fusion: FusionModel, data: SpectralSet) -> Asked:
    """Return the structures of a set that have every stream, each with its training row if it has one."""
    blocks, kept = set_blocks(data)
    half = len(fusion.targets) // 2
    known = np.hstack([fusion.scores[b][:half] for b in fusion.bases])
    seen = np.hstack([fusion.bases[b].scores(blocks[b]) for b in fusion.bases])
    row = np.full(len(seen), -1)
    for i, own in enumerate(seen):
        apart = np.linalg.norm(known - own, axis=1)
        if apart.min() < SAME * np.linalg.norm(own):
            row[i] = int(apart.argmin())
    labels = data.labels.iloc[kept]
    return Asked(
        blocks,
        labels[list(TARGETS)].to_numpy(dtype=float),
        labels["parent"].to_numpy(),
        labels["volume"].to_numpy(dtype=float),
        row,
    )


def answer_rows(fusion: FusionModel, asked: Asked, streams: tuple[str, ...]) -> Answers:
    """Return the answers for every structure from some streams, with the intervals that `infer` states."""
    names = tuple(sorted(blocks_in(streams)))
    ready = prepare(fusion, names)
    spread = np.abs(fusion.targets - ready.mean) / ready.width
    factor = np.array([split_quantile(spread[:, c], LEVEL) for c in range(len(TARGETS))])
    mean, width = np.empty_like(asked.targets), np.empty_like(asked.targets)
    old = asked.row >= 0
    mean[old], width[old] = ready.mean[asked.row[old]], ready.width[asked.row[old]]
    if not old.all():
        known = [fusion.scores[b] for b in names]
        new = [fusion.bases[b].scores(asked.blocks[b][~old]) for b in names]
        mean[~old], width[~old] = posterior(known, fusion.targets, new, ready.choices)
    return Answers(mean, width * factor)


def refused_blocks(fusion: FusionModel, asked: Asked) -> dict[str, NDArray[np.bool_]]:
    """Return for every block which of the new structures the domain gate refuses (all, where none is new)."""
    rows = np.flatnonzero(asked.row < 0)
    rows = rows if rows.size else np.arange(len(asked.row))
    return {
        block: np.array([max(distances(fusion, block, values[i])) > STRETCH for i in rows])
        for block, values in asked.blocks.items()
    }


def _scores(truth: Floats, found: Floats) -> dict[str, float]:
    result = {}
    for column, target in enumerate(TARGETS):
        own = truth[:, column]
        if np.ptp(own) == 0.0:  # nothing to rank, nothing to explain
            if target not in DEFECTS:
                result[f"{target}_mae"] = float(np.abs(own - found[:, column]).mean())
            continue
        result |= {f"{target}_{k}": v for k, v in score(own, found[:, column], target).items()}
    return result


def _tabulate(
    estimate: Estimate,
    name: str,
    asked: Asked,
    answers: dict[str, Answers],
    rows: NDArray[np.bool_],
    call: Call,
) -> None:
    """Add scores, controls and coverage of some structures to the tables."""
    truth = asked.targets[rows]
    table: list[dict[str, Any]] = [
        {"structures": name, "streams": s, **_scores(truth, a.mean[rows])}
        for s, a in answers.items()
    ]
    if len(truth) >= LEAST:
        order = call.rng("shuffle", int(name == "new")).permutation(len(truth))
        mixed = _scores(truth[order], answers["all"].mean[rows])
        table.append({"structures": name, "streams": "all, labels shuffled"} | mixed)
    if len(set(asked.groups[rows])) >= 3:
        folds = grouped_folds(asked.groups[rows], min(6, len(set(asked.groups[rows]))))
        volume = line_through(asked.volume[rows], truth, folds)
        table.append({"structures": name, "streams": "volume"} | _scores(truth, volume))
    cover = [
        {
            "structures": name,
            "streams": s,
            "target": target,
            "coverage": float((np.abs(a.mean - asked.targets) <= a.half)[rows, c].mean()),
            "mean_width": float(2 * a.half[rows, c].mean()),
        }
        for s, a in answers.items()
        for c, target in enumerate(TARGETS)
        if target in CONTINUOUS
    ]
    for key, entries in (("scores", table), ("coverage", cover)):
        frame, old = pd.DataFrame(entries), estimate.tables.get(key)
        estimate.tables[key] = frame if old is None else pd.concat([old, frame], ignore_index=True)
    estimate.tables["scores"].attrs["units"] = {"bond_length_mae": "Å"}


def _summarise(
    estimate: Estimate,
    name: str,
    asked: Asked,
    found: Answers,
    rows: NDArray[np.bool_],
    call: Call,
) -> None:
    """State the headline scores with intervals from drawing parents, and the coverage."""
    table = estimate.tables["scores"]
    own = table[(table["structures"] == name) & (table["streams"] == "all")].iloc[0]
    drawn = _drawn(asked, found, rows, call.rng("bootstrap"))
    for headline, (target, kind) in HEADLINES.items():
        column = f"{target}_{kind}"
        if column not in drawn or column not in own:
            continue
        value, values = float(own[column]), drawn[column]
        known = values[np.isfinite(values)]
        if np.isfinite(value) and known.size:
            low, high = np.quantile(known, [0.05, 0.95])
            interval = (Interval(LEVEL, float(low), float(high)),)
            estimate.quantities[headline] = Quantity(value, "1", intervals=interval)
    inside = np.abs(found.mean - asked.targets)[rows] <= found.half[rows]
    share = float(inside[:, : len(CONTINUOUS)].mean())
    count = len(set(asked.groups[rows]))
    why = f"nominal {LEVEL:.0%}; mean over {len(CONTINUOUS)} targets of {int(rows.sum())} structures of {count} parents"
    estimate.quantities["coverage"] = Quantity(share, "1", reason=why)
    if share < LEVEL - 0.05 and rows.sum() >= LEAST:
        estimate.flag(
            "intervals_too_narrow",
            f"The 90 % intervals hold {share:.0%} of the labels: the set is unlike what the model was calibrated on.",
            "train on structures like these",
        )


def _drawn(
    asked: Asked, found: Answers, rows: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, Floats]:
    """Return the scores of `DRAWS` sets of parents drawn with replacement."""
    own = np.flatnonzero(rows)
    parents = [own[asked.groups[own] == g] for g in sorted(set(asked.groups[own]))]
    scores = []
    for _ in range(DRAWS):
        picked = np.concatenate([parents[k] for k in rng.integers(0, len(parents), len(parents))])
        scores.append(_scores(asked.targets[picked], found.mean[picked]))
    names = {k for s in scores for k in s}
    return {k: np.array([s.get(k, np.nan) for s in scores]) for k in names}


def _parity(asked: Asked, found: Answers, rows: NDArray[np.bool_], name: str) -> Picture:
    panels = []
    labels = ("Li per metal", "Ni share", "Mn share", "Co share", "charge of Ni", "Ni–O length / Å")
    for column, label in enumerate(labels):
        truth, values = asked.targets[rows, column], found.mean[rows, column]
        ends = [float(truth.min()), float(truth.max())]
        layers = [
            line(ends, ends, "" if column else "perfect", "reference"),
            points(truth, values, "" if column else "structures", size=2),
        ]
        panels.append(Panel(layers, "in the structure", "from the spectra", label))
    return Picture(
        "parity", "All edges", panels, f"Structures: {name}.", columns=3, width=10.0, height=6.4
    )


def _bars(table: pd.DataFrame, name: str) -> Picture:
    own = table[(table["structures"] == name) & ~table["streams"].str.contains("shuffled|volume")]
    rest = table[(table["structures"] == name) & (table["streams"] == "volume")]
    place, names = (
        np.arange(len(own)),
        [s.replace("_", " ").replace("L23", "L2,3") for s in own["streams"]],
    )
    panels = []
    for number, (column, label) in enumerate(
        (
            ("lithium_content_mae", "Li, mean error"),
            ("oxygen_vacancy_auc", "O vacancy, AUC"),
            ("antisite_auc", "antisite, AUC"),
        )
    ):
        layers = [bars(place, own[column])]
        if number == 0 and len(rest):
            layers.append(mark(y=[float(rest[column].iloc[0])], label="cell volume alone"))
        if number:
            layers.append(mark(y=[0.5], label="chance" if number == 1 else ""))
        ends = None if number == 0 else (0.3, 1.0)
        panels.append(Panel(layers, "", label, x_ticks=names, y_range=ends))
    return Picture(
        "streams", "By edges given", panels, f"Structures: {name}.", width=9.0, height=8.0
    )
