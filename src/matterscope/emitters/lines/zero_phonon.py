"""The zero-phonon line: a Voigt profile behind the instrument, and its share of all light.

In: counts per pixel over energy, the noise, the spectrometer's width. Out: centre, deconvolved
width, Lorentzian share, Debye–Waller factor, each as draws; the fitted curve and its residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.optimize import least_squares
from scipy.special import ndtr

from matterscope.emitters.lines.line_posterior import Pixels, draw_line, full_widths
from matterscope.physics.lineshapes import FWHM_OF_SIGMA, pixel_voigt, voigt_width

Floats = NDArray[np.float64]
KT_PER_K = 8.617333262e-5
"""Boltzmann constant, eV/K."""


@dataclass(frozen=True)
class Light:
    """One spectrum: pixel edges (eV, ascending), counts, their variance floor, good pixels."""

    edges: Floats
    counts: Floats
    read: float
    """Read-out noise of a pixel, counts (all frames together)."""
    offset: float
    gain: float
    good: NDArray[np.bool_]
    scatter: Floats | float = 0.0
    """Variance beyond counting, from frames that differ by more than that (drift, blinking)."""

    @property
    def energy(self) -> Floats:
        """Return the pixel centres, eV."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def variance(self, expected: Floats) -> Floats:
        """Return the variance of the pixels at these expected counts."""
        return self.read**2 + self.gain * np.maximum(expected - self.offset, 0.0) + self.scatter


@dataclass(frozen=True)
class Line:
    """A fitted line: draws of its parameters (eV, counts), and the best curve in its window."""

    centre: Floats
    width: Floats
    """Deconvolved full width, eV."""
    observed: Floats
    """Full width with the instrument, eV."""
    share: Floats
    """Lorentzian share of the full width."""
    area: Floats
    best: tuple[float, float]
    """Most likely deconvolved and observed full widths, eV."""
    shape: tuple[float, float, float, float]
    """Most likely centre, Gaussian σ with the instrument, Lorentzian Γ (eV) and area (counts)."""
    window: slice
    model: Floats
    base: Floats
    misfit: float
    converged: bool


def edges_of(centres: Floats) -> Floats:
    """Return the n + 1 pixel edges between n ascending centres."""
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def find_line(light: Light) -> tuple[int, float]:
    """Return the pixel of the brightest line and its full width in pixels.

    Pixels that are not good need a value here all the same: a likely one, or the ceiling they stand at.
    """
    y = light.counts - np.percentile(light.counts[light.good], 20)
    smooth = gaussian_filter1d(y, 1.0)
    top = int(np.argmax(smooth))
    wide = gaussian_filter1d(y, max(y.size / 200, 1.0))
    if smooth[top] < 1.3 * wide.max():  # a broad line: the noisy maximum is not its centre
        top, smooth = int(np.argmax(wide)), wide
    base = np.percentile(median_filter(y, 9), 20)
    half = 0.5 * (smooth[top] + base)
    left = top
    while left > 0 and smooth[left] > half:
        left -= 1
    right = top
    while right < y.size - 1 and smooth[right] > half:
        right += 1
    return top, float(max(right - left - 1, 1.2))


@dataclass(frozen=True)
class _Window:
    """The pixels that a line is fitted in, and the scales of its six parameters.

    Parameters: centre offset over `scale`, ln Γ_Lorentz, ln σ_Gauss, ln area, base and slope of the
    base over `height`.
    """

    part: slice
    edges: Floats
    light: Light
    centre: float
    start: float
    height: float
    fixed: float
    """Standard deviation of the instrument, eV."""

    def base(self, p: Floats) -> Floats:
        """Return the straight base, shape (…, n)."""
        u = (self.light.energy - self.centre) / (self.edges[-1] - self.edges[0])
        return np.asarray((p[..., 4:5] + p[..., 5:6] * u) * self.height)

    def expected(self, p: Floats) -> Floats:
        """Return the expected counts of parameters of shape (…, 6), shape (…, n)."""
        sigma = np.hypot(np.exp(p[..., 2:3, None]), self.fixed)
        centre = self.centre + p[..., 0:1, None] * self.start
        line = pixel_voigt(self.edges, centre, sigma, np.exp(p[..., 1:2, None]))
        # spontaneous emission goes with E³: the lineshape is symmetric, the spectrum is not
        tilt = (self.light.energy / centre[..., 0]) ** 3
        return np.asarray(np.exp(p[..., 3:4]) * line * tilt + self.base(p))

    def residual(self, p: Floats, weight: Floats) -> Floats:
        """Return weighted residuals and two weak pulls (3 e-folds) that keep both widths finite."""
        misfit = ((self.expected(p) - self.light.counts) * weight)[..., self.light.good]
        return np.concatenate([misfit, (p[..., 1:3] - np.log(self.start)) / 3], axis=-1)


def _window(light: Light, instrument: float, reach: float, low_limit: float) -> _Window:
    top, pixels = find_line(light)
    step = float(light.edges[top + 1] - light.edges[top])
    start = max(pixels, 1.5) * step
    half = max((reach if pixels > 3 else 3.0) * start, 5 * step)
    below = min(half, max(low_limit, 2 * start))
    low = max(int(np.searchsorted(light.energy, light.energy[top] - below)), 0)
    high = min(int(np.searchsorted(light.energy, light.energy[top] + half)) + 1, light.counts.size)
    part, edges = slice(low, high), light.edges[low : high + 1]
    scatter = light.scatter[part] if isinstance(light.scatter, np.ndarray) else light.scatter
    near = replace(
        light, edges=edges, counts=light.counts[part], good=light.good[part], scatter=scatter
    )
    y = near.counts[near.good]
    height = max(float(y.max() - np.percentile(y, 10)), 1.0)
    centre = float(light.energy[top])
    return _Window(part, edges, near, centre, start, height, instrument / FWHM_OF_SIGMA)


def fit_line(
    light: Light,
    instrument: float,
    rng: np.random.Generator,
    reach: float = 6.0,
    low_limit: float = 0.11,
) -> Line:
    """Fit Voigt ⊗ instrument, integrated over pixels, on a straight base by Poisson weights.

    Parameters
    ----------
    light : Light
    instrument : float, eV
        Full width of the instrument's Gaussian response.
    rng : numpy Generator
        For the draws.
    reach : float
        Half width of the window in full widths of the line.
    low_limit : float, eV
        The window ends so far below the line: optical phonons begin there.
    """
    w = _window(light, instrument, reach, low_limit)
    y = w.light.counts
    step, span = float(np.median(np.diff(w.edges))), float(w.edges[-1] - w.edges[0])
    area, base = np.log(1.2 * w.height * w.start / step), float(np.percentile(y[w.light.good], 10))
    p = np.array([0, np.log(0.7 * w.start), np.log(0.3 * w.start), area, base / w.height, 0])
    narrow, broad = np.log(0.02 * step), np.log(span)
    lower = np.array([-5, narrow, narrow, area - 9, -np.inf, -np.inf])
    upper = np.array([5, broad, broad, area + 9, np.inf, np.inf])
    weight = 1 / np.sqrt(w.light.variance(np.maximum(y, base)))
    converged, cost = False, np.inf
    for _ in range(4):
        found = least_squares(
            w.residual,
            np.clip(p, lower, upper),
            bounds=(lower, upper),
            x_scale=[0.1, 0.5, 0.5, 0.2, 1, 1],
            args=(weight,),
        )
        converged = bool(found.status > 0) and abs(found.cost - cost) < 0.1 + 1e-3 * found.cost
        p, cost = found.x, found.cost
        weight = 1 / np.sqrt(w.light.variance(w.expected(p)))
        if converged:
            break
    misfit = float(np.sum(w.residual(p, weight) ** 2) / max(w.light.good.sum() - 6, 1))
    centre = float(w.centre + p[0] * w.start)
    guess = float(voigt_width(np.hypot(np.exp(p[2]), w.fixed), np.exp(p[1])))
    pixels = Pixels(
        w.edges, y, np.where(w.light.good, weight, 0.0), centre, w.fixed, max(misfit, 1.0)
    )
    draws = draw_line(pixels, guess, rng)
    width, observed = full_widths(draws, w.fixed)
    centre, sigma, lorentz, area = draws.best
    behind = float(np.hypot(sigma, w.fixed))
    return Line(
        draws.centre,
        width,
        observed,
        np.clip(draws.lorentz / width, 0, 1),
        draws.area,
        (float(voigt_width(sigma, lorentz)), float(voigt_width(behind, lorentz))),
        (centre, behind, lorentz, area),
        w.part,
        w.expected(p),
        w.base(p),
        misfit,
        converged,
    )


@dataclass(frozen=True)
class Share:
    """Debye–Waller factor as draws, whether it is only an upper bound, and the sideband's base."""

    debye_waller: Floats
    bound: bool
    base: float
    low: int
    high: int
    cut: float | None = None
    """Energy (eV) below which the light ends at once."""


def line_counts(light: Light, line: Line) -> Floats:
    """Return the counts of the most likely line over the whole spectrum."""
    centre, sigma, lorentz, area = line.shape
    profile = pixel_voigt(light.edges, centre, sigma, lorentz)
    return np.asarray(area * profile * (light.energy / centre) ** 3)


def zero_phonon_share(
    light: Light, line: Line, rng: np.random.Generator, reach: float = 0.4, needed: float = 0.2
) -> Share:
    """Return A_ZPL/A_total over the lineshape I(E)/E³, from `reach` below the line upwards.

    The base is the mean of the dark pixels above the line. Where the detector ends less than
    `needed` eV below the line the sideband is cut and the factor is an upper bound.
    """
    energy, width = light.energy, float(np.median(line.width))
    centre = float(np.median(line.centre))
    above = light.good & (energy > centre + max(0.06, 4 * width))
    if above.sum() < 10:
        above = light.good & (energy > np.quantile(energy, 0.97))
    # the line's own tails reach far; what is left of the dark pixels is the base
    values = (light.counts - line_counts(light, line))[above]
    base = float(np.median(values))
    base_error = float(1.2533 * max(values.std(), light.read) / np.sqrt(max(values.size, 1)))
    cut = find_cut(light, line, base)
    low = int(np.searchsorted(energy, max(centre - reach, cut or 0.0)))
    high = int(np.searchsorted(energy, centre + 5 * float(np.median(line.observed))))
    part = slice(low, max(high, low + 2))
    weight = (centre / energy[part]) ** 3
    y = np.where(
        light.good[part],
        light.counts[part],
        np.interp(energy[part], energy[light.good], light.counts[light.good]),
    )
    # the line's own tails are counted in its area, however far they reach
    sideband = float(((y - base - line_counts(light, line)[part]) * weight).sum())
    total = line.shape[3] + sideband
    noise = float(np.sqrt((replace(light, scatter=0.0).variance(y) * weight**2).sum()))
    n = line.area.size
    # ZPL photons are part of the total: only the rest fluctuates on its own
    totals = total + rng.normal(0, noise, n) + rng.normal(0, base_error, n) * weight.sum()
    factor = np.clip(line.area / np.maximum(totals, 1e-9), 0, 1)
    bound = cut is not None or bool(energy[0] > centre - needed)
    return Share(factor, bound, base, low, high, cut)


SHARP, SMOOTH = (0.5, 1.0, 2.0, 4.0), (16.0, 24.0, 36.0, 54.0)
"""Widths (pixels) of a filter's edge, and of a sideband that fades."""


def find_cut(light: Light, line: Line, base: float) -> float | None:
    """Return the energy (eV) at which the sideband ends within a few pixels, as behind a filter.

    Windows of 8, 16, 32 … pixels on either side of a pixel are compared; where the light above stands
    highest over that below, an edge of up to four pixels must fit better than any of sixteen and more
    (Δχ² above 16), and below there must be no light as far as the detector reaches.
    """
    energy = light.energy
    centre, width = float(np.median(line.centre)), float(np.median(line.observed))
    # what the line itself leaves there is no sideband
    y = np.where(light.good, light.counts - base - line_counts(light, line), 0.0)
    error = np.where(light.good, light.variance(light.counts), 0.0)
    sums, noise = (np.concatenate([[0.0], np.cumsum(v)]) for v in (y, error))
    last = int(np.searchsorted(energy, centre - max(3 * width, 0.02)))
    best, found = 6.0, None
    for size in (8, 16, 32, 64, 128):
        at = np.arange(size, last - size)
        if not at.size:
            break
        fall = (sums[at + size] - sums[at]) - (sums[at] - sums[at - size])
        score = fall / np.sqrt(np.maximum(noise[at + size] - noise[at - size], 1e-12))
        k = int(np.argmax(score))
        if score[k] > best:
            best, found = float(score[k]), (int(at[k]), size)
    if found is None:
        return None
    step, size = found
    part = slice(max(step - size, 0), step + size)
    good = light.good[part]
    weight = 1.0 / np.sqrt(np.maximum(error[part][good], 1e-12))
    sharp, smooth = (_edge_misfit(y[part][good], weight, widths) for widths in (SHARP, SMOOTH))
    level = float(sums[step + size] - sums[step]) / size
    dark = float(sums[step - 1]) / max(step - 1, 1)
    dark_error = float(np.sqrt(noise[step - 1])) / max(step - 1, 1)
    empty = abs(dark) < 0.1 * level + 2 * dark_error
    return float(light.edges[step]) if smooth - sharp > 16.0 and empty else None


def _edge_misfit(y: Floats, weight: Floats, widths: tuple[float, ...]) -> float:
    """Return the least χ² of an edge (A + B·x)·Φ((x − p)/w) with w among `widths`, in pixels."""
    x = np.arange(y.size) / y.size
    best = np.inf
    for width in widths:
        for place in np.arange(0.2 * y.size, 0.8 * y.size, max(0.5 * width, 1.0)):
            curve = weight * ndtr((x * y.size - place) / width)
            design = np.stack([curve, curve * x], axis=1)
            gram = design.T @ design + 1e-12 * np.eye(2)
            moment = design.T @ (weight * y)
            best = min(
                best, float(np.sum((weight * y) ** 2) - moment @ np.linalg.solve(gram, moment))
            )
    return best


def thermal_verdict(
    ratio: tuple[float, float] | None,
    observed_pixels: float,
    gaussian_share: float,
    series: bool | None = None,
) -> tuple[str, str]:
    """Return one of four verdicts on Γ/kT, and why.

    Parameters
    ----------
    ratio : (float, float) or None
        95 % interval of Γ/kT; None without a temperature.
    observed_pixels : float
        Full width as seen, in pixels.
    gaussian_share : float
        1 − Lorentzian share.
    series : bool or None
        Whether a temperature series prefers a temperature-dependent law with a small residual width.
    """
    if observed_pixels < 2.0:
        return (
            "instrument-limited",
            "the line is narrower than two pixels: its width is the spectrometer's",
        )
    if series is not None:
        if series:
            return (
                "consistent with the thermal limit",
                "the width follows a temperature law down to a small residual width",
            )
        return (
            "inhomogeneous",
            "the width does not follow a temperature law down to a small residual width",
        )
    if ratio is None:
        return "cannot tell", "the temperature is not given"
    low, high = ratio
    verdict = "cannot tell"
    why = "Γ/kT differs from 1 and no temperature series says which law holds"
    if low <= 1.0 <= high:
        verdict = "consistent with the thermal limit"
        why = "the interval of Γ/kT covers 1; one temperature shows that it is possible, not that it is so"
    elif low > 1.0 and (gaussian_share > 0.5 or low > 1.5):
        verdict, why = "inhomogeneous", "the line is wider than kT"
    return verdict, why
