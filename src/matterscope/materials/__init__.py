"""Defect levels from mixed fidelities, and screening of perovskite alloys."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        # levels
        # perovskites
        "enumerate": ("enumeration:enumerate_space", "EnumerateSettings"),
        "train": ("training:train_model", "TrainSettings"),
        "slme": ("efficiency:limit_efficiency", "SlmeSettings"),
    },
)
