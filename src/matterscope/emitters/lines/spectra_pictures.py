"""Pictures of a spectrum: decomposition with residual, frames with their jumps and cosmic rays.

In: light, a fitted line, frames. Out: `Picture`s as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.pictures import Panel, Picture, band, image, line, mark, points, span
from matterscope.core.units import HC

if TYPE_CHECKING:
    from matterscope.emitters.lines.frames import Frames
    from matterscope.emitters.lines.zero_phonon import Light, Line, Share


def decomposition(light: Light, fitted: Line, share: Share) -> Picture:
    """Return the spectrum over energy with line, sideband, base and the line's residuals."""
    energy, part = light.energy, slice(max(share.low - 20, 0), share.high + 20)
    per_mev = 1e-3 / np.diff(light.edges)
    centre = float(np.median(fitted.centre))
    y = np.where(light.good, light.counts, np.nan)
    window = fitted.window
    sideband = slice(share.low, max(window.start + 1, share.low + 2))
    variance = light.variance(np.interp(energy, energy[window], fitted.model))[window]
    residual = (light.counts[window] - fitted.model) / np.sqrt(variance)
    return Picture(
        "spectrum",
        f"Zero-phonon line at {centre:.4f} eV ({HC / centre:.2f} nm)",
        [
            Panel(
                [
                    band(
                        energy[sideband],
                        np.zeros(sideband.stop - sideband.start),
                        ((y - share.base) * per_mev)[sideband],
                        "phonon sideband",
                    ),
                    line(energy[part], ((y - share.base) * per_mev)[part], "measured", "data"),
                    line(
                        energy[window],
                        (fitted.model - share.base) * per_mev[window],
                        "zero-phonon line",
                    ),
                    mark(y=[0.0]),
                ],
                "",
                "counts per meV above the base",
                height=2.0,
            ),
            Panel(
                [
                    points(
                        energy[window],
                        light.counts[window] * per_mev[window],
                        "measured",
                        markersize=2,
                    ),
                    line(energy[window], fitted.model * per_mev[window], "fit"),
                    line(
                        energy[window],
                        fitted.base * per_mev[window],
                        "base under the line",
                        "muted",
                    ),
                ],
                "",
                "counts per meV",
                height=1.4,
            ),
            Panel(
                [line(energy[window], residual, "", "residual"), mark(y=[0.0])],
                "energy (eV)",
                "residual (σ)",
                height=0.7,
            ),
        ],
        caption="Above: line and sideband over the whole range; middle: the line with its fit; below: residuals in standard deviations.",
        height=6.4,
    )


def frames(found: Frames) -> Picture:
    """Return all frames as an image over energy, with cosmic rays marked."""
    # over wavelength, where a spectrometer's pixels are even: an image has even columns
    axis = HC / found.energy[::-1]
    spread = np.arcsinh((found.counts[:, ::-1] - found.noise.offset) / 50)
    f, i = np.nonzero(found.cosmics[:, ::-1])
    bright = np.percentile(found.counts[:, ::-1], 99.5, axis=0)
    seen = np.flatnonzero(bright > np.median(bright) + 0.02 * np.ptp(bright))
    low, high = max(int(seen.min()) - 40, 0), min(int(seen.max()) + 40, axis.size - 1)
    inside = (i >= low) & (i <= high)
    rows = len(found.counts)
    return Picture(
        "frames",
        f"{rows} frames, {int(found.groups.max()) + 1} different spectra",
        [
            Panel(
                [
                    image(spread[:, low : high + 1], (axis[low], axis[high]), (-0.5, rows - 0.5)),
                    points(axis[i[inside]], f[inside], "cosmic ray", "flagged", markersize=5),
                ],
                "wavelength (nm)",
                "frame",
                color_label="arcsinh of counts",
            )
        ],
        caption="Each row is a frame. Lines that jump are kept; only the marked pixels were struck by cosmic rays.",
    )


def raw(light: Light, found: Frames) -> Picture:
    """Return the bare spectrum, where no line was found."""
    return Picture(
        "spectrum",
        "No line found",
        [
            Panel(
                [
                    line(light.energy, light.counts, "measured", "data"),
                    span(light.energy[0], light.energy[0]),
                ],
                "energy (eV)",
                "counts",
            )
        ],
        caption=f"Sum of {len(found.counts)} frames.",
    )
