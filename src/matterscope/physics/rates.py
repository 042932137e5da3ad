"""Rate equations of a driven emitter, and exponentials seen through a Gaussian response.

In: rates (1/s) or times with a common unit. Out: correlation functions, populations, convolved decays.
No constant of an instrument or a material stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfcx

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ThreeLevels:
    """A ground state 1, an excited state 2 and a dark state 3, with constant rates in 1/s.

    1 → 2 with `pump`, 2 → 1 with `emission` (radiative), 2 → 3 with `shelving`, 3 → 1 with `deshelving`.

    Examples
    --------
    >>> levels = ThreeLevels(5e7, 3.3e8, 2e6, 5e5)
    >>> bool(abs(levels.correlation(np.array([0.0]))[0]) < 1e-12)
    True
    """

    pump: float
    emission: float
    shelving: float = 0.0
    deshelving: float = 1.0

    def populations(self) -> Floats:
        """Return the stationary populations of the three levels, shape (3,).

        p2 : p1 : p3 = k12 : (k21 + k23) : k23·k12/k31.
        """
        weights = np.array(
            [
                self.emission + self.shelving,
                self.pump,
                self.shelving * self.pump / self.deshelving if self.shelving else 0.0,
            ]
        )
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def emission_rate(self) -> float:
        """Return the mean rate of emitted photons, 1/s: k21·p2."""
        return float(self.emission * self.populations()[1])

    def correlation(self, lag: Floats) -> Floats:
        """Return g2(τ) = p2(τ | p1(0) = 1) / p2(∞) by the eigen-solution.

        Parameters
        ----------
        lag : array, s
            Delay; its sign does not matter.
        """
        rate_1, rate_2, a = self.eigenvalues()
        t = np.abs(np.asarray(lag, dtype=np.float64))
        return np.asarray(1.0 - (1.0 + a) * np.exp(-rate_1 * t) + a * np.exp(-rate_2 * t))

    def eigenvalues(self) -> tuple[float, float, float]:
        """Return the two decay rates λ1 ≥ λ2 (1/s) and the bunching amplitude a of g2.

        The reduced system for (p1, p2), p3 = 1 − p1 − p2, has the characteristic polynomial
        λ² − λ·(k12 + k21 + k23 + k31) + k12·(k23 + k31) + k31·(k21 + k23) = 0; the amplitude follows
        from g2(0) = 0 and dp2/dt(0) = k12.
        """
        total = self.pump + self.emission + self.shelving + self.deshelving
        product = self.pump * (self.shelving + self.deshelving) + self.deshelving * (
            self.emission + self.shelving
        )
        root = np.sqrt(max(total**2 - 4.0 * product, 0.0))
        fast = (total + root) / 2.0
        slow = product / fast
        p2 = self.populations()[1]
        # −(1 + a)·(−λ1) + a·(−λ2) = k12/p2(∞)
        gap = max(fast - slow, 1e-12 * fast)
        return float(fast), float(slow), float((self.pump / p2 - fast) / gap)


def smeared_exponential(delay: Floats, time: float, sigma: float) -> Floats:
    """Return e^(−|t|/τ) convolved with a normal law of width σ; all arguments in one unit.

    ½·e^(−y²)·[erfcx(x − y) + erfcx(x + y)], x = σ/(√2·τ), y = t/(√2·σ).

    Examples
    --------
    >>> float(smeared_exponential(np.array([3.0]), 1.0, 0.0)[0]) == float(np.exp(-3.0))
    True
    """
    t = np.abs(np.asarray(delay, dtype=np.float64))
    if sigma <= 0.0:
        return np.asarray(np.exp(-t / time))
    return 0.5 * (_one_side(t, time, sigma) + _one_side(-t, time, sigma))


def _one_side(t: Floats, time: float, sigma: float) -> Floats:
    """Return e^(σ²/2τ² − t/τ)·erfc((σ/τ − t/σ)/√2) without overflow."""
    u = (sigma / time - t / sigma) / np.sqrt(2.0)
    gauss = np.exp(-0.5 * (t / sigma) ** 2)
    result = np.empty_like(t)
    near = u > -5.0
    result[near] = gauss[near] * erfcx(u[near])
    far = ~near
    # here erfc(u) = 2 to 1e-11, and erfcx would overflow further out
    result[far] = 2.0 * np.exp(0.5 * (sigma / time) ** 2 - t[far] / time) - (
        gauss[far] * erfcx(-u[far])
    )
    return result


def smeared_exponential_integral(delay: Floats, time: float, sigma: float) -> Floats:
    """Return ∫₀ᵗ of `smeared_exponential`: exact bin averages come from its differences.

    H(t) = ½τ·[A(−t) − A(t)] + τ·erf(t/√2σ), A(t) = e^(σ²/2τ² − t/τ)·erfc((σ/τ − t/σ)/√2).

    Examples
    --------
    >>> h = smeared_exponential_integral(np.array([-50.0, 50.0]), 1.0, 0.3)
    >>> bool(np.isclose(h[1] - h[0], 2.0))
    True
    """
    return _integral_and_slopes(np.asarray(delay, dtype=np.float64), time, sigma)[0]


def _integral_and_slopes(t: Floats, time: float, sigma: float) -> tuple[Floats, Floats, Floats]:
    """Return the integral H(t) of `smeared_exponential`, ∂H/∂t and ∂H/∂τ.

    ∂A/∂τ = A·(t/τ² − σ²/τ³) + √(2/π)·σ/τ²·e^(−t²/2σ²); the last terms of A(t) and A(−t) cancel in H.
    """
    size = np.abs(t)
    ratio = sigma / time
    # beyond the response only its first moment is left: A(t) = 2·e^(σ²/2τ² − t/τ), A(−t) = 0
    density = np.exp(0.5 * ratio**2 - size / time)
    whole = time * (1.0 - density)
    by_time = 1.0 - density * (1.0 - ratio**2 + size / time)
    near = np.flatnonzero(size <= 9.0 * sigma + 9.0 * sigma * ratio)
    if sigma > 0.0 and near.size:
        s = size[near]
        right, left = _one_side(s, time, sigma), _one_side(-s, time, sigma)
        core = 0.5 * (left - right) + erf(s / (np.sqrt(2.0) * sigma))
        whole[near] = time * core
        density[near] = 0.5 * (left + right)
        x = s / time
        by_time[near] = core - 0.5 * (left * (x + ratio**2) + right * (x - ratio**2))
    return np.copysign(whole, t), density, np.copysign(by_time, t)


def bin_average(edges: Floats, centre: float, time: float, sigma: float) -> Floats:
    """Return the mean of the smeared two-sided exponential around `centre` over each bin.

    Parameters
    ----------
    edges : array of shape (n + 1,)
        Bin edges; `centre`, `time` and `sigma` in the same unit.
    """
    return bin_average_slopes(edges, centre, time, sigma)[0]


def bin_average_slopes(
    edges: Floats, centre: float, time: float, sigma: float
) -> tuple[Floats, Floats, Floats]:
    """Return `bin_average` and its derivatives by `centre` and by `time`, each of shape (n,).

    Examples
    --------
    >>> edges = np.linspace(-3.0, 5.0, 9)
    >>> _, _, by_time = bin_average_slopes(edges, 0.2, 1.5, 0.3)
    >>> change = bin_average(edges, 0.2, 1.5 + 1e-6, 0.3) - bin_average(edges, 0.2, 1.5 - 1e-6, 0.3)
    >>> bool(np.allclose(change / 2e-6, by_time, atol=1e-8))
    True
    """
    width = edges[1:] - edges[:-1]
    whole, density, by_time = _integral_and_slopes(edges - centre, time, sigma)
    return (
        (whole[1:] - whole[:-1]) / width,
        (density[:-1] - density[1:]) / width,
        (by_time[1:] - by_time[:-1]) / width,
    )


def periodic_decay(edges: Floats, period: float, time: float, shift: float, sigma: float) -> Floats:
    """Return the share of an exponential decay that falls into each bin of one laser period.

    The decay e^(−t/τ)/τ starts at `shift`, is smeared by a normal law of width σ and wraps around
    the period; the shares of bins that cover a whole period sum to 1.

    Examples
    --------
    >>> shares = periodic_decay(np.linspace(0.0, 10.0, 51), 10.0, 4.0, 1.0, 0.2)
    >>> bool(np.isclose(shares.sum(), 1.0))
    True
    """
    t = np.asarray(edges, dtype=np.float64) - shift
    turns = np.floor((t + 9.0 * sigma) / period)
    local = t - turns * period
    # a full turn adds 1; earlier pulses leave the geometric tail 1/(1 − e^(−T/τ))
    tail = 1.0 / -np.expm1(-period / time)
    whole = turns + _cumulative_wrapped(local, period, time, sigma, tail)
    return np.asarray(np.diff(whole))


def _cumulative_wrapped(t: Floats, period: float, time: float, sigma: float, tail: float) -> Floats:
    """Return the cumulative share of pulses at 0, −T, −2T … seen at −9σ ≤ t < T − 9σ, up to a constant."""
    if sigma <= 0.0:
        past = np.exp(-(t + period) / time) * tail
        return np.where(t >= 0.0, 1.0 - np.exp(-t / time), 0.0) - past
    past = 0.5 * _one_side(t + period, time, sigma) * tail
    rise = 0.5 * (1.0 + erf(t / (np.sqrt(2.0) * sigma))) - 0.5 * _one_side(t, time, sigma)
    return np.asarray(rise - past)


def periodic_beat(
    edges: Floats, period: float, time: float, shift: float, sigma: float, beat: tuple[float, float]
) -> Floats:
    """Return the share of e^(−t/τ)/τ·cos(ωt + φ) in each bin: a decay that beats, wrapped and smeared.

    Two levels split by ħω and excited together interfere in their decay. Over the laser period T the
    Fourier coefficients are ½·[e^(iφ)/(1/τ − iω + iΩ) + e^(−iφ)/(1/τ + iω + iΩ)]·e^(−σ²Ω²/2 − iΩ·shift)/(τT)
    with Ω = 2πn/T; they are integrated over the bins.

    Parameters
    ----------
    edges : array of shape (n + 1,)
        Bin edges inside a period; `period`, `time`, `shift` and `sigma` in the same unit.
    beat : (float, float)
        Angular frequency ω (1/unit) and phase φ.

    Examples
    --------
    >>> edges = np.linspace(0.0, 10.0, 101)
    >>> plain = periodic_decay(edges, 10.0, 2.0, 1.0, 0.2)
    >>> bool(np.allclose(periodic_beat(edges, 10.0, 2.0, 1.0, 0.2, (0.0, 0.0)), plain, atol=1e-5))
    True
    """
    omega, phase = beat
    step = float(np.diff(edges).mean())
    points = 2 ** int(np.clip(np.ceil(np.log2(8.0 * period / step)), 6, 18))
    wave = 2.0 * np.pi * np.arange(points // 2 + 1) / period
    turn = np.exp(1j * phase)
    series = turn / (1.0 / time - 1j * omega + 1j * wave)
    series = 0.5 * (series + np.conj(turn) / (1.0 / time + 1j * omega + 1j * wave))
    series = series * np.exp(-0.5 * (sigma * wave) ** 2 - 1j * wave * shift) / (time * period)
    mean = float(series[0].real)
    series[0] = 0.0
    series[1:] /= 1j * wave[1:]
    whole = np.fft.irfft(series * points, points)
    at = np.mod(np.asarray(edges, dtype=np.float64), period)
    grid = np.linspace(0.0, period, points + 1)
    swing = np.interp(at, grid, np.append(whole, whole[0]))
    return np.asarray(np.diff(swing + mean * np.asarray(edges)))
