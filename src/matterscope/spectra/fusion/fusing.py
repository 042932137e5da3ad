"""Train a fusion model on a built set and print what each edge is worth: `spectra fuse`.

In: the folder of `spectra build`. Out: a model file, and one estimate with the ablation (single streams,
all K, all L2,3, all, late fusion), the controls (cell volume alone, shuffled labels), the learning curve
and the coverage on structures of parents or families left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError
from matterscope.core.estimates import LEVELS, Estimate, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, bars, line, mark, points
from matterscope.learn.conformal import split_quantile
from matterscope.learn.persist import save_model
from matterscope.learn.splits import grouped_folds
from matterscope.spectra.fusion.kernels import choose, fit_basis, held_out, posterior
from matterscope.spectra.fusion.training import (
    CONTINUOUS,
    NUISANCE,
    TARGETS,
    FusionModel,
    ablation,
    ablation_table,
    fit_fusion,
    gain,
    set_blocks,
)
from matterscope.spectra.sets.assembly import STREAMS, SpectralSet, assemble
from matterscope.spectra.simulators.broadening import gaussian_broaden

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import FuseSettings

Floats = NDArray[np.float64]

CURVE = (40, 80, 160)
LEAST_PARENTS = 12
LIMITS = (
    "Simulated structures only: FEFF10 quick mode at the K edges, ionic multiplets without ligand holes at L2,3.",
    "Defects are those enumerated (one or two oxygen vacancies, one or two Li/Ni antisites in 27–48 atoms).",
    "Theory and experiment differ at the K edges: measured spectra may be refused.",
    "Metal contents are poorly determined by shapes alone: give ratios from edge intensities (--ratios).",
    "Measured Ni K edges of layered oxides have a foot (−8…0 eV) and a narrow white line that FEFF quick mode lacks: they are refused.",
    "Absolute energies are not used; chemical shifts between ions of one L2,3 spectrum are inferred (1 eV per charge).",
)


def fuse_set(inputs: list[Input], settings: FuseSettings, call: Call) -> list[Estimate]:
    """Train a fusion model on each built folder."""
    estimates = []
    for given in inputs:
        if given.path is None or not given.path.is_dir():
            raise DataError("a folder of `spectra build` is needed", where=given.source)
        call.progress(0, 4, "reading the set, simulating L2,3")
        data = assemble(given.path, settings.limit or None)
        estimate = Estimate("spectra fuse", given.ref)
        _train(estimate, data, settings, call)
        estimates.append(estimate)
    return estimates


def _train(estimate: Estimate, data: SpectralSet, settings: FuseSettings, call: Call) -> None:
    groups = data.labels[settings.split].to_numpy()
    if len(set(groups)) < LEAST_PARENTS:
        raise DataError(
            "too few independent structures to score a model",
            got=f"{len(set(groups))} of split '{settings.split}'",
            expected=f"at least {LEAST_PARENTS}",
            hint="build more structures",
        )
    call.progress(1, 4, "ablation and controls")
    _, kept = set_blocks(data)
    found, truth = ablation(data, groups, folds=settings.folds, ratios=call.rng("ratios"))
    table = ablation_table(found, truth)
    shuffled, mixed = ablation(
        data, groups, folds=3, subsets={"all": STREAMS}, shuffled=call.rng("shuffle")
    )
    control = ablation_table({"all, labels shuffled": shuffled["all"]}, mixed)
    estimate.tables["ablation"] = pd.concat([table, control], ignore_index=True)
    worth = gain(found, truth, groups[kept], call.rng("bootstrap"))
    call.progress(2, 4, "learning curve and coverage")
    whole = ablation_table({"all": found["all"]}, truth)
    estimate.tables["learning_curve"] = learning_curve(data, groups, settings.folds, call, whole)
    estimate.tables["coverage"] = coverage_table(data, groups, call.rng("coverage"))
    call.progress(3, 4, "final model")
    model = fit_fusion(data, call.rng("nuisances"))
    card = make_card(data, estimate, worth, settings)
    path = call.artifact(f"{settings.name}.model.npz")
    digest = save_model(path, "fusion", card, model.pack())
    estimate.diagnostics |= {
        "artifacts": [{"path": path.name, "sha256": digest}],
        "gain": worth,
        "failures": data.failures,
        "model": f"{settings.name}@{digest[:8]}",
    }
    estimate.provenance |= {
        "training_data": card["training_data"],
        "references": card["references"],
    }
    _summarise(estimate, worth)
    estimate.pictures += [_bars(table), _parity(found["all"], truth), _curve(estimate)]
    if worth["high"] >= 1.0:
        estimate.flag(
            "no_gain_shown",
            "The interval of MAE(all)/MAE(best single) reaches 1: more edges were not shown to help.",
            "build more structures",
        )
    call.progress(4, 4, "done")


def _summarise(estimate: Estimate, worth: dict[str, Any]) -> None:
    rows = estimate.tables["ablation"].set_index("streams")
    half = Interval(0.95, worth["low"], worth["high"])
    estimate.quantities["fusion_gain"] = Quantity(worth["ratio"], "1", intervals=(half,))
    why = "one number over held-out structures; see the bootstrap of the gain and the tables"
    for name, column in (
        ("lithium_mae", "lithium_content_mae"),
        ("vacancy_auc", "oxygen_vacancy_auc"),
        ("antisite_auc", "antisite_auc"),
    ):
        estimate.quantities[name] = Quantity(float(rows.loc["all", column]), "1", reason=why)


def learning_curve(
    data: SpectralSet, groups: NDArray[Any], folds: int, call: Call, whole: pd.DataFrame
) -> pd.DataFrame:
    """Return scores with all streams for growing numbers of structures (whole parents at a time).

    `whole` is the row of the complete set, which the ablation has.
    """
    rng = call.rng("learning curve")
    names = rng.permutation(np.unique(groups))
    rows = []
    for size in [c for c in CURVE if c < len(data)]:
        chosen: list[int] = []
        for name in names:
            if len(chosen) >= size:
                break
            chosen += np.flatnonzero(groups == name).tolist()
        part = subset(data, np.sort(np.array(chosen)))
        found, truth = ablation(
            part, groups[np.sort(np.array(chosen))], folds=folds, subsets={"all": STREAMS}
        )
        row = ablation_table({"all": found["all"]}, truth).iloc[0].to_dict()
        rows.append({"structures": len(part)} | row)
    return pd.DataFrame([*rows, {"structures": len(data)} | whole.iloc[0].to_dict()])


def subset(data: SpectralSet, rows: NDArray[np.int64]) -> SpectralSet:
    """Return the set with some of its structures."""
    return SpectralSet(
        data.energy,
        {s: m[rows] for s, m in data.mu.items()},
        data.labels.iloc[rows].reset_index(drop=True),
        data.digest,
        data.failures,
    )


def coverage_table(
    data: SpectralSet, groups: NDArray[Any], rng: np.random.Generator, folds: int = 4
) -> pd.DataFrame:
    """Return coverage, mean width and error on groups left out, by instrument width.

    Each outer fold is predicted by a model that never saw it, with intervals calibrated inside the
    rest: what a user's new structure meets. The instrument is as simulated, as wide as the training
    copies (`NUISANCE`, drawn anew), or wider than any of them.
    """
    clean, kept = set_blocks(data)
    copies, tests = set_blocks(data, rng)[0], _instruments(data, clean, rng)
    bases = {b: fit_basis(np.vstack([clean[b], copies[b]])) for b in clean}
    targets = data.labels[list(TARGETS)].to_numpy(dtype=float)[kept]
    twice, own = np.vstack([targets, targets]), np.concatenate([groups[kept]] * 2)
    scores = [bases[b].scores(np.vstack([clean[b], copies[b]])) for b in clean]
    asked = {name: [bases[b].scores(v[b]) for b in clean] for name, v in tests.items()}
    seen: dict[tuple[str, str], list[Floats]] = {}
    for _, test in grouped_folds(groups[kept], folds):
        train = np.flatnonzero(~np.isin(own, groups[kept][test]))
        half = train[train < len(kept)]
        choices = choose([s[half] for s in scores], targets[half])
        known = [s[train] for s in scores]
        out, spread = held_out(known, twice[train], grouped_folds(own[train], 5), choices)
        ratio = np.abs(twice[train] - out) / spread
        for name, views in asked.items():
            mean, width = posterior(known, twice[train], [v[test] for v in views], choices)
            for column, target in enumerate(CONTINUOUS):
                halves = [split_quantile(ratio[:, column], v) * width[:, column] for v in LEVELS]
                miss = np.abs(targets[test, column] - mean[:, column])
                seen.setdefault((name, target), []).append(np.array([miss, *halves]))
    rows = [
        {
            "instrument": name,
            "target": target,
            "level": level,
            "coverage": float((joined[0] <= joined[1 + number]).mean()),
            "mean_width": float(2 * joined[1 + number].mean()),
            "mae": float(joined[0].mean()),
        }
        for (name, target), parts in seen.items()
        for joined in [np.concatenate(parts, axis=1)]
        for number, level in enumerate(LEVELS)
    ]
    return pd.DataFrame(rows)


def _instruments(
    data: SpectralSet, clean: dict[str, Floats], rng: np.random.Generator
) -> dict[str, dict[str, Floats]]:
    """Return the blocks of all structures as seen by three instruments."""
    wider = {
        s: np.array([gaussian_broaden(data.energy[s], mu, 1.3 * NUISANCE[s.partition("_")[2]]) for mu in m])
        for s, m in data.mu.items()
    }  # fmt: skip
    beyond = SpectralSet(data.energy, wider, data.labels, data.digest, data.failures)
    return {
        "as simulated": clean,
        "as trained": set_blocks(data, rng)[0],
        "wider than trained": set_blocks(beyond)[0],
    }


def make_card(
    data: SpectralSet, estimate: Estimate, worth: dict[str, Any], settings: FuseSettings
) -> dict[str, Any]:
    """Return the model card: population, engines, splits, scores, controls, coverage, limits."""
    labels = data.labels
    edges = [s.replace("_", ":").replace("L23", e) for s in STREAMS for e in ("L3", "L2")]
    return {
        "name": settings.name,
        "edges": list(dict.fromkeys(edges)),
        "population": (
            f"{len(data)} simulated layered oxides LiₓNi_yMn_zCo_(1−y−z)O₂ of {labels['parent'].nunique()} parents: "
            "Li 0–1 per metal, random, clustered and striped orderings, oxygen vacancies and Li/Ni antisites"
        ),
        "training_data": {
            "what": "made by this project: recipes/nmc.toml",
            "sha256": data.digest,
            "structures": len(data),
            "parents": int(labels["parent"].nunique()),
            "families": int(labels["family"].nunique()),
        },
        "licence": "BSD-3-Clause",
        "engines": {
            "K": "FEFF10 (feff10-rs 0.2.4), quick mode, FMS 4.2 Å; r 0.85–0.98 against five measured edges",
            "L2,3": "matterscope multiplet 1: ionic, D4h field by angular overlap",
            "relaxation": "CHGNet r2SCAN 0.4.2",
        },
        "made_by": "matterscope spectra build recipes/nmc.toml --folder nmc --seed 7; matterscope spectra fuse nmc --name "
        + settings.name,
        "split": f"{settings.folds} folds that share no {settings.split}",
        "scores": {
            n: estimate.tables[n].to_dict("records")
            for n in ("ablation", "learning_curve", "coverage")
        },
        "gain": worth,
        "limits": list(LIMITS),
        "references": ["arXiv 2501.08919", "arXiv 2310.07049"],
    }


def _bars(table: pd.DataFrame) -> Picture:
    names = table["streams"].tolist()
    place = np.arange(len(names))
    panels = [
        Panel((bars(place, table["lithium_content_mae"]),), "", "Li MAE", "Lithium per metal", x_ticks=names),
        Panel(
            (bars(place, table["oxygen_vacancy_auc"]), mark(y=[0.5], label="chance")),
            "", "AUC", "Oxygen vacancy", x_ticks=names, y_range=(0.3, 1.0),
        ),
        Panel(
            (bars(place, table["antisite_auc"]), mark(y=[0.5], label="chance")),
            "", "AUC", "Antisite", x_ticks=names, y_range=(0.3, 1.0),
        ),
    ]  # fmt: skip
    return Picture(
        "ablation",
        "What each edge is worth",
        tuple(panels),
        "Held out by parent structure. 'volume' is the control that sees the cell volume only.",
        width=9.0,
        height=8.0,
    )


def _parity(found: Floats, truth: Floats) -> Picture:
    panels = []
    for column, label in enumerate(("Li", "Ni", "Mn", "Co", "q(Ni)", "Ni–O (Å)")):
        ends = [float(truth[:, column].min()), float(truth[:, column].max())]
        panels.append(
            Panel(
                (points(truth[:, column], found[:, column]), line(ends, ends, role="reference")),
                "true",
                "predicted, held out",
                label,
            )
        )
    return Picture(
        "parity",
        "All edges, held-out structures",
        tuple(panels),
        "",
        columns=3,
        width=10.0,
        height=6.0,
    )


def _curve(estimate: Estimate) -> Picture:
    table = estimate.tables["learning_curve"]
    mae = Panel(
        (line(table["structures"], table["lithium_content_mae"], "lithium"),),
        "structures",
        "MAE",
        x_scale="log",
    )
    auc = Panel(
        (
            line(table["structures"], table["oxygen_vacancy_auc"], "O vacancy"),
            line(table["structures"], table["antisite_auc"], "antisite", "series1"),
        ),
        "structures", "AUC", x_scale="log",
    )  # fmt: skip
    return Picture(
        "learning_curve",
        "More structures",
        (mae, auc),
        "Whole parents are added.",
        columns=2,
        width=9.0,
    )


def load_fusion(path: Path) -> tuple[dict[str, Any], FusionModel]:
    """Return card and model of a stored fusion model."""
    from matterscope.learn.persist import load_model

    card, arrays = load_model(path)
    return card, FusionModel.unpack(arrays)
