"""Features: what of an aligned shape a model sees, and the nuisances it must see through.

In: aligned shapes (n, m) on a stated window. Out: feature tables, and shapes as another instrument,
another sample thickness or another normalisation would have shown them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.curves import cumulative_shape, gaussian_smooth
from matterscope.spectra.alignment import WINDOWS

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def raw(shapes: Floats, grid: Floats) -> Floats:
    """Return the shape itself."""
    return shapes


def cumulative(shapes: Floats, grid: Floats) -> Floats:
    """Return c_j = Σ_{i≤j} max(μ_i, 0)/Σ_i max(μ_i, 0) (cumulative distribution)."""
    return cumulative_shape(shapes)


def derivative(shapes: Floats, grid: Floats) -> Floats:
    """Return dμ/dE (1/eV)."""
    return np.asarray(np.gradient(shapes, grid, axis=1))


def wavelet(shapes: Floats, grid: Floats) -> Floats:
    """Return the Ricker transform at widths of 1 … 10 points, by FFT, on an even grid.

    ψ_a(t) = 2/(√(3a) π^¼) (1 − t²/a²) exp(−t²/2a²).
    """
    even = np.arange(grid[0], grid[-1] + 1e-9, np.diff(grid).min())
    values = np.array([np.interp(even, grid, s) for s in shapes])
    m = even.size
    t = np.arange(m) - (m - 1) // 2
    size = 1 << int(np.ceil(np.log2(2 * m)))
    spectrum = np.fft.rfft(values, size, axis=1)
    parts = []
    for a in range(1, 11):
        psi = 2 / (np.sqrt(3 * a) * np.pi**0.25) * (1 - (t / a) ** 2) * np.exp(-0.5 * (t / a) ** 2)
        full = np.fft.irfft(spectrum * np.fft.rfft(psi, size), size, axis=1)
        start = (m - 1) // 2
        parts.append(full[:, start : start + m : 2])
    return np.concatenate(parts, axis=1)


def polynomial(shapes: Floats, grid: Floats) -> Floats:
    """Return cubic coefficients per 2.5 and per 5 eV window, in a centred and scaled variable."""
    parts = []
    for width in (2.5, 5.0):
        for start in np.arange(grid[0], grid[-1] - width + 1e-9, width):
            inside = (grid >= start - 1e-9) & (grid <= start + width + 1e-9)
            order = min(3, int(inside.sum()) - 1)
            if order < 1:
                continue
            u = (grid[inside] - start - width / 2) / (width / 2)
            parts.append(shapes[:, inside] @ np.linalg.pinv(np.vander(u, order + 1)).T)
    return np.concatenate(parts, axis=1)


def peaks(shapes: Floats, grid: Floats, count: int = 20) -> Floats:
    """Return non-negative weights of a dictionary of Gaussians, `count` centres × widths 2 and 5 eV."""
    from scipy.optimize import nnls

    centres = np.linspace(grid[0], grid[-1], count)
    atoms = [np.exp(-4 * np.log(2) * ((grid - c) / w) ** 2) for w in (2.0, 5.0) for c in centres]
    design = np.stack([*atoms, (grid > 0).astype(float)], axis=1)
    return np.array([nnls(design, np.maximum(s, 0.0))[0] for s in shapes])


FEATURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "raw": raw,
    "cumulative": cumulative,
    "derivative": derivative,
    "wavelet": wavelet,
    "polynomial": polynomial,
    "peaks": peaks,
}
"""Name → function of (shapes, grid in eV)."""


@dataclass(frozen=True)
class Nuisance:
    """What an instrument may do to a spectrum: bounds of one random draw."""

    broadening: float = 1.5
    """Largest Gaussian standard deviation added (eV)."""
    sharpening: float = 0.6
    """Largest unsharp-mask strength (HERFD is narrower than theory); 0 switches it off."""
    scale: float = 0.03
    """Largest error of the edge step, as a share."""
    slope: float = 0.06
    """Largest slope error, share of the edge step per 50 eV."""
    self_absorption: tuple[float, float] = (-0.02, 0.10)
    noise: float = 0.0
    """Largest standard deviation of one point, share of the edge step."""


@cache
def _kernels(window: str) -> tuple[Singles, tuple[Singles, ...]]:
    grid = WINDOWS[window]
    kernels = []
    for sigma in (0.35, 0.7, 1.0, 1.5):
        k = np.exp(-0.5 * ((grid[:, None] - grid[None, :]) / sigma) ** 2) * np.gradient(grid)
        kernels.append((k / k.sum(axis=1, keepdims=True)).T.astype(np.float32))
    return (grid / 50).astype(np.float32), tuple(kernels)


def perturb(
    shapes: NDArray[Any], rng: np.random.Generator, window: str, nuisance: Nuisance
) -> Singles:
    """Return each shape through its own random nuisances, on the same window.

    Broadening by a Gaussian, sharpening x + s (x − G x), scale and slope
    μ (1 + g)(1 + b ε/50), and self-absorption
    μ' = μ (1 + a)/(1 + a μ).
    """
    x = np.asarray(shapes, dtype=np.float32)
    ramp, kernels = _kernels(window)
    widths = (0.35, 0.7, 1.0, 1.5)
    usable = [k for k, w in zip(kernels, widths, strict=True) if w <= nuisance.broadening]
    choice = rng.integers(-1 if nuisance.sharpening else 0, len(usable) + 1, len(x))
    out = x.copy()
    for k, kernel in enumerate(usable, 1):
        chosen = choice == k
        out[chosen] = x[chosen] @ kernel
    sharp = choice == -1
    strength = rng.uniform(0, nuisance.sharpening, (int(sharp.sum()), 1)).astype(np.float32)
    out[sharp] = x[sharp] + strength * (x[sharp] - x[sharp] @ kernels[2])
    bend = rng.uniform(-nuisance.slope, nuisance.slope, (len(x), 1)).astype(np.float32)
    gain = rng.uniform(-nuisance.scale, nuisance.scale, (len(x), 1)).astype(np.float32)
    out = out * (1 + gain) * (1 + bend * ramp)
    a = rng.uniform(*nuisance.self_absorption, (len(x), 1)).astype(np.float32)
    out = out * (1 + a) / (1 + a * out)
    if nuisance.noise:
        level = rng.uniform(0, nuisance.noise, (len(x), 1)).astype(np.float32)
        out = out + level * rng.standard_normal(out.shape, dtype=np.float32)
    return np.asarray(out, dtype=np.float32)


@dataclass(frozen=True)
class Distortion:
    """One thing that an instrument does, as applied to the test spectra."""

    shift: float = 0.0
    broadening: float = 0.0
    noise: float = 0.0
    slope: float = 0.0
    self_absorption: float = 0.0


DISTORTIONS: dict[str, Distortion] = {
    "clean": Distortion(),
    "+2 eV": Distortion(shift=2.0),
    "+3 eV": Distortion(shift=3.0),
    "noise 1 %": Distortion(noise=0.01),
    "noise 3 %": Distortion(noise=0.03),
    "slope +5 %": Distortion(slope=0.05),
    "self-absorption 10 %": Distortion(self_absorption=0.10),
    "1 eV broader, +2 eV, noise 1 %": Distortion(shift=2.0, broadening=1.0, noise=0.01),
}
"""Name → what is done to the test spectra (eV, shares of the edge step, share per 50 eV)."""


def distort(
    energy: Floats, mu: Floats, how: Distortion, centre: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return (energy, mu) as an instrument with this distortion would have given them.

    Slope: μ (1 + b (E − centre)/50); self-absorption: μ (1 + a)/(1 + a μ), which flattens the white
    line as a thick sample does.
    """
    y = gaussian_smooth(energy, mu, how.broadening)
    if how.slope:
        y = y * (1 + how.slope * (energy - centre) / 50.0)
    if how.self_absorption:
        a = how.self_absorption
        y = y * (1 + a) / (1 + a * y)
    if how.noise:
        y = y + how.noise * rng.standard_normal(y.size)
    return energy + how.shift, y
