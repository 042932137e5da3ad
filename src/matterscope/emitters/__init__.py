"""Quantum emitters: from the ion beam to the identity of the emitter."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        # photons
        "g2": ("antibunching:infer_g2", "G2Settings"),
        "lifetime": ("decay:infer_lifetime", "LifetimeSettings"),
        "saturation": ("curves:infer_saturation", "SaturationSettings"),
        "polarization": ("curves:infer_polarization", "PolarizationSettings"),
        "convert": ("conversion:convert_streams", "ConvertSettings"),
        "trace": ("blinking:infer_trace", "TraceSettings"),
        "simulate": ("simulation:simulate_emitters", "SimulateSettings"),
        "simulate_stream": ("sources:simulate_stream", ""),
        "simulate_site": ("sources:simulate_site", ""),
        # arrays, ions, spectra, identity
        "plan": ("planning:plan_array", "PlanSettings"),
        "map": ("maps:analyse_map", "MapSettings"),
        "ensemble": ("ensembles:analyse_ensemble", "EnsembleSettings"),
        "linewidth": ("ensembles:analyse_linewidth", "LinewidthSettings"),
        "identify": ("identity:identify_emitter", "IdentifySettings"),
        "card": ("cards:join_answers", "CardSettings"),
        "lineshape": ("lineshapes:analyse_lineshape", "LineshapeSettings"),
        "spectrum": ("spectra:analyse_spectrum", "SpectrumSettings"),
    },
)
