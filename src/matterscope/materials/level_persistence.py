"""Level models on disk: arrays and a JSON card in one compressed file, no pickle.

In: a fitted model. Out: ``levels@SHA8`` as .npz, and the same model back. Processes are stored as training
defects with their standardised components and hyper-parameters, and factored again on loading.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.errors import ModelError
from matterscope.core.files import canonical_json, sha256_of, write_bytes
from matterscope.materials.level_features import Scaling, describe
from matterscope.materials.level_models import TERMS, Frame, LevelModel
from matterscope.materials.level_process import LevelProcess
from matterscope.materials.vector_forest import VectorForest

SCHEMA = "matterscope.levels/1"
SHIPPED = Path(__file__).parent / "shipped" / "levels.npz"
_FOREST = ("roots", "feature", "threshold", "left", "right", "value")


def save_levels(model: LevelModel, path: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Write `model` atomically; return its name, file and sha256. Equal models give equal bytes."""
    assert model.frame is not None
    assert model.forest is not None
    arrays: dict[str, Any] = {f"frame/{k}": v for k, v in asdict(model.frame).items()}
    arrays |= {
        f"scaling/{part}/{k}": v
        for part, d in (("mean", model.scaling.mean), ("spread", model.scaling.spread))
        for k, v in d.items()
    }
    for group, processes in (("level", model.processes), ("energy", model.energy_processes)):
        for c, process in enumerate(processes):
            key = f"{group}{c}"
            arrays |= {f"{key}/length/{k}": v for k, v in process.lengths.items()}
            arrays |= {
                f"{key}/amplitudes": process.amplitudes,
                f"{key}/noise": np.array(process.noise),
            }
    arrays["targets"] = model.targets.astype(np.float32)
    arrays["energy_targets"] = model.energy_targets.astype(np.float32)
    arrays["weights"] = model.weights.astype(np.float32)
    arrays["energy_line"] = model.energy_line
    arrays |= {f"forest/{k}": _small(getattr(model.forest, k)) for k in _FOREST}
    text = {
        "schema": SCHEMA, "rows": model.rows.to_dict("list"), "share": model.share, "inflation": model.inflation,
        "quantiles": {str(k): v for k, v in model.quantiles.items()}, "host_spacing": model.host_spacing,
        "blind_sigma": model.blind_sigma, "excluded": model.excluded, "card": card,
    }  # fmt: skip
    arrays["text"] = np.frombuffer(canonical_json(text).encode(), dtype=np.uint8)
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    write_bytes(path, data.getvalue())
    sha = sha256_of(path)
    return {"path": path.name, "sha256": sha, "name": f"levels@{sha[:8]}"}


def _small(values: Any) -> Any:
    # leaves to a millielectronvolt of a host's unit: half precision holds them
    return values.astype(np.float16) if values.ndim == 2 else values


def load_levels(path: Path | None = None) -> tuple[LevelModel, dict[str, Any], str]:
    """Return a model, its card and its name; the shipped one where no path is given.

    Raises
    ------
    ModelError
    """
    path = path or SHIPPED
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {k: archive[k] for k in archive.files}
        text = json.loads(arrays["text"].tobytes().decode())
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            "this file is not a model of levels",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            hint="matterscope materials train TABLE makes one",
        ) from None
    if text.get("schema") != SCHEMA:
        raise ModelError(
            "the model has another schema", where=str(path), got=text.get("schema"), expected=SCHEMA
        )
    rows = pd.DataFrame(text["rows"])
    model = LevelModel(
        frame=Frame(*(arrays[f"frame/{k}"] for k in ("line", "spread", "basis", "size"))),
        processes=_processes(arrays, "level"), energy_processes=_processes(arrays, "energy"),
        energy_line=arrays["energy_line"],
        scaling=Scaling(_group(arrays, "scaling/mean/"), _group(arrays, "scaling/spread/")),
        forest=VectorForest(*(arrays[f"forest/{k}"].astype(np.float32) if k == "value" else arrays[f"forest/{k}"] for k in _FOREST)),
        share=text["share"], inflation=text["inflation"],
        quantiles={float(k): v for k, v in text["quantiles"].items()}, rows=rows,
        targets=arrays["targets"].astype(float), energy_targets=arrays["energy_targets"].astype(float),
        weights=arrays["weights"].astype(float), host_spacing=text["host_spacing"],
        blind_sigma=text["blind_sigma"], excluded=text["excluded"],
    )  # fmt: skip
    known = {
        h: (float(g), float(a))
        for h, g, a in zip(rows["host"], rows["gap"], rows["lattice"], strict=True)
    }
    model._blocks = model.blocks_of(describe(rows, known))
    return model.condition(), text["card"], f"levels@{sha256_of(path)[:8]}"


def _group(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _processes(arrays: dict[str, Any], group: str) -> list[LevelProcess]:
    found: list[LevelProcess] = []
    while f"{group}{len(found)}/noise" in arrays:
        key = f"{group}{len(found)}"
        found.append(
            LevelProcess(
                TERMS,
                _group(arrays, f"{key}/length/"),
                arrays[f"{key}/amplitudes"],
                float(arrays[f"{key}/noise"]),
            )
        )
    return found
