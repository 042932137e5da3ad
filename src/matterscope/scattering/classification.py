"""Trained statistics: the posterior of a classifier of patterns, where its population applies.

In: a solved frame and a model (shipped, or a file made by `scattering train`). Out: posteriors over
N by name, and whether the pattern lies outside what the model was trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ModelError
from matterscope.core.files import sha256_of, write_bytes, write_json
from matterscope.core.models import model_file
from matterscope.scattering.disks import EQUAL_LAWS
from matterscope.scattering.features import describe_pattern
from matterscope.scattering.solution import Opinion, Solution

Floats = NDArray[np.float64]
SHIPPED = ("speckle-equal", "speckle-normal")


@dataclass(frozen=True)
class Classifier:
    """A small ensemble of perceptrons on standardised features, with one temperature.

    Parameters
    ----------
    layers : list of lists of (weight, bias)
        One list per member; GELU-free: rectified linear units between layers.
    mean, scale : arrays of shape (features,)
        Standardisation.
    numbers : array of shape (classes,)
        N of the classes.
    temperature : float
        Logits are divided by it; fitted on patterns outside training.
    centre, whiten : arrays
        Middle of the training features in the leading components, and the components.
    limit : float
        Distance that 97 % of patterns outside training keep.
    card : dict
        Population, scores, provenance.
    """

    layers: list[list[tuple[Floats, Floats]]]
    mean: Floats
    scale: Floats
    numbers: Floats
    temperature: float
    centre: Floats
    whiten: Floats
    limit: float
    card: dict[str, Any]

    def logits(self, features: Floats) -> Floats:
        """Return mean logits, shape (patterns, classes)."""
        x = np.clip((np.atleast_2d(features) - self.mean) / self.scale, -8.0, 8.0)
        total = np.zeros((x.shape[0], self.numbers.size))
        for member in self.layers:
            y = x
            for weight, bias in member[:-1]:
                y = np.maximum(y @ weight + bias, 0.0)
            total += y @ member[-1][0] + member[-1][1]
        return np.asarray(total / len(self.layers), dtype=float)

    def probabilities(self, features: Floats) -> Floats:
        """Return tempered probabilities, shape (patterns, classes)."""
        z = self.logits(features) / self.temperature
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=float)

    def distance(self, features: Floats) -> Floats:
        """Return the Mahalanobis distance from the training population, in units of its limit."""
        x = np.clip((np.atleast_2d(features) - self.mean) / self.scale, -12.0, 12.0)
        z = (x - self.centre) @ self.whiten
        return np.asarray(np.sqrt((z**2).mean(axis=1)) / self.limit, dtype=float)


def save_classifier(model: Classifier, path: Path) -> str:
    """Write weights (half precision) as NPZ and the card as JSON beside it; return NAME@sha8."""
    import io

    arrays: dict[str, Any] = {
        "mean": model.mean.astype(np.float32),
        "scale": model.scale.astype(np.float32),
        "numbers": model.numbers,
        "temperature": np.array(model.temperature),
        "centre": model.centre.astype(np.float32),
        "whiten": model.whiten.astype(np.float32),
        "limit": np.array(model.limit),
    }
    for m, member in enumerate(model.layers):
        for k, (weight, bias) in enumerate(member):
            arrays[f"w{m}_{k}"] = weight.astype(np.float16)
            arrays[f"b{m}_{k}"] = bias.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
    digest = sha256_of(path)
    write_json(path.with_suffix(".json"), model.card | {"weights_sha256": digest})
    return f"{path.stem}@{digest[:8]}"


def load_classifier(path: Path) -> Classifier:
    """Return the classifier of a file made by `save_classifier`."""
    beside = path.with_suffix(".json")
    if not path.is_file() or not beside.is_file():
        raise ModelError(
            "there is no such model",
            where=str(path),
            expected="a .npz file with its .json card beside it",
            hint="scattering train makes one",
        )
    card = json.loads(beside.read_text())
    if card.get("weights_sha256") != sha256_of(path):
        raise ModelError(
            "the weights are not those of the card", where=str(path), hint="copy both files again"
        )
    with np.load(path, allow_pickle=False) as stored:
        given = {k: np.asarray(stored[k], dtype=float) for k in stored.files}
    members = []
    for m in range(sum(k.startswith("w") and k.endswith("_0") for k in given)):
        depth = sum(k.startswith(f"w{m}_") for k in given)
        members.append([(given[f"w{m}_{k}"], given[f"b{m}_{k}"]) for k in range(depth)])
    return Classifier(
        members,
        given["mean"],
        given["scale"],
        given["numbers"],
        float(given["temperature"]),
        given["centre"],
        given["whiten"],
        float(given["limit"]),
        card,
    )


@cache
def shipped(name: str) -> Classifier | None:
    """Return a classifier that comes with the package, or None."""
    path = Path(str(files("matterscope.scattering"))) / "shipped" / f"{name}.npz"
    return load_classifier(path) if path.is_file() else None


def opinions(solution: Solution, model: str = "") -> list[Opinion]:
    """Return what the classifiers that fit this set-up say.

    A model fits when the frame has its pixels, its hole and a level inside its range. The shipped ones
    are asked for the size law that the inversion found; a named one is always asked.
    """
    found_centre = solution.inversion is not None and solution.inversion.explained
    centre = (
        solution.inversion.centre if found_centre and solution.inversion else solution.task.centre
    )
    if model:
        path = model_file(model)
        chosen = [(path.stem, load_classifier(path))]
    else:
        equal = solution.task.equal
        name = SHIPPED[0] if equal else SHIPPED[1]
        found = shipped(name)
        chosen = [(name, found)] if found is not None else []
    result = []
    for name, classifier in chosen:
        misfit = _misfit(classifier, solution)
        if misfit:
            if model:
                raise ModelError(
                    f"the model does not fit this pattern: {misfit}",
                    where=model,
                    hint="train one for this set-up with scattering train",
                )
            continue
        equal = classifier.card["setup"]["law"] in EQUAL_LAWS
        features = describe_pattern(replace(solution.task, centre=centre, equal=equal))
        p = classifier.probabilities(features)[0]
        shares = np.zeros(solution.numbers.size)
        for n, share in zip(classifier.numbers, p, strict=True):
            if n <= shares.size:
                shares[int(n) - 1] = share
        shares = np.maximum(shares, 1e-9)
        population = str(classifier.card.get("population", ""))
        reason = _structure_outside(classifier.card["setup"], solution)
        result.append(
            Opinion(
                name,
                shares / shares.sum(),
                float(classifier.distance(features)[0]),
                population,
                reason,
            )
        )
    return result


def _misfit(classifier: Classifier, solution: Solution) -> str:
    setup = classifier.card["setup"]
    shape = solution.task.image.shape
    if tuple(shape) != tuple(setup["shape"]):
        return (
            f"{shape[0]} × {shape[1]} pixels, trained on {setup['shape'][0]} × {setup['shape'][1]}"
        )
    hole = float(solution.task.radius[solution.task.open_pixels].min())
    if abs(hole - setup["hole"]) > 1.5:
        return f"a hole of {hole:.1f} px, trained on {setup['hole']:.1f}"
    low, high = setup["photons"]
    if not 0.7 * low <= solution.ready.level <= 1.5 * high:
        return f"{solution.ready.level:.3g} photons per pixel, trained on {low:g} to {high:g}"
    return ""


def _structure_outside(setup: dict[str, Any], solution: Solution) -> str:
    """Say how a proved structure differs from the training population; empty where it does not.

    The range of N uniform positions, as a share of their interval, has the distribution
    r^(N−1) (N − (N−1) r); positions keep the reference radius off the walls.
    """
    found = solution.inversion
    if found is None or not found.explained or "box" not in setup:
        return ""
    s, step = found.best.structure, float(setup["step"])
    n = s.count
    if not setup["numbers"][0] <= n <= setup["numbers"][1]:
        return f"{n} disks are found, trained on {setup['numbers'][0]} to {setup['numbers'][1]}"
    room = (setup["box"] - 2.0 * setup["radius"]) * step
    reach = max(float(np.ptp(s.y)), float(np.ptp(s.x))) / room
    if reach > 1.02:
        return f"the disks spread over {reach:.2f} of the trained box"
    # the larger of two independent ranges
    chance = (reach ** (n - 1) * (n - (n - 1) * reach)) ** 2
    if chance < 0.02:
        return f"the disks spread over only {reach:.2f} of the trained box"
    area = float((s.radius**2).sum()) / (setup["radius"] * step) ** 2
    expected = float(n) if setup["law"] == "fixed" else 2.0
    if abs(area / expected - 1.0) > 0.12:
        return f"the disks cover {area / expected:.2f} of the trained area"
    return ""
