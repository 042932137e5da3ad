"""Shared options, settings as options, progress, and how answers are printed.

In: a verb's settings model. Out: a signature that the command line understands; tables or JSON.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
import tomllib
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from matterscope.core.errors import ConfigError
from matterscope.core.settings import Settings, positional

ANSWER, EXECUTION = "Answer", "Execution"
HEAD_ROWS, MOST_COLUMNS, MOST_TABLES = 8, 8, 2
"""How much of an answer's tables is printed; the report has all."""

SHARED: dict[str, tuple[Any, Any, Any]] = {
    # name: (type, default, option)
    "json_": (bool, False, typer.Option("--json", help="Print the estimates as a JSON array.", rich_help_panel=ANSWER)),
    "seed": (int, 0, typer.Option("--seed", help="Seed of all random streams.", rich_help_panel=ANSWER)),
    "level": (float | None, None, typer.Option("--level", help="One more level for the intervals, beside 0.68, 0.9, 0.95.", rich_help_panel=ANSWER)),
    "config": (Path | None, None, typer.Option("--config", help="TOML file with settings; options given here win.", rich_help_panel=ANSWER)),
    "strict": (bool, False, typer.Option("--strict", help="Exit 1 if any answer carries a flag.", rich_help_panel=ANSWER)),
    "store": (Path | None, None, typer.Option("--store", help="Folder of the run store.", envvar="MATTERSCOPE_RUNS", rich_help_panel=EXECUTION)),
    "out": (Path | None, None, typer.Option("--out", help="Copy the finished record (report, tables, arrays, files made) into this folder.", rich_help_panel=EXECUTION)),
    "report": (bool, True, typer.Option("--report/--no-report", help="Render the HTML report.", rich_help_panel=EXECUTION)),
    "executor": (Literal["inline", "processes", "dask"], "inline", typer.Option("--executor", help="How units are computed.", rich_help_panel=EXECUTION)),
    "scheduler": (str, "", typer.Option("--scheduler", help="Address of a Dask scheduler in a network you trust.", rich_help_panel=EXECUTION)),
    "workers": (int, 0, typer.Option("--workers", help="Processes; 0 is one per core.", min=0, rich_help_panel=EXECUTION)),
    "threads": (int, 1, typer.Option("--threads", help="Threads of the numerical libraries; part of the digest.", min=1, rich_help_panel=EXECUTION)),
    "shard": (str, "", typer.Option("--shard", help="Compute part K of N, as K/N; `matterscope runs merge` joins the parts.", rich_help_panel=EXECUTION)),
    "time_limit": (float | None, None, typer.Option("--time-limit", help="Seconds after which the run stops, resumable.", rich_help_panel=EXECUTION)),
    "max_bytes": (float | None, None, typer.Option("--max-bytes", help="Largest decoded size of an input.", rich_help_panel=EXECUTION)),
    "dry_run": (bool, False, typer.Option("--dry-run", help="Say what would be done; write nothing.", rich_help_panel=EXECUTION)),
    "debug": (bool, False, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=EXECUTION)),
}  # fmt: skip


def _field_type(annotation: Any) -> Any:
    """Return the option type of a settings field: scalars as they are, sequences as lists of words."""
    inner = (
        [a for a in get_args(annotation) if a is not type(None)]
        if get_origin(annotation) in {Union, types.UnionType}
        else [annotation]
    )
    found = inner[0] if len(inner) == 1 else str
    if get_origin(found) is Literal:
        # a choice of numbers is typed as a number and held against the choice by the settings
        kinds = {type(v) for v in get_args(found)}
        return found if kinds == {str} else int if kinds == {int} else str
    if get_origin(found) in {tuple, list}:
        return list[str]
    return found if found in {int, float, bool, str} else str


def parameters(settings: type[Settings], inputs: str, metavar: str) -> list[inspect.Parameter]:
    """Return the parameters of a verb's command: positional settings, inputs, settings, shared options."""
    words, named = [], []
    first = positional(settings)
    for name, field in settings.model_fields.items():
        if name in SHARED or f"{name}_" in SHARED:
            raise ConfigError(f"the setting '{name}' has the name of a shared option")
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        kind = _field_type(field.annotation)
        unit = f" [{extra['units']}]" if extra.get("units") else ""
        text = (field.description or "") + unit
        required = field.is_required()
        if name in first:
            place = typer.Argument(metavar=name.upper(), help=text, show_default=False)
            words.append(
                _parameter(
                    name,
                    Annotated[kind if required else kind | None, place],
                    inspect.Parameter.empty if required else None,
                )
            )
            continue
        # a name that is a word of Python ends in "_" there
        flag = "--" + name.rstrip("_").replace("_", "-")
        text += "  (required)" if required else _shown(field.default)
        choice = typer.Option(
            *([f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]),
            help=text,
            show_default=False,
            rich_help_panel="Settings",
        )
        named.append(
            _parameter(
                name,
                Annotated[list[str] | None if kind == list[str] else kind | None, choice],
                None,
            )
        )
    files: list[inspect.Parameter] = []
    if inputs != "none":
        needed = not inputs.endswith("?")
        place = typer.Argument(
            metavar=f"{metavar}…",
            help="Files; FILE:NAME picks one part of a file.",
            show_default=False,
        )
        files = [
            _parameter(
                "inputs",
                Annotated[list[str] if needed else list[str] | None, place],
                inspect.Parameter.empty if needed else None,
            )
        ]
    shared = [
        _parameter(n, Annotated[kind, option], default)
        for n, (kind, default, option) in SHARED.items()
    ]
    both = [*words, *files]
    return [*sorted(both, key=lambda p: p.default is not inspect.Parameter.empty), *named, *shared]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _shown(default: Any) -> str:
    if default is None or default in ((), "", []):
        return ""
    words = (
        ",".join(str(v) for v in default) if isinstance(default, (tuple, list)) else str(default)
    )
    return f"  (default {words.lower() if isinstance(default, bool) else words})"


def settings_given(
    settings: type[Settings], values: dict[str, Any], config: Path | None
) -> dict[str, Any]:
    """Return the settings of the TOML file, overruled by the options that were given."""
    merged: dict[str, Any] = {}
    if config is not None:
        try:
            merged = tomllib.loads(config.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                "the configuration cannot be read", where=str(config), got=str(error)
            ) from None
    for name in settings.model_fields:
        value = values.get(name)
        if value is None or value == []:
            continue
        merged[name] = (
            [w.strip() for item in value for w in item.split(",")]
            if isinstance(value, list)
            else value
        )
    return merged


class Meter:
    """Progress on stderr: a bar in a terminal, a line every ten seconds elsewhere; silent for 2 s."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.start = self.last = time.monotonic()
        self.quiet = quiet
        self.bar: Any = None
        self.task: Any = None
        self.what = ""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report that `done` of `total` are finished."""
        now = time.monotonic()
        if self.quiet or now - self.start < 2:
            return
        if sys.stderr.isatty():
            self._bar(done, total, what)
        elif now - self.last > 10:
            rate = (now - self.start) / max(done, 1)
            print(
                f"{what}: {done}/{total}, about {rate * (total - done):.0f} s left", file=sys.stderr
            )
            self.last = now

    def _bar(self, done: int, total: int, what: str) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
        if what != self.what:
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task, self.what = self.bar.add_task(what, total=total), what
        self.bar.update(self.task, completed=done, total=total)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()


def print_json(entries: list[dict[str, Any]], folder: Path) -> None:
    """Print the estimates as one JSON array, and nothing else."""
    kept = [{k: v for k, v in e.items() if k != "figures"} for e in entries]
    sys.stdout.write(json.dumps(kept, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def print_answers(entries: list[dict[str, Any]], folder: Path) -> None:
    """Print the estimates of a run's `folder` as tables: one per thing, or a row per thing when there are many."""
    from rich.console import Console
    from rich.table import Table

    from matterscope.runs.answers import half_width, number

    console = Console(soft_wrap=False)
    if len(entries) > 3:
        _print_rows(entries, console)
        return
    for entry in entries:
        table = Table(
            title=f"{entry['capability']} · {_name(entry)}",
            title_justify="left",
            header_style="bold",
        )
        for head in ("quantity", "value", "units", "90 % interval"):
            table.add_column(head, overflow="fold")
        for name, q in entry["quantities"].items():
            table.add_row(
                name.replace("_", " "),
                number(q["value"], half_width(q)),
                "" if q["units"] == "1" else q["units"],
                _interval(q),
            )
        console.print(table)
        _print_tables(entry, folder, console)
        for flag in entry["flags"]:
            console.print(f"[yellow]{flag['code']}[/yellow] ", end="")
            console.print(f"{flag['message']} {flag['remedy']}", markup=False)


def _print_tables(entry: dict[str, Any], folder: Path, console: Any) -> None:
    """Print short tables of an answer whole, and the head of the first long one; the report has all."""
    from rich.table import Table

    from matterscope.runs.answers import table_view

    views = [table_view(folder, n, stored, HEAD_ROWS) for n, stored in entry["tables"].items()]
    filled = [v for v in views if v["rows"]]
    for view in filled[:MOST_TABLES]:
        title = str(view["name"])
        if view["count"] > len(view["rows"]):
            title += f" · {len(view['rows'])} of {view['count']} rows"
        shown = list(range(len(view["head"])))
        if len(shown) > MOST_COLUMNS:
            # what is the same in every row can be read elsewhere
            shown = [c for c in shown if len({row[c] for row in view["rows"]}) > 1]
            shown = (shown or list(range(MOST_COLUMNS)))[:MOST_COLUMNS]
            title += f" · {len(shown)} of {len(view['head'])} columns"
        table = Table(title=title, title_justify="left", header_style="bold")
        for c in shown:
            table.add_column(view["head"][c].replace("_", " "), overflow="fold")
        for row in view["rows"]:
            table.add_row(*(row[c] for c in shown))
        console.print(table)
    others = [v["name"] for v in filled[MOST_TABLES:]]
    if others:
        console.print(f"more tables in the report: {', '.join(others)}", style="dim", markup=False)


def _print_rows(entries: list[dict[str, Any]], console: Any) -> None:
    """Print one row per answer: the part of the file, up to four quantities, the flags."""
    from rich.table import Table

    from matterscope.runs.answers import headings, quantity_text

    names = headings(entries, 4)
    files = {e["input"]["source"] for e in entries}
    file = files.pop().rsplit("/", 1)[-1] if len(files) == 1 else ""
    table = Table(
        title=f"{entries[0]['capability']} · {file}".rstrip(" ·"),
        title_justify="left",
        header_style="bold",
    )
    table.add_column("input", overflow="fold", min_width=12)
    for head in (*names, "flags"):
        table.add_column(head.replace("_", " "), overflow="fold")
    for entry in entries:
        texts = [
            quantity_text(entry["quantities"][n]) if n in entry["quantities"] else "" for n in names
        ]
        cells = [t.replace(" (90 %: ", "\n(").replace(" (p", "\n(p") for t in texts]
        flags = "\n".join(f["code"] for f in entry["flags"])
        table.add_row(entry["input"]["selector"] or _name(entry), *cells, flags)
    console.print(table)
    console.print("intervals in brackets hold 90 %; --json prints everything", style="dim")


def _name(entry: dict[str, Any]) -> str:
    from matterscope.runs.answers import subject

    return subject(entry)


def _interval(q: dict[str, Any]) -> str:
    from matterscope.runs.answers import half_width, interval_text, number

    band = next((i for i in q.get("intervals", []) if abs(i["level"] - 0.9) < 1e-9), None)
    if band:
        return interval_text(band, half_width(q))
    if q.get("probabilities"):
        ranked = sorted(q["probabilities"].items(), key=lambda item: -(item[1] or 0))[:3]
        return ", ".join(f"p({v}) = {number(p, 0.01)}" for v, p in ranked)
    return str(q.get("uncertainty", "")).removeprefix("none: ")
