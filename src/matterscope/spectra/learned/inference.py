"""Inference: from a raw file to coordination, bond length and oxidation state, or a reasoned refusal.

In: files of spectra. Out: one estimate per spectrum (or one per sample with ``--sample``): verdict,
calibrated answers, gates, and the pictures that show why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, ModelError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, refused
from matterscope.core.pictures import Panel, Picture, band, bars, line
from matterscope.io.reading import measurements
from matterscope.learn.persist import nested
from matterscope.spectra.learned.aligned import Answer, WindowModel, answer, window_for
from matterscope.spectra.learned.instruments import Instrument
from matterscope.spectra.learned.models import PREDICTORS, Model, choose
from matterscope.spectra.learned.references import Reference, named_edge, read_reference, relate
from matterscope.spectra.loss.edge_cutting import cut_edges
from matterscope.spectra.loss.loss_reduction import is_energy_loss
from matterscope.spectra.measured.alignment import ALIGNMENT, WINDOWS
from matterscope.spectra.measured.naming import candidates
from matterscope.spectra.measured.quality import (
    SEVERE,
    Examined,
    examine_all,
    is_simulated,
    verdict_of,
)
from matterscope.spectra.measured.series import compare_series
from matterscope.spectra.sets.trainingsets import COORDINATIONS

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import InferSettings

Floats = NDArray[np.float64]

ASKED = {"coordination_number": "1", "bond_length": "Å", "oxidation_state": "1"}
OF_THE_SPECTRUM = {"edge_position", "edge_name", "shift_from_reference"}
MEASURED = Instrument(
    gaussian=2.0,
    core_hole=(0.0, 0.3),
    slope=0.03,
    self_absorption=(-0.01, 0.04),
    noise=0.0,
    shake_down=0.0,
    discrepancy=0.0,
    pre_edge=0.0,
    alignment=1.0,
    disorder=0.0,
)
"""What may stand between a measured spectrum and the computed one of the same atoms. Computed YBa2Cu3O7 meets the
measured one when widened by 1.9 eV; a spectrum that is sharper than another by less is not told apart by theory.
The edge is placed differently by about 1 eV."""
FAR = 1.0
"""Percentile of the training population beyond which an answer is refused (1 is its edge)."""
NEAR = 0.99
"""Percentile from which the answer is flagged: so many good spectra lie inside."""


def infer_structure(inputs: list[Input], settings: InferSettings, call: Call) -> list[Estimate]:
    """Answer every spectrum of the inputs, or all of them together as one sample."""
    seen: list[tuple[InputRef, Examined]] = []
    for given in inputs:
        seen += _examined(given, settings, call)
    reference = read_reference(settings.reference) if settings.reference else None
    if settings.sample:
        return _answer_sample(seen, settings, call, reference)
    estimates = []
    groups = _one_place(seen)
    for number, group in enumerate(groups):
        if len(group) > 1:
            estimates += _answer_sample(group, settings, call, reference)
        else:
            estimates.append(_answer_one(*group[0], settings, call, reference))
        if len(groups) > 1:
            call.progress(number + 1, len(groups), "spectra")
    if len(groups) == len(seen):
        compare_series(seen, estimates, call)
    return estimates


def _one_place(seen: list[tuple[InputRef, Examined]]) -> list[list[tuple[InputRef, Examined]]]:
    """Group the edges that were cut from one energy-loss spectrum: they are of one place."""
    groups: list[list[tuple[InputRef, Examined]]] = []
    last = ""
    for entry in seen:
        origin = str(entry[1].dataset.attrs.get("cut_from") or "")
        if origin and origin == last:
            groups[-1].append(entry)
        else:
            groups.append([entry])
        last = origin
    return groups


def _examined(given: Input, settings: InferSettings, call: Call) -> list[tuple[InputRef, Examined]]:
    wanted = {"energy": settings.energy, "columns": settings.columns, "swap": settings.swap}
    options = {name: value for name, value in wanted.items() if value}
    edge = named_edge(settings.as_, given)
    datasets = []
    for dataset in measurements(given, "spectrum", **options):
        if edge:  # the user says which edge this is: nothing is cut out of it
            own = {"element": edge[0], "edge": edge[1], "edge_given": True}
            datasets.append(dataset.assign_attrs(own))
            continue
        edges = cut_edges(dataset, given.ref, call)[1] if is_energy_loss(dataset) else []
        datasets += edges or [dataset]
    found = []
    for spectrum in examine_all(datasets, settings.normalisation):
        source = spectrum.dataset.attrs.get("source") or {}
        name = str(source.get("selector") or given.selector)
        if spectrum.dataset.attrs.get("cut_from"):
            name = f"{spectrum.element} {spectrum.edge}"
        if edge:
            _doubt_name(spectrum, edge)
        found.append((InputRef(given.source, name, given.sha256), spectrum))
    return found


def _doubt_name(seen: Examined, edge: tuple[str, str]) -> None:
    """Flag an edge that the user named where the spectrum would be called another one."""
    if not np.isfinite(seen.position):
        return
    unnamed = seen.dataset.drop_attrs(deep=False)
    table = candidates(seen.position, unnamed.assign_attrs(label=seen.label))
    if seen.candidates.empty or (len(table) and tuple(table.iloc[0][["element", "edge"]]) != edge):
        other = f"{table.iloc[0]['element']} {table.iloc[0]['edge']}" if len(table) else "no edge"
        message = f"You named {edge[0]} {edge[1]}; by its position (E½ {seen.position:.1f} eV) this would be {other}."
        seen.flag("edge_named_against_position", message, "check the axis, or leave --as away")


def _answer_one(
    ref: InputRef,
    seen: Examined,
    settings: InferSettings,
    call: Call,
    reference: Reference | None = None,
) -> Estimate:
    estimate = _named(ref, seen)
    if reference is not None and seen.element:
        relate(estimate, seen, reference)
    blocking = sorted(seen.codes & SEVERE)
    if blocking:
        reason = next(f.message for f in seen.flags if f.code == blocking[0])
        return _refuse(estimate, reason)
    try:
        model = choose(seen.element, seen.edge, settings.model)
    except ModelError as error:
        code = "wrong_edge" if settings.model else "no_model"
        estimate.flag(code, error.what + ".", error.hint)
        return _refuse(estimate, error.what)
    answers: list[Estimate] = predictor(model)(model, [(estimate, seen)], settings, call)
    return _asked_only(answers[0], settings)


def predictor(model: Model) -> Any:
    """Return the function that answers with a model's family."""
    from importlib import import_module

    module, _, name = PREDICTORS[model.family].partition(":")
    return getattr(import_module(module), name)


def _asked_only(estimate: Estimate, settings: InferSettings) -> Estimate:
    """Return the estimate with the quantities asked for, and what describes the measurement itself."""
    if not settings.targets:
        return estimate
    known = set(estimate.quantities) - OF_THE_SPECTRUM
    unknown = sorted(set(settings.targets) - known)
    if unknown:
        raise ConfigError(
            f"this model does not answer {', '.join(unknown)}", expected=", ".join(sorted(known))
        )
    for name in known - set(settings.targets):
        del estimate.quantities[name]
    return estimate


def _answer_sample(
    seen: list[tuple[InputRef, Examined]],
    settings: InferSettings,
    call: Call,
    reference: Reference | None,
) -> list[Estimate]:
    """Fuse all spectra into one estimate where a model takes them together."""
    parts = [(_named(ref, s), s) for ref, s in seen]
    for estimate, spectrum in parts:
        if reference is not None and spectrum.element == reference.seen.element:
            relate(estimate, spectrum, reference)
    usable = [(e, s) for e, s in parts if not s.codes & SEVERE]
    if not usable:
        return [_refuse(e, "none of the spectra of this sample can be used") for e, _ in parts]
    estimate, first = usable[0]
    try:
        model = choose(first.element, first.edge, settings.model)
        for _, other in usable[1:]:
            if f"{other.element}:{other.edge}" not in model.edges:
                raise ModelError(
                    f"no model answers {first.element} {first.edge} and {other.element} {other.edge} together"
                )
    except ModelError as error:
        estimate.flag("no_model", error.what + ".", error.hint)
        return [_refuse(e, error.what) for e, _ in parts]
    answers: list[Estimate] = predictor(model)(model, usable, settings, call)
    edges = pd.DataFrame(
        [(f"{s.element} {s.edge}", s.position, s.verdict) for _, s in parts],
        columns=["edge", "position", "verdict"],
    )
    edges.attrs["units"] = {"position": "eV"}
    for found in answers:
        found.tables["edges"] = edges
        _describe_sample(found, parts, settings.sample)
    return [_asked_only(found, settings) for found in answers]


def _describe_sample(found: Estimate, parts: list[tuple[Estimate, Examined]], sample: str) -> None:
    """Name an answer for what was fused, and keep nothing of a single edge in it."""
    for alone in ("edge_name", "edge_position"):
        found.quantities.pop(alone, None)
    name = sample
    if all(s.dataset.attrs.get("cut_from") for _, s in parts):
        name = " + ".join(found.tables["edges"]["edge"])
    if name:
        found.input = InputRef(found.input.source, name, found.input.sha256)
    found.diagnostics["sample"] = sample
    found.diagnostics["verdicts"] = {s.label: s.verdict for _, s in parts}


def _named(ref: InputRef, seen: Examined) -> Estimate:
    estimate = verdict_of(seen)
    estimate.capability, estimate.input = "spectra infer", ref
    return estimate


def _refuse(estimate: Estimate, reason: str) -> Estimate:
    for name, units in ASKED.items():
        estimate.quantities[name] = refused(units, reason)
    return estimate


def windows_of(model: Model) -> dict[str, WindowModel]:
    """Return the model's ensembles by window, rebuilt once.

    Raises
    ------
    ModelError
        When the model was made for other energies or another alignment than this version has.
    """
    if "windows" not in model.parsed:
        _check_grid(model)
        model.parsed["windows"] = {
            name: WindowModel.unpack(name, nested(model.arrays, name), meta)
            for name, meta in model.card["windows"].items()
        }
    found: dict[str, WindowModel] = model.parsed["windows"]
    return found


def _check_grid(model: Model) -> None:
    grids: dict[str, list[float]] = model.card.get("grid", {})
    strange = [n for n, g in grids.items() if n not in WINDOWS or not np.array_equal(g, WINDOWS[n])]
    if strange or model.card.get("alignment") != ALIGNMENT:
        what = f"the energies of its window {strange[0]}" if strange else "its alignment"
        raise ModelError(
            f"the model '{model.name}' does not fit this version: {what} differ",
            got=model.card.get("alignment", "the half step itself"), expected=ALIGNMENT,
            hint="train it again (spectra train), or omit --model to take the shipped one",
        )  # fmt: skip


def answer_aligned(
    model: Model, parts: list[tuple[Estimate, Examined]], settings: InferSettings, call: Call
) -> list[Estimate]:
    """Answer with the family "aligned": every spectrum for itself."""
    return [_aligned(model, estimate, seen, settings, call) for estimate, seen in parts]


def _aligned(
    model: Model, estimate: Estimate, seen: Examined, settings: InferSettings, call: Call
) -> Estimate:
    wanted = set(map(str, settings.windows))
    available = {n: w for n, w in windows_of(model).items() if n in wanted}
    if not available:
        raise ConfigError(
            "the model has none of the windows asked for", got=", ".join(settings.windows),
            expected=", ".join(windows_of(model)),
        )  # fmt: skip
    estimate.provenance |= {
        "model": model.name,
        "model_sha256": model.sha256,
        "population": model.card["population"],
        "training_data": model.card["training_data"],
    }
    window = window_for(seen, available)
    if not window:
        reach, least = seen.energy[-1] - seen.position, min(WINDOWS[w][-1] for w in available)
        message = f"The spectrum ends {reach:.0f} eV beyond E½; the model needs {least:.0f} eV."
        estimate.flag(
            "window_too_short", message, f"measure at least {least:.0f} eV beyond the edge"
        )
        return _refuse(estimate, message)
    simulated = is_simulated(seen.dataset)
    instrument = MEASURED if settings.marginalise else None
    found = answer(seen, available[window], call, instrument)
    estimate.diagnostics |= {
        "window": window,
        "shell_probability": found.shell,
        "domain_residual": found.residual,
        "domain_distance": found.distance,
        "disagreement": found.disagreement,
        "edge_miss_ev": edge_miss(seen, found, available[window], _axis_offset(estimate)),
    }
    if window == "narrow" and "wide" in available:
        message = (
            "The spectrum ends before +120 eV: the narrow model was used, its intervals are wider."
        )
        estimate.flag("narrow_window", message, "measure to 120 eV beyond the edge")
    reason = flag_gates(estimate, seen, found, available[window], simulated)
    if reason:
        _refuse(estimate, reason)
    else:
        _quantities(estimate, found, available[window], call)
    estimate.pictures.append(_picture(found, available[window], refused=bool(reason)))
    estimate.provenance["references"] = [
        *estimate.provenance["references"],
        *model.card.get("references", []),
        "arXiv 2310.07049",
    ]
    return estimate


def flag_gates(
    estimate: Estimate, seen: Examined, found: Answer, model: WindowModel, simulated: bool
) -> str:
    """Flag what lies outside the model; return the reason of a refusal, or an empty string."""
    reasons = []
    limit = model.calibration.shell_threshold
    simulation = str(seen.dataset.attrs.get("simulated") or "")
    if simulation:
        message = "The spectrum is simulated by an engine that the model was not trained on; edges of two engines differ by 1–2 eV."
        estimate.flag(
            "other_engine",
            message,
            "compare engines on a standard; the interval holds an alignment error of 1 eV",
        )
    if found.shell < limit:
        message = f"The shape is not that of an oxygen shell (probability {found.shell:.0%}, below {limit:.0%})."
        estimate.flag("not_oxygen", message, "train a model on this chemistry")
        if (
            not simulation
        ):  # of a simulated one the structure is known, and the gate's engine is another
            reasons.append(message)
    if max(found.residual, found.distance) > FAR:
        message = "The shape lies outside everything the model was trained on."
        estimate.flag(
            "outside_training",
            message,
            "train a model on this chemistry, or check the normalisation",
        )
        reasons.append(message)
    elif found.as_measured > NEAR:
        message = "The shape, as measured, lies at the rim of what the model was trained on."
        estimate.flag("rim_of_training", message, "treat the answer with care")
    if found.disagreement > 2 * model.calibration.doubt_threshold:
        message = f"The experts disagree by {found.disagreement:.3f} Å."
        estimate.flag(
            "members_disagree", message, "treat the answer with care; another edge would help"
        )
    if not simulated:
        _flag_edge(estimate, seen, found, model)
    return " ".join(reasons)


def _flag_edge(estimate: Estimate, seen: Examined, found: Answer, model: WindowModel) -> None:
    offset = _axis_offset(estimate)
    miss = edge_miss(seen, found, model, offset)
    if abs(miss) > model.calibration.edge_tolerance:
        message = f"The edge is {miss:+.1f} eV from where an oxygen shell of this shape stands (± {model.calibration.edge_tolerance:.1f} eV): the axis, or the sample, is not what it seems."
        estimate.flag(
            "axis_disagrees", message, "measure a foil on the same axis and give it as --reference"
        )


def edge_miss(seen: Examined, found: Answer, model: WindowModel, offset: float = 0.0) -> float:
    """Return how far (eV) the edge stands from where its shape puts it on a measured axis; NaN where unknown.

    `offset` is what the axis is known to read too high. Computed axes mean nothing, so simulated
    spectra have no miss.
    """
    if is_simulated(seen.dataset):
        return float("nan")
    expected = found.edge + model.calibration.edge_anchor
    return float(found.position - seen.table - offset - expected)


def _axis_offset(estimate: Estimate) -> float:
    known = estimate.diagnostics.get("reference", {}).get("axis_offset_ev", float("nan"))
    return float(known) if np.isfinite(known) else 0.0


def _quantities(estimate: Estimate, found: Answer, model: WindowModel, call: Call) -> None:
    best = int(np.argmax(found.coordination))
    shares = {str(c): float(p) for c, p in zip(COORDINATIONS, found.coordination, strict=True)}
    intervals = []
    for level in call.levels:
        half = half_width(found, model, level)
        intervals.append(Interval(level, found.bond - half, found.bond + half))
    mean = float(sum((k + 1) * p for k, p in enumerate(found.valence)))
    states = {str(k + 1): float(p) for k, p in enumerate(found.valence)}
    estimate.quantities |= {
        "coordination_number": Quantity(COORDINATIONS[best], "1", probabilities=shares),
        "bond_length": Quantity(
            found.bond,
            "Å",
            sigma=half_width(found, model, 0.683),
            intervals=tuple(intervals),
        ),
        "oxidation_state": Quantity(mean, "1", probabilities=states),
    }


def half_width(found: Answer, model: WindowModel, level: float) -> float:
    """Return the half width (Å) of the bond's interval."""
    spread = np.array([found.spread])
    return float(model.calibration.half_widths(found.coordination[None, :], spread, level)[0])


def _picture(found: Answer, model: WindowModel, refused: bool) -> Picture:
    grid = WINDOWS[found.window]
    colour = "flagged" if refused else "data"
    panels = [
        Panel(
            [
                band(grid, model.population_low, model.population_high, "90 % of the training set"),
                line(grid, model.population_mean, "mean of the training set", "reference"),
                line(grid, found.shape, "this spectrum", colour),
            ],
            "energy from the edge / eV",
            "aligned μ",
        ),
        Panel(
            [bars(np.arange(len(COORDINATIONS)), found.coordination, "probability", colour)],
            "coordination number",
            "probability",
            x_ticks=[str(c) for c in COORDINATIONS],
            y_range=(0.0, 1.0),
        ),
        Panel(
            [bars(np.arange(3), found.valence, "probability", colour)],
            "oxidation state",
            "probability",
            x_ticks=["1+", "2+", "3+"],
            y_range=(0.0, 1.0),
        ),
    ]
    caption = (
        "Refused: the shape lies outside the training population."
        if refused
        else f"Aligned at {found.position:.2f} eV, the half step of the smoothed spectrum; bond length {found.bond:.3f} Å."
    )
    return Picture(
        "answer", "Aligned shape and answers", panels, caption, columns=3, width=10.0, height=3.0
    )
