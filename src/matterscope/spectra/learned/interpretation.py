"""Interpretation: which energies decided an answer, and which known structures look like it.

In: spectra and the model that answers them, and its training set where it is at hand. Out: importance
of energy windows drawn under the spectrum, nearest training structures, Shapley values of a forest.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import ModelError, require
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.pictures import Panel, Picture, band, bars, line, mark
from matterscope.io.reading import measurements
from matterscope.spectra.learned.aligned import Answer, WindowModel, answer, window_for
from matterscope.spectra.learned.inference import MEASURED, half_width, windows_of
from matterscope.spectra.learned.models import choose
from matterscope.spectra.measured.alignment import WINDOWS
from matterscope.spectra.measured.quality import SEVERE, Examined, examine_all
from matterscope.spectra.sets.trainingsets import COORDINATIONS, TrainingSet, load_set

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import ExplainSettings

Floats = NDArray[np.float64]


def explain_answer(inputs: list[Input], settings: ExplainSettings, call: Call) -> list[Estimate]:
    """Say for every spectrum which energy windows decided its answer, and what it looks like."""
    known = load_set(Path(settings.dataset)) if settings.dataset else None
    estimates = []
    for given in inputs:
        for seen in examine_all(measurements(given, "spectrum")):
            source = seen.dataset.attrs.get("source") or {}
            name = str(source.get("selector") or given.selector)
            estimate = Estimate("spectra explain", InputRef(given.source, name, given.sha256))
            estimates.append(_explain(estimate, seen, settings, call, known))
            call.progress(len(estimates), len(estimates), "spectra")
    return estimates


def _explain(
    estimate: Estimate,
    seen: Examined,
    settings: ExplainSettings,
    call: Call,
    known: TrainingSet | None,
) -> Estimate:
    estimate.flags += seen.flags
    blocking = seen.codes & SEVERE
    try:
        if blocking:
            raise ModelError("this spectrum cannot be answered: " + ", ".join(sorted(blocking)))
        model = choose(seen.element, seen.edge, settings.model)
        window = window_for(seen, windows_of(model))
        if not window:
            raise ModelError("the spectrum is shorter than every window of the model")
    except ModelError as error:
        estimate.flag("no_model", error.what + ".", error.hint)
        estimate.quantities["bond_length"] = refused("Å", error.what)
        return estimate
    fitted = windows_of(model)[window]
    found = answer(seen, fitted, call, MEASURED)
    table = occlusion(found, fitted, settings.width)
    half = half_width(found, fitted, 0.9)
    estimate.quantities["bond_length"] = Quantity(
        found.bond, "Å", intervals=(Interval(0.9, found.bond - half, found.bond + half),)
    )
    estimate.tables["windows"] = table
    estimate.diagnostics["deciding_windows"] = table.head(3)["window"].tolist()
    estimate.provenance |= {
        "model": model.name,
        "references": ["Fisher, Rudin and Dominici, J. Mach. Learn. Res. 20, 177 (2019)"],
    }
    estimate.pictures.append(_window_picture(found, fitted, table))
    if known is not None:
        _compare_with_training(estimate, found, known, settings, call)
    return estimate


def occlusion(found: Answer, model: WindowModel, width: float) -> pd.DataFrame:
    """Return what changes when a window of the shape is replaced by the mean of the training set.

    Parameters
    ----------
    found : Answer
        The answer that is explained.
    model : WindowModel
        Who gave it.
    width : float
        Width of the windows (eV); five times that beyond 30 eV.

    Returns
    -------
    DataFrame
        window, low, high (eV from E½), bond change (Å), change of the probability of the CN.
    """
    grid = WINDOWS[found.window]
    edges = [*np.arange(grid[0], min(30.0, grid[-1]), width)]
    edges += [*np.arange(30.0, grid[-1], 5 * width), grid[-1] + 1e-6]
    pairs = list(itertools.pairwise(edges))
    rows = np.repeat(found.shape[None, :], len(pairs) + 1, axis=0)
    for k, (low, high) in enumerate(pairs, 1):
        inside = (grid >= low) & (grid < high)
        rows[k, inside] = model.population_mean[inside]
    outcome = model.experts.predict(rows)
    bond, share = outcome["bond"][0], outcome["coordination"][0]
    best = int(np.argmax(found.coordination))
    frame = pd.DataFrame(
        {
            "window": [f"{a:+.1f} … {b:+.1f} eV" for a, b in pairs],
            "low": [a for a, _ in pairs],
            "high": [b for _, b in pairs],
            "bond_change": bond[1:] - bond[0],
            "probability_change": share[1:, best] - share[0, best],
        }
    )
    scale = np.abs(frame["bond_change"]) / (np.abs(frame["bond_change"]).max() + 1e-12)
    scale += np.abs(frame["probability_change"]) / (
        np.abs(frame["probability_change"]).max() + 1e-12
    )
    frame["importance"] = scale / 2
    frame.attrs["units"] = {"low": "eV", "high": "eV", "bond_change": "Å"}
    return frame.sort_values("importance", ascending=False, ignore_index=True)


def _window_picture(found: Answer, model: WindowModel, table: pd.DataFrame) -> Picture:
    grid = WINDOWS[found.window]
    ordered = table.sort_values("low")
    centres = (ordered["low"] + ordered["high"]).to_numpy() / 2
    panels = [
        Panel(
            [
                band(grid, model.population_low, model.population_high, "90 % of the training set"),
                line(grid, found.shape, "this spectrum", "data"),
            ],
            "",
            "aligned μ",
            height=1.6,
        ),
        Panel(
            [mark(y=[0.0], role="muted"), bars(centres, ordered["bond_change"], "", "series0")],
            "",
            "change of bond / Å",
        ),
        Panel(
            [mark(y=[0.0], role="muted"), bars(centres, ordered["probability_change"], "", "series1")],
            "energy from the edge / eV",
            "change of p(CN)",
        ),
    ]  # fmt: skip
    caption = "Each window in turn is replaced by the mean of the training set; a large change means that it decided."
    return Picture("windows", "Deciding windows", panels, caption, width=7.0, height=6.0)


def _compare_with_training(
    estimate: Estimate, found: Answer, known: TrainingSet, settings: ExplainSettings, call: Call
) -> None:
    shapes = known.shapes(found.window)
    away = np.abs(shapes - found.shape).mean(axis=1)
    order = np.argsort(away)[: settings.nearest]
    rows = []
    for i in order:
        labels = known.labels[i]
        rows.append(
            {
                "material": str(known.materials[i]),
                "formula": str(known.formulas[i]),
                "mean_difference": float(away[i]),
                "coordination_number": labels.coordination if labels else None,
                "ligand": labels.ligand if labels else "",
                "bond_length": labels.bond if labels else None,
            }
        )
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"bond_length": "Å", "mean_difference": "edge steps"}
    estimate.tables["nearest_structures"] = frame
    grid = WINDOWS[found.window]
    layers = [
        line(grid, shapes[i], f"{known.formulas[i]}", f"series{k + 1}")
        for k, i in enumerate(order[:4])
    ]
    panel = Panel(
        [*layers, line(grid, found.shape, "this spectrum", "data")],
        "energy from the edge / eV",
        "aligned μ",
    )
    estimate.pictures.append(
        Picture("nearest", "Nearest training spectra", [panel], "By mean absolute difference of the aligned shapes.")
    )  # fmt: skip
    if settings.shapley:
        _shapley(estimate, found, known, call)


def _shapley(estimate: Estimate, found: Answer, known: TrainingSet, call: Call) -> None:
    """Exact Shapley values of a forest fitted to the training set (TreeSHAP, Lundberg 2020)."""
    require("shap", "Shapley values")
    import shap
    from sklearn.ensemble import ExtraTreesRegressor

    own = known.oxygen
    seed = int(call.rng("forest").integers(2**31))
    forest = ExtraTreesRegressor(60, max_features="sqrt", min_samples_leaf=3, random_state=seed)
    forest.fit(known.shapes(found.window)[own], known.targets()["bond"][own])
    explainer: Any = shap.TreeExplainer(forest)
    values = np.asarray(explainer.shap_values(found.shape[None, :]))[0]
    grid = WINDOWS[found.window]
    estimate.arrays["shapley_bond"] = xr.DataArray(
        values, dims=("offset",), coords={"offset": grid}, attrs={"units": "Å"}
    )
    total = float(values.sum() + np.ravel(explainer.expected_value)[0])
    estimate.diagnostics["forest_bond"] = total
    panel = Panel(
        [bars(grid, values, "Shapley value", "series0")],
        "energy from the edge / eV",
        "part of the bond length / Å",
    )
    caption = f"A forest on the same shapes answers {total:.3f} Å; the bars add up from its mean to that value."
    estimate.pictures.append(Picture("shapley", "Shapley values of a forest", [panel], caption))


__all__ = ["COORDINATIONS", "explain_answer", "occlusion"]
