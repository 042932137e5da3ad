"""A set that is killed half-way ends like one that was not, with two workers as with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import matterscope.spectra as spectra
from support.recipes import LAYERED, PROTOTYPE, contents, quick


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", [LAYERED, PROTOTYPE], ids=["layered", "prototype"])
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_build_by_two_workers_killed_and_resumed_has_the_bytes_of_one_worker(
    tmp_path: Path, family: str
) -> None:
    recipe, part, whole = tmp_path / "quick.toml", tmp_path / "part", tmp_path / "whole"
    recipe.write_text(quick(family, 4))
    command = [
        sys.executable, "-m", "matterscope", "spectra", "build", str(recipe), "--folder", str(part), "--seed", "4",
        "--executor", "processes", "--workers", "2", "--store", str(tmp_path / "store"), "--no-report",
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    builder = subprocess.Popen(command, start_new_session=True, **quiet)
    while not list(part.rglob("sites/*/*.json")) and builder.poll() is None:
        time.sleep(0.02)
    os.killpg(builder.pid, signal.SIGKILL)
    assert builder.wait() == -signal.SIGKILL  # it was at work, not done
    kept = {p: p.stat().st_mtime_ns for p in part.rglob("sites/*/*.json")}
    assert 0 < len(kept) < 8
    assert subprocess.run(command, check=False, **quiet).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    spectra.build(recipe, folder=str(whole), seed=4)
    assert contents(part) == contents(whole)
