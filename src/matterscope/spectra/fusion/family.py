"""Answer with the family "fusion": lithium, metals, charge and defects from whatever edges there are.

In: examined spectra of one sample. Out: one estimate: intervals calibrated for the very streams present,
defect probabilities, gates (domain per edge, agreement of the edges, charge balance), pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate, Interval, Quantity, gaussian, refused
from matterscope.core.pictures import Panel, Picture, bars, points
from matterscope.learn.conformal import split_quantile
from matterscope.spectra.fusion.domain import overlays, title, usable_blocks
from matterscope.spectra.fusion.intensities import METALS, read_ratios, with_ratios
from matterscope.spectra.fusion.kernels import posterior
from matterscope.spectra.fusion.streams import blocks_of, stream_blocks, without_steps
from matterscope.spectra.fusion.training import (
    BOUNDS,
    CONTENTS,
    CONTINUOUS,
    DEFECTS,
    TARGETS,
    FusionModel,
    prepare,
)
from matterscope.spectra.measured.quality import is_simulated

if TYPE_CHECKING:
    from matterscope.core.calls import Call
    from matterscope.spectra.learned.models import Model
    from matterscope.spectra.measured.quality import Examined
    from matterscope.spectra.settings import InferSettings

Floats = NDArray[np.float64]

UNITS = dict.fromkeys(TARGETS, "1") | {"bond_length": "Å"}
FIXED = 0.7
"""Share of the population's spread above which an answer says next to nothing."""


@dataclass(frozen=True)
class Fused:
    """Predictions for one sample from the blocks that were used.

    Parameters
    ----------
    mean, width : arrays of shape (t,)
        Posterior mean and standard deviation in the order of `TARGETS`.
    covariance : array of shape (t, t)
        The widths, correlated like the errors of held-out rows.
    scores : array of shape (n, t)
        |y − ŷ|/σ̂ of held-out training rows with the same blocks: what the intervals are cut from.
    probability : array of shape (d,)
        Of each defect, calibrated on held-out rows.
    """

    mean: Floats
    width: Floats
    covariance: Floats
    scores: Floats
    probability: Floats


def fuse_blocks(
    model: FusionModel,
    blocks: dict[str, Floats],
    ratios: Sequence[tuple[str, str, float, float]] = (),
) -> Fused:
    """Return predictions from the blocks given; any non-empty subset of the model's blocks will do."""
    names = tuple(sorted(blocks))
    ready = prepare(model, names)
    asked = [model.bases[b].scores(blocks[b])[None] for b in names]
    means, widths = posterior([model.scores[b] for b in names], model.targets, asked, ready.choices)
    mean, width = means[0], widths[0]
    errors = (model.targets - ready.mean) / ready.width
    covariance = np.corrcoef(errors.T) * np.outer(width, width)
    if ratios:
        columns = {metal: TARGETS.index(CONTENTS[metal]) for metal in METALS}
        mean, covariance = with_ratios(mean, covariance, columns, ratios)
        width = np.sqrt(np.diag(covariance))
    probability = [
        _platt(ready.mean[:, c], model.targets[:, c], mean[c])
        for c in (TARGETS.index(d) for d in DEFECTS)
    ]
    return Fused(mean, width, covariance, np.abs(errors), np.array(probability))


def _platt(found: Floats, truth: Floats, asked: float) -> float:
    """Return P(1 | asked) from a logistic line through held-out predictions, with a weak prior."""
    centre, scale = float(found.mean()), max(float(found.std()), 1e-9)
    x = np.stack([np.ones_like(found), (found - centre) / scale], axis=1)
    weights = np.zeros(2)
    for _ in range(30):  # Newton's method; converges in a few steps
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - truth) + 0.1 * weights
        curve = (x * (p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(2)
        weights -= np.linalg.solve(curve, slope)
    return float(1 / (1 + np.exp(-(weights[0] + weights[1] * (asked - centre) / scale))))


def stream_of(seen: Examined) -> str:
    """Return the stream of an examined spectrum: ``"Ni_K"``, ``"Co_L23"``."""
    return f"{seen.element}_{'L23' if seen.edge in ('L3', 'L2', 'L23') else seen.edge}"


def answer_fusion(
    model: Model, parts: list[tuple[Estimate, Examined]], settings: InferSettings, call: Call
) -> list[Estimate]:
    """Answer a sample from all its spectra together; without ``--sample`` there is one spectrum."""
    if "fusion" not in model.parsed:
        model.parsed["fusion"] = FusionModel.unpack(model.arrays)
    fusion: FusionModel = model.parsed["fusion"]
    estimate = parts[0][0]
    if len(parts) > 1:  # say which edge each finding is about
        name = f"{parts[0][1].element} {parts[0][1].edge}"
        estimate.flags = [replace(f, message=f"{name}: {f.message}") for f in estimate.flags]
    for number, (other, seen) in enumerate(parts[1:], 2):
        for entry in other.flags:
            estimate.flag(entry.code, f"{seen.element} {seen.edge}: {entry.message}", entry.remedy)
        # pictures are stored by name: those of the second edge would replace those of the first
        estimate.pictures += [replace(p, name=f"{p.name}-{number}") for p in other.pictures]
    card = model.card
    estimate.provenance |= {
        "model": model.name,
        "model_sha256": model.sha256,
        "population": card["population"],
        "training_data": card["training_data"],
    }
    estimate.provenance["references"] = [
        *estimate.provenance.get("references", []),
        *card.get("references", []),
    ]
    blocks = _collect(estimate, fusion, parts)
    used = usable_blocks(estimate, fusion, blocks)
    estimate.pictures += overlays(estimate, fusion, blocks)
    ratios = _ratios(estimate, parts, settings)
    if not used:
        _refuse_all(estimate, blocks)
        _contents_from_ratios(estimate, fusion, ratios, call)
        return [estimate]
    fused = fuse_blocks(fusion, used, ratios)
    _quantities(estimate, fused, call)
    _tell_unfixed(estimate, fused, fusion)
    _check_balance(estimate)
    _compare_edges(estimate, fusion, used, fused)
    estimate.diagnostics["streams"] = sorted({b.rstrip("+") for b in used})
    return [estimate]


def _ratios(
    estimate: Estimate, parts: list[tuple[Estimate, Examined]], settings: InferSettings
) -> list[tuple[str, str, float, float]]:
    """Return the user's ratios of metals, or those of the edge intensities of one energy-loss spectrum."""
    if settings.ratios:
        return read_ratios(settings.ratios)
    seen = {tuple(s.dataset.attrs.get("metal_ratios") or ()) for _, s in parts}
    texts = [t for t in next(iter(seen)) if set(t.split("=")[0].split("/")) <= set(METALS)] if len(seen) == 1 else []  # fmt: skip
    if texts:
        shown = ", ".join(t.replace("=", " = ").replace(":", " ± ") for t in texts)
        estimate.flag(
            "ratios_from_intensities",
            f"{shown} per atom, from the intensities of the edges in this spectrum (hydrogenic cross-sections, 20 % each).",
            "a measured standard or --ratios makes the metal contents sharper",
        )
    return read_ratios(texts)


def _contents_from_ratios(
    estimate: Estimate,
    fusion: FusionModel,
    ratios: Sequence[tuple[str, str, float, float]],
    call: Call,
) -> None:
    """Answer for the metals from intensities alone where no shape can be used and all metals were seen."""
    if {m for a, b, *_ in ratios for m in (a, b)} != set(METALS):
        return
    columns = {metal: TARGETS.index(CONTENTS[metal]) for metal in METALS}
    prior = fusion.targets.mean(axis=0), np.cov(fusion.targets.T)
    mean, covariance = with_ratios(*prior, columns, ratios)
    for metal, column in columns.items():
        width = float(np.sqrt(covariance[column, column]))
        estimate.quantities[CONTENTS[metal]] = gaussian(float(mean[column]), width, "1", call.levels)  # fmt: skip
    ends = fusion.targets.min(axis=0), fusion.targets.max(axis=0)
    beyond = [m for m, c in columns.items() if not ends[0][c] <= mean[c] <= ends[1][c]]
    if beyond:
        estimate.flag(
            "outside_population",
            f"The contents of {', '.join(beyond)} lie outside the structures that the model was trained on.",
            "the intensities count atoms all the same; build and train a set of this composition for the rest",
        )


def _collect(
    estimate: Estimate, fusion: FusionModel, parts: list[tuple[Estimate, Examined]]
) -> dict[str, Floats]:
    blocks: dict[str, Floats] = {}
    for _, seen in parts:
        stream = stream_of(seen)
        own = set(blocks_of(stream)) & set(fusion.bases)
        # L2,3 are compared as white lines: flattening to a post-edge would bend them
        flat = seen.normalised is not None and not stream.endswith("_L23")
        mu = seen.normalised.mu if flat and seen.normalised is not None else seen.raw
        if own and stream.endswith("_L23") and not is_simulated(seen.dataset):
            mu = without_steps(stream, seen.energy, mu)
        found = stream_blocks(stream, seen.energy, mu) if own else {}
        if not own:
            estimate.flag(
                "edge_not_in_model",
                f"The model knows nothing of {seen.element} {seen.edge}.",
                "it takes " + ", ".join(sorted({b.rstrip("+") for b in fusion.bases})),
            )
        elif not found:
            estimate.flag(
                "window_too_short",
                f"{seen.element} {seen.edge} does not cover the window of the model.",
                "K edges from 3 eV below the rise to 20 eV above it; L2,3 from 4 eV below L3 past L2",
            )
        blocks |= {b: v for b, v in found.items() if b in fusion.bases}
    return blocks


def _refuse_all(estimate: Estimate, blocks: dict[str, Floats]) -> None:
    reason = (
        "the spectrum lies outside the simulated population: see outside_training"
        if blocks
        else "no spectrum covers a window of the model"
    )
    for target in TARGETS:
        estimate.quantities[target] = refused(UNITS[target], reason)
    if blocks:
        labels = ", ".join(t.replace("_", " ") for t in TARGETS)
        estimate.flag(
            "simulation_cannot_fix",
            f"This simulation fixes none of its labels here: {labels}.",
            "what the spectra say without it, differences between the spectra of one file, stands beside",
        )


def _tell_unfixed(estimate: Estimate, fused: Fused, fusion: FusionModel) -> None:
    """Name the labels whose posterior is nearly as wide as the training population."""
    spread = fusion.targets.std(axis=0)
    loose = [
        t.replace("_", " ")
        for t, width, whole in zip(TARGETS, fused.width, spread, strict=True)
        if width > FIXED * whole and t not in DEFECTS
    ]
    if loose:
        estimate.flag(
            "simulation_cannot_fix",
            f"These edges do not fix {', '.join(loose)}: the answer is nearly as wide as the population.",
            "add an edge, or the ratios of the metals from edge intensities (--ratios)",
        )


def _quantities(estimate: Estimate, fused: Fused, call: Call) -> None:
    for column, target in enumerate(TARGETS):
        if target in DEFECTS:
            continue
        low, high = BOUNDS[target]
        centre, width = float(fused.mean[column]), float(fused.width[column])
        bands = []
        for level in call.levels:
            half = split_quantile(fused.scores[:, column], level) * width
            bands.append(
                Interval(
                    level, max(low, min(centre - half, high)), min(high, max(centre + half, low))
                )
            )
        if target == "nickel_oxidation_state" and not low <= centre <= high:
            reason = f"the prediction {centre:.2f} is no charge of nickel"
            estimate.flag("outside_physics", reason, "check the normalisation")
            estimate.quantities[target] = refused("1", reason)
            continue
        estimate.quantities[target] = Quantity(
            min(max(centre, low), high), UNITS[target], sigma=width, intervals=tuple(bands)
        )
    for probability, defect in zip(fused.probability, DEFECTS, strict=True):
        estimate.quantities[defect] = Quantity(
            float(probability),
            "1",
            probabilities={"0": float(1 - probability), "1": float(probability)},
        )


def _check_balance(estimate: Estimate) -> None:
    """Compare q_Ni with (4 − x_Li − 4x_Mn − 3x_Co)/x_Ni and print the difference."""
    values = {t: estimate.quantities[t].value for t in CONTINUOUS if t in estimate.quantities}
    if any(v is None for v in values.values()):
        return
    q = {t: float(v) for t, v in values.items() if v is not None}
    metals = q["nickel_content"] + q["manganese_content"] + q["cobalt_content"]
    balance = (
        4 - q["lithium_content"] - 4 * q["manganese_content"] - 3 * q["cobalt_content"]
    ) / max(q["nickel_content"], 0.05)
    estimate.diagnostics |= {
        "charge_balance_residual": q["nickel_oxidation_state"] - balance,
        "sum_of_metals": metals,
    }
    if abs(metals - 1) > 0.25:
        estimate.flag(
            "contents_do_not_sum",
            f"The metal contents sum to {metals:.2f}, not 1.",
            "trust lithium and charge, not the metals; quantify them by edge intensities",
        )


def _compare_edges(
    estimate: Estimate, fusion: FusionModel, used: dict[str, Floats], fused: Fused
) -> None:
    """Ask every stream by itself; flag disagreement and draw one answer beside the other."""
    streams = sorted({b.rstrip("+") for b in used})
    column = TARGETS.index("lithium_content")
    rows = []
    for stream in streams:
        own = {b: v for b, v in used.items() if b.rstrip("+") == stream}
        single = fuse_blocks(fusion, own) if len(streams) > 1 else fused
        half = split_quantile(single.scores[:, column], 0.9) * float(single.width[column])
        rows.append((stream, float(single.mean[column]), half))
    half = split_quantile(fused.scores[:, column], 0.9) * float(fused.width[column])
    rows.append(("all", float(fused.mean[column]), half))
    estimate.diagnostics["lithium_by_stream"] = {n: [m, h] for n, m, h in rows}
    apart = [n for n, m, h in rows[:-1] if abs(m - rows[-1][1]) > h + rows[-1][2]]
    if apart:
        estimate.flag(
            "edges_disagree",
            f"{', '.join(map(title, apart))} and all edges together give different lithium contents.",
            "were they measured at the same place?",
        )
    place = np.arange(len(rows))
    middle = np.array([m for _, m, _ in rows])
    reach = np.array([h for *_, h in rows])
    layer = points(place, middle, "90 %", y_low=middle - reach, y_high=middle + reach)
    lithium = Panel(
        (layer,), "", "lithium per metal", x_ticks=[title(n) for n, *_ in rows],
        y_range=(-0.3, 1.3),
    )  # fmt: skip
    defects = Panel(
        (bars(np.arange(2), fused.probability, "probability"),), "", "probability",
        x_ticks=["O vacancy", "antisite"], y_range=(0.0, 1.0),
    )  # fmt: skip
    estimate.pictures.append(
        Picture(
            "fusion",
            "One edge against all",
            (lithium, defects),
            "Intervals hold 90 % of held-out structures for the very edges present.",
            columns=2,
            width=9.0,
        )
    )
