"""Compiled loops: numba with its machine code kept between runs, where a folder can be written to.

In: a plain function on arrays. Out: the same, compiled at its first call after an installation. A kept function
must use nothing from another file: numba would not notice a change there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled function; with fast arithmetic, in which no NaN may appear."""
    try:
        kept: Callable[..., Any] = njit(cache=True, fastmath=True, error_model="numpy")(function)
    except RuntimeError:  # neither this folder nor the user's own can be written to
        kept = njit(fastmath=True, error_model="numpy")(function)
    return kept
