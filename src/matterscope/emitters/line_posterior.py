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
SHARES = np.array([0.0, 0.15, 0.35, 0.55, 0.75, 0.9, 1.0])
"""Lorentzian shares of the full width that are looked at."""
SHARE_PRIOR = np.array([0.3, 0.08, 0.08, 0.08, 0.08, 0.08, 0.3])
"""A line is purely homogeneous, purely inhomogeneous or anything between, each about a third."""
STEPS = 22
"""Widths of one pass of the grid."""


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
    logs[found[:, 0] <= 0] = -np.inf
    roots = np.linalg.cholesky(0.5 * (inverse + np.swapaxes(inverse, 1, 2))) / size[:, :, None]
    found = found / size
    found[:, 1] *= scale
    roots[:, 1] *= scale[:, None]
    return logs, found, roots * np.sqrt(pixels.misfit)


def _grid(pixels: Pixels, widths: Floats) -> tuple[Floats, ...]:
    width, share = (g.ravel() for g in np.meshgrid(widths, SHARES, indexing="ij"))
    logs, found, roots = _solve(pixels, width, share)
    narrowest = np.hypot(FWHM_OF_SIGMA * pixels.fixed, np.median(np.diff(pixels.edges)))
    logs = logs + np.log(np.tile(SHARE_PRIOR, widths.size)) - np.log(width + narrowest)
    return width, share, logs, found, roots


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
    for _ in range(4):
        widths = np.linspace(low, high, STEPS)
        width, share, logs, found, roots = _grid(pixels, widths)
        along = logs.reshape(STEPS, -1).max(axis=1)
        kept = np.flatnonzero(along > along.max() - 10)
        first, last = max(kept[0] - 1, 0), min(kept[-1] + 1, STEPS - 1)
        wide_enough = last < STEPS - 1 or high >= pixels.edges[-1] - pixels.edges[0]
        if wide_enough and last - first > 0.5 * STEPS:
            break
        low = float(widths[first])
        high = float(widths[last]) if wide_enough else 2 * high
    weight = np.exp(logs - logs.max())
    k = rng.choice(weight.size, n, p=weight / weight.sum())
    unit = np.einsum("nij,nj->ni", roots[k], rng.standard_normal((n, 4)))
    linear = found[k] + unit
    spread = (widths[1] - widths[0]) * rng.uniform(-0.5, 0.5, n)
    sigma, lorentz = widths_of(np.maximum(width[k] + spread, low), share[k])
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
