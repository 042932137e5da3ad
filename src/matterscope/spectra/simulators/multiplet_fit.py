"""Fit a crystal-field multiplet to a measured L2,3 edge: 10Dq, Slater scaling, shift, width.

In: a spectrum and an ion. Out: parameters with intervals from the curvature at the best of several starts,
the fitted curve and its residual. Gain, a line and the two edge steps (2:1) are solved linearly inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, InputRef, gaussian
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.io.reading import measurements
from matterscope.physics.curves import correlation_length
from matterscope.spectra.loss.edge_cutting import cut_edges
from matterscope.spectra.loss.loss_reduction import is_energy_loss
from matterscope.spectra.simulators.ligandfield import REFERENCES
from matterscope.spectra.simulators.multiplet import (
    IONS,
    Field,
    Ion,
    Sticks,
    lines_to_spectrum,
    sticks,
)

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import CrystalFieldSettings

Floats = NDArray[np.float64]

NAMES = ("ten_dq", "slater_scale", "energy_shift", "instrument")
UNITS = {"ten_dq": "eV", "slater_scale": "1", "energy_shift": "eV", "instrument": "eV"}
LOW = np.array([0.05, 0.4, -15.0, 0.02])
HIGH = np.array([4.0, 1.1, 15.0, 2.5])


@dataclass(frozen=True)
class FieldFit:
    """Best parameters (in the order of `NAMES`), their covariance, the points fitted, and the curve."""

    values: Floats
    covariance: Floats
    energy: Floats
    mu: Floats
    curve: Floats
    residual: float
    at_bound: tuple[str, ...]


@lru_cache(maxsize=64)
def _lines(ion: Ion, ten_dq: float, scale: float) -> tuple[Sticks, float]:
    """Return the lines and the centre of L3; shift and width are varied without diagonalising again."""
    lines = sticks(ion, Field(ten_dq).matrix(), scale=scale)
    strength = lines.isotropic * lines.core
    return lines, float((lines.energy * strength).sum() / strength.sum())


def _shape(energy: Floats, ion: Ion, p: Floats) -> Floats:
    lines, centre = _lines(ion, float(p[0]), float(p[1]))
    place = energy - ion.onset - float(p[2]) + centre
    return lines_to_spectrum(place, lines, ion, instrument=float(p[3]))


def _columns(energy: Floats, ion: Ion, p: Floats) -> Floats:
    """Return what is solved linearly: the multiplet, the two steps, a constant and a slope."""
    first = ion.onset + float(p[2]) + 2.0
    steps = sum(
        w * (0.5 + np.arctan((energy - e) / 0.5) / np.pi)
        for w, e in ((2 / 3, first), (1 / 3, first + 1.5 * ion.zeta_core))
    )
    ramp = (energy - energy[0]) / np.ptp(energy)
    return np.stack(
        [_shape(energy, ion, p), np.asarray(steps), np.ones_like(energy), ramp, 1 - ramp], axis=1
    )


def _solve(columns: Floats, mu: Floats) -> Floats:
    # the scale of columns differs by orders; no part may be negative
    size = np.maximum(np.linalg.norm(columns, axis=0), 1e-12)
    weights, _ = nnls(columns / size, mu)
    return np.asarray((columns / size) @ weights)


def fit_field(energy: Floats, mu: Floats, name: str, starts: int = 4) -> FieldFit:
    """Return the best fit of an ion's multiplet to a spectrum.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and any unit
        L3 and L2 with at least 3 eV before L3.
    name : str
        Ion, e.g. ``"Ni2+"``.
    starts : int
        Values of 10Dq from which the search begins.
    """
    if name not in IONS:
        raise ConfigError("unknown ion", got=name or "none", expected=", ".join(IONS))
    ion = IONS[name]
    if energy[0] > ion.onset + 5 or energy[-1] < ion.onset + 1.5 * ion.zeta_core - 2:
        raise DataError(
            f"the spectrum does not cover the L2,3 edges of {ion.element}",
            got=f"{energy[0]:.0f}–{energy[-1]:.0f} eV",
            expected=f"{ion.onset - 3:.0f}–{ion.onset + 1.5 * ion.zeta_core + 5:.0f} eV",
        )
    inside = _window(energy, mu, ion)
    energy, mu = energy[inside], mu[inside]
    lift = mu - min(float(mu.min()), 0.0)
    height = float(lift.max())
    peak = float(energy[np.argmax(lift)]) - ion.onset
    scale = lift / height
    guess = REFERENCES.get(name, (1.2, 2.0, 0.0))[0]

    def misfit(p: Floats) -> Floats:
        return _solve(_columns(energy, ion, p), scale) - scale

    def descend(start: Floats, steps: int) -> Any:
        # differences wider than round-off: line positions move smoothly on this scale
        return least_squares(
            misfit, np.clip(start, LOW + 1e-3, HIGH - 1e-3), bounds=(LOW, HIGH), diff_step=3e-3,
            x_scale=[1, 0.2, 1, 0.3], max_nfev=steps,
        )  # fmt: skip

    begun = [
        descend(np.array([ten_dq, 0.8, peak, 0.3]), 6)
        for ten_dq in np.linspace(0.5 * guess, 1.4 * guess, starts)
    ]
    best = descend(min(begun, key=lambda fit: float(fit.cost)).x, 25)
    free = max(len(energy) - len(NAMES) - 4, 1)
    # what the model cannot follow is no white noise: neighbouring points miss together
    variance = 2 * best.cost / free * correlation_length(best.fun)
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * variance
    reach = (HIGH - LOW) * 1e-3
    bound = tuple(
        n
        for n, v, a, b, r in zip(NAMES, best.x, LOW, HIGH, reach, strict=True)
        if v - a < r or b - v < r
    )
    curve = _solve(_columns(energy, ion, best.x), scale) * height + (mu - lift)
    residual = float(np.sqrt(2 * best.cost / free))
    return FieldFit(best.x, covariance, energy, mu, curve, residual, bound)


def _window(energy: Floats, mu: Floats, ion: Ion) -> NDArray[np.bool_]:
    """Return which points belong to L2,3 of the ion: from 12 eV before the L3 maximum to 15 eV after L2."""
    near = np.abs(energy - ion.onset) < HIGH[2]
    # a slope under the edge must not win over the line
    level = np.interp(energy, energy[near][[0, -1]], mu[near][[0, -1]])
    peak = float(energy[near][int(np.argmax((mu - level)[near]))])
    return np.asarray((energy > peak - 12.0) & (energy < peak + 1.5 * ion.zeta_core + 15.0))


def fit_crystal_field(
    inputs: list[Input], settings: CrystalFieldSettings, call: Call
) -> list[Estimate]:
    """Fit the multiplet of one ion to each spectrum: `spectra crystal-field`."""
    estimates = []
    for given in inputs:
        for spectrum in measurements(given, "spectrum"):
            estimate = Estimate("spectra crystal-field", given.ref)
            loss = is_energy_loss(spectrum)
            edge = _cut(spectrum, settings.ion, given.ref, call) if loss else spectrum
            _one(estimate, edge, settings, call)
            estimates.append(estimate)
    return estimates


def _cut(spectrum: xr.Dataset, name: str, ref: InputRef, call: Call) -> xr.Dataset:
    """Return the L2,3 edge of the ion's element out of an energy-loss spectrum, above its background."""
    if name not in IONS:
        raise ConfigError("unknown ion", got=name or "none", expected=", ".join(IONS))
    element = IONS[name].element
    _, edges = cut_edges(spectrum, ref, call)
    for edge in edges:
        if edge.attrs["element"] == element and str(edge.attrs["edge"]).startswith("L"):
            return edge
    raise DataError(
        f"no L2,3 edge of {element} was named in this energy-loss spectrum",
        where=ref.source,
        got=", ".join(f"{e.attrs['element']} {e.attrs['edge']}" for e in edges) or "no edge",
        expected=f"{element} L3",
    )


def _one(
    estimate: Estimate, spectrum: xr.Dataset, settings: CrystalFieldSettings, call: Call
) -> None:
    energy = np.asarray(spectrum.energy.values, dtype=float)
    mu = np.asarray(spectrum.mu.values, dtype=float)
    found = fit_field(energy, mu, settings.ion, settings.starts)
    for k, name in enumerate(NAMES):
        sigma = float(np.sqrt(max(found.covariance[k, k], 0.0)))
        estimate.quantities[name] = gaussian(
            float(found.values[k]), sigma, UNITS[name], call.levels,
            low=float(LOW[k]), high=float(HIGH[k]),
        )  # fmt: skip
    estimate.diagnostics |= {"residual": found.residual, "ion": settings.ion}
    for warning in spectrum.attrs.get("warnings") or []:
        estimate.flag(str(warning["code"]), str(warning["message"]), str(warning.get("remedy", "")))
    if found.at_bound:
        estimate.flag(
            "at_bound",
            f"{', '.join(found.at_bound)} ended at a bound: the spectrum does not determine it",
            "another ion, or a wider energy range",
        )
    if found.residual > 0.05:
        estimate.flag(
            "poor_fit",
            f"The residual is {found.residual:.0%} of the maximum: this ion in an octahedral field does not explain the spectrum.",
            "another valence, a mixture, or ligand holes are needed",
        )
    energy, mu = found.energy, found.mu
    axis = {"energy": ("energy", energy, {"units": "eV"})}
    estimate.arrays["fit"] = xr.DataArray(
        found.curve, dims=("energy",), coords=axis, attrs={"units": "1"}
    )
    top = Panel(
        (points(energy, mu, "measured"), line(energy, found.curve, f"{settings.ion}, 10Dq {found.values[0]:.2f} eV")),
        "energy (eV)", "µ", height=3.0,
    )  # fmt: skip
    rest = Panel(
        (line(energy, mu - found.curve, role="residual"),), "energy (eV)", "residual", height=1.2
    )
    estimate.pictures.append(
        Picture(
            "fit",
            "Crystal-field multiplet",
            (top, rest),
            "Ionic model in an octahedral field; intervals hold if the ion is right. The shift is that of L3's "
            "centre from the tabulated onset.",
        )
    )
    estimate.provenance["references"] = [
        "F. de Groot and A. Kotani, Core Level Spectroscopy of Solids (2008)",
        "M. W. Haverkort, cond-mat/0505214",
    ]
