"""What detectors do to a pattern before it is answered: gain, marks, geometry, bad pixels, hidden stops."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from golden import cbf as write_cbf
from matterscope import scattering
from matterscope.core.errors import ConfigError
from matterscope.core.random import generator
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.evaluation import population, scene
from matterscope.scattering.number_density import solve
from matterscope.scattering.photon_gain import estimate_gain
from matterscope.scattering.preparation import centre_candidates, prepare
from matterscope.scattering.settings import DensitySettings, EvaluateSettings
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid


def shot(n=7, photons=10.0, centre=None, law="fixed", seed=41, **given):
    rng = generator(seed, "detector", n)
    line = Beamline(published_grid(129, centre), photons=photons, beam_stop=7.0, **given)
    return detect(intensity(place(n, Recipe(law=law), rng), line, 2000.0), line, rng), rng


@pytest.mark.parametrize(("photons", "gain"), [(10.0, 7.3), (1.0, 110.0), (0.3, 0.37)])
def test_the_gain_is_read_off_the_noise_between_friedel_mates(photons, gain):
    exposure, _ = shot(photons=photons)
    found = estimate_gain(exposure.counts * gain, exposure.open_pixels, [(64.0, 64.0)])
    assert found.value == pytest.approx(gain, abs=4 * found.error + 0.02 * gain)
    assert found.error < 0.05 * gain


def test_a_shifted_centre_does_not_pass_for_noise():
    exposure, _ = shot(photons=10.0, centre=(65.3, 62.6))
    centres, _ = centre_candidates(exposure.counts, exposure.open_pixels)
    found = estimate_gain(5.0 * exposure.counts, exposure.open_pixels, centres)
    assert found.value == pytest.approx(5.0, rel=0.2)


def test_photons_are_left_alone():
    exposure, _ = shot(photons=1.0)
    ready = prepare(exposure.counts, mask=exposure.open_pixels)
    assert ready.gain.value == 1.0
    assert "not-photons" not in {f.code for f in ready.flags}


def test_a_frame_in_detector_units_is_answered_and_says_its_gain(tmp_path):
    exposure, rng = shot(photons=10.0)
    noisy = 7.3 * exposure.counts + 2.0 * rng.standard_normal(exposure.counts.shape)
    np.save(tmp_path / "adu.npy", noisy.astype(np.float32))
    np.save(tmp_path / "mask.npy", exposure.open_pixels)
    answer = scattering.density(
        tmp_path / "adu.npy",
        mask=str(tmp_path / "mask.npy"),
        read_noise=2.0,
        estimator="inversion",
    )
    assert answer["disk_number"].value == 7
    assert answer.flagged("not-photons")
    assert answer.diagnostics["photons_per_pixel"] == pytest.approx(10.0, rel=0.2)
    assert answer.diagnostics["goodness_z"] < 3.5


def test_a_given_gain_is_taken(tmp_path):
    exposure, _ = shot(photons=2.0)
    ready = prepare(4.0 * exposure.counts, mask=exposure.open_pixels, gain=4.0)
    assert ready.level == pytest.approx(2.0, rel=0.1)


def test_gaps_marked_by_the_detector_are_masked_and_counted(tmp_path):
    exposure, _ = shot()
    frame = np.where(exposure.open_pixels, exposure.counts, -2).astype(np.int32)
    frame[:, 90:97] = -1
    tifffile.imwrite(tmp_path / "gaps.tif", frame)
    answer = scattering.density(tmp_path / "gaps.tif", estimator="inversion")
    assert answer["disk_number"].value == 7
    assert answer.flagged("marked-pixels")
    assert not answer.flagged("negative-counts")


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_the_largest_number_of_a_type_is_a_mark(tmp_path, kind):
    exposure, _ = shot()
    frame = exposure.counts.astype(kind)
    frame[~exposure.open_pixels] = np.iinfo(kind).max
    np.save(tmp_path / "eiger.npy", frame)
    answer = scattering.density(tmp_path / "eiger.npy", estimator="inversion")
    assert answer["disk_number"].value == 7
    assert answer.flagged("marked-pixels")


def test_a_cbf_brings_its_own_geometry(tmp_path):
    exposure, _ = shot()
    frame = np.where(exposure.open_pixels, exposure.counts, -1).astype(np.int32)
    path = write_cbf(tmp_path / "pilatus", frame)
    answer = scattering.density(path, area=2.5e6, estimator="inversion", seed=1)
    assert answer["disk_number"].value == 7
    assert answer["number_density"].value == pytest.approx(2.8e-6)
    assert answer["disk_radius"].units == "nm"


def test_energy_stands_for_a_wavelength_but_not_beside_one(tmp_path):
    exposure, _ = shot()
    np.save(tmp_path / "a.npy", exposure.counts)
    given = {"distance": 5.0, "pixel": 55.0, "estimator": "moments", "area": 1e8}
    one = scattering.density(tmp_path / "a.npy", energy=10.0, **given)
    assert one["number_density"].units == "1/nm²"
    with pytest.raises(ConfigError, match="energy"):
        scattering.density(tmp_path / "a.npy", energy=10.0, wavelength=0.1, **given)


def test_a_stop_and_its_bar_are_found_at_a_seventh_of_a_photon():
    rng = generator(17, "dim")
    grid = published_grid(129, (66.0, 61.0))
    line = Beamline(grid, beam_stop=8.0, bar=5.0)
    ideal = intensity(place(7, Recipe(law="normal"), rng), line, 2000.0)
    opened = detect(ideal, line, rng).open_pixels
    counts = rng.poisson(0.15 * ideal / ideal[opened].mean()) * opened
    ready = prepare(counts, centre=(66.0, 61.0))
    missed = ready.open_pixels & ~opened
    assert missed[grid.radius() / grid.step[0] < 40].sum() < 20
    assert (opened & ~ready.open_pixels).mean() < 0.05


def test_the_centre_is_found_at_a_tenth_of_a_photon():
    found = 0
    for n in (5, 8, 11, 14, 17):
        exposure, _ = shot(n, photons=0.1, centre=(65.3, 62.6), law="normal", seed=19)
        centres, _ = centre_candidates(exposure.counts, exposure.open_pixels)
        found += np.hypot(centres[0][0] - 65.3, centres[0][1] - 62.6) < 0.5
    assert found >= 4


def test_an_oversampled_frame_with_free_radii_is_answered():
    exposure, _ = shot_wide()
    answer = scattering.density(exposure, estimator="inversion", size_law="normal")
    assert answer["disk_number"].value == 5
    assert answer.diagnostics["goodness_z"] < 3.5


def shot_wide():
    from matterscope.io.patterns import as_patterns

    rng = generator(23, "wide")
    grid = published_grid(513)
    line = Beamline(grid, photons=1.0, beam_stop=28.0)
    disks = place(5, Recipe(law="normal"), rng)
    made = detect(intensity(disks, line, 2000.0), line, rng)
    given = {"step": grid.step, "centre": grid.origin, "open_pixels": made.open_pixels}
    return as_patterns(made.counts[None], **given, length_unit="px", area=4e6), disks


@pytest.mark.parametrize("told", [True, False])
def test_read_out_noise_is_in_the_expected_deviance_and_found_when_not_told(tmp_path, told):
    exposure, rng = shot(photons=10.0)
    noisy = exposure.counts + 3.0 * rng.standard_normal(exposure.counts.shape)
    np.save(tmp_path / "noisy.npy", noisy)
    np.save(tmp_path / "mask.npy", exposure.open_pixels)
    given = {"read_noise": 3.0, "gain": 1.0} if told else {}
    answer = scattering.density(
        tmp_path / "noisy.npy", mask=str(tmp_path / "mask.npy"), estimator="inversion", **given
    )
    assert answer["disk_number"].value == 7
    assert abs(answer.diagnostics["goodness_z"]) < 3.5


def test_a_gain_found_about_an_unknown_centre_is_corrected_by_the_fit():
    case = population(EvaluateSettings(law="normal", photons=10.0, offset=2.0, tell_box=False))
    rng = generator(97, "gain1210.0", 0)
    _, frame = scene(12, case, rng)
    scaled = replace(frame, counts=3.7 * frame.counts, photons=False)
    # mates half a pixel beside each other say 13 % too much
    assert prepare(scaled.counts, mask=scaled.open_pixels).gain.value > 1.1 * 3.7
    solution = solve(scaled, DensitySettings.model_validate(case["density"]), rng)
    assert solution.answer == 12
    assert solution.ready.gain.value == pytest.approx(3.7, rel=0.03)
