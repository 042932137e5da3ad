"""`materials predict`: values of named compounds, from a model or a table, with Vegard beside them.

In: formulas, a model (or a table to learn from). Out: one estimate for each compound, with intervals and the
reasons to doubt it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.pictures import Panel, Picture, bars, points
from matterscope.materials.alloys.compositions import (
    SITES,
    Composition,
    fraction_matrix,
    parse_formula,
    write_formula,
)
from matterscope.materials.alloys.domains import domain_notes, seen_species
from matterscope.materials.alloys.model_choice import model_for
from matterscope.materials.alloys.models import AlloyModel, TargetModel
from matterscope.materials.alloys.newcomers import Newcomers
from matterscope.materials.alloys.pictures import short
from matterscope.materials.alloys.training import unseen_pairs
from matterscope.materials.settings import PredictSettings

REFERENCES = ["arXiv 2109.10798", "Vegard, Z. Phys. 5, 17 (1921)"]


def predict_compounds(inputs: list[Input], settings: PredictSettings, call: Call) -> list[Estimate]:
    """Return one estimate for each formula."""
    if not settings.formula:
        raise ConfigError("no compound was named", hint="--formula Cs0.5FA0.5PbI3")
    wanted = [parse_formula(text, text) for text in settings.formula]
    model, source, notes = model_for(inputs, settings, call)
    model = with_species(model, wanted)
    found = fraction_matrix(wanted, model.species)
    fractions = (found["A"], found["B"], found["X"])
    values, sigmas = model.predict(fractions)
    vegard = model.vegard(fractions)
    doubts = domain_notes(model, fractions)
    unknown = [_unknown(model, c) for c in wanted]
    outside = unseen_pairs(model.fractions, fractions)
    answers = []
    for i, composition in enumerate(wanted):
        formula = write_formula(composition)
        answer = Estimate(
            "materials predict", InputRef(source["source"], formula, source["sha256"])
        )
        for note in notes:
            answer.flag(*note)
        if doubts[i]:
            answer.flag(
                "outside-the-table", doubts[i], "compute a compound of this kind and add it"
            )
        withheld = bool(unknown[i]) and not settings.force
        for t, name in enumerate(model.names):
            units = model.units.get(name, "1")
            if withheld:
                answer.quantities[name] = refused(units, f"{', '.join(unknown[i])} not in the table; --force gives the value")  # fmt: skip
                continue
            if name in model.no_skill and outside[i] and not settings.force:
                answer.quantities[name] = refused(units, "for species or pairs that the table does not hold it was no better than the mean; --force gives the value")  # fmt: skip
                continue
            answer.quantities[name] = interval_of(
                model.models[name], float(values[i, t]), float(sigmas[i, t]), units, call.levels
            )
        answer.tables["vegard"] = pd.DataFrame(
            {
                "property": model.names,
                "value": values[i],
                "sigma": sigmas[i],
                "vegard": vegard[i],
                "units": [model.units.get(n, "1") for n in model.names],
            }
        )
        answer.pictures.append(_picture(model, formula, values[i], sigmas[i], vegard[i]))
        answer.provenance |= {"model": source["name"], "references": REFERENCES}
        answers.append(answer)
    return answers


def interval_of(
    stack: TargetModel, value: float, sigma: float, units: str, levels: tuple[float, ...]
) -> Quantity:
    """Return a quantity with the calibrated intervals of its stack."""
    known = sorted(stack.quantiles)
    bands = []
    for level in levels:
        half = float(np.interp(level, known, [stack.quantiles[k] for k in known])) * sigma
        bands.append(Interval(level, value - half, value + half))
    return Quantity(value, units, sigma=sigma, intervals=tuple(bands))


def with_species(model: AlloyModel, wanted: list[Composition]) -> AlloyModel:
    """Return the model with columns for species that its table does not hold."""
    extra = {
        s: [n for n in dict.fromkeys(n for c in wanted for n in c[s]) if n not in model.species[s]]
        for s in SITES
    }
    if not any(extra.values()):
        return model
    model.species = {s: (*model.species[s], *extra[s]) for s in SITES}

    def widen(fractions: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b, x = (
            np.pad(f, ((0, 0), (0, len(extra[s])))) for s, f in zip(SITES, fractions, strict=True)
        )
        return a, b, x

    model.fractions = widen(model.fractions)
    for stack in model.models.values():
        for member in stack.members:
            for process in member.processes:
                process.fractions, process.bases = widen(process.fractions), model.bases
                process.condition()
        keep = [m.process is not None for m in stack.members]
        # trees count columns of species: with new ones they cannot be asked
        if not all(keep):
            stack.members = [m for m, k in zip(stack.members, keep, strict=True) if k]
            stack.weights = _among(stack.weights, keep)
            stack.newcomers = {
                site: Newcomers(_among(n.weights, keep), n.scale)
                for site, n in stack.newcomers.items()
            }
    return model


def _among(weights: np.ndarray, keep: list[bool]) -> np.ndarray:
    kept = weights[np.array(keep)]
    return kept / kept.sum() if kept.sum() > 0 else np.full(len(kept), 1 / len(kept))


def _unknown(model: AlloyModel, composition: Composition) -> list[str]:
    seen = seen_species(model)
    return [n for s in SITES for n in composition[s] if n not in seen[s]]


def _picture(
    model: AlloyModel, formula: str, value: np.ndarray, sigma: np.ndarray, vegard: np.ndarray
) -> Picture:
    spread = np.array([float(np.nanstd(model.targets[n])) or 1.0 for n in model.names])
    centre = np.array([float(np.nanmean(model.targets[n])) for n in model.names])
    place = np.arange(len(spread), dtype=float)
    z, width = (value - centre) / spread, sigma / spread
    panel = Panel(
        [
            bars(place, z, "prediction ± σ", "series0", y_low=z - width, y_high=z + width),
            points(place, (vegard - centre) / spread, "Vegard", "reference"),
        ],
        x_ticks=[short(n) for n in model.names],
        y_label="spreads from the table's mean",
    )
    return Picture("prediction", formula, [panel], "All properties on one scale, Vegard beside them.", width=8.0)  # fmt: skip
