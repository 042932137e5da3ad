"""Linear combinations, number of components and resolution on mixtures whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.spectra.measured.mixtures import (
    Problem,
    check_target,
    count_components,
    fit_mixture,
    resolve,
)

GRID = np.arange(-20.0, 80.0, 0.5)


def _species(position: float, line: float) -> np.ndarray:
    rise = 0.5 + np.arctan((GRID - position) / 1.2) / np.pi
    return (
        rise
        + line * np.exp(-0.5 * ((GRID - position - 3) / 2.0) ** 2)
        + 0.06 * np.sin(GRID / (6 + line))
    )


PURE = np.stack([_species(0.0, 0.4), _species(2.0, 0.9), _species(4.5, 1.6)])


@pytest.mark.parametrize("truth", [[0.2, 0.5, 0.3], [0.0, 0.35, 0.65]])
def test_fractions_of_a_clean_mixture_come_back(truth):
    found = fit_mixture(
        Problem(GRID, [(GRID, p) for p in PURE]), truth @ PURE, np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.fractions, truth, atol=1e-4)


def test_a_shift_of_one_component_is_found_with_the_fractions():
    moved = np.interp(GRID - 0.6, GRID, PURE[1])
    mixed = 0.4 * PURE[0] + 0.6 * moved
    problem = Problem(GRID[10:-10], [(GRID, PURE[0]), (GRID, PURE[1])], max_shift=1.5)
    found = fit_mixture(problem, mixed[10:-10], np.random.default_rng(0))
    np.testing.assert_allclose(found.shifts, [0.0, 0.6], atol=0.05)
    np.testing.assert_allclose(found.fractions, [0.4, 0.6], atol=0.01)


def test_intervals_of_the_fractions_cover():
    rng = np.random.default_rng(11)
    truth, hits, draws = np.array([0.25, 0.45, 0.3]), 0, 120
    problem = Problem(GRID, [(GRID, p) for p in PURE])
    for _ in range(draws):
        noisy = truth @ PURE + rng.normal(0, 0.02, GRID.size)
        found = fit_mixture(problem, noisy, rng, draws=60)
        low, high = np.quantile(found.samples[:, 1], [0.05, 0.95])
        hits += low <= truth[1] <= high
    # binomial error of 120 draws is 0.027; 60 bootstrap draws add their own
    assert 0.80 < hits / draws < 0.97


def test_the_number_of_components_is_found_and_more_noise_never_adds_one():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet([1, 1, 1], 12)
    counts = [
        count_components(shares @ PURE + rng.normal(0, noise, (12, GRID.size))).count
        for noise in (0.002, 0.01, 0.3)
    ]
    assert counts[0] == 3
    assert counts[0] >= counts[1] >= counts[2]


def test_a_true_species_passes_the_target_test_and_a_stranger_does_not():
    rng = np.random.default_rng(3)
    matrix = rng.dirichlet([1, 1, 1], 12) @ PURE + rng.normal(0, 0.004, (12, GRID.size))
    friend = check_target(matrix, 3, PURE[1], 0.004)
    stranger = check_target(matrix, 3, _species(8.0, 0.1), 0.004)
    assert friend.ratio < 3 < stranger.ratio


def test_a_series_with_pure_ends_is_resolved():
    shares = np.linspace(0, 1, 9)
    matrix = np.stack([(1 - s) * PURE[0] + s * PURE[2] for s in shares])
    found = resolve(matrix, 2)
    first = found.shares[:, int(np.argmax(found.shares[-1]))]
    np.testing.assert_allclose(first, shares, atol=0.02)
    np.testing.assert_allclose(found.shares.sum(1), 1.0, atol=1e-3)
