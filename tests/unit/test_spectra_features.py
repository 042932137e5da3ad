"""Descriptions of spectra and what instruments do to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matterscope.spectra.learned.features import DISTORTIONS, FEATURES, distort
from matterscope.spectra.learned.featurization import describe, recommend
from matterscope.spectra.measured.alignment import WINDOWS

GRID = WINDOWS["narrow"]
SHAPES = np.array([0.5 + np.arctan(GRID / w) / np.pi for w in (1.0, 2.0, 4.0)])


def test_the_cumulative_shape_ends_at_one_and_is_the_running_sum() -> None:
    found = FEATURES["cumulative"](SHAPES, GRID)
    np.testing.assert_allclose(found[:, -1], 1.0, atol=1e-12)
    expected = np.cumsum(SHAPES, axis=1) / SHAPES.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_wavelet_by_fft_is_the_direct_convolution() -> None:
    m = GRID.size
    found = FEATURES["wavelet"](SHAPES, GRID).reshape(3, 10, -1)
    t = np.arange(m) - (m - 1) // 2
    for a in (1, 5, 10):
        psi = 2 / (np.sqrt(3 * a) * np.pi**0.25) * (1 - (t / a) ** 2) * np.exp(-0.5 * (t / a) ** 2)
        direct = np.convolve(SHAPES[0], psi)[(m - 1) // 2 :][:m]
        np.testing.assert_allclose(found[0, a - 1], direct[::2], atol=1e-10)


def test_cubics_in_a_centred_variable_return_a_cubic_exactly() -> None:
    cubic = 0.3 - 0.02 * GRID + 1e-3 * GRID**2 - 1e-5 * GRID**3
    found = FEATURES["polynomial"](cubic[None, :], GRID)
    u = np.linspace(-1, 1, 6)
    # the first window is 2.5 eV wide: −5 … −2.5 eV, six points
    np.testing.assert_allclose(np.polyval(found[0, :4], u), cubic[:6], atol=1e-9)


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_every_description_is_finite_and_one_row_a_spectrum(name: str) -> None:
    found = FEATURES[name](SHAPES, GRID)
    assert found.shape[0] == 3
    assert np.isfinite(found).all()


def test_self_absorption_keeps_zero_and_the_edge_step() -> None:
    energy = np.arange(4.0)
    mu = np.array([0.0, 0.5, 1.0, 1.5])
    _, seen = distort(
        energy, mu, DISTORTIONS["self-absorption 10 %"], 0.0, np.random.default_rng(0)
    )
    assert seen[0] == 0.0
    assert seen[2] == pytest.approx(1.0)
    assert seen[3] < 1.5


def test_an_aligned_description_does_not_see_a_shift_and_a_fixed_one_does() -> None:
    energy = 8900.0 + np.arange(0.0, 260.0, 0.5)
    mu = 0.5 + np.arctan((energy - 8990.0) / 2) / np.pi
    moved, _ = distort(energy, mu, DISTORTIONS["+3 eV"], 8990.0, np.random.default_rng(0))
    a, _ = describe(energy, mu, True, "narrow", 8990.0)
    b, _ = describe(moved, mu, True, "narrow", 8990.0)
    np.testing.assert_allclose(a, b, atol=1e-9)
    c, _ = describe(energy, mu, False, "narrow", 8990.0)
    d, _ = describe(moved, mu, False, "narrow", 8990.0)
    assert np.abs(c - d).max() > 0.1


def test_the_recommended_description_is_best_on_average_over_distortions() -> None:
    rows = [
        {"description": d, "distortion": n, "coordination_f1": f, "bond_mae": 1 - f}
        for d, scores in {"a": (0.9, 0.2, 0.2), "b": (0.8, 0.8, 0.8)}.items()
        for n, f in zip(("clean", "+2 eV", "+3 eV"), scores, strict=True)
    ]
    best, reason = recommend(pd.DataFrame(rows))
    assert best == "b"
    assert "3 distortions" in reason
