"""Normalised shapes on their own axes: what `compare` and `mixture` put side by side.

In: any spectrum, measured or simulated. Out: energies, edge-normalised absorption, position of the edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Flag, InputRef
from matterscope.core.verbs import as_input
from matterscope.io import measurements
from matterscope.spectra.measured.quality import SEVERE, examine, is_simulated

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A spectrum with its pre-edge at 0 and its post-edge at 1.

    Parameters
    ----------
    label : str
        Name for legends.
    ref : InputRef
        Where it came from.
    energy, mu : arrays of shape (n,), eV and 1
        On the spectrum's own axis.
    position : float, eV
        E½, or the middle of the rise where there is no plateau.
    flags : list of Flag
        What the quality code found.
    simulated : bool
        Whether the spectrum calls itself a simulation.
    """

    label: str
    ref: InputRef
    energy: Array
    mu: Array
    position: float
    flags: list[Flag] = field(default_factory=list)
    simulated: bool = False

    def on(self, grid: Array, shift: float = 0.0) -> Array:
        """Return the shape, moved by `shift` (eV), on a grid (eV)."""
        return np.interp(grid - shift, self.energy, self.mu)


def shapes_of(inputs: list[Input], method: str = "auto", energy: str = "") -> list[Shape]:
    """Return every single spectrum of the inputs as a shape, in order.

    Parameters
    ----------
    inputs : list of Input
        Files (all their spectra) or measurements.
    method : str
        Normalisation: "auto", "edge", "max" or "none".
    energy : str
        START:STEP (eV) for arrays without an axis.
    """
    axis = {"energy": energy} if energy else {}
    return [
        shape_of(spectrum, given, method)
        for given in inputs
        for spectrum in measurements(given, "spectrum", **axis)
    ]


def named_shapes(names: tuple[str, ...], method: str = "auto") -> list[Shape]:
    """Return the shapes of files named in settings (``FILE`` or ``FILE:SELECTOR``)."""
    return shapes_of([as_input(name) for name in names], method)


def shape_of(spectrum: xr.Dataset, given: Input, method: str = "auto") -> Shape:
    """Return one spectrum as a shape.

    Raises
    ------
    DataError
        It is a spectrum image, or it is no absorption spectrum at all.
    """
    origin = spectrum.attrs.get("source") or {}
    ref = InputRef(given.source, str(origin.get("selector") or given.selector), given.sha256)
    if spectrum["mu"].ndim != 1:
        raise DataError(
            "this is a spectrum image", where=given.source, hint="matterscope spectra map"
        )
    seen = examine(spectrum, method)
    label = str(spectrum.attrs.get("label") or ref.selector or given.source.rsplit("/", 1)[-1])
    usable = seen.normalised is not None and "no_edge" not in seen.codes
    if usable and seen.normalised is not None and np.isfinite(seen.normalised.mu).all():
        position = seen.position if np.isfinite(seen.position) else seen.normalised.e0
        shape = seen.normalised
        theory = is_simulated(spectrum)
        return Shape(label, ref, shape.energy, shape.mu, float(position), seen.flags, theory)
    if seen.codes & {"chi_k", "too_few_points"}:
        worst = next(f for f in seen.flags if f.code in SEVERE)
        raise DataError(worst.message, where=f"{given.source}:{ref.selector}", hint=worst.remedy)
    return replace(
        _plain_shape(label, ref, seen.energy, seen.raw, seen.flags),
        simulated=is_simulated(spectrum),
    )


def _plain_shape(
    label: str, ref: InputRef, energy: Array, values: Array, flags: list[Flag]
) -> Shape:
    """Return a spectrum whose edge was not recognised, between its lowest and its last level."""
    low, high = float(values.min()), float(np.median(values[-max(3, values.size // 5) :]))
    if high <= low:
        high = float(values.max())
    scaled = (values - low) / max(high - low, 1e-300)
    position = float(energy[int(np.argmax(scaled >= 0.5))])
    return Shape(label, ref, energy, scaled, position, flags)
