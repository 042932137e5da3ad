"""Defect levels from mixed fidelities, and screening of perovskite alloys."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        # levels
        "diagram": ("defects.diagrams:draw_diagrams", "DiagramSettings"),
        "levels": ("transitions.transition_levels:find_levels", "LevelsSettings"),
        "correct": ("defects.finite_size:correct_energy", "CorrectSettings"),
        "fermi": ("defects.fermi_levels:find_fermi_level", "FermiSettings"),
        # perovskites
        "enumerate": ("alloys.enumeration:enumerate_space", "EnumerateSettings"),
        "train": ("training:train_model", "TrainSettings"),
        "screen": ("screens.screening:screen_space", "ScreenSettings"),
        "suggest": ("screens.suggestion:suggest_compounds", "SuggestSettings"),
        "predict": ("alloys.prediction:predict_compounds", "PredictSettings"),
        "convert": ("conversion:convert_table", "ConvertSettings"),
        "audit": ("auditing:audit_table", "AuditSettings"),
        "slme": ("solar.efficiency:limit_efficiency", "SlmeSettings"),
    },
)
