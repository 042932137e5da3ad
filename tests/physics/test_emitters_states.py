"""Streams by blinking state, errors from drawn stretches, decays that beat, periods of faint light."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from matterscope import emitters
from matterscope.core.errors import DataError
from matterscope.emitters.made.sources import Detection, Excitation, simulate_site
from matterscope.emitters.photons.correlation import pair_histogram
from matterscope.emitters.photons.delays import Decay
from matterscope.emitters.photons.exponentials import choose_model
from matterscope.emitters.photons.gating import find_gates, gated
from matterscope.emitters.photons.pulsed import refined_period
from matterscope.emitters.photons.streams import Stream
from matterscope.emitters.settings import LifetimeSettings
from matterscope.physics.rates import ThreeLevels, periodic_beat, periodic_decay

BLINKING = Excitation(blink_on=0.2, blink_off=0.1)


@pytest.fixture(scope="module")
def blinking():
    return simulate_site(
        [1.0],
        6.0,
        np.random.default_rng(0),
        rate=2e5,
        background_rate=1e4,
        levels=ThreeLevels(3e7, 1.7e8),
        detection=Detection(jitter=150e-12),
        excitation=BLINKING,
    )


def as_stream(m, size=100_000):
    time, channel = m["time"].values, m["channel"].values

    def blocks():
        for i in range(0, time.size, size):
            yield time[i : i + size], channel[i : i + size]

    return Stream("made", blocks)


def test_the_bright_stretches_have_the_bright_rate(blinking) -> None:
    bright, dim = find_gates(as_stream(blinking), 10.0)
    assert bright.rate == pytest.approx(2.1e5, rel=0.02)
    assert dim.rate == pytest.approx(1e4, rel=0.1)
    assert 0.9 < bright.share + dim.share <= 1.0


def test_pairs_of_one_state_are_uncorrelated_where_the_whole_stream_bunches(blinking) -> None:
    time, channel = blinking["time"].values, blinking["channel"].values
    whole = pair_histogram(time, channel, (1, 2), 200_000, 700_000, 500_000)
    stream = as_stream(blinking)
    gate = find_gates(stream, 10.0)[0]
    parts = list(gated(stream, gate, 5_000_000).blocks())
    t, c = (np.concatenate(x) for x in zip(*parts, strict=True))
    assert np.all(np.diff(t) >= 0)
    part = pair_histogram(t, c, (1, 2), 200_000, 700_000, 500_000)
    assert whole.g2[0] > 1.2
    # pairs share photons with neighbours: the rate of the bright state is known to 0.1 %, counts to 0.7 %
    assert part.g2[0] == pytest.approx(1.0, abs=5.0 / np.sqrt(part.counts[0]) + 0.002)


def test_gating_does_not_depend_on_the_size_of_blocks(blinking) -> None:
    found = []
    for size in (10**7, 7919):
        stream = as_stream(blinking, size)
        gate = find_gates(stream, 10.0)[0]
        found.append(np.concatenate([t for t, _ in gated(stream, gate, 5_000_000).blocks()]))
    assert np.array_equal(*found)


def test_a_steady_stream_has_no_states() -> None:
    steady = simulate_site([1.0], 1.0, np.random.default_rng(1), rate=1e5)
    with pytest.raises(DataError, match="one level only"):
        find_gates(as_stream(steady), 10.0)


def test_g2_of_the_bright_state_needs_no_bunching_term(blinking) -> None:
    answer = emitters.g2(blinking, state="bright", longest_lag=0.0, bootstrap=20)
    truth = 1.0 - (2e5 / 2.1e5) ** 2
    band = answer["g2_zero"].interval(0.95)
    assert band.low - 0.05 <= truth <= band.high + 0.05
    assert answer.diagnostics["bunching_terms"] == 0
    assert answer.diagnostics["stream"]["state"] == "bright"
    drawn = answer["g2_zero_raw_resampled"]
    assert drawn.interval(0.68).low <= answer["g2_zero_raw"].value + drawn.sigma


def test_drawn_stretches_scatter_as_counting_noise_when_nothing_drifts() -> None:
    steady = simulate_site(
        [1.0], 0.5, np.random.default_rng(2), rate=8e5, levels=ThreeLevels(3e7, 1.7e8)
    )
    answer = emitters.g2(steady, longest_lag=0.0, bootstrap=60)
    stated = answer["antibunching_time"].interval(0.68)
    drawn = answer["antibunching_time_resampled"].interval(0.68)
    ratio = (drawn.high - drawn.low) / (stated.high - stated.low)
    # 60 draws of 40 stretches give a spread to about 20 %: three of them
    assert 0.4 < ratio < 1.6
    assert not answer.flagged("stretches-differ")


def test_the_lifetime_of_each_state_is_found_in_a_faint_stream_without_a_clock() -> None:
    stream = simulate_site(
        [1.0],
        4.0,
        np.random.default_rng(3),
        rate=1e5,
        background_rate=5e3,
        levels=ThreeLevels(3e7, 1.7e8),
        excitation=Excitation(period=50e-9, excitation=0.3, blink_on=0.2, blink_off=0.1),
    )
    bright, dim = emitters.lifetime(stream, state="each", bootstrap=20)
    assert (
        bright["lifetime"].interval(0.95).low <= 1e3 / 170 <= bright["lifetime"].interval(0.95).high
    )
    assert bright["lifetime_resampled"].value == pytest.approx(1e3 / 170, rel=0.03)
    assert dim["background_share"].value > bright["background_share"].value
    assert any(p.name == "delay-intensity" for p in bright.pictures)


def test_a_period_is_refined_to_parts_per_million_on_faint_light() -> None:
    rng = np.random.default_rng(4)
    pulses = np.cumsum(rng.geometric(0.002, 40_000))
    events = np.rint(pulses * 12_503.7 + rng.exponential(3000.0, pulses.size)).astype(np.int64)
    period, _ = refined_period(np.sort(events), 12_500.0, 500_000)
    assert period == pytest.approx(12_503.7, rel=2e-6)


def test_the_beating_decay_is_the_numerical_convolution() -> None:
    edges = np.linspace(0.0, 12.5, 251)
    fine = (np.arange(1_250_000) + 0.5) * 1e-4
    decay = np.exp(-fine / 0.7) / 0.7 * np.cos(2 * np.pi * 1.3 * fine + 0.4)
    wrapped = np.roll(decay.reshape(10, -1).sum(0), 10_000)
    smeared = gaussian_filter1d(wrapped, 500, mode="wrap", truncate=8.0)
    share = smeared.reshape(250, -1).sum(1) * 1e-4
    found = periodic_beat(edges, 12.5, 0.7, 1.0, 0.05, (2 * np.pi * 1.3, 0.4))
    assert np.allclose(found, share, atol=1e-3 * share.max())


def test_a_beat_is_found_and_a_plain_decay_does_not_beat() -> None:
    rng = np.random.default_rng(5)
    edges = np.linspace(0.0, 12_500.0, 513)
    plain = 1e5 * periodic_decay(edges / 1e3, 12.5, 0.3, 1.0, 0.03) + 1.0
    wave = (2 * np.pi * 2.1, np.pi)
    beat = plain + 0.9e5 * periodic_beat(edges / 1e3, 12.5, 0.3, 1.0, 0.03, wave)
    found = []
    for mean in (plain, beat):
        decay = Decay(edges, rng.poisson(np.maximum(mean, 0)).astype(float), 12_500.0, "made")
        found.append(choose_model(decay, LifetimeSettings(), None)[0])
    assert not found[0][0].beating
    model, fit = found[1]
    assert model.beating
    assert fit.values["beat_frequency"] == pytest.approx(2.1, abs=4 * fit.sigma("beat_frequency"))
    assert fit.values["lifetime_1"] == pytest.approx(0.3, abs=4 * fit.sigma("lifetime_1"))
