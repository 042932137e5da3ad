"""The search for disks where it is hard: few photons, crowded vectors, long pixels, hidden pixels."""

from dataclasses import replace

import numpy as np
import pytest

from matterscope import scattering
from matterscope.core.random import generator
from matterscope.physics.fourier import Grid, disks_amplitude
from matterscope.scattering.differences import disk_weights, missing_disk
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.evaluation import population, scene
from matterscope.scattering.further import Addition, further_disks
from matterscope.scattering.inversion import Inversion, invert, settle
from matterscope.scattering.levelling import Task, collect
from matterscope.scattering.number_density import solve
from matterscope.scattering.posterior import evidence_shares
from matterscope.scattering.preparation import prepare
from matterscope.scattering.refinement import Freedom, Structure, refine
from matterscope.scattering.refinement import intensity as intensity_of
from matterscope.scattering.settings import DensitySettings, EvaluateSettings
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid

STEP = published_grid(129).step[1]


def task_of(n, law="fixed", photons=10.0, seed=31, grid=None):
    rng = generator(seed, "search", n)
    disks = place(n, Recipe(law=law), rng)
    line = Beamline(grid or published_grid(129), photons=photons, beam_stop=7.0)
    shot = detect(intensity(disks, line, 2000.0), line, rng)
    aspect = line.grid.step[0] / line.grid.step[1]
    return disks, Task(
        shot.counts,
        shot.open_pixels,
        line.grid.origin,
        extent=1820.0 * line.grid.step[1],
        equal=law == "fixed",
        aspect=aspect,
    )


def true_fit(disks, task):
    structure = Structure(
        (disks.y - disks.y.mean()) * STEP,
        (disks.x - disks.x.mean()) * STEP,
        disks.radius * STEP,
        1.0,
    )
    counts = collect(task)
    from matterscope.scattering.refinement import intensity as model

    level = counts.value.sum() / (counts.weight * model(structure, counts)[0]).sum()
    start = replace(structure, scale=float(np.sqrt(level)))
    return refine(start, counts, Freedom(not task.equal, area=task.extent**2), fisher=True), counts


@pytest.mark.parametrize("law", ["fixed", "normal"])
def test_a_tenth_of_a_photon_per_pixel_gives_the_number(law):
    _, task = task_of(14, law, photons=0.1)
    assert invert(task, np.random.default_rng(0)).best.structure.count == 14


def test_thirty_six_equal_disks_are_counted():
    _, task = task_of(36)
    found = invert(task, np.random.default_rng(0))
    assert found.best.structure.count == 36
    assert found.explained


def test_pixels_that_are_not_square_are_used_as_they_are():
    grid = published_grid(129)
    tall = Grid((87, 129), (1.5 * grid.step[0], grid.step[1]))
    _, task = task_of(7, grid=tall)
    found = invert(task, np.random.default_rng(0))
    assert found.best.structure.count == 7
    assert found.explained


def test_the_score_map_of_a_true_model_is_noise_of_unit_spread():
    disks, task = task_of(8, "normal")
    fit, counts = true_fit(disks, task)
    # some 2000 independent points: the robust spread is good to a few per cent
    assert missing_disk(fit, counts, soft=0.0).noise == pytest.approx(1.0, abs=0.12)


def test_a_missing_disk_stands_where_it_is_missing():
    disks, task = task_of(8)
    fit, counts = true_fit(disks, task)
    rest = replace(fit, structure=fit.structure.subset(np.arange(8) != 3))
    missing = missing_disk(rest, counts)
    row, column = np.unravel_index(int(missing.score.argmax()), missing.score.shape)
    away = (
        missing.axes[0][row] - fit.structure.y[3],
        missing.axes[1][column] - fit.structure.x[3],
    )
    assert np.hypot(*away) < 0.5 * fit.structure.radius[0]


def test_true_disks_have_the_weight_one():
    disks, task = task_of(8)
    fit, counts = true_fit(disks, task)
    assert np.allclose(disk_weights(fit, counts), 1.0, atol=0.05)


def test_the_odds_of_an_unseen_disk_grow_as_photons_fall():
    odds = [
        further_disks(*true_fit(*task_of(10, "normal", photons=p))).odds for p in (10.0, 1.0, 0.1)
    ]
    assert odds[0] < odds[1] < odds[2] < 1.0


def test_the_map_of_further_disks_is_the_likelihood_itself():
    fit, counts = true_fit(*task_of(7, "normal", photons=0.5))
    one = Addition(fit, counts)
    map_ = one.log_ratio(0.06)
    seen, _ = intensity_of(fit.structure, counts)
    for row, column in ((10, 20), (90, 50), (60, 130)):
        y, x = one.places[0][row], one.places[1][column]
        more, _ = intensity_of(fit.structure.with_disk(y, x, one.radius * 0.06**0.5), counts)
        exact = counts.value * np.log(more / seen) - counts.weight * (more - seen)
        assert map_[row, column] == pytest.approx(exact.sum(), abs=0.1)


def test_the_likelihood_of_a_further_disk_that_is_not_there_is_one_on_average():
    fit, counts = true_fit(*task_of(9, "normal", photons=0.5))
    one = Addition(fit, counts)
    rng = np.random.default_rng(4)
    area = float(one.area_at(0.8))
    seen, _ = intensity_of(fit.structure, counts)
    ratios = []
    for _ in range(30):
        drawn = replace(counts, value=rng.poisson(counts.weight * seen).astype(float))
        ratios.append(np.exp(Addition(fit, drawn).log_ratio(area)).mean())
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * np.std(ratios) / 30**0.5)


def test_a_disk_is_seen_by_its_own_light_where_the_model_is_dark():
    fit, counts = true_fit(*task_of(8, "normal", photons=1.0))
    one = Addition(fit, counts)
    area = float(one.area_at(4.5))
    # what the fringes alone tell: the Fisher information of its weight
    norm = missing_disk(fit, counts, soft=0.0).norm
    assert 1.5 * area * norm < 4.5


def test_one_radius_for_all_leaves_no_disk_unseen():
    disks, task = task_of(10)
    fit, counts = true_fit(disks, task)
    assert further_disks(fit, counts).odds == 0.0


def test_unseen_disks_move_probability_to_one_more():
    _, task = task_of(6, "normal")
    found = invert(task, np.random.default_rng(0))
    found.unseen = 0.25
    found.fits = {6: found.fits[6]}
    shares = evidence_shares(found, np.arange(1.0, 21.0))
    assert shares[6] == pytest.approx(0.2)


def test_a_beam_stop_with_its_bar_is_found_and_dim_pixels_stay_open():
    grid = published_grid(129)
    rng = generator(5, "stop")
    line = Beamline(grid, photons=3.0, beam_stop=7.0, bar=5.0)
    shot = detect(intensity(place(9, Recipe(law="normal"), rng), line, 2000.0), line, rng)
    ready = prepare(shot.counts)
    assert not (ready.open_pixels & ~shot.open_pixels)[grid.radius() / grid.step[0] < 30].any()
    assert (shot.open_pixels & ~ready.open_pixels).mean() < 0.01


def test_zeros_of_large_speckles_are_no_gaps():
    rng = generator(6, "large speckles")
    line = Beamline(published_grid(257), photons=30.0, beam_stop=14.0)
    disks = place(4, Recipe(box=600.0, radius=40.0), rng)
    shot = detect(intensity(disks, line, 600.0), line, rng)
    ready = prepare(shot.counts)
    bright = line.grid.radius() / line.grid.step[0] < 60
    assert (shot.open_pixels & ~ready.open_pixels & bright).sum() < 40


def test_dark_and_flat_fields_are_taken_off(tmp_path):
    rng = generator(8, "flat")
    flat = 1.0 + 0.2 * rng.standard_normal((129, 129)).clip(-2, 2)
    line = Beamline(published_grid(129), beam_stop=7.0)
    ideal = intensity(place(6, Recipe(), rng), line, 2000.0)
    mask = line.grid.radius() / line.grid.step[0] > 7.0
    ideal *= 8.0 / ideal[mask].mean()
    np.save(tmp_path / "frame.npy", rng.poisson((ideal * flat + 2.0) * mask))
    np.save(tmp_path / "dark.npy", rng.poisson(2.0, (400, 129, 129)).mean(axis=0))
    np.save(tmp_path / "flat.npy", flat)
    np.save(tmp_path / "mask.npy", mask)
    given = {k: str(tmp_path / f"{k}.npy") for k in ("dark", "flat", "mask")}
    answer = scattering.density(tmp_path / "frame.npy", estimator="inversion", **given)
    assert answer["disk_number"].value == 6
    assert answer.diagnostics["proved"]


def solved(n, seed=63, stream="early", **given):
    case = population(EvaluateSettings(n=2, **given))
    rng = generator(seed, f"{stream} {n}", 0)
    disks, frame = scene(n, case, rng)
    return disks, frame, DensitySettings.model_validate(case["density"]), rng


def test_dead_pixels_in_bright_speckles_are_left_out_once_the_disks_are_known():
    hard = {"engine": "raster", "radius_scatter": 0.01, "offset": 2.0, "dead": 8, "tell_box": False}
    _, frame, settings, rng = solved(3, law="fixed", **hard)
    solution = solve(frame, settings, rng)
    assert solution.answer == 3
    assert solution.verdict == "proved"
    assert "dead-pixels" in {f.code for f in solution.ready.flags}


def test_rings_that_no_disk_gives_are_given_up_after_one_look():
    disks, frame, settings, rng = solved(6, law="fixed", photons=4.0)
    line = Beamline(published_grid(129), beam_stop=7.0)
    holes = replace(disks, radius=0.6 * disks.radius)
    middle = [disks_amplitude(line.grid, d.y - 1000, d.x - 1000, d.radius) for d in (disks, holes)]
    ideal = np.abs(middle[0] - middle[1]) ** 2
    counts = rng.poisson(ideal * (4.0 / ideal[frame.open_pixels].mean())).astype(float)
    solution = solve(replace(frame, counts=counts), settings, rng)
    assert solution.verdict == "failed"
    assert solution.inversion.starts <= 2
    assert solution.posterior.max() < 0.5


def test_speckles_finer_than_pixels_set_the_number_a_lower_limit_only():
    _, frame, settings, rng = solved(8, law="fixed")
    wide = settings.model_copy(update={"width": 6.0 * np.pi / frame.step[1] / 4.0})
    solution = solve(frame, wide, rng)
    assert solution.inversion is None
    assert solution.speckle_pixels == pytest.approx(4.0 / 3.0)
    assert np.diff(solution.parts["contrast"])[7:].min() >= -1e-12


def test_a_cluster_that_stands_for_one_large_disk_is_merged():
    disks, task = task_of(6, "normal")
    fit, counts = true_fit(disks, task)
    s, k = fit.structure, int(np.argmax(fit.structure.radius))
    turn = np.pi / 3 * np.arange(6)
    small = s.radius[k] / 7**0.5
    wrong = s.subset(np.arange(6) != k).with_disk(s.y[k], s.x[k], small)
    for angle in turn:
        y, x = s.y[k] + 2 * small * np.sin(angle), s.x[k] + 2 * small * np.cos(angle)
        wrong = wrong.with_disk(y, x, small)
    found = Inversion()
    found.offer(refine(wrong, counts, fit.freedom, steps=10, fisher=True))
    settle(found, counts, 8)
    assert found.best.structure.count == 6
    assert found.best.score == pytest.approx(fit.score, abs=1.0)
