"""Evaluation: how often the answer is right, and whether the posterior means what it says.

In: the settings of `scattering evaluate`. Out: exact answers, calibration, coverage and time on
simulated patterns of seeds of their own, with the simplest answers beside them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.learn.calibration import expected_calibration_error, reliability
from matterscope.scattering import pictures
from matterscope.scattering.disks import Disks, Recipe, align, place
from matterscope.scattering.frames import Frame
from matterscope.scattering.number_density import solve
from matterscope.scattering.posterior import credible_set, randomised_pit
from matterscope.scattering.settings import DensitySettings
from matterscope.scattering.solution import Solution
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid
from matterscope.scattering.training import confusion_counts

if TYPE_CHECKING:
    from matterscope.scattering.settings import EvaluateSettings

Floats = NDArray[np.float64]
STUDIES: dict[str, tuple[str, tuple[float, ...]]] = {
    "photons": ("photons", (0.1, 0.3, 1.0, 10.0)),
    "beamstop": ("beamstop", (0.0, 28.0, 56.0, 84.0)),
    "box": ("box", (1500.0, 2000.0, 2200.0)),
    "rings": ("ring", tuple(float(k) for k in range(9))),
}
RINGS = 8
"""Rings of q of equal width; one of them is masked in the study of the rings, none as number 0."""


def judge(item: tuple[int, dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Simulate one pattern, answer it, and compare: a unit of work."""
    n, given = item
    disks, frame = scene(n, given, rng)
    return judge_frame(disks, frame, given["density"], rng)


def judge_frame(
    disks: Disks, frame: Frame, density: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Answer a frame under settings of `scattering density` and compare with the disks behind it."""
    n = int(disks.radius.size)
    settings = DensitySettings.model_validate(density)
    start = time.process_time()
    try:
        solution = solve(frame, settings, rng)
    except DataError as error:
        return {"n": n, "answer": 0, "refused": str(error), "seconds": time.process_time() - start}
    seconds = time.process_time() - start
    chance, numbers = solution.posterior, solution.numbers
    top = float(chance.max())
    row: dict[str, Any] = {
        "n": n,
        "answer": solution.answer,
        "probability": top,
        "proved": solution.verdict == "proved",
        "verdict": solution.verdict,
        "asked": len(solution.opinions),
        "flags": len(solution.opinions) and not all(o.inside for o in solution.opinions),
        "gain": solution.ready.gain.value,
        "pit": randomised_pit(numbers, chance, n, float(rng.random())),
        "score": float(np.log(max(chance[n - 1], 1e-12))),
        "smallest": float(disks.radius.min() ** 2 / (disks.radius**2).mean()),
        "visible": solution.power.visible,
        "seconds": seconds,
        "parts": {k: int(numbers[int(np.argmax(v))]) for k, v in solution.parts.items()},
    }
    for level in (0.68, 0.95):
        low, high = credible_set(numbers, chance, level)
        row[f"inside_{round(100 * level)}"] = bool(low <= n <= high)
    return row | _geometry(solution, disks, frame)


def scene(n: int, given: dict[str, Any], rng: np.random.Generator) -> tuple[Disks, Frame]:
    """Return a structure and its recorded frame."""
    recipe = Recipe(
        given["box"], given["radius"], given["law"], placement=given.get("placement", "rsa")
    )
    disks = place(n, recipe, rng)
    if given["radius_scatter"] > 0:
        factor = 1.0 + given["radius_scatter"] * rng.standard_normal(n)
        disks = replace(disks, radius=disks.radius * factor)
    grid = published_grid(given["pixels"])
    cy, cx = grid.origin
    shift = rng.uniform(-given["offset"], given["offset"], 2)
    true = replace(grid, centre=(cy + shift[0], cx + shift[1]))
    line = Beamline(
        true,
        photons=given["photons"],
        beam_stop=given["beamstop"] * (given["pixels"] - 1) / 512.0,
        dead=given["dead"],
        coherence=given.get("coherence", 0.0),
    )
    shot = detect(intensity(disks, line, given["box"], given["engine"]), line, rng)
    opened = shot.open_pixels
    if ring := int(given.get("ring", 0)):
        edges = np.linspace(line.beam_stop, 0.5 * given["pixels"], RINGS + 1)
        radius = grid.radius()
        opened = opened & ~((radius >= edges[ring - 1]) & (radius < edges[ring]))
    told = given["offset"] == 0
    frame = Frame(
        shot.counts,
        opened,
        (float(cy), float(cx)) if told else None,
        grid.step,
        "px",
        True,
        None,
        given["box"] - 2 * min(given["radius"], 90.0) if given["tell_box"] else None,
        "simulated",
        0,
        1,
    )
    return disks, frame


def _geometry(solution: Solution, disks: Disks, frame: Frame) -> dict[str, Any]:
    fit = solution.fit
    if fit is None or fit.structure.count != disks.radius.size:
        return {}
    from matterscope.scattering.refinement import uncertainties

    scale = 1.0 / frame.step[1]
    s = fit.structure
    found = Disks(s.x * scale, s.y * scale, s.radius * scale)
    placed, (rows, columns), _ = align(found, disks)
    away = np.hypot(placed.x[rows] - disks.x[columns], placed.y[rows] - disks.y[columns])
    error = uncertainties(fit)
    size = found.radius[rows] - disks.radius[columns]
    return {
        "position_error": float(np.median(away) / disks.radius.mean()),
        "radius_error": float(np.median(np.abs(size) / disks.radius[columns])),
        "radius_pull": float(np.mean((size / (error["radius"][rows] * scale)) ** 2)),
    }


def population(settings: EvaluateSettings) -> dict[str, Any]:
    """Return the plain description of the test patterns."""
    given = settings.model_dump()
    given["density"] = {
        "estimator": settings.estimator,
        "size_law": settings.size_law,
        "prior_n": (1, max(60, settings.n_last + 20)),
    }
    return given


def evaluate_density(inputs: list[Input], settings: EvaluateSettings, call: Call) -> list[Estimate]:
    """Answer simulated patterns of known number and score the answers."""
    if settings.study == "training-size":
        from matterscope.scattering.learning import learning_curve

        return [learning_curve(settings, call)]
    base = population(settings)
    name, values = STUDIES.get(settings.study, ("", (0.0,)))
    tables, summaries = [], []
    for value in values:
        given = base | ({name: value} if name else {})
        items = [
            (n, given) for n in range(settings.n, settings.n_last + 1) for _ in range(settings.each)
        ]
        # the same structures under every condition
        rows = call.map(judge, items, f"evaluate-{name}")
        tables.append(rows)
        summaries.append(({name: value} if name else {}) | summarise(rows))
    rows = [r for table in tables for r in table]
    estimate = _answer(rows, settings, call)
    estimate.tables["conditions"] = pd.DataFrame(summaries)
    if name:
        share = np.array([s["exact"] for s in summaries])
        total = np.array([s["patterns"] for s in summaries])
        low, high = _binomial(share * total, total)
        score = np.array([s["log_score"] for s in summaries])
        words = "masked ring of q (0: none)" if name == "ring" else name
        estimate.pictures.append(pictures.study(np.array(values), share, low, high, score, words))
    return [estimate]


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the scores of a table of judged patterns, the contrast's own answer as the baseline."""
    right = np.array([r["answer"] == r["n"] for r in rows])
    away = np.array([abs(r["answer"] - r["n"]) for r in rows])
    answered = [r for r in rows if "pit" in r]
    top = np.array([r["probability"] for r in answered])
    hit = np.array([r["answer"] == r["n"] for r in answered])
    pit = np.array([r["pit"] for r in answered])
    result: dict[str, Any] = {
        "patterns": len(rows),
        "exact": float(right.mean()),
        "within_one": float((away <= 1).mean()),
        "proved": float(np.mean([r["proved"] for r in answered])),
        "proved_wrong": sum(r["proved"] and r["answer"] != r["n"] for r in answered),
        "calibration_error": float(expected_calibration_error(top, hit)),
        "pit_68": float((np.abs(pit - 0.5) < 0.34).mean()),
        "pit_95": float((np.abs(pit - 0.5) < 0.475).mean()),
        "coverage_68": float(np.mean([r["inside_68"] for r in answered])),
        "coverage_95": float(np.mean([r["inside_95"] for r in answered])),
        "log_score": float(np.mean([r["score"] for r in answered])),
        "median_seconds": float(np.median([r["seconds"] for r in rows])),
        "mean_seconds": float(np.mean([r["seconds"] for r in rows])),
    }
    for part in sorted({p for r in answered for p in r["parts"]}):
        result[f"{part}_exact"] = float(np.mean([r["parts"].get(part) == r["n"] for r in answered]))
    for key in ("position_error", "radius_error", "radius_pull"):
        known = [r[key] for r in answered if key in r]
        if known:
            result[key] = float(np.median(known))
    return result


def _binomial(k: Floats, n: Floats, level: float = 0.9) -> tuple[Floats, Floats]:
    a = 0.5 * (1.0 - level)
    low = np.where(k > 0, beta.ppf(a, np.maximum(k, 1e-9), n - k + 1), 0.0)
    high = np.where(k < n, beta.ppf(1 - a, k + 1, np.maximum(n - k, 1e-9)), 1.0)
    return np.asarray(low), np.asarray(high)


def _answer(rows: list[dict[str, Any]], settings: EvaluateSettings, call: Call) -> Estimate:
    scores = summarise(rows)
    estimate = Estimate("scattering evaluate")
    total = float(len(rows))
    bands = []
    for level in call.levels:
        low, high = _binomial(np.array([scores["exact"] * total]), np.array([total]), level)
        bands.append(Interval(level, float(low[0]), float(high[0])))
    estimate.quantities["accuracy"] = Quantity(scores["exact"], "1", intervals=tuple(bands))
    estimate.quantities["baseline_accuracy"] = Quantity(
        scores.get("contrast_exact"), "1", reason="N from the speckle contrast alone"
    )
    estimate.quantities["calibration_error"] = Quantity(
        scores["calibration_error"], "1", reason="of the likeliest number, ten bins"
    )
    estimate.diagnostics |= scores
    classes = np.arange(settings.n, settings.n_last + 1, dtype=float)
    truth, answer = (np.array([r[k] for r in rows]) for k in ("n", "answer"))
    estimate.pictures.append(
        pictures.confusion(
            classes, confusion_counts(truth, answer, classes), "Answers against the truth"
        )
    )
    answered = [r for r in rows if "pit" in r]
    curve = reliability(
        np.array([r["probability"] for r in answered]),
        np.array([r["answer"] == r["n"] for r in answered]),
    )
    edges = np.linspace(0, 1, 11)
    density, _ = np.histogram([r["pit"] for r in answered], edges, density=True)
    filled = curve["count"] > 0
    estimate.pictures.append(
        pictures.calibration(
            curve["confidence"][filled], curve["frequency"][filled], edges, density
        )
    )
    table = pd.DataFrame([{k: v for k, v in r.items() if k != "parts"} for r in rows])
    estimate.tables["patterns"] = table
    estimate.provenance |= {
        "references": ["arXiv 2211.08194"],
        "data": "simulated patterns; seeds of their own",
    }
    return estimate
