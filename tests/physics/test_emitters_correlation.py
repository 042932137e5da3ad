"""Coincidences against brute force, closed forms and the exact sampler."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from matterscope.emitters.made.sources import (
    Detection,
    renewal_times,
    simulate_site,
    simulate_stream,
)
from matterscope.emitters.photons.correlation import (
    LogCorrelator,
    PairHistogram,
    log_correlation,
    pair_histogram,
)
from matterscope.physics.rates import ThreeLevels, bin_average, periodic_decay, smeared_exponential

HBN = ThreeLevels(5e7, 3.3e8, 2e6, 5e5)


def poisson_pair(seed: int, start: int, n: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 10**12, n)) + start
    return time, rng.integers(1, 3, n).astype(np.int8)


def test_pair_histogram_equals_all_differences() -> None:
    time, channel = poisson_pair(1, 0, 1500)
    found = pair_histogram(time, channel, (1, 2), -(10**9), 10**9, 10**6)
    gaps = (time[channel == 2][None, :] - time[channel == 1][:, None]).ravel()
    gaps = gaps[(gaps >= -(10**9)) & (gaps < 10**9)]
    brute = np.bincount((gaps + 10**9) // 10**6, minlength=2000)
    assert np.array_equal(found.counts, brute)


def test_blocks_give_the_same_bits_as_the_whole() -> None:
    time, channel = poisson_pair(2, 12345, 20_000)
    whole = pair_histogram(time, channel, (1, 2), -(10**8), 2 * 10**8, 10**5)
    blocks = PairHistogram((1, 2), -(10**8), 2 * 10**8, 10**5)
    for i in range(0, time.size, 777):
        blocks.add(time[i : i + 777], channel[i : i + 777])
    assert np.array_equal(blocks.counts, whole.counts)
    assert np.array_equal(blocks.result().expected, whole.expected)


@pytest.mark.parametrize("start", [0, 10**12, 10**13])
def test_g2_is_one_for_independent_streams_whenever_the_clock_starts(start: int) -> None:
    time, channel = poisson_pair(3, start, 8000)
    reach = 5 * 10**11  # half of the recording
    found = pair_histogram(time, channel, (1, 2), -reach, reach, reach // 10)
    # pairs share events, so the scatter is that of the 2000 events in the smaller windows: 3 σ
    assert np.all(np.abs(found.g2 - 1.0) < 3.0 / np.sqrt(2000))


def test_log_correlation_in_blocks_equals_the_whole() -> None:
    time, channel = poisson_pair(4, 999, 20_000)
    a, b = time[channel == 1], time[channel == 2]
    results = []
    for pieces in (1, 7):
        correlator = LogCorrelator(1e11, 1e5)
        edges = np.linspace(time[0], time[-1] + 1, pieces + 1)[1:].astype(np.int64)
        i = j = 0
        for edge in edges:
            k, m = np.searchsorted(a, edge), np.searchsorted(b, edge)
            correlator.add(a[i:k], b[j:m], int(edge))
            i, j = int(k), int(m)
        results.append(correlator.result())
    assert np.array_equal(results[0].counts, results[1].counts)
    assert np.allclose(results[0].expected, results[1].expected, rtol=1e-12)


def test_log_correlation_counts_the_pairs_of_a_plain_histogram() -> None:
    time, channel = poisson_pair(5, 0, 6_000)
    log = log_correlation(time[channel == 1], time[channel == 2], 1e11)
    fine = log.high <= 1 << 30
    gaps = (time[channel == 2][None, :] - time[channel == 1][:, None]).ravel()
    gaps = np.sort(gaps[(gaps >= 0) & (gaps < 1 << 30)])
    brute = np.searchsorted(gaps, log.high[fine]) - np.searchsorted(gaps, log.low[fine])
    assert np.array_equal(log.counts[fine], brute)


def test_the_sampler_follows_the_eigen_solution() -> None:
    rng = np.random.default_rng(6)
    time = np.floor(renewal_times(HBN, 0.05, 1.0, rng) * 1e12).astype(np.int64)
    lane = rng.integers(1, 3, time.size).astype(np.int8)
    found = pair_histogram(time, lane, (1, 2), -3_000_000, 3_000_000, 2_000)
    edges = found.edges * 1e-12
    fine = HBN.correlation(np.linspace(edges[0], edges[-1], 30 * (edges.size - 1) + 1))
    mean = found.expected * fine[:-1].reshape(-1, 30).mean(1)
    chi = float(np.sum((found.counts - mean) ** 2 / mean))
    # 3000 bins: the 0.5 % and 99.5 % points of χ² are 3000 ± 2.6·√6000
    assert abs(chi - found.counts.size) < 2.8 * np.sqrt(2.0 * found.counts.size)


@pytest.mark.parametrize("n", [2, 3])
def test_equal_emitters_reach_one_minus_one_over_n(n: int) -> None:
    stream = simulate_stream(
        [ThreeLevels(5e7, 3e8)] * n,
        0.2,
        np.random.default_rng(n),
        detection=Detection(0.02, 0.0, 0.0),
    )
    h = pair_histogram(stream["time"].values, stream["channel"].values, (1, 2), -200, 200, 400)
    truth = 1.0 - 1.0 / n * np.exp(-0.1e-9 * 3.5e8)
    assert abs(h.g2[0] - truth) < 4.0 / np.sqrt(h.expected[0])


def test_unequal_emitters_reach_twice_the_product_of_their_shares() -> None:
    strong, weak = ThreeLevels(9e6, 3e8), ThreeLevels(1e6, 3e8)
    stream = simulate_stream([strong, weak], 0.1, np.random.default_rng(1))
    rates = np.array([strong.emission_rate(), weak.emission_rate()])
    f = rates[1] / rates.sum()
    assert stream.attrs["truth"]["g2_zero_ideal"] == pytest.approx(2 * f * (1 - f))


def test_a_site_is_as_bright_and_as_mixed_as_its_emitters_and_background_say() -> None:
    site = simulate_site(
        [2.0, 1.0],
        0.4,
        np.random.default_rng(5),
        rate=1e6,
        background_rate=3e5,
        levels=ThreeLevels(5e7, 3e8),
        detection=Detection(jitter=0.0),
    )
    truth = site.attrs["truth"]
    # shares 2/3 and 1/3: ideal 4/9; signal 3.0e6 of 3.3e6 counts/s
    assert truth["g2_zero_ideal"] == pytest.approx(4 / 9)
    assert truth["g2_zero"] == pytest.approx(1 - (3.0 / 3.3) ** 2 * 5 / 9)
    assert abs(site.sizes["event"] - 3.3e6 * 0.4) < 5 * np.sqrt(3.3e6 * 0.4)
    h = pair_histogram(site["time"].values, site["channel"].values, (1, 2), -200, 200, 400)
    depth = (1.0 - truth["g2_zero"]) * np.exp(-0.1e-9 * 3.5e8)
    assert abs(h.g2[0] - (1.0 - depth)) < 4.0 / np.sqrt(h.expected[0])


def test_an_empty_site_is_background_alone() -> None:
    site = simulate_site([], 0.1, np.random.default_rng(6), background_rate=1e5)
    assert site.attrs["truth"]["g2_zero"] == 1.0
    assert site.attrs["truth"]["emitters"] == 0
    assert abs(site.sizes["event"] - 1e4) < 500


def test_the_smeared_exponential_is_the_numerical_convolution() -> None:
    t = np.linspace(-60.0, 60.0, 120_001)
    kernel = np.exp(-0.5 * (t / 0.3) ** 2)
    numerical = fftconvolve(np.exp(-np.abs(t) / 1.7), kernel / kernel.sum(), "same")
    near = np.abs(t) < 20
    assert np.allclose(smeared_exponential(t[near], 1.7, 0.3), numerical[near], atol=1e-6)


def test_bin_averages_are_the_mean_of_the_curve() -> None:
    edges = np.array([-3.0, -0.4, 0.1, 2.0, 30.0])
    for sigma in (0.0, 0.2, 2.0):
        exact = bin_average(edges, 0.05, 1.3, sigma)
        for i in range(4):
            t = np.linspace(edges[i], edges[i + 1], 200_001)
            curve = smeared_exponential(t - 0.05, 1.3, sigma)
            mean = np.trapezoid(curve, t) / (edges[i + 1] - edges[i])
            assert exact[i] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("shift", [0.0, 3.3, -1.0, 9.9])
def test_a_wrapped_decay_is_the_sum_over_earlier_pulses(shift: float) -> None:
    edges = np.linspace(0.0, 10.0, 41)
    shares = periodic_decay(edges, 10.0, 6.0, shift, 0.25)
    rng = np.random.default_rng(0)
    drawn = (shift + rng.exponential(6.0, 2_000_000) + rng.normal(0, 0.25, 2_000_000)) % 10.0
    counts = np.histogram(drawn, edges)[0] / drawn.size
    assert shares.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.all(np.abs(shares - counts) < 5.0 * np.sqrt(shares / drawn.size))
