"""The parts of a sharded run become one run, with the digest of the undivided one.

In: stored parts of one command (``--shard K/N``), all or any one of them. Out: one finished run; the
parts stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matterscope.core.calls import Progress, silent
from matterscope.core.errors import ConfigError
from matterscope.core.files import write_json
from matterscope.runs import records
from matterscope.runs.execute import Options, Run, compute, job_of
from matterscope.runs.shards import Shard
from matterscope.runs.store import Store, read_json

SAME = ("verb", "config", "seed", "levels", "threads", "versions")
"""What the parts of one run have in common, beside their inputs."""


def merge(names: Sequence[str], options: Options, *, progress: Progress = silent) -> Run:
    """Join the parts of a run; what depends on all of them is computed here.

    Parameters
    ----------
    names : sequence of str
        Ids or directories of parts; the others are looked for in the same store.

    Raises
    ------
    ConfigError
        For a run that is no part, parts of different runs, and parts that are missing.
    """
    store = Store(options.store or None)
    parts = _siblings(store, [store.path(name) for name in names])
    first = read_json(next(iter(parts.values())) / "run.json")
    record = {k: v for k, v in first.items() if k not in {"id", "verb", "created", "shard"}}
    job = job_of(first, options)
    folder = store.create(first["verb"], record)
    for part in parts.values():
        _copy_units(part, folder.folder)
    _number_answers(parts, folder.folder, folder.id)
    return compute(folder, job, progress)


def _siblings(store: Store, given: list[Path]) -> dict[int, Path]:
    records_of = {folder: read_json(folder / "run.json") for folder in given}
    wanted = records_of[given[0]]
    if not wanted.get("shard"):
        raise ConfigError(
            "this run is no part of a sharded one", where=given[0].name, expected="--shard K/N"
        )
    count = Shard.parse(wanted["shard"]).count
    for other in sorted(store.root.glob("*/run.json")):
        records_of.setdefault(other.parent, read_json(other))
    parts: dict[int, Path] = {}
    for folder, record in records_of.items():
        shard = Shard.parse(record["shard"]) if record.get("shard") else None
        if shard and shard.count == count and _key(record) == _key(wanted) and _computed(folder):
            parts.setdefault(shard.number, folder)
        elif folder in given:
            raise ConfigError("these are no finished parts of one run", where=folder.name)
    missing = [str(k) for k in range(1, count + 1) if k not in parts]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {count} parts are missing",
            where=str(store.root),
            got="no finished part " + ", ".join(missing[:20]),
            hint="compute them, or `matterscope runs resume` one part to compute the rest here",
        )
    return dict(sorted(parts.items()))


def _key(record: dict[str, Any]) -> Any:
    return [record[k] for k in SAME], [(i["sha256"], i["selector"]) for i in record["inputs"]]


def _computed(folder: Path) -> bool:
    state = folder / "state.json"
    return state.is_file() and read_json(state)["state"] == "sharded"


def _copy_units(part: Path, target: Path) -> None:
    for name in ("units", "artifacts"):
        for path in (part / name).rglob("*.*"):
            # answers of whole inputs are numbered anew; a torn copy would be found by its checksum
            is_answer = name == "units" and path.parent == part / name
            goal = target / path.relative_to(part)
            if path.is_file() and not is_answer and not goal.exists():
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, goal)


def _number_answers(parts: dict[int, Path], target: Path, run: str) -> None:
    marks = {
        int(mark.stem.removeprefix("group-")): (part, mark)
        for part in parts.values()
        for mark in (part / "units").glob("group-*.json")
    }
    index = 0
    for number in sorted(marks):
        part, mark = marks[number]
        stored = read_json(mark)
        moved = []
        for entry in stored["estimates"]:
            moved.append(records.move_estimate(part, entry, target, index, run))
            index += 1
        stored["estimates"] = moved
        (target / "units").mkdir(exist_ok=True)
        write_json(target / "units" / mark.name, stored)
