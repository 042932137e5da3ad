"""The verb `compare`: what one has to do to a spectrum to make it another.

In: two or more spectra, measured or simulated; the first is the reference. Out: shift, scale and the
extra widths of each other one (constant Lorentzian, Gaussian, and for theory the photoelectron's
Lorentzian, which grows with energy), with r, RMSE and the residual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, Flag, Quantity, gaussian
from matterscope.core.pictures import Panel, Picture, line, mark
from matterscope.physics.curves import best_shift, correlation_length
from matterscope.spectra.measured.quality import NOTES
from matterscope.spectra.measured.shapes import Shape, shapes_of
from matterscope.spectra.settings import CompareSettings
from matterscope.spectra.simulators.broadening import lorentzian_broaden, seah_dench_half_width

Array = NDArray[np.float64]
STEP = 0.1
"""eV; step of the grid on which shapes are broadened."""
UNPLACED = {"no_edge", "edge_uncertain", "edge_unknown", "axis_offset"}
"""Findings about the place of an edge, which a simulation's own axis does not have."""
COARSE = 3
"""Of these steps a point for the width that grows with energy, which is a matrix."""


@dataclass(frozen=True)
class Match:
    """How a spectrum was fitted to a reference.

    Parameters
    ----------
    shift : float, eV
        Added to the energies of the spectrum.
    scale : float
        Factor on its shape.
    lorentzian, gaussian : float, eV
        Extra full width at half maximum, extra standard deviation.
    photoelectron : float, eV
        Extra full width far above the edge, Γ_e of `seah_dench_half_width`; 0 where it was not asked for.
    sigma : array of shape (5,)
        Standard uncertainties of the five, in that order.
    energy, reference, fit : arrays of shape (n,)
        Window, reference and fitted spectrum.
    r, rmse : float
        Pearson's correlation; root mean square residual in edge steps.
    """

    shift: float
    scale: float
    lorentzian: float
    gaussian: float
    photoelectron: float
    sigma: Array
    energy: Array
    reference: Array
    fit: Array
    r: float
    rmse: float


def compare(inputs: list[Input], settings: CompareSettings, call: Call) -> list[Estimate]:
    """Compare spectra with the first one.

    Parameters
    ----------
    inputs : list of Input
        At least two spectra in all.
    settings : CompareSettings
        Window, what may move.
    call : Call
        Levels.

    Returns
    -------
    list of Estimate
        One per further spectrum.
    """
    shapes = shapes_of(inputs, settings.normalise, settings.energy)
    if len(shapes) < 2:
        raise ConfigError(
            "a comparison needs two spectra", got=len(shapes), hint="spectra compare A B"
        )
    return [_estimate(shapes[0], other, settings, call) for other in shapes[1:]]


def match(
    reference: Shape,
    other: Shape,
    *,
    window: tuple[float, float] = (-10.0, 45.0),
    reach: float = 15.0,
    broaden: bool = True,
    photoelectron: bool = False,
) -> Match:
    """Fit shift, scale and widths of a spectrum to a reference.

    Parameters
    ----------
    reference, other : Shape
        Edge-normalised.
    window : (float, float), eV
        Relative to E½ of the reference.
    reach : float, eV
        Largest shift after the two E½ were laid on each other.
    broaden : bool
        Whether the widths may grow.
    photoelectron : bool
        Whether a width that grows with the energy above the edge is fitted as well: what a
        simulation lacks beside a measured spectrum, and no measurement beside another.

    Notes
    -----
    Bounded least squares on {shift, Γ, σ} and, if asked, the photoelectron's Γ_e; the scale is projected out at every step. The covariance
    is inflated by the correlation length of the residual, which is misfit rather than noise.
    """
    grid = np.arange(reference.position + window[0], reference.position + window[1], STEP)
    grid = grid[(grid >= reference.energy[0]) & (grid <= reference.energy[-1])]
    if grid.size < 20:
        raise DataError(
            "the reference holds too little of the window",
            where=reference.label,
            got=f"{grid.size * STEP:.1f} eV",
            expected="at least 2 eV",
        )
    target = reference.on(grid)
    rough = reference.position - other.position
    source = _padded(other)
    # the padding keeps the edge itself in the part that stays covered at every shift: simulations
    # begin a few eV before it
    fine, _ = best_shift(grid, target, source[0] + rough, source[1], reach, 0.25)
    start = rough + (fine if np.isfinite(fine) else 0.0)

    edge = other.position

    def shape(p: Array) -> Array:
        wide = broadened(source[1], STEP, p[1], p[2])
        if photoelectron:
            coarse = source[0][::COARSE]
            half = seah_dench_half_width(coarse, edge, 0.0, amplitude=0.5 * p[3])
            wide = np.interp(source[0], coarse, lorentzian_broaden(coarse, wide[::COARSE], half))
        return np.asarray(np.interp(grid - p[0], source[0], wide))

    def residual(p: Array) -> Array:
        model = shape(p)
        return _scale(model, target) * model - target

    top = 6.0 if broaden else 1e-9
    electron = 12.0 if broaden and photoelectron else 1e-9
    bounds = ([start - reach, 0.0, 0.0, 0.0], [start + reach, top, top, electron])
    # a Gaussian can stand for the photoelectron: the fit is begun with little and with much of it
    fits = [
        least_squares(
            residual, np.clip([start, 0.3, 0.3, begin], *bounds), bounds=bounds,
            x_scale=[0.5, 0.5, 0.5, 1.0], diff_step=1e-3,
        )
        for begin in ((1.0, 6.0) if photoelectron else (0.0,))
    ]  # fmt: skip
    found = min(fits, key=lambda fit: float(fit.cost))
    model = shape(found.x)
    scale = _scale(model, target)
    fit = scale * model
    sigma = _sigma(found, fit - target, float((model**2).sum()))
    r = float(np.corrcoef(fit, target)[0, 1])
    rmse = float(np.sqrt(np.mean((fit - target) ** 2)))
    shift, lorentzian, width, free = (float(v) for v in found.x)
    return Match(shift, scale, lorentzian, width, free, sigma, grid, target, fit, r, rmse)


def _scale(model: Array, target: Array) -> float:
    return float(model @ target / max(float(model @ model), 1e-300))


def _padded(other: Shape) -> tuple[Array, Array]:
    """Return the shape on an even grid, 40 eV longer at both ends, so that tails have something to act on.

    Ends are held. A simulation begins on the rise: below its first energy its core hole's Lorentzian goes
    on, whose tail falls as one over the distance from the edge.
    """
    grid = np.arange(other.energy[0] - 40.0, other.energy[-1] + 40.0, STEP)
    values = np.interp(grid, other.energy, other.mu)
    if other.simulated:
        distance = max(other.position - float(other.energy[0]), 1.0)
        before = np.maximum(other.energy[0] - grid, 0.0)
        values *= distance / (distance + before)
    return grid, values


def broadened(values: Array, step: float, lorentzian: float, sigma: float) -> Array:
    """Convolve with a Lorentzian of full width Γ and a Gaussian of standard deviation σ, both of unit area.

    Parameters
    ----------
    values : array of shape (n,)
        On an even grid; its ends are held.
    step : float, eV
        Of the grid.
    lorentzian, sigma : float, eV
        Γ and σ.

    Notes
    -----
    In Fourier space the product exp(−π Γ|ν|) exp(−2π² σ² ν²); the line through the ends is taken out
    first and put back, so that the period of the transform meets no step.
    """
    line_ = np.linspace(values[0], values[-1], values.size)
    nu = np.fft.rfftfreq(2 * values.size, step)
    kernel = np.exp(-np.pi * lorentzian * nu - 2 * (np.pi * sigma * nu) ** 2)
    rest = values - line_
    spectrum = np.fft.rfft(np.concatenate([rest, -rest[::-1]]))
    return np.asarray(np.fft.irfft(spectrum * kernel)[: values.size] + line_)


def _sigma(found: object, residual: Array, power: float) -> Array:
    """Return standard uncertainties of shift, scale, Γ, σ, Γ_e."""
    jacobian = np.asarray(found.jac)  # type: ignore[attr-defined]
    variance = float(np.mean(residual**2)) * correlation_length(residual)
    inverse = np.linalg.pinv(jacobian.T @ jacobian) * variance
    shift, *widths = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    return np.array([shift, np.sqrt(variance / max(power, 1e-300)), *widths])


def _estimate(reference: Shape, other: Shape, settings: CompareSettings, call: Call) -> Estimate:
    window = (settings.low, settings.high)
    found = match(
        reference, other, window=window, reach=settings.reach, broaden=settings.broaden,
        photoelectron=settings.broaden and other.simulated and not reference.simulated,
    )  # fmt: skip
    estimate = Estimate("spectra compare", other.ref, flags=_of_both(reference, other))
    names = ("energy_shift", "scale", "lorentzian_width", "gaussian_width", "photoelectron_width")
    values = (found.shift, found.scale, found.lorentzian, found.gaussian, found.photoelectron)
    units = ("eV", "1", "eV", "eV", "eV")
    for name, value, sigma, unit in zip(names, values, found.sigma, units, strict=True):
        if name.endswith("width") and not settings.broaden:
            continue
        if name == "photoelectron_width" and not (other.simulated and not reference.simulated):
            continue
        if name.endswith("width") and value < 0.01:
            estimate.quantities[name] = Quantity(0.0, unit, reason="at its bound: nothing to add")
        else:
            low = 0.0 if name.endswith("width") else -np.inf
            estimate.quantities[name] = gaussian(value, float(sigma), unit, call.levels, low=low)
    why = "a measure of the fit itself"
    estimate.quantities["pearson_r"] = Quantity(found.r, "1", reason=why)
    estimate.quantities["rmse"] = Quantity(found.rmse, "1", reason=why)
    estimate.diagnostics |= {
        "reference": reference.ref.as_json(),
        "reference_label": reference.label,
        "window_ev": [float(found.energy[0]), float(found.energy[-1])],
        "mse": found.rmse**2,
    }
    estimate.provenance["references"] = [
        "Natoli et al., J. Synchrotron Rad. 10, 26 (2003)",
    ]
    _flags(estimate, found, settings, placed=reference.simulated == other.simulated)
    coords = {"energy": ("energy", found.energy, {"units": "eV"})}
    for name, curve in (("reference", found.reference), ("fit", found.fit)):
        estimate.arrays[name] = xr.DataArray(
            curve, dims=("energy",), coords=coords, attrs={"units": "1"}
        )
    estimate.pictures.append(_picture(reference, other, found))
    return estimate


def _of_both(reference: Shape, other: Shape) -> list[Flag]:
    """Return what the quality code found in either spectrum, each finding with the spectrum's name."""
    return [
        replace(flag, message=f"{shape.label}: {flag.message}")
        for shape in (reference, other)
        for flag in shape.flags
        if flag.code not in NOTES and not (shape.simulated and flag.code in UNPLACED)
    ]


def _flags(estimate: Estimate, found: Match, settings: CompareSettings, *, placed: bool) -> None:
    # energies of a simulation count from anywhere: its shift against a measurement says nothing
    if placed and abs(found.shift) > 5.0:
        estimate.flag(
            "large_shift",
            f"the axes differ by {found.shift:+.1f} eV",
            "computed energies are never absolute; for two measurements, measure a reference foil",
        )
    if settings.broaden and max(found.lorentzian, found.gaussian, found.photoelectron) < 0.02:
        estimate.flag(
            "already_broad",
            "no width had to be added: the spectrum is as broad as the reference, or broader",
            "give the sharper spectrum second",
        )
    if found.r < 0.9:
        estimate.flag(
            "poor_match",
            f"r = {found.r:.3f}: these are not the same species, or not the same edge",
            "look at the residual before using the shift",
        )


def _picture(reference: Shape, other: Shape, found: Match) -> Picture:
    grown = f", photoelectron {found.photoelectron:.2f} eV" if found.photoelectron > 0.01 else ""
    return Picture(
        "comparison",
        f"{other.label} against {reference.label}",
        (
            Panel(
                (
                    line(found.energy, found.reference, reference.label, "data"),
                    line(
                        found.energy, other.on(found.energy, found.shift), "shifted only", "muted"
                    ),
                    line(found.energy, found.fit, f"{other.label}, shifted, scaled, broadened"),
                ),
                "energy (eV)",
                "normalised absorption",
            ),
            Panel(
                (
                    mark(y=[0.0]),
                    line(found.energy, found.fit - found.reference, "fit − reference", "residual"),
                ),
                "energy (eV)",
                "residual",
                height=0.45,
            ),
        ),
        f"Shift {found.shift:+.2f} eV, scale {found.scale:.3f}, Γ {found.lorentzian:.2f} eV, "
        f"σ {found.gaussian:.2f} eV{grown}; r {found.r:.4f}, RMSE {found.rmse:.4f} edge steps.",
        height=4.4,
    )
