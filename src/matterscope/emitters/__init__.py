"""Quantum emitters: from the ion beam to the identity of the emitter."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        # photons
        "g2": ("photons.antibunching:infer_g2", "G2Settings"),
        "lifetime": ("photons.decay:infer_lifetime", "LifetimeSettings"),
        "saturation": ("photons.curves:infer_saturation", "SaturationSettings"),
        "polarization": ("photons.curves:infer_polarization", "PolarizationSettings"),
        "convert": ("photons.conversion:convert_streams", "ConvertSettings"),
        "trace": ("photons.blinking:infer_trace", "TraceSettings"),
        "simulate": ("made.simulation:simulate_emitters", "SimulateSettings"),
        "simulate_stream": ("made.sources:simulate_stream", ""),
        "simulate_site": ("made.sources:simulate_site", ""),
        # arrays, ions, spectra, identity
        "plan": ("ions.planning:plan_array", "PlanSettings"),
        "map": ("sites.maps:analyse_map", "MapSettings"),
        "ensemble": ("lines.ensembles:analyse_ensemble", "EnsembleSettings"),
        "linewidth": ("lines.ensembles:analyse_linewidth", "LinewidthSettings"),
        "identify": ("identity:identify_emitter", "IdentifySettings"),
        "card": ("cards:join_answers", "CardSettings"),
        "lineshape": ("lines.lineshapes:analyse_lineshape", "LineshapeSettings"),
        "spectrum": ("lines.spectra:analyse_spectrum", "SpectrumSettings"),
    },
)
