"""Frames of one spectrum: over ascending energy, without cosmic rays, in groups of like frames.

In: a spectrum as it was read. Out: frames with their mask, groups and noise; the light of a group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.errors import SchemaError
from matterscope.core.units import HC
from matterscope.emitters.lines.cosmics import NARROWEST, Noise, estimate_noise, find_cosmics
from matterscope.emitters.lines.zero_phonon import Light, edges_of

if TYPE_CHECKING:
    from matterscope.emitters.settings import SpectrumSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """Counts of shape (frames, pixels) over ascending energy edges (eV), with what is left out of them.

    `lost` pixels hold no number, `saturated` ones the detector's ceiling; `left_out` is all together.
    """

    edges: Floats
    counts: Floats
    cosmics: NDArray[np.bool_]
    groups: NDArray[np.int64]
    noise: Noise
    lost: NDArray[np.bool_]
    saturated: NDArray[np.bool_]

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """Return the mask of pixels that take part in nothing."""
        return self.cosmics | self.lost | self.saturated

    @property
    def energy(self) -> Floats:
        """Return the pixel centres, eV."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


def clean(data: xr.Dataset, settings: SpectrumSettings) -> Frames:
    """Return the frames over ascending energy with cosmic rays marked."""
    axis = "energy" if "energy" in data.dims else "wavelength"
    counts = np.atleast_2d(np.asarray(data["counts"].values, dtype=float))
    counts = counts.reshape(-1, counts.shape[-1])
    values = np.asarray(data[axis].values, dtype=float)
    if values.size < 16:
        raise SchemaError(
            "a spectrum needs at least 16 points",
            where=str(data.attrs.get("label", "")),
            got=values.size,
        )
    if not np.isfinite(counts).any():
        raise SchemaError(
            "the spectrum has no finite counts", where=str(data.attrs.get("label", ""))
        )
    edges = edges_of(values)
    if axis == "wavelength":
        edges, counts = (HC / edges)[::-1], counts[:, ::-1]
    lost = ~np.isfinite(counts)
    counts = np.where(lost, np.nanmedian(counts), counts)
    full = bool((data.attrs.get("vendor") or {}).get("saturated_pixels"))
    saturated = _saturated(counts, full)
    width = _response(settings, 0.5 * (edges[1:] + edges[:-1]), np.diff(edges))
    if settings.remove_cosmics:
        struck, groups, noise = find_cosmics(counts, width)
    else:
        struck, groups, noise = (
            np.zeros(counts.shape, bool),
            np.zeros(len(counts), np.int64),
            estimate_noise(counts),
        )
    struck &= ~saturated & ~lost
    return Frames(edges, counts, struck, groups, noise, lost, saturated)


CEILING = 3
"""Neighbouring pixels that share the highest value before it counts as the detector's ceiling."""


def _saturated(counts: Floats, full: bool) -> NDArray[np.bool_]:
    """Return the pixels at the ceiling: known from the file's number type (`full`), or a flat top."""
    top = counts >= counts.max()
    if full:
        return np.asarray(top)
    run = np.array([np.convolve(t, np.ones(CEILING), "same") >= CEILING for t in top])
    # few counts share their highest value by chance, and so do coarse steps
    spread = float(counts.max() - np.median(counts))
    high = spread > 50 and spread > 20 * float(np.sqrt(max(np.median(counts), 1.0)))
    steps = np.diff(np.unique(counts))
    fine = steps.size > 0 and float(np.median(np.abs(np.diff(counts)))) > 8 * float(steps.min())
    return np.asarray(top & (run.any() and (high or fine)))


def _response(settings: SpectrumSettings, energy: Floats, step: Floats) -> float:
    """Return the full width of the spectrometer's response in pixels, as far as it is known."""
    if settings.instrument_pixels is not None or settings.instrument_width is None:
        return settings.instrument_pixels or NARROWEST
    pixels = settings.instrument_width * energy**2 / HC / step
    return max(float(np.median(pixels)), NARROWEST)


def combine(frames: Frames, group: int) -> Light:
    """Return the sum of a group's frames; struck pixels are filled from the other frames."""
    members = np.flatnonzero(frames.groups == group)
    counts, good = frames.counts[members], ~frames.left_out[members]
    seen = good.sum(axis=0)
    mean = np.where(good, counts, 0).sum(axis=0) / np.maximum(seen, 1)
    if not seen.all() and seen.any():
        # left out of every fit, but the picture and the search for the line need a value there
        index, known = np.arange(seen.size), np.flatnonzero(seen)
        full = frames.saturated[members].any(axis=0)
        filled = np.where(full, counts.max(), np.interp(index, known, mean[known]))
        mean = np.where(seen > 0, mean, filled)
    n, noise = members.size, frames.noise
    light = Light(
        frames.edges, mean * n, noise.read * np.sqrt(n), noise.offset * n, noise.gain, seen > 0
    )
    if n < 4:
        return light
    # lines that drift within a group scatter more than counting; brightness alone does no harm, so
    # frames are first brought to one scale. Neighbouring pixels share the estimate
    middle = mean - np.percentile(mean, 10)
    filled = np.where(good, counts, mean) - np.percentile(counts, 10, axis=1)[:, None]
    scale = (filled @ middle) / (middle @ middle)
    between = n * np.var(filled / scale[:, None], axis=0, ddof=1)
    between = np.convolve(between, [0.25, 0.5, 0.25], mode="same")
    return replace(light, scatter=np.maximum(between - light.variance(light.counts), 0.0))


def brightest(frames: Frames) -> int:
    """Return the group with the largest summed peak above its base."""

    def weight(group: int) -> float:
        light = combine(frames, group)
        y = light.counts[light.good]
        return float(np.percentile(y, 99.8) - np.median(y))

    return max(range(int(frames.groups.max()) + 1), key=weight)
