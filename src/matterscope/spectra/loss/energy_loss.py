"""Energy-loss spectra: the zero-loss peak, the background under an edge, and the thickness.

In: counts over energy loss (eV), one spectrum or many at once (…, energy). Out: numbers with their
propagated variance. Nothing is clipped: detectors subtract a dark level and negative counts are data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ZeroLoss:
    """The zero-loss peak of each spectrum.

    Parameters
    ----------
    centre, full_width : arrays of shape (…), eV
        Vertex of the parabola through the logarithm around the maximum; full width at half maximum.
    intensity : array of shape (…), counts
        Counts from −∞ to `cut`.
    cut : array of shape (…), eV
        Energy (on the axis as recorded) at which zero-loss and loss are separated.
    """

    centre: Array
    full_width: Array
    intensity: Array
    cut: Array


def find_zero_loss(energy: Array, counts: Array, *, search: tuple[float, float] = (-20.0, 20.0)) -> ZeroLoss:  # fmt: skip
    """Find the zero-loss peak of every spectrum.

    Parameters
    ----------
    energy : array of shape (n,), eV
        As recorded.
    counts : array of shape (…, n), counts
        As recorded.
    search : (float, float), eV
        Where the maximum is looked for.

    Raises
    ------
    DataError
        The axis does not reach the zero loss, or there is no peak in the window.
    """
    inside = np.flatnonzero((energy >= search[0]) & (energy <= search[1]))
    if inside.size < 5 or not energy[0] < 0 < energy[-1]:
        raise DataError(
            "the spectrum has no zero-loss peak",
            got=f"{energy[0]:.1f} to {energy[-1]:.1f} eV",
            expected="an axis that begins below 0 eV",
            hint="thickness and plural scattering need the low-loss spectrum",
        )
    flat = np.asarray(counts, float).reshape(-1, energy.size)
    step = float(energy[1] - energy[0])
    top = inside[0] + np.argmax(flat[:, inside], axis=1)
    top = np.clip(top, 2, energy.size - 3)
    rows = np.arange(len(flat))
    around = np.stack([flat[rows, top + k] for k in (-1, 0, 1)])
    safe = np.log(np.maximum(around, 1e-12 * np.maximum(around[1], 1e-300)))
    bend = safe[0] - 2 * safe[1] + safe[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, 0.5 * (safe[0] - safe[2]) / bend, 0.0)
    centre = energy[top] + np.clip(shift, -1, 1) * step
    left, right = _half_width(flat, top, -1), _half_width(flat, top, 1)
    width = (left + right) * step
    cut = np.array([_valley(energy, f, c, w) for f, c, w in zip(flat, centre, width, strict=True)])
    below = energy[None, :] <= cut[:, None]
    intensity = np.where(below, flat, 0.0).sum(axis=1)
    shape = np.shape(counts)[:-1]
    return ZeroLoss(*(np.asarray(v).reshape(shape) for v in (centre, width, intensity, cut)))


def _half_width(flat: Array, top: NDArray[np.intp], side: int) -> Array:
    """Return the distance (channels) from the maximum to half of it on one side."""
    distance = np.full(len(flat), np.nan)
    for row, (values, start) in enumerate(zip(flat, top, strict=True)):
        run = values[start:] if side > 0 else values[start::-1]
        half = 0.5 * run[0]
        below = np.flatnonzero(run < half)
        if below.size:
            i = int(below[0])
            distance[row] = i - 1 + (run[i - 1] - half) / (run[i - 1] - run[i])
    return distance


def _valley(energy: Array, values: Array, centre: float, width: float) -> float:
    """Return the energy of least counts between the zero loss and the first plasmon."""
    width = width if np.isfinite(width) else 2.0
    near = np.flatnonzero((energy > centre + width) & (energy < centre + max(6 * width, 8.0)))
    if near.size < 3:
        return float(centre + 2 * width)
    smooth = np.convolve(values, np.ones(5) / 5, mode="same")
    return float(energy[near[int(np.argmin(smooth[near]))]])


@dataclass(frozen=True)
class Thickness:
    """t/λ = ln(I_total/I_zero-loss), and how it depends on where the two are split.

    Parameters
    ----------
    value, sigma : arrays of shape (…)
        Thickness in inelastic mean free paths; counting statistics only.
    low, high : arrays of shape (…)
        Value with the split moved by half a width of the zero loss either way.
    """

    value: Array
    sigma: Array
    low: Array
    high: Array


def measure_thickness(energy: Array, counts: Array, zero: ZeroLoss) -> Thickness:
    """Return the thickness in mean free paths of every spectrum.

    Parameters
    ----------
    energy : array of shape (n,), eV
        As recorded.
    counts : array of shape (…, n), counts
        Low-loss spectra that hold the zero loss.
    zero : ZeroLoss
        Of the same spectra.

    Notes
    -----
    Egerton, Electron Energy-Loss Spectroscopy, eq. 5.1. The tail beyond the window is missing, so the
    value is a lower bound by that share.
    """
    total = np.asarray(counts, float).sum(axis=-1)
    values = []
    for move in (0.0, 0.5, -0.5):
        below = energy <= (zero.cut + move * np.nan_to_num(zero.full_width, nan=2.0))[..., None]
        part = np.where(below, counts, 0.0).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            values.append(np.where((part > 0) & (total > part), np.log(total / part), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.sqrt(np.maximum(1 / zero.intensity - 1 / total, 0))
    return Thickness(values[0], sigma, values[1], values[2])


# --- background -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PowerLaw:
    """A·E^(−r) fitted before an edge, for one or many spectra.

    Parameters
    ----------
    log_amplitude : array of shape (…)
        ln of the counts at `pivot`.
    exponent : array of shape (…)
        r.
    covariance : array of shape (…, 2, 2)
        Of (log_amplitude, exponent).
    pivot : float, eV
        Geometric middle of the window; the two parameters are nearly uncorrelated there.
    window : (float, float), eV
        Where it was fitted.
    chi2 : array of shape (…)
        Reduced χ² against the noise model.
    """

    log_amplitude: Array
    exponent: Array
    covariance: Array
    pivot: float
    window: tuple[float, float]
    chi2: Array

    def __call__(self, energy: Array) -> Array:
        """Return the background, shape (…, n), counts."""
        log = np.log(energy / self.pivot)
        return np.asarray(np.exp(self.log_amplitude[..., None] - self.exponent[..., None] * log))

    def variance(self, energy: Array) -> Array:
        """Return the variance of the background at each energy, shape (…, n), counts²."""
        log = np.log(energy / self.pivot)
        jacobian = np.stack([np.ones_like(log), -log])
        relative = np.einsum("in,...ij,jn->...n", jacobian, self.covariance, jacobian)
        return np.asarray(self(energy) ** 2 * relative)

    def integral(self, energy: Array) -> tuple[Array, Array]:
        """Return sum of the background over `energy` and its variance, shapes (…)."""
        log = np.log(energy / self.pivot)
        values = self(energy)
        slope = np.stack([values.sum(-1), -(values * log).sum(-1)], axis=-1)
        return values.sum(-1), np.einsum("...i,...ij,...j->...", slope, self.covariance, slope)


def noise_level(counts: Array) -> tuple[Array, Array]:
    """Return gain g and floor f of the variance g·counts + f of each spectrum, from its own ripple.

    Second differences of a smooth spectrum are noise: var = Σ(Δ²y)²/6. The gain says how many
    detector units make one electron; 1 where the file holds electrons.

    Parameters
    ----------
    counts : array of shape (…, n), counts
        At least 32 points; energies evenly spaced.
    """
    second = np.diff(counts, n=2, axis=-1)
    local = second**2 / 6.0
    level = counts[..., 1:-1]
    block = 16
    n = local.shape[-1] // block * block
    variance = local[..., :n].reshape(*local.shape[:-1], -1, block).mean(-1)
    mean = level[..., :n].reshape(*level.shape[:-1], -1, block).mean(-1)
    floor = np.maximum(np.quantile(variance, 0.05, axis=-1), 1e-30)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(mean > 0, variance / mean, np.nan)
    gain = np.nan_to_num(np.nanmedian(ratio, axis=-1), nan=1.0)
    return np.maximum(gain, 1e-12), floor


def fit_power_law(energy: Array, counts: Array, window: tuple[float, float]) -> PowerLaw:
    """Fit A·E^(−r) before an edge by weighted least squares on the counts themselves.

    Parameters
    ----------
    energy : array of shape (n,), eV
        All above 0 inside the window.
    counts : array of shape (…, n), counts
        One or many spectra.
    window : (float, float), eV
        At least 6 points.

    Notes
    -----
    The start is Egerton's two-area method; Gauss–Newton steps follow with weights 1/(g·model + f).
    Least squares on the logarithm would be biased by noise and cannot take negative counts. The
    covariance is multiplied by the reduced χ² where that exceeds 1.
    """
    inside = (energy >= window[0]) & (energy <= window[1])
    if inside.sum() < 6 or energy[inside].min(initial=1.0) <= 0:
        raise ConfigError(
            "the background window holds too few points above 0 eV",
            got=f"{window[0]:.1f} to {window[1]:.1f} eV, {int(inside.sum())} points",
            expected=f"at least 6 between {energy[0]:.1f} and {energy[-1]:.1f} eV",
            hint="--background-window LOW HIGH",
        )
    e, y = energy[inside], np.asarray(counts, float)[..., inside]
    pivot = float(np.exp(np.log(e).mean()))
    log = np.log(e / pivot)
    amplitude, exponent = _two_areas(e, y, pivot)
    gain = _gain(y)
    for _ in range(8):
        model = np.exp(amplitude[..., None] - exponent[..., None] * log)
        weight = 1 / (gain[..., None] * np.maximum(model, 1e-12))
        jacobian = np.stack([model, -model * log], axis=-2)
        normal = np.einsum("...in,...n,...jn->...ij", jacobian, weight, jacobian)
        force = np.einsum("...in,...n,...n->...i", jacobian, weight, y - model)
        step = np.clip(np.linalg.solve(normal, force[..., None])[..., 0], -1.0, 1.0)
        amplitude, exponent = amplitude + step[..., 0], exponent + step[..., 1]
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    chi2 = np.einsum("...n,...n->...", (y - model) ** 2, weight) / (e.size - 2)
    covariance = np.linalg.inv(normal) * np.maximum(chi2, 1.0)[..., None, None]
    return PowerLaw(amplitude, exponent, covariance, pivot, window, chi2)


def _gain(counts: Array) -> Array:
    """Return variance per count inside a short window, at least a tiny share of the counts."""
    ripple = (np.diff(counts, n=2, axis=-1) ** 2).mean(-1) / 6.0
    return np.asarray(np.maximum(ripple / np.maximum(counts.mean(-1), 1e-12), 1e-9))


def _two_areas(energy: Array, counts: Array, pivot: float) -> tuple[Array, Array]:
    half = energy.size // 2
    first, second = counts[..., :half].mean(-1), counts[..., half:].mean(-1)
    reach = np.log(np.exp(np.log(energy[half:]).mean() - np.log(energy[:half]).mean()))
    level = np.maximum(counts.mean(-1), 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where((first > 0) & (second > 0), np.log(first / second) / reach, 3.0)
    return np.log(level), np.clip(np.nan_to_num(r, nan=3.0), -2.0, 8.0)


@dataclass(frozen=True)
class TwoPowerLaws:
    """a·E^(−r₁) + b·E^(−r₂) with fixed exponents, for low loss where one power law fails.

    Parameters
    ----------
    amplitudes : array of shape (…, 2), counts
        Of the two laws at `pivot`.
    exponents : (float, float)
        Fixed beforehand, so that the fit is linear.
    covariance : array of shape (…, 2, 2)
        Of the amplitudes.
    """

    amplitudes: Array
    exponents: tuple[float, float]
    covariance: Array
    pivot: float
    window: tuple[float, float]

    def _basis(self, energy: Array) -> Array:
        return np.stack([(energy / self.pivot) ** -r for r in self.exponents])

    def __call__(self, energy: Array) -> Array:
        """Return the background, shape (…, n), counts."""
        return np.asarray(np.einsum("...i,in->...n", self.amplitudes, self._basis(energy)))

    def variance(self, energy: Array) -> Array:
        """Return its variance at each energy, shape (…, n), counts²."""
        b = self._basis(energy)
        return np.asarray(np.einsum("in,...ij,jn->...n", b, self.covariance, b))

    def integral(self, energy: Array) -> tuple[Array, Array]:
        """Return sum of the background over `energy` and its variance, shapes (…)."""
        total = self._basis(energy).sum(-1)
        return self.amplitudes @ total, np.einsum("i,...ij,j->...", total, self.covariance, total)


def fit_two_power_laws(
    energy: Array,
    counts: Array,
    window: tuple[float, float],
    exponents: tuple[float, float] | None = None,
) -> TwoPowerLaws:
    """Fit a linear combination of two power laws before an edge.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Above 0 inside the window.
    counts : array of shape (…, n), counts
        One or many spectra.
    window : (float, float), eV
        At least 6 points.
    exponents : (float, float), optional
        By default r − 1 and r + 1 about the single law of the mean spectrum (Cueva, Hovden, Mundy,
        Xin and Muller, Microsc. Microanal. 18, 667 (2012), take 5 % and 95 % of the single fits).
    """
    mean = np.asarray(counts, float).reshape(-1, energy.size).mean(0)
    single = fit_power_law(energy, mean, window)
    r = float(single.exponent)
    pair = exponents or (r - 1.0, r + 1.0)
    inside = (energy >= window[0]) & (energy <= window[1])
    e, y = energy[inside], np.asarray(counts, float)[..., inside]
    design = np.stack([(e / single.pivot) ** -p for p in pair], axis=1)
    root = 1 / np.sqrt(np.maximum(single(e), 1e-12))
    inverse = np.linalg.pinv(design * root[:, None])
    amplitudes = (y * root) @ inverse.T
    residual = y * root - amplitudes @ (design * root[:, None]).T
    spread = (residual**2).sum(-1) / (e.size - 2)
    base = inverse @ inverse.T
    return TwoPowerLaws(amplitudes, pair, spread[..., None, None] * base, single.pivot, window)


def edge_signal(
    energy: Array, counts: Array, background: PowerLaw | TwoPowerLaws, window: tuple[float, float]
) -> tuple[Array, Array]:
    """Return the counts of an edge above its background in a window, and their variance.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Axis.
    counts : array of shape (…, n), counts
        Spectra with background.
    background : PowerLaw or TwoPowerLaws
        Fitted to the same spectra.
    window : (float, float), eV
        Integration window after the onset.

    Notes
    -----
    var = Σ var(counts) + var(extrapolated background): the second term is the h of Egerton's eq. 4.68
    and usually dominates.
    """
    inside = (energy >= window[0]) & (energy <= window[1])
    if inside.sum() < 2:
        raise ConfigError("the signal window holds fewer than 2 points", got=window)
    y = np.asarray(counts, float)[..., inside]
    under, variance = background.integral(energy[inside])
    ripple = (np.diff(y, n=2, axis=-1) ** 2).sum(-1) / 6.0 if y.shape[-1] > 4 else np.abs(y).sum(-1)
    return y.sum(-1) - under, variance + ripple
