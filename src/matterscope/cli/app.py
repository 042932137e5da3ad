"""The entry point: which groups exist, and what an exception becomes for the shell.

In: the words of the command line. Out: an exit code; answers on stdout, everything else on stderr.
Only the group that was named is built, so that help costs no science.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Any

import typer

from matterscope.cli.errors import guarded

DOMAINS = {
    "spectra": "X-ray and electron core-loss spectra: structure, composition, defects",
    "emitters": "Quantum emitters: implantation, maps, spectra, photon statistics, identity",
    "scattering": "Coherent scattering: number density behind a speckle pattern",
    "materials": "Charge-transition levels of defects; screening of perovskite alloys",
}
GROUPS = {
    "runs": ("matterscope.cli.runs:app", "Stored runs: list, show, report, resume, merge, rm"),
    "data": ("matterscope.cli.data:app", "Public data sets: list, fetch, verify"),
}
COMMANDS = {
    "check": ("matterscope.cli.verbs:check_command", "Say whether a file can be trusted"),
    "demo": (
        "matterscope.cli.demo:demo",
        "The main job on data made by the project, in about a minute",
    ),
    "doctor": (
        "matterscope.cli.doctor:doctor",
        "What is installed, where things are, what is missing",
    ),
    "cite": ("matterscope.cli.runs:cite", "What to cite for a run"),
}


def build(words: list[str]) -> typer.Typer:
    """Return the application with the group or command that `words` name; the others by name only."""
    app = typer.Typer(
        name="matterscope",
        help="From a measurement to the matter behind it: atoms, defects and properties with calibrated uncertainty.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_version)
    named = next((w for w in words if not w.startswith("-")), "")
    for name, (target, summary) in COMMANDS.items():
        app.command(name, help=summary)(_load(target) if name == named else _placeholder)
    for name, summary in DOMAINS.items():
        app.add_typer(
            _domain(name, summary, built=name == named), name=name, rich_help_panel="What you hold"
        )
    for name, (target, summary) in GROUPS.items():
        group = _load(target) if name == named else typer.Typer()
        app.add_typer(group, name=name, help=summary, rich_help_panel="Records and data")
    return app


def _domain(name: str, summary: str, *, built: bool) -> typer.Typer:
    if not built:
        return typer.Typer(help=summary)
    group: typer.Typer = import_module("matterscope.cli.verbs").domain_group(name, summary)
    return group


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _placeholder() -> None:
    """Stand in for a command that was not named; it is never called."""


def _version(
    version: bool = typer.Option(
        False, "--version", help="Print the version and leave.", is_eager=True
    ),
) -> None:
    if version:
        from matterscope import __version__

        print(f"matterscope {__version__}")
        raise typer.Exit


def _interrupted(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str] | None = None) -> None:
    """Run the command line; leave the process with the exit code of DESIGN."""
    given = sys.argv[1:] if words is None else words
    signal.signal(signal.SIGTERM, _interrupted)
    sys.exit(
        guarded(lambda: build(given)(args=given, standalone_mode=False), debug="--debug" in given)
    )
