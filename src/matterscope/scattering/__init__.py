"""Coherent scattering: what one speckle pattern or a series of them tells."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        "density": ("answers:infer_density", "DensitySettings"),
        "evaluate": ("evaluation:evaluate_density", "EvaluateSettings"),
        "train": ("training:train_classifier", "TrainSettings"),
        "plan": ("planning:plan_exposure", "PlanSettings"),
        "simulate": ("simulation:simulate_patterns", "SimulateSettings"),
    },
)
