"""The digital twin by kind: what `emitters simulate KIND` makes, each with its truth and its seed.

In: a kind and the settings of the twin. Out: one estimate with the path of what was made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate

if TYPE_CHECKING:
    from matterscope.emitters.settings import SimulateSettings

KINDS: dict[str, str] = {
    # kind: "module:function" of (settings, call) -> list[Estimate]
    "stream": "matterscope.emitters.made.streams:make_stream",
    "array": "matterscope.emitters.made.arrays:make_whole",
    "map": "matterscope.emitters.made.arrays:make_map",
    "spectra": "matterscope.emitters.made.arrays:make_spectra",
}
"""What can be simulated; nothing else exists."""


def simulate_emitters(
    inputs: list[Input], settings: SimulateSettings, call: Call
) -> list[Estimate]:
    """Return one estimate for what was made."""
    if settings.kind not in KINDS:
        raise ConfigError(
            "there is no such simulation", got=repr(settings.kind), expected=", ".join(KINDS)
        )
    module, _, function = KINDS[settings.kind].partition(":")
    made: list[Estimate] = getattr(import_module(module), function)(settings, call)
    return made
