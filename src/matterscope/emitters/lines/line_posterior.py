"""The posterior of a line's width, Lorentzian share, centre and area, without a normal law.

In: counts per pixel about one line, their variance, the instrument. Out: draws. The two quantities
that are not linear run over a grid; all others are integrated out in closed form at each of its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.lineshapes import FWHM_OF_SIGMA, pixel_voigt, voigt, voigt_width

Floats = NDArray[np.float64]
PURE = 0.3
"""Prior probability of a purely Gaussian line, and of a purely Lorentzian one; the rest is between."""
STEPS = (22, 9)
"""Widths and Lorentzian shares of one pass of the grid."""


@dataclass(frozen=True)
class Pixels:
    """Good pixels about one line: edges (n + 1) eV of all, counts (n,), weights (n,) 1/σ, 0 if bad.

    `centre` (eV) is the best one so far, `fixed` the instrument's standard deviation (eV), `misfit`
    the reduced χ² by which all variances are multiplied, at least 1.
    """

    edges: Floats
    counts: Floats
    weight: Floats
    centre: float
    fixed: float
    misfit: float

    @property
    def energy(self) -> Floats:
        """Return the pixel centres, eV."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


@dataclass(frozen=True)
class Draws:
    """Draws (n,) of centre, Gaussian σ and Lorentzian Γ without the instrument (eV), area; the best."""

    centre: Floats
    sigma: Floats
    lorentz: Floats
    area: Floats
    best: tuple[float, float, float, float]
    """Most likely centre, σ, Γ (eV) and area (counts)."""


def widths_of(width: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Return Gaussian σ and Lorentzian Γ of Voigt lines of a full width and Γ's share of it.

    The inverse of W = 0.5346 Γ + √(0.21662 Γ² + (2.3548 σ)²) at Γ = ηW.
    """
    gauss = np.sqrt(np.maximum((1 - 0.5346 * share) ** 2 - 0.21662 * share**2, 0.0))
    return width * gauss / FWHM_OF_SIGMA, width * share


def _solve(pixels: Pixels, width: Floats, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ln posterior (m,), the best linear parameters (m, 4) and roots of their covariance.

    Linear parameters: area, area × shift of the centre, base and its slope (flat priors).
    """
    sigma, lorentz = (v[:, None, None] for v in widths_of(width, share))
    sigma = np.hypot(sigma, pixels.fixed)
    tilt = (pixels.energy / pixels.centre) ** 3
    line = pixel_voigt(pixels.edges, pixels.centre, sigma, lorentz) * tilt
    # ∂/∂c of a pixel's share is the profile at its lower edge less the one at its upper edge
    at = voigt(pixels.edges, pixels.centre, sigma[:, 0], lorentz[:, 0])
    shift = (at[:, :-1] - at[:, 1:]) * tilt
    base = np.ones(pixels.counts.size)
    slope = (pixels.energy - pixels.centre) / (pixels.edges[-1] - pixels.edges[0])
    scale = 1 / np.abs(shift).max(axis=1)
    columns = [line, shift * scale[:, None], *np.broadcast_arrays(base, slope, line)[:2]]
    design = np.stack(columns, axis=2)
    design = design * pixels.weight[:, None]
    right = pixels.counts * pixels.weight
    gram = np.swapaxes(design, 1, 2) @ design
    # the linear algebra wants columns of one size
    size = np.sqrt(np.maximum(np.einsum("mii->mi", gram), 1e-300))
    gram = gram / size[:, :, None] / size[:, None, :] + 1e-9 * np.eye(4)
    moment = (np.swapaxes(design, 1, 2) @ right) / size
    inverse = np.linalg.inv(gram)
    found = np.einsum("mij,mj->mi", inverse, moment)
    cost = right @ right - np.einsum("mi,mi->m", found, moment)
    _, volume = np.linalg.slogdet(gram)
    logs = -0.5 * cost / pixels.misfit - 0.5 * volume - np.log(size).sum(axis=1) + np.log(scale)
    # a narrow line hidden among left-out pixels could have any area
    most = 100.0 * float(np.ptp(pixels.counts)) * pixels.counts.size
    area = found[:, 0] / size[:, 0]
    logs[(area <= 0) | (area > most)] = -np.inf
    roots = np.linalg.cholesky(0.5 * (inverse + np.swapaxes(inverse, 1, 2))) / size[:, :, None]
    found = found / size
    found[:, 1] *= scale
    roots[:, 1] *= scale[:, None]
    return logs, found, roots * np.sqrt(pixels.misfit)


def _prior(shares: Floats) -> Floats:
    """Return the prior weights of Lorentzian shares: even between, with a lump at either end."""
    weight = (1 - 2 * PURE) * np.gradient(shares)
    weight[shares <= 0] = PURE
    weight[shares >= 1] = PURE
    return weight


def _grid(pixels: Pixels, widths: Floats, shares: Floats) -> tuple[Floats, ...]:
    width, share = (g.ravel() for g in np.meshgrid(widths, shares, indexing="ij"))
    logs, found, roots = _solve(pixels, width, share)
    narrowest = np.hypot(FWHM_OF_SIGMA * pixels.fixed, np.median(np.diff(pixels.edges)))
    logs = logs + np.log(np.tile(_prior(shares), widths.size)) - np.log(width + narrowest)
    return width, share, logs, found, roots


def _likely(logs: Floats, grid: Floats) -> tuple[float, float, bool]:
    """Return the stretch of a grid that holds what is likely, and whether that is most of it."""
    kept = np.flatnonzero(logs > logs.max() - 10)
    first, last = max(kept[0] - 1, 0), min(kept[-1] + 1, grid.size - 1)
    return float(grid[first]), float(grid[last]), last - first > 0.5 * grid.size


def draw_line(pixels: Pixels, observed: float, rng: np.random.Generator, n: int = 2000) -> Draws:
    """Return draws of a line's parameters; the prior is flat in centre and counts.

    In the width it is 1/(W + W₀) with the instrument's W₀: flat below it, scale-free above.

    Parameters
    ----------
    pixels : Pixels
    observed : float, eV
        A guess of the full width with the instrument.
    rng : numpy Generator
    n : int
    """
    step = float(np.median(np.diff(pixels.edges)))
    low, high = 0.02 * step, 2.5 * max(observed, 2 * step)
    least, most = 0.0, 1.0
    for _ in range(5):
        widths, shares = np.linspace(low, high, STEPS[0]), np.linspace(least, most, STEPS[1])
        width, share, logs, found, roots = _grid(pixels, widths, shares)
        table = logs.reshape(STEPS)
        low, end, wide = _likely(table.max(axis=1), widths)
        least, most, broad = _likely(table.max(axis=0), shares)
        if end >= high and high < pixels.edges[-1] - pixels.edges[0]:
            high, wide = 2 * high, False
            continue
        high = end
        if wide and broad:
            break
    weight = np.exp(logs - logs.max())
    k = rng.choice(weight.size, n, p=weight / weight.sum())
    unit = np.einsum("nij,nj->ni", roots[k], rng.standard_normal((n, 4)))
    linear = found[k] + unit
    blur = rng.uniform(-0.5, 0.5, (2, n)) * [[widths[1] - widths[0]], [shares[1] - shares[0]]]
    pure = (share[k] <= 0) | (share[k] >= 1)
    shared = np.where(pure, share[k], np.clip(share[k] + blur[1], 0, 1))
    sigma, lorentz = widths_of(np.maximum(width[k] + blur[0], 0.02 * step), shared)
    area = np.maximum(linear[:, 0], 1e-3)
    top = int(np.argmax(logs))
    best_sigma, best_lorentz = widths_of(width[top], share[top])
    return Draws(
        pixels.centre + linear[:, 1] / np.maximum(area, 0.2 * found[k, 0]),
        sigma,
        lorentz,
        area,
        (
            float(pixels.centre + found[top, 1] / found[top, 0]),
            float(best_sigma),
            float(best_lorentz),
            float(found[top, 0]),
        ),
    )


def full_widths(draws: Draws, fixed: float) -> tuple[Floats, Floats]:
    """Return the full widths without and with the instrument's standard deviation `fixed`, eV."""
    return (
        voigt_width(draws.sigma, draws.lorentz),
        voigt_width(np.hypot(draws.sigma, fixed), draws.lorentz),
    )
