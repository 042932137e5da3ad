"""Train a model that fuses any subset of core-loss streams, and score it honestly.

In: a `SpectralSet`. Out: arrays and card of the family "fusion": bases of the blocks, whitened scores of
the training structures (simulated by this project), labels, groups; ablations with controls. The kernel
system is solved when a sample is asked, for the very streams it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.learn.calibration import area_under_curve, r_squared
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.fusion.intensities import METALS, noisy_ratios, with_ratios
from matterscope.spectra.fusion.kernels import Basis, Choice, choose, fit_basis, held_out
from matterscope.spectra.fusion.streams import blocks_of, stream_blocks
from matterscope.spectra.sets.assembly import STREAMS, SpectralSet
from matterscope.spectra.simulators.broadening import gaussian_broaden

Floats = NDArray[np.float64]

FOLDS = 6
RATIO_ERROR = 0.1
"""Relative error of one edge's intensity in the ablation: a calibrated cross-section; hydrogenic ones are off by 10–20 %."""
CONTENTS = {"Ni": "nickel_content", "Mn": "manganese_content", "Co": "cobalt_content"}
CONTINUOUS = (
    "lithium_content",
    "nickel_content",
    "manganese_content",
    "cobalt_content",
    "nickel_oxidation_state",
    "bond_length",
)
DEFECTS = ("oxygen_vacancy", "antisite")
TARGETS = (*CONTINUOUS, *DEFECTS)
BOUNDS = dict.fromkeys(TARGETS, (0.0, 1.0)) | {
    "nickel_oxidation_state": (1.8, 4.2),
    "bond_length": (1.5, 2.6),
}
NUISANCE = {"K": 1.5, "L23": 0.8, "noise": 0.004, "slope": 0.03}
"""Copies of the training spectra see: Gaussian width (standard deviation) up to this many eV by edge, noise
(of the maximum), slope over the window. The second half of the training rows."""


@dataclass
class Prepared:
    """What one subset of blocks needs to answer: weights, held-out predictions, their deviations."""

    choices: list[Choice]
    mean: Floats
    width: Floats


@dataclass
class FusionModel:
    """A fusion model in memory.

    Parameters
    ----------
    bases : dict of str to Basis
        By block.
    scores : dict of str to array (n, c)
        Of the training rows: clean spectra first, then their nuisance copies.
    targets : array of shape (n, t)
        In the order of `TARGETS`.
    groups : array of shape (n,)
        Parent structure of each row.
    limits : dict of str to (residual, distance)
        99th percentiles over held-out rows.
    """

    bases: dict[str, Basis]
    scores: dict[str, Floats]
    targets: Floats
    groups: NDArray[np.int64]
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    prepared: dict[tuple[str, ...], Prepared] = field(default_factory=dict)
    """By blocks asked about; filled when first asked."""

    def pack(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays; single precision for what is large."""
        arrays: dict[str, NDArray[Any]] = {
            "targets": self.targets.astype(np.float32),
            "groups": self.groups.astype(np.int32),
        }
        for block, basis in self.bases.items():
            arrays |= {
                f"{block}|mean": basis.mean.astype(np.float32),
                f"{block}|axes": basis.axes.astype(np.float32),
                f"{block}|scale": basis.scale,
                f"{block}|spread": np.array([basis.spread]),
                f"{block}|scores": self.scores[block].astype(np.float32),
                f"{block}|limits": np.array(self.limits[block]),
            }
        for names, ready in self.prepared.items():
            key = f"prepared/{'&'.join(names)}"
            arrays |= {
                f"{key}/weights": np.array([c.weights for c in ready.choices]),
                f"{key}/noise": np.array([c.noise for c in ready.choices]),
                f"{key}/mean": ready.mean.astype(np.float32),
                f"{key}/width": ready.width.astype(np.float32),
            }
        return arrays

    @classmethod
    def unpack(cls, arrays: dict[str, NDArray[Any]]) -> FusionModel:
        """Return the model that `pack` wrote."""
        blocks = sorted({name.partition("|")[0] for name in arrays if "|" in name})
        given = {name: np.asarray(a, dtype=float) for name, a in arrays.items() if name != "groups"}
        bases = {
            b: Basis(
                given[f"{b}|mean"],
                given[f"{b}|axes"],
                given[f"{b}|scale"],
                float(given[f"{b}|spread"][0]),
            )
            for b in blocks
        }
        limits = {b: (float(x[0]), float(x[1])) for b in blocks for x in [given[f"{b}|limits"]]}
        scores = {b: given[f"{b}|scores"] for b in blocks}
        prepared = {
            tuple(key.split("/")[1].split("&")): _read_prepared(given, key.removesuffix("/noise"))
            for key in given
            if key.startswith("prepared/") and key.endswith("/noise")
        }
        groups = arrays["groups"].astype(np.int64)
        return cls(bases, scores, given["targets"], groups, limits, prepared)


def _read_prepared(given: dict[str, Floats], key: str) -> Prepared:
    pairs = zip(given[f"{key}/weights"], given[f"{key}/noise"], strict=True)
    choices = [Choice(weights, float(noise)) for weights, noise in pairs]
    return Prepared(choices, given[f"{key}/mean"], given[f"{key}/width"])


def perturbed(stream: str, energy: Floats, mu: Floats, rng: np.random.Generator) -> Floats:
    """Return µ of a stream seen through a random width, slope and noise."""
    wide = gaussian_broaden(energy, mu, rng.uniform(0.0, NUISANCE[stream.partition("_")[2]]))
    tilt = rng.normal(0.0, NUISANCE["slope"]) * (energy - energy[0]) / np.ptp(energy)
    noise = rng.normal(0.0, NUISANCE["noise"] * float(mu.max()), len(mu))
    return np.asarray(wide * (1 + tilt) + noise)


def set_blocks(
    data: SpectralSet, rng: np.random.Generator | None = None
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """Return the blocks of all structures that have every stream, and which structures those are.

    With `rng`, the spectra pass through `perturbed` first.
    """
    rows: dict[str, list[Floats]] = {b: [] for s in STREAMS for b in blocks_of(s)}
    kept = []
    for index in range(len(data)):
        found: dict[str, Floats] = {}
        for stream in STREAMS:
            energy, mu = data.energy[stream], data.mu[stream][index]
            if np.isfinite(mu).all():
                seen = mu if rng is None else perturbed(stream, energy, mu, rng)
                found |= stream_blocks(stream, energy, seen)
        if set(found) >= set(rows):
            kept.append(index)
            for block, values in rows.items():
                values.append(found[block])
    return {b: np.array(v) for b, v in rows.items()}, np.array(kept, dtype=np.int64)


def fit_fusion(data: SpectralSet, rng: np.random.Generator) -> FusionModel:
    """Return a fusion model of a set: clean rows and one nuisance copy of each."""
    clean, kept = set_blocks(data)
    noisy, again = set_blocks(data, rng)
    both = {b: np.vstack([clean[b], noisy[b]]) for b in clean}
    rows = np.concatenate([kept, again])
    groups = pd.factorize(data.labels["parent"])[0].astype(np.int64)[rows]
    targets = data.labels[list(TARGETS)].to_numpy(dtype=float)[rows]
    bases = {b: fit_basis(v) for b, v in both.items()}
    model = FusionModel(bases, {b: bases[b].scores(v) for b, v in both.items()}, targets, groups)
    folds = grouped_folds(groups, min(10, len(set(groups.tolist()))))
    model.limits = {b: _limits(v, folds) for b, v in both.items()}
    for streams in SUBSETS.values():
        prepare(model, tuple(sorted(blocks_in(streams))))
    return model


def prepare(model: FusionModel, names: tuple[str, ...]) -> Prepared:
    """Return weights, held-out predictions and their errors for these blocks; computed once a model."""
    if names not in model.prepared:
        known = [model.scores[b] for b in names]
        half = len(model.targets) // 2  # weights from the clean rows: eight times faster
        choices = choose([k[:half] for k in known], model.targets[:half], _restricted(model, names))
        folds = grouped_folds(model.groups, min(FOLDS, len(set(model.groups.tolist()))))
        model.prepared[names] = Prepared(choices, *held_out(known, model.targets, folds, choices))
    return model.prepared[names]


def _restricted(model: FusionModel, names: tuple[str, ...]) -> list[Choice]:
    """Return the weights of these blocks in the choice for all blocks, where that was made."""
    every = tuple(sorted(model.bases))
    whole = model.prepared.get(every)
    if whole is None:
        return []
    kept = np.isin(every, names)
    rows = np.tile(kept, len(whole.choices[0].weights) // len(every))
    return [Choice(c.weights[rows], c.noise) for c in whole.choices]


def _limits(block: Floats, folds: Sequence[Any]) -> tuple[float, float]:
    """Return the 99th percentiles of residual and nearest distance over rows held out by parent."""
    residual, distance = np.empty(len(block)), np.empty(len(block))
    whole = fit_basis(block)
    for train, test in folds:
        basis = fit_basis(block[train])
        residual[test] = basis.residual(block[test]) * basis.spread / whole.spread
        distance[test] = nearest(whole.scores(block[test]), whole.scores(block[train]))
    return float(np.quantile(residual, 0.99)), float(np.quantile(distance, 0.99))


def nearest(asked: Floats, known: Floats, neighbours: int = 3) -> Floats:
    """Return the mean distance to the nearest training rows in score space."""
    apart = np.linalg.norm(asked[:, None] - known[None], axis=2)
    return np.asarray(np.sort(apart, axis=1)[:, :neighbours].mean(axis=1))


SUBSETS: dict[str, tuple[str, ...]] = {
    **{s: (s,) for s in STREAMS},
    "all K": tuple(s for s in STREAMS if s.endswith("_K")),
    "all L2,3": tuple(s for s in STREAMS if s.endswith("_L23")),
    "all": STREAMS,
}


def blocks_in(streams: Sequence[str]) -> list[str]:
    """Return the blocks of several streams."""
    return [b for s in streams for b in blocks_of(s)]


def score(truth: Floats, found: Floats, target: str) -> dict[str, float]:
    """Return MAE and R² of a content, AUC of a defect."""
    if target in DEFECTS:
        return {"auc": float(area_under_curve(truth, found))}
    return {
        "mae": float(np.abs(truth - found).mean()),
        "r2": float(r_squared(truth, found)),
    }


def ablation(
    data: SpectralSet,
    groups: NDArray[Any],
    *,
    folds: int = 10,
    subsets: dict[str, tuple[str, ...]] | None = None,
    shuffled: np.random.Generator | None = None,
    ratios: np.random.Generator | None = None,
) -> tuple[dict[str, Floats], Floats]:
    """Return held-out predictions (n, t) by subset of streams, early and late fusion, and the truth.

    "late" weighs the single streams by their inverse held-out error. "volume" is the control: the cell
    volume alone. With `shuffled`, labels are permuted over structures first: no skill may remain. With
    `ratios`, two rows more: all streams with noisy ratios of the metals, and those ratios alone.
    Bases are fitted to all spectra (no labels enter them).
    """
    clean, kept = set_blocks(data)
    targets = data.labels[list(TARGETS)].to_numpy(dtype=float)[kept]
    if shuffled is not None:
        targets = targets[shuffled.permutation(len(targets))]
    scores = {b: fit_basis(v).scores(v) for b, v in clean.items()}
    parts = grouped_folds(groups[kept], min(folds, len(set(groups[kept].tolist()))))
    found, widths = {}, {}
    for name, streams in (subsets or SUBSETS).items():
        known = [scores[b] for b in blocks_in(streams)]
        found[name], widths[name] = held_out(known, targets, parts)
    single = [s for s in STREAMS if s in found]
    if len(single) > 1:
        weights = np.array([1 / ((found[s] - targets) ** 2).mean(axis=0) for s in single])
        stacked = np.array([found[s] for s in single])
        found["late"] = (weights[:, None] * stacked).sum(axis=0) / weights.sum(axis=0)
    volume = data.labels["volume"].to_numpy(dtype=float)[kept]
    found["volume"] = line_through(volume, targets, parts)
    if "all" in found and ratios is not None:
        name = f"metal ratios ±{RATIO_ERROR:.0%}"
        both = corrected(found["all"], widths["all"], targets, ratios)
        found |= {f"all, {name}": both, f"{name} alone": _ratios_alone(targets, parts, ratios)}
    return found, targets


def corrected(found: Floats, widths: Floats, targets: Floats, rng: np.random.Generator) -> Floats:
    """Return held-out predictions (n, t) that also saw noisy ratios of the metals.

    The errors of all held-out rows give the correlation of the targets; each row has its own widths.
    """
    correlation = np.corrcoef(((targets - found) / widths).T)
    metals = [TARGETS.index(CONTENTS[m]) for m in METALS]
    out = np.empty_like(found)
    for row, (mean, width) in enumerate(zip(found, widths, strict=True)):
        seen = noisy_ratios(targets[row, metals], RATIO_ERROR, rng)
        out[row] = with_ratios(
            mean, correlation * np.outer(width, width), dict(zip(METALS, metals, strict=True)), seen
        )[0]
    return out


def _ratios_alone(targets: Floats, parts: Sequence[Any], rng: np.random.Generator) -> Floats:
    """Return what the ratios say by themselves: the control of `corrected`, from means and covariances."""
    out = np.empty_like(targets)
    metals = [TARGETS.index(CONTENTS[m]) for m in METALS]
    for train, test in parts:
        mean, covariance = targets[train].mean(axis=0), np.cov(targets[train].T)
        for row in test:
            seen = noisy_ratios(targets[row, metals], RATIO_ERROR, rng)
            out[row] = with_ratios(mean, covariance, dict(zip(METALS, metals, strict=True)), seen)[
                0
            ]
    return out


def line_through(volume: Floats, targets: Floats, parts: Sequence[Any]) -> Floats:
    """Return held-out predictions (n, t) of a parabola in the cell volume (n,) alone: the control."""
    matrix = np.stack([np.ones_like(volume), volume, volume**2], axis=1)
    out = np.empty(targets.shape)
    for train, test in parts:
        out[test] = matrix[test] @ np.linalg.lstsq(matrix[train], targets[train], rcond=None)[0]
    return out


def ablation_table(found: dict[str, Floats], targets: Floats) -> pd.DataFrame:
    """Return one row per subset of streams and one column per target's score."""
    rows = []
    for name, values in found.items():
        row: dict[str, Any] = {"streams": name}
        for column, target in enumerate(TARGETS):
            for kind, value in score(targets[:, column], values[:, column], target).items():
                row[f"{target}_{kind}"] = value
        rows.append(row)
    return pd.DataFrame(rows)


def gain(
    found: dict[str, Floats],
    targets: Floats,
    groups: NDArray[Any],
    rng: np.random.Generator,
    target: str = "lithium_content",
    draws: int = 2000,
) -> dict[str, Any]:
    """Return MAE(all)/MAE(best single stream) with its 95 % interval from resampling parents.

    The best stream is chosen again in every draw, as a user would.
    """
    column = TARGETS.index(target)
    single = [s for s in STREAMS if s in found]
    errors = {n: np.abs(found[n][:, column] - targets[:, column]) for n in (*single, "all", "late")}
    names, codes = np.unique(groups, return_inverse=True)
    counts = np.array(
        [
            np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
            for _ in range(draws)
        ]
    )
    sums = {n: np.bincount(codes, weights=e, minlength=len(names)) for n, e in errors.items()}
    best = np.min([counts @ sums[s] for s in single], axis=0)
    ratio = (counts @ sums["all"]) / best
    means = {n: float(e.mean()) for n, e in errors.items()}
    top = min(single, key=lambda s: means[s])
    return {
        "ratio": means["all"] / means[top],
        "low": float(np.quantile(ratio, 0.025)),
        "high": float(np.quantile(ratio, 0.975)),
        "best_stream": top,
        "mae": means,
    }
