"""A small table of alloys from a known law, and a model of it that is fast to fit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.materials.alloys.compositions import SITES, formulas
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.spaces import make_space

SPECIES = {"A": ("Cs", "MA"), "B": ("Sn", "Pb"), "X": ("Br", "I")}


def law(a: np.ndarray, b: np.ndarray, x: np.ndarray, bowing: float) -> np.ndarray:
    """Return a gap that is linear in all fractions but for a bowing of B."""
    return 1.5 + 0.2 * a[:, 1] + 0.5 * b[:, 1] + 0.7 * x[:, 0] - bowing * b[:, 0] * b[:, 1]


def table(bowing: float = 0.8, noise: float = 0.0, steps: int = 4) -> pd.DataFrame:
    """Return formulas, a gap and a decomposition energy of all compounds mixed on B."""
    space = make_space(SPECIES, {"A": 1, "B": steps, "X": 1})
    counts = space.unrank(np.arange(space.size))
    a, b, x = (counts[s] / space.steps[s] for s in SITES)
    rng = np.random.default_rng(0)
    gap = law(a, b, x, bowing) + noise * rng.normal(size=space.size)
    decomposition = 0.3 * a[:, 1] - 0.2 * x[:, 1] + 0.02 * rng.normal(size=space.size)
    return pd.DataFrame(
        {
            "formula": formulas(counts, space.species, space.steps),
            "gap (eV)": gap,
            "decomposition (eV)": decomposition,
        }
    )


def write(folder: Path, frame: pd.DataFrame, name: str = "alloys.csv") -> Path:
    """Write a table as CSV and return its path."""
    path = folder / name
    frame.to_csv(path, index=False)
    return path


@lru_cache(maxsize=4)
def model(bowing: float = 0.8) -> AlloyModel:
    """Return a quickly fitted model of the table (one process, no trees)."""
    space = make_space(SPECIES, {"A": 1, "B": 4, "X": 1})
    counts = space.unrank(np.arange(space.size))
    a, b, x = (counts[s] / space.steps[s] for s in SITES)
    frame = table(bowing)
    targets = {
        "band_gap": frame["gap (eV)"].to_numpy(),
        "decomposition_energy": frame["decomposition (eV)"].to_numpy(),
    }
    return AlloyModel(
        SPECIES, (a, b, x), targets, members=("vegard-process",),
        units={"band_gap": "eV", "decomposition_energy": "eV"},
    ).fit()  # fmt: skip
