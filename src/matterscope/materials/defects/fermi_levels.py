"""`materials fermi`: the Fermi level by charge neutrality against temperature, annealed or quenched.

In: defect energies, gap, masses, chemical potentials. Out: E_F, n, p and concentrations with their picture.
"""

from __future__ import annotations

from typing import Any

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.materials.defects.diagram_pictures import neutrality_picture
from matterscope.materials.defects.diagrams import (
    NO_SIGMA,
    REFERENCES,
    Case,
    load_case,
    neutral_or_none,
    potential_words,
)
from matterscope.materials.defects.neutrality import Neutral, quenched
from matterscope.materials.settings import FermiSettings


def find_fermi_level(inputs: list[Input], settings: FermiSettings, call: Call) -> list[Estimate]:
    """Return the neutral point of each file over the temperatures asked for."""
    answers = []
    for given in inputs:
        case = load_case(given, settings)
        points = []
        for index, temperature in enumerate(settings.temperatures):
            points.append(_point(case, temperature, settings))
            call.progress(index + 1, len(settings.temperatures), "temperatures")
        answers.append(_estimate(given, case, points, settings))
    return answers


def _point(case: Case, temperature: float, settings: FermiSettings) -> Neutral:
    point = neutral_or_none(case, temperature, settings)
    bands = case.bands()
    if point is None or bands is None:
        raise ConfigError(
            "neutrality needs the gap, both effective masses and site densities",
            hint="add --gap, --electron-mass, --hole-mass and --volume-per-site (Å³)",
        )
    if settings.quench_to is None:
        return point
    states, names = case.states()
    dopants = [(abs(c), 1 if c > 0 else -1) for c in settings.dope]
    return quenched(bands, states, names, temperature, settings.quench_to, dopants)


def _estimate(given: Input, case: Case, points: list[Neutral], settings: FermiSettings) -> Estimate:
    import pandas as pd

    answer = Estimate("materials fermi", InputRef(given.source, "", given.sha256))
    _, names = case.states()
    rows: list[dict[str, Any]] = []
    for temperature, point in zip(settings.temperatures, points, strict=True):
        totals = dict.fromkeys(dict.fromkeys(names), 0.0)
        for name, c in zip(names, point.concentrations, strict=True):
            totals[name] += float(c)
        row = {
            "temperature": temperature,
            "fermi_level": point.fermi_level,
            "electron_density": point.electrons,
            "hole_density": point.holes,
        }
        rows.append(row | totals)
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = dict.fromkeys(frame, "1/cm³") | {"temperature": "K", "fermi_level": "eV"}
    last = points[-1]
    answer.quantities["fermi_level"] = Quantity(last.fermi_level, "eV", reason=NO_SIGMA)
    answer.quantities["electron_density"] = Quantity(last.electrons, "1/cm³", reason=NO_SIGMA)
    answer.quantities["hole_density"] = Quantity(last.holes, "1/cm³", reason=NO_SIGMA)
    answer.tables["neutrality"] = frame
    gap = case.crystal.gap or 0.0
    if not 0 <= last.fermi_level <= gap:
        answer.flag(
            "degenerate",
            f"the Fermi level lies outside the gap of {gap:.2f} eV: the dilute law and parabolic bands are doubtful",
            "try --site-limit and a density of states",
        )
    answer.diagnostics |= {
        "chemical_potentials": potential_words(case),
        "quench_to": settings.quench_to,
    }
    answer.provenance["references"] = REFERENCES
    by_name = {n: frame[n].tolist() for n in dict.fromkeys(names)}
    answer.pictures.append(
        neutrality_picture(
            list(settings.temperatures),
            frame["fermi_level"].tolist(),
            gap,
            by_name,
            {
                "electrons": frame["electron_density"].tolist(),
                "holes": frame["hole_density"].tolist(),
            },
        )
    )
    return answer
