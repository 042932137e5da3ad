"""The store survives kills, full disks, broken indices and hostile records."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matterscope.core.errors import ConfigError, DataError
from matterscope.runs.records import inside, pack, read_unit, unpack, write_unit
from matterscope.runs.store import Store, verify

SUPPORT = Path(__file__).parents[1] / "support"
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}


def run_planted(store, *words, **more):
    return subprocess.run(
        [
            sys.executable,
            str(SUPPORT / "planted.py"),
            "spectra",
            "planted",
            "--no-report",
            "--store",
            str(store),
            *words,
        ],
        capture_output=True,
        text=True,
        env=ENV,
        timeout=100,
        **more,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_at_random_moments_never_corrupt_a_record(tmp_path):
    rng = random.Random(1)
    for _ in range(20):
        process = subprocess.Popen(
            [
                sys.executable,
                str(SUPPORT / "planted.py"),
                "spectra",
                "planted",
                "--count",
                "9",
                "--delay",
                "0.03",
                "--store",
                str(tmp_path),
            ],
            env=ENV,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(0.3, 2.5))
        process.kill()
        process.wait()
    store = Store(tmp_path)
    states = {r["state"] for r in store.rows()}
    assert states <= {"done", "interrupted"}
    for row in store.rows():
        if row["state"] == "done":
            assert verify(store.path(row["id"])) == []
    reference = run_planted(tmp_path / "calm", "--count", "9", "--delay", "0.03")
    assert reference.returncode == 0
    digest = Store(tmp_path / "calm").rows()[0]["digest"]
    for row in [r for r in store.rows() if r["state"] == "interrupted"][:3]:
        done = subprocess.run(
            [
                sys.executable,
                str(SUPPORT / "planted.py"),
                "runs",
                "resume",
                row["id"],
                "--store",
                str(tmp_path),
            ],
            capture_output=True,
            text=True,
            env=ENV,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert next(r for r in Store(tmp_path).rows() if r["id"] == row["id"])["digest"] == digest


@pytest.mark.parametrize("limit", [0, 100, 900, 3000])
def test_a_full_disk_fails_the_run_and_leaves_older_runs_intact(tmp_path, limit):
    assert run_planted(tmp_path).returncode == 0
    [old] = Store(tmp_path).rows()

    def small_files():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(limit, 1), max(limit, 1)))

    done = run_planted(tmp_path, "--count", "300", preexec_fn=small_files)
    assert done.returncode != 0
    store = Store(tmp_path)
    assert verify(store.path(old["id"])) == []
    for row in store.rows():
        assert (row["state"] == "done") == (row["id"] == old["id"])
        assert row["id"] == old["id"] or not (store.path(row["id"]) / "DONE").exists()


def test_two_processes_share_one_store(tmp_path):
    words = [
        sys.executable,
        str(SUPPORT / "planted.py"),
        "spectra",
        "planted",
        "--no-report",
        "--store",
        str(tmp_path),
    ]
    processes = [
        subprocess.Popen(words, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [p.wait() for p in processes] == [0, 0, 0]
    found = Store(tmp_path).rows()
    assert len(found) == 3
    assert len({r["digest"] for r in found}) == 1


def test_the_index_is_rebuilt_from_the_directories(tmp_path):
    run_planted(tmp_path)
    before = Store(tmp_path).rows()
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    store = Store(tmp_path)
    assert store.rows() == []
    assert store.rebuild() == 1
    assert store.rows() == before


def test_a_damaged_index_is_one_error_that_says_how_to_mend_it(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="--rebuild"):
        Store(tmp_path)


def test_a_changed_file_of_a_finished_run_is_found(tmp_path):
    run_planted(tmp_path)
    store = Store(tmp_path)
    folder = store.path(store.rows()[0]["id"])
    (folder / "estimates.json").write_text("[]")
    assert verify(folder) == ["estimates.json"]


def test_only_runs_of_this_store_are_deleted(tmp_path):
    run_planted(tmp_path / "a")
    foreign = Store(tmp_path / "a").path(Store(tmp_path / "a").rows()[0]["id"])
    with pytest.raises(ConfigError, match="only runs of this store"):
        Store(tmp_path / "b").remove(str(foreign))
    assert foreign.is_dir()


def test_a_record_cannot_name_a_file_outside_of_its_run(tmp_path):
    with pytest.raises(DataError, match="outside"):
        inside(tmp_path, "../../etc/passwd")


def test_a_record_whose_verb_is_not_in_the_table_is_refused(tmp_path):
    run_planted(tmp_path)
    store = Store(tmp_path)
    folder = store.path(store.rows()[0]["id"])
    record = json.loads((folder / "run.json").read_text()) | {"verb": "os system"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "DONE").unlink()
    done = subprocess.run(
        [
            sys.executable,
            str(SUPPORT / "planted.py"),
            "runs",
            "resume",
            folder.name,
            "--store",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        env=ENV,
        timeout=60,
    )
    assert done.returncode == 2
    assert "there is no verb 'os system'" in done.stderr


def test_a_torn_checkpoint_is_computed_again(tmp_path):
    import numpy as np

    path = tmp_path / "0.npz"
    write_unit(path, {"a": np.arange(4), "b": [1, 2.5, "x", None]})
    assert read_unit(path)[0]
    path.write_bytes(path.read_bytes()[:-7])
    assert read_unit(path) == (False, None)


def test_a_unit_result_survives_the_disk():
    import numpy as np

    value = {"x": np.eye(2), "n": 3, "deep": [{"y": np.array(["a"])}, None, True]}
    tree, arrays = pack(value)
    back = unpack(json.loads(json.dumps(tree)), arrays)
    assert np.array_equal(back["x"], value["x"])
    assert back["deep"][0]["y"][0] == "a"
    with pytest.raises(TypeError, match="JSON data and arrays"):
        pack({"x": object()})
