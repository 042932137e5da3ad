"""How good levels of a host are that nobody has seen: whole hosts left out, scored beside their mean.

In: complete defects of several hosts. Out: one row per level of every impurity, predicted without its host
(with and without the host's own native defects), and scores: pooled, by host, within the domain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import DataError
from matterscope.learn.splits import grouped_folds
from matterscope.materials.transitions.features import Known, describe
from matterscope.materials.transitions.models import LevelModel, failures
from matterscope.materials.transitions.tables import LEVELS, levels_of

Array = NDArray[np.float64]
CLASSIC = ("CdS", "CdTe", "ZnSe", "ZnTe", "AlAs", "AlSb", "GaP", "GaSb", "InP", "InAs", "InSb")
"""The zinc-blende hosts usually tabulated; one line of the report, no special case of the method."""
OUTER_FOLDS = 7
FAR = 1.0
"""Hosts farther than this many host spacings from the second nearest training host are out of domain."""
EASIER = {"impurity": 10, "fold": 5}
"""Groups of the protocols that leave something else than hosts out; for the card only."""
PROTOCOLS = {"name": False, "natives": True}
"""What is known of the host left out: name, gap and lattice constant; or its native defects as well."""


def fold_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Learn everything without a fold of hosts, then predict each of them from the rows of all the others.

    Frame, hyper-parameters, share and width of the bars know nothing of the fold. With the protocol
    "natives" the native defects of the host asked about count as known; nothing else of it does.
    """
    table, held = item["table"], item["held"]
    inside = np.isin(table["host"].to_numpy(dtype=str), held)
    rest = table[~inside].reset_index(drop=True)
    base = LevelModel().fit(rest, item["known"], item["seed"], energies=False)
    more = base.extended(table[inside], item["known"], ready=False)
    index = np.concatenate([np.full(len(base.rows), -1), np.flatnonzero(inside)])
    native = table.loc[inside, "native"].to_numpy(dtype=bool)
    judged = np.concatenate([np.zeros(len(base.rows), dtype=bool), ~native])
    host = more.rows["host"].to_numpy(dtype=str)
    partitions = {}
    for protocol, own in PROTOCOLS.items():
        # the rows left out together: the whole host, or its impurities alone
        aside = (judged if own else np.ones(len(index), dtype=bool)) & (index >= 0)
        groups = [np.flatnonzero((host == name) & aside) for name in held]
        if native.any() or not own:
            partitions[protocol] = [g for g in groups if judged[g].any()]
    answers = more.left_out(list(partitions.values()))
    found = {
        protocol: _answers((base, more), groups, answer, (judged, index), item)
        for (protocol, groups), answer in zip(partitions.items(), answers, strict=True)
    }
    return {"found": found, "share": base.share, "inflation": base.inflation}


def _answers(
    models: tuple[LevelModel, LevelModel], groups: list[NDArray[np.int64]], answer: tuple[Array, Array],
    rows_of: tuple[NDArray[np.bool_], NDArray[np.int64]], item: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return levels and bars of the judged rows of each group, without the rows of the group."""
    base, more = models
    judged, index = rows_of
    assert base.frame is not None
    scaled, spread = answer
    places = describe(more.rows, item["known"]).blocks["trend"]
    found = []
    for group in groups:
        rows = group[judged[group]]
        forest = more.forest_without(group, item["seed"], item["known"])
        mixed = base.share * scaled[rows] + (1 - base.share) * forest[np.isin(group, rows)]
        sigma = np.sqrt(spread[rows]) * base.frame.unit(places[rows])[:, None] * base.inflation
        found.append(
            {
                "index": index[rows], "levels": base.frame.levels(mixed, places[rows]), "sigma": sigma,
                "distance": more.distance_without(group, rows), "widths": {str(k): v for k, v in base.quantiles.items()},
            }
        )  # fmt: skip
    return found


def leave_hosts_out(table: pd.DataFrame, known: Known, call: Call) -> dict[str, pd.DataFrame]:
    """Return for each protocol one row per level of every impurity, predicted without its host.

    Returns
    -------
    dict of protocol to DataFrame
        "name", and "natives" where the table holds native defects.

    Raises
    ------
    DataError
        With fewer than two hosts.
    """
    names = np.unique(table["host"].to_numpy(dtype=str))
    if len(names) < 2:
        raise DataError(
            "leaving hosts out needs ≥ 2 hosts",
            got=", ".join(names),
            hint="add defects of another host, or use a trained model",
        )
    order = np.random.default_rng(call.seed).permutation(names)
    parts = np.array_split(order, min(OUTER_FOLDS, len(names)))
    items = [{"table": table, "held": list(p), "known": known, "seed": call.seed} for p in parts]
    results = call.map(fold_unit, items, "leave-hosts-out")
    answers = {}
    for protocol in PROTOCOLS:
        parts_found = [part for r in results for part in r["found"].get(protocol, [])]
        if parts_found:
            answers[protocol] = _level_rows(table, parts_found)
    return answers


def easier_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Learn without the impurities (or defects) left out, and predict them in hosts that are known."""
    table, held = item["table"], item["held"]
    asked = held & ~table["native"].to_numpy(dtype=bool)
    rest = table[~held].reset_index(drop=True)
    model = LevelModel().fit(rest, item["known"], item["seed"], energies=False)
    found = model.predict(table[asked], item["known"])
    widths = {str(k): v for k, v in model.quantiles.items()}
    return {
        "index": np.flatnonzero(asked), "levels": found.levels, "sigma": found.sigma,
        "distance": found.distance, "widths": widths,
    }  # fmt: skip


def leave_groups_out(table: pd.DataFrame, known: Known, by: str, call: Call) -> pd.DataFrame:
    """Return one row per level of every impurity, predicted without its group in hosts that are known.

    Easier than `leave_hosts_out` and no headline: the bars are those of new hosts, and too wide here.

    Parameters
    ----------
    by : str
        "impurity": ten groups of elements, with all their defects in all hosts; "fold": fifths of whole defects.

    Raises
    ------
    DataError
        With fewer than ten impurities, or fewer than five defects.
    """
    names = table["impurity"].to_numpy(dtype=str) if by == "impurity" else np.arange(len(table))
    wanted = EASIER[by]
    if len(np.unique(names)) < wanted:
        raise DataError(
            f"too few groups to leave out by {by}", got=len(np.unique(names)), expected=f"at least {wanted}"
        )  # fmt: skip
    items = []
    for _, test in grouped_folds(names, wanted, call.seed):
        held = np.zeros(len(table), dtype=bool)
        held[test] = True
        items.append({"table": table, "held": held, "known": known, "seed": call.seed})
    return _level_rows(table, call.map(easier_unit, items, f"leave-{by}-out"))


def _level_rows(table: pd.DataFrame, parts: list[dict[str, Any]]) -> pd.DataFrame:
    truth, failed = levels_of(table), failures(table)
    host = table["host"].to_numpy(dtype=str)
    others_of = {name: truth[host != name].mean(0) for name in np.unique(host)}
    rows = []
    for part in parts:
        for k, index in enumerate(part["index"]):
            entry = table.iloc[int(index)]
            others = others_of[entry["host"]]
            rows += [
                {
                    "host": entry["host"], "impurity": entry["impurity"], "site": entry["site"],
                    "level": name, "truth": truth[index, c], "value": part["levels"][k, c],
                    "sigma": part["sigma"][k, c], "half_68": part["sigma"][k, c] * part["widths"]["0.68"],
                    "half_95": part["sigma"][k, c] * part["widths"]["0.95"], "distance": part["distance"][k],
                    "mean_of_others": others[c], "failed": bool(failed[index]),
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
