"""What an error becomes: a message and a hint on stderr, and an exit code that scripts can use.

In: an exception. Out: 0 answered; 1 a quality gate failed or nothing could be answered; 2 usage,
settings or a missing extra; 3 an input could not be read or a model does not fit; 4 interrupted
and resumable; 70 a fault of this program.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from matterscope.core.errors import (
    ConfigError,
    DataError,
    MatterscopeError,
    ModelError,
    NotInstalled,
)

ANSWERED, GATE, USAGE, UNREADABLE, INTERRUPTED, FAULT = 0, 1, 2, 3, 4, 70


class Stopped(MatterscopeError):
    """The user or a time limit stopped a run that can be resumed."""


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr)


def guarded(action: Callable[[], Any], *, debug: bool) -> int:  # noqa: PLR0911 - one return per exit code
    """Run `action`; return the exit code, with the message printed."""
    try:
        code = action()
    except MatterscopeError as error:
        if debug:
            traceback.print_exc()
        return _known(error)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return ANSWERED
    except SystemExit as leave:
        return int(leave.code or 0)
    except Exception as error:  # noqa: BLE001 - the last wall: a fault of ours becomes exit 70
        shown = getattr(error, "format_message", None)
        if shown is not None:
            say(f"error: {_usage(error)}")
            return USAGE
        if type(error).__name__ in {"Exit", "NoArgsIsHelpError"}:
            return int(getattr(error, "exit_code", 0))
        if debug:
            traceback.print_exc()
        say(f"fault: {type(error).__name__}: {error}")
        say(
            "Hint: this is a bug of matterscope; run again with --debug and report the lines above."
        )
        return FAULT
    return code if isinstance(code, int) else ANSWERED


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    hint = f"\nHint: {context.command_path} --help" if context is not None else ""
    return f"{error.format_message()}{hint}"


def _known(error: MatterscopeError) -> int:
    if isinstance(error, Stopped):
        say(f"interrupted: {error}")
        return INTERRUPTED
    say(f"error: {error}")
    if isinstance(error, (ConfigError, NotInstalled)):
        return USAGE
    return UNREADABLE if isinstance(error, (DataError, ModelError)) else FAULT
