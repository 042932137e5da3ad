"""Number density from one pattern: every estimator, one posterior, and what cannot be told.

In: frames of a file and the settings of `scattering density`. Out: an estimate per pattern with the
posterior over N, the density with its interval, the disks, flags and pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import (
    Estimate,
    InputRef,
    Interval,
    Quantity,
    from_samples,
    gaussian,
    refused,
)
from matterscope.scattering import pictures
from matterscope.scattering.frames import Frame, load_frames
from matterscope.scattering.inversion import Inversion, Plan, invert, proved, visible_area
from matterscope.scattering.levelling import Task, collect, form_factor_fit, law_average
from matterscope.scattering.observables import (
    Rings,
    number_from_contrast,
    number_from_forward,
    ring_averages,
    speckle_contrast,
)
from matterscope.scattering.posterior import combine, credible_set, evidence_shares, with_invisible
from matterscope.scattering.preparation import Prepared, prepare
from matterscope.scattering.refinement import Fit, intensity, refine, uncertainties

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings

Floats = NDArray[np.float64]
REFERENCES = [
    "arXiv 2211.08194, Comput. Mater. Sci. 2023",
    "Buerger, Vector Space (Wiley, 1959): superposition of the Patterson function",
    "Goodman, Speckle Phenomena in Optics (2007): contrast of N phasors",
]
SCATTER = {"equal": 0.0, "normal": 1.0 / 3.0, "broad": 0.7, "auto": 1.0 / 3.0}
POPULATION = "no trained range: the inversion fits disks to the counts of this pattern"


def infer_density(inputs: list[Input], settings: DensitySettings, call: Call) -> list[Estimate]:
    """Return the number density behind every pattern of the inputs."""
    answers: list[Estimate] = []
    for given in inputs:
        stream = load_frames(given, settings)
        if settings.movie:
            from matterscope.scattering.movies import follow

            answers.append(follow(given, stream, settings, call))
            continue
        for frame in stream:
            call.progress(frame.index, frame.total, "frames")
            answers.append(answer_frame(frame, given, settings, call))
            call.progress(frame.index + 1, frame.total, "frames")
    return answers


@dataclass
class Solution:
    """All that is known about one frame."""

    frame: Frame
    ready: Prepared
    task: Task
    rings: Rings
    inversion: Inversion | None
    numbers: Floats
    posterior: Floats
    parts: dict[str, Floats]
    moments: dict[str, Any]
    visible: float = 0.0

    @property
    def fit(self) -> Fit | None:
        """Return the best fit."""
        return self.inversion.best if self.inversion else None

    @property
    def answer(self) -> int:
        """Return the likeliest number."""
        return int(self.numbers[int(np.argmax(self.posterior))])


def answer_frame(frame: Frame, given: Input, settings: DensitySettings, call: Call) -> Estimate:
    """Return the estimate of one frame."""
    solution = solve(frame, settings, call.rng("density", frame.index))
    estimate = describe(solution, settings, call)
    estimate.input = InputRef(given.source, frame.selector, given.sha256)
    if settings.ablation and solution.inversion is not None:
        from matterscope.scattering.ablation import ablate

        estimate.pictures.append(ablate(solution, call.rng("ablation", frame.index)))
    return estimate


def solve(frame: Frame, settings: DensitySettings, rng: np.random.Generator) -> Solution:
    """Ask every estimator about one frame and combine them."""
    ready = prepare(
        frame.counts,
        mask=frame.open_pixels,
        centre=frame.centre,
        name=f"{frame.name}, frame {frame.index}",
    )
    task = make_task(frame, ready, settings)
    rings = ring_averages(ready.image, ready.open_pixels, task.radius)
    low, high = settings.prior_n[0], settings.prior_n[-1]
    numbers = np.arange(1.0, high + 1.0)
    parts: dict[str, Floats] = {}
    inversion: Inversion | None = None
    if settings.estimator in {"auto", "inversion"} and speckle_pixels(task) >= 2.0:
        inversion, task = search(ready, task, settings, rng)
    moments = moment_estimates(ready, task, rings, settings, inversion)
    if settings.estimator in {"auto", "moments"}:
        parts["contrast"] = _contrast_shares(moments, numbers, settings)
    solution = Solution(frame, ready, task, rings, inversion, numbers, numbers * 0, parts, moments)
    if settings.estimator in {"auto", "features"}:
        from matterscope.scattering.classification import shares_of_trained

        parts |= shares_of_trained(solution)
    own = None
    if inversion is not None:
        solution.visible = visible_area(inversion.best, collect(task))
        own = evidence_shares(inversion, numbers)
        own = with_invisible(own, solution.visible, task.scatter, task.equal)
        parts = {"inversion": own} | parts
    allowed = (numbers >= low).astype(float)
    others = {k: v for k, v in parts.items() if k != "inversion"}
    mixed = combine(numbers, own, bool(inversion and inversion.proved), others) * allowed
    solution.posterior, solution.parts = mixed / mixed.sum(), parts
    return solution


def speckle_pixels(task: Task) -> float:
    """Return the speckle size in pixels for the largest extent allowed."""
    return float(2.0 * np.pi / task.extent)


def make_task(frame: Frame, ready: Prepared, settings: DensitySettings) -> Task:
    """Return the pattern as the inversion wants it."""
    width = settings.width or frame.width or (settings.area**0.5 if settings.area else None)
    extent = np.pi if width is None else min(width * frame.step[1], np.pi)
    return Task(
        ready.image,
        ready.open_pixels,
        ready.centre,
        extent=float(extent),
        aspect=frame.step[0] / frame.step[1],
        equal=settings.size_law == "equal",
        scatter=SCATTER[settings.size_law] or 1.0 / 3.0,
        find_centre=ready.centre_found or settings.find_centre,
        noise=(settings.read_noise / ready.gain) ** 2,
    )


def search(
    ready: Prepared, task: Task, settings: DensitySettings, rng: np.random.Generator
) -> tuple[Inversion, Task]:
    """Invert under the likeliest size law and centre; go on to the others until one is proved."""
    plan = (
        None
        if settings.effort == 1
        else Plan(24 * settings.effort, 3 * settings.effort, 16, settings.effort)
    )
    laws = [task.equal]
    if settings.size_law == "auto":
        equal, spread = (form_factor_fit(task, s)[2] for s in (0.0, task.scatter))
        laws = [True, False] if equal < spread else [False, True]
    centres = ready.candidates if ready.centre_found else [ready.centre]
    best: tuple[Inversion, Task] | None = None
    for centre in centres:
        for law in laws:
            trial = replace(task, centre=centre, equal=law)
            found = invert(trial, rng, plan)
            if best is None or _better(found, best[0]):
                best = found, trial
            if found.proved:
                return _release(*best)
    assert best is not None
    return best


def _better(found: Inversion, held: Inversion) -> bool:
    return (found.proved, -found.best.score) > (held.proved, -held.best.score)


def _release(inversion: Inversion, task: Task) -> tuple[Inversion, Task]:
    """Let the radii of a proved equal solution go, where the evidence asks for it."""
    if not task.equal:
        return inversion, task
    fit = inversion.best
    free = replace(fit.freedom, radii=True, scatter=task.scatter)
    loose = refine(fit.structure, collect(task), free, steps=8, fisher=True)
    if loose.score < fit.score - 2.0:
        inversion.fits[fit.structure.count] = loose
        inversion.proved = proved(loose)
        return inversion, replace(task, equal=False)
    return inversion, task


def moment_estimates(
    ready: Prepared,
    task: Task,
    rings: Rings,
    settings: DensitySettings,
    inversion: Inversion | None,
) -> dict[str, Any]:
    """Return contrast, speckle size and N from contrast and from I(0), with errors."""
    width = _width(inversion) or task.extent
    speckle = float(2.0 * np.pi / width)
    value, error, speckles = speckle_contrast(rings, speckle, 4.0 * np.pi / width)
    beta = settings.beta or 1.0
    n, low, high = number_from_contrast(value, error, beta)
    result: dict[str, Any] = {
        "speckle": speckle,
        "contrast": value,
        "contrast_error": error,
        "speckles": speckles,
        "n_contrast": (n, low, high),
    }
    cy, cx = (round(c) for c in task.centre)
    if (
        ready.open_pixels[cy, cx]
        and ready.open_pixels[max(cy - 1, 0) : cy + 2, max(cx - 1, 0) : cx + 2].all()
    ):
        radius, _, _ = form_factor_fit(task, 0.0 if task.equal else task.scatter)
        form = law_average(rings.radius, radius, 0.0 if task.equal else task.scatter)
        result["n_forward"] = number_from_forward(float(ready.image[cy, cx]), rings, form)
    return result


def _width(inversion: Inversion | None) -> float | None:
    if inversion is None or inversion.best.structure.count < 3:
        return None
    s = inversion.best.structure
    reach = max(float(np.ptp(s.y)), float(np.ptp(s.x))) + 2.0 * float(s.radius.mean())
    return max(reach, 0.3)


def _contrast_shares(moments: dict[str, Any], numbers: Floats, settings: DensitySettings) -> Floats:
    value, error = moments["contrast"], moments["contrast_error"]
    if not np.isfinite(error):
        return np.full(numbers.size, 1.0 / numbers.size)
    # rings share speckles and form factors vary: doubled; an unknown β lets any N pass below
    beta = settings.beta or 1.0
    log = -0.5 * ((value - beta * (1.0 - 1.0 / numbers)) / (2.0 * error + 0.02)) ** 2
    share = np.exp(log - log.max())
    return np.asarray(share / share.sum(), dtype=float)


def describe(solution: Solution, settings: DensitySettings, call: Call) -> Estimate:
    """Return the estimate: quantities, tables, flags, pictures."""
    estimate = Estimate("scattering density")
    estimate.flags += solution.ready.flags
    numbers, chance = solution.numbers, solution.posterior
    shown = {str(int(n)): float(p) for n, p in zip(numbers, chance, strict=True) if p > 1e-6}
    bands = tuple(Interval(level, *credible_set(numbers, chance, level)) for level in call.levels)
    estimate.quantities["disk_number"] = Quantity(
        solution.answer, "1", intervals=bands, probabilities=shown
    )
    _density(estimate, solution, settings, bands)
    _sizes(estimate, solution, call)
    moments = solution.moments
    estimate.quantities["speckle_contrast"] = (
        gaussian(moments["contrast"], moments["contrast_error"], "1", call.levels)
        if np.isfinite(moments["contrast_error"])
        else refused("1", "no open rings beyond the hole")
    )
    estimate.tables["estimators"] = _estimator_table(solution, call)
    estimate.diagnostics |= _diagnostics(solution)
    estimate.provenance |= {
        "references": REFERENCES,
        "model": "disks refined to the counts; " + POPULATION,
        "data": "no public measured speckle pattern of known density exists: all checks are on simulations",
    }
    _doubts(estimate, solution)
    _pictures(estimate, solution)
    return estimate


def _density(
    estimate: Estimate, solution: Solution, settings: DensitySettings, bands: tuple[Interval, ...]
) -> None:
    frame = solution.frame
    area = settings.area or frame.area
    missing = (
        [] if frame.calibrated else ["q per pixel (--q-step, or wavelength, distance and pixel)"]
    )
    if area is None:
        missing.append("the illuminated area (--area)")
    if area is None or not frame.calibrated:
        estimate.quantities["number_density"] = refused("1/px²", "missing: " + "; ".join(missing))
        estimate.flag(
            "density-refused", "no density without " + " and ".join(missing), "give what is missing"
        )
        return
    units = f"1/{frame.unit}²"
    estimate.quantities["number_density"] = Quantity(
        solution.answer / area,
        units,
        intervals=tuple(
            Interval(b.level, b.low / area, b.high / area)
            for b in bands
            if b.low is not None and b.high is not None
        ),
    )


def _sizes(estimate: Estimate, solution: Solution, call: Call) -> None:
    frame, fit = solution.frame, solution.fit
    if fit is None:
        for name, units in (("disk_radius", frame.unit), ("polydispersity_index", "1")):
            estimate.quantities[name] = refused(units, "the pattern was not inverted")
        return
    unit = frame.unit if frame.calibrated else "px"
    scale = 1.0 / frame.step[1]
    error = uncertainties(fit)
    radius = fit.structure.radius
    draws = radius + error["radius"] * call.rng("sizes", frame.index).standard_normal(
        (400, radius.size)
    )
    if not frame.calibrated:
        estimate.quantities["disk_radius"] = refused("px", "q per pixel is not known")
    elif fit.freedom.radii:
        estimate.quantities["disk_radius"] = from_samples(
            draws.mean(axis=1) * scale, unit, call.levels
        )
    else:
        estimate.quantities["disk_radius"] = gaussian(
            float(radius[0] * scale), float(error["radius"][0] * scale), unit, call.levels
        )
    if fit.freedom.radii:
        area = draws**2
        index = radius.size * (area**2).sum(axis=1) / area.sum(axis=1) ** 2
        estimate.quantities["polydispersity_index"] = from_samples(index, "1", call.levels)
    else:
        estimate.quantities["polydispersity_index"] = Quantity(
            1.0,
            "1",
            reason="one radius for all disks explains the counts; scatter below it is not resolved",
        )
    table = pd.DataFrame(
        {
            "x": fit.structure.x * scale,
            "y": fit.structure.y * scale,
            "radius": radius * scale,
            "x_sigma": error["x"] * scale,
            "y_sigma": error["y"] * scale,
            "radius_sigma": error["radius"] * scale,
        }
    )
    table.attrs["units"] = dict.fromkeys(table.columns, unit)
    estimate.tables["disks"] = table
    estimate.arrays["posterior"] = xr.DataArray(
        solution.posterior,
        dims=("number",),
        coords={"number": solution.numbers},
        attrs={"units": "1"},
    )


def _estimator_table(solution: Solution, call: Call) -> pd.DataFrame:
    rows = []
    for name, share in {**solution.parts, "combined": solution.posterior}.items():
        low, high = credible_set(solution.numbers, share, 0.95)
        rows.append(
            {
                "estimator": name,
                "number": int(solution.numbers[int(np.argmax(share))]),
                "probability": float(share.max()),
                "low_95": low,
                "high_95": high,
            }
        )
    if "n_forward" in solution.moments:
        n, sigma = solution.moments["n_forward"]
        rows.append(
            {
                "estimator": "forward intensity",
                "number": round(n),
                "probability": np.nan,
                "low_95": n - 2 * sigma,
                "high_95": n + 2 * sigma,
            }
        )
    return pd.DataFrame(rows)


def _diagnostics(solution: Solution) -> dict[str, Any]:
    task, moments = solution.task, solution.moments
    hole = task.radius[solution.ready.open_pixels].min()
    result: dict[str, Any] = {
        "photons_per_pixel": solution.ready.level,
        "centre": list(solution.inversion.centre if solution.inversion else task.centre),
        "centre_symmetry": solution.ready.symmetry,
        "speckle_size_px": moments["speckle"],
        "speckles": moments["speckles"],
        "oversampling": moments["speckle"],
        "hole_radius_speckles": float(hole / moments["speckle"]),
    }
    if solution.inversion is not None and solution.fit is not None:
        fit = solution.fit
        value, model = _residual(solution)
        result |= {
            "proved": solution.inversion.proved,
            "goodness_z": fit.goodness,
            "deviance": fit.deviance,
            "expected_deviance": fit.expected,
            "r_factor": float(np.abs(np.sqrt(value) - np.sqrt(model)).sum() / np.sqrt(value).sum()),
            "starts": solution.inversion.starts,
            "smallest_visible_area": solution.visible,
            "scores": {str(n): f.score for n, f in sorted(solution.inversion.fits.items())},
            "size_law": "equal" if not fit.freedom.radii else f"areas normal, {task.scatter:.2f}",
        }
    return result


def _residual(solution: Solution) -> tuple[Floats, Floats]:
    assert solution.fit is not None
    counts = collect(solution.task)
    values, _ = intensity(solution.fit.structure, counts)
    return np.maximum(counts.value, 0.0), counts.weight * values


def _doubts(estimate: Estimate, solution: Solution) -> None:
    inversion, top = solution.inversion, float(solution.posterior.max())
    if inversion is None and speckle_pixels(solution.task) < 2.0:
        estimate.flag(
            "undersampled",
            f"a speckle covers {speckle_pixels(solution.task):.1f} pixels; below 2 the pattern cannot be inverted",
            "a longer distance, smaller pixels or a smaller beam",
        )
    if inversion is not None and not inversion.proved:
        z = inversion.best.goodness
        estimate.flag(
            "not-proved",
            f"the disks found do not explain the counts (deviance {z:+.1f} standard deviations from its expectation)"
            if z >= 3.5
            else "the disks found overlap",
            "particles may not be disks, light may be partially coherent, or the structure too crowded: trust the interval, not the number",
        )
    if solution.ready.level < 0.3 and inversion is not None:
        estimate.flag(
            "few-photons",
            f"{solution.ready.level:.2f} photon per pixel: the goodness test has little power",
            "a longer exposure",
        )
    named = {
        k: int(solution.numbers[int(np.argmax(v))])
        for k, v in solution.parts.items()
        if v.max() > 0.9
    }
    if len(set(named.values())) > 1:
        said = ", ".join(f"{k} {v}" for k, v in named.items())
        estimate.flag(
            "estimators-disagree",
            f"the estimators disagree: {said}",
            "look at the table of estimators",
        )
    flat = 1.0 / solution.numbers.size
    if top < 3 * flat:
        estimate.flag(
            "no-information",
            "the posterior is no sharper than the prior: this pattern holds no information on the number",
            "a smaller beam stop or more photons",
        )


def _pictures(estimate: Estimate, solution: Solution) -> None:
    frame, fit = solution.frame, solution.fit
    unit = frame.unit if frame.calibrated else "rad/px"
    scale = 1.0 / frame.step[1] if frame.calibrated else 1.0
    layers = []
    model = None
    if fit is not None:
        s = fit.structure
        layers = pictures.circles(
            s.y * scale, s.x * scale, s.radius * scale, "disks found", "model"
        )
        model = _model_rings(solution)
    note = "Up to a shift and a rotation by 180°, which no pattern shows."
    if solution.inversion is not None and not solution.inversion.proved:
        note = "NOT PROVED: these disks do not explain the counts. " + note
    estimate.pictures.append(
        pictures.pattern_and_structure(
            solution.ready.image, solution.ready.open_pixels, layers, unit, note
        )
    )
    estimate.pictures.append(
        pictures.posterior(solution.numbers, solution.posterior, solution.parts)
    )
    q = solution.rings.radius * frame.step[1]
    estimate.pictures.append(
        pictures.rings(
            q,
            np.maximum(solution.rings.mean, 1e-4),
            model,
            solution.rings.contrast,
            1.0 - 1.0 / solution.answer,
            f"1/{unit}" if frame.calibrated else "px",
        )
    )


def _model_rings(solution: Solution) -> Floats:
    assert solution.fit is not None
    counts = collect(replace(solution.task, find_centre=True))
    values, _ = intensity(solution.fit.structure, counts)
    ring = np.rint(counts.radius).astype(np.int64)
    total, number = np.bincount(ring, weights=values), np.bincount(ring)
    return np.asarray(
        total[solution.rings.radius.astype(int)] / number[solution.rings.radius.astype(int)]
    )
