"""Instruments: what they do to a computed spectrum, and that the edge is found after it."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.spectra.learned.instruments import (
    FINE,
    Instrument,
    fine_shapes,
    observe,
    realigned,
)
from matterscope.spectra.measured.alignment import (
    AROUND,
    WINDOWS,
    aligned_shape,
    half_step,
    steady_origin,
)

ENERGY = 8960.0 + np.arange(0.0, 200.0, 0.25)
NOTHING = Instrument(
    gaussian=0.0,
    core_hole=(0.0, 0.0),
    slope=0.0,
    step=0.0,
    self_absorption=(0.0, 0.0),
    noise=0.0,
    shake_down=0.0,
    discrepancy=0.0,
    pre_edge=0.0,
    alignment=0.0,
    disorder=0.0,
)


def edge(width: float, centre: float = 8990.0) -> np.ndarray:
    rise = 0.5 + np.arctan(2 * (ENERGY - centre) / width) / np.pi
    return rise + 0.3 * np.exp(-0.5 * ((ENERGY - centre - 8) / 3) ** 2)


@pytest.fixture(scope="module")
def fine() -> np.ndarray:
    curves = np.array([edge(w) for w in (1.5, 2.5, 4.0)])
    return fine_shapes(np.tile(ENERGY, (3, 1)), curves)


def changed(**bounds: object) -> Instrument:
    return Instrument(**{**vars(NOTHING), **bounds})  # type: ignore[arg-type]


@pytest.mark.parametrize("window", sorted(WINDOWS))
def test_an_instrument_that_does_nothing_gives_the_aligned_shape(
    fine: np.ndarray, window: str
) -> None:
    seen = observe(fine, np.random.default_rng(0), window, NOTHING)
    for row, width in zip(seen, (1.5, 2.5, 4.0), strict=True):
        # both interpolate linearly on 0.25 eV, at different offsets: curvature · step²/8
        np.testing.assert_allclose(row, aligned_shape(ENERGY, edge(width), window)[0], atol=5e-3)


def test_every_smoothed_view_crosses_half_its_level_at_zero(
    fine: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WINDOWS, "around", AROUND)
    many, how = np.repeat(fine, 40, axis=0), changed(slope=0.06, step=0.05)
    near, wide = (observe(many, np.random.default_rng(1), w, how) for w in ("around", "wide"))
    level = np.median(wide[:, WINDOWS["wide"] >= 100], axis=1)
    # the level is taken at 100–135 eV, the window ends at 120: slope 0.06 per 50 eV over 7 eV, halved, is
    # 0.006 of a step; the smoothed edge rises by 0.08 of a step per eV
    np.testing.assert_allclose(steady_origin(near, 0.5 * level), 0.0, atol=0.006 / 0.08 + 0.03)


def test_a_peak_about_half_a_step_high_moves_the_half_step_but_not_the_origin() -> None:
    energy = np.arange(8950.0, 9150.0, 0.25)
    step = 0.5 + np.arctan((energy - 8992.0) / 1.5) / np.pi
    peak = np.exp(-(((energy - 8984.0) / 1.5) ** 2))
    lower, higher = (step + height * peak for height in (0.40, 0.55))
    jump = half_step(energy, lower, 1.0) - half_step(energy, higher, 1.0)
    assert jump > 6.0
    origins = [aligned_shape(energy, mu, "narrow")[1] for mu in (lower, higher)]
    assert abs(origins[0] - origins[1]) < 0.6


def test_a_wider_core_hole_lowers_the_white_line_and_a_narrower_one_raises_it(
    fine: np.ndarray,
) -> None:
    tops = [
        observe(fine, np.random.default_rng(0), "narrow", changed(core_hole=(change, change))).max()
        for change in (-1.0, 0.0, 0.5)
    ]
    assert tops[0] > tops[1] > tops[2]


def test_a_lorentzian_added_is_the_wider_lorentzian() -> None:
    narrow = 0.5 + np.arctan(2 * FINE / 1.5) / np.pi
    wide = 0.5 + np.arctan(2 * FINE / 2.0) / np.pi
    seen = observe(
        narrow[None].astype(np.float32),
        np.random.default_rng(0),
        "narrow",
        changed(core_hole=(0.5, 0.5)),
    )
    expected = np.interp(WINDOWS["narrow"], FINE, wide)
    # the tails of an arctangent are cut 25 eV below the edge: Γ/(2π · 25 eV) = 3·10⁻³ is lost there
    np.testing.assert_allclose(seen[0], expected, atol=6e-3)


def test_only_open_shells_are_shaken_down(fine: np.ndarray) -> None:
    who = np.array([True, False, False])
    seen = observe(fine, np.random.default_rng(2), "wide", changed(shake_down=0.35), who)
    quiet = realigned(fine, "wide")
    assert np.abs(seen[0] - quiet[0]).max() > 0.01
    # a transform there and back in single precision
    np.testing.assert_allclose(seen[1:], quiet[1:], atol=1e-6)


def test_what_theory_misses_has_no_mean_and_fades(fine: np.ndarray) -> None:
    many = np.repeat(fine[:1], 600, axis=0)
    seen = observe(many, np.random.default_rng(3), "wide", changed(discrepancy=0.05))
    grid = WINDOWS["wide"]
    far = np.abs(seen - realigned(many, "wide"))[:, grid > 70]
    assert far.max() < 5e-3
    near = (seen - realigned(many, "wide"))[:, (grid > 4) & (grid < 20)]
    # 2 curves, sizes even in (0, 0.05): 0.041 a point; the mean of 600 draws has a fortieth of it
    assert np.abs(near.mean(axis=0)).max() < 5 * 0.041 / np.sqrt(600)


def test_disorder_damps_oscillations_by_the_debye_waller_factor() -> None:
    wave = 0.1 * np.sin(FINE / 3.0) * (FINE > 0)
    still = (1.0 * (FINE > 0) + wave)[None].astype(np.float32)
    largest = 0.012
    draws = np.random.default_rng(7).uniform(0, largest, (1, 1))[0, 0]
    seen = observe(still, np.random.default_rng(7), "wide", changed(disorder=largest))
    plain = observe(still, np.random.default_rng(7), "wide", NOTHING)
    grid = WINDOWS["wide"]
    far = grid > 60
    # k² = 2 m E/ħ² = 0.2625 E/eV per Å²; origin and edge are both at 0 within a step of 0.25 eV
    expected = np.exp(-2 * draws * 0.2625 * grid[far])
    np.testing.assert_allclose((seen[0, far] - 1) / expected, plain[0, far] - 1, atol=2e-3)
