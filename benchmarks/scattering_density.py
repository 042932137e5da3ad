"""Goals of `scattering density` on simulated patterns: exact answers, calibration, time, baselines.

``python benchmarks/scattering_density.py run CASE EACH SEED [ROWS]`` judges EACH patterns per number and
appends one JSON line per pattern to ROWS (default scattering_density.jsonl); ``table [ROWS]`` prints the
table of all rows with intervals; ``simulator`` times the engines; ``moments`` checks the published values;
``published SEED`` learns the published protocol (centre kept, no noise); ``collapse SEED`` learns ring averages.
Runs of one case with different seeds add up, so that a long measurement can be made in pieces.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matterscope.core.random import generator
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.evaluation import (
    judge,
    judge_frame,
    population,
    scene,
    summarise,
)
from matterscope.scattering.observables import first_moment
from matterscope.scattering.settings import EvaluateSettings
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid, raster

TRANSFER = {"engine": "raster", "radius_scatter": 0.01, "offset": 2.0, "dead": 8, "tell_box": False}
CASES: dict[str, dict[str, Any]] = {
    "S3 fresh, 10 photons": {"law": "normal", "photons": 10.0},
    "S3 fresh, 1 photon": {"law": "normal", "photons": 1.0},
    "S3 fresh, 0.3 photon": {"law": "normal", "photons": 0.3},
    "S3 fresh, 0.1 photon": {"law": "normal", "photons": 0.1},
    "S3 fresh, no hole, 10 photons": {"law": "normal", "photons": 10.0, "beamstop": 0.0},
    "S4 R = 90, no noise": {"law": "fixed", "photons": 0.0},
    "S4 R = 90, 10 photons": {"law": "fixed", "photons": 10.0},
    "S4 R = 90, 1 photon": {"law": "fixed", "photons": 1.0},
    "S4 R = 90, 0.1 photon": {"law": "fixed", "photons": 0.1},
    "S4 R = 90, hole 21, 10 photons": {"law": "fixed", "photons": 10.0, "beamstop": 84.0},
    "S3b transfer fresh, 10 photons": {"law": "normal", "photons": 10.0, **TRANSFER},
    "S3b transfer fresh, 1 photon": {"law": "normal", "photons": 1.0, **TRANSFER},
    "S3b transfer R = 90, 10 photons": {"law": "fixed", "photons": 10.0, **TRANSFER},
    "S3b transfer R = 90, 1 photon": {"law": "fixed", "photons": 1.0, **TRANSFER},
    "S3b transfer fresh, hole 21, 10 photons": {
        "law": "normal",
        "photons": 10.0,
        **TRANSFER,
        "beamstop": 84.0,
    },
    "S3b transfer fresh, no hole, 10 photons": {
        "law": "normal",
        "photons": 10.0,
        **TRANSFER,
        "beamstop": 0.0,
    },
    "S3b N = 36, R = 90": {"law": "fixed", "photons": 10.0, "n": 36, "n_last": 36},
    "S6 box 2200, R = 90": {"law": "fixed", "photons": 10.0, "box": 2200.0, "tell_box": False},
    "S6 box 1500, fresh": {"law": "normal", "photons": 10.0, "box": 1500.0, "tell_box": False},
    "S6 N = 24 … 30, fresh": {"law": "normal", "photons": 10.0, "n": 24, "n_last": 30},
    "S6 lognormal radii": {"law": "lognormal", "photons": 10.0},
    "S8 random factor, fresh, 10 photons": {"law": "normal", "photons": 10.0, **TRANSFER},
    "S8 random factor, R = 90, 10 photons": {"law": "fixed", "photons": 10.0, **TRANSFER},
    "513 px, fresh, 1 photon": {"law": "normal", "photons": 1.0, "pixels": 513},
    "partial coherence 900 px, fresh": {"law": "normal", "photons": 10.0, "coherence": 900.0},
}
SCALED = "S8 random factor"


def run(case: str, each: int, seed: int, rows: Path) -> None:
    settings = EvaluateSettings.model_validate({"each": each, **CASES[case]})
    given = population(settings)
    judge((3, given), generator(seed, "warm"))  # compile outside the clock
    with rows.open("a") as handle:
        for k in range(each):
            for n in range(settings.n, settings.n_last + 1):
                row = one(case, n, given, generator(seed, f"benchmark {case} {n}", k))
                handle.write(json.dumps({"case": case, "seed": seed} | row) + "\n")
                handle.flush()


def one(case: str, n: int, given: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Judge one pattern; where the case says so, its counts are first multiplied by a random factor."""
    if not case.startswith(SCALED):
        return judge((n, given), rng)
    disks, frame = scene(n, given, rng)
    factor = float(np.exp(rng.uniform(np.log(0.05), np.log(20.0))))
    scaled = replace(frame, counts=frame.counts * factor, photons=False)
    return judge_frame(disks, scaled, given["density"], rng) | {"factor": factor}


def table(rows: Path) -> None:
    from scipy.stats import beta

    cases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in rows.read_text().splitlines():
        row = json.loads(line)
        cases[row["case"]].append(row)
    print(
        "| case | patterns | exact (90 %) | ±1 | proved | proved and wrong | ECE | PIT 68 / 95 | CPU-s median / mean | contrast | classifier, flagged | position, radius error | pull² |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if case not in cases:
            continue
        s = summarise(cases[case])
        n, k = s["patterns"], round(s["exact"] * s["patterns"])
        low = beta.ppf(0.05, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
        print(
            f"| {case} | {n} | {s['exact']:.4f} ({low:.3f}–{high:.3f}) | {s['within_one']:.4f} | {s['proved']:.3f} | {s['proved_wrong']} "
            f"| {s['calibration_error']:.3f} | {s['pit_68']:.2f} / {s['pit_95']:.2f} | {s['median_seconds']:.2f} / {s['mean_seconds']:.2f} "
            f"| {s.get('contrast_exact', float('nan')):.2f} | {s.get('classifier_exact', float('nan')):.2f}, {flagged(cases[case])} "
            f"| {s.get('position_error', float('nan')):.4f} R, {100 * s.get('radius_error', float('nan')):.2f} % | {s.get('radius_pull', float('nan')):.2f} |"
        )


def flagged(rows: list[dict[str, Any]]) -> str:
    """Return how many of the patterns that a classifier was asked about lie outside its population."""
    asked = [r for r in rows if r.get("asked")]
    return f"{sum(bool(r['flags']) for r in asked)} of {len(asked)}" if asked else "–"


def _rings(pattern: Any) -> tuple[Any, Any]:
    """Return mean and spread of the rings of a pattern whose centre is its middle pixel."""
    half = pattern.shape[0] // 2
    rho = np.hypot(*np.meshgrid(*[np.arange(-half, half + 1)] * 2, indexing="ij"))
    ring = np.rint(rho).astype(int).ravel()
    number = np.bincount(ring)
    mean = np.bincount(ring, pattern.ravel()) / number
    square = np.bincount(ring, pattern.ravel() ** 2) / number
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _discriminant(train: Any, test: Any) -> float:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*train)
    return float((lda.predict(test[0]) == test[1]).mean())


def published(seed: int) -> None:
    """Learn the published protocol: R = 90, no noise, centre kept, z-score with the direct beam; 250 and 100 per N."""
    start = time.process_time()
    line = Beamline(published_grid(129))
    sets = []
    for name, each in (("train", 250), ("test", 100)):
        features, number = [], []
        for n in range(2, 21):
            for k in range(each):
                disks = place(n, Recipe(), generator(seed, f"published {name} {n}", k))
                pattern = intensity(disks, line, 2000.0)
                mean, spread = _rings((pattern - pattern.mean()) / pattern.std())
                features.append(np.concatenate([mean[:60], spread[1:60]]))
                number.append(n)
        sets.append((np.array(features), np.array(number)))
    share = _discriminant(*sets)
    seconds = time.process_time() - start
    print(f"published protocol: {share:.4f} of {len(sets[1][1])}, {seconds:.1f} CPU-s in all")


def collapse(seed: int) -> None:
    """Learn ring averages with R equal for all N, counts multiplied by a random factor: there is nothing to learn."""
    line = Beamline(published_grid(129), photons=10.0, beam_stop=7.0)
    open_rings = np.arange(8, 62)
    whole, averaged = [], []
    for name, each in (("train", 100), ("test", 40)):
        rings, full, number = [], [], []
        for n in range(2, 21):
            for k in range(each):
                rng = generator(seed, f"collapse {name} {n}", k)
                shot = detect(intensity(place(n, Recipe(), rng), line, 2000.0), line, rng)
                mean, spread = _rings(shot.counts * np.exp(rng.uniform(-3, 3)))
                mean, spread = mean[open_rings], spread[open_rings]
                level = mean.mean()
                rings.append(np.log(np.maximum(mean / level, 1e-6)))
                full.append(np.concatenate([rings[-1], spread / np.maximum(mean, 1e-3 * level)]))
                number.append(n)
        averaged.append((np.array(rings), np.array(number)))
        whole.append((np.array(full), np.array(number)))
    print(
        f"ring averages: {_discriminant(*averaged):.3f} of {len(averaged[1][1])} (chance 0.053, limit 0.15); "
        f"with the spread of the rings: {_discriminant(*whole):.3f}"
    )


def simulator() -> None:
    for law in ("fixed", "normal"):
        disks = [place(n, Recipe(law=law), np.random.default_rng(n)) for n in range(2, 21)]
        for pixels in (129, 513):
            line = Beamline(published_grid(pixels))
            intensity(disks[0], line, 2000.0)
            start, count = time.process_time(), 0
            while time.process_time() - start < 1.5:
                intensity(disks[count % 19], line, 2000.0)
                count += 1
            each = (time.process_time() - start) / count
            print(f"{law} {pixels} px: {1 / each:.0f} patterns per CPU-s ({1e3 * each:.2f} ms)")
            if pixels == 129:
                image = raster(disks[9], 2000.0)
                start = time.process_time()
                for _ in range(3):
                    intensity(disks[9], line, 2000.0, "raster")
                dense = (time.process_time() - start) / 3
                print(
                    f"  baseline: matrix transform of the 2001² raster {1e3 * dense:.1f} ms, ×{dense / each:.0f}"
                )
                del image


def moments() -> None:
    folder = Path(os.environ["MATTERSCOPE_DATA"]) / "speckle"
    name = "PostAnalysis__AvgDiskSize_ScatteringPattern__Y_fristMoment_raw.csv"
    reference = np.loadtxt(folder / name).reshape(19, 10)
    line = Beamline(published_grid(513))
    total = 0.0
    for n in range(2, 21):
        mine = np.array(
            [
                first_moment(
                    intensity(
                        place(n, Recipe(), generator(7, "moments", 100 * n + k)), line, 2000.0
                    ),
                    (256, 256),
                )
                for k in range(40)
            ]
        )
        error2 = reference[n - 2].var(ddof=1) / 10 + mine.var(ddof=1) / 40
        total += (mine.mean() - reference[n - 2].mean()) ** 2 / error2
    print(f"first moments: χ² = {total:.1f} for 19 numbers (99 %: 36.2)")


def main() -> None:
    words = sys.argv[1:] or ["table"]
    rows = Path("scattering_density.jsonl")
    if words[0] == "run":
        run(words[1], int(words[2]), int(words[3]), Path(words[4]) if len(words) > 4 else rows)
    elif words[0] == "table":
        table(Path(words[1]) if len(words) > 1 else rows)
    elif words[0] in {"published", "collapse"}:
        {"published": published, "collapse": collapse}[words[0]](int(words[1]))
    else:
        {"simulator": simulator, "moments": moments}[words[0]]()


if __name__ == "__main__":
    main()
