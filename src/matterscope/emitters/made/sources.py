"""Photon streams with known truth: exact renewal sampling of emitters, background and two detectors.

In: rates (1/s), detection and a random generator. Out: a `photons` measurement with its truth.
Nothing is approximated: the waiting time between detected photons is drawn in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.physics.rates import ThreeLevels

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Detection:
    """Two detectors behind a beam splitter.

    Parameters
    ----------
    efficiency : float
        Share of emitted photons that are detected, on both together.
    background : float
        Share of detected counts that are uncorrelated background.
    jitter : float, s
        Standard deviation of one detector's response.
    balance : float
        Share that goes to detector 1.
    dead_time : float, s
        Each detector is blind after a count.
    after_flash : float
        Probability that a count on one detector makes the other count, `after_flash_delay` later.
    delay : float, s
        Channel 2 − channel 1: cable delay.
    """

    efficiency: float = 0.05
    background: float = 0.05
    jitter: float = 150e-12
    balance: float = 0.5
    dead_time: float = 0.0
    after_flash: float = 0.0
    after_flash_delay: float = 46e-9
    delay: float = 0.0


@dataclass(frozen=True)
class Excitation:
    """Continuous, or pulsed with a period; on and off by a slow telegraph if `blink_on` is set."""

    period: float = 0.0
    """Laser period, s; 0 is continuous."""
    excitation: float = 0.1
    """Probability that a pulse excites the emitter."""
    blink_on: float = 0.0
    blink_off: float = 0.0
    """Mean dwell times, s; 0: no blinking."""

    @property
    def duty(self) -> float:
        """Return the share of time in the bright state."""
        return self.blink_on / (self.blink_on + self.blink_off) if self.blink_off else 1.0


def renewal_times(
    levels: ThreeLevels, efficiency: float, duration: float, rng: np.random.Generator
) -> Floats:
    """Return the times (s) of detected photons of one emitter driven continuously, sorted, in [0, duration).

    Between detections K ~ Geometric(p_r·η) cycles, n_s ~ Binomial(K − 1, (1 − p_r)/(1 − p_r·η))
    shelvings, waiting = Gamma(K)/k12 + Gamma(K)/(k21 + k23) + Gamma(n_s)/k31, p_r = k21/(k21 + k23).

    Parameters
    ----------
    levels : ThreeLevels
    efficiency : float in (0, 1]
        η, the probability that an emitted photon is detected.
    duration : float, s
    rng : numpy Generator
    """
    mean_rate = levels.emission_rate() * efficiency
    pieces, reached = [], 0.0
    # the memory of the start is gone after a few shelving times; they are cut off in front
    lead = 20.0 * (1.0 / levels.deshelving if levels.shelving else 0.0) + 20.0 / levels.pump
    while reached < duration + lead:
        missing = (duration + lead - reached) * mean_rate
        wait = _waiting(levels, efficiency, int(missing + 4.0 * np.sqrt(missing) + 16.0), rng)
        times = np.cumsum(wait)
        times += reached
        reached = float(times[-1])
        pieces.append(times)
    whole = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
    first, last = np.searchsorted(whole, [lead, lead + duration])
    return np.asarray(whole[first:last] - lead)


def _waiting(levels: ThreeLevels, efficiency: float, n: int, rng: np.random.Generator) -> Floats:
    total = levels.emission + levels.shelving
    radiative = levels.emission / total
    cycles = rng.geometric(radiative * efficiency, n)
    wait = rng.standard_gamma(cycles) / levels.pump
    wait += rng.standard_gamma(cycles) / total
    if levels.shelving:
        lost = (1.0 - radiative) / (1.0 - radiative * efficiency)
        shelved = rng.binomial(cycles - 1, lost)
        dark = np.flatnonzero(shelved)
        wait[dark] += rng.standard_gamma(shelved[dark]) / levels.deshelving
    return np.asarray(wait)


def pulsed_times(
    levels: ThreeLevels,
    excitation: Excitation,
    efficiency: float,
    duration: float,
    rng: np.random.Generator,
) -> Floats:
    """Return detected times (s) of one emitter that each laser pulse excites at most once.

    Pulses that lead to a detection are a Bernoulli process with probability p·η; the photon follows
    after an exponential delay with the lifetime 1/(k21 + k23).
    """
    pulses = int(duration / excitation.period)
    p = excitation.excitation * efficiency * levels.emission / (levels.emission + levels.shelving)
    steps = rng.geometric(p, int(pulses * p + 6.0 * np.sqrt(pulses * p) + 16))
    hits = np.cumsum(steps)
    hits = hits[hits < pulses]
    delays = rng.exponential(1.0 / (levels.emission + levels.shelving), hits.size)
    return np.sort(hits * excitation.period + delays)


def telegraph(times: Floats, excitation: Excitation, rng: np.random.Generator) -> Floats:
    """Return the events that fall into the bright stretches of a random telegraph."""
    if not (excitation.blink_on and excitation.blink_off and times.size):
        return times
    cycle = excitation.blink_on + excitation.blink_off
    n = int(times[-1] / cycle * 1.5 + 20)
    on, off = rng.exponential(excitation.blink_on, n), rng.exponential(excitation.blink_off, n)
    edges = np.cumsum(np.column_stack([on, off]).ravel())
    while edges[-1] < times[-1]:
        more = np.column_stack([rng.exponential(excitation.blink_on, n), rng.exponential(excitation.blink_off, n)])  # fmt: skip
        edges = np.concatenate([edges, edges[-1] + np.cumsum(more.ravel())])
    return np.asarray(times[np.searchsorted(edges, times) % 2 == 0])


def simulate_stream(
    emitters: Sequence[ThreeLevels],
    duration: float,
    rng: np.random.Generator,
    *,
    detection: Detection | None = None,
    excitation: Excitation | None = None,
    brightness: Sequence[float] = (),
) -> xr.Dataset:
    """Return a two-detector photon stream of several independent emitters, with its truth.

    Parameters
    ----------
    emitters : sequence of ThreeLevels
        One for a single-photon source.
    duration : float, s
    rng : numpy Generator
    detection, excitation : optional
        Defaults: 5 % efficiency, 5 % background, 150 ps jitter, continuous.
    brightness : sequence of float, in (0, 1 / efficiency)
        Detected share of each emitter's light relative to `detection.efficiency`; empty: equal.

    Returns
    -------
    Dataset of kind ``photons``
        ``attrs["truth"]``: g2_zero with background, counts of each kind.

    Examples
    --------
    >>> m = simulate_stream([ThreeLevels(5e7, 3.3e8)], 1e-3, np.random.default_rng(0))
    >>> m.attrs["kind"], round(m.attrs["truth"]["g2_zero"], 4)
    ('photons', 0.0975)
    """
    setup, light = detection or Detection(), excitation or Excitation()
    if not emitters:
        raise ConfigError("a stream needs at least one emitter", got=0)
    shares = np.ones(len(emitters)) if not len(brightness) else np.asarray(brightness, float)
    if shares.size != len(emitters) or not (shares * setup.efficiency > 0).all():
        raise ConfigError(
            "every emitter needs a positive brightness", got=brightness, expected=len(emitters)
        )
    if (shares * setup.efficiency > 1).any():
        raise ConfigError("more light than an emitter has cannot be detected", got=brightness)
    rates = np.array([_emitted(e, light) for e in emitters]) * shares * setup.efficiency
    noise = light.duty * float(rates.sum()) * setup.background / (1.0 - setup.background)
    return _assemble(emitters, rates, noise, duration, rng, (setup, light))


def simulate_site(
    brightness: Sequence[float],
    duration: float,
    rng: np.random.Generator,
    *,
    rate: float = 1e5,
    background_rate: float = 5e3,
    levels: ThreeLevels | None = None,
    detection: Detection | None = None,
    excitation: Excitation | None = None,
) -> xr.Dataset:
    """Return the stream of one site of an array: none, one or more emitters, each as bright as it is.

    Parameters
    ----------
    brightness : sequence of float
        Relative brightness of the emitters of this site, e.g. their heights in the map over the
        median height; empty: only background is seen.
    duration : float, s
    rng : numpy Generator
    rate : float, counts/s
        Rate of an emitter of brightness 1, on both detectors together.
    background_rate : float, counts/s
        Uncorrelated counts, on both detectors together (`detection.background` is not used).
    levels : ThreeLevels, optional
        Rates of every emitter; hexagonal boron nitride when None.
    detection, excitation : optional

    Returns
    -------
    Dataset of kind ``photons``
        ``attrs["truth"]``: emitters, g2_zero with and without background, signal fraction.

    Examples
    --------
    >>> m = simulate_site([1.0, 0.5], 0.01, np.random.default_rng(0), background_rate=0.0)
    >>> m.attrs["truth"]["emitters"], round(m.attrs["truth"]["g2_zero"], 4)
    (2, 0.4444)
    """
    setup, light = detection or Detection(), excitation or Excitation()
    level = levels or PRESETS["hbn"].levels
    rates = rate * np.asarray(brightness, dtype=np.float64)
    if rates.size and (rates.max() > _emitted(level, light) or rates.min() <= 0):
        raise ConfigError(
            "this rate is more than an emitter gives",
            got=rates.tolist(),
            expected=f"(0, {_emitted(level, light):.3g}) counts/s",
        )
    return _assemble([level] * rates.size, rates, background_rate, duration, rng, (setup, light))


def _assemble(
    emitters: Sequence[ThreeLevels],
    rates: Floats,
    noise_rate: float,
    duration: float,
    rng: np.random.Generator,
    way: tuple[Detection, Excitation],
) -> xr.Dataset:
    """Return the stream of emitters that are detected at `rates` (1/s, while bright) and of background."""
    from matterscope.core.schema import measurement

    setup, light = way
    shares = []
    for levels, rate in zip(emitters, rates, strict=True):
        efficiency = rate / _emitted(levels, light)
        if light.period:
            times = pulsed_times(levels, light, efficiency, duration, rng)
        else:
            times = renewal_times(levels, efficiency, duration, rng)
        shares.append(telegraph(times, light, rng))
    noise = rng.uniform(0.0, duration, rng.poisson(noise_rate * duration))
    time, channel = _detect(np.concatenate([*shares, noise]), setup, rng)
    truth = _truth(rates * light.duty, noise_rate)
    truth |= {"signal": sum(s.size for s in shares), "background": int(noise.size)}
    return measurement(
        "photons",
        {},
        {"time": (("event",), time, "ps"), "channel": (("event",), channel, "1")},
        source={"uri": "simulated stream"},
        truth=truth,
        acquisition_s=duration,
        record_type="simulated",
        records=int(time.size),
        tick_ps=1.0,
        warnings=[],
    )


def _emitted(levels: ThreeLevels, light: Excitation) -> float:
    """Return the photons per second that an emitter gives while it is bright."""
    if not light.period:
        return levels.emission_rate()
    return light.excitation / light.period * levels.emission / (levels.emission + levels.shelving)


def _truth(rates: Floats, noise_rate: float) -> dict[str, Any]:
    light = float(rates.sum())
    ideal = 1.0 - float((rates**2).sum()) / light**2 if light else 1.0
    share = light / max(light + noise_rate, 1e-300)
    return {
        "g2_zero_ideal": ideal,
        "g2_zero": 1.0 - share**2 * (1.0 - ideal),
        "signal_fraction": share,
        "emitters": int(rates.size),
    }


def _detect(
    times: Floats, setup: Detection, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.int8]]:
    """Split, smear, delay and sort; a key of time and channel sorts both at once."""
    lane = (rng.random(times.size) >= setup.balance).astype(np.int64)
    stamps = times * 1e12
    if setup.jitter:
        stamps = stamps + rng.normal(0.0, setup.jitter * 1e12, times.size)
    keys = (np.rint(stamps).astype(np.int64) + lane * round(setup.delay * 1e12)) * 2 + lane
    if setup.after_flash:
        hit = np.flatnonzero(rng.random(keys.size) < setup.after_flash)
        late = rng.normal(setup.after_flash_delay, 2e-9, hit.size) * 1e12
        flash = keys[hit] // 2 + np.rint(late).astype(np.int64)
        keys = np.concatenate([keys, flash * 2 + (1 - keys[hit] % 2)])
    keys = np.sort(keys)
    keys = keys[keys >= 0]
    if setup.dead_time:
        keys = _live(keys, int(setup.dead_time * 1e12))
    return keys >> 1, ((keys & 1) + 1).astype(np.int8)


def _live(keys: Ints, dead: int) -> Ints:
    """Return the events that no earlier count of their detector blinds."""
    from matterscope.emitters.photons.correlation import live_events

    return np.asarray(keys[live_events(keys >> 1, keys & 1, dead)])


@dataclass(frozen=True)
class StreamPreset:
    """A named emitter with its set-up."""

    levels: ThreeLevels
    detection: Detection = field(default_factory=Detection)
    excitation: Excitation = field(default_factory=Excitation)


PRESETS: dict[str, StreamPreset] = {
    # hexagonal boron nitride at room temperature: 3 ns lifetime, µs shelving
    "hbn": StreamPreset(ThreeLevels(5e7, 3.3e8, 2e6, 5e5)),
    # nitrogen-vacancy centre: 12 ns, weak shelving, 300 ns singlet
    "nv": StreamPreset(ThreeLevels(2e7, 7e7, 8e6, 3.3e6), Detection(efficiency=0.02)),
    # quantum dot under a pulsed laser
    "dot": StreamPreset(
        ThreeLevels(1e9, 1.2e9),
        Detection(efficiency=0.05, background=0.01),
        Excitation(12.5e-9, 0.3),
    ),
}
