"""The only door to a recorded answer: a verb, inputs and settings in, a finished record out.

In: a name of the catalogue, files or measurements, settings. Out: estimates stored under one run,
with digest and report. Units are checkpointed as they arrive, so that a killed run is resumed
without computing anything twice, and ends with the same digest.
"""

from __future__ import annotations

import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from matterscope import __version__
from matterscope.core.calls import Call, Input, Mapper, Progress, Unit, silent
from matterscope.core.errors import ConfigError, DataError, MatterscopeError
from matterscope.core.estimates import LEVELS, Estimate
from matterscope.core.files import canonical_json, write_json
from matterscope.core.models import keep_models
from matterscope.core.settings import Settings, positional, validate
from matterscope.core.verbs import as_input
from matterscope.runs import records
from matterscope.runs.catalogue import Verb, lookup, resolve
from matterscope.runs.executors import limit_threads, opened
from matterscope.runs.shards import Shard, ShardDone, array_script
from matterscope.runs.store import RunFolder, Store, read_json


@dataclass(frozen=True)
class Options:
    """How a run is executed; nothing here but seed, levels and threads can change its digest."""

    seed: int = 0
    level: float | None = None
    executor: str = "inline"
    workers: int = 0
    threads: int = 1
    scheduler: str = ""
    store: str = ""
    report: bool = True
    time_limit: float | None = None
    shard: Shard | None = None
    """The part that is computed here; the run then waits for `runs.merging`."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of all intervals."""
        if self.level is not None and not 0 < self.level < 1:
            raise ConfigError("level must lie in (0, 1)", got=self.level)
        return (
            LEVELS
            if self.level is None or self.level in LEVELS
            else tuple(sorted((*LEVELS, self.level)))
        )


@dataclass
class Run:
    """A finished run: where it is, what it answered, what could not be read."""

    id: str
    folder: Path
    digest: str
    entries: list[dict[str, Any]]
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def estimates(self) -> list[dict[str, Any]]:
        """The JSON array of the answers."""
        return self.entries


@dataclass(frozen=True)
class Job:
    """What one run computes: the verb, its inputs and settings, and how."""

    verb: str
    taken: list[Input]
    settings: Settings
    options: Options
    levels: tuple[float, ...]
    failures: list[dict[str, Any]]
    """Inputs that could not even be opened."""


class TimeIsUp(MatterscopeError):
    """The time limit of the run was reached; the run can be resumed."""


def run(
    verb: str,
    *inputs: Any,
    seed: int = 0,
    level: float | None = None,
    executor: str = "inline",
    workers: int = 0,
    store: str | Path = "",
    progress: Progress = silent,
    **config: Any,
) -> Run:
    """Run a verb and record it; the same as the command line does.

    Parameters
    ----------
    verb : str
        ``"spectra infer"``, ``"emitters g2"`` …
    *inputs
        Paths, ``FILE:SELECTOR`` strings, or measurements.
    seed, level, executor, workers, store
        As the options of the same names.
    **config
        The settings of the verb.
    """
    flat = [
        item
        for given in inputs
        for item in (given if isinstance(given, (list, tuple)) else [given])
    ]
    options = Options(seed=seed, level=level, executor=executor, workers=workers, store=str(store))
    return execute(verb, flat, config, options, progress=progress)


def execute(
    verb: str,
    inputs: Sequence[Any],
    config: dict[str, Any],
    options: Options,
    *,
    progress: Progress = silent,
) -> Run:
    """Run `verb` over `inputs` and record it in the store; see `run`."""
    entry = lookup(verb)
    settings = validate(resolve(entry.settings), config, verb)
    _check_count(verb, entry, len(inputs))
    levels = options.levels
    taken, failures = _take_inputs(inputs)
    record = {
        "config": settings.model_dump(mode="json"),
        "seed": options.seed,
        "levels": list(levels),
        "threads": options.threads,
        "inputs": [_input_record(i) for i in taken],
        "failures": failures,
        "versions": versions(),
        "host": platform.node(),
        "command": command_line(verb, taken, settings, options),
        "python": python_lines(verb, taken, settings, options),
    }
    if options.shard:
        record["shard"] = str(options.shard)
    folder = Store(options.store or None).create(verb, record)
    return compute(folder, Job(verb, taken, settings, options, levels, failures), progress)


def resume(run_id: str, options: Options, *, progress: Progress = silent) -> Run:
    """Finish an interrupted run: inputs are checked against their sha256, finished units are kept."""
    store = Store(options.store or None)
    folder = store.path(run_id)
    if (folder / "DONE").is_file():
        return load(folder)
    job = job_of(read_json(folder / "run.json"), options)
    return compute(store.reopen(str(folder)), job, progress)


def job_of(record: dict[str, Any], options: Options) -> Job:
    """Return what a stored run computes; its inputs are read again and must be unchanged."""
    taken = []
    for stored in record["inputs"]:
        if not stored["path"]:
            raise ConfigError(
                "this run had an input in memory and cannot be resumed", where=record["id"]
            )
        given = as_input(stored["path"] + (f":{stored['selector']}" if stored["selector"] else ""))
        if given.sha256 != stored["sha256"]:
            raise DataError(
                "an input has changed since the run began",
                where=stored["path"],
                got=given.sha256[:8],
                expected=stored["sha256"][:8],
            )
        taken.append(Input(stored["source"], given.selector, given.path, None, given.sha256))
    settings = validate(resolve(lookup(record["verb"]).settings), record["config"], record["verb"])
    same = replace(options, seed=record["seed"], threads=record["threads"], shard=None)
    levels, failures = tuple(record["levels"]), record["failures"]
    return Job(record["verb"], taken, settings, same, levels, failures)


def load(folder: Path) -> Run:
    """Return a stored run."""
    done = read_json(folder / "DONE")
    record = read_json(folder / "run.json")
    results = read_json(folder / "estimates.json")
    return Run(
        folder.name,
        folder,
        done["digest"],
        results,
        record["failures"] + read_json(folder / "failures.json"),
    )


def compute(folder: RunFolder, job: Job, progress: Progress) -> Run:
    """Compute what a run still lacks, finish it or mark why it stopped."""
    try:
        return _compute(folder, job, progress)
    except ShardDone as part:
        folder.mark("sharded", f"part {job.options.shard} is computed")
        part.run = folder.id  # type: ignore[attr-defined]
        raise
    except (KeyboardInterrupt, TimeIsUp) as stop:
        folder.mark(
            "interrupted",
            "stopped by the user"
            if isinstance(stop, KeyboardInterrupt)
            else "the time limit was reached",
        )
        stop.run = folder.id  # type: ignore[union-attr]
        raise
    except BaseException as error:
        folder.mark("failed", f"{type(error).__name__}: {error}")
        raise


def _compute(folder: RunFolder, job: Job, progress: Progress) -> Run:
    verb, taken, settings = job.verb, job.taken, job.settings
    options, levels, failures = job.options, job.levels, job.failures
    shard = options.shard
    entry = lookup(verb)
    limit_threads(options.threads)
    function = resolve(entry.function)
    # a sample's files are one thing asked about, also for a verb that else takes them one by one
    apart = entry.inputs.startswith("files") and not getattr(settings, "sample", "")
    groups = [[i] for i in taken] if apart and taken else [taken]
    entries: list[dict[str, Any]] = []
    missed: list[dict[str, Any]] = []
    started = time.monotonic()
    deadline = started + options.time_limit if options.time_limit else None
    with opened(
        options.executor,
        workers=options.workers,
        threads=options.threads,
        scheduler=options.scheduler,
    ) as mapper:
        for number, group in enumerate(groups):
            if shard and len(groups) > 1 and not shard.holds(number):
                continue
            mark = folder.folder / "units" / f"group-{number}.json"
            if not mark.is_file():
                part = _timed(progress, deadline)
                call = Call(
                    seed=options.seed,
                    levels=levels,
                    progress=part,
                    artifacts=folder.folder / "artifacts",
                )
                call.mapper = _checkpointed(
                    mapper,
                    folder.folder / "units" / f"group-{number}",
                    shard if len(groups) == 1 else None,
                )
                _answer(folder, function, group, settings, call, len(entries), mark)
                if deadline and time.monotonic() > deadline and number + 1 < len(groups):
                    raise TimeIsUp(
                        "the time limit was reached", hint=f"matterscope runs resume {folder.id}"
                    )
            stored = read_json(mark)
            entries += stored["estimates"]
            missed += stored["failures"]
            if len(groups) > 1:
                progress(number + 1, len(groups), "inputs")
    if shard and len(groups) > 1:
        raise ShardDone(f"part {shard} is computed")
    digest = records.digest(folder.folder, entries)
    write_json(folder.folder / "estimates.json", entries)
    write_json(folder.folder / "failures.json", missed)
    folder.log(seconds=round(time.monotonic() - started, 3), estimates=len(entries))
    _keep_models(folder, entries)
    if options.report:
        from matterscope.runs.report import render

        render(folder.folder)
    folder.finish(digest, f"{len(entries)} answered, {len(missed) + len(failures)} not read")
    return Run(folder.id, folder.folder, digest, entries, failures + missed)


def _keep_models(folder: RunFolder, entries: list[dict[str, Any]]) -> None:
    """Keep what was trained where it outlives the run; the run still holds it when that folder is closed."""
    try:
        kept = keep_models(entries, folder.folder / "artifacts")
    except OSError as error:
        folder.log(models_not_kept=str(error))
        sys.stderr.write(f"the model stays in {folder.folder / 'artifacts'} only: {error}\n")
    else:
        if kept:
            folder.log(models_kept=kept)


def _answer(
    folder: RunFolder,
    function: Callable[..., list[Estimate]],
    group: list[Input],
    settings: Settings,
    call: Call,
    first: int,
    mark: Path,
) -> None:
    mark.parent.mkdir(exist_ok=True)
    try:
        answers = function(group, settings, call)
    except DataError as error:
        name = ", ".join(i.source for i in group)
        write_json(
            mark,
            {
                "estimates": [],
                "failures": [
                    {"source": name, "error": type(error).__name__, "message": str(error)}
                ],
            },
        )
        return
    stored = []
    for offset, estimate in enumerate(answers):
        estimate.provenance = {
            "config": settings.model_dump(mode="json"),
            "seed": call.seed,
            "version": __version__,
            **estimate.provenance,
        }
        stored.append(records.write_estimate(folder.folder, first + offset, estimate, folder.id))
    write_json(mark, {"estimates": stored, "failures": []})


def _checkpointed(mapper: Mapper, folder: Path, shard: Shard | None) -> Mapper:
    """Wrap a mapper: units already on disk are read, the others computed and written as they arrive.

    Of a shard only its own units are computed; the work then waits for the others.
    """
    count = [0]

    def mapped(
        unit: Unit, items: Sequence[Any], *, seed: int, stream: str, progress: Progress
    ) -> list[Any]:
        home = folder / f"{count[0]}-{records.safe_name(stream)}"
        count[0] += 1
        home.mkdir(parents=True, exist_ok=True)
        paths = [home / f"{i}.npz" for i in range(len(items))]
        absent = [i for i, path in enumerate(paths) if not records.read_unit(path)[0]]
        missing = [i for i in absent if shard is None or shard.holds(i)]
        kept = partial(_keep, unit, str(home), seed, stream)
        done = len(items) - len(absent)
        mapper(
            kept,
            [(i, items[i]) for i in missing],
            seed=seed,
            stream=stream,
            progress=lambda n, _, what: progress(done + n, len(items), what),
        )
        if len(missing) < len(absent):
            raise ShardDone(f"part {shard} is computed")
        return [records.read_unit(path)[1] for path in paths]

    return mapped


def _keep(unit: Unit, home: str, seed: int, stream: str, numbered: tuple[int, Any], _: Any) -> None:
    """Compute one unit and write its checkpoint where it was computed; nothing travels back."""
    from matterscope.core.random import generator

    index, item = numbered
    records.write_unit(Path(home) / f"{index}.npz", unit(item, generator(seed, stream, index)))


def _timed(progress: Progress, deadline: float | None) -> Progress:
    def report(done: int, total: int, what: str) -> None:
        progress(done, total, what)
        if deadline and time.monotonic() > deadline and done < total:
            raise TimeIsUp("the time limit was reached")

    return report


def _check_count(verb: str, entry: Verb, count: int) -> None:
    if entry.inputs == "none" and count:
        raise ConfigError(f"{verb} takes no input file", got=count)
    if entry.inputs in {"files", "together"} and not count:
        raise ConfigError(
            f"{verb} needs at least one input", hint=f"matterscope {verb} {entry.metavar}"
        )


def _take_inputs(inputs: Sequence[Any]) -> tuple[list[Input], list[dict[str, Any]]]:
    taken, failures = [], []
    for given in inputs:
        try:
            taken.append(as_input(given))
        except DataError as error:
            failures.append(
                {"source": str(given), "error": type(error).__name__, "message": str(error)}
            )
    if failures and not taken:
        raise DataError(failures[0]["message"])
    return taken, failures


def _input_record(given: Input) -> dict[str, str]:
    return {
        "source": given.source,
        "selector": given.selector,
        "path": str(given.path.resolve()) if given.path else "",
        "sha256": given.sha256,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages whose numbers enter an answer."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"matterscope": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "pandas", "xarray", "scikit-learn", "numba", "torch", "iminuit"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def changed(settings: Settings) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    return {
        n: v for n, v in settings.model_dump(mode="json").items() if n in settings.model_fields_set
    }


def command_line(verb: str, inputs: list[Input], settings: Settings, options: Options) -> str:
    """Return the command that repeats this run."""
    words = ["matterscope", *verb.split(" ")]
    first = positional(type(settings))
    words += [str(getattr(settings, name)) for name in first]
    words += [i.source + (f":{i.selector}" if i.selector else "") for i in inputs]
    for name, value in changed(settings).items():
        if name in first:
            continue
        flag = name.rstrip("_").replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list):
            words += [w for item in value for w in (f"--{flag}", str(item))]
        elif value is not None:
            words += [f"--{flag}", str(value)]
    if options.seed:
        words += ["--seed", str(options.seed)]
    if options.level is not None:
        words += ["--level", str(options.level)]
    return shlex.join(words)


def python_lines(verb: str, inputs: list[Input], settings: Settings, options: Options) -> str:
    """Return the Python lines that repeat this run."""
    given = [repr(i.source + (f":{i.selector}" if i.selector else "")) for i in inputs]
    named = [f"{n}={v!r}" for n, v in changed(settings).items()]
    extra = ([f"seed={options.seed}"] if options.seed else []) + (
        [f"level={options.level}"] if options.level is not None else []
    )
    return f"import matterscope\nrun = matterscope.run({', '.join([repr(verb), *given, *named, *extra])})"


def plan(verb: str, inputs: Sequence[Any], config: dict[str, Any], options: Options) -> str:
    """Return what a run would do, as JSON, without writing anything (``--dry-run``)."""
    entry = lookup(verb)
    settings = validate(resolve(entry.settings), config, verb)
    _check_count(verb, entry, len(inputs))
    taken, failures = _take_inputs(inputs)
    command = command_line(verb, taken, settings, options)
    script = array_script(command, options.shard, options.store) if options.shard else ""
    return canonical_json(
        {
            "verb": verb,
            "inputs": [_input_record(i) for i in taken],
            "failures": failures,
            "config": settings.model_dump(mode="json"),
            "levels": options.levels,
            "executor": options.executor,
            **({"shard": str(options.shard), "script": script} if options.shard else {}),
        },
        indent=1,
    )
