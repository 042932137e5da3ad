"""Further disks: what one disk more, of any area and at any place, would change in the likelihood.

In: a fitted structure and the counts. Out: the odds of a further disk too small to be found, the places
where one is worth a fit, and the smallest area that the pattern could show.

A disk of amplitude g > 0 at u adds to the model intensity m = |F|² + b the term g² + 2 g |F| cos θ with
θ = k·u − arg F. With a = m + g² and x = 2 g |F|,

    ln(a + x cos θ) = ln[(a + √(a² − x²))/2] + 2 Σ_n (−1)^(n+1) tⁿ cos(nθ)/n,   t = (a − √(a² − x²))/x,

so that the Poisson likelihood at every place of the field is a constant and a few Fourier transforms, without
an expansion in g: near the zeros of F, where g exceeds |F|, a small disk shows by its own intensity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.fourier import disk_factor
from matterscope.scattering.differences import amplitude_of, free_places, peaks_of
from matterscope.scattering.refinement import Counts, Fit, intensity

Floats = NDArray[np.float64]

NODES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""√ΔD, expected of a disk, at which its areas are tried; one of 6 is always found by the search."""
STRIDE = 2.2
"""Ratio of areas beyond these nodes, up to the mean area."""
FINE = 2.8
"""Points of the maps per resolution element 2π/(range of k)."""
SECOND = 0.03
"""Standard deviation of the log likelihood below which the second harmonic is left out."""
HIGHEST = 30.0
"""Log likelihoods are cut here before they are averaged."""
WORTH = -25.0
"""Least gain of deviance, less the law's price, of a place for which all parameters are fitted."""


@dataclass(frozen=True)
class Further:
    """What a further disk would change.

    Parameters
    ----------
    odds : float
        P(N + 1)/P(N) for a further disk that no fit has found.
    places : list of (gain, y, x, radius)
        Where the deviance, less what the law of areas asks for, falls most (or rises least).
    """

    odds: float
    places: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Addition:
    """The likelihood of one disk more beside a fitted structure, in its Fourier terms."""

    fit: Fit
    counts: Counts

    @cached_property
    def axes(self) -> tuple[Floats, Floats]:
        """Return the distances of rows and columns from the fitted centre, px."""
        offset = self.fit.structure.offset
        return self.counts.ky - offset[0], self.counts.kx - offset[1]

    @cached_property
    def radius(self) -> float:
        """Return the radius of the mean area."""
        return float(np.sqrt((self.fit.structure.radius**2).mean()))

    @cached_property
    def _model(self) -> tuple[Floats, Floats, NDArray[np.complex64], Floats]:
        """Return |F|, the model intensity, e^{−i arg F} and q at the measured pixels."""
        rows, columns = self.counts.index
        ky, kx = self.axes
        whole = amplitude_of(self.fit.structure, ky, kx)[rows, columns]
        height = np.abs(whole)
        turn = np.conj(whole) / np.maximum(height, 1e-30)
        if self.counts.blur > 0:
            # the fringes that partial coherence leaves are no deeper than the blurred intensity
            height = np.sqrt(np.maximum(intensity(self.fit.structure, self.counts)[0], 0.0))
        return (
            height,
            height**2 + max(self.counts.noise, 1e-9),
            turn.astype(np.complex64),
            np.hypot(ky[rows], kx[columns]),
        )

    def _terms(self, area: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return g² and x, ln of the mean over phases less ln m, t, and the sign of the disk's amplitude."""
        height, model, _, q = self._model
        g = (
            self.fit.structure.scale
            * self.radius**2
            * area
            * disk_factor(q * self.radius * np.sqrt(area))
        )
        squared, x = g**2, 2.0 * np.abs(g) * height
        a = model + squared
        root = np.sqrt(np.maximum(a**2 - x**2, 0.0))
        t = x / np.maximum(a + root, 1e-30)
        return squared, x, np.log(0.5 * (a + root) / model), t, np.sign(g)

    def expected(self, area: float) -> float:
        """Return the mean fall of the deviance that a disk of this area, if it is there, would bring."""
        squared, x, level, t, _ = self._terms(area)
        model = self._model[1]
        return 2.0 * float(
            (self.counts.weight * ((model + squared) * level + x * t - squared)).sum()
        )

    def area_at(self, root: Floats | float) -> Floats:
        """Return the areas whose disks are expected to lower the deviance by `root`²."""
        areas = np.geomspace(1e-4, 1.5, 16)
        every = max(self.counts.value.size // 2000, 1)
        few = Addition(self.fit, self.counts.part(np.arange(self.counts.value.size) % every == 0))
        share = self.counts.weight.sum() / few.counts.weight.sum()
        roots = np.sqrt(np.maximum([share * few.expected(c) for c in areas], 1e-12))
        return np.asarray(
            np.exp(np.interp(np.log(root), np.log(roots), np.log(areas))), dtype=float
        )

    def log_ratio(self, area: float) -> Floats:
        """Return ln P(counts | one disk more at u)/P(counts) over the map of u."""
        squared, x, level, t, sign = self._terms(area)
        counts, turn = self.counts, self._model[2]
        seen = np.maximum(counts.value + counts.weight * counts.noise, 0.0)
        constant = float((seen * level - counts.weight * squared).sum())
        map_ = self._map((2.0 * seen * t - counts.weight * x) * sign * turn, 1)
        if float((seen * t**4).sum()) > 2.0 * SECOND**2:
            map_ += self._map(-seen * t**2 * turn**2, 2)
        return map_ + constant

    @cached_property
    def places(self) -> tuple[Floats, Floats]:
        """Return rows and columns of the maps: the box that the extent still allows, finer than the resolution."""
        structure, extent = self.fit.structure, np.sqrt(self.fit.freedom.area)
        rows, columns = (
            np.arange(u.max() - extent, u.min() + extent, 2.0 * np.pi / (FINE * np.ptp(k)))
            for u, k in zip((structure.y, structure.x), self.axes, strict=True)
        )
        return np.asarray(rows, dtype=float), np.asarray(columns, dtype=float)

    @cached_property
    def _waves(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        left, right = (
            np.exp(1j * np.outer(u, k)).astype(np.complex64)
            for u, k in zip(self.places, self.axes, strict=True)
        )
        return left, right

    @cached_property
    def _squares(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        left, right = self._waves
        return left**2, right**2

    def _map(self, values: NDArray[np.complex64], harmonic: int) -> Floats:
        """Return Re Σ values e^{i n k·u} over the places u, n = 1 or 2."""
        left, right = self._waves if harmonic == 1 else self._squares
        plane = np.zeros((left.shape[1], right.shape[1]), dtype=np.complex64)
        rows, columns = self.counts.index
        plane[rows, columns] = values
        return np.asarray((left @ plane @ right.T).real, dtype=float)


def further_disks(fit: Fit, counts: Counts, most: int = 2) -> Further:
    """Return the odds of one disk more that no fit has found, and the places worth a fit.

    The likelihood of the further disk is averaged over the free places and the law of areas, Normal(1, scatter)
    above 0; any of the N + 1 disks may be the small one. Where one radius is common to all there is no small
    disk: the odds are 0 and only the mean area is tried.
    """
    one = Addition(fit, counts)
    structure, freedom = fit.structure, fit.freedom
    areas, widths = _areas(one)
    asked = ((areas - 1.0) / freedom.scatter) ** 2 if freedom.radii else np.zeros(1)
    law = np.exp(-0.5 * asked) / (freedom.scatter * np.sqrt(2.0 * np.pi))
    free = free_places(one.places, structure, one.radius, float(np.sqrt(freedom.area)))
    if not free.any():
        return Further(0.0)
    total, gain, which = 0.0, np.full(free.shape, -np.inf), np.zeros(free.shape, dtype=np.intp)
    for k, area in enumerate(areas):
        ratio = one.log_ratio(float(area))
        if widths[k] > 0:
            mean = float(np.exp(np.minimum(ratio[free], HIGHEST)).mean(dtype=float))
            total += law[k] * widths[k] * mean
        worth = np.where(free, 2.0 * ratio - asked[k], -np.inf)
        better = worth > gain
        gain[better], which[better] = worth[better], k
    places = []
    for y, x, value, at in peaks_of(gain, one.places, 0.9 * one.radius, most, WORTH):
        places.append((value, y, x, one.radius * float(np.sqrt(areas[which[at]]))))
    return Further((structure.count + 1) * total, places)


def _areas(one: Addition) -> tuple[Floats, Floats]:
    """Return the areas to try, and the widths of the law that each stands for; 0 where a fit would tell."""
    if not one.fit.freedom.radii:
        return np.ones(1), np.zeros(1)
    hidden = one.area_at(np.array(NODES))
    hidden = hidden[hidden < 1.0]
    above = [1.0]
    while hidden.size and above[-1] > STRIDE * hidden[-1]:
        above.append(above[-1] / STRIDE)
    edges = np.concatenate([[0.0], 0.5 * (hidden[1:] + hidden[:-1]), hidden[-1:]])
    widths = np.concatenate([np.diff(edges), np.zeros(len(above))])
    return np.concatenate([hidden, above[::-1]]), widths
