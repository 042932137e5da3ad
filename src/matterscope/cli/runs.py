"""``matterscope runs``: list, show, report, resume, merge, rm; and ``cite``.

In: ids of stored runs, or directories of copied ones. Out: tables, JSON, a report rendered again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from matterscope.cli.errors import ANSWERED, Stopped, say
from matterscope.cli.options import Meter, print_answers, print_json

app = typer.Typer(no_args_is_help=True)
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of the run store.", envvar="MATTERSCOPE_RUNS")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Id, unique beginning of it, or a run's directory.")
]


@app.command("list", help="List the runs, newest first.")
def list_runs(
    store: StoreOption = None,
    as_json: JsonOption = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Rebuild the index from the directories.")
    ] = False,
) -> int:
    """List the runs of a store."""
    from matterscope.runs.store import Store

    opened = Store(store)
    if rebuild:
        say(f"{opened.rebuild()} runs found in {opened.root}")
    rows = opened.rows()
    if as_json:
        print(json.dumps({"schema": "matterscope.table/1", "rows": rows}, indent=1))
        return ANSWERED
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"runs in {opened.root}", title_justify="left")
    for head in ("id", "verb", "state", "created", "summary", "digest"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(
            row["id"],
            row["verb"],
            row["state"],
            row["created"],
            row["summary"] or row["reason"] or "",
            (row["digest"] or "")[:12],
        )
    Console().print(table)
    return ANSWERED


@app.command(help="Show the answers of a run.")
def show(run: RunArgument, store: StoreOption = None, as_json: JsonOption = False) -> int:
    """Show the answers of a run."""
    from matterscope.runs.store import Store, read_json

    folder = Store(store).path(run)
    entries = read_json(folder / "estimates.json")
    (print_json if as_json else print_answers)(entries, folder)
    say(f"{read_json(folder / 'run.json')['command']}")
    return ANSWERED


@app.command(help="Render the report of a run again, from its record alone.")
def report(run: RunArgument, store: StoreOption = None) -> int:
    """Render the report of a run again."""
    from matterscope.runs.report import render
    from matterscope.runs.store import Store, verify

    folder = Path(run) if (Path(run) / "run.json").is_file() else Store(store).path(run)
    if (folder / "DONE").is_file():
        for name in verify(folder):
            say(f"warning: {name} is missing or has changed since the run was finished")
    print(render(folder))
    return ANSWERED


@app.command(help="Finish an interrupted run; nothing is computed twice.")
def resume(
    run: RunArgument,
    store: StoreOption = None,
    as_json: JsonOption = False,
    executor: Annotated[
        str, typer.Option("--executor", help="inline, processes or dask.")
    ] = "inline",
    workers: Annotated[int, typer.Option("--workers", help="Processes; 0 is one per core.")] = 0,
) -> int:
    """Finish an interrupted run."""
    from matterscope.runs.execute import Options
    from matterscope.runs.execute import resume as finish

    meter = Meter()
    try:
        finished = finish(
            run, Options(store=str(store or ""), executor=executor, workers=workers), progress=meter
        )
    except KeyboardInterrupt:
        raise Stopped("stopped", hint=f"go on with: matterscope runs resume {run}") from None
    finally:
        meter.close()
    (print_json if as_json else print_answers)(finished.entries, finished.folder)
    say(f"run {finished.id} · report {finished.folder / 'report.html'}")
    return ANSWERED


@app.command(help="Join the parts of a run that was computed with --shard.")
def merge(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="Parts; the others are found in the store.")
    ],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Join the parts of a sharded run."""
    from matterscope.runs.execute import Options
    from matterscope.runs.merging import merge as join

    meter = Meter()
    try:
        joined = join(runs, Options(store=str(store or "")), progress=meter)
    finally:
        meter.close()
    (print_json if as_json else print_answers)(joined.entries, joined.folder)
    say(f"run {joined.id} · report {joined.folder / 'report.html'}")
    return ANSWERED


@app.command(help="Delete a run.")
def rm(run: RunArgument, store: StoreOption = None) -> int:
    """Delete a run."""
    from matterscope.runs.store import Store

    Store(store).remove(run)
    say("deleted")
    return ANSWERED


def cite(run: RunArgument, store: StoreOption = None) -> int:
    """Print what to cite for a run: the methods and data it used, and this program."""
    from matterscope.runs.store import Store, read_json

    folder = Store(store).path(run)
    version = read_json(folder / "run.json")["versions"]["matterscope"]
    print(f"matterscope {version}, the matterscope developers (2026), BSD-3-Clause.")
    seen: list[str] = []
    for entry in read_json(folder / "estimates.json"):
        seen += [r for r in entry["provenance"].get("references", []) if r not in seen]
    for reference in seen:
        print(reference)
    return ANSWERED
