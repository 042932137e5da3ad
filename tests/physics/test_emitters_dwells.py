"""Dwell times of a telegraph that switches anywhere inside the bins."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import emitters
from matterscope.core.schema import measurement
from matterscope.emitters.photons.telegraph import fit_telegraph, time_in_bin

BIN = 0.01


def trace(rng: np.random.Generator, means: tuple[float, float], bins: int = 3000, shape=1.0):
    """Return counts of a telegraph, 400 bright and 60 dim a bin; mean bright and dim dwells in bins."""
    n = int(3 * bins / sum(means)) + 50
    times = np.empty(2 * n)
    times[0::2], times[1::2] = (rng.gamma(shape, m / shape, n) for m in means)
    ends = np.concatenate([[0.0], np.cumsum(times)])
    lit = np.concatenate([[0.0], np.cumsum(np.where(np.arange(2 * n) % 2 == 0, times, 0.0))])
    share = np.diff(np.interp(np.arange(bins + 1.0), ends, lit))
    return rng.poisson(60.0 + 340.0 * share), share


def answer(counts):
    at = (np.arange(counts.size) + 0.5) * BIN
    return emitters.trace(
        measurement(
            "trace",
            {"time": (at, "s")},
            {"counts": (("time",), counts.astype(float), "counts")},
        )
    )


def test_the_bright_share_of_a_bin_has_the_law_s_mean() -> None:
    # stationary: the mean share of a bin is that of the law, whatever the rates
    u, w = np.polynomial.legendre.leggauss(60)
    u, w = 0.5 * (1 + u), 0.5 * w
    k0, k1 = 1.7, 0.6
    density, still = time_in_bin(u, k0, k1)
    start = np.array([k1, k0]) / (k0 + k1)
    mean = np.einsum("u,u,uij,i->", w, u, density, start) + start[1] * still[1]
    assert mean == pytest.approx(k0 / (k0 + k1), abs=1e-9)


@pytest.mark.parametrize("dwell", [2.0, 10.0])
def test_dwells_shorter_than_a_bin_are_allowed_for(dwell: float) -> None:
    pulls = []
    for seed in range(6):
        counts, _ = trace(np.random.default_rng([seed, 5]), (dwell, 0.5 * dwell))
        rng = np.random.default_rng(seed)
        law = fit_telegraph(counts, (60.0, 400.0), (1.1, 1.1), (2 * dwell, dwell), rng)
        logs = np.log(law.dwells)
        pulls.append((logs.mean(0) - np.log([0.5 * dwell, dwell])) / logs.std(0))
    assert law.effective > 100
    # six pulls of two times: mean within 3.5 standard errors, none beyond 4
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 3.5 / np.sqrt(6))
    assert np.abs(pulls).max() < 4.0


def test_a_trace_states_share_and_dwells_with_the_truth_inside() -> None:
    counts, share = trace(np.random.default_rng(7), (4.0, 2.0))
    found = answer(counts)
    assert found["bright_time_share"].value == pytest.approx(share.mean(), abs=0.005)
    for name, truth in (
        ("bright_time_share", 2 / 3),
        ("bright_dwell_time", 4.0 * BIN),
        ("dim_dwell_time", 2.0 * BIN),
    ):
        band = found[name].interval(0.95)
        assert band.low < truth < band.high
    assert not found.flagged("dwells-not-exponential")
    # the rates are those of the levels, not of bins astride a switch
    assert found["bright_rate"].value == pytest.approx(400 / BIN, rel=0.01)
    assert found["dim_rate"].value == pytest.approx(60 / BIN, rel=0.03)


def test_uneven_dwells_are_said_to_be_so() -> None:
    counts, _ = trace(np.random.default_rng(8), (40.0, 20.0), shape=0.25)
    assert answer(counts).flagged("dwells-not-exponential")


def test_one_switch_states_no_law() -> None:
    rng = np.random.default_rng(9)
    counts = np.concatenate([rng.poisson(400, 500), rng.poisson(60, 300)])
    found = answer(counts)
    assert found["bright_dwell_time"].value is None
    assert not found["bright_time_share"].intervals
    assert found["bright_time_share"].value == pytest.approx(5 / 8, abs=0.01)
