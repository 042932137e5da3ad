"""Speed of screening alloys and of SLME, with the peers in the same run where they are installed.

    python benchmarks/materials_scale.py chunks MODEL.npz   predict, filter and write all compounds, chunk by chunk
    python benchmarks/materials_scale.py student            the same where the table mixes A, B and X: networks taught by a model
    python benchmarks/materials_scale.py networks           rows a second of such networks, twelve properties
    python benchmarks/materials_scale.py features           descriptors of compositions a second
    python benchmarks/materials_scale.py slme               spectra a second, pymatgen beside it
    python benchmarks/materials_scale.py front              Pareto front of 200,000 rows and three objectives

CPU seconds of one core are printed; a chunk is a million compounds.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from matterscope.core.calls import Call
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.enumeration import space_of
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.persistence import load_model
from matterscope.materials.alloys.spaces import PAPER_SPACE, make_space
from matterscope.materials.alloys.species import tree_features
from matterscope.materials.alloys.students import HIDDEN, NETWORKS, Layers, Student, teach
from matterscope.materials.screens.frontiers import pareto_front
from matterscope.materials.screens.screening import make_plan
from matterscope.materials.screens.streaming import chunk_unit
from matterscope.materials.settings import ScreenSettings
from matterscope.materials.solar.photovoltaics import absorptance_limits


def chunks(model: str, wanted: int) -> None:
    settings = ScreenSettings(steps=("A=8", "B=8", "X=8"), keep="all")
    with tempfile.TemporaryDirectory(prefix="matterscope-scale-") as folder:
        start = time.process_time()
        plan, _ = make_plan(load_model(Path(model)), space_of(settings), settings, Call(artifacts=Path(folder)))  # fmt: skip
        every = plan.chunks()
        print(
            f"plan {time.process_time() - start:.1f} CPU s, {plan.space.size:,} compounds, {len(every)} chunks"
        )
        rows = size = 0
        start, wall = time.process_time(), time.time()
        for number in range(0, len(every), max(1, len(every) // wanted)):
            part = chunk_unit(
                {"plan": plan, "number": number, "range": every[number]}, np.random.default_rng(0)
            )
            path = Path(plan.folder) / part["file"]
            rows, size = rows + part["rows"], size + path.stat().st_size
            path.unlink()
        cpu = time.process_time() - start
    whole = plan.space.size / rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{rows:,} rows in {cpu:.1f} CPU s ({time.time() - wall:.0f} s wall): {rows / cpu / 1e3:.0f} k rows/s a core; "
        f"all {plan.space.size:,}: {cpu * whole:.0f} CPU s, {size * whole / 1e9:.2f} GB, peak {peak:.2f} GB"
    )


def student() -> None:
    """Teach a student of two properties of a made-up table that mixes every site, and time its answers."""
    space = make_space(PAPER_SPACE, {"A": 8, "B": 8, "X": 8})
    rng = np.random.default_rng(0)
    ends = make_space(PAPER_SPACE, {"A": 1, "B": 1, "X": 1}).unrank(np.arange(90))
    mixed = space.unrank(rng.integers(0, space.size, 160))
    a, b, x = (np.vstack([ends[s], mixed[s] / 8]) for s in SITES)
    gap = 1 + b @ np.linspace(2.5, 0.3, 6) + x @ np.array([1.4, 0.7, 0.0]) - 0.8 * b[:, 4] * b[:, 5]
    energy = 0.3 - b @ np.linspace(0, 0.4, 6) + 0.2 * a[:, 0] * x[:, 2]
    targets = {"band_gap": gap + 0.1 * rng.normal(size=250), "decomposition_energy": energy + 0.03 * rng.normal(size=250)}  # fmt: skip
    model = AlloyModel(PAPER_SPACE, (a, b, x), targets, members=("vegard-process", "joint-process")).fit()  # fmt: skip
    start = time.process_time()
    taught = teach(model, list(targets), space, Call())
    print(f"taught in {time.process_time() - start:.0f} CPU s")
    for name, error in zip(taught.names, taught.error, strict=True):
        value, _ = model.models[name].left_out()
        own = float(np.sqrt(np.mean((value - model.models[name].target) ** 2)))
        print(f"  {name}: error {error:.4f}, {100 * error / own:.0f} % of the model's left-out RMSE (goal 20 %)")  # fmt: skip


def networks() -> None:
    """Time a student of twelve properties; its weights are drawn, for they do not change the time."""
    space = make_space(PAPER_SPACE, {"A": 8, "B": 8, "X": 8})
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    wide, narrow = HIDDEN
    nets = tuple(
        Layers(tuple(drawn(g.size, wide) for g in space.grids), (drawn(wide, narrow), drawn(narrow, 24)), (drawn(narrow), drawn(24)))
        for _ in range(NETWORKS)
    )  # fmt: skip
    twelve = Student(
        tuple("abcdefghijkl"), nets, drawn(24), 0.01 * drawn(24), drawn(12), np.zeros(12), np.ones(12), np.ones(12), {}
    )  # fmt: skip
    rows = 300_000
    places = [rng.integers(0, g.size, rows) for g in space.grids]
    start = time.process_time()
    twelve.rows(*places)
    rate = rows / (time.process_time() - start)
    print(f"{rate / 1e3:.0f} k rows/s a core (goal 150); all {space.size:,}: {space.size / rate:.0f} CPU s")  # fmt: skip


def features() -> None:
    space = make_space(PAPER_SPACE, {"A": 8, "B": 8, "X": 8})
    index = np.arange(0, space.size, 97)
    start = time.process_time()
    for block in np.array_split(index, len(index) // 2048):
        counts = space.unrank(block)
        tree_features(tuple(counts[s] / 8 for s in "ABX"), space.species)  # type: ignore[arg-type]
    took = time.process_time() - start
    print(f"features: {len(index) / took / 1e3:.0f} k compositions/s (matminer Magpie 0.645 k/s)")


def slme() -> None:
    energy = np.arange(0.5, 4.6005, 0.001)
    one = 5e4 * np.sqrt(np.maximum(energy - 1.5, 0)) / energy
    alpha = np.repeat(one[None], 2000, axis=0)
    start = time.process_time()
    found = absorptance_limits(energy, alpha, 1.5, 1.5, 0.5, 298.15)
    rate = len(alpha) / (time.process_time() - start)
    print(f"SLME: {rate:.0f} spectra/s a core, {100 * found.efficiency[0, 0, 0]:.3f} %")
    try:
        from pymatgen.analysis.solar.slme import slme as reference
    except ImportError:
        print("pymatgen is not installed: no comparison")
        return
    start = time.process_time()
    value = reference(energy, 100 * one, 1.5, 1.5, thickness=0.5e-6, temperature=298.15)  # α in 1/m
    theirs = 1 / (time.process_time() - start)
    print(f"pymatgen: {theirs:.0f} spectra/s, {value:.3f} %, ratio {rate / theirs:.0f}")


def front() -> None:
    values = np.random.default_rng(0).normal(size=(200_000, 3))
    start = time.process_time()
    count = len(pareto_front(values))
    print(f"Pareto: {count} of 200,000 rows in {time.process_time() - start:.2f} CPU s")


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "slme"
    if what == "chunks":
        chunks(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 29)
    else:
        {
            "student": student,
            "networks": networks,
            "features": features,
            "slme": slme,
            "front": front,
        }[what]()
