"""Settings of the verbs of `materials`: names, units, bounds and one sentence each."""

from __future__ import annotations

from typing import Literal

from matterscope.core.settings import Settings, option


# --- levels ---
class DefectEnergySettings(Settings):
    """Settings shared by the verbs that read defect energies."""

    gap: float | None = option(None, "Gap of the host.", units="eV", ge=0)
    energies: Literal["formation", "total"] = option(
        "formation", "Whether the energies are formation energies or total energies of cells."
    )
    bulk_energy: float = option(0.0, "Total energy of the perfect cell.", units="eV")
    vbm: float = option(
        0.0, "Valence-band maximum of the perfect cell, for total energies.", units="eV"
    )
    mu0: tuple[str, ...] = option((), "Reference chemical potentials, ELEMENT=eV per atom.")
    delta_mu: tuple[str, ...] = option(
        (), "Chemical potentials relative to the references, ELEMENT=eV."
    )
    host: str = option("", "Formula of the host, for chemical potentials.")
    heat_of_formation: float | None = option(
        None, "Heat of formation of the host per formula unit.", units="eV"
    )
    phases: str = option("", "CSV of competing phases: formula, formation_energy per formula unit.")
    mu_limit: str = option("", "Corner of the stability region, e.g. Cd-rich.")
    only: tuple[str, ...] = option((), "Names of the defects wanted; empty: all.")
    electron_mass: float | None = option(None, "Effective mass of electrons.", gt=0)
    hole_mass: float | None = option(None, "Effective mass of holes.", gt=0)
    volume_per_site: float | None = option(
        None, "Volume per lattice site, in cubic Ångström.", gt=0
    )
    dope: tuple[float, ...] = option(
        (), "Fixed ionised dopants: positive numbers are donors, negative acceptors.", units="1/cm³"
    )
    site_limit: bool = option(False, "Let defect sites fill up instead of the dilute law.")


class DiagramSettings(DefectEnergySettings):
    """Settings of `materials diagram`."""

    temperature: float = option(300.0, "Temperature of the neutral Fermi level.", units="K", gt=0)


class FermiSettings(DefectEnergySettings):
    """Settings of `materials fermi`."""

    temperatures: tuple[float, ...] = option(
        (300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0),
        "Temperatures; the last is the headline.",
        units="K",
        min_length=1,
    )
    quench_to: float | None = option(
        None,
        "Freeze the totals at each temperature and share the charges anew at this one.",
        units="K",
        gt=0,
    )


class LevelsSettings(Settings):
    """Settings of `materials levels`."""

    host: tuple[str, ...] = option((), "Hosts, e.g. CdTe; the first element is sublattice A.")
    impurity: tuple[str, ...] = option((), "Impurities; 'vacancy' is allowed.")
    site: tuple[str, ...] = option(
        (), "Sites: an element of the host, i_Cd, interstitial, or M_A … M_i_neut; empty: all five."
    )
    zinc_blende: bool = option(
        False,
        "All zinc-blende and diamond hosts of the shipped table; without impurities: all of them too.",
    )
    gap: float | None = option(
        None, "Gap of the hosts named, instead of the table's.", units="eV", ge=0
    )
    lattice: float | None = option(None, "Lattice constant of the hosts named.", units="Å", gt=0)
    native: str = option("", "CSV of native-defect levels of the host, as further evidence.")
    model: str = option("", "Model file made by `materials train`; empty: the shipped one.")
    force: bool = option(False, "Show values even where the model is no better than the mean.")
    method: Literal["auto", "model", "none", "ba", "mba", "linear", "delta-gp", "co-kriging"] = (
        option("auto", "How a table of low-fidelity levels is corrected; auto: by leave-host-out.")
    )
    s: float = option(0.14, "Stretch of the modified band alignment; 0 is plain band alignment.")
    fit_s: bool = option(False, "Fit the stretch to the rows with high-fidelity levels.")


class CorrectSettings(Settings):
    """Settings of `materials correct`."""

    charge: int = option(..., "Charge of the defect cell.", units="e")
    epsilon: tuple[float, ...] = option(
        ..., "Static dielectric constant: one number, three (diagonal) or nine.", min_length=1
    )
    length: tuple[float, ...] = option(
        (),
        "Edge of a cubic cell, or three orthogonal edges; not needed with potential grids.",
        units="Å",
    )
    axis: int = option(0, "Axis of a table of planar averages.", ge=0, le=2)
    place: tuple[float, ...] = option((0.0, 0.0, 0.0), "Fractional place of the defect.")
    width: float = option(0.2, "Width of the Gaussian model charge.", units="Å", gt=0)
    potentials: Literal["electron", "electrostatic"] = option(
        "electron",
        "Sign of a table's potentials: energy of an electron (as in LOCPOT), or electrostatic.",
    )


# --- perovskites ---
class SpaceSettings(Settings):
    """Settings that describe a search over alloys ABX₃."""

    A: tuple[str, ...] = option(("K", "Rb", "Cs", "MA", "FA"), "Species of site A.")
    B: tuple[str, ...] = option(("Ca", "Sr", "Ba", "Ge", "Sn", "Pb"), "Species of site B.")
    X: tuple[str, ...] = option(("Cl", "Br", "I"), "Species of site X.")
    steps: tuple[str, ...] = option(
        ("A=1", "B=8", "X=1"), "Denominator of the fractions of each site, SITE=NUMBER."
    )
    max_mixed: int | None = option(None, "At most so many species share one site.", ge=1)
    compat_17955: bool = option(
        False, "Leave out the B compositions 3+3+1+1, as arXiv 2109.10798 does."
    )


class EnumerateSettings(SpaceSettings):
    """Settings of `materials enumerate`."""

    listing: bool = option(False, "Write the list of compounds as CSV (up to a million).")


class SlmeSettings(Settings):
    """Settings of `materials slme`."""

    sq: tuple[float, ...] = option((), "Gaps whose Shockley–Queisser limit is wanted.", units="eV")
    gap: float | None = option(None, "Fundamental gap of the spectra.", units="eV", le=20)
    direct_gap: float | None = option(
        None, "Direct-allowed gap; empty: equal to the fundamental gap.", units="eV", le=20
    )
    thickness: tuple[float, ...] = option(
        (0.5, 0.1, 2.0, 50.0), "Thicknesses; the first is the headline.", units="µm", min_length=1
    )
    temperature: tuple[float, ...] = option(
        (298.15,), "Temperatures; the first is the headline.", units="K", min_length=1
    )
    alpha_unit: Literal["auto", "1/cm", "1/m", "1/µm", "1/nm"] = option(
        "auto", "Unit of the absorption coefficient; auto takes 1/cm if that is plausible."
    )


class AlloyTableSettings(Settings):
    """Settings that say how a table of alloys is read for learning."""

    fidelity: str = option(
        "",
        "Rows of this level of theory only, where the table holds several; CHEAP,DEAR learns both.",
    )
    phase: str = option("", "Rows of this phase only, where the table holds several.")
    renormalise: bool = option(False, "Divide site fractions by their sum where it is not one.")


class TrainSettings(AlloyTableSettings):
    """Settings of `materials train`."""

    leave_out: str = option(
        "auto",
        "What is left out for the scores: fold, mixed, A, B, X or A,X for alloys; host, and beside it impurity or fold, for levels.",
    )
    targets: tuple[str, ...] = option((), "Properties to learn; empty: all of the table.")


class ScreenSettings(SpaceSettings, AlloyTableSettings):
    """Settings of `materials screen`."""

    model: str = option("", "Model file, or NAME@SHA8; empty: learn from the table given.")
    rule: tuple[str, ...] = option(
        (),
        "Rules, 'NAME<NUMBER', 'NAME>NUMBER' or 'NAME in LOW:HIGH'; empty: stable, gap 1–3 eV, tolerant to defects.",
    )
    objective: tuple[str, ...] = option(
        (), "Objectives of the Pareto front, 'max NAME' or 'min NAME'."
    )
    rank: str = option("", "Property by which the best are listed, largest first.")
    minimum_probability: float = option(
        0.5, "Probability of passing every rule that counts as passing.", gt=0, lt=1
    )
    keep: Literal["passing", "all", "none"] = option("passing", "Rows that are written as Parquet.")
    top: int = option(100, "Length of the list of the best.", ge=1, le=10_000)
    diversity: float = option(
        0.25,
        "Smallest distance of two compounds in that list (1: a whole site exchanged).",
        ge=0,
        le=3,
    )
    query: str = option("", "SQL for DuckDB over the rows written, a view called screen.")
    yes: bool = option(False, "Go on although the search is very large.")


class SuggestSettings(ScreenSettings):
    """Settings of `materials suggest`."""

    method: Literal["nsga2", "genetic", "batch"] = option(
        "nsga2",
        "NSGA-II on all objectives, a genetic search on their sum, or a Bayesian batch on the first.",
    )
    count: int = option(12, "Compounds suggested.", ge=1, le=500)
    population: int = option(200, "Individuals of the evolution.", ge=8, le=5000)
    generations: int = option(60, "Generations of the evolution.", ge=1, le=5000)
    acquisition: Literal["ei", "ucb"] = option(
        "ei", "Expected improvement or upper confidence bound."
    )
    cost: tuple[str, ...] = option(
        (), "Price of one computation at each fidelity, e.g. pbe=1,hse=12."
    )
    keep: Literal["passing", "all", "none"] = option(
        "none", "Not used: nothing is streamed.", advanced=True
    )


class PredictSettings(AlloyTableSettings):
    """Settings of `materials predict`."""

    formula: tuple[str, ...] = option((), "Compounds, in any usual spelling.")
    model: str = option("", "Model file, or NAME@SHA8; empty: learn from the table given.")
    force: bool = option(False, "Give values for species that the table does not hold.")


class ConvertSettings(Settings):
    """Settings of `materials convert`."""

    format: Literal["csv", "parquet"] = option("csv", "Format of the file written.")
    renormalise: bool = option(False, "Divide site fractions by their sum where it is not one.")


class AuditSettings(Settings):
    """Settings of `materials audit`."""

    residuals: bool = option(True, "Also list rows far from what the others let expect.")
    renormalise: bool = option(False, "Divide site fractions by their sum where it is not one.")
    fix_list: bool = option(False, "Write proposed corrections as a separate CSV.")
