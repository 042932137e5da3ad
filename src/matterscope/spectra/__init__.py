"""Core-loss spectra: structure, composition and defects from X-ray absorption and electron energy loss."""

from __future__ import annotations

from matterscope.core.verbs import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        # public name: ("module:function", "SettingsClass")
        "compare": ("comparison:compare", "CompareSettings"),
        "map": ("maps:map_pixels", "MapSettings"),
        "mixture": ("unmixing:unmix", "MixtureSettings"),
        "reduce": ("preparation:reduce", "ReduceSettings"),
        "decks": ("jobs:convert_decks", "DecksSettings"),
        "fuse": ("fusing:fuse_set", "FuseSettings"),
        "crystal_field": ("multiplet_fit:fit_crystal_field", "CrystalFieldSettings"),
        "search": ("searching:search_set", "SearchSettings"),
        "build": ("builder:build_set", "BuildSettings"),
        "simulate": ("simulation:simulate_edge", "SimulateSettings"),
        # public name: ("module:function", "SettingsClass"); an empty class exports the object itself
        "infer": ("inference:infer_structure", "InferSettings"),
        "train": ("training:train_model", "TrainSettings"),
        "assess": ("quality:assess", ""),
        "compare_features": ("featurization:compare_features", "CompareFeaturesSettings"),
        "oxidation": ("standards:calibrate_oxidation", "OxidationSettings"),
        "explain": ("interpretation:explain_answer", "ExplainSettings"),
    },
)
