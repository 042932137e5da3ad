"""Commands as text held against the program, without running them."""

from __future__ import annotations

import typer.main

from matterscope.cli.app import build


def parse(words):
    """Walk from the program to the command that the words name, and let it read the rest."""
    command, context = typer.main.get_command(build(words)), None
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        context = command.context_class(command, info_name="matterscope", parent=context)
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, words = found, words[1:]
    if not hasattr(command, "get_command"):
        command.make_context("matterscope", list(words), parent=context)
