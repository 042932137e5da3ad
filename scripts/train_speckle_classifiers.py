"""Rebuild the classifiers that ship with `scattering`: published box, beam stop 28 of 256, 129 pixels.

In: names of models (both by default). Out: NPZ weights and JSON cards in the folder of shipped models;
about two CPU-minutes each. Every pattern has its own stream; training, temperature and test never share one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matterscope.core.random import generator
from matterscope.learn.calibration import bootstrap, expected_calibration_error
from matterscope.scattering.classification import save_classifier
from matterscope.scattering.speckle import published_grid
from matterscope.scattering.training import Examples, example, fit_classifier, linear_baseline

HOME = Path(__file__).resolve().parents[1] / "src" / "matterscope" / "scattering" / "shipped"
SEED = 20
CLASSES = np.arange(2.0, 21.0)
MODELS: dict[str, tuple[str, tuple[int, ...]]] = {
    # name: law of radii, blocks of 36 patterns per number
    "speckle-equal": ("fixed", (1, 2, 3, 4, 5)),
    "speckle-normal": ("normal", (1, 10, 11, 12, 13, 14, 2, 3, 4, 5, 8, 9)),
}


def examples(law: str, kind: str, blocks: tuple[int, ...], each: int, photons: Any) -> Examples:
    given = {
        "box": 2000.0,
        "radius": 90.0,
        "law": law,
        "pixels": 129,
        "hole": 7.0,
        "photons": photons,
        "offset": 0.3,
    }
    made, number = [], []
    for block in blocks:
        for i in range(each):
            for n in range(2, 21):
                made.append(
                    example((n, given), generator(SEED, f"{law}-{kind}-{block}", i * 19 + n))
                )
                number.append(n)
    features = np.stack([m["features"] for m in made]).astype(float)
    return Examples(features, np.array(number), np.array([m["photons"] for m in made]))


def build(name: str) -> None:
    law, blocks = MODELS[name]
    train = examples(law, "train", blocks, 36, (0.1, 20.0))
    check = examples(law, "check", (6,), 22, (0.1, 20.0))
    test = examples(law, "test", (7,), 22, (10.0, 10.001))
    card: dict[str, Any] = {
        "name": name,
        "population": f"disks, N = 2 … 20, radii {law}, box 2000, 0.1–20 photons per pixel, beam stop 7 of 64 px; analytic engine",
        "setup": {
            "shape": [129, 129],
            "hole": 7.0,
            "photons": [0.1, 20.0],
            "box": 2000.0,
            "radius": 90.0,
            "law": law,
            "step": published_grid(129).step[1],
            "numbers": [2, 20],
        },
        "data": "simulated by this package; no measured pattern",
        "licence": "BSD-3-Clause",
        "patterns": len(train.number),
        "seed": SEED,
        "limits": "another box, radius law, hole or a partially coherent beam lie outside; the distance to the training population is checked",
        "command": f"python scripts/train_speckle_classifiers.py {name}",
    }
    model = fit_classifier(train, check, CLASSES, card, SEED)
    chance = model.probabilities(test.features)
    answer = model.numbers[np.argmax(chance, axis=1)].astype(int)
    score = bootstrap(
        lambda t, a: float(np.mean(t == a)),
        test.number,
        answer,
        np.arange(answer.size),
        baseline=linear_baseline(train, test),
    )
    card["score"] = {
        "accuracy": score.value,
        "low_90": score.low,
        "high_90": score.high,
        "baseline_lda": score.baseline,
        "ece": float(expected_calibration_error(chance.max(axis=1), answer == test.number)),
        "patterns": int(answer.size),
        "condition": "10 photons per pixel, other seeds",
    }
    sys.stdout.write(
        f"{save_classifier(replace(model, card=card), HOME / f'{name}.npz')} {card['score']}\n"
    )


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list(MODELS):
        build(wanted)
