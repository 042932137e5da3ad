"""The digital twin of an implanted array: emitters with known truth, their map and their spectra.

In: a design and a random generator. Out: tables of sites and emitters, counts over pixels, spectra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.units import HC
from matterscope.physics.images import pixel_gaussian
from matterscope.physics.lineshapes import FWHM_OF_SIGMA, gaussian, pixel_voigt

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """An array of sites and what its emitters are like.

    Parameters
    ----------
    rows, columns : int
    pitch : float, px
    rotation : float, deg
    emitters_per_site : float
        Mean number λ of implanted emitters.
    site_scatter : float
        Coefficient of variation of the apertures' areas.
    placement : float, px
        Standard deviation of an emitter's place about its site, one axis.
    native_density : float, 1/px²
        Emitters anywhere that were not implanted.
    peak : float, counts
        Median height of one emitter in the map; `brightness_scatter` is its lognormal width.
    spot : float, px
        Standard deviation of the point-spread function.
    background, hump : float, counts
        Flat background and the height of the flake's glow.
    centre, centre_scatter : float, eV
    width, width_scatter : float, eV
    debye_waller : float
    """

    rows: int = 20
    columns: int = 20
    pitch: float = 24.0
    rotation: float = 0.0
    emitters_per_site: float = 0.8
    site_scatter: float = 0.0
    placement: float = 0.3
    native_density: float = 0.0
    peak: float = 40.0
    brightness_scatter: float = 0.25
    spot: float = 1.8
    background: float = 20.0
    hump: float = 10.0
    centre: float = 2.0989
    centre_scatter: float = 0.0096
    width: float = 0.0252
    width_scatter: float = 0.0025
    debye_waller: float = 0.45
    margin: float = 28.0

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the map, (ny, nx)."""
        return (
            round((self.rows - 1) * self.pitch + 2 * self.margin),
            round((self.columns - 1) * self.pitch + 2 * self.margin),
        )


@dataclass(frozen=True)
class Array:
    """A made array: sites (row, column, x, y, emitters), emitters with their truths, the map."""

    design: Design
    sites: pd.DataFrame
    emitters: pd.DataFrame
    expected: Floats
    counts: NDArray[np.int64]


def make_array(design: Design, rng: np.random.Generator) -> Array:
    """Return an array drawn from a design."""
    ny, nx = design.shape
    row, column = (
        g.ravel()
        for g in np.meshgrid(np.arange(design.rows), np.arange(design.columns), indexing="ij")
    )
    angle = np.deg2rad(design.rotation)
    u = (column - (design.columns - 1) / 2) * design.pitch
    v = (row - (design.rows - 1) / 2) * design.pitch
    x = (nx - 1) / 2 + u * np.cos(angle) - v * np.sin(angle)
    y = (ny - 1) / 2 + u * np.sin(angle) + v * np.cos(angle)
    mean = np.full(x.size, design.emitters_per_site)
    if design.site_scatter > 0:
        mean = mean * rng.gamma(design.site_scatter**-2, design.site_scatter**2, x.size)
    number = rng.poisson(mean)
    sites = pd.DataFrame(
        {
            "site": np.arange(x.size),
            "row": row,
            "column": column,
            "x": x,
            "y": y,
            "emitters": number,
        }
    )
    site = np.repeat(np.arange(x.size), number)
    native = int(rng.poisson(design.native_density * nx * ny))
    place = np.concatenate(
        [
            np.stack([x[site], y[site]], axis=1) + rng.normal(0, design.placement, (site.size, 2)),
            rng.uniform([0, 0], [nx - 1, ny - 1], (native, 2)),
        ]
    )
    n = site.size + native
    emitters = pd.DataFrame(
        {
            "site": np.concatenate([site, np.full(native, -1)]),
            "x": place[:, 0],
            "y": place[:, 1],
            "peak": design.peak * np.exp(design.brightness_scatter * rng.standard_normal(n)),
            "centre": rng.normal(design.centre, design.centre_scatter, n),
            "width": np.maximum(
                rng.normal(design.width, design.width_scatter, n), 0.3 * design.width
            ),
        }
    )
    expected = _glow(design)
    half = int(np.ceil(5 * design.spot))
    for _, e in emitters.iterrows():
        c, r = round(e["x"]), round(e["y"])
        low_r, low_c = max(r - half, 0), max(c - half, 0)
        part = expected[low_r : r + half + 1, low_c : c + half + 1]
        part += e["peak"] * pixel_gaussian(part.shape, e["x"] - low_c, e["y"] - low_r, design.spot)
    return Array(design, sites, emitters, expected, rng.poisson(expected))


def _glow(design: Design) -> Floats:
    ny, nx = design.shape
    y, x = np.mgrid[:ny, :nx]
    shape = np.exp(-(((x - 0.6 * nx) / (0.3 * nx)) ** 2) - ((y - 0.4 * ny) / (0.3 * ny)) ** 2)
    return np.asarray(design.background + design.hump * shape)


def spectrum_axis(low: float = 535.0, high: float = 770.0, pixels: int = 1340) -> Floats:
    """Return the wavelengths (nm) of a spectrometer's pixels."""
    return np.linspace(low, high, pixels)


def expected_spectrum(
    wavelength: Floats,
    centre: float,
    width: float,
    debye_waller: float,
    photons: float,
    instrument: float = 0.3,
    offset: float = 600.0,
) -> Floats:
    """Return expected counts per pixel: Voigt line, optical sidebands, offset.

    Parameters
    ----------
    wavelength : array of shape (n,), nm
    centre, width : float, eV
        Line centre and Lorentzian full width.
    debye_waller : float
        Share of the lineshape in the line.
    photons : float
        Photons in all.
    instrument : float, nm
        Full width of the spectrometer's response.
    offset : float, counts
    """
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    ends = [1.5 * wavelength[0] - 0.5 * wavelength[1], 1.5 * wavelength[-1] - 0.5 * wavelength[-2]]
    edges = HC / np.concatenate([[ends[0]], middle, [ends[1]]])[::-1]
    energy, step = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    sigma = instrument * centre**2 / HC / FWHM_OF_SIGMA
    line = pixel_voigt(edges, centre, sigma, width)
    broad = np.hypot(width / FWHM_OF_SIGMA, sigma)
    # shares of one-phonon light: the in-plane optical modes of a layered host lead
    side = sum(
        share * gaussian(energy, centre - shift, float(np.hypot(broad, spread)))
        for share, shift, spread in ((0.6, 0.165, 0.01), (0.28, 0.195, 0.008), (0.12, 0.335, 0.02))
    )
    shape = debye_waller * line + (1 - debye_waller) * side * step
    return np.asarray((offset + photons * shape * (energy / centre) ** 3)[::-1])


def spectrum_frames(
    expected: Floats, rng: np.random.Generator, *, read: float = 8.0, cosmics: float = 0.0
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return noisy frames and the truth of the struck pixels.

    Parameters
    ----------
    expected : array of shape (frames, pixels), counts
    rng : numpy Generator
    read : float, counts
        Read-out noise.
    cosmics : float
        Mean number of strikes a frame; heights run log-evenly from 10 to 3000 standard deviations,
        three of four strike one pixel, the others two or three.
    """
    offset = expected.min()
    counts = (
        rng.poisson(np.maximum(expected - offset, 0)) + offset + rng.normal(0, read, expected.shape)
    )
    struck = np.zeros(expected.shape, bool)
    sigma = np.sqrt(read**2 + np.maximum(expected - offset, 0))
    for f in range(len(expected)):
        for _ in range(rng.poisson(cosmics)):
            i = int(rng.integers(3, expected.shape[1] - 3))
            height = sigma[f, i] * 10 ** rng.uniform(1, 3.5)
            width = int(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05]))
            shares = [1.0, rng.uniform(0.05, 1.0), rng.uniform(0.02, 0.3)][:width]
            for k, share in enumerate(shares):
                j = i + (k if k < 2 else -1)
                counts[f, j] += share * height
                struck[f, j] = struck[f, j] or share * height > 5 * sigma[f, j]
    return np.round(counts), struck
