"""Instruments: a computed spectrum as a beamline would have recorded it, aligned anew.

In: spectra on one fine grid around their edges. Out: aligned shapes seen through random resolution,
core-hole width, background slope, edge step, self-absorption, noise and the shake-down of open shells.
Every distortion acts before the edge is found, so what it does to the alignment is part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.spectra.measured.alignment import (
    AROUND,
    REFERENCE_TAIL,
    STEP,
    WINDOWS,
    half_step_and_level,
    steady_origin,
)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FINE = np.arange(AROUND[0], 150.0 + 1e-9, STEP)
"""eV from E½ of the computed spectrum: room for shifts of the edge and for the tails of widths."""
WAVE = 0.262468
"""Å⁻² per eV: k² = 2 m E/ħ²."""
CORRELATION = 0.5
"""eV between points whose noise is independent: the spacing of a usual near-edge scan."""


@dataclass(frozen=True)
class Instrument:
    """Bounds of one random draw; each is drawn evenly between them.

    Parameters
    ----------
    gaussian : float, eV
        Largest added standard deviation of the resolution.
    core_hole : (float, float), eV
        Change of the Lorentzian full width: negative for high-energy-resolution detection, whose width is
        that of the shallower hole of the final state.
    slope : float
        Largest slope error, share of the edge step per 50 eV.
    step : float
        Largest error of the edge step, as a share.
    self_absorption : (float, float)
        a in μ' = μ (1 + a)/(1 + a μ).
    noise : float
        Largest standard deviation of one point, share of the edge step.
    shake_down : float
        Largest weight of the configuration that a ligand electron screens, in open shells.
    screening : (float, float), eV
        How much lower that configuration stands.
    discrepancy : float
        Largest standard deviation of what theory misses near the edge: a smooth random curve with
        correlation lengths of 1 and 2.5 eV that fades within 25 eV (Kennedy and O'Hagan,
        J. R. Stat. Soc. B 63, 425 (2001)).
    pre_edge : float
        Largest level that theory leaves below the edge and a subtracted pre-edge does not.
    alignment : float, eV
        Standard deviation of the error of alignment that remains.
    disorder : float, Å²
        Largest mean-square relative displacement σ² of the atoms, which the set's frozen structures lack:
        μ' = 1 + (μ − 1) exp(−2 σ² k²) above the edge, with k² = 2 m (E − E½)/ħ². At room temperature first
        shells of oxides have 0.003–0.006 Å², farther ones and small particles two or three times as much.
    """

    gaussian: float = 1.2
    core_hole: tuple[float, float] = (-1.0, 0.5)
    slope: float = 0.06
    step: float = 0.03
    self_absorption: tuple[float, float] = (-0.02, 0.10)
    noise: float = 0.03
    shake_down: float = 0.35
    screening: tuple[float, float] = (4.0, 9.0)
    discrepancy: float = 0.05
    pre_edge: float = 0.05
    alignment: float = 0.3
    disorder: float = 0.012


def fine_shapes(energy: Floats, mu: Floats) -> Singles:
    """Return every spectrum (n, p) on `FINE` around its own E½, ends held."""
    rows = np.empty((len(energy), FINE.size), dtype=np.float32)
    for i, (e, m) in enumerate(zip(energy, mu, strict=True)):
        position = half_step_and_level(e, m)[0]
        rows[i] = np.interp(position + FINE, e, m)
    return rows


def observe(
    fine: Singles,
    rng: np.random.Generator,
    window: str,
    instrument: Instrument,
    open_shell: NDArray[np.bool_] | None = None,
    level: float | None = None,
) -> Singles:
    """Return every shape through an instrument of its own, on a window.

    Parameters
    ----------
    fine : array of shape (n, p)
        On `FINE`.
    rng : Generator
    window : str
        A key of `WINDOWS`.
    instrument : Instrument
    open_shell : array of shape (n,), optional
        Absorbers whose d shell is open: for them μ' = (1 − w) μ(E) + w μ(E + Δ), the configuration that a
        ligand electron screens standing Δ lower (Chaboy et al., Phys. Rev. B 71, 134208 (2005)).

    level : float, optional
        Post-edge level, where the spectra were measured too short to show it.

    Returns
    -------
    array of shape (n, m)
    """
    n = len(fine)
    seen = fine
    if open_shell is not None and instrument.shake_down:
        seen = _shaken(seen, rng, instrument, open_shell)
    if instrument.discrepancy or instrument.pre_edge:
        seen = _misjudged(seen, rng, instrument)
    if instrument.disorder:
        seen = _shaken_atoms(seen, rng, instrument.disorder)
    seen = _resolved(seen, rng, instrument)
    bend = rng.uniform(-1, 1, (n, 1)) * instrument.slope * FINE / 50.0
    gain = 1 + rng.uniform(-1, 1, (n, 1)) * instrument.step
    seen = seen * (gain * (1 + bend)).astype(np.float32)
    a = rng.uniform(*instrument.self_absorption, (n, 1)).astype(np.float32)
    seen = seen * (1 + a) / (1 + a * seen)
    if instrument.noise:
        stride = int(CORRELATION / STEP)
        coarse = FINE[::stride]
        loudness = rng.uniform(0, instrument.noise, (n, 1))
        draws = loudness * rng.standard_normal((n, coarse.size))
        seen = seen + _between(draws, stride, FINE.size)
    error = instrument.alignment * rng.standard_normal(n)
    return realigned(np.asarray(seen, dtype=np.float32), window, error, level)


def _misjudged(fine: Singles, rng: np.random.Generator, instrument: Instrument) -> Singles:
    """Return rows with what theory misses near the edge."""
    from scipy.ndimage import gaussian_filter1d

    n = len(fine)
    fading = np.exp(-((FINE / 25.0) ** 2)) / (1 + np.exp(-(FINE + 1.5)))
    below = 1 / (1 + np.exp(FINE + 1.5))
    out = fine - (rng.uniform(0, instrument.pre_edge, (n, 1)) * below).astype(np.float32)
    for length in (1.0, 2.5):
        curve = gaussian_filter1d(rng.standard_normal(fine.shape, np.float32), length / STEP, 1)
        size = rng.uniform(0, instrument.discrepancy, (n, 1)) / curve.std()
        out = out + (size * fading * curve).astype(np.float32)
    return np.asarray(out, dtype=np.float32)


def _between(coarse: Floats, stride: int, size: int) -> Singles:
    """Return values between points `stride` apart, linearly."""
    at = np.arange(size) / stride
    low = np.minimum(at.astype(int), coarse.shape[1] - 2)
    share = at - low
    return np.asarray(coarse[:, low] * (1 - share) + coarse[:, low + 1] * share, dtype=np.float32)


def _shaken(
    fine: Singles, rng: np.random.Generator, instrument: Instrument, who: NDArray[np.bool_]
) -> Singles:
    weight = rng.uniform(0, instrument.shake_down, len(fine)) * who
    offset = rng.uniform(*instrument.screening, len(fine))
    at = np.arange(FINE.size)[None, :] + np.rint(offset / STEP).astype(int)[:, None]
    lower = np.take_along_axis(fine, np.minimum(at, FINE.size - 1), axis=1)
    w = weight[:, None].astype(np.float32)
    return np.asarray(fine * (1 - w) + w * lower, dtype=np.float32)


def _shaken_atoms(fine: Singles, rng: np.random.Generator, largest: float) -> Singles:
    """Return rows whose oscillations are damped as thermal motion and disorder damp them."""
    squared = np.maximum(FINE, 0.0) * WAVE
    factor = np.exp(-2.0 * rng.uniform(0, largest, (len(fine), 1)) * squared).astype(np.float32)
    return np.asarray(1 + (fine - 1) * factor, dtype=np.float32) * (FINE > 0) + fine * (FINE <= 0)


def _resolved(fine: Singles, rng: np.random.Generator, instrument: Instrument) -> Singles:
    """Return every row through a Gaussian and a change of its Lorentzian width.

    In Fourier space exp(−π Γ|ν| − 2π² σ² ν²). A negative Γ is met by a Gaussian of σ ≥ 0.45|Γ|, with which
    no frequency grows by more than exp(Γ²/8σ²) = 1.9.
    """
    n = len(fine)
    width = rng.uniform(*instrument.core_hole, (n, 1))
    sigma = rng.uniform(0, instrument.gaussian, (n, 1)) * (width >= 0)
    sigma = np.where(width < 0, np.maximum(0.45 * -width, sigma), sigma)
    slope = (fine[:, -1:] - fine[:, :1]) / (FINE.size - 1)
    straight = fine[:, :1] + slope * np.arange(FINE.size, dtype=np.float32)
    rest = fine - straight
    nu = np.fft.rfftfreq(2 * FINE.size, STEP)
    factor = np.exp(-np.pi * width * nu - 2 * (np.pi * sigma * nu) ** 2)
    spectrum = np.fft.rfft(np.concatenate([rest, -rest[:, ::-1]], axis=1), axis=1)
    turned = np.fft.irfft(spectrum * factor, axis=1)[:, : FINE.size]
    return np.asarray(straight + turned, dtype=np.float32)


def realigned(
    fine: Singles, window: str, error: Floats | float = 0.0, level: float | None = None
) -> Singles:
    """Return shapes on a window around the origin that each row has now, plus an error (eV).

    `level` is the post-edge level where the rows were measured too short to show it.
    """
    low, high = REFERENCE_TAIL
    inside = (low <= FINE) & (high >= FINE)
    levels = np.median(fine[:, inside], axis=1) if level is None else np.full(len(fine), level)
    position = steady_origin(fine[:, : AROUND.size], 0.5 * levels) + error
    at = (position[:, None] + WINDOWS[window] - FINE[0]) / STEP
    left = np.clip(at.astype(int), 0, FINE.size - 2)
    part = (at - left).astype(np.float32)
    found = np.take_along_axis(fine, left, axis=1) * (1 - part)
    found += np.take_along_axis(fine, left + 1, axis=1) * part
    return np.asarray(found, dtype=np.float32)
