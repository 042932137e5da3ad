"""A spectrum of an emitter: cosmic rays, jumps, the zero-phonon line, its width against kT.

In: one or more frames of photoluminescence over wavelength or energy. Out: one estimate a spectrum:
centre, deconvolved width, Debye–Waller factor, whether the line is a zero-phonon line, and whether
its width is thermal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, from_samples, refused
from matterscope.core.units import HC
from matterscope.emitters.lines import spectra_pictures as pictures
from matterscope.emitters.lines.cosmics import NARROWEST
from matterscope.emitters.lines.frames import Frames, brightest, clean, combine
from matterscope.emitters.lines.zero_phonon import (
    KT_PER_K,
    Light,
    Line,
    Share,
    find_line,
    fit_line,
    thermal_verdict,
    zero_phonon_share,
)
from matterscope.io import measurements

if TYPE_CHECKING:
    from matterscope.emitters.settings import SpectrumSettings

Floats = NDArray[np.float64]
REFERENCES = [
    "Olivero and Longbothum, J. Quant. Spectrosc. Radiat. Transfer 17, 233 (1977)",
    "Alkauskas et al., New J. Phys. 16, 073026 (2014)",
]


def analyse_spectrum(inputs: list[Input], settings: SpectrumSettings, call: Call) -> list[Estimate]:
    """Analyse photoluminescence spectra: one estimate for each spectrum or stack of frames."""
    options = {"laser": settings.laser} if settings.laser else {}
    return [
        describe(data, given, settings, call)
        for given in inputs
        for data in measurements(given, "emission", **options)
    ]


def describe(data: xr.Dataset, given: Input, settings: SpectrumSettings, call: Call) -> Estimate:
    """Return the estimate of one spectrum."""
    source = data.attrs.get("source") or {}
    ref = InputRef(given.source, str(source.get("selector") or given.selector), given.sha256)
    estimate = Estimate("emitters spectrum", ref)
    frames = clean(data, settings)
    estimate.quantities["cosmic_pixels"] = Quantity(
        int(frames.cosmics.sum()), "1", reason="a count of masked pixels"
    )
    _data_flags(estimate, data, frames)
    _jumps(estimate, frames)
    group = brightest(frames)
    light = combine(frames, group)
    estimate.diagnostics["frames_used"] = np.flatnonzero(frames.groups == group)
    top, wide = find_line(light)
    step = float(light.edges[top + 1] - light.edges[top])
    struck = frames.counts[frames.cosmics]
    if len(frames.counts) == 1 and struck.size and struck.max() > light.counts[top]:
        estimate.flag(
            "sharp-line",
            "the highest pixel is sharper than the spectrometer's response and was taken for a cosmic ray",
            "record two frames, or give --instrument-pixels if the spectrometer is that sharp",
        )
    if _significance(light, top, wide) < 5:
        estimate.quantities["zpl_energy"] = refused("eV", "no line stands out of the noise")
        estimate.flag(
            "no-line",
            "no line stands out of the noise by five standard deviations",
            "measure longer",
        )
        estimate.pictures.append(pictures.raw(light, frames))
        return estimate
    instrument = _instrument(settings, step, light.energy[top])
    line = fit_line(light, instrument, call.rng("line"))
    share = zero_phonon_share(light, line, call.rng("sideband"))
    _answer_line(estimate, light, line, settings, call)
    _answer_share(estimate, share, settings, call)
    _answer_sideband_test(estimate, light, line, share)
    _arrays(estimate, frames, light, line)
    estimate.pictures.append(pictures.decomposition(light, line, share))
    if len(frames.counts) > 1:
        estimate.pictures.append(pictures.frames(frames))
    estimate.provenance = {
        "references": REFERENCES,
        "model": "pixel-integrated Voigt ⊗ instrument",
        "settings": settings.model_dump(),
    }
    return estimate


def _significance(light: Light, top: int, wide: float) -> float:
    """Return how far the line stands above the median, in standard errors of up to nine of its pixels."""
    half = int(min(wide, 9.0)) // 2
    part = slice(max(top - half, 0), top + half + 1)
    middle = float(np.median(light.counts[light.good]))
    error = float(np.sqrt(light.variance(np.array([middle]))[0] / light.counts[part].size))
    return (float(light.counts[part].mean()) - middle) / error


def _instrument(settings: SpectrumSettings, step: float, energy: float) -> float:
    """Return the instrument's full width, eV."""
    if settings.instrument_width is not None:
        return settings.instrument_width * energy**2 / HC  # nm → eV
    return (settings.instrument_pixels or NARROWEST) * step


def _jumps(estimate: Estimate, frames: Frames) -> None:
    rows = []
    index = np.arange(frames.counts.shape[1])
    for f, seen in enumerate(frames.counts):
        known = ~(frames.cosmics | frames.lost)[f]
        counts = np.interp(index, index[known], seen[known])
        light = Light(
            frames.edges,
            counts,
            frames.noise.read,
            frames.noise.offset,
            frames.noise.gain,
            ~frames.left_out[f],
        )
        top, _ = find_line(light)
        part = slice(max(top - 2, 0), top + 3)
        weight = np.maximum(counts[part] - np.median(counts), 0) * light.good[part]
        centre = (
            float(np.average(light.energy[part], weights=weight))
            if weight.sum() > 0
            else float(light.energy[top])
        )
        rows.append(
            (
                f,
                centre,
                HC / centre,
                float(counts[top] - np.median(counts)),
                int(frames.groups[f]),
                int(frames.cosmics[f].sum()),
            )
        )
    table = pd.DataFrame(
        rows,
        columns=["frame", "line_energy", "line_wavelength", "height", "group", "cosmic_pixels"],
    )
    table.attrs["units"] = {
        "frame": "frame",
        "line_energy": "eV",
        "line_wavelength": "nm",
        "height": "counts",
        "group": "1",
        "cosmic_pixels": "1",
    }
    estimate.tables["frames"] = table
    jumps = int(np.count_nonzero(np.diff(frames.groups)))
    if len(rows) > 1:
        estimate.quantities["line_jumps"] = Quantity(
            jumps, "1", reason="a count of changes between groups of like frames"
        )
    if jumps:
        estimate.flag(
            "line-jumps",
            f"the spectrum changes {jumps} times among {int(frames.groups.max()) + 1} shapes; only the brightest group of frames is analysed",
            "the table 'frames' holds every frame",
        )


def _answer_line(
    estimate: Estimate, light: Light, line: Line, settings: SpectrumSettings, call: Call
) -> None:
    q = estimate.quantities
    q["zpl_energy"] = from_samples(line.centre, "eV", call.levels)
    q["zpl_wavelength"] = from_samples(HC / line.centre, "nm", call.levels)
    step = float(np.median(np.diff(light.edges[line.window.start : line.window.stop + 1])))
    pixels = line.best[1] / step
    q["zpl_width_observed"] = from_samples(1e3 * line.observed, "meV", call.levels)
    if pixels < 2.0:
        bands = [
            Interval(level, None, float(np.quantile(1e3 * line.observed, level)))
            for level in call.levels
        ]
        q["zpl_width"] = Quantity(1e3 * line.best[0], "meV", intervals=bands)
        estimate.flag(
            "instrument-limited",
            f"the line is {pixels:.1f} pixels wide: the width is the spectrometer's, the line's own is below it",
            "use a finer grating or an interferometer",
        )
    else:
        q["zpl_width"] = from_samples(1e3 * line.width, "meV", call.levels)
    q["lorentz_fraction"] = from_samples(line.share, "1", call.levels)
    ratio = None
    if settings.temperature is not None:
        draws = line.width / (KT_PER_K * settings.temperature)
        q["width_over_kt"] = _width_over_kt(draws, pixels < 2.0, call)
        ratio = (float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975)))
    verdict, why = thermal_verdict(ratio, pixels, 1 - float(np.median(line.share)))
    q["thermal_verdict"] = Quantity(verdict, "1", reason=why)
    estimate.diagnostics |= {
        "chi2_per_dof": line.misfit,
        "pixels_per_width": pixels,
        "line_counts": float(np.median(line.area)),
    }
    if not line.converged:
        estimate.flag(
            "not-converged", "the line fit had not settled", "look at the picture; narrow the range"
        )
    if line.misfit > 3:
        estimate.flag(
            "poor-fit",
            f"χ² per degree of freedom of the line is {line.misfit:.1f}; errors were scaled by its root; {_misfit_words(light, line)}",
            "the line is not one Voigt profile, or it moved during the exposure",
        )


def _misfit_words(light: Light, line: Line) -> str:
    """Say what a symmetric line leaves over: light on one side of it, or where the largest residual stands."""
    part = line.window
    energy, gap = light.energy[part], light.counts[part] - line.model
    centre, _, _, area = line.shape
    # a band beyond the line's own top, as wide on either side
    near = max(1.5 * line.best[1], 2.0 * float(np.median(np.diff(light.edges))))
    reach = min(float(energy[-1]) - centre, centre - float(energy[0]), 12.0 * near)
    beside = {
        side: (side * (energy - centre) > near) & (side * (energy - centre) < reach)
        for side in (-1, 1)
    }
    light_of = {
        side: float(np.sum((light.counts[part] - line.base)[at & light.good[part]]))
        for side, at in beside.items()
    }
    extra = light_of[-1] - light_of[1]
    if abs(extra) > 0.03 * area:
        side = "below" if extra > 0 else "above"
        why = " (phonons of low energy merge with the line)" if extra > 0 else ""
        return (
            f"within {1e3 * reach:.1f} meV there is more light {side} the line than on its other side, "
            f"{abs(extra) / area:.0%} of the line's{why}, which a symmetric line does not have"
        )
    worst = int(np.argmax(np.abs(gap) * light.good[part]))
    return f"the largest residual stands {1e3 * (energy[worst] - centre):+.1f} meV from its centre"


def _width_over_kt(draws: Floats, bound: bool, call: Call) -> Quantity:
    if not bound:
        return from_samples(draws, "1", call.levels)
    bands = [Interval(level, None, float(np.quantile(draws, level))) for level in call.levels]
    return Quantity(float(np.median(draws)), "1", intervals=bands)


def _answer_share(estimate: Estimate, share: Share, settings: SpectrumSettings, call: Call) -> None:
    if float(estimate["zpl_width_observed"].value or 0) > 100:
        why = "the band is wider than 100 meV: no zero-phonon line is resolved"
        estimate.quantities["debye_waller"] = refused("1", why)
        estimate.flag("broad-band", why, "cool the sample")
        return
    draws = share.debye_waller
    factors = np.abs(np.log(np.clip(draws, 1e-6, 1)))
    q = estimate.quantities
    if share.bound:
        upper = [Interval(level, None, float(np.quantile(draws, level))) for level in call.levels]
        lower = [
            Interval(level, float(np.quantile(factors, 1 - level)), None) for level in call.levels
        ]
        q["debye_waller"] = Quantity(float(np.median(draws)), "1", intervals=upper)
        q["huang_rhys"] = Quantity(float(np.median(factors)), "1", intervals=lower)
        estimate.flag(
            "sideband-cut",
            "the detector ends inside the sideband: the Debye–Waller factor is an upper bound"
            if share.cut is None
            else f"the sideband ends at once at {HC / share.cut:.1f} nm, as behind a filter: the Debye–Waller factor is an upper bound",
            "record 0.2 eV below the line",
        )
    else:
        q["debye_waller"] = from_samples(draws, "1", call.levels)
        q["huang_rhys"] = from_samples(factors, "1", call.levels)
    if settings.temperature is None or settings.temperature > 30:
        estimate.flag(
            "not-cold",
            "S = −ln DW is the Huang–Rhys factor only for T → 0",
            "compare Debye–Waller factors at one temperature",
        )


def _answer_sideband_test(estimate: Estimate, light: Light, line: Line, share: Share) -> None:
    """Ask whether the brightest line is a zero-phonon line or a sideband of one at higher energy."""
    centre = float(np.median(line.centre))
    half = max(0.5 * float(np.median(line.observed)), 0.006)

    def excess(low: float, high: float) -> tuple[float, float] | None:
        if low < light.energy[0] or high > light.energy[-1]:
            return None
        part = light.good & (light.energy > low - half) & (light.energy < high + half)
        y = light.counts[part] - share.base
        noise = np.sqrt(light.variance(light.counts)[part].sum() + light.read**2 + 1e-9)
        return float(y.sum()) / float(np.median(line.area)), float(y.sum() / noise)

    above, below = excess(centre + 0.14, centre + 0.18), excess(centre - 0.18, centre - 0.14)
    if above is None:
        value, why = (
            "cannot tell",
            "the spectrum ends less than 0.18 eV above the line, where its own zero-phonon line would stand if this were a sideband",
        )
    elif above[0] > 0.3 and above[1] > 8:
        value, why = (
            "may be a sideband",
            f"{above[0]:.2f} of its light lies one optical phonon above it",
        )
    elif below is not None and below[1] > 5 and below[0] > 1.5 * max(above[0], 0):
        value, why = (
            "zero-phonon line",
            "a sideband stands one optical phonon below, and nothing comparable above",
        )
    else:
        value, why = (
            "zero-phonon line, sideband not seen",
            "nothing stands one optical phonon above it",
        )
    estimate.quantities["zpl_test"] = Quantity(value, "1", reason=why)


def _arrays(estimate: Estimate, frames: Frames, light: Light, line: Line) -> None:
    coords = {"energy": ("energy", light.energy, {"units": "eV"})}
    estimate.arrays["counts"] = xr.DataArray(
        light.counts, dims="energy", coords=coords, attrs={"units": "counts"}
    )
    model = np.full(light.counts.size, np.nan)
    model[line.window] = line.model
    estimate.arrays["model"] = xr.DataArray(
        model, dims="energy", coords=coords, attrs={"units": "counts"}
    )
    estimate.arrays["cosmic_mask"] = xr.DataArray(
        frames.cosmics.astype(np.uint8),
        dims=("frame", "energy"),
        coords=coords,
        attrs={"units": "1"},
    )


def _data_flags(estimate: Estimate, data: xr.Dataset, frames: Frames) -> None:
    if frames.saturated.any():
        estimate.flag(
            "saturated",
            f"{int(frames.saturated.sum())} pixels are at the detector's ceiling and left out",
            "shorten the exposure",
        )
    if frames.lost.any():
        frame, pixel = (int(i[0]) for i in np.nonzero(frames.lost))
        where = HC / float(frames.energy[pixel])
        estimate.flag(
            "not-a-number",
            f"{int(frames.lost.sum())} pixels hold no number and are left out, the first in frame {frame} at {where:.2f} nm",
            "look at the file there",
        )
    for text in data.attrs.get("flags") or []:
        estimate.flag("read", text, "")
