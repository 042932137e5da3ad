"""Public names: a domain's verbs as plain functions, loaded when they are first used.

In: a table of names. Out: functions that take files or measurements and settings as keywords,
and return estimates; they store nothing. `runs.execute` calls the same functions underneath.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from matterscope.core.calls import Call, Input, silent
from matterscope.core.errors import ReadError
from matterscope.core.estimates import LEVELS, Estimate
from matterscope.core.settings import Settings, validate

VerbFunction = Callable[[list[Input], Any, Call], list[Estimate]]


def split_source(text: str) -> tuple[str, str]:
    """Split ``FILE:SELECTOR``; a colon that belongs to an existing path is left alone.

    Examples
    --------
    >>> split_source("scan.prj:4.3 V"), split_source("scan.prj")
    (('scan.prj', '4.3 V'), ('scan.prj', ''))
    """
    if ":" not in text or Path(text).exists():
        return text, ""
    name, _, selector = text.partition(":")
    return name, selector


def as_input(given: Any) -> Input:
    """Return an `Input` for a path, a ``FILE:SELECTOR`` string, a measurement or an Input."""
    if isinstance(given, Input):
        return given
    if not isinstance(given, (str, Path)):
        attrs = getattr(given, "attrs", {})
        origin = attrs.get("source") or {}
        return Input(
            str(origin.get("uri", "memory")),
            str(origin.get("selector", "")),
            None,
            given,
            str(origin.get("sha256", "")),
        )
    from matterscope.core.files import sha256_of, sha256_of_folder

    name, selector = split_source(str(given))
    path = Path(name)
    if not path.exists():
        raise ReadError(
            "no such file",
            where=name,
            hint="check the path; FILE:SELECTOR picks one part of a file",
        )
    digest = sha256_of(path) if path.is_file() else sha256_of_folder(path)
    return Input(name, selector, path, None, digest)


def public(
    function: VerbFunction, settings: type[Settings], owner: str
) -> Callable[..., Estimate | list[Estimate]]:
    """Return `function` as users call it: ``verb(file, …, seed=0, **settings)``."""

    @wraps(function)
    def verb(
        *inputs: Any,
        seed: int = 0,
        level: float | None = None,
        progress: Any = silent,
        artifacts: Path | None = None,
        **config: Any,
    ) -> Estimate | list[Estimate]:
        levels = LEVELS if level is None or level in LEVELS else tuple(sorted((*LEVELS, level)))
        call = Call(seed=seed, levels=levels, progress=progress, artifacts=artifacts)
        answers = function([as_input(i) for i in inputs], validate(settings, config, owner), call)
        for answer in answers:
            answer.folder = call.artifacts
        return answers[0] if len(answers) == 1 else answers

    return verb


def lazy(
    package: str, table: dict[str, tuple[str, str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for a domain's package.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    table : dict
        Public name → (``"module:function"``, ``"SettingsClass"``); an empty second entry exports
        the object as it is.
    """
    domain = package.rsplit(".", 1)[-1]

    def get(name: str) -> Any:
        if name not in table:
            raise AttributeError(
                f"{package} has no public name '{name}'; it has {', '.join(sorted(table))}"
            )
        target, settings = table[name]
        module, _, attribute = target.partition(":")
        found = getattr(import_module(f"{package}.{module}"), attribute)
        if not settings:
            return found
        model = getattr(import_module(f"{package}.settings"), settings)
        return public(found, model, f"{domain} {name.replace('_', '-')}")

    return get, lambda: sorted(table), sorted(table)
