"""Level models on disk: arrays and a JSON card in one compressed file, no pickle.

In: a fitted model. Out: ``levels@SHA8`` as .npz, and the same model back. Processes are stored as training
defects with their standardised components and hyper-parameters, and factored again on loading.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.errors import ModelError
from matterscope.core.files import sha256_of
from matterscope.learn.persist import Arrays, load_model, nested, prefixed, save_model
from matterscope.materials.forests import PARTS, Forest
from matterscope.materials.transitions.features import Scaling, describe
from matterscope.materials.transitions.frames import Frame
from matterscope.materials.transitions.members import Member
from matterscope.materials.transitions.models import TERMS, LevelModel
from matterscope.materials.transitions.process import LevelProcess

FAMILY = "levels"
SHIPPED = Path(__file__).parents[1] / "shipped" / "levels.npz"


def save_levels(model: LevelModel, path: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Write `model` atomically; return its name, file and sha256. Equal models give equal bytes."""
    assert model.frame is not None
    assert model.forest is not None
    arrays = prefixed(asdict(model.frame), "frame")
    arrays |= prefixed(model.scaling.mean, "mean") | prefixed(model.scaling.spread, "spread")
    for number, member in enumerate(model.members):
        stored = _processes_out(member.processes) | {"weights": member.weights.astype(np.float32)}
        arrays |= prefixed(stored, f"member{number}")
    arrays |= prefixed(_processes_out(model.energy_processes), "energies")
    # leaves to a millielectronvolt of a host's unit: half precision holds them
    forest = model.forest.arrays() | {"value": model.forest.value.astype(np.float16)}
    arrays |= prefixed(forest, "forest") | {
        "targets": model.targets.astype(np.float32),
        "energy_targets": model.energy_targets.astype(np.float32),
        "energy_line": model.energy_line,
    }
    text = {
        "rows": model.rows.to_dict("list"), "share": model.share, "inflation": model.inflation,
        "members": len(model.members), "quantiles": {str(k): v for k, v in model.quantiles.items()},
        "host_spacing": model.host_spacing, "blind_sigma": model.blind_sigma, "excluded": model.excluded,
        "card": card,
    }  # fmt: skip
    sha = save_model(path, FAMILY, text, arrays)
    return {"path": path.name, "sha256": sha, "name": f"levels@{sha[:8]}"}


def _processes_out(processes: list[LevelProcess]) -> Arrays:
    """Return the arrays of processes that share their lengths."""
    if not processes:
        return {}
    return prefixed(processes[0].lengths, "length") | {
        "amplitudes": np.array([p.amplitudes for p in processes]),
        "noise": np.array([p.noise for p in processes]),
    }


def _processes_in(arrays: Arrays) -> list[LevelProcess]:
    if "noise" not in arrays:
        return []
    lengths = nested(arrays, "length")
    pairs = zip(arrays["amplitudes"], arrays["noise"], strict=True)
    return [LevelProcess(TERMS, lengths, a, float(n)) for a, n in pairs]


def load_levels(path: Path | None = None) -> tuple[LevelModel, dict[str, Any], str]:
    """Return a model, its card and its name; the shipped one where no path is given.

    Raises
    ------
    ModelError
    """
    path = path or SHIPPED
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _load(path, stamp)


@lru_cache(maxsize=2)
def _load(path: Path, stamp: int) -> tuple[LevelModel, dict[str, Any], str]:
    """Return the model of a file as it stood at `stamp`: factoring it again takes seconds."""
    text, arrays = load_model(path)
    if text.get("family") != FAMILY:
        raise ModelError(
            "this file is not a model of levels",
            where=str(path),
            got=text.get("family"),
            expected=FAMILY,
            hint="matterscope materials train TABLE makes one",
        )
    rows = pd.DataFrame(text["rows"])
    forest = nested(arrays, "forest")
    forest["value"] = forest["value"].astype(np.float32)
    parts = [nested(arrays, f"member{number}") for number in range(text["members"])]
    model = LevelModel(
        frame=Frame(**nested(arrays, "frame")),
        members=[Member(TERMS, _processes_in(p), p["weights"].astype(float)) for p in parts],
        energy_processes=_processes_in(nested(arrays, "energies")), energy_line=arrays["energy_line"],
        scaling=Scaling(nested(arrays, "mean"), nested(arrays, "spread")),
        forest=Forest(*(forest[k] for k in PARTS)), share=text["share"], inflation=text["inflation"],
        quantiles={float(k): v for k, v in text["quantiles"].items()}, rows=rows,
        targets=arrays["targets"].astype(float), energy_targets=arrays["energy_targets"].astype(float),
        host_spacing=text["host_spacing"], blind_sigma=text["blind_sigma"], excluded=text["excluded"],
    )  # fmt: skip
    known = {
        h: (float(g), float(a))
        for h, g, a in zip(rows["host"], rows["gap"], rows["lattice"], strict=True)
    }
    model.recall(describe(rows, known))
    return model.condition(), text["card"], f"levels@{sha256_of(path)[:8]}"
