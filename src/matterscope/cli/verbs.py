"""The commands of the domains, made from the catalogue: one per verb, its settings as options.

In: a domain's name. Out: a group of commands that all go through `runs.execute`.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from matterscope.cli.errors import ANSWERED, GATE, UNREADABLE, Stopped, say
from matterscope.cli.options import (
    SHARED,
    Meter,
    parameters,
    print_answers,
    print_json,
    settings_given,
)
from matterscope.core.errors import ConfigError
from matterscope.runs.catalogue import VERBS, Verb, lookup, resolve


def domain_group(domain: str, summary: str) -> typer.Typer:
    """Return the command group of a domain."""
    group = typer.Typer(help=summary, no_args_is_help=True)
    for name, verb in VERBS.items():
        if name.startswith(f"{domain} "):
            group.command(name.split(" ", 1)[1], help=verb.summary[:1].upper() + verb.summary[1:])(
                command(name, verb)
            )
    return group


def command(name: str, verb: Verb) -> Callable[..., int]:
    """Return the function behind one command, with the signature made from its settings."""
    settings = resolve(verb.settings)

    def invoke(**values: Any) -> int:
        shared = {n: values.pop(n) for n in SHARED}
        inputs = values.pop("inputs", None) or []
        return perform(name, inputs, settings_given(settings, values, shared["config"]), shared)

    made = parameters(settings, verb.inputs, verb.metavar)
    invoke.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    invoke.__annotations__ = {p.name: p.annotation for p in made}
    invoke.__name__ = name.replace(" ", "_").replace("-", "_")
    invoke.__doc__ = verb.summary[:1].upper() + verb.summary[1:]
    return invoke


check_command = command("check", lookup("check"))


def perform(name: str, inputs: list[str], config: dict[str, Any], shared: dict[str, Any]) -> int:
    """Execute a verb, print its answers, and return the exit code."""
    from matterscope.runs.execute import Options, TimeIsUp, execute, plan
    from matterscope.runs.shards import Shard, ShardDone

    if shared["max_bytes"]:
        os.environ["MATTERSCOPE_MAX_BYTES"] = str(int(shared["max_bytes"]))
    kept = ("seed", "level", "executor", "workers", "threads", "scheduler", "report", "time_limit")
    shard = Shard.parse(shared["shard"]) if shared["shard"] else None
    options = Options(store=str(shared["store"] or ""), shard=shard, **{k: shared[k] for k in kept})
    if shared["dry_run"]:
        print(plan(name, inputs, config, options))
        return ANSWERED
    meter = Meter(quiet=False)
    try:
        run = execute(name, inputs, config, options, progress=meter)
    except ShardDone as part:
        run_id = getattr(part, "run", "")
        say(f"{part}: run {run_id} · when all are: matterscope runs merge {run_id}")
        return ANSWERED
    except (KeyboardInterrupt, TimeIsUp) as stop:
        raise Stopped(
            str(stop) or "stopped",
            hint=f"go on with: matterscope runs resume {getattr(stop, 'run', '')}",
        ) from None
    finally:
        meter.close()
    if shared["out"]:
        _copy(run.folder, shared["out"])
    (print_json if shared["json_"] else print_answers)(run.entries, run.folder)
    for failure in run.failures:
        say(f"error: {failure['message']}")
    where = (shared["out"] or run.folder) / "report.html"
    say(f"run {run.id}" + (f" · report {where}" if options.report else ""))
    return exit_code(run, strict=shared["strict"])


def exit_code(run: Any, *, strict: bool) -> int:
    """Return 3 if an input was not read, 1 if nothing was answered or a gate failed, else 0."""
    if run.failures:
        return UNREADABLE
    nothing = not any(_answered(e) for e in run.entries)
    failed = any(
        e["diagnostics"].get("verdict") == "FAIL" and e["capability"] == "check"
        for e in run.entries
    )
    flagged = strict and any(e["flags"] for e in run.entries)
    return GATE if nothing or failed or flagged else ANSWERED


def _answered(entry: dict[str, Any]) -> bool:
    """Whether any quantity has a value; tables, arrays and files count where none was asked for."""
    if entry["quantities"]:
        return any(q["value"] is not None for q in entry["quantities"].values())
    return bool(entry["tables"] or entry["arrays"] or entry["diagnostics"].get("artifacts"))


def _copy(folder: Path, target: Path) -> None:
    if target.exists() and any(target.iterdir()) and not (target / "run.json").is_file():
        raise ConfigError(
            "the folder for the copy is not empty and holds no earlier record",
            where=str(target),
            hint="give a new folder with --out",
        )
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns("lock", "units"))
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
