"""Planning: how many photons, how large a beam stop, how many speckles until N is known exactly or to ±1.

In: the expected sample and detector. Out: the chance that every disk stands out of the photon noise, from the
Fisher information of its weight, over exposures and beam stops; checked by answering simulated patterns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Interval, Quantity, refused
from matterscope.core.units import HC
from matterscope.physics.fourier import Grid, detector_step
from matterscope.scattering import pictures
from matterscope.scattering.disks import EQUAL_LAWS, Disks, Recipe, place
from matterscope.scattering.frames import Frame
from matterscope.scattering.further import Addition
from matterscope.scattering.inversion import CLEAR, Inversion
from matterscope.scattering.levelling import Task, collect
from matterscope.scattering.number_density import solve
from matterscope.scattering.proof import power_of
from matterscope.scattering.refinement import Fit, Freedom, Structure, assess, uncertainties
from matterscope.scattering.refinement import intensity as model_intensity
from matterscope.scattering.settings import DensitySettings
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid, speckle_size

if TYPE_CHECKING:
    from matterscope.scattering.settings import PlanSettings

Floats = NDArray[np.float64]

EXPOSURES = np.geomspace(0.03, 30.0, 13)
"""Photons per open pixel at which the limit is computed."""


def plan_exposure(inputs: list[Input], settings: PlanSettings, call: Call) -> list[Estimate]:
    """Say what exposure and beam stop resolve the expected number of disks."""
    grid, unit = grid_of(settings)
    size = speckle_size(grid, settings.box)
    if size < 2.0:
        raise ConfigError(
            f"a speckle would cover {size:.2f} pixels; below 2 the pattern cannot be inverted",
            expected="at least 2 pixels",
            hint="a longer distance, smaller pixels or a smaller beam",
        )
    stops = [float(s) for s in settings.beamstops]
    items = [(settings.model_dump(), k, stop) for stop in stops for k in range(settings.structures)]
    found = call.map(limit_of_structure, items, "limits")
    shape = (len(stops), settings.structures, EXPOSURES.size)
    limits = {k: np.stack([f[k] for f in found]).reshape(shape) for k in found[0]}
    estimate = Estimate("scattering plan")
    needed = _needed(estimate, limits, settings, call)
    _speckles(estimate, settings, grid, size, stops[0])
    estimate.tables["conditions"] = _table(limits, stops, unit)
    estimate.diagnostics |= {"speckle_size_px": size, "pixels": list(grid.shape)}
    if settings.check and needed is not None:
        _check(estimate, settings, needed, stops[0], call)
    estimate.provenance |= {
        "references": ["arXiv 2211.08194", "Wald (1943): power from the Fisher information"],
        "model": f"a disk counts as resolved above {CLEAR:g} standard errors of its weight",
    }
    estimate.pictures.append(
        pictures.plan(
            EXPOSURES, limits["exact"].mean(axis=1), limits["visible"].mean(axis=1), stops
        )
    )
    return [estimate]


def grid_of(settings: PlanSettings | dict[str, Any]) -> tuple[Grid, str]:
    """Return the detector: from wavelength, distance and pixel in nm, else the published one in px."""
    given = settings if isinstance(settings, dict) else settings.model_dump()
    wavelength = given["wavelength"] or (HC / (1e3 * given["energy"]) if given["energy"] else None)
    told = (wavelength, given["distance"], given["pixel"])
    side = given["pixels"]
    if all(v is not None for v in told):
        length, distance, pixel = (float(v) for v in told if v is not None)
        step = detector_step(length, distance * 1e9, pixel * 1e3)
        return Grid((side, side), (step, step)), "nm"
    if any(v is not None for v in told):
        raise ConfigError(
            "a geometry needs wavelength (or energy), distance and pixel",
            hint="give all of them, or none for the published one",
        )
    step = published_grid(129).step[0] * 128.0 / (side - 1)
    return Grid((side, side), (step, step)), "px"


def limit_of_structure(
    item: tuple[dict[str, Any], int, float], rng: np.random.Generator
) -> dict[str, Floats]:
    """Return, for one structure and beam stop, chances and smallest visible area per exposure: a unit."""
    given, number, stop = item
    # the same structures behind every beam stop
    disks = place(given["n"], _recipe(given), np.random.default_rng([number, given["n"]]))
    grid, _ = grid_of(given)
    line = Beamline(grid, beam_stop=stop)
    ideal = intensity(disks, line, given["box"])
    opened = detect(ideal, line, rng).open_pixels
    task = Task(
        ideal / ideal[opened].mean(),
        opened,
        grid.origin,
        extent=min(given["box"] * grid.step[1], np.pi),
        equal=given["law"] in EQUAL_LAWS,
    )
    rows = [_limit(disks, replace(task, image=task.image * p), grid) for p in EXPOSURES]
    return {k: np.array([r[k] for r in rows]) for k in rows[0]}


def _recipe(given: dict[str, Any]) -> Recipe:
    return Recipe(given["box"], given["radius"], given["law"])


def _limit(disks: Disks, task: Task, grid: Grid) -> dict[str, float]:
    fit = _true_fit(disks, task, grid)
    counts = collect(task)
    one = Addition(fit, counts)
    visible = float(one.area_at(CLEAR))
    if fit.freedom.radii:
        certainty = 0.5 * fit.structure.radius / uncertainties(fit)["radius"]
    else:
        certainty = np.full(disks.radius.size, np.sqrt(one.expected(1.0)))
    seen = ndtr(certainty - CLEAR)
    every = float(np.prod(seen))
    missed = (1.0 - seen) / np.maximum(seen, 1e-12)
    power = power_of(Inversion(fits={disks.radius.size: fit}), counts)
    return {
        "exact": every,
        "within_one": min(every * (1.0 + float(missed.sum())), 1.0),
        "visible": visible,
        "proof": min(power.structure, power.smallest),
    }


def _true_fit(disks: Disks, task: Task, grid: Grid) -> Fit:
    step = grid.step[1]
    structure = Structure(
        (disks.y - disks.y.mean()) * step,
        (disks.x - disks.x.mean()) * step,
        disks.radius * step,
        1.0,
    )
    counts = collect(task)
    level = counts.value.sum() / (counts.weight * model_intensity(structure, counts)[0]).sum()
    whole = replace(structure, scale=float(np.sqrt(level)))
    return assess(whole, counts, Freedom(not task.equal, area=task.extent**2))


def _needed(
    estimate: Estimate, limits: dict[str, Floats], settings: PlanSettings, call: Call
) -> float | None:
    """Put the exposures into the answer; return the one for the exact number behind the first stop."""
    result = None
    for name, key in (
        ("photons_exact", "exact"),
        ("photons_within_one", "within_one"),
        ("photons_proof", "proof"),
    ):
        chances = limits[key][0]
        mean = _crossing(chances.mean(axis=0), settings.chance)
        if mean is None:
            estimate.quantities[name] = refused(
                "1",
                f"a chance of {settings.chance:g} is not reached at {EXPOSURES[-1]:g} photons per pixel",
            )
            estimate.flag(
                "not-resolved",
                f"{name.replace('_', ' ')}: no exposure up to {EXPOSURES[-1]:g} photons per pixel reaches {settings.chance:g}",
                "fewer or larger disks, a smaller beam stop, or a lower --chance",
            )
            continue
        each = [_crossing(c, settings.chance) or 2.0 * EXPOSURES[-1] for c in chances]
        bands = tuple(
            Interval(v, *(float(x) for x in np.quantile(each, [0.5 - v / 2, 0.5 + v / 2])))
            for v in call.levels
        )
        estimate.quantities[name] = Quantity(float(mean), "1", intervals=bands)
        result = float(mean) if name == "photons_exact" else result
    return result


def _crossing(chance: Floats, level: float) -> float | None:
    """Return the exposure from which the chance stays above `level`, between the points on a log scale."""
    below = np.flatnonzero(chance < level)
    if below.size == 0:
        return float(EXPOSURES[0])
    last = int(below[-1])
    if last + 1 >= EXPOSURES.size:
        return None
    share = (level - chance[last]) / (chance[last + 1] - chance[last])
    low, high = np.log(EXPOSURES[last : last + 2])
    return float(np.exp(low + share * (high - low)))


def _speckles(
    estimate: Estimate, settings: PlanSettings, grid: Grid, size: float, stop: float
) -> None:
    """Say how many speckles a frame holds, and how many the contrast alone would need."""
    opened = float((grid.radius() > stop).sum())
    held = 0.5 * opened / size**2
    # σ_N = 2N²/√n for n speckles, to be below one half
    wanted = (4.0 * settings.n**2) ** 2
    estimate.quantities["speckles"] = Quantity(
        held, "1", reason="area over that of one speckle, mates once"
    )
    estimate.quantities["frames_contrast"] = Quantity(
        float(max(np.ceil(wanted / held), 1.0)),
        "1",
        reason="independent frames until the speckle contrast alone, without inversion, has an error of 1/2",
    )


def _table(limits: dict[str, Floats], stops: list[float], unit: str) -> pd.DataFrame:
    rows = [
        {"beamstop": stop, "photons": float(p)}
        | {k: float(v[i, :, j].mean()) for k, v in limits.items()}
        for i, stop in enumerate(stops)
        for j, p in enumerate(EXPOSURES)
    ]
    table = pd.DataFrame(rows)
    table.attrs["units"] = {"beamstop": "px"}
    return table


def _check(
    estimate: Estimate, settings: PlanSettings, photons: float, stop: float, call: Call
) -> None:
    """Answer simulated patterns at the exposure found: the limit is one thing, reaching it another."""
    items = [(settings.model_dump(), photons, stop) for _ in range(settings.check)]
    rows = call.map(check_pattern, items, "check")
    right = sum(r["answer"] == r["n"] for r in rows)
    near = sum(abs(r["answer"] - r["n"]) <= 1 for r in rows)
    estimate.tables["check"] = pd.DataFrame(rows)
    estimate.diagnostics["check"] = {
        "patterns": len(rows),
        "exact": right,
        "within_one": near,
        "proved": sum(r["proved"] for r in rows),
        "photons": photons,
    }
    if right < 0.5 * settings.chance * len(rows):
        estimate.flag(
            "limit-not-reached",
            f"{right} of {len(rows)} simulated patterns were answered exactly at {photons:.3g} photons per pixel: the information is there, the search does not reach it",
            "more photons than the limit, or --effort in the answer",
        )


def check_pattern(
    item: tuple[dict[str, Any], float, float], rng: np.random.Generator
) -> dict[str, Any]:
    """Simulate and answer one pattern of the plan: a unit of work."""
    given, photons, stop = item
    grid, unit = grid_of(given)
    disks = place(given["n"], _recipe(given), rng)
    line = Beamline(grid, photons=photons, beam_stop=stop)
    shot = detect(intensity(disks, line, given["box"]), line, rng)
    frame = Frame(
        shot.counts,
        shot.open_pixels,
        grid.origin,
        grid.step,
        unit,
        True,
        None,
        given["box"],
        "simulated",
        0,
        1,
    )
    solution = solve(frame, DensitySettings(estimator="inversion"), rng)
    return {
        "n": given["n"],
        "answer": solution.answer,
        "probability": float(solution.posterior.max()),
        "proved": solution.verdict == "proved",
    }
