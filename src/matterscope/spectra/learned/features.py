"""Features: what of an aligned shape a model sees, and the single distortions it is tried on.

In: aligned shapes (n, m) on a stated window. Out: feature tables, and spectra with one thing done to them
that instruments, thick samples or a wrong normalisation do (`instruments` draws them all together).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.curves import cumulative_shape, gaussian_smooth

Floats = NDArray[np.float64]


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


def moments(shapes: Floats, grid: Floats) -> Floats:
    """Return area, mean, width, skewness and kurtosis of the shape, of its rise and of its oscillation.

    Weights: μ, the positive part of dμ/dE, and |μ − 1| above the edge, each on its own energies.
    """
    rise = np.maximum(np.gradient(shapes, grid, axis=1), 0.0)
    above = np.abs(shapes - 1.0) * (grid > 0)
    return np.concatenate(
        [_moments(np.maximum(w, 0.0), grid) for w in (shapes, rise, above)], axis=1
    )


def _moments(weights: Floats, grid: Floats) -> Floats:
    step = np.gradient(grid)
    area = (weights * step).sum(axis=1)
    share = weights * step / np.maximum(area, 1e-12)[:, None]
    mean = share @ grid
    away = grid - mean[:, None]
    width = np.sqrt(np.maximum((share * away**2).sum(axis=1), 1e-12))
    scaled = away / width[:, None]
    higher = [(share * scaled**k).sum(axis=1) for k in (3, 4)]
    return np.column_stack([area, mean, width, *higher])


def scalars(shapes: Floats, grid: Floats) -> Floats:
    """Return what a person reads off: white line, pre-edge, first minimum, centroids of rise and shape.

    Height, position and area of the white line (0–25 eV); area and centroid below −1 eV; height and
    position of the minimum behind the white line; mean energy of the rise; Σ (1 − c_j) ΔE.
    """
    step = np.gradient(grid)
    white = (grid >= 0) & (grid <= 25)
    top = shapes[:, white].argmax(axis=1)
    height, position = shapes[:, white].max(axis=1), grid[white][top]
    area = (np.maximum(shapes[:, white] - 1, 0) * step[white]).sum(axis=1)
    before = grid < -1
    low = np.maximum(shapes[:, before], 0) * step[before]
    pre = low.sum(axis=1)
    centre = (low * grid[before]).sum(axis=1) / np.maximum(pre, 1e-12)
    behind = np.where(grid > position[:, None], shapes, np.inf)
    dip = behind.argmin(axis=1)
    rise = np.maximum(np.gradient(shapes, grid, axis=1), 0.0) * step * (grid < 15)
    mean_rise = (rise * grid).sum(axis=1) / np.maximum(rise.sum(axis=1), 1e-12)
    centroid = ((1 - cumulative_shape(shapes)) * step).sum(axis=1)
    return np.column_stack(
        [height, position, area, pre, centre, behind.min(axis=1), grid[dip], mean_rise, centroid]
    )


FEATURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "raw": raw,
    "cumulative": cumulative,
    "derivative": derivative,
    "wavelet": wavelet,
    "polynomial": polynomial,
    "peaks": peaks,
    "moments": moments,
    "scalars": scalars,
    "components": raw,
}
"""Name → function of (shapes, grid in eV); of "components" the model takes principal components itself."""
COMPONENTS = 20
"""Principal components of the description of that name, fitted to the training groups."""


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
