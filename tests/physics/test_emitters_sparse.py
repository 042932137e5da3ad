"""Few coincidences: the posterior against closed forms, its calibration, and what the verb says."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import emitters
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.emitters.made.sources import Detection, simulate_site
from matterscope.emitters.photons.dips import DipModel, after_flash
from matterscope.emitters.photons.posterior import (
    G2_GRID,
    TIMES,
    Delay,
    Population,
    under,
    weigh_dip,
)
from matterscope.emitters.photons.verdicts import answer_purity
from matterscope.emitters.settings import G2Settings
from matterscope.physics.rates import ThreeLevels, bin_average

EDGES = np.linspace(-100.0, 100.0, 401)


def drawn(rng, pairs, g0, time, delay=0.0):
    expected = np.full(400, pairs / 400)
    model = DipModel(EDGES, expected, 0, 0.2)
    values = {"delay": delay, "g2_zero": g0, "antibunching_time": time, "scale": 1.0}
    return rng.poisson(model.counts(values)).astype(float), expected


def test_without_pairs_the_posterior_is_what_was_assumed() -> None:
    found = weigh_dip(EDGES, np.zeros(400), np.full(400, 1e-9), sigma=0.2, delay=Delay(0.0, 0.5))
    assert found.below(0.5) == pytest.approx(0.5, abs=1e-6)
    assert np.allclose(found.times, 1.0 / TIMES.size, atol=1e-6)
    assert found.evidence == pytest.approx(0.0, abs=1e-6)


def test_the_likelihood_is_that_of_the_fitted_model() -> None:
    counts, expected = drawn(np.random.default_rng(0), 4000.0, 0.2, TIMES[9])
    found = weigh_dip(EDGES, counts, expected, sigma=0.2, delay=Delay(0.0, 0.0))
    # with this many pairs one recovery time is left, and g2(0) follows the Poisson likelihood there
    model = DipModel(EDGES, expected, 0, 0.2)
    cost = []
    for g0 in G2_GRID:
        total = np.zeros(TIMES.size)
        for k, time in enumerate(TIMES):
            mean = model.counts(
                {"delay": 0.0, "g2_zero": g0, "antibunching_time": time, "scale": 1.0}
            )
            total[k] = float(counts @ np.log(mean) - mean.sum())
        cost.append(np.logaddexp.reduce(total))
    density = np.exp(np.array(cost) - max(cost))
    mean = float(density @ G2_GRID / density.sum())
    q = found.quantity((0.68,))
    spread = 0.5 * (q.intervals[0].high - q.intervals[0].low)
    # bunching in the posterior widens it a little: a quarter of its width
    assert abs(mean - q.value) < 0.25 * spread


def test_expected_pairs_under_an_exponential_are_exact() -> None:
    from matterscope.emitters.photons.posterior import _Scene, _seen

    expected = np.linspace(1.0, 2.0, 400)
    scene = _Scene.of(EDGES, np.ones(400), expected, 0.0)
    for time in (0.3, 5.0, 200.0):
        found = _seen(scene, time, np.array([-20.1, 3.3]))
        for t0, value in zip((-20.1, 3.3), found, strict=True):
            assert value == pytest.approx(
                float(expected @ bin_average(EDGES, t0, time, 0.0)), rel=1e-6
            )


def test_the_posterior_covers_what_it_was_told_to_expect() -> None:
    rng = np.random.default_rng(1)
    inside = below = said = 0.0
    n = 40
    for _ in range(n):
        g0, k = rng.uniform(), rng.integers(0, TIMES.size)
        counts, expected = drawn(rng, 300.0, g0, TIMES[k], rng.normal(0.0, 0.5))
        found = weigh_dip(EDGES, counts, expected, sigma=0.2, delay=Delay(0.0, 0.5))
        band = found.quantity((0.68,)).intervals[0]
        inside += band.low <= g0 <= band.high
        said += found.below(0.5)
        below += g0 < 0.5
    # binomial scatter of 40 draws is 7.4 %: three of them; probabilities scatter less than outcomes
    assert abs(inside / n - 0.68) < 0.22
    assert abs(below - said) < 3.0 * np.sqrt(0.25 * n)


def test_a_free_scale_does_not_move_the_answer() -> None:
    counts, expected = drawn(np.random.default_rng(2), 3000.0, 0.3, 5.0)
    held = weigh_dip(EDGES, counts, expected, sigma=0.2, delay=Delay(0.0, 0.5))
    free = weigh_dip(
        EDGES, counts, expected * 7.0, sigma=0.2, delay=Delay(0.0, 0.5), free_scale=True
    )
    a, b = (f.quantity((0.68,)) for f in (held, free))
    width = a.intervals[0].high - a.intervals[0].low
    assert abs(a.value - b.value) < 0.5 * width


def test_a_population_gives_its_own_probabilities_when_nothing_is_seen() -> None:
    flat = weigh_dip(EDGES, np.zeros(400), np.full(400, 1e-9), sigma=0.2, delay=Delay(0.0, 0.5))
    known, single = under(flat, Population(1.0, signal_fraction=1.0))
    # Poisson with mean 1, at least one: 0.582 for one emitter, which has g2(0) = 0
    assert single == pytest.approx(0.582, abs=0.002)
    assert known.g2[0] == pytest.approx(0.582, abs=0.01)


def test_a_few_pairs_do_not_make_an_after_flash() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        counts = rng.poisson(2.0, 250).astype(float)
        found += len(after_flash(np.linspace(-500, 500, 251), counts, np.full(250, 2.0), 0.0))
    assert found == 0


def test_a_short_stream_is_answered_by_the_posterior() -> None:
    stream = simulate_site(
        [1.0],
        0.03,
        np.random.default_rng(4),
        rate=2e5,
        background_rate=2e3,
        levels=ThreeLevels(2e7, 5e7),
        detection=Detection(jitter=150e-12, delay=12e-9),
    )
    answer = emitters.g2(stream, delay=12.0, longest_lag=0.0)
    assert answer.diagnostics["mode"] == "continuous, posterior"
    assert answer.flagged("few-coincidences")
    assert answer["verdict"].value in ("single", "cannot tell")
    assert 0.0 < answer["single_probability"].value < 1.0
    band = answer["g2_zero"].interval(0.95)
    assert band.high < 1.0
    unknown = emitters.g2(stream, longest_lag=0.0)
    # without the delay these few coincidences show no dip, and a limit would only repeat the prior
    assert unknown["g2_zero"].value is None
    assert unknown.flagged("no-dip")


def test_a_long_stream_is_answered_by_the_fit() -> None:
    stream = simulate_site([1.0], 0.1, np.random.default_rng(5), rate=1e6, background_rate=1e4)
    answer = emitters.g2(stream, longest_lag=0.0)
    assert answer.diagnostics["mode"] == "continuous"
    assert answer["single_probability"].value > 0.95


@pytest.mark.parametrize(
    ("value", "half", "signal", "word"),
    [
        (0.45, 0.02, 0.95, "antibunched"),  # two emitters of 2 : 1, or nearly
        (0.10, 0.03, 0.95, "single"),
        (0.62, 0.02, 0.95, "not single"),
        (0.40, 0.10, 0.95, "cannot tell"),
    ],
)
def test_a_dip_below_one_half_is_single_only_where_a_pair_is_unlikely(value, half, signal, word):
    found = tuple(
        Interval(level, value - k * half, value + k * half)
        for level, k in ((0.68, 1.0), (0.9, 1.645), (0.95, 1.96))
    )
    estimate = Estimate("emitters g2", InputRef("made"))
    answer_purity(
        estimate, Quantity(value, "1", intervals=found), G2Settings(signal_fraction=signal)
    )
    assert estimate["verdict"].value == word
    assert estimate.flagged("second-emitter") == (word in ("single", "antibunched"))


def test_an_unequal_pair_with_a_deep_dip_is_not_called_single():
    stream = simulate_site(
        (1.0, 0.25),
        1.0,
        np.random.default_rng(12),
        rate=3e5,
        background_rate=1e4,
        levels=ThreeLevels(2e7, 7e7),
        detection=Detection(jitter=150e-12),
    )
    truth = 1 - (1 + 0.25**2) / 1.25**2
    answer = emitters.g2(stream, signal_fraction=0.974, longest_lag=0.0)
    band = answer["g2_zero"].interval(0.95)
    assert band.low < truth < band.high < 0.5
    assert answer["single_probability"].value < 0.95
    assert answer["verdict"].value == "antibunched"
