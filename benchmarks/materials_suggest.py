"""What the suggestions are worth: batches against random choice, evolution against random sampling.

    python benchmarks/materials_suggest.py batch 0,1,2       best value found after rounds of 8 computations
    python benchmarks/materials_suggest.py evolution 0,1,2   hypervolume of two objectives, and the optimum of one

A law with a curved objective stands for the computations: nothing of the public table is used.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from matterscope.core.calls import Call
from matterscope.core.models import model_file
from matterscope.materials.alloys.compositions import SITES, parse_formula
from matterscope.materials.alloys.enumeration import space_of
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.persistence import save_model
from matterscope.materials.alloys.spaces import PAPER_SPACE, Space
from matterscope.materials.screens.evolution import evolve, random_counts
from matterscope.materials.screens.frontiers import pareto_front
from matterscope.materials.screens.screening import make_plan
from matterscope.materials.screens.streaming import evaluate
from matterscope.materials.screens.suggestion import lookup, suggest_compounds
from matterscope.materials.settings import SuggestSettings

SEEDS = [int(s) for s in sys.argv[2].split(",")] if len(sys.argv) > 2 else [0, 1, 2, 3, 4]
START, BATCH, ROUNDS = 40, 8, 5


def law(fractions: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a merit that peaks at a gap of 1.4 eV among stable compounds, and a decomposition energy."""
    a, b, x = fractions
    gap = 0.6 + b @ np.array([3.0, 2.8, 2.6, 0.9, 0.5, 1.0]) + x @ np.array([1.4, 0.7, 0.1])
    gap = (
        gap
        - 0.6 * (b[:, 3] * b[:, 5] + b[:, 4] * b[:, 5])
        + a @ np.array([0.2, 0.1, 0.0, 0.1, 0.15])
    )
    energy = 0.3 * b[:, 3] - 0.25 * b[:, 5] + 0.2 * b[:, 0] - 0.1 * a[:, 2] - 0.15 * x[:, 2]
    energy = energy + 0.1 * (1 - (b**2).sum(1))
    return {"figure_of_merit": 5 - 2.0 * np.abs(gap - 1.4) ** 1.5 - 0.8 * energy, "decomposition_energy": energy}  # fmt: skip


def fractions_of(space: Space, counts: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(counts[s] / space.steps[s] for s in SITES)


def learnt(rows: tuple[np.ndarray, ...], seed: int) -> AlloyModel:
    targets = law(rows)  # type: ignore[arg-type]
    return AlloyModel(PAPER_SPACE, rows, targets, seed=seed, members=("vegard-process",)).fit()  # type: ignore[arg-type]


def batch() -> None:
    space = space_of(SuggestSettings())
    every = fractions_of(space, space.unrank(np.arange(space.size)))
    best = law(every)["figure_of_merit"].max()  # type: ignore[arg-type]
    regret = {"expected improvement": [], "upper bound": [], "random": []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        start = rng.choice(space.size, START, replace=False)
        for way, found in regret.items():
            rows = tuple(f[start] for f in every)
            course = []
            for _ in range(ROUNDS):
                if way == "random":
                    new = tuple(f[rng.choice(space.size, BATCH)] for f in every)
                else:
                    new = suggested(rows, seed, "ei" if way.startswith("e") else "ucb")
                rows = tuple(np.vstack([r, n]) for r, n in zip(rows, new, strict=True))
                course.append(best - law(rows)["figure_of_merit"].max())  # type: ignore[arg-type]
            found.append(course)
    for way, found in regret.items():
        print(f"{way:22s} regret after {BATCH}…{ROUNDS * BATCH}: " + " ".join(f"{v:.4f}" for v in np.mean(found, 0)))  # fmt: skip


def suggested(rows: tuple[np.ndarray, ...], seed: int, kind: str) -> tuple[np.ndarray, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alloys.npz"
        save_model(learnt(rows, seed), path, "a law", "0")
        settings = SuggestSettings(
            model=str(model_file(str(path))), method="batch", count=BATCH, acquisition=kind,
            objective=("max figure_of_merit",), rule=("decomposition<5",),
        )  # type: ignore[arg-type]  # fmt: skip
        (answer,) = suggest_compounds([], settings, Call(seed=seed, artifacts=Path(folder)))
    parsed = [parse_formula(f) for f in answer.tables["suggestions"]["formula"]]
    return tuple(
        np.array([[c[s].get(n, 0.0) for n in PAPER_SPACE[s]] for c in parsed]) for s in SITES
    )


def hypervolume(values: np.ndarray, corner: np.ndarray) -> float:
    """Return the area that points to be maximised dominate beyond `corner`."""
    front = values[pareto_front(values)]
    front = front[np.argsort(-front[:, 0])]
    height, area = corner[1], 0.0
    for x, y in front:
        area += max(x - corner[0], 0.0) * max(y - height, 0.0)
        height = max(height, y)
    return area


def evolution() -> None:
    steps = ("A=8", "B=8", "X=2")
    settings = SuggestSettings(steps=steps, objective=("max figure_of_merit", "min decomposition"), rule=("decomposition<5",))  # fmt: skip
    start = random_counts(space_of(SuggestSettings()), 120, np.random.default_rng(0))
    model = learnt(fractions_of(space_of(SuggestSettings()), start), 0)
    with tempfile.TemporaryDirectory() as folder:
        plan, _ = make_plan(model, space_of(settings), settings, Call(artifacts=Path(folder)))

    def score(counts: dict[str, np.ndarray]) -> np.ndarray:
        values, _ = lookup(plan, counts)
        return values * np.array([1.0, -1.0])

    step = 2000
    best = [-np.inf, -np.inf]
    fronts = []
    for first in range(0, plan.pairs, step):
        values, _ = evaluate(plan, first, min(first + step, plan.pairs))
        flat = values.reshape(2, -1).T * np.array([1.0, -1.0])
        fronts.append(flat[pareto_front(flat)])
        best = np.maximum(best, flat.max(0))
    exact = np.vstack(fronts)
    corner = np.quantile(exact, 0.0, axis=0)
    whole = hypervolume(exact, corner)
    shares: dict[str, list[float]] = {"NSGA-II": [], "random": []}
    single: dict[str, list[float]] = {"genetic": [], "random": []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        found = evolve(score, plan.space, rng, 200, 60)
        shares["NSGA-II"].append(hypervolume(found.objectives, corner) / whole)
        drawn = score(random_counts(plan.space, 200 * 61, rng))
        shares["random"].append(hypervolume(drawn, corner) / whole)
        one = evolve(lambda c: score(c)[:, :1], plan.space, rng, 200, 60)
        single["genetic"].append(best[0] - one.objectives[:, 0].max())
        single["random"].append(best[0] - drawn[:, 0].max())
    print(f"{plan.space.size:,} compounds, {200 * 61:,} evaluations each, seeds {SEEDS}")
    for name, values in shares.items():
        print(f"  hypervolume of {name:8s} {np.mean(values):.4f} of the exact front's (worst {min(values):.4f})")  # fmt: skip
    for name, values in single.items():
        print(f"  best of one objective, {name:8s} {np.mean(values):.4f} below the exact optimum")


if __name__ == "__main__":
    {"batch": batch, "evolution": evolution}[sys.argv[1] if len(sys.argv) > 1 else "batch"]()
