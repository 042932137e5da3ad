"""Getting and checking public data: a local mirror first, then the published address, atomically.

In: the name of a data set. Out: its files under a data folder, each with the sha256 of the registry.
Nothing goes over the network unless this is called.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.files import atomic, sha256_of
from matterscope.datasets.registry import File, files_of, lookup


def data_folder() -> Path:
    """Return the data folder: MATTERSCOPE_DATA, else ``data`` in the user's data folder."""
    given = os.environ.get("MATTERSCOPE_DATA")
    if given:
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("matterscope") / "data"


def locate(name: str) -> Path:
    """Return the folder of a data set on this machine; raise an error that says how to get it."""
    entry = lookup(name)
    folder = data_folder() / entry.folder
    if not folder.is_dir():
        raise ConfigError(
            f"the data set '{name}' is not on this machine",
            where=str(folder),
            hint=f"matterscope data fetch {name}, or set MATTERSCOPE_DATA",
        )
    return folder


def verify(name: str, folder: Path | None = None) -> dict[str, str]:
    """Return {path: "ok" | "missing" | "changed"} for the files of a data set."""
    root = folder or data_folder()
    return {f.path: _state(root / f.path, f) for f in files_of(name)}


def _state(path: Path, expected: File) -> str:
    if not path.is_file():
        return "missing"
    return (
        "ok"
        if path.stat().st_size == expected.size and sha256_of(path) == expected.sha256
        else "changed"
    )


def fetch(
    name: str,
    *,
    mirror: Path | None = None,
    target: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Bring the files of a data set under `target`; return its folder.

    Parameters
    ----------
    name : str
        Key of `registry.DATASETS`.
    mirror : path, optional
        Folder with the same layout, asked before the network.
    target : path, optional
        Default: `data_folder`.
    """
    entry, root = lookup(name), target or data_folder()
    wanted = files_of(name)
    for number, file in enumerate(wanted):
        home = root / file.path
        if _state(home, file) != "ok":
            home.parent.mkdir(parents=True, exist_ok=True)
            copy = mirror / file.path if mirror else None
            if copy is not None and copy.is_file():
                _take(copy, home, file)
            elif file.url:
                _download(file, home)
            else:
                raise DataError(
                    "upstream holds this file in another form, so it cannot be fetched by address",
                    where=file.path,
                    hint=f"get it from {entry.source} and give its folder with --mirror",
                )
        if progress:
            progress(number + 1, len(wanted), name)
    return root / entry.folder


def _take(source: Path, home: Path, file: File) -> None:
    if sha256_of(source) != file.sha256:
        raise DataError(
            "the mirror's file is not the registered one",
            where=str(source),
            expected=file.sha256[:12],
        )
    with source.open("rb") as read, atomic(home) as write:
        shutil.copyfileobj(read, write)


def _download(file: File, home: Path) -> None:
    import pooch

    try:
        pooch.retrieve(file.url, known_hash=file.sha256, fname=home.name, path=home.parent)
    except Exception as error:
        raise DataError(
            "the file could not be fetched",
            where=file.url,
            got=str(error),
            hint="check the network, or give a local copy with --mirror",
        ) from error
