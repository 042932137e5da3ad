"""Learning: what more simulated patterns are worth to the statistics, the linear baseline beside them.

In: the settings of `scattering evaluate`. Out: accuracy of the classifier against the number of training
patterns, on patterns of other seeds; nothing here is inverted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.learn.calibration import bootstrap, expected_calibration_error
from matterscope.scattering import pictures
from matterscope.scattering.training import (
    Examples,
    fit_classifier,
    linear_baseline,
    simulate_examples,
)

if TYPE_CHECKING:
    from matterscope.scattering.settings import EvaluateSettings


def learning_curve(settings: EvaluateSettings, call: Call) -> Estimate:
    """Return accuracy against training size, from an eighth of the largest upwards."""
    level = max(settings.photons, 1e-3)
    given: dict[str, Any] = {
        "box": settings.box,
        "radius": settings.radius,
        "law": settings.law,
        "pixels": settings.pixels,
        "hole": settings.beamstop * (settings.pixels - 1) / 512.0,
        "photons": (level, level * 1.0001),
        "offset": settings.offset,
        "engine": settings.engine,
    }
    numbers = range(settings.n, settings.n_last + 1)
    train = simulate_examples(given, numbers, settings.training, call, "curve-train")
    check = simulate_examples(given, numbers, max(settings.training // 8, 4), call, "curve-check")
    test = simulate_examples(given, numbers, settings.each, call, "curve-test")
    classes = np.arange(settings.n, settings.n_last + 1, dtype=float)
    rows = []
    for each in sorted({max(settings.training // k, 2) for k in (8, 4, 2, 1)}):
        part = _first(train, settings.training, each)
        model = fit_classifier(part, check, classes, {}, call.seed)
        chance = model.probabilities(test.features)
        answer = classes[np.argmax(chance, axis=1)].astype(int)
        score = bootstrap(
            lambda truth, said: float(np.mean(truth == said)),
            test.number,
            answer,
            np.arange(answer.size),
            baseline=linear_baseline(part, test),
        )
        rows.append(
            {
                "training_patterns": each,
                "exact": score.value,
                "low_90": score.low,
                "high_90": score.high,
                "within_one": float((np.abs(answer - test.number) <= 1).mean()),
                "baseline_exact": score.baseline,
                "calibration_error": float(
                    expected_calibration_error(chance.max(axis=1), answer == test.number)
                ),
            }
        )
    return _answer(pd.DataFrame(rows))


def _first(examples: Examples, held: int, each: int) -> Examples:
    """Return the first `each` of the `held` patterns of every number."""
    keep = np.arange(examples.number.size) % held < each
    return Examples(examples.features[keep], examples.number[keep], examples.photons[keep])


def _answer(table: pd.DataFrame) -> Estimate:
    last = table.iloc[-1]
    estimate = Estimate("scattering evaluate", tables={"conditions": table})
    band = Interval(0.9, float(last["low_90"]), float(last["high_90"]))
    estimate.quantities["accuracy"] = Quantity(float(last["exact"]), "1", intervals=(band,))
    estimate.quantities["baseline_accuracy"] = Quantity(
        float(last["baseline_exact"]), "1", reason="linear discriminant on the same patterns"
    )
    estimate.quantities["calibration_error"] = Quantity(
        float(last["calibration_error"]), "1", reason="of the likeliest number, ten bins"
    )
    estimate.provenance |= {
        "references": ["arXiv 2211.08194"],
        "data": "simulated patterns; training, temperature and test from streams of their own",
    }
    columns = ("training_patterns", "exact", "low_90", "high_90", "baseline_exact")
    estimate.pictures.append(
        pictures.learning_curve(*(table[c].to_numpy(dtype=float) for c in columns))
    )
    return estimate
