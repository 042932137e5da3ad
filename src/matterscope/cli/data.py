"""``matterscope data``: list, fetch and verify the public data sets of the registry."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True)
