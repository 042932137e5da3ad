"""Alloy models on disk: arrays and JSON in one compressed file, no pickle.

In: a fitted model. Out: ``alloys@SHA8.npz`` with its card, and the same model back. Processes are stored as
their training rows and hyper-parameters and factored again on loading; trees as arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from matterscope.core.errors import ModelError
from matterscope.learn import persist
from matterscope.materials.alloys.fidelity import Support
from matterscope.materials.alloys.models import AlloyModel, Member, TargetModel
from matterscope.materials.alloys.newcomers import as_json, from_json
from matterscope.materials.alloys.process import AlloyProcess
from matterscope.materials.forests import Forest

FAMILY = "alloys"


def save_model(model: AlloyModel, path: Path, source: str, digest: str) -> dict[str, Any]:
    """Write `model` atomically; return its name, file and sha256.

    Equal models give equal bytes: the archive holds no times.
    """
    arrays: dict[str, Any] = {f"fractions_{i}": f for i, f in enumerate(model.fractions)}
    targets = {}
    for number, (name, stack) in enumerate(model.models.items()):
        arrays[f"t{number}/rows"], arrays[f"t{number}/target"] = stack.rows, stack.target
        arrays[f"t{number}/weights"] = stack.weights
        members = []
        for place, member in enumerate(stack.members):
            key = f"t{number}/m{place}"
            arrays[f"{key}/loo"] = np.array([member.left_out, member.left_out_sigma])
            card: dict[str, Any] = {"name": member.name}
            if member.process is not None:
                process = member.process
                card |= _put_process(arrays, key, process)
                if member.support is not None:
                    base, part = member.support, f"{key}/support"
                    card["support"] = {"name": base.name, "slope": base.slope} | _put_process(arrays, part, base.process)  # fmt: skip
            elif member.forest is not None:
                for part, values in member.forest.arrays().items():
                    arrays[f"{key}/{part}"] = values
            members.append(card)
        targets[name] = {
            "members": members, "scale": stack.scale, "bowing": stack.bowing, "mixed": stack.mixed,
            "quantiles": {str(k): v for k, v in stack.quantiles.items()}, "losses": stack.losses,
            "newcomers": as_json(stack.newcomers),
        }  # fmt: skip
    card = {
        "species": model.species, "targets": targets, "order": list(targets), "seed": model.seed,
        "units": model.units, "no_skill": model.no_skill, "trained_on": source, "trained_on_sha256": digest,
        "licence": "that of the training table: models are made on the spot and not shipped",
    }  # fmt: skip
    sha = persist.save_model(path, FAMILY, card, arrays)
    return {"path": path.name, "sha256": sha, "name": f"{FAMILY}@{sha[:8]}"}


def load_model(path: Path) -> AlloyModel:
    """Return the model of a file written by `save_model`.

    Raises
    ------
    ModelError
    """
    card, arrays = persist.load_model(path)
    if card.get("family") != FAMILY:
        raise ModelError(
            "this file is not a model of alloys",
            where=str(path),
            got=card.get("family"),
            expected=FAMILY,
            hint="matterscope materials train TABLE makes one",
        )
    a, b, x = (arrays[f"fractions_{i}"] for i in range(3))
    species = {s: tuple(names) for s, names in card["species"].items()}
    model = AlloyModel(species, (a, b, x), {}, seed=card["seed"], units=card["units"])
    targets = {}
    for number, name in enumerate(card["order"]):
        stack = _load_target(model, name, f"t{number}", card["targets"][name], arrays)
        model.models[name] = stack
        full = np.full(len(a), np.nan)
        full[stack.rows] = stack.target
        targets[name] = full
    model.targets = targets
    model.no_skill = tuple(card["no_skill"])
    return model


def _put_process(arrays: dict[str, Any], key: str, process: AlloyProcess) -> dict[str, Any]:
    arrays[f"{key}/theta"], arrays[f"{key}/noise"] = process.theta, process.weights
    arrays[f"{key}/target"] = process.target
    arrays |= {f"{key}/fractions_{i}": f for i, f in enumerate(process.fractions)}
    return {"terms": process.terms, "robust": process.robust}


def _take_process(
    model: AlloyModel, entry: dict[str, Any], key: str, arrays: dict[str, Any]
) -> AlloyProcess:
    a, b, x = (arrays[f"{key}/fractions_{i}"] for i in range(3))
    return AlloyProcess(
        tuple(entry["terms"]), model.bases, entry["robust"], (a, b, x),
        arrays[f"{key}/target"], arrays[f"{key}/theta"], arrays[f"{key}/noise"],
    ).condition()  # fmt: skip


def _load_target(
    model: AlloyModel, name: str, key: str, card: dict[str, Any], arrays: dict[str, Any]
) -> TargetModel:
    rows, target = arrays[f"{key}/rows"], arrays[f"{key}/target"]
    members = []
    for place, entry in enumerate(card["members"]):
        part = f"{key}/m{place}"
        process = forest = support = None
        if "terms" in entry:
            process = _take_process(model, entry, part, arrays)
        else:
            fields = ("roots", "feature", "threshold", "left", "right", "value")
            forest = Forest(*(arrays[f"{part}/{f}"] for f in fields))
        if "support" in entry:
            base = entry["support"]
            cheap = _take_process(model, base, f"{part}/support", arrays)
            support = Support(base["name"], base["slope"], cheap)
        value, sigma = arrays[f"{part}/loo"]
        members.append(Member(entry["name"], process, forest, value, sigma, support))
    return TargetModel(
        name, members, arrays[f"{key}/weights"], card["scale"],
        {float(k): v for k, v in card["quantiles"].items()}, rows, target, card["bowing"],
        tuple(card["mixed"]), card["losses"], from_json(card["newcomers"]),
    )  # fmt: skip
