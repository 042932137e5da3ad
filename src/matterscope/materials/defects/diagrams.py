"""`materials diagram`: formation-energy diagrams from a table, with every level and every absence explained.

In: defect energies (table or solver's JSON), host, chemical potentials. Out: one estimate for the crystal
(Fermi level by neutrality, all lines) and one per defect (levels, off-hull charges, its own diagram).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Quantity, refused
from matterscope.io.tables import Column, read_table
from matterscope.materials.defects.defect_tables import (
    Crystal,
    Defect,
    Reference,
    pairs_of,
    read_defects,
)
from matterscope.materials.defects.diagram_pictures import diagram_picture
from matterscope.materials.defects.formation_energies import (
    Hull,
    crossing_sentences,
    hull_energy,
    label_of,
    lower_hull,
)
from matterscope.materials.defects.neutrality import Bands, Charged, Neutral, neutral_point
from matterscope.materials.defects.potentials import Corner, Phase, precipitates, stability_corners
from matterscope.materials.settings import DefectEnergySettings, DiagramSettings
from matterscope.physics.elements import parse_formula

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = [
    "Zhang and Northrup, Phys. Rev. Lett. 67, 2339 (1991)",
    "Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014)",
]
MANY = 40
"""More defects than this become one answer with tables: a page each would take minutes to draw."""
NO_SIGMA = "computed energies carry no stated error"


@dataclass(frozen=True)
class Case:
    """What one file and the settings say together."""

    crystal: Crystal
    defects: list[Defect]
    delta_mu: dict[str, float]
    corners: list[Corner]
    phases: list[Phase]

    def sites(self, defect: Defect) -> float | None:
        """Return the sites per cm³ of a defect: its own, or one per site volume."""
        if defect.sites is not None:
            return defect.sites
        volume = self.crystal.volume_per_site
        return 1e24 / volume if volume else None

    def bands(self) -> Bands | None:
        """Return the bands, where gap and both masses are known."""
        c = self.crystal
        if c.gap is None or not c.electron_mass or not c.hole_mass:
            return None
        return Bands(c.gap, c.electron_mass, c.hole_mass)

    def states(self) -> tuple[list[Charged], list[str]]:
        """Return all charge states with the names of their defects; empty if a density is missing."""
        states, names = [], []
        for defect in self.defects:
            sites = self.sites(defect)
            if sites is None:
                return [], []
            for q, e in defect.at(self.delta_mu).items():
                states.append(Charged(q, e, sites, defect.degeneracies.get(q, 1.0)))
                names.append(defect.name)
        return states, names


def load_case(given: Input, settings: DefectEnergySettings) -> Case:
    """Read the file and settle host and chemical potentials."""
    if given.path is None:
        raise ReadError("this verb takes a file with defect energies", where=given.source)
    reference = Reference(
        settings.bulk_energy,
        settings.vbm,
        pairs_of(settings.mu0, "mu0"),
        settings.energies == "total",
    )
    formula = parse_formula(settings.host, where="--host") if settings.host else {}
    crystal = Crystal(
        settings.gap, formula, settings.electron_mass, settings.hole_mass, settings.volume_per_site,
        dict(reference.mu0),
    )  # fmt: skip
    crystal, defects = read_defects(given.path, reference, crystal)
    if settings.only:
        defects = [d for d in defects if d.name in settings.only]
        if not defects:
            raise ConfigError(
                "no defect of the file has one of these names", got=", ".join(settings.only)
            )
    phases = read_phases(Path(settings.phases)) if settings.phases else []
    corners: list[Corner] = []
    if settings.heat_of_formation is not None and crystal.formula:
        host = Phase(settings.host or "host", crystal.formula, settings.heat_of_formation)
        corners = stability_corners(host, phases)
    delta = pairs_of(settings.delta_mu, "delta-mu")
    if settings.mu_limit and not delta:
        delta = _limit(settings.mu_limit, corners)
    return Case(crystal, defects, delta, corners, phases)


def read_phases(path: Path) -> list[Phase]:
    """Read competing phases: formula and formation energy per formula unit, eV."""
    columns = (
        Column("formula", kind="text", required=True, aliases=("phase", "compound")),
        Column("formation_energy", "eV", required=True, aliases=("energy", "heat_of_formation")),
    )
    frame = read_table(path, columns)
    return [
        Phase(f, parse_formula(f, where=str(path)), float(e))
        for f, e in zip(frame["formula"], frame["formation_energy"], strict=True)
    ]


def _limit(name: str, corners: list[Corner]) -> dict[str, float]:
    element = name.removesuffix("-rich").strip()
    if not corners:
        raise ConfigError(
            f"--mu-limit {name} needs the host and its heat of formation",
            hint="add --host CdTe --heat-of-formation -1.2",
        )
    if element not in corners[0].delta_mu:
        raise ConfigError(
            "--mu-limit names an element that is in no phase",
            got=name,
            expected=" or ".join(f"{e}-rich" for e in corners[0].delta_mu),
        )
    return max(corners, key=lambda c: c.delta_mu[element]).delta_mu


def draw_diagrams(inputs: list[Input], settings: DiagramSettings, call: Call) -> list[Estimate]:
    """Return the crystal's estimate and one per defect, for each file."""
    answers: list[Estimate] = []
    for given in inputs:
        case = load_case(given, settings)
        hulls = {d.name: lower_hull(d.at(case.delta_mu)) for d in case.defects}
        point = neutral_or_none(case, settings.temperature, settings)
        whole = _crystal_estimate(given, case, hulls, point, settings)
        answers.append(whole)
        if len(case.defects) > MANY:
            _tell_of_many(whole, case, hulls)
            continue
        for index, defect in enumerate(case.defects):
            answers.append(_defect_estimate(given, case, defect, hulls[defect.name], point))
            call.progress(index + 1, len(case.defects), "defects")
    return answers


def _tell_of_many(answer: Estimate, case: Case, hulls: dict[str, Hull]) -> None:
    """Put what each defect's own answer would say into one table."""
    import pandas as pd

    rows = [
        {"defect": d.name, "says": sentence}
        for d in case.defects
        for sentence in (*crossing_sentences(hulls[d.name]), *d.notes)
    ]
    answer.tables["charges_not_seen"] = pd.DataFrame(rows, columns=["defect", "says"])
    answer.flag(
        "many_defects",
        f"{len(case.defects)} defects: one answer with tables instead of one each",
        "--only NAME gives a defect its own diagram",
    )


def neutral_or_none(
    case: Case, temperature: float, settings: DefectEnergySettings
) -> Neutral | None:
    """Return the neutral point if masses and site densities are known."""
    bands, (states, _) = case.bands(), case.states()
    if bands is None or not states:
        return None
    dopants = [(abs(c), 1 if c > 0 else -1) for c in settings.dope]
    return neutral_point(
        bands, states, temperature, dopants=dopants, dilute=not settings.site_limit
    )


def _crystal_estimate(
    given: Input,
    case: Case,
    hulls: dict[str, Hull],
    point: Neutral | None,
    settings: DiagramSettings,
) -> Estimate:
    answer = Estimate("materials diagram", InputRef(given.source, "", given.sha256))
    if point is not None:
        reason = NO_SIGMA
        answer.quantities["fermi_level"] = Quantity(point.fermi_level, "eV", reason=reason)
        answer.quantities["electron_density"] = Quantity(point.electrons, "1/cm³", reason=reason)
        answer.quantities["hole_density"] = Quantity(point.holes, "1/cm³", reason=reason)
    else:
        lacking = "needs gap, both effective masses and site densities (--gap --electron-mass --hole-mass --volume-per-site)"
        answer.quantities["fermi_level"] = refused("eV", lacking)
    answer.tables["levels"] = _level_table(case, hulls)
    answer.tables["energies"] = _energy_table(case, hulls)
    if case.corners:
        answer.tables["chemical_potentials"] = corner_table(case.corners)
    _flag_potentials(answer, case)
    for note in case.crystal.notes:
        answer.flag("table_note", note)
    if case.crystal.gap is None:
        answer.flag(
            "gap_missing",
            "the gap is not given: levels cannot be called resonant and the conduction band is not drawn",
            "add --gap",
        )
    negative = [n for n, h in hulls.items() if h.negative_u]
    if negative:
        answer.flag(
            "negative_u",
            f"charge states are skipped (negative U) by {', '.join(negative)}",
            "the skipped charges and their single-electron levels stand in the table",
        )
    answer.diagnostics |= {
        "defects": len(case.defects),
        "delta_mu": case.delta_mu,
        "mu0": case.crystal.reference,
        "temperature": settings.temperature,
    }
    answer.provenance["references"] = REFERENCES
    fermi = point.fermi_level if point else None
    answer.pictures.append(
        diagram_picture(
            case.crystal.gap,
            {d.name: d.at(case.delta_mu) for d in case.defects},
            hulls,
            fermi,
            title=Path(given.source).name,
            note=potential_words(case),
        )
    )
    return answer


def potential_words(case: Case) -> str:
    """Return both kinds of chemical potential in words, so that none is added twice."""
    delta = ", ".join(f"Δμ({e}) = {v:+.3f}" for e, v in case.delta_mu.items()) or "all Δμ = 0"
    mu0 = ", ".join(f"μ⁰({e}) = {v:.3f}" for e, v in case.crystal.reference.items() if v)
    return f"{delta} eV; {mu0 + ' eV' if mu0 else 'μ⁰ already inside the energies'}"


def _flag_potentials(answer: Estimate, case: Case) -> None:
    elements = sorted({e for d in case.defects for e in d.added} | set(case.crystal.formula))
    for name, excess in precipitates(case.delta_mu, case.phases, elements):
        answer.flag(
            "outside_stability",
            f"at these chemical potentials {name} precipitates: {excess:.3f} eV per formula unit beyond its limit",
            "choose Δμ inside the polytope",
        )
    if case.corners and case.delta_mu:
        total = sum(n * case.delta_mu.get(e, 0.0) for e, n in case.crystal.formula.items())
        wanted = sum(n * case.corners[0].delta_mu[e] for e, n in case.crystal.formula.items())
        if abs(total - wanted) > 1e-3:
            answer.flag(
                "outside_stability",
                f"Σ n Δμ of the host is {total:.3f} eV, not its heat of formation {wanted:.3f} eV",
                "the host does not form, or decomposes, at these Δμ",
            )


def corner_table(corners: list[Corner]) -> pd.DataFrame:
    """Return the corners of the stability region as rows."""
    import pandas as pd

    return pd.DataFrame(
        [
            {f"delta_mu_{e}": v for e, v in c.delta_mu.items()} | {"phases": " + ".join(c.phases)}
            for c in corners
        ]
    )


def _level_table(case: Case, hulls: dict[str, Hull]) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, hull in hulls.items():
        on_hull = {(lv.charge_from, lv.charge_to) for lv in hull.levels}
        entries = [(lv, "thermodynamic") for lv in hull.levels] + [
            (lv, "not a thermodynamic level")
            for lv in hull.single_electron
            if (lv.charge_from, lv.charge_to) not in on_hull
        ]
        rows += [
            {
                "defect": name, "charge_from": lv.charge_from, "charge_to": lv.charge_to,
                "level": lv.energy, "kind": kind, "negative_u": lv.negative_u,
                "place": label_of(lv.energy, case.crystal.gap),
            }
            for lv, kind in entries
        ]  # fmt: skip
    columns = ["defect", "charge_from", "charge_to", "level", "kind", "negative_u", "place"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.attrs["units"] = {"level": "eV", "charge_from": "e", "charge_to": "e"}
    return frame


def _energy_table(case: Case, hulls: dict[str, Hull]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"defect": d.name, "charge": q, "formation_energy": e, "on_hull": q in hulls[d.name].stable}
        for d in case.defects
        for q, e in sorted(d.at(case.delta_mu).items(), reverse=True)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"formation_energy": "eV", "charge": "e"}
    return frame


def _defect_estimate(
    given: Input, case: Case, defect: Defect, hull: Hull, point: Neutral | None
) -> Estimate:
    answer = Estimate("materials diagram", InputRef(given.source, defect.name, given.sha256))
    energies = defect.at(case.delta_mu)
    gap = case.crystal.gap
    inside = [lv for lv in hull.levels if gap is None or 0 <= lv.energy <= gap]
    if hull.levels:
        shown = inside[0] if inside else hull.levels[0]
        answer.quantities["transition_level"] = Quantity(shown.energy, "eV", reason=NO_SIGMA)
        answer.diagnostics["transition_level_of"] = shown.name
    else:
        answer.quantities["transition_level"] = refused(
            "eV",
            "only one charge state was computed"
            if len(energies) == 1
            else "one charge is stable at every Fermi level",
        )
    at = point.fermi_level if point else 0.0
    lowest, charge = hull_energy(energies, [at])
    answer.quantities["formation_energy"] = Quantity(float(lowest[0]), "eV", reason=NO_SIGMA)
    answer.diagnostics |= {
        "fermi_level": at,
        "stable_charge": int(charge[0]),
        "stable_charges": list(hull.stable),
    }
    answer.tables["levels"] = _level_table(case, {defect.name: hull})
    _flag_defect(answer, defect, hull, gap)
    answer.provenance["references"] = REFERENCES
    answer.pictures.append(
        diagram_picture(
            gap,
            {defect.name: energies},
            {defect.name: hull},
            point.fermi_level if point else None,
            title=defect.name,
            note=potential_words(case),
        )
    )
    return answer


def _flag_defect(answer: Estimate, defect: Defect, hull: Hull, gap: float | None) -> None:
    if hull.negative_u:
        steps = ", ".join(f"{lv.name} {lv.energy:.3f} eV" for lv in hull.levels if lv.negative_u)
        answer.flag(
            "negative_u",
            f"negative U: {steps}; the charges between are never stable",
            "single-electron levels are listed as not thermodynamic",
        )
    for sentence in crossing_sentences(hull):
        code = "not_computed" if "not computed" in sentence else "off_hull"
        remedy = "compute the missing charge state" if code == "not_computed" else ""
        answer.flag(code, sentence, remedy)
    for note in defect.notes:
        answer.flag("duplicate_charge", note, "remove the row that is out of date")
    if gap is not None:
        resonant = [lv.name for lv in hull.levels if not 0 <= lv.energy <= gap]
        if resonant:
            answer.flag(
                "resonant",
                f"{', '.join(resonant)} outside the gap of {gap:.2f} eV: resonant with a band, kept",
                "",
            )


def fermi_grid(gap: float | None, energies: list[float]) -> np.ndarray[Any, Any]:
    """Return Fermi levels for drawing: the gap, or the span of levels where no gap is known."""
    top = gap if gap is not None else max([*energies, 1.0])
    return np.linspace(0.0, top, 161)
