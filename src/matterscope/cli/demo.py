"""``matterscope demo``: the main job on data that the project made, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matterscope.cli.errors import ANSWERED


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the page and the runs.")] = Path(
        "matterscope-demo"
    ),
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the simulations and of the answers.")
    ] = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> int:
    """Run the main job and write one report."""
    from matterscope.cli.options import Meter
    from matterscope.runs.demonstration import demonstrate
    from matterscope.runs.executors import limit_threads

    limit_threads(1)
    meter = Meter()
    try:
        page = demonstrate(out, seed, meter)
    finally:
        meter.close()
    print(f"report: {page.resolve()}")
    return ANSWERED
