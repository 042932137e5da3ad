"""A screen of millions gives the same bytes on every executor, and after it was killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.persistence import save_model
from matterscope.materials.alloys.spaces import PAPER_SPACE, make_space
from matterscope.runs.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
FOUR_CHUNKS = ("--steps", "A=8", "--steps", "B=8", "--steps", "X=2")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of end members and some alloys, one process only."""
    rng = np.random.default_rng(0)
    ends = make_space(PAPER_SPACE, {"A": 1, "B": 1, "X": 1})
    alloys = make_space(PAPER_SPACE, {"A": 1, "B": 8, "X": 1})
    parts = [ends.unrank(np.arange(ends.size)), alloys.unrank(rng.integers(0, alloys.size, 40))]
    a, b, x = (np.vstack([p[s] / q for p, q in zip(parts, (1, 1 if s != "B" else 8), strict=True)]) for s in SITES)  # fmt: skip
    gap = 1 + b @ np.linspace(2.5, 0.3, 6) + x @ np.array([1.4, 0.7, 0.0])
    energy = 0.3 - b @ np.linspace(0, 0.4, 6) + 0.05 * rng.normal(size=len(b))
    targets = {"band_gap": gap + 0.05 * rng.normal(size=len(gap)), "decomposition_energy": energy}
    model = AlloyModel(PAPER_SPACE, (a, b, x), targets, members=("vegard-process",)).fit()
    path = tmp_path_factory.mktemp("model") / "alloys.npz"
    save_model(model, path, "a law", "0")
    return path


def words(model: Path, store: Path, executor: str) -> list[str]:
    return [
        sys.executable, "-m", "matterscope", "materials", "screen", "--model", str(model), *FOUR_CHUNKS,
        "--rule", "gap in 1.2:1.6", "--rule", "decomposition<0", "--executor", executor, "--workers", "2",
        "--no-report", "--json", "--store", str(store),
    ]  # fmt: skip


def parts_of(answer: str) -> list[str]:
    (estimate,) = json.loads(answer)
    return [f"{a['path']} {a['sha256']}" for a in estimate["diagnostics"]["artifacts"]]


def screened(model: Path, store: Path, executor: str) -> tuple[list[str], dict[str, Any]]:
    done = subprocess.run(words(model, store, executor), capture_output=True, text=True, env=ENV)
    assert done.returncode == 0, done.stderr
    return parts_of(done.stdout), Store(store).rows()[0]


def test_dask_processes_and_one_process_write_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    parts, row = screened(stored, tmp_path / "inline", "inline")
    assert len(parts) == 4
    for executor in ("processes", "dask"):
        others, other = screened(stored, tmp_path / executor, executor)
        assert others == parts
        assert other["digest"] == row["digest"]


def test_a_killed_screen_is_resumed_to_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    parts, row = screened(stored, tmp_path / "calm", "inline")
    store = tmp_path / "killed"
    process = subprocess.Popen(
        words(stored, store, "processes"), env=ENV, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if list(store.rglob("part-*.parquet")):
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (interrupted,) = Store(store).rows()
    assert interrupted["state"] == "interrupted"
    done = subprocess.run(
        [sys.executable, "-m", "matterscope", "runs", "resume", interrupted["id"], "--json", "--store", str(store)],
        capture_output=True, text=True, env=ENV,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert parts_of(done.stdout) == parts
    assert Store(store).rows()[0]["digest"] == row["digest"]
