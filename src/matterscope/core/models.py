"""Where trained models live: files NAME@SHA8 in the user's folder, which outlive the runs that made them.

In: the estimates of a run and its artifacts, or what a user gave as --model. Out: a kept file, or its path.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matterscope.core.errors import ModelError
from matterscope.core.files import write_bytes


def models_folder() -> Path:
    """Return the folder of trained models: MATTERSCOPE_MODELS, else ``models`` in the user's data folder."""
    given = os.environ.get("MATTERSCOPE_MODELS")
    if given:
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("matterscope") / "models"


def keep_models(entries: Iterable[Mapping[str, Any]], artifacts: Path) -> list[str]:
    """Copy the models that estimates name into the models folder and return their names.

    A model is the artifact whose sha256 begins as ``diagnostics.model`` NAME@SHA8 says; files beside it with
    the same stem (a card) go with it.

    Raises
    ------
    OSError
        When the folder cannot be written; nothing is left half written.
    """
    kept = []
    for entry in entries:
        name = str(entry["diagnostics"].get("model", ""))
        made = entry["diagnostics"].get("artifacts", [])
        digest = name.rpartition("@")[2]
        model = next((m["path"] for m in made if digest and m["sha256"].startswith(digest)), None)
        if model is None:
            continue  # an answer that used a model, and made none
        for source in sorted(artifacts.glob(f"{Path(model).stem}.*")):
            target = models_folder() / f"{name}{source.suffix}"
            if not target.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, source.read_bytes())
        kept.append(name)
    return kept


def model_file(given: str) -> Path:
    """Return the file of a model: a path, NAME@SHA8, or NAME where only one of that name was trained.

    Raises
    ------
    ModelError
    """
    path = Path(given)
    if path.is_file():
        return path
    folder = models_folder()
    exact = folder / f"{given}.npz"
    found = [exact] if exact.is_file() else sorted(folder.glob(f"{glob.escape(given)}@*.npz"))
    if len(found) == 1:
        return found[0]
    names = [p.stem for p in (found or sorted(folder.glob("*@*.npz")))]
    raise ModelError(
        "several models have this name" if found else "there is no such model",
        got=given,
        expected="a file, or one of " + ", ".join(names)
        if names
        else "a file made by a train verb",
        hint=f"trained models are kept in {folder}",
    )
