"""Scorecards: what a training writes about itself, as a card, tables and pictures.

In: held-out answers and their labels. Out: scores beside the baseline with coverage and refusals, the card
of the model file, and the picture of parity and confusion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate
from matterscope.core.pictures import Panel, Picture, bars, image, line, points
from matterscope.core.random import generator
from matterscope.learn.calibration import macro_f1
from matterscope.spectra.learned.held_out import Held, bootstrap, fold_coverage, refusals, score
from matterscope.spectra.measured.alignment import ALIGNMENT, WINDOWS
from matterscope.spectra.sets.trainingsets import COORDINATIONS, TrainingSet

if TYPE_CHECKING:
    from matterscope.spectra.settings import TrainSettings

Ints = NDArray[np.int64]

REFERENCES = (
    "Lei, Xu, Hwang and Chan, arXiv 2310.07049",
    "Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005)",
    "Brese and O'Keeffe, Acta Cryst. B47, 192 (1991)",
)


def scores_of(
    training: TrainingSet,
    held: dict[str, Held],
    targets: dict[str, NDArray[Any]],
    folds: list[tuple[Ints, Ints]],
    calibrating: list[Held],
) -> dict[str, Any]:
    """Return scores of every view, baseline, coverage, bootstrap intervals and refusals."""
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
    result["bootstrap"] = bootstrap(training, held["clean"], targets)
    result["refused"] = refusals(held["clean"], rows, folds)
    return result


def card_of(
    training: TrainingSet, settings: TrainSettings, meta: dict[str, Any], scores: dict[str, Any], seed: int
) -> dict[str, Any]:  # fmt: skip
    """Return the card: population, data, grid, scores, recipe and limits."""
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
        "alignment": ALIGNMENT,
        "grid": {w: WINDOWS[w].tolist() for w in settings.windows},
        "split": f"{settings.folds} folds by {settings.split}, pooled out of fold",
        "scores": scores,
        "recipe": {
            "members": settings.members, "epochs": settings.epochs, "seed": seed,
            "nuisances": settings.nuisances, "kernels": settings.kernels, "windows": list(settings.windows),
        },
        "limits": [
            "shape only: absolute energies are not used, because the training set holds no reference",
            "an average over sites is answered as if it were one site",
            "shells other than oxygen are refused, not answered",
            "the step from theory to experiment is checked on a few standards only",
        ],
        "windows": meta,
    }  # fmt: skip


def tabulate(estimate: Estimate, window: str, scores: dict[str, Any]) -> None:
    """Add the scores of a window to the estimate's table."""
    rows = [
        {"window": window, "evaluated on": name, **entry}
        for name, entry in scores.items()
        if name not in {"coverage", "bootstrap", "refused"}
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"bond_mae": "Å"}
    old = estimate.tables.get("scores")
    estimate.tables["scores"] = frame if old is None else pd.concat([old, frame], ignore_index=True)


def parity(
    window: str,
    held: Held,
    targets: dict[str, NDArray[Any]],
    rows: NDArray[np.bool_],
    caption: str = "Every point was predicted by experts that had seen no site of its material.",
) -> Picture:
    """Return parity, confusion and F1 of the sites."""
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
            [line(ends, ends, "perfect", "reference"), points(truth[few], found[few], "sites", size=2)],
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
    return Picture(
        f"parity_{window}",
        f"Answers and structures, {window} window",
        panels,
        caption,
        columns=3,
        width=10.0,
        height=3.4,
    )
