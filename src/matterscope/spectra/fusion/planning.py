"""Planning: which further edge shrinks the interval of a target most, for what the user holds already.

In: a built set, or a fusion model that holds one, and the edges measured so far. Out: for every candidate the
interval and the error on structures whose parents were left out, the shrinkage with its bootstrap, and its cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.models import model_file
from matterscope.core.pictures import Panel, Picture, bars, mark
from matterscope.learn.conformal import split_quantile
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.fusion.kernels import choose, fit_basis, held_out
from matterscope.spectra.fusion.training import TARGETS, FusionModel, blocks_in, set_blocks
from matterscope.spectra.learned.models import Model, open_model, shipped_models
from matterscope.spectra.sets.assembly import STREAMS, assemble

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import PlanSettings

Floats = NDArray[np.float64]

LEVEL = 0.9
FOLDS = 6
DRAWS = 1000
LEAST_PARENTS = 12


@dataclass(frozen=True)
class Known:
    """Structures with every stream and one target.

    Parameters
    ----------
    scores : dict of str to array (n, c)
        Of each block.
    truth : array of shape (n,)
    groups : array of shape (n,)
        Parent structure: no fold shares one.
    """

    scores: dict[str, Floats]
    truth: Floats
    groups: NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """Held-out errors and interval half widths (n,) with one set of streams."""

    error: Floats
    half: Floats


def plan_edges(inputs: list[Input], settings: PlanSettings, call: Call) -> list[Estimate]:
    """Plan the next edge from every built folder, or from the set inside a fusion model."""
    if inputs:
        return [_plan(Estimate("spectra plan", g.ref), _from_folder(g, settings), settings, call) for g in inputs]  # fmt: skip
    model = _fusion_model(settings.model)
    estimate = Estimate("spectra plan", InputRef(model.name, "", model.sha256))
    estimate.provenance |= {"model": model.name, "population": model.card["population"]}
    return [_plan(estimate, _from_model(model, settings.target), settings, call)]


def _fusion_model(given: str) -> Model:
    paths = {p.name.removesuffix(".model.npz"): p for p in shipped_models()}
    if given:
        model = open_model(paths[given] if given in paths else model_file(given))
        if model.family != "fusion":
            raise ConfigError("this model takes one edge: there is nothing to plan", got=model.name)
        return model
    return next(m for m in map(open_model, paths.values()) if m.family == "fusion")


def _from_model(model: Model, target: str) -> Known:
    fusion = FusionModel.unpack(model.arrays)
    half = len(fusion.targets) // 2  # the clean rows; the others are their nuisance copies
    scores = {b: s[:half] for b, s in fusion.scores.items()}
    return Known(scores, fusion.targets[:half, TARGETS.index(target)], fusion.groups[:half])


def _from_folder(given: Input, settings: PlanSettings) -> Known:
    if given.path is None or not given.path.is_dir():
        raise DataError("a folder of `spectra build` is needed", where=given.source)
    data = assemble(given.path)
    clean, kept = set_blocks(data)
    if not kept.size:
        raise DataError("no structure of this set has every stream", where=given.source)
    scores = {b: fit_basis(v).scores(v) for b, v in clean.items()}
    truth = data.labels[settings.target].to_numpy(dtype=float)[kept]
    return Known(scores, truth, data.labels["parent"].to_numpy()[kept])


def stream_named(text: str) -> str:
    """Return the stream of an edge as the user writes it: ``Ni:K`` → ``Ni_K``, ``Ni:L3`` → ``Ni_L23``.

    Raises
    ------
    ConfigError
        For an edge that no model here fuses.
    """
    element, _, edge = text.partition(":")
    name = f"{element}_{'L23' if edge.upper() in ('L2', 'L3', 'L23') else edge.upper()}"
    if name not in STREAMS:
        expected = ", ".join(s.replace("_", ":") for s in STREAMS)
        raise ConfigError(f"'{text}' is none of the edges that are fused", expected=expected)
    return name


def read_costs(entries: tuple[str, ...]) -> dict[str, float]:
    """Return stream → cost from entries like ``Ni:L3=2``.

    Raises
    ------
    ConfigError
        When an entry is no edge with a positive number.
    """
    costs = dict.fromkeys(STREAMS, 1.0)
    for entry in entries:
        edge, _, number = entry.partition("=")
        try:
            costs[stream_named(edge)] = float(number)
        except ValueError as error:
            raise ConfigError("a cost is EDGE=NUMBER", got=entry) from error
        if costs[stream_named(edge)] <= 0:
            raise ConfigError("a cost is positive", got=entry)
    return costs


def score_streams(known: Known, streams: tuple[str, ...]) -> Scored:
    """Return held-out errors and half widths of the 90 % interval with these streams; none: the mean alone."""
    parts = grouped_folds(known.groups, min(FOLDS, len(set(known.groups.tolist()))))
    truth = known.truth[:, None]
    if not streams:
        found, width = np.empty_like(truth), np.empty_like(truth)
        for train, test in parts:
            found[test], width[test] = truth[train].mean(), truth[train].std()
    else:
        own = [known.scores[b] for b in blocks_in(streams)]
        found, width = held_out(own, truth, parts, choose(own, truth))
    error = np.abs(found - truth)[:, 0]
    ratio = error / width[:, 0]
    half = np.empty_like(error)
    for train, test in parts:  # each fold's interval from the ratios of the others
        half[test] = split_quantile(ratio[train], LEVEL) * width[test, 0]
    return Scored(error, half)


def _plan(estimate: Estimate, known: Known, settings: PlanSettings, call: Call) -> Estimate:
    have = tuple(dict.fromkeys(stream_named(e) for e in settings.have))
    costs = read_costs(settings.costs)
    parents = len(set(known.groups.tolist()))
    if parents < LEAST_PARENTS:
        raise DataError(
            "too few independent structures to plan with", got=parents, expected=f"at least {LEAST_PARENTS}"
        )  # fmt: skip
    candidates = [s for s in STREAMS if s not in have]
    if not candidates:
        raise ConfigError(
            "every edge of the model is measured already", got=", ".join(settings.have)
        )
    now = score_streams(known, have)
    rng = call.rng("bootstrap")
    rows = []
    for number, stream in enumerate(candidates):
        then = score_streams(known, (*have, stream))
        rows.append(_row(stream, now, then, known.groups, costs[stream], rng))
        call.progress(number + 1, len(candidates), "candidate edges")
    table = pd.DataFrame(rows).sort_values("gain_per_cost", ascending=False, ignore_index=True)
    _tell(estimate, table, now, settings, parents)
    return estimate


def _row(
    stream: str,
    now: Scored,
    then: Scored,
    groups: NDArray[Any],
    cost: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    names, codes = np.unique(groups, return_inverse=True)
    before = np.bincount(codes, weights=now.half)
    after = np.bincount(codes, weights=then.half)
    error = np.bincount(codes, weights=then.error), np.bincount(codes, weights=now.error)
    drawn = rng.integers(0, len(names), (DRAWS, len(names)))
    ratio = after[drawn].sum(axis=1) / before[drawn].sum(axis=1)
    low, high = np.quantile(ratio, [0.05, 0.95])
    shrunk = float(1 - after.sum() / before.sum())
    return {
        "edge": stream.replace("_", ":"),
        "half_width_90": float(then.half.mean()),
        "mean_absolute_error": float(then.error.mean()),
        "interval_ratio": 1 - shrunk,
        "interval_ratio_low": float(low),
        "interval_ratio_high": float(high),
        "error_ratio": float(error[0].sum() / error[1].sum()),
        "coverage": float(np.mean(then.error <= then.half)),
        "cost": cost,
        "gain_per_cost": shrunk / cost,
    }


def _tell(
    estimate: Estimate, table: pd.DataFrame, now: Scored, settings: PlanSettings, parents: int
) -> None:
    best = table.iloc[0]
    units = "Å" if settings.target == "bond_length" else "1"
    table.attrs["units"] = {"half_width_90": units, "mean_absolute_error": units}
    estimate.tables["candidates"] = table
    held = ", ".join(settings.have) or "nothing"
    estimate.quantities["next_edge"] = Quantity(
        str(best["edge"]), "1", reason=f"largest shrinkage of the interval for its cost, with {held} at hand"
    )  # fmt: skip
    band = Interval(0.9, float(best["interval_ratio_low"]), float(best["interval_ratio_high"]))
    estimate.quantities["interval_ratio"] = Quantity(
        float(best["interval_ratio"]), "1", intervals=(band,)
    )
    estimate.diagnostics |= {
        "target": settings.target,
        "have": list(settings.have),
        "half_width_now": float(now.half.mean()),
        "coverage_now": float(np.mean(now.error <= now.half)),
        "parents": parents,
        "protocol": f"{FOLDS} folds that share no parent; intervals of a fold from the others",
    }
    estimate.provenance["references"] = ["arXiv 2501.08919"]
    if best["interval_ratio_high"] >= 1.0:
        estimate.flag(
            "no_gain_shown",
            f"No further edge was shown to shrink the interval of {settings.target.replace('_', ' ')}.",
            "repeat the edges at hand with less noise, or give ratios from edge intensities (infer --ratios)",
        )
    second = table.iloc[1] if len(table) > 1 else None
    if second is not None and second["interval_ratio_low"] < best["interval_ratio_high"] and second["cost"] == best["cost"]:  # fmt: skip
        estimate.flag(
            "plan_is_close",
            f"{second['edge']} does as well within the scatter of the structures.",
            "take the one that is easier to measure",
        )
    estimate.pictures.append(_picture(table, now, settings, units))


def _picture(table: pd.DataFrame, now: Scored, settings: PlanSettings, units: str) -> Picture:
    place, edges = np.arange(len(table)), [str(e) for e in table["edge"]]
    level = float(now.half.mean())
    name = settings.target.replace("_", " ") + (f" / {units}" if units != "1" else "")
    widths = bars(
        place, table["half_width_90"], "with this edge too",
        y_low=table["interval_ratio_low"] * level, y_high=table["interval_ratio_high"] * level,
    )  # fmt: skip
    first = Panel(
        [widths, mark(y=[level], label="now")], "", f"half width of {name}", x_ticks=edges,
        y_range=(0.0, 1.3 * max(level, float(table["half_width_90"].max()))),
    )  # fmt: skip
    second = Panel(
        [bars(place, 100 * table["gain_per_cost"], "for its cost")], "", "shrinkage / % per cost", x_ticks=edges
    )  # fmt: skip
    held = ", ".join(settings.have) or "nothing"
    caption = f"At hand: {held}. 90 % intervals on left-out parents; error bars: parents drawn with replacement (90 %)."
    return Picture(
        "plan", "The next edge", [first, second], caption, columns=2, width=10.0, height=3.8
    )
