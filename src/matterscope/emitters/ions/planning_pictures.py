"""Pictures of a plan: depth profiles, capture against film thickness, yield against dose.

In: an implant, a film scan, a dose plan. Out: `Picture`s as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.pictures import (
    Layer as Drawn,
)
from matterscope.core.pictures import (
    Panel,
    Picture,
    band,
    line,
    mark,
    points,
    span,
    steps,
    text,
)

if TYPE_CHECKING:
    from matterscope.core.estimates import Estimate
    from matterscope.emitters.ions.doses import DosePlan
    from matterscope.emitters.ions.films import FilmScan
    from matterscope.emitters.ions.transport import Beam, Implant
    from matterscope.emitters.settings import PlanSettings


def depth(found: Implant, target: int, beam: Beam) -> Picture:
    """Return stopped ions and vacancies against depth, over the stack."""
    step = found.edges[1] - found.edges[0]
    # about 30 ions a bin where they are: fewer bins than for the many vacancies
    wide = found.edges[:: max(1, round(found.edges.size * 30 / max(int(found.stopped.sum()), 30)))]
    stops, _ = np.histogram(found.ends[found.stopped, 2], bins=wide)
    stops = stops / found.fate.size / (wide[1] - wide[0])
    broken = found.vacancy_profile / step
    return Picture(
        "depth",
        f"{beam.energy:g} keV {beam.ion} in {' / '.join(layer.name for layer in found.layers)}",
        [
            Panel(
                [*_stack(found, target, stops.max()), steps(wide, stops, "stopped ions")],
                "",
                "stopped ions per nm",
                y_range=(0, 1.25 * stops.max() or 1),
            ),
            Panel(
                [*_stack(found, target, 0), steps(found.edges, broken, "vacancies", "model")],
                "depth (nm)",
                "vacancies per ion and nm",
                y_range=(0, 1.15 * broken.max() or 1),
            ),
        ],
        caption="Where the ions stop and where they displace atoms, per incident ion. The shaded layer is the one that shall hold the emitters.",
        height=4.6,
    )


def _stack(found: Implant, target: int, label_at: float) -> list[Drawn]:
    drawn: list[Drawn] = []
    top = 0.0
    end = float(found.edges[-1])
    for i, layer in enumerate(found.layers):
        bottom = min(top + layer.thickness, end)
        if i == target:
            drawn.append(span(top, bottom, label=f"{layer.name} (target)"))
        if i:
            drawn.append(mark(x=[top]))
        if label_at:
            drawn.append(text([0.5 * (top + bottom)], [1.17 * label_at], [layer.name]))
        top = bottom
    return drawn


def film(scan: FilmScan, film_name: str, target_name: str, beam: Beam) -> Picture:
    """Return capture and damage against film thickness with the optimum."""
    t = scan.table
    x = t["film_thickness"].to_numpy()
    y, s = t["stopped_fraction"].to_numpy(), t["stopped_fraction_sigma"].to_numpy()
    low, high = (float(v) for v in np.quantile(scan.optimum, [0.05, 0.95]))
    damage = t.dropna(subset=["vacancies_per_stopped_ion"])
    return Picture(
        "film",
        f"How thick should the {film_name} film be? ({beam.energy:g} keV {beam.ion})",
        [
            Panel(
                [
                    span(low, high, label="optimum, 90 %"),
                    line(x, t["film_fraction"], f"stopped in {film_name}", "muted"),
                    points(x, y, f"stopped in {target_name}", y_low=y - s, y_high=y + s),
                    line(*scan.curve, "cubic about the optimum"),
                ],
                "",
                "share of ions",
                y_range=(0, 1),
            ),
            Panel(
                [
                    span(low, high),
                    line(
                        damage["film_thickness"],
                        damage["vacancies_per_stopped_ion"],
                        "per stopped ion",
                        "series1",
                    ),
                    line(
                        damage["film_thickness"],
                        damage["vacancies_per_ion"],
                        "per incident ion",
                        "series2",
                    ),
                ],
                "film thickness (nm)",
                f"vacancies in {target_name}",
            ),
        ],
        caption="The film slows the ions so that they stop in the flake; too thick a film keeps them. Bars are standard errors of the simulation.",
        height=5.0,
    )


def dose_yield(plan: DosePlan, settings: PlanSettings) -> Picture:
    """Return the probabilities of no, one and several emitters against dose."""
    d = plan.doses
    return Picture(
        "dose",
        f"Emitters per {settings.aperture_diameter:g} nm aperture against dose",
        [
            Panel(
                [
                    band(
                        d,
                        plan.single_low,
                        plan.single_high,
                        "exactly one, 90 % of the yield's prior",
                    ),
                    line(d, plan.numbers[0], "none", "muted"),
                    line(d, plan.numbers[1], "exactly one", "model"),
                    line(d, plan.numbers[2], "two or more", "flagged"),
                    mark(x=[plan.chosen], label="dose of the plan"),
                ],
                "dose (ions per cm²)",
                "probability",
                x_scale="log",
                y_range=(0, 1),
            )
        ],
        caption="Averaged over the prior of the conversion yield; the band shows how far that prior alone moves the curve of single emitters.",
    )


def against_energy(energies: tuple[float, ...], answers: list[Estimate]) -> Picture:
    """Return optimum film and capture against ion energy."""
    panels = []
    for name, label in (
        ("optimal_film_thickness", "best film (nm)"),
        ("optimal_stopped_fraction", "capture at the best film"),
        ("vacancies_per_ion", "vacancies per ion in the target"),
    ):
        rows = [
            (e, a.quantities[name])
            for e, a in zip(energies, answers, strict=True)
            if name in a.quantities
        ]
        value = [float(q.value or 0) for _, q in rows]
        sigma = np.array([q.sigma or 0.0 for _, q in rows])
        low, high = value - 1.64 * sigma, value + 1.64 * sigma
        panels.append(
            Panel(
                [points([e for e, _ in rows], value, y_low=low, y_high=high)], "energy (keV)", label
            )
        )
    return Picture(
        "energies",
        "The plan against ion energy",
        panels,
        "Bars are 90 % intervals.",
        columns=3,
        width=9.0,
        height=2.8,
    )
