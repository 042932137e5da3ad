"""Models of this domain: the closed table of families, the shipped ones, and how one is chosen.

In: an edge (element, edge) and what the user asked for. Out: a loaded `Model`, or one ModelError that
says which data set to fetch and what to run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from matterscope.core.errors import ModelError
from matterscope.core.files import sha256_of
from matterscope.core.models import model_file
from matterscope.learn.persist import Arrays, load_model

PREDICTORS: dict[str, str] = {
    # family: "module:function" of (model, examined spectra of one sample, settings, call) -> [Estimate]
    "aligned": "matterscope.spectra.learned.inference:answer_aligned",
    "fusion": "matterscope.spectra.fusion.family:answer_fusion",
}
"""Closed: a model file names its family, and nothing else can run."""


@dataclass
class Model:
    """A loaded model: its card and its arrays."""

    name: str
    card: dict[str, Any]
    arrays: Arrays
    sha256: str
    parsed: dict[str, Any] = field(default_factory=dict)
    """Objects rebuilt from the arrays, kept for the next spectrum."""

    @property
    def family(self) -> str:
        """Key of `PREDICTORS`."""
        return str(self.card["family"])

    @property
    def edges(self) -> list[str]:
        """Edges it answers for, as "Cu:K"."""
        return [str(e) for e in self.card["edges"]]


def shipped_models() -> list[Path]:
    """Return the model files that ship with the package."""
    folder = files("matterscope.spectra").joinpath("shipped")
    if not folder.is_dir():
        return []
    return sorted(Path(str(p)) for p in folder.iterdir() if p.name.endswith(".model.npz"))


@lru_cache(maxsize=8)
def _load(path: Path, stamp: int) -> Model:
    card, arrays = load_model(path)
    if card.get("family") not in PREDICTORS:
        raise ModelError(
            "this model's family is not known",
            where=str(path),
            got=card.get("family"),
            expected=", ".join(PREDICTORS),
        )
    name = str(card.get("name") or path.name.removesuffix(".npz").removesuffix(".model"))
    return Model(name, card, arrays, sha256_of(path))


def open_model(path: Path) -> Model:
    """Return the model in a file."""
    return _load(path.resolve(), path.stat().st_mtime_ns if path.exists() else 0)


def choose(element: str, edge: str, given: str = "") -> Model:
    """Return the model for an edge: the one given (a file or a shipped name), or the shipped one.

    Raises
    ------
    ModelError
        When none fits; it names the `train` command.
    """
    wanted = f"{element}:{edge}"
    known = {p.name.removesuffix(".model.npz"): p for p in shipped_models()}
    if given:
        model = open_model(known[given] if given in known else model_file(given))
        if wanted not in model.edges:
            raise ModelError(
                f"the model '{model.name}' does not answer for {element} {edge}",
                expected=", ".join(model.edges),
                hint="omit --model to take the shipped one",
            )
        return model
    for path in known.values():
        model = open_model(path)
        if wanted in model.edges:
            return model
    answered = sorted({e for p in known.values() for e in open_model(p).edges})
    raise ModelError(
        f"no shipped model answers for the {element} {edge} edge",
        got=wanted,
        expected=", ".join(answered) or "a model of your own",
        hint="matterscope spectra build RECIPE simulates a training set of your family; spectra train FOLDER makes a model of it or of your own spectra.npz and structures.extxyz.gz; give it with --model",
    )
