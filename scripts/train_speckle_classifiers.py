"""Rebuild the classifiers that ship with `scattering`: published box, beam stop 28 of 256, 129 pixels.

``simulate NAME FOLDER [SECONDS]`` adds blocks of features to a folder until all are there or the time is
over, ``fit NAME FOLDER`` trains, scores and writes NPZ weights and a JSON card to the folder of shipped models.
Every pattern has its own stream; training, temperature and test never share one.
"""

from __future__ import annotations

import sys
import time
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
SEED = 21
CLASSES = np.arange(2.0, 21.0)
LAWS = {"speckle-equal": "fixed", "speckle-normal": "normal"}
PHOTONS = (0.5, 20.0)
EACH = 25
"""Patterns per number in a block."""
KINDS: dict[str, tuple[int, tuple[float, float]]] = {
    # blocks and photons per pixel
    "test-10": (1, (10.0, 10.001)),
    "test-1": (1, (1.0, 1.0001)),
    "check": (1, PHOTONS),
    "train": (16, PHOTONS),
}


def simulate(name: str, folder: Path, seconds: float) -> None:
    start = time.time()
    for kind, (blocks, photons) in KINDS.items():
        for block in range(blocks):
            path = folder / f"{name}-{kind}-{block}.npz"
            if path.exists():
                continue
            if time.time() - start > seconds:
                return
            made = _block(LAWS[name], f"{kind}-{block}", photons)
            np.savez(path, features=made.features, number=made.number, photons=made.photons)


def _block(law: str, stream: str, photons: tuple[float, float]) -> Examples:
    given = {"box": 2000.0, "radius": 90.0, "law": law, "pixels": 129, "hole": 7.0}
    given |= {"photons": photons, "offset": 0.0}
    made, number = [], []
    for i in range(EACH):
        for n in range(2, 21):
            made.append(example((n, given), generator(SEED, f"{law}-{stream}", i * 19 + n)))
            number.append(n)
    features = np.stack([m["features"] for m in made])
    return Examples(features, np.array(number), np.array([m["photons"] for m in made]))


def gather(name: str, kind: str, folder: Path) -> Examples:
    blocks = [np.load(p) for p in sorted(folder.glob(f"{name}-{kind}-*.npz"))]
    parts = [np.concatenate([b[k] for b in blocks]) for k in ("features", "number", "photons")]
    return Examples(parts[0].astype(float), parts[1], parts[2])


def fit(name: str, folder: Path) -> None:
    law = LAWS[name]
    train, check = gather(name, "train", folder), gather(name, "check", folder)
    card: dict[str, Any] = {
        "name": name,
        "population": f"disks, N = 2 … 20, radii {law}, box 2000, {PHOTONS[0]:g}–{PHOTONS[1]:g} photons per pixel, beam stop 7 of 64 px; analytic engine",
        "setup": {
            "shape": [129, 129],
            "hole": 7.0,
            "photons": list(PHOTONS),
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
        "command": f"python scripts/train_speckle_classifiers.py simulate {name} FOLDER; … fit {name} FOLDER",
    }
    model = fit_classifier(train, check, CLASSES, card, SEED)
    for kind in ("test-10", "test-1"):
        test = gather(name, kind, folder)
        chance = model.probabilities(test.features)
        answer = model.numbers[np.argmax(chance, axis=1)].astype(int)
        score = bootstrap(
            lambda t, a: float(np.mean(t == a)),
            test.number,
            answer,
            np.arange(answer.size),
            baseline=linear_baseline(train, test),
        )
        photons = f"{test.photons[0]:.0f}"
        card["score" if kind == "test-10" else f"score_{photons}"] = {
            "accuracy": score.value,
            "low_90": score.low,
            "high_90": score.high,
            "within_one": float((np.abs(answer - test.number) <= 1).mean()),
            "baseline_lda": score.baseline,
            "ece": float(expected_calibration_error(chance.max(axis=1), answer == test.number)),
            "patterns": int(answer.size),
            "condition": f"{photons} photons per pixel, other seeds",
        }
    where = save_classifier(replace(model, card=card), HOME / f"{name}.npz")
    sys.stdout.write(f"{where} {card['score']} {card['score_1']}\n")


def main() -> None:
    action, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    if action == "simulate":
        simulate(name, folder, float(sys.argv[4]) if len(sys.argv) > 4 else np.inf)
    else:
        fit(name, folder)


if __name__ == "__main__":
    main()
