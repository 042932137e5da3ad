"""Observables: what a pattern shows before any model, and the number of disks from its moments.

In: counts, open pixels, centre. Out: ring means, speckle contrast, first moment, and simple
estimates of N, each with the error that the number of speckles leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rings:
    """Averages over rings one pixel wide.

    Parameters
    ----------
    radius : array of shape (n,), px
        Middle of the ring.
    mean : array, counts
        Counts per pixel.
    contrast : array
        ⟨k(k−1)⟩/⟨k⟩² − 1, the speckle contrast² with photon noise removed.
    pixels : array
        Open pixels.
    """

    radius: Floats
    mean: Floats
    contrast: Floats
    pixels: Floats


def ring_averages(image: Floats, open_pixels: NDArray[np.bool_], radius: Floats) -> Rings:
    """Return mean and contrast of every ring with at least 24 open pixels.

    Under Poisson counts ⟨k(k−1)⟩ = ⟨I²⟩, whatever the number of photons (factorial moment).
    """
    ring = np.rint(radius[open_pixels]).astype(np.int64)
    value = image[open_pixels]
    number = np.bincount(ring).astype(float)
    first = np.bincount(ring, weights=value)
    second = np.bincount(ring, weights=value * (value - 1.0))
    keep = number >= 24
    mean = first[keep] / number[keep]
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = np.where(mean > 0, second[keep] / number[keep] / mean**2 - 1.0, np.nan)
    return Rings(np.flatnonzero(keep).astype(float), mean, contrast, number[keep])


def first_moment(image: Floats, centre: tuple[int, int]) -> float:
    """Return Σ⌊ρ⌋ I / Σ I over the whole frame, ρ the distance from the centre pixel rounded down.

    This is the definition that reproduces the published reference values, direct beam included.
    """
    ny, nx = image.shape
    rho = np.floor(np.hypot(np.arange(ny)[:, None] - centre[0], np.arange(nx)[None, :] - centre[1]))
    return float((rho * image).sum() / image.sum())


def speckle_contrast(rings: Rings, speckle: float, inner: float) -> tuple[float, float, float]:
    """Return contrast² averaged over rings, its standard error, and the number of speckles.

    Rings inside `inner` are left out: there the shape of the box correlates the speckles. The
    error of ⟨I²⟩/⟨I⟩² is ≈ 2/√n for n independent speckles (delta method, exponential statistics).
    """
    use = (rings.radius >= inner) & np.isfinite(rings.contrast) & (rings.mean > 0)
    if not use.any():
        return float("nan"), float("inf"), 0.0
    # dim rings carry photon noise on top: variance of the factorial moment ~ 2/(n ⟨k⟩²)
    pixels, mean = rings.pixels[use], rings.mean[use]
    speckles = 0.5 * pixels / speckle**2
    variance = 4.0 / np.maximum(speckles, 0.5) + 2.0 / (pixels * mean**2)
    weight = 1.0 / variance
    value = float((weight * rings.contrast[use]).sum() / weight.sum())
    return value, float(1.0 / np.sqrt(weight.sum())), float(speckles.sum())


def number_from_contrast(
    contrast: float, error: float, beta: float = 1.0
) -> tuple[float, float, float]:
    """Return N from contrast² = β(1 − 1/N) with its one-sigma range; the upper end may be infinite.

    Examples
    --------
    >>> [round(v, 2) for v in number_from_contrast(0.75, 0.05)]
    [4.0, 3.33, 5.0]
    """

    def invert(value: float) -> float:
        gap = 1.0 - value / beta
        return 1.0 / gap if gap > 0 else float("inf")

    return invert(contrast), invert(contrast - error), invert(contrast + error)


def number_from_forward(forward: float, rings: Rings, form: Floats) -> tuple[float, float]:
    """Return N = P·I(0)/⟨I⟩ from the forward intensity and its standard error.

    Parameters
    ----------
    forward : float
        I(0), counts.
    rings : Rings
        Ring means.
    form : array like ``rings.mean``
        Form factor P at the rings.
    """
    use = (form > 0.05) & (rings.mean > 0) & (rings.radius > 4)
    weight = rings.pixels[use] * form[use]
    # a common level is more stable than a mean of ratios
    level = (weight * rings.mean[use]).sum() / (weight * form[use]).sum()
    number = forward / level
    speckles = 0.5 * rings.pixels[use].sum() / 5.0
    return float(number), float(number / np.sqrt(max(speckles, 1.0)))
