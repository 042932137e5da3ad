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
from matterscope.materials.level_features import Known
from matterscope.materials.level_models import LevelModel, failures
from matterscope.materials.level_persistence import save_levels
from matterscope.materials.level_pictures import calibration_picture, hosts_picture, parity_picture
from matterscope.materials.level_tables import LEVELS, VACANCY, levels_of, read_levels

Array = NDArray[np.float64]
CLASSIC = ("CdS", "CdTe", "ZnSe", "ZnTe", "AlAs", "AlSb", "GaP", "GaSb", "InP", "InAs", "InSb")
"""The zinc-blende hosts usually tabulated; one line of the report, no special case of the method."""
FEWEST = 30
OUTER_FOLDS = 4
FAR = 1.0
"""Hosts farther than this many host spacings from the second nearest training host are out of domain."""
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


def fold_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Learn hyper-parameters without a fold of hosts, then predict each of them from all the others.

    With ``own`` the native defects of the left-out host count as known; nothing else of it does.
    """
    table, held, own = item["table"], item["held"], item["own"]
    inside = np.isin(table["host"].to_numpy(dtype=str), held)
    base = LevelModel().fit(table[~inside].reset_index(drop=True), item["known"], item["seed"])
    assert base.frame is not None
    more = base.extended(table[inside], item["known"], ready=False)
    index = np.concatenate([np.full(len(base.rows), -1), np.flatnonzero(inside)])
    host = more.rows["host"].to_numpy(dtype=str)
    judged = np.concatenate(
        [np.zeros(len(base.rows), dtype=bool), ~table.loc[inside, "native"].to_numpy(dtype=bool)]
    )
    # the rows left out together: the whole host, or its impurities alone
    aside = judged if own else np.ones(len(host), dtype=bool)
    groups = [np.flatnonzero((host == name) & aside & (index >= 0)) for name in held]
    mean, variance = more.left_out([g for g in groups if g.size])
    gap = more.rows["gap"].to_numpy(dtype=float)
    scaled = (mean * more.frame.size) @ more.frame.basis if more.frame is not None else mean
    spread = (variance * base.frame.size**2) @ base.frame.basis**2
    found = []
    for group in groups:
        rows = group[judged[group]]
        if not rows.size:
            continue
        forest = more.forest_without(group, item["seed"], item["known"])
        mixed = base.share * scaled[rows] + (1 - base.share) * forest[np.isin(group, rows)]
        sigma = np.sqrt(spread[rows]) * base.frame.unit(gap[rows])[:, None] * base.inflation
        found.append(
            {
                "index": index[rows], "levels": base.frame.levels(mixed, gap[rows]), "sigma": sigma,
                "distance": more.distance_without(group, rows), "widths": {str(k): v for k, v in base.quantiles.items()},
            }
        )  # fmt: skip
    return {"found": found, "share": base.share, "inflation": base.inflation}


def leave_hosts_out(
    table: pd.DataFrame, known: Known, call: Call, *, own: bool = False
) -> pd.DataFrame:
    """Return one row per level of every impurity, predicted without its host.

    Raises
    ------
    DataError
        With fewer than two hosts.
    """
    host = table["host"].to_numpy(dtype=str)
    names = np.unique(host)
    if len(names) < 2:
        raise DataError(
            "leaving hosts out needs ≥ 2 hosts",
            got=", ".join(names),
            hint="add defects of another host, or use a trained model",
        )
    order = np.random.default_rng(call.seed).permutation(names)
    parts = np.array_split(order, min(OUTER_FOLDS, len(names)))
    items = [
        {"table": table, "held": list(p), "known": known, "seed": call.seed, "own": own}
        for p in parts
    ]
    results = call.map(fold_unit, items, "leave-hosts-out")
    truth, failed = levels_of(table), failures(table)
    rows = []
    for result in results:
        for part in result["found"]:
            for k, index in enumerate(part["index"]):
                entry = table.iloc[int(index)]
                rows += [
                    {
                        "host": entry["host"], "impurity": entry["impurity"], "site": entry["site"],
                        "level": name, "truth": truth[index, c], "value": part["levels"][k, c],
                        "sigma": part["sigma"][k, c], "half_68": part["sigma"][k, c] * part["widths"]["0.68"],
                        "half_95": part["sigma"][k, c] * part["widths"]["0.95"], "distance": part["distance"][k],
                        "mean_of_others": truth[host != entry["host"], c].mean(),
                        "failed": bool(failed[index]),
                    }
                    for c, name in enumerate(LEVELS)
                ]  # fmt: skip
    return pd.DataFrame(rows)


def score_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return pooled and per-host scores, baseline and coverage for all hosts and the usual subsets."""
    near = predictions["distance"] <= FAR
    wide = _far_hosts(predictions)
    subsets = {
        "all hosts": np.ones(len(predictions), dtype=bool),
        "classic hosts": predictions["host"].isin(CLASSIC).to_numpy(),
        "hosts within the domain": (near & ~predictions["host"].isin(wide)).to_numpy(),
    }
    if "failed" in predictions:
        subsets["all hosts, without failed calculations"] = ~predictions["failed"].to_numpy(
            dtype=bool
        )
    rows = []
    for name, mask in subsets.items():
        part = predictions[mask]
        if not len(part):
            continue
        error = (part["value"] - part["truth"]).to_numpy()
        blind = (part["mean_of_others"] - part["truth"]).to_numpy()
        hosts = part["host"].to_numpy()
        each = [float(np.sqrt(np.mean(error[hosts == h] ** 2))) for h in np.unique(hosts)]
        rows.append(
            {
                "subset": name, "hosts": len(each), "levels": len(part),
                "rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.abs(error).mean()),
                "macro_rmse": float(np.mean(each)), "median_host_rmse": float(np.median(each)),
                "blind_rmse": float(np.sqrt(np.mean(blind**2))), "blind_mae": float(np.abs(blind).mean()),
                "z_std": float(np.std(error / part["sigma"])),
                "coverage_68": float(np.mean(np.abs(error) <= part["half_68"])),
                "coverage_95": float(np.mean(np.abs(error) <= part["half_95"])),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _far_hosts(predictions: pd.DataFrame) -> list[str]:
    return [str(h) for h, rows in predictions.groupby("host") if (rows["distance"] > FAR).any()]


def host_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each host, the farthest first."""
    rows = []
    for host, part in predictions.groupby("host"):
        error = (part["value"] - part["truth"]).to_numpy()
        rows.append(
            {
                "host": host, "defects": len(part) // len(LEVELS), "rmse": float(np.sqrt(np.mean(error**2))),
                "mae": float(np.abs(error).mean()), "bias": float(error.mean()),
                "z_std": float(np.sqrt(np.mean((error / part["sigma"]) ** 2))),
                "distance": float(part["distance"].max()), "in_domain": bool((part["distance"] <= FAR).all()),
                "blind_rmse": float(np.sqrt(np.mean((part["mean_of_others"] - part["truth"]) ** 2))),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values("distance", ascending=False, ignore_index=True)


def train_levels(inputs: list[Input], settings: Any, call: Call) -> list[Estimate]:
    """Fit and validate a model of transition levels."""
    if settings.leave_out not in ("auto", "host"):
        raise ConfigError(
            "leave_out of materials train is not known for levels",
            got=settings.leave_out,
            expected="auto or host (rows of one defect in training and test would leak)",
        )
    table, known, notes = gather(inputs)
    predictions = leave_hosts_out(table, known, call)
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
    _flag_hosts(answer, host_table(predictions))
    answer.quantities["level_rmse"] = _scored(predictions)
    answer.tables |= {
        "scores": scores,
        "hosts": host_table(predictions),
        "predictions": predictions,
    }
    answer.provenance |= {
        "references": REFERENCES,
        "model": saved["name"],
        "population": card["population"],
    }
    answer.pictures += [
        parity_picture(predictions),
        hosts_picture(host_table(predictions)),
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
