"""The literal table of verbs: name → function, settings, what it takes. Nothing else can be run.

In: nothing. Out: `VERBS`; the command line, the stored records and the tests are driven by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from matterscope.core.errors import ConfigError


@dataclass(frozen=True)
class Verb:
    """One verb.

    Parameters
    ----------
    function : str
        ``"package.module:function"`` with the signature ``(inputs, settings, call) -> [Estimate]``.
    settings : str
        ``"package.settings:Class"``.
    summary : str
        One line for ``--help``.
    inputs : str
        "files": one unit of work per input; "together": all inputs are one thing; "none": takes
        no input. A trailing "?" (``files?``) makes them optional.
    metavar : str
        Name of the inputs in the help.
    """

    function: str
    settings: str
    summary: str
    inputs: Literal["files", "together", "none", "files?", "together?"] = "files"
    metavar: str = "FILE"


VERBS: dict[str, Verb] = {
    "check": Verb(
        "matterscope.runs.checking:check_files",
        "matterscope.runs.settings:CheckSettings",
        "Say whether a file can be trusted",
    ),
    # spectra: learned answers and reduction
    "spectra infer": Verb(
        "matterscope.spectra.learned.inference:infer_structure",
        "matterscope.spectra.settings:InferSettings",
        "structure, oxidation state and composition behind core-loss spectra, with intervals",
    ),
    "spectra train": Verb(
        "matterscope.spectra.learned.training:train_model",
        "matterscope.spectra.settings:TrainSettings",
        "train, score and calibrate a model on spectra with structures",
        metavar="FOLDER",
    ),
    "spectra compare-features": Verb(
        "matterscope.spectra.learned.featurization:compare_features",
        "matterscope.spectra.settings:CompareFeaturesSettings",
        "which description of a spectrum survives shift, noise, slope and self-absorption",
        metavar="FOLDER",
    ),
    "spectra oxidation": Verb(
        "matterscope.spectra.measured.standards:calibrate_oxidation",
        "matterscope.spectra.settings:OxidationSettings",
        "oxidation state from the edge position, calibrated on standards of known state",
        "together",
    ),
    "spectra evaluate": Verb(
        "matterscope.spectra.learned.evaluation:evaluate_model",
        "matterscope.spectra.settings:EvaluateSettings",
        "score a stored model on a set it was not trained on: errors, coverage, refusals, controls",
        metavar="FOLDER",
    ),
    "spectra card": Verb(
        "matterscope.spectra.learned.cards:show_cards",
        "matterscope.spectra.settings:CardSettings",
        "what a model was trained on, how well it did on what it had not seen, and what it cannot",
        "together?",
        "MODEL",
    ),
    "spectra plan": Verb(
        "matterscope.spectra.fusion.planning:plan_edges",
        "matterscope.spectra.settings:PlanSettings",
        "which further edge shrinks the interval of a target most, for what it costs",
        "files?",
        "FOLDER",
    ),
    "spectra explain": Verb(
        "matterscope.spectra.learned.interpretation:explain_answer",
        "matterscope.spectra.settings:ExplainSettings",
        "which energies decided an answer, and which known structures look like it",
    ),
    # spectra: simulation and data sets
    "spectra simulate": Verb(
        "matterscope.spectra.simulators.simulation:simulate_edge",
        "matterscope.spectra.settings:SimulateSettings",
        "Simulate a K or L2,3 edge from a crystal structure, offline.",
        inputs="files?",
        metavar="STRUCTURE",
    ),
    "spectra decks": Verb(
        "matterscope.spectra.simulators.jobs:convert_decks",
        "matterscope.spectra.settings:DecksSettings",
        "Write inputs for FEFF, FDMNES, VASP, OCEAN and XSpectra, or read their results.",
        metavar="STRUCTURE",
    ),
    "spectra fuse": Verb(
        "matterscope.spectra.fusion.fusing:fuse_set",
        "matterscope.spectra.settings:FuseSettings",
        "Train a model that fuses several edges on a built set; print what each edge is worth.",
        metavar="FOLDER",
    ),
    "spectra crystal-field": Verb(
        "matterscope.spectra.simulators.multiplet_fit:fit_crystal_field",
        "matterscope.spectra.settings:CrystalFieldSettings",
        "Fit a crystal-field multiplet to a measured L2,3 edge.",
    ),
    "spectra search": Verb(
        "matterscope.spectra.sets.searching:search_set",
        "matterscope.spectra.settings:SearchSettings",
        "Rank the structures of a built set by their likeness to measured spectra.",
        inputs="together",
    ),
    "spectra build": Verb(
        "matterscope.spectra.sets.builder:build_set",
        "matterscope.spectra.settings:BuildSettings",
        "Build a labelled set of simulated spectra from a recipe; resumable.",
        metavar="RECIPE",
    ),
    # spectra: electron energy loss
    "spectra compare": Verb(
        "matterscope.spectra.measured.comparison:compare",
        "matterscope.spectra.settings:CompareSettings",
        "Lay spectra on the first one: shift, scale, widths, correlation, residual",
        "together",
    ),
    "spectra mixture": Verb(
        "matterscope.spectra.measured.unmixing:unmix",
        "matterscope.spectra.settings:MixtureSettings",
        "Fit references to spectra, or resolve a series into species",
        "together",
    ),
    "spectra map": Verb(
        "matterscope.spectra.measured.maps:map_pixels",
        "matterscope.spectra.settings:MapSettings",
        "Map thickness, elements, white lines, edge position and anomalies of a spectrum image",
    ),
    "spectra reduce": Verb(
        "matterscope.spectra.measured.preparation:reduce",
        "matterscope.spectra.settings:ReduceSettings",
        "Name the edges, repair the axis, take away background and plural scattering",
        "together",
    ),
    # emitters: photons
    "emitters g2": Verb(
        "matterscope.emitters.photons.antibunching:infer_g2",
        "matterscope.emitters.settings:G2Settings",
        "Say whether it is one emitter: g2(0), times, purity and a verdict",
    ),
    "emitters lifetime": Verb(
        "matterscope.emitters.photons.decay:infer_lifetime",
        "matterscope.emitters.settings:LifetimeSettings",
        "Fit lifetimes through the response, wrapped around the laser period",
    ),
    "emitters saturation": Verb(
        "matterscope.emitters.photons.curves:infer_saturation",
        "matterscope.emitters.settings:SaturationSettings",
        "Fit counts against power: saturated rate, saturation power, background",
    ),
    "emitters polarization": Verb(
        "matterscope.emitters.photons.curves:infer_polarization",
        "matterscope.emitters.settings:PolarizationSettings",
        "Fit counts against angle: visibility, angle, misalignment",
    ),
    "emitters convert": Verb(
        "matterscope.emitters.photons.conversion:convert_streams",
        "matterscope.emitters.settings:ConvertSettings",
        "Turn a photon stream into an open table, with an audit",
    ),
    "emitters trace": Verb(
        "matterscope.emitters.photons.blinking:infer_trace",
        "matterscope.emitters.settings:TraceSettings",
        "Find the states of a blinking emitter, their dwell laws, noise and bleaching",
    ),
    "emitters simulate": Verb(
        "matterscope.emitters.made.simulation:simulate_emitters",
        "matterscope.emitters.settings:SimulateSettings",
        "Make a photon stream (or another part of the twin) with a known truth",
        "none",
    ),
    # emitters: arrays, ions, spectra, identity
    "emitters plan": Verb(
        "matterscope.emitters.ions.planning:plan_array",
        "matterscope.emitters.settings:PlanSettings",
        "dose, film, mask and energy for an array of emitters, and the yield to expect",
        "none",
    ),
    "emitters map": Verb(
        "matterscope.emitters.sites.maps:analyse_map",
        "matterscope.emitters.settings:MapSettings",
        "sites of a confocal map, their lattice, none, one or more emitters on each, and the yield",
    ),
    "emitters ensemble": Verb(
        "matterscope.emitters.lines.ensembles:analyse_ensemble",
        "matterscope.emitters.settings:EnsembleSettings",
        "many emitters together: mean and intrinsic scatter, sub-populations, are they identical",
        "together",
        "TABLE|ANSWERS|RUN_FOLDER|SPECTRA",
    ),
    "emitters linewidth": Verb(
        "matterscope.emitters.lines.ensembles:analyse_linewidth",
        "matterscope.emitters.settings:LinewidthSettings",
        "width against temperature: the law, the residual width, is it thermal",
        "together",
        "TABLE|ANSWERS",
    ),
    "emitters identify": Verb(
        "matterscope.emitters.identity:identify_emitter",
        "matterscope.emitters.settings:IdentifySettings",
        "which defect of a library it is, with 'none of these' and the next measurement",
        "together?",
        "ANSWERS",
    ),
    "emitters card": Verb(
        "matterscope.emitters.cards:join_answers",
        "matterscope.emitters.settings:CardSettings",
        "what several answers say about one emitter or array, on one page",
        "together",
        "RUN_FOLDER|ANSWERS",
    ),
    "emitters lineshape": Verb(
        "matterscope.emitters.lines.lineshapes:analyse_lineshape",
        "matterscope.emitters.settings:LineshapeSettings",
        "Huang–Rhys factors and phonon sideband from two structures and force constants",
        "together",
        "GROUND EXCITED FORCE_CONSTANTS",
    ),
    "emitters spectrum": Verb(
        "matterscope.emitters.lines.spectra:analyse_spectrum",
        "matterscope.emitters.settings:SpectrumSettings",
        "zero-phonon line, sideband, cosmic rays and jumps of a spectrum; is its width thermal",
    ),
    # scattering
    "scattering density": Verb(
        "matterscope.scattering.answers:infer_density",
        "matterscope.scattering.settings:DensitySettings",
        "number density of particles from one speckle pattern",
    ),
    "scattering evaluate": Verb(
        "matterscope.scattering.evaluation:evaluate_density",
        "matterscope.scattering.settings:EvaluateSettings",
        "how often the number is right, on simulated patterns, against photons, beam stop or box",
        "none",
    ),
    "scattering plan": Verb(
        "matterscope.scattering.planning:plan_exposure",
        "matterscope.scattering.settings:PlanSettings",
        "how many photons, how large a beam stop and how many speckles resolve the expected number",
        "none",
    ),
    "scattering train": Verb(
        "matterscope.scattering.training:train_classifier",
        "matterscope.scattering.settings:TrainSettings",
        "a classifier of speckle patterns for one set-up, by simulation",
        "none",
    ),
    "scattering simulate": Verb(
        "matterscope.scattering.simulation:simulate_patterns",
        "matterscope.scattering.settings:SimulateSettings",
        "speckle patterns of disks, with the truth beside them",
        "none",
    ),
    # materials: levels
    "materials diagram": Verb(
        "matterscope.materials.defects.diagrams:draw_diagrams",
        "matterscope.materials.settings:DiagramSettings",
        "formation-energy diagrams, transition levels, and why a charge is not stable",
        metavar="ENERGIES",
    ),
    "materials levels": Verb(
        "matterscope.materials.transitions.transition_levels:find_levels",
        "matterscope.materials.settings:LevelsSettings",
        "transition levels of any defect in any zinc-blende host, or a table taken to high fidelity",
        inputs="files?",
        metavar="TABLE",
    ),
    "materials correct": Verb(
        "matterscope.materials.defects.finite_size:correct_energy",
        "matterscope.materials.settings:CorrectSettings",
        "finite-size correction of a charged cell: point charge, and alignment from potentials",
        inputs="together?",
        metavar="[BULK DEFECT | AVERAGES]",
    ),
    "materials fermi": Verb(
        "matterscope.materials.defects.fermi_levels:find_fermi_level",
        "matterscope.materials.settings:FermiSettings",
        "Fermi level and concentrations by charge neutrality over temperatures",
        metavar="ENERGIES",
    ),
    # materials: perovskites
    "materials train": Verb(
        "matterscope.materials.training:train_model",
        "matterscope.materials.settings:TrainSettings",
        "train on a table, with scores on left-out groups",
        "together",
        "TABLE",
    ),
    "materials predict": Verb(
        "matterscope.materials.alloys.prediction:predict_compounds",
        "matterscope.materials.settings:PredictSettings",
        "properties of named compounds, Vegard beside them",
        "together?",
        "TABLE",
    ),
    "materials enumerate": Verb(
        "matterscope.materials.alloys.enumeration:enumerate_space",
        "matterscope.materials.settings:EnumerateSettings",
        "count, and list, all perovskite alloys of a search",
        "none",
    ),
    "materials screen": Verb(
        "matterscope.materials.screens.screening:screen_space",
        "matterscope.materials.settings:ScreenSettings",
        "which alloys of a search pass every rule, with what probability",
        "together?",
        "TABLE",
    ),
    "materials suggest": Verb(
        "matterscope.materials.screens.suggestion:suggest_compounds",
        "matterscope.materials.settings:SuggestSettings",
        "which compounds to compute or make next",
        "together?",
        "TABLE",
    ),
    "materials convert": Verb(
        "matterscope.materials.conversion:convert_table",
        "matterscope.materials.settings:ConvertSettings",
        "write any table of levels or alloys in one schema",
        "together",
        "TABLE",
    ),
    "materials audit": Verb(
        "matterscope.materials.auditing:audit_table",
        "matterscope.materials.settings:AuditSettings",
        "faults in a table, found by rules",
        "together",
        "TABLE",
    ),
    "materials slme": Verb(
        "matterscope.materials.solar.efficiency:limit_efficiency",
        "matterscope.materials.settings:SlmeSettings",
        "spectroscopic limited maximum efficiency of solar absorbers, detailed balance beside it",
        "files?",
    ),
}

CHECKS: dict[str, str] = {
    # kind of measurement: "module:function" of (dataset) -> Estimate with diagnostics["verdict"]
    "spectrum": "matterscope.spectra.measured.quality:assess",
}


def lookup(name: str) -> Verb:
    """Return the verb called `name`, e.g. ``"spectra infer"``."""
    if name not in VERBS:
        raise ConfigError(f"there is no verb '{name}'", expected="one of " + ", ".join(VERBS))
    return VERBS[name]


def resolve(target: str) -> Any:
    """Return the object that ``"module:name"`` of this table stands for."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
