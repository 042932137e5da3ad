"""Fits of photon statistics on data with a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matterscope import emitters
from matterscope.core.schema import measurement
from matterscope.emitters.made.sources import Detection, Excitation, simulate_stream
from matterscope.emitters.photons.curves import (
    fit_polarization,
    fit_saturation,
    polarization_curve,
    saturation_curve,
)
from matterscope.emitters.photons.delays import Decay
from matterscope.emitters.photons.exponentials import fit_decay
from matterscope.emitters.photons.hidden_states import change_points, choose_states
from matterscope.emitters.photons.pulsed import ratio_interval
from matterscope.learn.fitting import Parameter, fit_cost, fit_counts, fit_curve
from matterscope.physics.noise import overdispersed_sample, poisson_nll
from matterscope.physics.rates import ThreeLevels, periodic_decay


def test_the_profile_interval_of_a_poisson_mean_covers_as_stated() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        n = rng.poisson(5.0, 10).astype(float)
        fit = fit_counts(
            lambda v: np.full(10, v["mean"]), n, [Parameter("mean", 1.0, 1e-3, 1e3, scale="log")]
        )
        found = fit.interval("mean", 0.68)
        inside += found.low <= 5.0 <= found.high
    # binomial scatter of 300 draws is 2.7 %: three of them
    assert abs(inside / 300 - 0.68) < 0.081


def test_a_straight_line_has_the_textbook_covariance() -> None:
    x = np.arange(10.0)
    fit = fit_curve(
        lambda v: v["a"] + v["b"] * x,
        3.0 + 2.0 * x,
        0.5,
        [Parameter("a", 0.0), Parameter("b", 0.0)],
    )
    design = np.column_stack([np.ones(10), x])
    exact = 0.25 * np.linalg.inv(design.T @ design)
    assert np.allclose(fit.covariance(), exact, rtol=1e-4)
    assert fit.interval("b", 0.95).high - 2.0 == pytest.approx(
        1.96 * np.sqrt(exact[1, 1]), rel=0.02
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_step_against_a_bound_does_not_end_the_descent(seed: int) -> None:
    t = np.linspace(-20, 20, 161)

    def expect(v: dict[str, float]) -> np.ndarray:
        gap = np.abs(t - v["delay"])
        dip = (1 - v["zero"] + v["bunching"]) * np.exp(-gap / v["fast"])
        return np.maximum(50 * (1 - dip + v["bunching"] * np.exp(-gap / v["slow"])), 1e-6)

    truth = {"zero": 0.05, "bunching": 0.4, "delay": 0.5, "fast": 2.0, "slow": 60.0}
    counts = np.random.default_rng(seed).poisson(expect(truth)).astype(float)
    far = [
        Parameter("zero", 0.3, 0.0, 3.0),
        Parameter("bunching", 1.3, 0.0, 100.0),
        Parameter("delay", -1.2, -20.0, 20.0, "ns"),
        Parameter("fast", 4.6, 0.02, 400.0, "ns", "log"),
        Parameter("slow", 20.0, 0.5, 1e6, "ns", "log"),
    ]
    fit = fit_counts(expect, counts, far)
    there = [
        Parameter(n, v, *((0.0, 1e6) if n != "delay" else (-20, 20))) for n, v in truth.items()
    ]
    assert fit.converged
    assert fit.cost < fit_counts(expect, counts, [replace(p, fixed=True) for p in there]).cost


def test_a_parameter_that_the_data_do_not_fix_is_named() -> None:
    x = np.linspace(0, 1, 20)
    fit = fit_curve(
        lambda v: v["a"] + 0.0 * v["b"] * x,
        np.ones(20),
        0.1,
        [Parameter("a", 0.0), Parameter("b", 1.0, 0.0, 2.0)],
    )
    assert fit.weak == ("b",)


def test_any_cost_can_be_minimised_inside_bounds() -> None:
    n = np.array([3.0, 5.0, 4.0])
    fit = fit_cost(
        lambda v: poisson_nll(np.full(3, v["m"]), n),
        [Parameter("m", 1.0, 0.1, 100.0, scale="log")],
        points=3,
    )
    assert fit.values["m"] == pytest.approx(4.0, rel=1e-3)
    assert fit.sigma("m") == pytest.approx(np.sqrt(4.0 / 3.0), rel=0.02)


def test_ratio_intervals_cover_at_least_as_stated() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(500):
        zero, sides = rng.poisson(30 * 0.6), rng.poisson(30.0 * 40)
        found = ratio_interval(zero, sides, 40, 0.9)
        hits += (found.low is None or found.low <= 0.6) and found.high >= 0.6
    assert hits / 500 > 0.9 - 3 * np.sqrt(0.09 / 500)


def test_two_lifetimes_through_a_response_are_recovered() -> None:
    edges = np.linspace(0.0, 50_000.0, 513)
    rng = np.random.default_rng(2)
    ns = edges / 1000.0
    mean = (
        1e5 * periodic_decay(ns, 50.0, 1.0, 4.0, 0.15)
        + 1e5 * periodic_decay(ns, 50.0, 6.0, 4.0, 0.15)
        + 10.0
    )
    _, fit = fit_decay(Decay(edges, rng.poisson(mean).astype(float), 50_000.0, "test"), 2)
    found = sorted(fit.values[f"lifetime_{k}"] for k in (1, 2))
    assert abs(found[0] - 1.0) < 4.0 * 0.015
    assert abs(found[1] - 6.0) < 4.0 * 0.03
    assert abs(fit.values["shift"] - 4.0) < 0.01


def test_change_points_of_a_telegraph_are_found_to_the_bin() -> None:
    rng = np.random.default_rng(3)
    state = np.repeat(np.arange(250) % 2, rng.integers(5, 91, 250))
    true = np.flatnonzero(np.diff(state)) + 1
    found = change_points(rng.poisson(np.where(state == 1, 400, 60)))
    right = np.intersect1d(true, found).size
    assert right >= 0.98 * true.size
    assert right >= 0.98 * found.size


def test_states_with_excess_noise_are_not_split() -> None:
    rng = np.random.default_rng(4)
    state = np.repeat(np.arange(60) % 2, 100)
    counts = overdispersed_sample(np.where(state == 1, 400.0, 60.0), 200.0, rng)
    found, _ = choose_states(counts)
    assert found.means.size == 2
    assert np.mean(found.path == state) > 0.99


def test_a_saturation_curve_leaves_out_the_row_without_laser(tmp_path) -> None:
    power = np.linspace(0.0, 800.0, 24)
    rng = np.random.default_rng(5)
    truth = {
        "saturated_rate": 6e5,
        "saturation_power": 150.0,
        "background_slope": 0.0,
        "offset": 4e4,
    }
    counts = rng.poisson(saturation_curve(power, truth)).astype(float)
    counts[0] = 2
    path = tmp_path / "s.csv"
    path.write_text(
        "power (µW),counts\n" + "\n".join(f"{p},{c}" for p, c in zip(power, counts, strict=True))
    )
    answer = emitters.saturation(path)
    assert answer.flagged("laser-off-row")
    band = answer["saturation_power"].interval(0.95)
    assert band.low < 150.0 < band.high
    assert fit_saturation(power[1:], counts[1:])[1] < 2.5


def test_a_polarisation_curve_gives_angle_and_visibility() -> None:
    angle = np.arange(0.0, 360.0, 10.0)
    truth = {"floor": 100.0, "swing": 900.0, "angle": 37.0}
    counts = np.random.default_rng(6).poisson(polarization_curve(angle, truth)).astype(float)
    fit, _ = fit_polarization(angle, counts)
    assert abs(fit.values["angle"] % 180 - 37.0) < 4 * fit.sigma("angle")
    assert abs(fit.values["swing"] - 900.0) < 4 * fit.sigma("swing")


def test_a_pulsed_stream_gives_its_truth_and_its_cable_delay() -> None:
    stream = simulate_stream(
        [ThreeLevels(1e9, 1.2e9)],
        0.5,
        np.random.default_rng(7),
        detection=Detection(0.1, 0.02, delay=7.3e-9),
        excitation=Excitation(12.5e-9, 0.3),
    )
    answer = emitters.g2(stream, longest_lag=0.0)
    assert answer["delay"].value == pytest.approx(7.3, abs=0.05)
    truth = 1 - 0.98**2
    error = truth / np.sqrt(answer.diagnostics["central_counts"])
    assert abs(answer["g2_zero_raw"].value - truth) < 4 * error
    assert answer["verdict"].value == "single"


def test_a_dip_outside_the_window_is_found_and_named() -> None:
    stream = simulate_stream(
        [ThreeLevels(5e7, 1e8)],
        0.5,
        np.random.default_rng(8),
        detection=Detection(0.05, 0.0, delay=900e-9),
    )
    answer = emitters.g2(stream, longest_lag=0.0)
    assert answer.flagged("dip-outside-window")
    assert answer["delay"].value == pytest.approx(900.0, abs=0.5)


def test_light_without_antibunching_is_never_single() -> None:
    rng = np.random.default_rng(9)
    n = 200_000
    m = measurement(
        "photons",
        {},
        {
            "time": (("event",), np.sort(rng.integers(0, 10**12, n)), "ps"),
            "channel": (("event",), rng.integers(1, 3, n).astype(np.int8), "1"),
        },
        source={"uri": "test"},
    )
    answer = emitters.g2(m, longest_lag=0.0)
    assert answer["verdict"].value == "cannot tell"
    assert answer["g2_zero"].value is None
    assert answer.flagged("no-dip")


def test_a_trace_of_one_steady_level_does_not_blink() -> None:
    m = measurement(
        "trace",
        {"time": (np.arange(2000) * 0.01, "s")},
        {"counts": (("time",), np.random.default_rng(10).poisson(200.0, 2000), "counts")},
        source={"uri": "test"},
    )
    answer = emitters.trace(m)
    assert answer["states"].value == 1
    assert answer.flagged("one-state")
    assert answer["fano_factor"].value == pytest.approx(1.0, abs=4 * np.sqrt(2 / 2000))
