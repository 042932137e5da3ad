"""One door for Python, command line and resumed runs: the same digest, exit codes, JSON and report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"


def matterscope(*words, cwd=None, **environment):
    """Run the command line with the planted verb in a process of its own."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])} | environment
    return subprocess.run(
        [sys.executable, str(SUPPORT / "planted.py"), *map(str, words)],
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        timeout=100,
    )


def rows(store):
    return json.loads(matterscope("runs", "list", "--json", "--store", store).stdout)["rows"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The digest of the planted verb, run inline."""
    store = tmp_path_factory.mktemp("reference")
    done = matterscope("spectra", "planted", "--store", store, "--seed", 3, "--no-report")
    assert done.returncode == 0, done.stderr
    return rows(store)[0]["digest"]


@pytest.mark.parametrize(
    "options",
    [
        ["--executor", "processes", "--workers", "1"],
        ["--executor", "processes", "--workers", "2"],
        ["--executor", "dask", "--workers", "2"],
    ],
)
def test_every_executor_gives_the_same_digest(options, tmp_path, reference):
    done = matterscope(
        "spectra", "planted", "--store", tmp_path, "--seed", 3, "--no-report", *options
    )
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path)[0]["digest"] == reference


def test_the_parts_of_a_run_join_to_the_same_digest(tmp_path, reference):
    words = ("spectra", "planted", "--store", tmp_path, "--seed", 3, "--no-report")
    for part in ("2/3", "1/3"):
        assert matterscope(*words, "--shard", part).returncode == 0
    known = rows(tmp_path)[0]["id"]
    early = matterscope("runs", "merge", known, "--store", tmp_path)
    assert early.returncode == 2
    assert "1 of 3 parts are missing" in early.stderr
    assert matterscope(*words, "--shard", "3/3").returncode == 0
    joined = matterscope("runs", "merge", known, "--store", tmp_path)
    assert joined.returncode == 0, joined.stderr
    assert [r["digest"] for r in rows(tmp_path) if r["state"] == "done"] == [reference]
    assert sum(r["state"] == "sharded" for r in rows(tmp_path)) == 3


def test_inputs_are_shared_out_and_their_answers_joined_in_order(tmp_path):
    files = []
    for k in range(5):
        files.append(tmp_path / f"{k}.csv")
        lines = [f"{x},{(x - 8979 > 0) + 0.01 * k}" for x in range(8900, 9200)]
        files[-1].write_text("\n".join(["energy,mu", *lines]))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert matterscope("check", *files, "--store", whole).returncode in (0, 1)
    for part in ("1/2", "2/2"):
        matterscope("check", *files, "--store", parts, "--shard", part)
    joined = matterscope("runs", "merge", rows(parts)[0]["id"], "--store", parts, "--json")
    assert [e["index"] for e in json.loads(joined.stdout)] == [0, 1, 2, 3, 4]
    done = [r["digest"] for r in rows(parts) if r["state"] == "done"]
    assert done == [rows(whole)[0]["digest"]]


def test_a_killed_worker_does_not_change_the_digest(tmp_path):
    words = (
        "spectra",
        "planted",
        "--seed",
        3,
        "--no-report",
        "--kill",
        tmp_path / "dead",
        "--store",
    )
    done = matterscope(*words, tmp_path / "a", "--executor", "processes", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dead").exists()
    calm = matterscope(*words, tmp_path / "b")  # the file exists now: nobody dies
    assert calm.returncode == 0, calm.stderr
    assert rows(tmp_path / "a")[0]["digest"] == rows(tmp_path / "b")[0]["digest"]


def test_another_seed_gives_another_digest(tmp_path, reference):
    matterscope("spectra", "planted", "--store", tmp_path, "--seed", 4, "--no-report")
    assert rows(tmp_path)[0]["digest"] != reference


def test_python_gives_the_digest_of_the_command_line(tmp_path, reference):
    code = f"import planted; planted.plant(); import matterscope; print(matterscope.run('spectra planted', seed=3, store={str(tmp_path)!r}).digest)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=100
    )
    assert done.stdout.strip() == reference, done.stderr


def test_a_run_killed_in_the_middle_is_resumed_to_the_same_digest(tmp_path):
    words = ["spectra", "planted", "--count", "12", "--delay", "0.15", "--no-report", "--store"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    killed = subprocess.Popen(
        [sys.executable, str(SUPPORT / "planted.py"), *words, str(tmp_path / "a")],
        env=env,
        stderr=subprocess.DEVNULL,
    )
    units = tmp_path / "a"
    deadline = time.monotonic() + 60
    while len(list(units.rglob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    row = rows(tmp_path / "a")[0]
    assert row["state"] == "interrupted"
    kept = {p: p.stat().st_mtime_ns for p in units.rglob("*.npz")}
    assert 3 <= len(kept) < 12
    done = matterscope("runs", "resume", row["id"], "--store", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items()), (
        "a finished unit was computed again"
    )
    matterscope(*words, tmp_path / "b")
    assert rows(tmp_path / "a")[0]["digest"] == rows(tmp_path / "b")[0]["digest"]


def test_an_interrupt_leaves_exit_code_4_and_names_the_command_that_resumes(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    words = ["spectra", "planted", "--count", "200", "--delay", "0.1", "--store", str(tmp_path)]
    running = subprocess.Popen(
        [sys.executable, str(SUPPORT / "planted.py"), *words],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.rglob("*.npz")):
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 4
    assert "matterscope runs resume" in said
    assert rows(tmp_path)[0]["state"] == "interrupted"


def test_a_copied_run_directory_renders_the_same_report_without_its_inputs(tmp_path):
    given = tmp_path / "input.txt"
    given.write_text("fine")
    done = matterscope("spectra", "planted", given, "--store", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    [folder] = [p for p in (tmp_path / "s").iterdir() if p.is_dir()]
    before = (folder / "report.html").read_bytes()
    copied = tmp_path / "elsewhere"
    shutil.copytree(folder, copied)
    (copied / "report.html").unlink()
    given.unlink()
    again = matterscope("runs", "report", copied, "--store", tmp_path / "other")
    assert again.returncode == 0, again.stderr
    assert (copied / "report.html").read_bytes() == before


def test_the_report_is_small_needs_no_network_and_escapes_what_users_wrote(tmp_path):
    matterscope("spectra", "planted", "--store", tmp_path)
    [page] = tmp_path.rglob("report.html")
    text = page.read_text()
    assert len(text) < 1_000_000
    for link in ("src=", "<link", "@import", "<img", "<iframe"):
        assert link not in text
    assert "<b>bold</b>" not in text
    assert "a &lt;b&gt;bold&lt;/b&gt; $claim$" in text


def test_json_is_an_array_of_estimates_and_nothing_else(tmp_path):
    done = matterscope("spectra", "planted", "--json", "--level", 0.8, "--store", tmp_path)
    [entry] = json.loads(done.stdout)
    assert set(entry) == {
        "schema",
        "capability",
        "input",
        "quantities",
        "arrays",
        "tables",
        "flags",
        "diagnostics",
        "provenance",
        "run",
        "index",
    }
    assert entry["schema"] == "matterscope.estimate/1"
    assert [i["level"] for i in entry["quantities"]["purity"]["intervals"]] == [
        0.68,
        0.8,
        0.9,
        0.95,
    ]


def test_one_unreadable_input_does_not_cost_the_others_their_answer(tmp_path):
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("fine")
    bad.write_text("broken")
    done = matterscope(
        "spectra",
        "planted",
        bad,
        good,
        tmp_path / "absent.txt",
        "--json",
        "--store",
        tmp_path / "s",
    )
    assert done.returncode == 3
    assert [e["input"]["source"] for e in json.loads(done.stdout)] == [str(good)]
    assert "this input is broken" in done.stderr
    assert "no such file" in done.stderr


@pytest.mark.parametrize(("words", "said"), [
    (["spectra", "planted", "--count", "0"], "count of spectra planted is not allowed"),
    (["spectra", "planted", "--nonsense"], "No such option"),
    (["spectra", "planted", "--config", "absent.toml"], "the configuration cannot be read"),
    (["spectra", "nothing"], "No such command"),
])  # fmt: skip
def test_wrong_usage_is_one_message_a_hint_and_exit_code_2(words, said, tmp_path):
    done = matterscope(*words, MATTERSCOPE_RUNS=str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_strict_turns_a_flag_into_exit_code_1(tmp_path):
    assert (
        matterscope("spectra", "planted", "--strict", "--no-report", "--store", tmp_path).returncode
        == 1
    )


def test_a_dry_run_writes_nothing(tmp_path):
    done = matterscope("spectra", "planted", "--dry-run", "--store", tmp_path / "s")
    assert done.returncode == 0
    assert json.loads(done.stdout)["verb"] == "spectra planted"
    assert not (tmp_path / "s").exists()


def test_settings_come_from_toml_and_options_win(tmp_path):
    (tmp_path / "c.toml").write_text('count = 2\nwords = ["a"]\n')
    done = matterscope(
        "spectra", "planted", "--config", tmp_path / "c.toml", "--count", 3, "--dry-run"
    )
    assert json.loads(done.stdout)["config"] == {
        "count": 3,
        "delay": 0.0,
        "kill": "",
        "words": ["a"],
    }


def test_out_holds_a_copy_of_the_record(tmp_path):
    matterscope("spectra", "planted", "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert {"report.html", "estimates.json", "run.json", "DONE"} <= {
        p.name for p in (tmp_path / "o").iterdir()
    }


def test_the_time_limit_stops_a_run_that_resume_finishes(tmp_path):
    done = matterscope(
        "spectra",
        "planted",
        "--count",
        40,
        "--delay",
        0.1,
        "--time-limit",
        1,
        "--no-report",
        "--store",
        tmp_path,
    )
    assert done.returncode == 4
    again = matterscope("runs", "resume", rows(tmp_path)[0]["id"], "--store", tmp_path)
    assert again.returncode == 0, again.stderr
