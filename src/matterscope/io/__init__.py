"""Reading and writing measurements: one module per format family, one literal table of formats.

In: a path. Out: checked measurements with provenance, or one ReadError that says where and why.
Read `formats` (the table), `limits` (what hostile files may not do), `reading` (the way of a file).
"""

from __future__ import annotations

from typing import Any

_HOME = {"read": "reading", "measurements": "reading", "sniff": "reading", "write": "writing"}
__all__ = ["measurements", "read", "sniff", "write"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"matterscope.io has no public name '{name}'")
    from importlib import import_module

    return getattr(import_module(f"matterscope.io.{_HOME[name]}"), name)
