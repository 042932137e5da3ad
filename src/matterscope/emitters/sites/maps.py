"""A map of an array: where the emitters are, which site holds how many, and what yield that means.

In: a raster scan in counts, or in counts per second with its dwell time. Out: sites with errors, the
registered lattice, per site the probability of 0, 1 and more emitters, and the conversion yield.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import SchemaError
from matterscope.core.estimates import Estimate, InputRef, Quantity, from_samples, gaussian, refused
from matterscope.emitters.sites import map_pictures as pictures
from matterscope.emitters.sites.arrays import (
    Registration,
    Sites,
    native_density,
    none_one_several,
    occupation,
    register,
)
from matterscope.emitters.sites.detection import Found, find_sites
from matterscope.io import measurements

if TYPE_CHECKING:
    from matterscope.emitters.settings import MapSettings

Floats = NDArray[np.float64]
COUNTS = 600
"""Draws of the number of sites with none, one and several emitters."""
REFERENCES = [
    "Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995)",
    "Adler, The Geometry of Random Fields (1981)",
]


def analyse_map(inputs: list[Input], settings: MapSettings, call: Call) -> list[Estimate]:
    """Analyse confocal maps: one estimate a map."""
    return [
        describe(data, given, settings, call)
        for given in inputs
        for data in measurements(given, "map")
    ]


def describe(data: xr.Dataset, given: Input, settings: MapSettings, call: Call) -> Estimate:
    """Return the estimate of one map."""
    source = data.attrs.get("source") or {}
    estimate = Estimate(
        "emitters map",
        InputRef(given.source, str(source.get("selector") or given.selector), given.sha256),
    )
    counts = _counts(estimate, data, settings)
    step = float(np.median(np.diff(data["x"].values))) if data.sizes["x"] > 1 else 1.0
    found = find_sites(
        counts, settings.spot / step if settings.spot else None, settings.false_share
    )
    _answer_sites(estimate, found, data, step, call)
    points = found.sites[["x", "y"]].to_numpy()
    reach = settings.reach / step if settings.reach else max(3.0, 1.6 * found.spot)
    rows_columns = (settings.rows, settings.columns) if settings.rows and settings.columns else None
    array = register(points, counts.shape, reach, rows_columns) if settings.lattice else None
    if array is None:
        estimate.quantities["pitch"] = refused(
            str(data["x"].attrs["units"]), "the sites form no lattice"
        )
        estimate.pictures.append(pictures.sites(counts, data, found, None, None))
    else:
        occupied = occupation(
            counts, found, array, settings.aperture_scatter, call.rng("occupation")
        )
        _answer_array(estimate, found, array, occupied, data, step, call)
        _answer_yield(
            estimate, occupied, settings, step if data["x"].attrs["units"] == "µm" else None, call
        )
        estimate.pictures.append(pictures.sites(counts, data, found, array, occupied.law))
        estimate.pictures.append(pictures.brightness(occupied))
    estimate.provenance = {
        "references": REFERENCES,
        "model": "matched filter with false-discovery rate; lognormal mixture over numbers",
        "settings": settings.model_dump(),
    }
    return estimate


def _counts(estimate: Estimate, data: xr.Dataset, settings: MapSettings) -> Floats:
    """Return the map in counts; a rate needs its dwell time, the scanner's clock, or its steps."""
    values = np.asarray(data["counts"].values, dtype=float)
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        raise SchemaError(
            "the map is empty",
            where=str((data.attrs.get("source") or {}).get("uri", "")),
            got="no positive count",
        )
    if min(values.shape) < 12:
        raise SchemaError("a map needs at least 12 × 12 pixels", got=values.shape)
    saturated = (data.attrs.get("vendor") or {}).get("saturated_pixels")
    if saturated:
        values = np.where(values >= np.nanmax(values), np.nan, values)
        estimate.flag(
            "saturated",
            f"{saturated} saturated pixels are left out",
            "lower the power or the dwell time",
        )
    lost = ~np.isfinite(np.asarray(data["counts"].values, dtype=float))
    if lost.any():
        row, column = (int(i[0]) for i in np.nonzero(lost))
        estimate.flag(
            "not-a-number",
            f"{int(lost.sum())} pixels hold no number and are left out, the first at row {row}, column {column}",
            "look at the file there",
        )
    rates = data["counts"].attrs["units"] == "counts/s" or settings.dwell is not None
    finite = values[np.isfinite(values)]
    if not rates and np.array_equal(finite, np.rint(finite)) and _step_of(finite) < 1.5:
        return values
    return values * _dwell(estimate, data, values, settings)


def _step_of(values: Floats) -> float:
    """Return the step of which all values are multiples, 0 where there is none."""
    steps = np.diff(np.unique(np.round(values, 6)))
    quantum = float(steps.min()) if steps.size else 1.0
    whole = np.abs(values / quantum - np.rint(values / quantum)) < 1e-3
    return quantum if quantum > 0 and np.mean(whole) > 0.999 else 0.0


def _dwell(estimate: Estimate, data: xr.Dataset, values: Floats, settings: MapSettings) -> float:
    """Return the time per pixel, s: as given, of the scanner's clock, from the steps, or from the noise."""
    clock = data.attrs.get("clock_rate")
    dwell = settings.dwell or (1 / float(clock) if clock else None)
    if dwell is not None:
        return dwell
    what = (
        "the map is a rate without a dwell time"
        if data["counts"].attrs["units"] == "counts/s"
        else "the map's numbers are no counts, and no dwell time is given"
    )
    quantum = _step_of(values[np.isfinite(values)])
    if quantum:
        estimate.flag(
            "dwell-inferred",
            f"{what}; its steps of {quantum:g} per second say {1e3 / quantum:.3g} ms a pixel",
            "give --dwell",
        )
        return 1 / quantum
    estimate.flag(
        "dwell-unknown", f"{what}; its noise is taken from neighbouring pixels", "give --dwell"
    )
    # half of the variance of neighbours over the mean is what one count stands for
    return float(np.nanmedian(values)) / max(float(np.nanvar(np.diff(values, axis=1)) / 2), 1e-9)


def _place(values: Floats, data: xr.Dataset, axis: str) -> Floats:
    """Return pixel positions as coordinates of the map."""
    return np.asarray(np.interp(values, np.arange(data.sizes[axis]), data[axis].values))


def _answer_sites(
    estimate: Estimate, found: Found, data: xr.Dataset, step: float, call: Call
) -> None:
    units = str(data["x"].attrs["units"])
    s = found.sites
    table = pd.DataFrame(
        {
            "x": _place(s["x"].to_numpy(), data, "x"),
            "x_sigma": s["x_sigma"] * step,
            "y": _place(s["y"].to_numpy(), data, "y"),
            "y_sigma": s["y_sigma"] * step,
            "height": s["height"],
            "height_sigma": s["height_sigma"],
            "significance": s["significance"],
            "probability": s["probability"],
        }
    )
    table.attrs["units"] = {
        "x": units,
        "x_sigma": units,
        "y": units,
        "y_sigma": units,
        "height": "counts",
        "height_sigma": "counts",
        "significance": "1",
        "probability": "1",
    }
    estimate.tables["sites"] = table
    false = float((1 - s["probability"]).sum())
    draws = len(s) - call.rng("false sites").poisson(false, 2000)
    estimate.quantities["sites_found"] = from_samples(np.maximum(draws, 0), "1", call.levels)
    estimate.quantities["spot_width"] = Quantity(
        found.spot * step,
        units,
        reason="standard deviation of the spots, from their heights behind two filters",
    )
    estimate.diagnostics |= {
        "excess_noise": found.excess_noise,
        "threshold_significance": found.threshold,
        "sites": len(s),
    }
    if found.excess_noise > 1.3:
        estimate.flag(
            "excess-noise",
            f"the map scatters {found.excess_noise:.1f} times more than counting noise; errors include it",
            "check laser power and drift",
        )
    if not len(s):
        estimate.flag(
            "no-sites", "no site stands out of the noise", "measure longer, or give --spot"
        )


def _answer_array(
    estimate: Estimate,
    found: Found,
    array: Registration,
    sites: Sites,
    data: xr.Dataset,
    step: float,
    call: Call,
) -> None:
    units, lattice = str(data["x"].attrs["units"]), array.lattice
    error = np.sqrt(np.diag(lattice.covariance))
    pitch = lattice.pitch
    estimate.quantities["pitch"] = gaussian(
        float(pitch.mean()) * step,
        float(np.hypot(error[1], error[5]) / 2 * step),
        units,
        call.levels,
    )
    angle = np.rad2deg(np.arctan2(lattice.vectors[0, 1], lattice.vectors[0, 0]))
    estimate.quantities["lattice_rotation"] = gaussian(
        float(angle), float(np.rad2deg(error[4] / pitch[0])), "deg", call.levels
    )
    estimate.quantities["placement_scatter"] = gaussian(
        lattice.scatter * step,
        lattice.scatter * step / np.sqrt(4 * max((array.detected >= 0).sum(), 1)),
        units,
        call.levels,
    )
    law = sites.law
    classes = law.classes
    table = pd.DataFrame(
        {
            "first": array.nodes[:, 0],
            "second": array.nodes[:, 1],
            "x": _place(array.places[:, 0], data, "x"),
            "y": _place(array.places[:, 1], data, "y"),
            "height": sites.heights,
            "height_sigma": sites.sigma,
            "none": classes[:, 0],
            "single": classes[:, 1],
            "several": classes[:, 2],
        }
    )
    table.attrs["units"] = {
        "first": "1",
        "second": "1",
        "x": units,
        "y": units,
        "height": "counts",
        "height_sigma": "counts",
        "none": "1",
        "single": "1",
        "several": "1",
    }
    estimate.tables["array"] = table
    rng = call.rng("site classes")
    # the law is the same for all sites: each count belongs to one draw of it
    laws = none_one_several(law.drawn)
    picked = laws[np.arange(COUNTS) % len(laws)].cumsum(axis=2)
    drawn = (picked < rng.random((COUNTS, len(classes), 1))).sum(axis=2)
    for k, name in enumerate(("empty_sites", "single_sites", "multiple_sites")):
        estimate.quantities[name] = from_samples((drawn == k).sum(axis=1), "1", call.levels)
    estimate.quantities["emitters_per_site"] = from_samples(law.mean_number, "1", call.levels)
    estimate.quantities["single_brightness"] = from_samples(law.brightness, "counts", call.levels)
    estimate.quantities["brightness_scatter"] = from_samples(law.spread, "1", call.levels)
    estimate.diagnostics |= {
        "lattice_share": lattice.share,
        "off_lattice_sites": array.off_lattice.size,
        "null_offset": sites.null_offset,
        "null_scale": sites.null_scale,
        "pitch_difference": float(abs(pitch[0] - pitch[1]) * step),
        "effective_draws": law.effective,
    }
    if float(np.median(law.brightness)) < 4 * float(np.median(sites.sigma)):
        estimate.flag(
            "dim",
            "one emitter is less than four standard deviations high: the classes lean on the assumed brightness law",
            "measure longer",
        )
    # native emitters between the sites
    low, high = array.places.min(axis=0), array.places.max(axis=0)
    between = found.sites.iloc[array.off_lattice]
    inside = ((between[["x", "y"]].to_numpy() > low) & (between[["x", "y"]].to_numpy() < high)).all(
        axis=1
    )
    taken = np.pi * max(3.0, 1.6 * found.spot) ** 2 * len(array.nodes)
    area = max(float(np.prod(high - low)) - taken, 0.05 * float(np.prod(high - low)))
    heights = np.sort(found.sites["height"])
    seen = float(
        np.mean(
            np.exp(np.median(np.log(law.brightness)) + 0.25 * rng.standard_normal(500))
            > (heights[0] if heights.size else 0)
        )
    )
    density = native_density(int(inside.sum()), area, seen, rng)
    estimate.quantities["native_density"] = from_samples(
        density / step**2, f"1/{units}²" if units == "µm" else "1", call.levels
    )
    estimate.arrays["native_density_draws"] = xr.DataArray(
        density, dims="draw", attrs={"units": "1"}
    )
    estimate.diagnostics["native_seen"] = {"sites": int(inside.sum()), "area_px2": area}


def _answer_yield(
    estimate: Estimate, sites: Sites, settings: MapSettings, step: float | None, call: Call
) -> None:
    """Answer the conversion yield ε = (λ − ρ·A_merge)/(Φ·A·f); native ones near a site count as its own."""
    natives = estimate.arrays.pop("native_density_draws").values
    merged = np.pi * 9.0  # px²: closer than three pixels they are one site
    implanted = np.maximum(sites.law.mean_number - natives * merged, 0.0)
    if settings.ions_per_site is None:
        estimate.quantities["conversion_yield"] = refused(
            "1", "the number of ions per site is not given"
        )
        return
    draws = implanted / (settings.ions_per_site * settings.stopped_fraction)
    estimate.quantities["conversion_yield"] = from_samples(draws, "1", call.levels)
    estimate.diagnostics["native_share"] = float(
        np.median(natives) * merged / max(float(np.median(sites.law.mean_number)), 1e-9)
    )
