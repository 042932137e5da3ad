"""From a raw energy-loss spectrum to named edges on a repaired axis, above their background.

In: a spectrum or a spectrum image over energy loss. Out: an estimate with axis, edges, thickness.
Two ways: with a zero-loss peak (low loss) or with core edges; a file may have both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Quantity, gaussian, refused
from matterscope.spectra.loss.energy_loss import (
    PowerLaw,
    ZeroLoss,
    edge_signal,
    find_zero_loss,
    fit_power_law,
    fit_two_power_laws,
    measure_thickness,
)
from matterscope.spectra.loss.loss_pictures import axis_picture, edges_picture, zero_loss_picture
from matterscope.spectra.loss.plural_scattering import fourier_ratio
from matterscope.spectra.loss.quantification import add_composition
from matterscope.spectra.loss.recalibration import (
    LINE_RATIOS,
    Axis,
    Interpretation,
    fit_axis,
    interpret,
)
from matterscope.spectra.settings import ReduceSettings

Array = NDArray[np.float64]

REFERENCES = [
    "Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed., Springer (2011)",
    "Elam, Ravel and Sidebottom, Radiat. Phys. Chem. 63, 121 (2002)",
]
LOOK_ALIKES = {"Co": "Ba", "Ba": "Co"}
"""Elements whose two lines fall on each other's: only the heights tell them."""
TOLERATED = 5.0
"""An axis off by more than this (eV) is flagged."""
FALLING = 0.8
"""Over a window with an edge, energy-loss counts end below this share of where they begin."""
TERMS = {"shift": 1, "linear": 2, "quadratic": 3}


@dataclass
class Reduced:
    """A spectrum under reduction: the axis as it now stands, the counts, and every step taken."""

    energy: Array
    counts: Array
    extra: dict[str, Array] = field(default_factory=dict)
    """Further columns: the edge above its background, freed from plural scattering."""
    steps: list[dict[str, Any]] = field(default_factory=list)

    def step(self, name: str, **facts: Any) -> None:
        """Record a step with its numbers."""
        self.steps.append({"step": name, **facts})


def is_energy_loss(spectrum: xr.Dataset) -> bool:
    """Return whether a spectrum is one of electron energy loss rather than of X-ray absorption.

    Asked in this order: what the file says of its signal, an axis that crosses zero, X-ray metadata, and
    on a soft axis (below 3 keV): counts in a microscope's format or over more than 150 eV, or counts that
    fall as losses do.
    """
    signal = str(spectrum.attrs.get("signal", "")).upper()
    if signal:
        return signal in {"ELS", "EELS"}
    energy = spectrum["energy"].values
    if energy[0] < 0 < energy[-1]:
        return True
    if spectrum.attrs.get("element") or spectrum.attrs.get("edge") or energy[-1] >= 3000:
        return False
    mu = spectrum["mu"]
    microscope = "EMSA" in str((spectrum.attrs.get("vendor") or {}).get("FORMAT", "")).upper()
    if mu.attrs["units"] == "counts" and (microscope or energy[-1] - energy[0] > 150):
        return True
    return _falls(np.asarray(mu.values[(0,) * (mu.ndim - 1)], float))


def _falls(counts: Array) -> bool:
    """Return whether values as large as counts fall from one end to the other, as no absorption does."""
    tenth = max(3, counts.size // 10)
    first, last = np.median(counts[:tenth]), np.median(counts[-tenth:])
    return bool(last > 20 and last < FALLING * first)


def reduce_energy_loss(
    spectrum: xr.Dataset,
    ref: InputRef,
    settings: ReduceSettings,
    call: Call,
    low_loss: xr.Dataset | None = None,
) -> tuple[Estimate, Reduced]:
    """Reduce one energy-loss spectrum or spectrum image.

    Parameters
    ----------
    spectrum : Dataset
        Kind "spectrum", (…, energy).
    ref : InputRef
        What the estimate is about.
    settings : ReduceSettings
        As given.
    call : Call
        Levels of the intervals.
    low_loss : Dataset, optional
        Low-loss spectrum of the same place; plural scattering is removed with it.

    Returns
    -------
    (Estimate, Reduced)
        The answer, and the sum spectrum on its repaired axis.
    """
    estimate = Estimate("spectra reduce", ref)
    estimate.provenance = {"references": list(REFERENCES), "technique": "EELS"}
    energy = spectrum["energy"].values.astype(float)
    cube = spectrum["mu"].values.reshape(-1, energy.size)
    total = cube.astype(float).sum(axis=0)
    state = Reduced(energy, total)
    state.step("sum", spectra=int(cube.shape[0]))
    _look(estimate, spectrum, cube, total)
    zero = _zero_loss(estimate, state, cube, call)
    if zero is None:
        _core_edges(estimate, state, settings, call)
        if "edges" in estimate.tables:
            add_composition(estimate, spectrum, settings)
        if low_loss is not None:
            _remove_plural(estimate, state, low_loss)
    _hidden_lithium(estimate, state)
    _arrays(estimate, state)
    return estimate, state


def _look(estimate: Estimate, spectrum: xr.Dataset, cube: Array, total: Array) -> None:
    negative = float((cube < 0).mean())
    estimate.diagnostics["negative_share"] = negative
    for warning in spectrum.attrs.get("warnings") or []:
        estimate.flag(warning["code"], warning["message"])
    if not total.any():
        raise DataError(
            "every count of this spectrum is 0", where=estimate.input.source, hint="wrong object?"
        )
    if negative > 0.05:
        estimate.flag(
            "negative_counts",
            f"{negative:.0%} of the counts are below 0: the dark level is subtracted",
            "they are kept; fits weigh them by the noise, not by their value",
        )
    spikes = find_spikes(total)
    if spikes.size:
        positions = spectrum["energy"].values[spikes]
        estimate.diagnostics["spikes_ev"] = positions.tolist()
        estimate.flag(
            "spikes",
            f"{spikes.size} isolated channels stand out (first at {positions[0]:.1f} eV)",
            "look at the gain reference of the detector; they are left as they are",
        )


def find_spikes(counts: Array, *, threshold: float = 12.0) -> NDArray[np.intp]:
    """Return the channels that differ from both neighbours by more than the ripple can explain.

    Parameters
    ----------
    counts : array of shape (n,), counts
        One spectrum.
    threshold : float
        In robust standard deviations of the second difference, scaled by √counts.
    """
    second = np.zeros_like(counts)
    second[1:-1] = counts[1:-1] - 0.5 * (counts[:-2] + counts[2:])
    wide = np.convolve(counts, np.ones(21) / 21, mode="same")
    scaled = second / np.sqrt(np.maximum(wide, 1e-3 * np.abs(wide).max() + 1e-30))
    noise = 1.4826 * float(np.median(np.abs(scaled)))
    if noise == 0:
        return np.zeros(0, dtype=np.intp)
    high = np.abs(scaled) > threshold * noise
    # a spike is one channel wide; a real peak is as wide as the resolution
    lonely = np.abs(second) > 3 * np.maximum(
        np.abs(np.roll(second, 2)), np.abs(np.roll(second, -2))
    )
    sharp = (np.sign(np.roll(second, 1)) != np.sign(second)) & (
        np.sign(np.roll(second, -1)) != np.sign(second)
    )
    return np.flatnonzero(high & sharp & lonely)


# --- zero loss --------------------------------------------------------------------------------


def _zero_loss(estimate: Estimate, state: Reduced, cube: Array, call: Call) -> ZeroLoss | None:
    energy = state.energy
    if not (energy[0] < -2 and energy[-1] > 5):
        estimate.quantities["thickness"] = refused("1", "the spectrum does not hold the zero loss")
        return None
    zero = find_zero_loss(energy, cube)
    mean = find_zero_loss(energy, state.counts)
    thickness = measure_thickness(energy, cube, zero)
    whole = measure_thickness(energy, state.counts, mean)
    centre = float(mean.centre)
    spread = float(np.nanstd(zero.centre)) if zero.centre.size > 1 else 0.0
    step = float(energy[1] - energy[0])
    estimate.quantities |= {
        "zero_loss_position": gaussian(
            centre,
            float(np.hypot(0.1 * step, spread / np.sqrt(zero.centre.size))),
            "eV",
            call.levels,
        ),
        "zero_loss_width": Quantity(
            float(mean.full_width), "eV", reason="sum of all pixels, not deconvolved"
        ),
        "thickness": _thickness(whole, call),
    }
    estimate.diagnostics |= {
        "zero_loss_spread_ev": spread,
        "zero_loss_cut_ev": float(mean.cut),
        "thickness_if_split_moves": [float(whole.low), float(whole.high)],
    }
    estimate.tables["pixels"] = pd.DataFrame(
        {
            "pixel": np.arange(zero.centre.size),
            "zero_loss_position": zero.centre,
            "zero_loss_width": zero.full_width,
            "thickness": thickness.value,
            "thickness_sigma": thickness.sigma,
        }
    )
    if abs(centre) > step:
        estimate.flag(
            "zero_loss_shifted",
            f"the zero-loss peak lies at {centre:.2f} eV, not at 0",
            "the axis of the reduced spectrum is shifted to put it at 0",
        )
    state.energy = energy - centre
    state.step("zero loss", centre_ev=centre, full_width_ev=float(mean.full_width))
    estimate.pictures.append(zero_loss_picture(state.energy, state.counts, mean, zero, thickness))
    return zero


def _thickness(whole: Any, call: Call) -> Quantity:
    if not np.isfinite(whole.value):
        return refused("1", "no counts on one side of the split")
    split = 0.5 * abs(float(whole.high) - float(whole.low))
    return gaussian(float(whole.value), float(np.hypot(whole.sigma, split)), "1", call.levels)


# --- core edges -------------------------------------------------------------------------------


def _core_edges(estimate: Estimate, state: Reduced, settings: ReduceSettings, call: Call) -> None:
    found = interpret(state.energy, state.counts, elements=settings.elements)
    estimate.diagnostics["peaks"] = len(found.peaks)
    estimate.diagnostics["other_readings"] = [list(a) for a in found.alternatives]
    if not found.edges or found.axis is None:
        estimate.flag(
            "no_edge",
            "no edge of the table stands out of this spectrum",
            "sum more pixels, or give the elements with --elements",
        )
        estimate.quantities["axis_distortion"] = refused("eV", "no edge was named")
        estimate.pictures.append(edges_picture(state.energy, state.counts, found, None))
        return
    _look_alikes(estimate, found, settings)
    axis = _chosen_axis(found, settings)
    _axis_quantities(estimate, state, found, axis, call)
    recorded = state.energy
    if settings.axis != "as-is":
        state.energy = axis(recorded)
        state.step(
            "axis",
            polynomial=axis.polynomial.tolist(),
            note="E_true = c0 + c1 E + c2 E², eV",
            order=axis.coefficients.size - 1,
        )
    table, signal = _edge_table(estimate, state, found, axis, settings)
    estimate.tables["edges"] = table
    if signal is not None:
        state.extra["above_background"] = signal
    estimate.pictures += [
        edges_picture(recorded, state.counts, found, axis),
        axis_picture(recorded, found, axis, table),
    ]


def _chosen_axis(found: Interpretation, settings: ReduceSettings) -> Axis:
    axis = found.axis
    assert axis is not None
    wanted = TERMS.get(settings.axis, 3)
    if wanted < axis.coefficients.size:
        return fit_axis(found.peaks, found.edges, axis.middle, terms=wanted)
    return axis


def _axis_quantities(
    estimate: Estimate, state: Reduced, found: Interpretation, axis: Axis, call: Call
) -> None:
    onsets = np.array([found.peaks[e.first].onset for e in found.edges])
    shift = axis(onsets) - onsets
    worst = int(np.argmax(np.abs(shift)))
    estimate.quantities["axis_distortion"] = gaussian(
        float(shift[worst]), float(axis.sigma(onsets)[worst]), "eV", call.levels
    )
    estimate.quantities["edges_named"] = Quantity(
        len(found.edges), "1", reason="a count; the probability of each name is in the table"
    )
    residuals = axis(onsets) - np.array([e.reference for e in found.edges])
    estimate.diagnostics["largest_residual_ev"] = float(np.abs(residuals).max())
    estimate.diagnostics["axis_polynomial"] = axis.polynomial.tolist()
    if np.abs(shift).max() > TOLERATED:
        estimate.flag(
            "axis_off",
            f"the axis is off by {shift.min():+.1f} to {shift.max():+.1f} eV at the edges that were named",
            "the reduced spectrum stands on the repaired axis; --axis as-is keeps the recorded one",
        )
    if axis.coefficients.size > 1 and np.ptp(shift) > 2.0:
        estimate.flag(
            "axis_not_rigid",
            f"the error of the axis changes by {np.ptp(shift):.1f} eV between edges: a shift cannot repair it",
            "record a second reference edge, or calibrate the dispersion of the spectrometer",
        )
    if axis.coefficients.size < 3:
        estimate.flag(
            "axis_order",
            f"{len(found.edges)} named edge(s) allow a polynomial of order {axis.coefficients.size - 1} only",
            "a spectrum with three or more edges fixes a curved axis",
        )
    energy = axis(state.energy)
    if np.any(np.diff(energy) <= 0):
        raise DataError("the repaired axis would not increase", where=estimate.input.source)
    unsure = [e.label for e, p in zip(found.edges, found.probabilities, strict=True) if p < 0.9]
    if unsure:
        estimate.flag(
            "edge_unsure",
            f"{', '.join(unsure)} named with less than 90 % probability",
            "give the elements that can be present with --elements",
        )


def _look_alikes(estimate: Estimate, found: Interpretation, settings: ReduceSettings) -> None:
    """Flag a named pair whose heights lie between those of two elements with lines at the same energies."""
    for edge in found.edges:
        twin = LOOK_ALIKES.get(edge.element)
        if twin is None or edge.second is None or (settings.elements and twin not in settings.elements):  # fmt: skip
            continue
        seen = float(np.log(found.peaks[edge.first].height / found.peaks[edge.second].height))
        own, other = (float(np.log(LINE_RATIOS[e])) for e in (edge.element, twin))
        share = (seen - own) / (other - own)
        if share > 0.3:
            estimate.flag(
                "look_alike",
                f"the lines of {edge.element} and {twin} coincide, and their heights ({np.exp(seen):.1f} to 1) lie between "
                f"those of {edge.element} ({np.exp(own):.1f}) and {twin} ({np.exp(other):.1f}): both may be present",
                "state what can be present with --elements, or look at another edge of either element",
            )


def _edge_table(
    estimate: Estimate,
    state: Reduced,
    found: Interpretation,
    axis: Axis,
    settings: ReduceSettings,
) -> tuple[pd.DataFrame, Array | None]:
    rows: list[dict[str, Any]] = []
    first_signal: Array | None = None
    for k, edge in enumerate(found.edges):
        first = found.peaks[edge.first]
        onset = float(axis(np.array([first.onset]))[0])
        row: dict[str, Any] = {
            "edge": edge.label,
            "probability": found.probabilities[k],
            "recorded_onset": first.onset,
            "onset": onset,
            "onset_sigma": float(np.hypot(first.sigma, axis.sigma(np.array([first.onset]))[0])),
            "reference": edge.reference,
            "residual": onset - edge.reference,
            "white_line_separation": np.nan,
            "table_separation": edge.separation if edge.separation is not None else np.nan,
        }
        if edge.second is not None:
            ends = np.array([first.position, found.peaks[edge.second].position])
            row["white_line_separation"] = float(np.diff(axis(ends))[0])
        previous = rows[-1]["onset"] if rows else -np.inf
        window = _window(state, onset, previous, settings)
        counts, sigma, curve = _above(state, window, onset, settings)
        row |= {"counts": counts, "counts_sigma": sigma}
        if first_signal is None and curve is not None:
            first_signal = curve
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = dict.fromkeys(
        ("recorded_onset", "onset", "onset_sigma", "reference", "residual"), "eV"
    ) | {"counts": "counts", "counts_sigma": "counts"}
    return frame, first_signal


def _window(
    state: Reduced, onset: float, previous: float, settings: ReduceSettings
) -> tuple[float, float] | None:
    if settings.background == "none":
        return None
    if len(settings.background_window) == 2:
        return settings.background_window[0], settings.background_window[1]
    low = max(onset - 50.0, previous + 25.0, float(state.energy[0]) + 25.0)
    return (low, onset - 4.0) if onset - 4.0 - low >= 8.0 else None


def _above(
    state: Reduced, window: tuple[float, float] | None, onset: float, settings: ReduceSettings
) -> tuple[float, float, Array | None]:
    """Return counts above the background in the signal window, their sigma, and the whole curve."""
    if window is None:
        return np.nan, np.nan, None
    fit = fit_power_law if settings.background == "power-law" else fit_two_power_laws
    background = fit(state.energy, state.counts, window)
    if isinstance(background, PowerLaw) and not np.isfinite(background.exponent):
        return np.nan, np.nan, None
    reach = (onset - 2.0, onset - 2.0 + settings.signal_width)
    counts, variance = edge_signal(state.energy, state.counts, background, reach)
    curve = state.counts - np.where(
        state.energy >= window[0], background(np.maximum(state.energy, 1.0)), state.counts
    )
    return float(counts), float(np.sqrt(variance)), curve


def _remove_plural(estimate: Estimate, state: Reduced, low_loss: xr.Dataset) -> None:
    if "above_background" not in state.extra:
        return
    step = float(np.median(np.diff(state.energy)))
    even = np.arange(state.energy[0], state.energy[-1], step)
    core = np.interp(even, state.energy, state.extra["above_background"])
    loss, counts = low_loss["energy"].values.astype(float), low_loss["mu"].values.astype(float)
    counts = counts.reshape(-1, loss.size).sum(axis=0)
    zero = find_zero_loss(loss, counts)
    axis = np.arange(loss[0], loss[-1], step)
    spread = np.interp(axis, loss, counts) * step / float(np.median(np.diff(loss)))
    at = int(np.argmin(np.abs(axis - float(zero.centre))))
    cut = int(np.searchsorted(axis, float(zero.cut)))
    single = fourier_ratio(core, spread, at, cut) / spread.sum()
    state.extra["single_scattering"] = np.interp(state.energy, even, single)
    state.step("fourier ratio", zero_loss_ev=float(zero.centre), cut_ev=float(zero.cut))


def _hidden_lithium(estimate: Estimate, state: Reduced) -> None:
    if state.energy[0] < 45.0 and state.energy[-1] > 75.0:
        estimate.flag(
            "lithium_hidden",
            "Li K (54.7 eV) lies among M2,3 of Mn, Co and Ni (47 to 68 eV): it is not answered for",
            "determine Li from the capacity, or from the other edges",
        )


def _arrays(estimate: Estimate, state: Reduced) -> None:
    coords = {"energy": ("energy", state.energy, {"units": "eV"})}
    estimate.arrays["spectrum"] = xr.DataArray(
        state.counts, dims=("energy",), coords=coords, attrs={"units": "counts"}
    )
    for name, values in state.extra.items():
        estimate.arrays[name] = xr.DataArray(
            values, dims=("energy",), coords=coords, attrs={"units": "counts"}
        )
    estimate.diagnostics["steps"] = state.steps
