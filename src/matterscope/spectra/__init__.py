"""Core-loss spectra: structure, composition and defects from X-ray absorption and electron energy loss."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        "map": ("maps:map_pixels", "MapSettings"),
        "reduce": ("preparation:reduce", "ReduceSettings"),
        "simulate": ("simulation:simulate_edge", "SimulateSettings"),
    },
)
