"""Trained models on disk: one ``.npz`` of plain arrays and one JSON text inside it, never pickle.

In: arrays and a card. Out: a file; reading it back checks schema, sizes and the hash of the arrays.
The card names training data (sha256), population, grid, scores and limits.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ModelError
from matterscope.core.files import canonical_json, write_bytes

SCHEMA = "matterscope.model/1"
CARD = "card"
MAX_MODEL_BYTES = 500_000_000

Arrays = dict[str, NDArray[Any]]


def arrays_digest(arrays: Arrays) -> str:
    """Return the sha256 over names, shapes, types and bytes of the arrays, in name order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save_model(path: Path, family: str, card: dict[str, Any], arrays: Arrays) -> str:
    """Write a model atomically and return the sha256 of its file.

    Parameters
    ----------
    path : path
        Ends in ``.npz``.
    family : str
        Which code predicts with it (a key of the domain's closed table).
    card : dict
        JSON data: edges, population, grid, scores, limits, training data.
    arrays : dict
        Plain numbers; object arrays are refused.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject or name == CARD:
            raise ModelError(f"array '{name}' cannot be stored", got=str(array.dtype))
    text = canonical_json(
        {**card, "schema": SCHEMA, "family": family, "arrays_sha256": arrays_digest(arrays)}
    )
    buffer = io.BytesIO()
    # fixed dates and order: the same model gives the same bytes
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        coded = np.frombuffer(text.encode(), dtype=np.uint8)
        for name, array in sorted({**arrays, CARD: coded}.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)),
                part.getvalue(),
                zipfile.ZIP_DEFLATED,
            )
    write_bytes(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def load_model(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return (card, arrays) of a stored model.

    Raises
    ------
    ModelError
        When the file is missing, damaged, of another schema, or its arrays are not those of its card.
    """
    where = str(path)
    if not path.is_file():
        raise ModelError("there is no such model", where=where, hint="train one, or omit --model")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_MODEL_BYTES:
            raise ModelError("this model is too large", where=where, got=f"{size:,} bytes")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        card = json.loads(arrays.pop(CARD).tobytes().decode())
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise ModelError(
            f"this model cannot be read: {error}", where=where, hint="train it again"
        ) from error
    if card.get("schema") != SCHEMA:
        raise ModelError(
            "unknown model schema", where=where, got=card.get("schema"), expected=SCHEMA
        )
    if card.get("arrays_sha256") != arrays_digest(arrays):
        raise ModelError(
            "the weights are not those of the card",
            where=where,
            hint="the file is damaged or edited",
        )
    return card, arrays


def nested(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names begin with ``prefix/``, without it."""
    start = f"{prefix}|"
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}


def prefixed(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays under ``prefix``, so that several models share one file."""
    return {f"{prefix}|{name}": a for name, a in arrays.items()}
