"""Description: an answer for a solved frame, with quantities, tables, doubts and pictures.

In: a solved frame and the settings. Out: an estimate. What is not known is refused with its reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.estimates import (
    Estimate,
    Interval,
    Quantity,
    from_samples,
    gaussian,
    refused,
)
from matterscope.scattering import pictures
from matterscope.scattering.inversion import FEWEST, PROVED, explains
from matterscope.scattering.levelling import collect
from matterscope.scattering.posterior import credible_set
from matterscope.scattering.refinement import intensity, uncertainties

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings
    from matterscope.scattering.solution import Solution

Floats = NDArray[np.float64]
REFERENCES = [
    "arXiv 2211.08194, Comput. Mater. Sci. 2023",
    "Buerger, Vector Space (Wiley, 1959): superposition of the Patterson function",
    "Goodman, Speckle Phenomena in Optics (2007): contrast of N phasors",
]
POPULATION = "no trained range: the inversion fits disks to the counts of this pattern"


def describe(solution: Solution, settings: DensitySettings, call: Call) -> Estimate:
    """Return the estimate: quantities, tables, flags, pictures."""
    estimate = Estimate("scattering density")
    estimate.flags += solution.ready.flags
    if solution.frame.marked:
        share = solution.frame.marked / solution.frame.counts.size
        estimate.flag(
            "marked-pixels",
            f"{solution.frame.marked} pixels ({share:.1%}) hold a mark of the detector instead of counts; they were masked",
            "none needed",
        )
    numbers, chance = solution.numbers, solution.posterior
    shown = {str(int(n)): float(p) for n, p in zip(numbers, chance, strict=True) if p > 1e-6}
    bands = tuple(Interval(level, *credible_set(numbers, chance, level)) for level in call.levels)
    estimate.quantities["disk_number"] = Quantity(
        solution.answer, "1", intervals=bands, probabilities=shown
    )
    _density(estimate, solution, settings, bands, call)
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
    estimate: Estimate,
    solution: Solution,
    settings: DensitySettings,
    bands: tuple[Interval, ...],
    call: Call,
) -> None:
    frame = solution.frame
    area = settings.area or frame.area
    missing = (
        [] if frame.calibrated else ["q per pixel (--q-step, or wavelength, distance and pixel)"]
    )
    if area is None:
        missing.append("the illuminated area (--area)")
    if area is None or not frame.calibrated:
        unit = frame.unit if frame.calibrated else "px"
        estimate.quantities["number_density"] = refused(
            f"1/{unit}²", "missing: " + "; ".join(missing)
        )
        estimate.flag(
            "density-refused", "no density without " + " and ".join(missing), "give what is missing"
        )
        return
    units = f"1/{frame.unit}²"
    if settings.area_error > 0:
        rng = call.rng("area", frame.index)
        number = rng.choice(solution.numbers, 4000, p=solution.posterior)
        sizes = area * np.maximum(1.0 + settings.area_error * rng.standard_normal(4000), 0.05)
        estimate.quantities["number_density"] = from_samples(number / sizes, units, call.levels)
        return
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
            "proved": solution.verdict == "proved",
            "verdict": solution.verdict,
            "power": {
                "structure": solution.power.structure,
                "smallest_disk": solution.power.smallest,
                "no_further_disk": solution.power.further,
            },
            "goodness_z": fit.goodness,
            "deviance": fit.deviance,
            "expected_deviance": fit.expected,
            "r_factor": float(np.abs(np.sqrt(value) - np.sqrt(model)).sum() / np.sqrt(value).sum()),
            "starts": solution.inversion.starts,
            "smallest_visible_area": solution.power.visible,
            "scores": {str(n): f.score for n, f in sorted(solution.inversion.fits.items())},
            "size_law": "equal" if not fit.freedom.radii else f"areas normal, {task.scatter:.2f}",
        }
    return result


def _residual(solution: Solution) -> tuple[Floats, Floats]:
    assert solution.fit is not None
    counts = collect(solution.task)
    values, _ = intensity(solution.fit.structure, counts)
    return np.maximum(counts.value, 0.0), counts.weight * values


def _doubt_inversion(estimate: Estimate, solution: Solution) -> None:
    """Say why a pattern was not inverted, or why what was found is not believed."""
    inversion, inner = solution.inversion, int(solution.task.inner.sum())
    if inversion is None:
        if solution.speckle_pixels < 2.0:
            estimate.flag(
                "undersampled",
                f"a speckle covers {solution.speckle_pixels:.1f} pixels; below 2 the pattern cannot be inverted, and pixels wider than speckles lower the contrast: it gives a lower limit of the number",
                "a longer distance, smaller pixels or a smaller beam; --beta where the contrast of a known sample is known",
            )
        if inner < FEWEST:
            estimate.flag(
                "hole-too-large",
                f"only {inner} pixels of the inner pattern are open, {FEWEST} are needed to invert it",
                "a smaller beam stop, or more of the detector",
            )
        return
    if inversion.explained:
        return
    z = inversion.best.goodness
    if z >= PROVED:
        reason = f"do not explain the counts (deviance {z:+.1f} standard deviations from its expectation)"
    elif explains(inversion.best):
        reason = "explain the counts, but no second start led to them: with so few photons others might too"
    else:
        reason = "overlap"
    estimate.flag(
        "not-proved",
        f"the disks found {reason}",
        "particles may not be disks, light may be partially coherent, or the structure too crowded: trust the interval, not the number",
    )


def _doubts(estimate: Estimate, solution: Solution) -> None:
    _doubt_inversion(estimate, solution)
    inversion, top = solution.inversion, float(solution.posterior.max())
    contrast, error = solution.moments["contrast"], solution.moments["contrast_error"]
    if solution.task.blur > 0 and solution.inversion is not None and solution.inversion.explained:
        length = 1.0 / (solution.task.blur * solution.frame.step[1])
        estimate.flag(
            "partially-coherent",
            f"the light is partially coherent: the disks explain the counts with a coherence length of {length:.4g} {solution.frame.unit if solution.frame.calibrated else 'px'}",
            "none needed; a smaller source sharpens the speckle",
        )
    elif inversion is not None and contrast + 3 * error < 0.9 * (1.0 - 1.0 / solution.answer):
        estimate.flag(
            "low-contrast",
            f"the speckle contrast² is {contrast:.2f} ± {error:.2f}, below 1 − 1/N: the light may be partially coherent",
            "give the contrast of a known sample with --beta",
        )
    if solution.verdict == "likely":
        estimate.flag(
            "likely",
            f"the disks found explain the counts, but are not proved: {solution.power.weakest}",
            "read the interval; more photons or a smaller beam stop decide it",
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
    for opinion in solution.opinions:
        if not opinion.inside:
            estimate.flag(
                "outside-population",
                f"the classifier {opinion.name} was not used: {opinion.doubt}",
                f"it was trained on {opinion.population}; scattering train makes one for this set-up",
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
        error = uncertainties(fit)
        reach = 2.0 * np.sqrt(error["radius"] ** 2 + 0.5 * (error["y"] ** 2 + error["x"] ** 2))
        if (reach > 0.02 * s.radius).any():
            rim = (s.radius + reach) * scale
            layers += pictures.circles(s.y * scale, s.x * scale, rim, "two errors beyond", "band")
        model = _model_rings(solution)
    note = "Up to a shift and a rotation by 180°, which no pattern shows."
    if solution.inversion is not None and not solution.inversion.explained:
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
