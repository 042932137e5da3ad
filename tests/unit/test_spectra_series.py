"""Spectra of one file side by side: groups, shifts and what is not claimed."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.schema import measurement
from matterscope.spectra.fusion.intensities import condition, read_ratios, with_ratios
from matterscope.spectra.measured.quality import Examined, examine
from matterscope.spectra.measured.series import compare_series, divide, relative_charge, separation


def nickel(shift: float, noise: float, rng: np.random.Generator, label: str) -> Examined:
    energy = np.arange(8300.0, 8400.0, 0.4)
    rise = 0.5 + np.arctan((energy - 8343 - shift) / 1.2) / np.pi
    white = 0.8 * np.exp(-(((energy - 8349 - shift) / 3) ** 2))
    mu = rise + white + noise * rng.normal(size=energy.size)
    return examine(
        measurement("spectrum", {"energy": (energy, "eV")}, {"mu": (("energy",), mu, "1")}, label=label)
    )  # fmt: skip


def compared(shifts: list[float], seed: int = 0) -> list[Estimate]:
    rng = np.random.default_rng(seed)
    seen = [(InputRef("file"), nickel(s, 0.002, rng, f"scan {i}")) for i, s in enumerate(shifts)]
    estimates = [Estimate("spectra infer", ref) for ref, _ in seen]
    compare_series(seen, estimates, Call())
    return estimates


def test_two_states_are_told_apart_with_their_shift() -> None:
    found = compared([0.0, 2.0, 2.1, 0.1, 1.95, 0.05])
    assert [e["edge_group"].value for e in found] == [
        "lower", "upper", "upper", "lower", "upper", "lower",
    ]  # fmt: skip
    assert found[0].flagged("two_groups")
    for estimate, truth in zip(found, [-0.05, 1.95, 2.05, 0.05, 1.9, 0.0], strict=True):
        band = estimate["edge_shift"].interval(0.9)
        assert band.low < truth < band.high
    assert (found[0].tables["separation"]["gap"] > 0.0).all()


def test_one_state_is_not_divided() -> None:
    spread = np.random.default_rng(3).normal(0.0, 0.3, 8).tolist()
    found = compared(spread)
    assert not found[0].flagged("two_groups")
    assert "edge_group" not in found[0].quantities
    assert "edge_shift" in found[0].quantities


def test_one_population_is_rarely_called_two() -> None:
    rng = np.random.default_rng(5)
    false = sum(divide(rng.normal(size=8), rng, draws=400).two for _ in range(100))
    assert false <= 5  # of 1 expected; the binomial 99.9 % point


def test_three_spectra_are_too_few_to_compare() -> None:
    assert not compared([0.0, 2.0, 2.0])[0].quantities


def test_the_gap_of_overlapping_groups_is_negative() -> None:
    table = np.array([[0.0], [1.0], [0.5], [2.0]])
    frame = separation(table, ["half step"], np.array([False, False, True, True]))
    assert frame["gap"][0] == pytest.approx(-0.5)


def test_relative_charge_has_the_sign_and_size_of_the_shift() -> None:
    found = relative_charge(2.0, 0.1, "Ni", Call())
    band = found.interval(0.9)
    assert 0.7 < band.low < found.value < band.high < 2.2


@pytest.mark.parametrize("text", ["Mn/Ni", "Mn/Ni=0.3", "Fe/Ni=1:0.1", "Ni/Ni=1:0.1", "Mn/Ni=-1:0.1", "Mn/Ni=1e:0.1"])  # fmt: skip
def test_a_ratio_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Mn/Ni=0\.33:0\.03"):
        read_ratios([text])


def test_conditioning_agrees_with_the_weighted_mean() -> None:
    mean, covariance = condition(
        np.array([1.0]), np.array([[0.04]]), np.eye(1), np.array([2.0]), np.array([0.1])
    )
    weights = np.array([1 / 0.04, 1 / 0.01])
    assert mean[0] == pytest.approx((weights @ [1.0, 2.0]) / weights.sum())
    assert covariance[0, 0] == pytest.approx(1 / weights.sum())


def test_ratios_reach_a_correlated_target_and_leave_an_independent_one() -> None:
    mean = np.array([0.5, 0.3, 0.2, 0.5, 0.5])  # Ni, Mn, Co, correlated with Mn, independent
    covariance = np.diag([0.01, 0.01, 0.01, 0.01, 0.01])
    covariance[1, 3] = covariance[3, 1] = 0.008
    columns = {"Ni": 0, "Mn": 1, "Co": 2}
    found, _ = with_ratios(
        mean, covariance, columns, [("Mn", "Ni", 1.0, 0.02), ("Co", "Ni", 0.4, 0.02)]
    )
    assert found[:3] == pytest.approx(np.array([1.0, 1.0, 0.4]) / 2.4, abs=0.02)
    assert found[3] > 0.53
    assert found[4] == pytest.approx(0.5)
