"""Settings of the verbs of `spectra`: names, units, bounds and one sentence each."""

from __future__ import annotations

from typing import Literal

from matterscope.core.settings import Settings, option


class ReduceSettings(Settings):
    """Settings of `spectra reduce`."""

    technique: Literal["auto", "xas", "eels"] = option(
        "auto", "X-ray absorption or electron energy loss; auto asks the file."
    )
    axis: Literal["auto", "as-is", "shift", "linear", "quadratic"] = option(
        "auto",
        "Repair of an energy-loss axis from named edges; auto takes the highest order they allow.",
    )
    elements: tuple[str, ...] = option(
        (), "Elements that may be named in an energy-loss spectrum; empty allows all."
    )
    background: Literal["power-law", "two-power-laws", "none"] = option(
        "power-law", "Background under an energy-loss edge."
    )
    background_window: tuple[float, ...] = option(
        (), "Background window LOW HIGH on the repaired axis; empty: before each edge.", units="eV"
    )
    signal_width: float = option(
        40.0, "Length of the integration window after an onset.", units="eV", gt=1.0, le=500.0
    )
    low_loss: str = option(
        "", "Low-loss file of the same place: plural scattering is removed by Fourier ratio."
    )
    rebin: float = option(0.0, "New step of the axis; 0 keeps the points.", units="eV", ge=0.0)
    write: tuple[Literal["csv", "xdi", "nxxas", "msa"], ...] = option(
        ("csv",), "Formats of the reduced spectrum beside the record of its steps."
    )
