"""Training: a classifier of patterns, made by simulation for one set-up.

In: the settings of `scattering train`. Out: weights and a card on disk, with scores on patterns of
other seeds beside a linear baseline. Radii, exposure and noise are drawn anew for every pattern.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.core.files import sha256_of
from matterscope.learn.calibration import bootstrap, expected_calibration_error, fit_temperature
from matterscope.scattering import pictures
from matterscope.scattering.classification import Classifier, save_classifier
from matterscope.scattering.disks import EQUAL_LAWS, Recipe, place
from matterscope.scattering.features import describe_pattern
from matterscope.scattering.levelling import Task
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid

if TYPE_CHECKING:
    from matterscope.scattering.settings import TrainSettings

Floats = NDArray[np.float64]
MEMBERS = 3


@dataclass(frozen=True)
class Examples:
    """Features of simulated patterns, with their true numbers and levels."""

    features: Floats
    number: NDArray[np.int64]
    photons: Floats


def example(item: tuple[int, dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Simulate one pattern of a population and return its features: a unit of work."""
    n, given = item
    low, high = given["photons"]
    photons = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    grid = published_grid(given["pixels"])
    shift = rng.uniform(-given["offset"], given["offset"], 2)
    cy, cx = grid.origin
    true = replace(grid, centre=(cy + shift[0], cx + shift[1]))
    line = Beamline(true, photons=photons, beam_stop=given["hole"])
    disks = place(n, Recipe(given["box"], given["radius"], given["law"]), rng)
    shot = detect(intensity(disks, line, given["box"], given.get("engine", "analytic")), line, rng)
    task = Task(shot.counts, shot.open_pixels, true.origin, equal=given["law"] in EQUAL_LAWS)
    vector = describe_pattern(task)
    return {"features": vector.astype(np.float32), "photons": photons}


def simulate_examples(
    given: dict[str, Any], numbers: range, each: int, call: Call, stream: str
) -> Examples:
    """Return `each` patterns per number, in the caller's executor."""
    items = [(n, given) for n in numbers for _ in range(each)]
    made = call.map(example, items, stream)
    return Examples(
        np.stack([m["features"] for m in made]).astype(float),
        np.array([n for n, _ in items]),
        np.array([m["photons"] for m in made]),
    )


def fit_classifier(
    train: Examples, check: Examples, numbers: Floats, card: dict[str, Any], seed: int
) -> Classifier:
    """Return an ensemble of perceptrons with the temperature and the domain limit of `check`."""
    from sklearn.neural_network import MLPClassifier

    mean, scale = train.features.mean(axis=0), train.features.std(axis=0) + 1e-6
    x = np.clip((train.features - mean) / scale, -8.0, 8.0)
    rng = np.random.default_rng(seed)
    layers = []
    for member in range(MEMBERS):
        noisy = np.concatenate([x, x + 0.1 * rng.standard_normal(x.shape)])
        net = MLPClassifier(
            (192, 96),
            alpha=3e-3,
            batch_size=min(200, len(train.number)),
            learning_rate_init=2e-3,
            max_iter=16,
            random_state=seed + member,
        )
        labels = np.concatenate([train.number, train.number])
        _quiet_fit(net, noisy, labels)
        layers.append([(w, b) for w, b in zip(net.coefs_, net.intercepts_, strict=True)])
    u, s, v = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    del u
    kept = min(140, int((s > 1e-6).sum()))
    whiten = v[:kept].T * (np.sqrt(len(x)) / s[:kept])
    model = Classifier(layers, mean, scale, numbers, 1.0, x.mean(axis=0), whiten, 1.0, card)
    limit = float(np.quantile(model.distance(check.features), 0.97))
    p = model.probabilities(check.features)
    temperature = fit_temperature(p, np.searchsorted(numbers, check.number))
    return replace(model, limit=limit, temperature=float(temperature))


def _quiet_fit(net: Any, x: Floats, y: NDArray[np.int64]) -> None:
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # a fixed number of passes is the recipe, not a failure to converge
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(x, y)


def linear_baseline(train: Examples, test: Examples) -> NDArray[np.int64]:
    """Return what a linear discriminant with shrinkage answers: the baseline of every score."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    mean, scale = train.features.mean(axis=0), train.features.std(axis=0) + 1e-6
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05)
    lda.fit(np.clip((train.features - mean) / scale, -8, 8), train.number)
    answer = lda.predict(np.clip((test.features - mean) / scale, -8, 8))
    return np.asarray(answer, dtype=np.int64)


def train_classifier(inputs: list[Input], settings: TrainSettings, call: Call) -> list[Estimate]:
    """Simulate a population, train on it, score on other seeds, and write the model."""
    given = population_of(settings)
    numbers = range(settings.n, settings.n_last + 1)
    train = simulate_examples(given, numbers, settings.each, call, "train")
    check = simulate_examples(given, numbers, max(settings.each // 8, 4), call, "temperature")
    test = simulate_examples(given, numbers, max(settings.each // 5, 5), call, "test")
    classes = np.arange(settings.n, settings.n_last + 1, dtype=float)
    card = {
        "name": settings.name,
        "population": f"disks, N = {settings.n} … {settings.n_last}, radii {settings.law}, box {settings.box:g}, {settings.photons[0]:g}–{settings.photons[-1]:g} photons per pixel, beam stop {given['hole']:g} of {settings.pixels // 2} px; analytic engine",
        "setup": {
            "shape": [settings.pixels, settings.pixels],
            "hole": given["hole"],
            "photons": list(settings.photons),
            "box": settings.box,
            "radius": settings.radius,
            "law": settings.law,
            "step": published_grid(settings.pixels).step[1],
            "numbers": [settings.n, settings.n_last],
        },
        "data": "simulated by this package; no measured pattern",
        "licence": "BSD-3-Clause",
        "patterns": len(train.number),
        "seed": call.seed,
        "limits": "another box, radius law, hole or a partially coherent beam lie outside; the distance to the training population is checked",
        "command": f"matterscope scattering train --name {settings.name} --law {settings.law} --each {settings.each} --seed {call.seed}",
    }
    model = fit_classifier(train, check, classes, card, call.seed)
    p = model.probabilities(test.features)
    answer = model.numbers[np.argmax(p, axis=1)].astype(int)
    base = linear_baseline(train, test)
    ece = expected_calibration_error(p.max(axis=1), answer == test.number)
    accuracy = bootstrap(_share, test.number, answer, np.arange(answer.size), baseline=base)
    card |= {
        "score": {
            "accuracy": accuracy.value,
            "low_90": accuracy.low,
            "high_90": accuracy.high,
            "baseline_lda": accuracy.baseline,
            "ece": ece,
            "patterns": int(answer.size),
        }
    }
    path = call.artifact(f"{settings.name}.npz")
    name = save_classifier(replace(model, card=card), path)
    estimate = Estimate("scattering train")
    estimate.quantities["accuracy"] = Quantity(
        accuracy.value, "1", intervals=(Interval(accuracy.level, accuracy.low, accuracy.high),)
    )
    estimate.quantities["baseline_accuracy"] = Quantity(
        accuracy.baseline, "1", reason="linear discriminant on the same patterns"
    )
    estimate.quantities["calibration_error"] = Quantity(
        float(ece), "1", reason="of the top class on patterns of other seeds"
    )
    estimate.diagnostics |= {
        "model": name,
        "within_one": float((np.abs(answer - test.number) <= 1).mean()),
        "temperature": model.temperature,
        "artifacts": [
            {"path": f.name, "sha256": sha256_of(f)} for f in (path, path.with_suffix(".json"))
        ],
    }
    estimate.provenance |= {"model": card, "references": ["arXiv 2211.08194"]}
    estimate.pictures.append(
        pictures.confusion(
            classes,
            confusion_counts(test.number, answer, classes),
            "Answers on patterns of other seeds",
        )
    )
    return [estimate]


def _share(truth: Floats, answer: Floats) -> float:
    return float(np.mean(truth == answer))


def confusion_counts(
    truth: NDArray[np.int64], answer: NDArray[np.int64], classes: Floats
) -> Floats:
    """Return how often each true number (rows) got each answer (columns)."""
    table = np.zeros((classes.size, classes.size))
    low = int(classes[0])
    for t, a in zip(truth, answer, strict=True):
        table[int(t) - low, int(np.clip(a - low, 0, classes.size - 1))] += 1
    return table


def population_of(settings: TrainSettings) -> dict[str, Any]:
    """Return the plain description of a population, from which units of work are made."""
    return {
        "box": settings.box,
        "radius": settings.radius,
        "law": settings.law,
        "pixels": settings.pixels,
        "hole": settings.beamstop * (settings.pixels - 1) / 512.0,
        "photons": (settings.photons[0], settings.photons[-1]),
        "offset": settings.offset,
        "engine": "analytic",
    }
