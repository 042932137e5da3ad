"""Plural scattering: what a thick specimen adds to its spectrum, and how to take it away.

In: low-loss and core-loss spectra on one step. Out: the single-scattering distribution.
Fourier-log for low loss, Fourier-ratio for core loss; both also make simulated spectra for the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError

Array = NDArray[np.float64]


def simulate_plural(single: Array, zero: Array, mean_events: float) -> Array:
    """Return the spectrum of a specimen of t/λ mean free paths: z ∗ δ·exp(s) with ∫s = t/λ.

    Parameters
    ----------
    single : array of shape (n,), 1/channel
        Normalised single-scattering distribution; index 0 is no loss.
    zero : array of shape (n,), counts
        Zero-loss peak, centred on index 0 and wrapped around.
    mean_events : float
        t/λ.

    Notes
    -----
    Egerton, Electron Energy-Loss Spectroscopy, eq. 4.8: j(ν) = z(ν) exp[s(ν)/I₀].

    Examples
    --------
    >>> zero = np.eye(1, 8)[0]; single = np.eye(1, 8, 2)[0]
    >>> np.round(simulate_plural(single, zero, 0.5)[[0, 2]], 3)
    array([0.607, 0.303])
    """
    size = 2 * single.size
    s = np.fft.rfft(single / single.sum(), size) * mean_events
    wrapped = _rewrap(zero, size)
    return np.fft.irfft(np.fft.rfft(wrapped) * np.exp(s - mean_events), size)[: single.size]


def _rewrap(peak: Array, size: int) -> Array:
    """Return a peak wrapped around index 0 of a vector, on a longer vector."""
    half = peak.size // 2
    longer = np.zeros(size)
    longer[:half] = peak[:half]
    longer[size - (peak.size - half) :] = peak[half:]
    return longer


def fourier_log(low_loss: Array, zero_index: int, cut_index: int) -> Array:
    """Return the single-scattering distribution of a low-loss spectrum.

    Parameters
    ----------
    low_loss : array of shape (n,), counts
        Spectrum with its zero-loss peak.
    zero_index : int
        Channel of the zero loss.
    cut_index : int
        First channel that is taken as loss.

    Returns
    -------
    array of shape (n − zero_index,), counts
        Starting at zero loss; broadened by the zero-loss peak itself, as a thin specimen would show it.

    Notes
    -----
    s(ν) = z(ν) ln[j(ν)/z(ν)] (Egerton eq. 4.10): keeping z(ν) in front damps the noise that the
    division amplifies.
    """
    if not 0 < zero_index < cut_index < low_loss.size:
        raise DataError(
            "the zero-loss peak is not inside the spectrum", got=(zero_index, cut_index)
        )
    size = 1 << int(np.ceil(np.log2(2 * low_loss.size)))
    j = np.fft.rfft(_padded(low_loss, zero_index, size))
    z = np.fft.rfft(_padded(_zero_part(low_loss, cut_index), zero_index, size))
    ratio = np.where(np.abs(z) > 1e-4 * np.abs(z[0]), j / np.where(z == 0, 1, z), 1.0)
    # the branch of the logarithm is followed from ν = 0, where the ratio is real
    logarithm = np.log(np.abs(ratio)) + 1j * np.unwrap(np.angle(ratio))
    single = np.fft.irfft(z * logarithm, size)
    return np.asarray(single[: low_loss.size - zero_index])


def _zero_part(low_loss: Array, cut_index: int) -> Array:
    return np.where(np.arange(low_loss.size) < cut_index, low_loss, 0.0)


def _padded(values: Array, zero_index: int, size: int) -> Array:
    """Return a spectrum on a longer axis, smoothly closed to 0, with its zero loss at index 0."""
    longer = np.zeros(size)
    longer[: values.size] = values
    rest = (size - values.size) // 2
    tail = float(np.mean(values[-10:]))
    # a raised cosine lets the spectrum end without a step, which would ring
    longer[values.size : values.size + rest] = tail * 0.5 * (1 + np.cos(np.pi * np.arange(rest) / rest))  # fmt: skip
    return np.roll(longer, -zero_index)


def fourier_ratio(
    core_loss: Array,
    low_loss: Array,
    zero_index: int,
    cut_index: int,
    *,
    width: float | None = None,
) -> Array:
    """Return the single-scattering core-loss edge, plural losses and zero-loss tails taken away.

    Parameters
    ----------
    core_loss : array of shape (n,), counts
        Edge with the background already subtracted, on the step of the low loss.
    low_loss : array of shape (m,), counts
        Low-loss spectrum of the same place.
    zero_index, cut_index : int
        Channel of its zero loss and first channel that is taken as loss.
    width : float, optional
        Standard deviation (channels) of the Gaussian that the answer is shown with; by default that
        of the zero loss itself.

    Notes
    -----
    k(ν) = g(ν)·I₀·c(ν)/j(ν) (Egerton eq. 4.38) with g a Gaussian of unit area: the exact division
    amplifies noise without limit, g stops it at the resolution of the instrument.
    """
    zero = _zero_part(low_loss, cut_index)
    if width is None:
        width = _peak_width(zero, zero_index)
    size = 1 << int(np.ceil(np.log2(2 * max(core_loss.size, low_loss.size))))
    j = np.fft.rfft(_padded(low_loss, zero_index, size))
    c = np.fft.rfft(_padded(core_loss, 0, size))
    nu = np.fft.rfftfreq(size)
    gauss = np.exp(-2 * (np.pi * nu * width) ** 2)
    safe = np.where(np.abs(j) > 1e-9 * np.abs(j[0]), j, 1.0)
    return np.asarray(np.fft.irfft(gauss * zero.sum() * c / safe, size)[: core_loss.size])


def _peak_width(zero: Array, zero_index: int) -> float:
    """Return the standard deviation (channels) of a peak, from its full width at half maximum."""
    half = 0.5 * zero[zero_index]
    above = np.flatnonzero(zero > half)
    return float(max(above[-1] - above[0] + 1, 1)) / 2.3548
