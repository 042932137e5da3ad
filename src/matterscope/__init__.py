"""From a measurement to the matter behind it: atoms, defects and properties with calibrated uncertainty."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
_DOMAINS = ("spectra", "emitters", "scattering", "materials")
_HOME = {
    "run": ("matterscope.runs.execute", "run"),
    "read": ("matterscope.io.reading", "read"),
    "write": ("matterscope.io.writing", "write"),
    "Estimate": ("matterscope.core.estimates", "Estimate"),
    "MatterscopeError": ("matterscope.core.errors", "MatterscopeError"),
}
__all__ = ["__version__", *_DOMAINS, *_HOME]  # noqa: PLE0604 - names of two literal tables


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _DOMAINS:
        return import_module(f"matterscope.{name}")
    if name in _HOME:
        module, attribute = _HOME[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"matterscope has no public name '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
