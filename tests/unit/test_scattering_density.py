"""`scattering density` on simulated patterns: the number, its doubts, and what is refused."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from matterscope import scattering
from matterscope.core.errors import DataError, ReadError
from matterscope.core.random import generator
from matterscope.io.detector_axes import as_patterns
from matterscope.io.patterns import open_stack
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.inversion import invert
from matterscope.scattering.levelling import Task
from matterscope.scattering.posterior import credible_set
from matterscope.scattering.preparation import centre_candidates, prepare
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid


def shot(n, law="fixed", photons=10.0, seed=11, centre=None, pixels=129, **given):
    rng = generator(seed, "shot", n)
    disks = place(n, Recipe(law=law), rng)
    line = Beamline(published_grid(pixels, centre), photons=photons, beam_stop=7.0, **given)
    return disks, detect(intensity(disks, line, 2000.0), line, rng)


def frame(exposure, centre=(64.0, 64.0), **attrs):
    grid = published_grid(129)
    return as_patterns(
        exposure.counts[None],
        step=grid.step,
        centre=centre,
        open_pixels=exposure.open_pixels,
        length_unit="px",
        area=2000.0**2,
        **attrs,
    )


def test_a_clean_pattern_gives_the_number_and_the_density():
    _, exposure = shot(6)
    answer = scattering.density(frame(exposure))
    assert answer["disk_number"].value == 6
    assert answer["number_density"].value == pytest.approx(6 / 2000.0**2)
    assert answer.diagnostics["proved"]


def test_radii_are_found_with_their_errors():
    disks, exposure = shot(5, law="normal")
    answer = scattering.density(frame(exposure))
    truth = disks.radius.mean()
    assert abs(answer["disk_radius"].value - truth) < 5 * answer["disk_radius"].sigma


def test_scale_translation_and_inversion_leave_the_number_alone():
    disks, _ = shot(5)
    line = Beamline(published_grid(129), photons=10.0, beam_stop=7.0)
    pattern = intensity(disks, line, 2000.0)
    flipped = detect(pattern[::-1, ::-1], line, np.random.default_rng(5))
    task = Task(flipped.counts, flipped.open_pixels, (64.0, 64.0), extent=2.6, equal=True)
    assert invert(task, np.random.default_rng(0)).best.structure.count == 5


def test_the_centre_is_found_when_it_is_not_told():
    _, exposure = shot(9, centre=(65.3, 62.6))
    found, sigma = centre_candidates(exposure.counts, exposure.open_pixels)
    assert np.hypot(found[0][0] - 65.3, found[0][1] - 62.6) < 0.3
    assert sigma > 6


def test_without_an_area_the_number_is_given_and_the_density_refused():
    _, exposure = shot(4)
    data = frame(exposure)
    del data.attrs["area"]
    answer = scattering.density(data)
    assert answer["disk_number"].value == 4
    assert answer["number_density"].value is None
    assert answer.flagged("density-refused")


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_frame_without_a_pattern_is_refused(value):
    with pytest.raises(DataError, match="no pattern"):
        prepare(np.full((40, 40), value))


def test_noise_without_symmetry_has_no_centre():
    noise = np.random.default_rng(0).poisson(5.0, (80, 80))
    with pytest.raises(DataError, match="Friedel"):
        prepare(noise)


def test_a_centre_outside_the_frame_is_refused():
    _, exposure = shot(4)
    with pytest.raises(DataError, match="outside"):
        prepare(exposure.counts, mask=exposure.open_pixels, centre=(300.0, 4.0))


def test_hot_pixels_are_masked_and_listed():
    _, exposure = shot(8, hot=3)
    ready = prepare(exposure.counts, mask=exposure.open_pixels, centre=(64.0, 64.0))
    assert "hot-pixels" in {f.code for f in ready.flags}


def test_frames_are_read_from_tiff_hdf5_and_npy(tmp_path):
    import h5py

    counts = np.random.default_rng(0).poisson(3.0, (3, 20, 17)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack")
    np.save(tmp_path / "a.npy", counts)
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/data/data"] = counts
    for name in ("a.tif", "a.npy", "a.nxs"):
        stack = open_stack(tmp_path / name)
        assert stack.shape == (3, 20, 17)
        assert np.array_equal(np.stack(list(stack.frames())), counts)


def test_a_wrong_dataset_names_those_there_are(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/frames"] = np.ones((4, 16, 16))
    with pytest.raises(ReadError, match="run/frames"):
        open_stack(tmp_path / "a.h5", "entry/data")


def test_a_cut_file_is_refused_with_its_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((6, 32, 32), np.uint16), photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match=r"b\.tif"):
        list(open_stack(tmp_path / "b.tif").frames())


def test_credible_sets_hold_their_level():
    low, high = credible_set(np.arange(1.0, 6.0), np.array([0.1, 0.2, 0.4, 0.2, 0.1]), 0.75)
    assert (low, high) in {(2.0, 4.0)}


def test_simulating_twice_with_one_seed_gives_the_same_bytes(tmp_path):
    first, second = (
        scattering.simulate(n=4, pixels=65, seed=3, artifacts=tmp_path / k) for k in "ab"
    )
    assert first.diagnostics["artifacts"] == second.diagnostics["artifacts"]


def test_the_error_of_the_area_widens_the_density():
    _, exposure = shot(6)
    data = frame(exposure)
    answer = scattering.density(data, area_error=0.1, estimator="inversion")
    density = answer["number_density"]
    band = next(b for b in density.intervals if b.level == 0.68)
    # N is certain here: the density has the relative error of the area
    assert 0.5 * (band.high - band.low) / density.value == pytest.approx(0.1, rel=0.15)


def test_a_movie_of_a_file_is_answered_frame_by_frame(tmp_path):
    frames = [shot(n, seed=20 + n)[1].counts for n in (5, 5, 9)]
    mask = shot(5)[1].open_pixels
    np.save(tmp_path / "movie.npy", np.stack(frames).astype(np.int32))
    np.save(tmp_path / "mask.npy", mask)
    answer = scattering.density(
        tmp_path / "movie.npy",
        mask=str(tmp_path / "mask.npy"),
        centre_y=64.0,
        centre_x=64.0,
        estimator="inversion",
        movie=True,
    )
    assert answer.tables["frames"]["disk_number"].tolist() == [5, 5, 9]
    assert answer.diagnostics["change_points"] == [2]


def test_an_empty_frame_of_a_stack_takes_no_other_with_it(tmp_path):
    exposure = shot(5)[1]
    frames = np.stack([exposure.counts, 0 * exposure.counts, exposure.counts])
    np.save(tmp_path / "stack.npy", frames.astype(np.int32))
    np.save(tmp_path / "mask.npy", exposure.open_pixels)
    given = {"mask": str(tmp_path / "mask.npy"), "centre_y": 64.0, "centre_x": 64.0}
    answers = scattering.density(tmp_path / "stack.npy", estimator="moments", **given)
    assert [a["disk_number"].value is None for a in answers] == [False, True, False]
    assert answers[1].flagged("frame-refused")
    movie = scattering.density(
        tmp_path / "stack.npy", estimator="inversion", movie=True, size_law="equal", **given
    )
    assert movie.tables["frames"]["frame"].tolist() == [0, 2]
    assert movie.flagged("frames-refused")


def test_a_beam_stop_that_leaves_nothing_says_so():
    exposure = shot(5)[1]
    rows, columns = np.indices((129, 129)) - 64
    data = frame(exposure)
    data["open_pixels"] = (("qy", "qx"), (np.hypot(rows, columns) > 60).astype(np.uint8))
    data["open_pixels"].attrs["units"] = "1"
    answer = scattering.density(data)
    assert answer.flagged("hole-too-large")
    assert answer.flagged("no-information")
    assert max(answer["disk_number"].probabilities.values()) < 0.2


def test_counts_that_are_cut_low_are_saturated():
    exposure = shot(6)[1]
    ready = prepare(np.minimum(exposure.counts, 40), mask=exposure.open_pixels)
    assert "saturated-pixels" in {f.code for f in ready.flags}
    ready = prepare(exposure.counts, mask=exposure.open_pixels)
    assert "saturated-pixels" not in {f.code for f in ready.flags}


def test_bright_speckle_without_symmetry_gives_no_centre():
    # a strong phase object: coherent speckle whose mates are not alike
    rng = np.random.default_rng(11)
    field = rng.standard_normal((2, 96, 96))
    smooth = ndimage.gaussian_filter(field, (0, 1.3, 1.3))
    intensity = (smooth**2).sum(axis=0)
    for level in (1.0, 10.0, 100.0):
        counts = rng.poisson(level * intensity / intensity.mean())
        with pytest.raises(DataError, match="no centre of Friedel symmetry"):
            prepare(counts)
