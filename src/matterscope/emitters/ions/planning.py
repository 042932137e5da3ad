"""Planning an array: from ion, films and mask to the number of sites for a wanted number of emitters.

In: the settings of `emitters plan`. Out: depth profiles, the film thickness with the best capture,
placement scatter, leak, and the dose–yield curve with the probability of exactly one emitter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import beta

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import (
    Estimate,
    InputRef,
    Interval,
    Quantity,
    from_samples,
    gaussian,
    refused,
)
from matterscope.emitters.ions import planning_pictures as pictures
from matterscope.emitters.ions.doses import plan_dose
from matterscope.emitters.ions.films import FilmScan, scan_film
from matterscope.emitters.ions.transport import (
    Beam,
    Implant,
    Layer,
    implant,
    parse_layers,
    stopping_known,
)
from matterscope.emitters.sites.statistics import sites_needed

if TYPE_CHECKING:
    from matterscope.emitters.settings import PlanSettings

REFERENCES = [
    "Biersack and Haggmark, Nucl. Instrum. Methods 174, 257 (1980)",
    "Ziegler, Ziegler and Biersack, Nucl. Instrum. Methods B 268, 1818 (2010)",
    "Lindhard and Scharff, Phys. Rev. 124, 128 (1961)",
]


def fraction(k: float, n: int, levels: tuple[float, ...]) -> Quantity:
    """Return the share k/n with Clopper–Pearson intervals; one-sided where k is 0 or n."""
    bands = []
    for level in levels:
        a = (1 - level) if k in (0, n) else (1 - level) / 2
        low = float(beta.ppf(a, k, n - k + 1)) if k > 0 else None
        high = float(beta.ppf(1 - a, k + 1, n - k)) if k < n else None
        bands.append(Interval(level, low, high))
    share = k / n
    return Quantity(
        share, "1", sigma=float(np.sqrt(max(share * (1 - share), 0) / n)), intervals=bands
    )


def plan_array(inputs: list[Input], settings: PlanSettings, call: Call) -> list[Estimate]:
    """Plan an implanted array of emitters: one estimate per ion energy.

    Parameters
    ----------
    inputs : list of Input
        None is needed.
    settings : PlanSettings
    call : Call
    """
    layers = parse_layers(settings.layers, settings.substrate)
    target = _target(layers, settings)
    answers = []
    for k, energy in enumerate(settings.energies):
        beam = Beam(
            settings.ion,
            energy,
            _energies(settings.displacement),
            True,
            settings.strict_replacement,
        )
        answers.append(_plan(beam, layers, target, settings, call))
        call.progress(k + 1, len(settings.energies), "energies")
    if len(answers) > 1:
        answers[0].pictures.append(pictures.against_energy(settings.energies, answers))
    return answers


def _target(layers: tuple[Layer, ...], settings: PlanSettings) -> int:
    names = [layer.name for layer in layers]
    if settings.target:
        if settings.target not in names:
            raise ConfigError(
                "the target is not in the stack", got=settings.target, expected=", ".join(names)
            )
        return names.index(settings.target)
    return len(layers) - (2 if settings.substrate else 1)


def _energies(entries: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for entry in entries:
        name, _, value = entry.replace(":", "=").partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(
                "a displacement energy is not written as ELEMENT=eV",
                got=repr(entry),
                expected="for example B=19.36",
            ) from None
    return found


def _plan(
    beam: Beam, layers: tuple[Layer, ...], target: int, settings: PlanSettings, call: Call
) -> Estimate:
    estimate = Estimate(
        "emitters plan", InputRef(f"{beam.ion} {beam.energy:g} keV", settings.layers)
    )
    found = implant(beam, layers, settings.ions, call, stream=f"plan {beam.energy:g}")
    _answer_ranges(estimate, found, target, call)
    estimate.pictures.append(pictures.depth(found, target, beam))
    if target > 0 and settings.scan:
        scan = scan_film(beam, layers, target, settings.ions, call)
        _answer_scan(estimate, scan, call)
        estimate.pictures.append(pictures.film(scan, layers[0].name, layers[target].name, beam))
    catching, site = _aperture(estimate, beam, layers, target, found, settings, call)
    if catching > 0:
        _answer_dose(estimate, catching, site, settings, call)
    else:
        estimate.flag(
            "nothing-stops",
            "no ion stopped in the target layer",
            "lower the energy or thin the film",
        )
    _flags(estimate, beam, (*layers, *(parse_layers(settings.mask) if settings.mask else ())))
    estimate.provenance = {
        "references": REFERENCES,
        "model": "binary collisions, ZBL potential, Lindhard–Scharff × measured factor",
        "settings": settings.model_dump(),
    }
    return estimate


def _answer_ranges(estimate: Estimate, found: Implant, target: int, call: Call) -> None:
    n = found.fate.size
    if found.stopped.sum() > 1:
        for name, (value, sigma) in found.ranges().items():
            estimate.quantities[name] = gaussian(value, sigma, "nm", call.levels)
    shares = {
        "stopped_fraction": found.captured(target).sum(),
        "backscattered_fraction": (found.fate == 1).sum(),
        "transmitted_fraction": (found.fate == 2).sum(),
    }
    for name, k in shares.items():
        estimate.quantities[name] = fraction(int(k), n, call.levels)
    broken = found.vacancies[:, target]
    sigma = float(broken.std(ddof=1) / np.sqrt(n))
    estimate.quantities["vacancies_per_ion"] = gaussian(
        float(broken.mean()), sigma, "1", call.levels
    )
    depth = 0.5 * (found.edges[1:] + found.edges[:-1])
    stops, _ = np.histogram(found.ends[found.stopped, 2], bins=found.edges)
    step = found.edges[1] - found.edges[0]
    for name, values in {
        "stopped_ions": stops / n / step,
        "vacancies": found.vacancy_profile / step,
    }.items():
        estimate.arrays[name] = xr.DataArray(
            values,
            dims="depth",
            coords={"depth": ("depth", depth, {"units": "nm"})},
            attrs={"units": "1/nm"},
        )
    estimate.diagnostics["energy_shares"] = dict(
        zip(
            ("electronic", "nuclear", "carried_out"), found.budget / found.budget.sum(), strict=True
        )
    )


def _answer_scan(estimate: Estimate, scan: FilmScan, call: Call) -> None:
    estimate.tables["film_scan"] = scan.table
    estimate.quantities["optimal_film_thickness"] = from_samples(scan.optimum, "nm", call.levels)
    estimate.quantities["optimal_stopped_fraction"] = from_samples(scan.best, "1", call.levels)
    estimate.diagnostics["film_scan_chi2_per_dof"] = scan.misfit
    first, last = float(scan.curve[0][0]), float(scan.curve[0][-1])
    ends = (scan.optimum <= first + 1e-9) | (scan.optimum >= last - 1e-9)
    if first > 0 and np.mean(ends) > 0.05:
        estimate.flag(
            "optimum-loose",
            f"the simulated ions do not settle the optimum: its interval reaches the end of the refined range, {first:.0f} to {last:.0f} nm",
            "more --ions",
        )
    elif np.mean(scan.optimum <= first + 1e-9) > 0.05:
        estimate.flag(
            "optimum-at-edge",
            "no film at all captures as much as the best film",
            "the energy is low for this film",
        )


def _aperture(
    estimate: Estimate,
    beam: Beam,
    layers: tuple[Layer, ...],
    target: int,
    blanket: Implant,
    settings: PlanSettings,
    call: Call,
) -> tuple[float, float]:
    """Return capturing and geometric area (cm²) of one site; answer placement scatter and leak."""
    diameter = settings.aperture_diameter
    site = np.pi / 4 * (diameter * 1e-7) ** 2
    caught = float(blanket.captured(target).mean())
    spread = blanket.ends[blanket.captured(target), :2]
    n = max(len(spread), 2)
    if not settings.mask:
        scatter = np.sqrt(np.mean(spread**2) + diameter**2 / 16) if len(spread) else np.nan
        estimate.quantities["placement_scatter"] = gaussian(
            float(scatter), float(scatter / np.sqrt(4 * n)), "nm", call.levels
        )
        estimate.quantities["mask_leak"] = refused(
            "1", "no mask was named: an ideal one is assumed"
        )
        return caught * site, site
    closed = parse_layers(settings.mask)[0]
    ranging = replace(beam, cascades=False)
    reach = implant(
        ranging, (replace(closed, thickness=1e4),), 1000, call, stream="mask range"
    ).ranges()
    margin = reach["projected_range"][0] + 2 * reach["range_straggle"][0]
    width = diameter + 2 * margin
    opened = (replace(closed, opening=diameter), *layers)
    through = implant(
        ranging, opened, 4 * settings.ions, call, entry_diameter=width, stream="aperture"
    )
    kept = through.captured(target + 1)
    where = through.ends[kept, :2]
    if len(where) > 1:
        scatter = float(np.sqrt(np.mean(where**2)))
        estimate.quantities["placement_scatter"] = gaussian(
            scatter, scatter / np.sqrt(4 * len(where)), "nm", call.levels
        )
        estimate.diagnostics["stopped_outside_opening"] = float(
            np.mean(np.hypot(*where.T) > diameter / 2)
        )
    solid = implant(ranging, (closed, *layers), 4 * settings.ions, call, stream="leak")
    leaked = int(solid.captured(target + 1).sum())
    estimate.quantities["mask_leak"] = fraction(leaked, solid.fate.size, call.levels)
    opaque = reach["projected_range"][0] + 3.72 * reach["range_straggle"][0]
    estimate.quantities["mask_opacity_thickness"] = Quantity(
        float(opaque),
        "nm",
        reason="Rp + 3.72 ΔRp, a Gaussian tail: an estimate of where 1e-4 leak through",
    )
    if leaked / solid.fate.size > 1e-3:
        estimate.flag(
            "mask-leaks",
            f"{leaked} of {solid.fate.size} ions pass the closed mask",
            f"a mask of about {opaque:.0f} nm stops all but 1e-4",
        )
    return float(kept.mean()) * np.pi / 4 * (width * 1e-7) ** 2, site


def _answer_dose(
    estimate: Estimate, catching: float, site: float, settings: PlanSettings, call: Call
) -> None:
    spread = np.log1p(settings.conversion_yield_scatter**2) ** 0.5
    draws = call.rng("conversion yield").standard_normal(2000)
    yields = np.minimum(settings.conversion_yield * np.exp(spread * draws), 1.0)
    native = settings.native_density * 1e8
    plan = plan_dose(catching, site, yields, native, settings.aperture_scatter, settings.dose)
    estimate.quantities["best_dose"] = from_samples(plan.best, "1/cm²", call.levels)
    estimate.quantities["emitters_per_site"] = from_samples(plan.mean_number, "1", call.levels)
    estimate.quantities["single_probability"] = from_samples(plan.single, "1", call.levels)
    single = float(plan.single.mean())
    needed = sites_needed(single, settings.wanted_singles, settings.confidence)
    bands = [
        Interval(
            level,
            *(
                float(
                    sites_needed(
                        float(np.quantile(plan.single, q)),
                        settings.wanted_singles,
                        settings.confidence,
                    )
                )
                for q in (0.5 + level / 2, 0.5 - level / 2)
            ),
        )
        for level in call.levels
    ]
    estimate.quantities["sites_needed"] = Quantity(needed, "1", intervals=bands)
    names = ["dose", "none", "single", "several", "single_low", "single_high"]
    table = pd.DataFrame(
        dict(
            zip(names, [plan.doses, *plan.numbers, plan.single_low, plan.single_high], strict=True)
        )
    )
    table.attrs["units"] = dict.fromkeys(names, "1") | {"dose": "1/cm²"}
    estimate.tables["dose_yield"] = table
    estimate.diagnostics["chosen_dose"] = plan.chosen
    estimate.diagnostics["ions_per_site"] = plan.chosen * site
    estimate.pictures.append(pictures.dose_yield(plan, settings))


def _flags(estimate: Estimate, beam: Beam, layers: tuple[Layer, ...]) -> None:
    estimate.flag(
        "amorphous",
        "amorphous target: no channelling",
        "tilt a crystalline flake by about 7° off its axis",
    )
    loose = sorted({layer.name for layer in layers if not stopping_known(beam.ion, layer)})
    if loose:
        estimate.flag(
            "stopping-not-checked",
            f"the electronic stopping of {beam.ion} in {', '.join(loose)} is Lindhard–Scharff without a measured factor",
            "expect ranges to be off by 10–30 % there",
        )
