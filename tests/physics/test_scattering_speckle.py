"""Speckle patterns of disks against closed forms, the raster transform and the published values."""

import numpy as np
import pytest

from matterscope.core.errors import ConfigError
from matterscope.core.random import generator
from matterscope.physics.fourier import (
    Grid,
    density_amplitude,
    disk_factor,
    disks_amplitude,
    structure_factor,
)
from matterscope.scattering.deviance import expected_deviance
from matterscope.scattering.disks import Disks, Recipe, align, place
from matterscope.scattering.observables import first_moment, ring_averages
from matterscope.scattering.refinement import (
    Counts,
    Freedom,
    Structure,
    _pack,
    _unpack,
    intensity,
)
from matterscope.scattering.speckle import Beamline, detect, published_grid, raster
from matterscope.scattering.speckle import intensity as expect

GRID = published_grid(65)


def scene(n, seed=0, **given):
    return place(n, Recipe(**given), generator(seed, "scene", n))


def test_the_amplitude_of_one_disk_is_the_quadrature_over_its_area():
    q, radius = 0.05, 40.0
    x = (np.arange(4000) + 0.5) / 4000 * 2 * radius - radius
    chord = 2 * np.sqrt(radius**2 - x**2)
    quadrature = (chord * np.cos(q * x)).sum() * 2 * radius / 4000
    assert np.pi * radius**2 * disk_factor(q * radius) == pytest.approx(quadrature, rel=1e-4)


def test_forward_intensity_is_the_squared_area():
    disks = scene(7, law="normal")
    pattern = expect(disks, Beamline(GRID), 2000.0)
    assert pattern[32, 32] == pytest.approx((np.pi * disks.radius**2).sum() ** 2, rel=1e-12)


def test_patterns_have_friedel_symmetry():
    pattern = expect(scene(9), Beamline(GRID), 2000.0)
    assert np.allclose(pattern, pattern[::-1, ::-1], rtol=1e-9, atol=pattern.max() * 1e-12)


def test_a_translation_changes_phases_only():
    disks = scene(5)
    moved = Disks(disks.x + 31.0, disks.y - 17.0, disks.radius)
    first, second = (expect(d, Beamline(GRID), 2000.0) for d in (disks, moved))
    assert np.allclose(first, second, rtol=1e-7, atol=first.max() * 1e-12)


@pytest.mark.parametrize("n", [2, 20])
def test_the_amplitude_agrees_with_the_exact_transform_of_the_raster(n):
    disks = scene(n)
    grid = published_grid(65)
    exact = density_amplitude(raster(disks, 2000.0), 1.0, grid)
    closed = disks_amplitude(grid, disks.y, disks.x, disks.radius)
    error = np.linalg.norm(np.abs(exact) - np.abs(closed)) / np.linalg.norm(exact)
    assert error <= 0.005
    assert abs(exact[32, 32]) ** 2 / abs(closed[32, 32]) ** 2 == pytest.approx(1.0, abs=0.004)


def test_contrast_of_independent_equal_disks_is_one_minus_one_over_n():
    # 60 dilute patterns, rings beyond 4π/L; standard error of the mean ratio ≈ 2/√(60·150) ≈ 0.02
    ratios = []
    for k in range(60):
        disks = place(3, Recipe(radius=28.5), generator(3, "dilute", k))
        pattern = expect(disks, Beamline(GRID), 2000.0)
        rings = ring_averages(pattern * 1e6, np.ones_like(pattern, dtype=bool), GRID.radius())
        ratios.append(rings.contrast[8:30].mean())
    assert np.mean(ratios) == pytest.approx(1 - 1 / 3, abs=0.06)


def test_factorial_moments_remove_photon_noise():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.exponential(0.7, (400, 400))).astype(float)
    rings = ring_averages(counts, np.ones_like(counts, dtype=bool), np.zeros_like(counts))
    # ⟨I²⟩/⟨I⟩² − 1 = 1 for exponential intensity; standard error ≈ √(20/n) with n = 160,000
    assert rings.contrast[0] == pytest.approx(1.0, abs=4 * np.sqrt(20 / counts.size))


def test_contrast_falls_with_the_number_of_modes():
    disks = scene(20, radius=28.5)
    one, four = (expect(disks, Beamline(published_grid(129), modes=m), 2000.0) for m in (1, 4))
    ring = (published_grid(129).radius() > 30) & (published_grid(129).radius() < 50)
    contrasts = [p[ring].var() / p[ring].mean() ** 2 for p in (one, four)]
    assert contrasts[1] / contrasts[0] == pytest.approx(0.25, abs=0.08)


def test_random_sequential_addition_refuses_beyond_jamming():
    with pytest.raises(ConfigError, match="jamming limit"):
        place(140, Recipe(), np.random.default_rng(0))


def test_disks_never_overlap_in_either_placement():
    for placement in ("rsa", "equilibrium"):
        disks = scene(12, placement=placement)
        apart = np.hypot(disks.x[:, None] - disks.x, disks.y[:, None] - disks.y)
        np.fill_diagonal(apart, np.inf)
        assert apart.min() >= 2 * 90.0


def test_structure_factor_dips_where_the_disks_exclude_each_other():
    q = np.array([2.0 / 182.0])
    dips = [structure_factor(q, d.y, d.x)[0] for d in (scene(20, seed=s) for s in range(40))]
    # measured value of random sequential addition in the box, with the error of 40 configurations
    assert np.mean(dips) == pytest.approx(0.70, abs=4 * np.std(dips) / np.sqrt(40))


def test_alignment_undoes_a_shift_and_the_inversion_twin():
    disks = scene(8)
    twin = Disks(-disks.x + 300.0, -disks.y - 40.0, disks.radius)
    _, _, error = align(twin, disks)
    assert error < 1e-9


def test_first_moments_of_one_disk_size_do_not_depend_on_exposure():
    pattern = expect(scene(4), Beamline(GRID), 2000.0)
    assert first_moment(pattern, (32, 32)) == pytest.approx(first_moment(7 * pattern, (32, 32)))


def test_mean_photons_per_open_pixel_are_as_asked():
    beamline = Beamline(published_grid(129), photons=3.0, beam_stop=7.0)
    shot = detect(expect(scene(6), beamline, 2000.0), beamline, np.random.default_rng(1))
    inside = shot.counts[shot.open_pixels]
    assert inside.mean() == pytest.approx(3.0, abs=4 * np.sqrt(3.0 / inside.size))


@pytest.mark.parametrize("mean", [0.02, 0.5, 5.0, 100.0])
def test_mean_and_variance_of_the_deviance_agree_with_sampling(mean):
    from scipy.special import xlogy

    k = np.random.default_rng(4).poisson(mean, 40_000)
    each = 2 * (xlogy(k, k / mean) - (k - mean))
    expected, spread = expected_deviance(np.full(k.size, mean))
    assert each.sum() == pytest.approx(expected, abs=4 * spread)
    assert each.std() == pytest.approx(spread / np.sqrt(k.size), rel=0.05)


def test_the_jacobian_agrees_with_central_differences():
    rng = np.random.default_rng(0)
    k = np.arange(33) - 16.0
    index = np.argwhere(np.ones((33, 33))).T.astype(np.int64)
    counts = Counts(np.ones(1089), np.ones(1089), np.ascontiguousarray(index), k, k)
    model = Structure(
        rng.uniform(-1, 1, 4), rng.uniform(-1, 1, 4), rng.uniform(0.05, 0.2, 4), 9.0, (0.1, -0.2)
    )
    freedom = Freedom(True, True)
    vector = _pack(model, freedom)
    jacobian = intensity(model, counts, freedom.mode)[1].copy()
    for column in range(vector.size):
        step = np.zeros(vector.size)
        step[column] = 1e-5
        up, down = (
            intensity(_unpack(vector + s * step, model, freedom), counts)[0] for s in (1, -1)
        )
        difference = (up - down) / 2e-5
        assert np.allclose(jacobian[:, column], difference, atol=1e-6 * np.abs(difference).max())


def test_grid_counts_q_from_its_centre():
    grid = Grid((5, 4), (0.1, 0.2), (2.0, 1.5))
    qy, qx = grid.axes()
    assert qy[2] == 0.0
    assert qx[1] == pytest.approx(-0.1)
