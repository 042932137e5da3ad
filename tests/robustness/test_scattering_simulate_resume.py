"""A long simulation is killed and resumed: the same bytes, and no more memory than one chunk."""

import os
import signal
import subprocess
import sys
import time

from matterscope import run
from matterscope.runs.execute import Options, resume
from matterscope.runs.store import Store

SETTINGS = {"kind": "disks", "n": 2, "n_last": 9, "patterns": 150, "pixels": 65, "photons": 5.0}


def _patterns(folder):
    return (folder / "artifacts" / "patterns.h5").read_bytes()


def test_a_killed_simulation_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("matterscope.scattering.simulation.CHUNK", 200_000)
    whole = run("scattering simulate", store=tmp_path / "whole", **SETTINGS)
    words = [f"--{k.replace('_', '-')}={v}" for k, v in SETTINGS.items() if k != "kind"]
    start = (
        "import matterscope.scattering.simulation as s; s.CHUNK = 200_000; "
        "from matterscope.cli.app import main; main()"
    )
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            start,
            "scattering",
            "simulate",
            "disks",
            *words,
            f"--store={tmp_path / 'killed'}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 120
    while time.time() < deadline and child.poll() is None:
        if len(list((tmp_path / "killed").glob("*/artifacts/*.parts/*.npy"))) > 3:
            break
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    store = Store(str(tmp_path / "killed"))
    (left,) = [p for p in store.root.iterdir() if (p / "run.json").is_file()]
    again = resume(left.name, Options(store=str(tmp_path / "killed")))
    assert again.digest == whole.digest
    assert _patterns(again.folder) == _patterns(whole.folder)
    assert not list((again.folder / "artifacts").glob("*.parts"))
