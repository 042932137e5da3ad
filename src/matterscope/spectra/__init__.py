"""Core-loss spectra: structure, composition and defects from X-ray absorption and electron energy loss."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        "compare": ("measured.comparison:compare", "CompareSettings"),
        "map": ("measured.maps:map_pixels", "MapSettings"),
        "mixture": ("measured.unmixing:unmix", "MixtureSettings"),
        "reduce": ("measured.preparation:reduce", "ReduceSettings"),
        "decks": ("simulators.jobs:convert_decks", "DecksSettings"),
        "fuse": ("fusion.fusing:fuse_set", "FuseSettings"),
        "crystal_field": ("simulators.multiplet_fit:fit_crystal_field", "CrystalFieldSettings"),
        "search": ("sets.searching:search_set", "SearchSettings"),
        "build": ("sets.builder:build_set", "BuildSettings"),
        "simulate": ("simulators.simulation:simulate_edge", "SimulateSettings"),
        # public name: ("module:function", "SettingsClass"); an empty class exports the object itself
        "infer": ("learned.inference:infer_structure", "InferSettings"),
        "train": ("learned.training:train_model", "TrainSettings"),
        "assess": ("measured.quality:assess", ""),
        "compare_features": ("learned.featurization:compare_features", "CompareFeaturesSettings"),
        "card": ("learned.cards:show_cards", "CardSettings"),
        "evaluate": ("learned.evaluation:evaluate_model", "EvaluateSettings"),
        "plan": ("fusion.planning:plan_edges", "PlanSettings"),
        "oxidation": ("measured.standards:calibrate_oxidation", "OxidationSettings"),
        "explain": ("learned.interpretation:explain_answer", "ExplainSettings"),
    },
)
