"""``matterscope data``: list, fetch and verify the public data sets of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from matterscope.cli.errors import ANSWERED, GATE, say

app = typer.Typer(no_args_is_help=True)
NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of a data set; matterscope data list shows them."),
]


@app.command("list", help="List the public data sets, and which are on this machine.")
def list_sets(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
    """List the data sets of the registry."""
    from matterscope.datasets.fetch import data_folder
    from matterscope.datasets.registry import DATASETS, files_of

    rows = [
        {
            "name": n,
            "summary": d.summary,
            "licence": d.licence,
            "source": d.source,
            "files": len(files_of(n)),
            "here": (data_folder() / d.folder).is_dir(),
        }
        for n, d in DATASETS.items()
    ]
    if as_json:
        print(json.dumps({"schema": "matterscope.table/1", "rows": rows}, indent=1))
        return ANSWERED
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"public data · folder {data_folder()}", title_justify="left")
    for head in ("name", "what", "licence", "files", "here"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(
            str(row["name"]),
            str(row["summary"]),
            str(row["licence"]),
            str(row["files"]),
            "yes" if row["here"] else "no",
        )
    Console().print(table)
    return ANSWERED


@app.command(
    help="Bring a data set to this machine: from a mirror folder, else from its published address."
)
def fetch(
    name: NameArgument,
    mirror: Annotated[
        Path | None, typer.Option("--mirror", help="Folder with the same layout.")
    ] = None,
    target: Annotated[Path | None, typer.Option("--target", help="Data folder to fill.")] = None,
) -> int:
    """Fetch a data set."""
    from matterscope.cli.options import Meter
    from matterscope.datasets import fetch as getting

    meter = Meter()
    try:
        print(getting.fetch(name, mirror=mirror, target=target, progress=meter))
    finally:
        meter.close()
    return ANSWERED


@app.command(help="Check the files of a data set against the registry's sha256.")
def verify(name: NameArgument) -> int:
    """Verify a data set."""
    from matterscope.datasets import fetch as getting

    states = getting.verify(name)
    for path, state in states.items():
        if state != "ok":
            say(f"{state}: {path}")
    good = sum(s == "ok" for s in states.values())
    print(f"{good} of {len(states)} files are as registered")
    return ANSWERED if good == len(states) else GATE
