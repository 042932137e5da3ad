"""Settings of the verbs of `spectra`: names, units, bounds and one sentence each."""

from __future__ import annotations

from typing import Literal

from matterscope.core.settings import Settings, option


class ReduceSettings(Settings):
    """Settings of `spectra reduce`."""

    energy: str = option("", "Axis START:STEP in eV for arrays that have none, e.g. 8330:0.4.")
    technique: Literal["auto", "xas", "eels"] = option(
        "auto", "X-ray absorption or electron energy loss; auto asks the file."
    )
    axis: Literal["auto", "as-is", "shift", "linear", "quadratic"] = option(
        "auto",
        "Repair of an energy-loss axis from named edges; auto takes the highest order they allow.",
    )
    elements: tuple[str, ...] = option(
        (), "Elements that may be named in an energy-loss spectrum; empty allows all."
    )
    background: Literal["power-law", "two-power-laws", "none"] = option(
        "power-law", "Background under an energy-loss edge."
    )
    background_window: tuple[float, ...] = option(
        (), "Background window LOW HIGH on the repaired axis; empty: before each edge.", units="eV"
    )
    signal_width: float = option(
        40.0, "Length of the integration window after an onset.", units="eV", gt=1.0, le=500.0
    )
    beam_energy: float = option(
        0.0, "Of the electrons; 0 takes what the file says.", units="keV", ge=0.0, le=1000.0
    )
    collection_angle: float = option(
        0.0,
        "Semi-angle of the spectrometer; 0 gives no composition.",
        units="mrad",
        ge=0.0,
        le=500.0,
    )
    low_loss: str = option(
        "", "Low-loss file of the same place: plural scattering is removed by Fourier ratio."
    )
    foil: str = option(
        "",
        "Metal foil measured on the same axis: absorption spectra are shifted to its table edge.",
    )
    merge: Literal["off", "repeats", "all"] = option(
        "off",
        "Average absorption scans without outliers: those whose names differ in a number only, or all.",
    )
    deglitch: bool = option(False, "Replace isolated points of absorption scans.")
    self_absorption: float = option(
        0.0,
        "Self-absorption of thick fluorescence samples: step of the absorber over the rest.",
        ge=0.0,
        lt=1.0,
    )
    normalise: Literal["auto", "edge", "max", "none"] = option(
        "auto", "Normalisation of absorption spectra."
    )
    rebin: float = option(0.0, "New step of the axis; 0 keeps the points.", units="eV", ge=0.0)
    write: tuple[Literal["csv", "xdi", "nxxas", "msa"], ...] = option(
        ("csv",), "Formats of the reduced spectrum beside the record of its steps."
    )


class SimulateSettings(Settings):
    """Settings of `spectra simulate`."""

    edge: str = option("", "ELEMENT:EDGE, e.g. Ni:K or Co:L23; empty: K of the heaviest element.")
    site: str = option(
        "unique", "Absorbers: all, unique (equivalent ones once), or a 0-based number."
    )
    engine: Literal["auto", "feff10", "feff", "multiplet", "surrogate"] = option(
        "auto", "auto: multiplet for L23, FEFF10 else; feff: an external program."
    )
    quality: Literal["scf", "quick"] = option(
        "scf", "Self-consistent potential, or overlapped atoms at a fifth of the time."
    )
    instrument: float = option(
        0.5, "Standard deviation of the instrument's Gaussian.", units="eV", ge=0.0, le=10.0
    )
    radius: float = option(
        5.2,
        "Radius of full multiple scattering; 0: the sphere that holds 55 atoms.",
        units="Å",
        ge=0.0,
        le=9.0,
    )
    extra_width: float = option(
        0.0,
        "Added to the half width of the core hole; below 0 where `compare` is to find the width.",
        units="eV",
        ge=-2.0,
        le=5.0,
    )
    disorder: float = option(
        0.0,
        "Mean-square relative displacement of the atoms; about 0.006 at room temperature.",
        units="Å²",
        ge=0.0,
        le=0.05,
    )
    scf_radius: float = option(
        4.2, "Radius of the self-consistent cluster.", units="Å", gt=2.0, le=8.0
    )
    k_max: float = option(
        4.0, "Range above the edge; 4 reaches 61 eV.", units="1/Å", gt=1.0, le=12.0
    )
    site_limit: float = option(600.0, "Time limit of one absorber.", units="s", gt=1.0)
    executable: str = option("", "Path of the external FEFF program of --engine feff.")
    training: str = option("", "Folder of the training set of --engine surrogate.")
    ion: str = option("", "Ion of the multiplet engine, e.g. Ni2+; empty: from the structure.")
    ten_dq: float | None = option(
        None, "Octahedral crystal field 10Dq; empty: from the structure.", units="eV"
    )
    ds: float = option(0.0, "Tetragonal field Ds.", units="eV")
    dt: float = option(0.0, "Tetragonal field Dt.", units="eV")
    slater_scale: float = option(0.8, "Scaling of the Slater integrals.", gt=0.0, le=1.5)
    temperature: float = option(298.0, "Temperature of the initial states.", units="K", ge=0.0)
    ligand_holes: tuple[float, ...] = option(
        (),
        "Charge transfer of the multiplet engine: DELTA U_DD U_PD V_EG V_T2G and, if wanted, the splitting of the ligand shell; NiO: 4.7 7.3 8.5 2.06 1.21 1.44 with --ten-dq 0.56.",
        units="eV",
    )


class MapSettings(Settings):
    """Settings of `spectra map`."""

    energy: str = option("", "Axis START:STEP in eV for arrays that have none, e.g. 8330:0.4.")
    elements: tuple[str, ...] = option(
        (), "Elements that may be named in an energy-loss spectrum; empty allows all."
    )
    signal_width: float = option(
        40.0, "Length of the integration window after an onset.", units="eV", gt=1.0, le=500.0
    )
    components: int = option(
        3, "Common shapes that a pixel may be made of before it counts as odd.", ge=1, le=20
    )
    white_line_error: float = option(
        0.1, "Largest error of L3/(L3 + L2) that is shown.", gt=0.0, le=1.0
    )
    chunk: int = option(4096, "Pixels held in memory at a time.", ge=1, advanced=True)


WindowName = Literal["wide", "narrow"]


class InferSettings(Settings):
    """Settings of `spectra infer`."""

    model: str = option(
        "", "Model file or name of a shipped model; by default the shipped one of the edge."
    )
    energy: str = option("", "Axis START:STEP in eV for arrays that have none, e.g. 8330:0.4.")
    columns: str = option("", "Columns of a text file by role, e.g. energy=1,i0=2,it=3.")
    swap: bool = option(False, "Exchange I0 and It.")
    normalisation: Literal["auto", "edge", "max", "none"] = option(
        "auto", "How the spectrum is normalised before it is aligned."
    )
    as_: tuple[str, ...] = option(
        (),
        "Name the edge yourself: ELEMENT:EDGE for all inputs, ELEMENT:EDGE=FILE for one of them.",
    )
    reference: str = option(
        "",
        "Foil or standard measured on the same axis, FILE or FILE:NAME: gives the shift from it, and of a foil the offset of the axis.",
    )
    targets: tuple[str, ...] = option(
        (), "Answer only these quantities, e.g. bond_length; empty: all that the model knows."
    )
    windows: tuple[WindowName, ...] = option(
        ("wide", "narrow"),
        "Windows that a model on aligned shapes may use: the widest that fits is.",
    )
    sample: str = option("", "Name of the sample when all inputs are spectra of one sample.")
    ratios: tuple[str, ...] = option(
        (),
        "Measured ratios of metals with their standard errors, e.g. Mn/Ni=0.33:0.03 (from edge intensities or chemical analysis).",
    )
    marginalise: bool = option(
        True, "Average over width, slope and self-absorption, whose spread joins the interval."
    )


class TrainSettings(Settings):
    """Settings of `spectra train`."""

    name: str = option("model", "Name of the model; the file is NAME.model.npz.", min_length=1)
    windows: tuple[WindowName, ...] = option(
        ("wide", "narrow"), "Windows to train: wide is −5…+120 eV around E½, narrow −5…+38 eV."
    )
    split: Literal["material", "formula", "system"] = option(
        "material", "What no fold shares: material, formula or chemical system."
    )
    folds: int = option(5, "Folds of the cross-validation that scores and calibrates.", ge=2, le=20)
    members: int = option(2, "Networks that answer beside the kernel machine.", ge=1, le=50)
    epochs: int = option(60, "Passes through the training set.", ge=1, le=2000)
    nuisances: float = option(
        0.7,
        "Share of training samples seen through random instruments: width, slope, step, noise, self-absorption.",
        ge=0,
        le=1,
    )
    kernels: bool = option(True, "Let a kernel machine answer beside the networks.")
    stress: bool = option(
        True,
        "Also score left-out spectra that are shifted, broader, noisy, tilted or self-absorbed.",
    )
    others: tuple[str, ...] = option(
        (),
        "Folders of further spectra that teach only the gate: other shells, and oxides by the same engine.",
    )
    anchor: float | None = option(
        None,
        "Measured minus computed E½ of standards with the same shape: lets infer notice a mis-set axis.",
        units="eV",
    )
    licence: str = option("", "Licence of the training data, written into the card.")


class BuildSettings(Settings):
    """Settings of `spectra build`."""

    folder: str = option(
        "built-set", "Folder of the set; what it holds already is not computed again."
    )
    count: int = option(0, "Number of structures; 0 takes the recipe's.", ge=0, le=100_000)
    plan_only: bool = option(False, "List the plans with CPU hours and disk; compute nothing.")


class DecksSettings(Settings):
    """Settings of `spectra decks`."""

    action: Literal["write", "parse"] = option(
        "write",
        "write inputs from a structure (CIF, POSCAR, extXYZ, FDMNES deck), or parse a result.",
    )
    codes: tuple[Literal["feff", "fdmnes", "vasp", "ocean", "xspectra"], ...] = option(
        ("feff", "fdmnes", "vasp", "ocean", "xspectra"), "Codes to write inputs for."
    )
    edge: str = option("K", "ELEMENT:EDGE, e.g. Ni:K; without an element the heaviest one.")
    site: int = option(-1, "0-based absorber; −1 takes the first of its element.", ge=-1)
    radius: float = option(
        6.0, "Cluster radius of the real-space codes.", units="Å", gt=2.0, le=12.0
    )


class CompareSettings(Settings):
    """Settings of `spectra compare`."""

    energy: str = option("", "Axis START:STEP in eV for arrays that have none, e.g. 8330:0.4.")
    low: float = option(-10.0, "Begin of the window, from E½ of the first spectrum.", units="eV")
    high: float = option(45.0, "End of the window, from E½ of the first spectrum.", units="eV")
    reach: float = option(
        15.0,
        "Largest shift after the two edges were laid on each other.",
        units="eV",
        gt=0.0,
        le=50.0,
    )
    broaden: bool = option(True, "Let the other spectrum be broadened to the first.")
    normalise: Literal["auto", "edge", "max", "none"] = option(
        "auto", "Normalisation of all spectra."
    )


class MixtureSettings(Settings):
    """Settings of `spectra mixture`."""

    basis: tuple[str, ...] = option(
        (), "Reference spectra, FILE or FILE:NAME; empty resolves the series by itself."
    )
    components: int = option(
        0,
        "Species to resolve; 0 fits the references, or takes the number with most evidence.",
        ge=0,
        le=20,
    )
    max_shift: float = option(
        0.0, "Largest shift of each reference; 0 fixes the axes.", units="eV", ge=0.0, le=5.0
    )
    sum_to_one: bool = option(True, "Force the fractions to sum to 1.")
    low: float = option(-20.0, "Begin of the window, from the median E½.", units="eV")
    high: float = option(60.0, "End of the window, from the median E½.", units="eV")
    draws: int = option(200, "Bootstrap samples of the intervals.", ge=20, le=5000, advanced=True)
    normalise: Literal["auto", "edge", "max", "none"] = option(
        "auto", "Normalisation of all spectra."
    )


class FuseSettings(Settings):
    """Settings of `spectra fuse`."""

    name: str = option("fusion", "Name of the model; the file is NAME.model.npz.", min_length=1)
    split: Literal["parent", "family"] = option(
        "parent", "What no fold shares: the parent structure, or cell, composition and ordering."
    )
    folds: int = option(6, "Folds of the cross-validation.", ge=2, le=50)
    limit: int = option(0, "Use only the first structures; 0 takes all.", ge=0)


class CrystalFieldSettings(Settings):
    """Settings of `spectra crystal-field`."""

    ion: str = option("Ni2+", "Ion whose multiplet is fitted, e.g. Ni2+, Mn4+, Co3+.")
    starts: int = option(4, "Values of 10Dq from which the fit begins.", ge=1, le=20)


class SearchSettings(Settings):
    """Settings of `spectra search`."""

    energy: str = option("", "Axis START:STEP in eV for arrays that have none, e.g. 8330:0.4.")
    folder: str = option("", "Folder of a built set (spectra build).")
    top: int = option(10, "Structures listed.", ge=1, le=200)


class CompareFeaturesSettings(Settings):
    """Settings of `spectra compare-features`."""

    features: tuple[
        Literal[
            "raw",
            "cumulative",
            "derivative",
            "wavelet",
            "polynomial",
            "peaks",
            "moments",
            "scalars",
            "components",
        ],
        ...,
    ] = option(
        (
            "raw",
            "cumulative",
            "derivative",
            "wavelet",
            "polynomial",
            "moments",
            "scalars",
            "components",
        ),
        "Descriptions compared.",
    )
    models: tuple[Literal["kernel", "forest", "trees"], ...] = option(
        ("kernel", "trees"), "Kernel ridge, random forest, extra trees."
    )
    distortions: tuple[str, ...] = option(
        (
            "clean",
            "+2 eV",
            "+3 eV",
            "noise 1 %",
            "noise 3 %",
            "slope +5 %",
            "self-absorption 10 %",
            "1 eV broader, +2 eV, noise 1 %",
        ),
        "What is done to the test spectra.",
    )
    unaligned: bool = option(True, "Also compare descriptions on a fixed axis.")
    window: WindowName = option("narrow", "Window of the aligned descriptions.")
    split: Literal["material", "formula", "system"] = option(
        "material", "What no fold shares: material, formula or chemical system."
    )
    folds: int = option(5, "Folds of the cross-validation.", ge=2, le=20)
    sites: int = option(1000, "Sites drawn from the set; 0 takes all of them.", ge=0)
    experiment: str = option(
        "",
        "CSV of measured spectra with labels: file, selector, sample, coordination_number, bond_length, oxidation_state.",
    )


class CardSettings(Settings):
    """Settings of `spectra card`."""

    name: str = option(
        "", "Name of a shipped or trained model instead of a file; neither shows the shipped ones."
    )


class EvaluateSettings(Settings):
    """Settings of `spectra evaluate`."""

    model: str = option(
        "", "Model file or name of a shipped model; by default the shipped one of the edge."
    )
    window: WindowName = option("wide", "Window of the aligned shapes.")
    split: Literal["material", "formula", "system"] = option(
        "material", "What is drawn with replacement for the intervals of the scores."
    )
    stress: bool = option(
        True, "Also score spectra that are shifted, broader, noisy, tilted or self-absorbed."
    )


class PlanSettings(Settings):
    """Settings of `spectra plan`."""

    have: tuple[str, ...] = option(
        (), "Edges measured already, e.g. Ni:K O:K; empty: the first edge is planned."
    )
    target: Literal[
        "lithium_content",
        "nickel_content",
        "manganese_content",
        "cobalt_content",
        "nickel_oxidation_state",
        "bond_length",
    ] = option("lithium_content", "What shall be known better.")
    costs: tuple[str, ...] = option(
        (), "Cost of an edge, e.g. Ni:L3=2 (hours, or any unit); 1 where nothing is said."
    )
    model: str = option("", "Fusion model whose training set is asked when no folder is given.")


class ExplainSettings(Settings):
    """Settings of `spectra explain`."""

    model: str = option("", "Model file or name of a shipped model.")
    width: float = option(2.5, "Width of the windows near the edge.", units="eV", ge=0.5, le=20)
    dataset: str = option("", "Folder of the training set: shows its nearest structures.")
    nearest: int = option(5, "Structures listed.", ge=1, le=100)
    shapley: bool = option(False, "Also Shapley values of a forest fitted to the training set.")


class OxidationSettings(Settings):
    """Settings of `spectra oxidation`."""

    states: str = option(..., "CSV with the columns label, state of the standards.", min_length=1)
