"""Fixtures shared by all tests: the folder of real public data, and one thread everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session", autouse=True)
def models_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep models that tests train out of the user's own folder."""
    os.environ["MATTERSCOPE_MODELS"] = str(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real public data; a missing file in it is a failure, a missing folder a skip."""
    folder = os.environ.get("MATTERSCOPE_DATA")
    if not folder:
        pytest.skip("MATTERSCOPE_DATA is not set: no real data on this machine")
    path = Path(folder)
    assert path.is_dir(), f"MATTERSCOPE_DATA names a folder that does not exist: {path}"
    return path
