"""Spectra of emitters: line fits against known truth, cosmic rays, jumps, verdicts, columns."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import emitters
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.schema import measurement
from matterscope.core.units import HC
from matterscope.emitters.lines.cosmics import find_cosmics
from matterscope.emitters.lines.zero_phonon import thermal_verdict
from matterscope.emitters.made.twin import expected_spectrum, spectrum_axis, spectrum_frames
from matterscope.physics import lineshapes

AXIS = spectrum_axis()


def spectrum(rng, centre=2.0989, width=0.0252, photons=2e5, **kwargs):
    expected = expected_spectrum(AXIS, centre, width, 0.45, photons)[None]
    counts, _ = spectrum_frames(expected, rng, **kwargs)
    return measurement(
        "emission", {"wavelength": (AXIS, "nm")}, {"counts": (("wavelength",), counts[0], "counts")}
    )


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ("gaussian", (0.3, 0.7)),
        ("lorentzian", (0.3, 0.7)),
        ("voigt", (0.3, 0.5, 0.7)),
        ("pseudo_voigt", (0.3, 0.7, 0.4)),
        ("fano", (0.3, 0.7, -1.5)),
        ("arctangent", (0.3, 0.7)),
        ("error_step", (0.3, 0.7)),
    ],
)
def test_analytic_gradients_match_central_differences(shape, parameters):
    x = np.linspace(-3, 3, 41)
    function, gradient = getattr(lineshapes, shape), getattr(lineshapes, f"{shape}_gradient")
    for k, found in enumerate(gradient(x, *parameters)):
        step = np.zeros(len(parameters))
        step[k] = 1e-5
        up, down = function(x, *(parameters + step)), function(x, *(parameters - step))
        # central differences: error of the order of the step squared, 1e-10 times third derivatives
        assert np.allclose(found, (up - down) / 2e-5, atol=1e-8)


@pytest.mark.parametrize("width", [0.7, 1.4, 5.0])
def test_pixel_integrated_voigt_keeps_the_area(width):
    edges = np.arange(-200.5, 201.5)
    total = lineshapes.pixel_voigt(edges, 0.2, width / 2.355, 0.0).sum()
    assert total == pytest.approx(1.0, abs=1e-3)


def test_the_voigt_width_is_that_of_the_profile():
    x = np.linspace(0, 10, 200_001)
    profile = lineshapes.voigt(x, 0.0, 0.6, 1.1)
    half = 2 * x[np.searchsorted(-profile, -profile[0] / 2)]
    assert lineshapes.voigt_width(0.6, 1.1) == pytest.approx(half, rel=3e-4)


def test_a_thermal_line_is_read_back_within_its_intervals():
    estimate = emitters.spectrum(
        spectrum(np.random.default_rng(3)), temperature=295.0, instrument_width=0.3
    )
    for name, truth in [("zpl_energy", 2.0989), ("zpl_width", 25.2), ("debye_waller", 0.45)]:
        band = estimate[name].interval(0.95)
        margin = estimate[name].sigma  # one seed: a 95 % interval and one more sigma
        assert band.low - margin < truth < band.high + margin, name
    assert estimate["thermal_verdict"].value == "consistent with the thermal limit"
    assert estimate["zpl_test"].value == "zero-phonon line"


def test_a_line_of_twice_kt_is_not_thermal():
    found = emitters.spectrum(spectrum(np.random.default_rng(3), width=0.055), temperature=295.0)
    assert found["thermal_verdict"].value == "inhomogeneous"


def test_a_line_below_two_pixels_is_limited_by_the_instrument():
    expected = expected_spectrum(AXIS, 2.0, 1e-5, 0.45, 2e5, instrument=0.24)
    counts, _ = spectrum_frames(expected[None], np.random.default_rng(1))
    data = measurement(
        "emission", {"wavelength": (AXIS, "nm")}, {"counts": (("wavelength",), counts[0], "counts")}
    )
    estimate = emitters.spectrum(data, temperature=10.0)
    assert estimate.flagged("instrument-limited")
    assert estimate["thermal_verdict"].value == "instrument-limited"
    assert estimate["zpl_width"].interval(0.95).low is None


def test_verdicts_need_a_temperature():
    assert thermal_verdict(None, 10, 0.2)[0] == "cannot tell"


def test_a_spectrum_over_energy_gives_the_same_line_as_over_wavelength():
    data = spectrum(np.random.default_rng(3))
    order = np.argsort(HC / AXIS)
    over = measurement(
        "emission",
        {"energy": ((HC / AXIS)[order], "eV")},
        {"counts": (("energy",), data["counts"].values[order], "counts")},
    )
    a, b = (
        emitters.spectrum(data, instrument_width=0.3),
        emitters.spectrum(over, instrument_width=0.3),
    )
    # pixel edges are middles in λ or in E: a difference of second order in the pixel, far below σ
    assert abs(a["zpl_energy"].value - b["zpl_energy"].value) < 0.2 * a["zpl_energy"].sigma


def test_an_empty_spectrum_answers_with_a_flag():
    rng = np.random.default_rng(0)
    data = measurement(
        "emission",
        {"wavelength": (AXIS, "nm")},
        {"counts": (("wavelength",), 600 + rng.normal(0, 8, AXIS.size), "counts")},
    )
    estimate = emitters.spectrum(data)
    assert estimate.flagged("no-line")
    assert estimate["zpl_energy"].value is None


def test_a_spectrum_of_nan_is_refused():
    data = measurement(
        "emission",
        {"wavelength": (AXIS, "nm")},
        {"counts": (("wavelength",), np.full(AXIS.size, np.nan), "counts")},
    )
    with pytest.raises(SchemaError, match="no finite counts"):
        emitters.spectrum(data)


@pytest.fixture(scope="module")
def struck():
    rng = np.random.default_rng(7)
    centres = np.repeat([2.0, 2.012, 1.993], 5)
    expected = np.stack(
        [expected_spectrum(AXIS, c, 1e-5, 0.3, 2e4, instrument=0.21) for c in centres]
    )
    clean, _ = spectrum_frames(expected, rng)
    counts, truth = clean.copy(), np.zeros(clean.shape, bool)
    sigma = np.sqrt(64 + expected - 600)
    for f in range(15):
        for i in rng.integers(5, AXIS.size - 5, 4):
            counts[f, i] += 20 * sigma[f, i]
            truth[f, i] = True
    return clean, counts, truth


def test_strikes_of_twenty_sigma_are_found_and_jumping_lines_left(struck):
    _, counts, truth = struck
    mask, groups, _ = find_cosmics(counts)
    assert (mask & truth).sum() >= 0.97 * truth.sum()
    assert (mask & ~truth).sum() <= 0.1 * truth.sum()  # neighbours only
    assert len(set(groups[:5])) == len(set(groups[5:10])) == 1
    assert groups[0] != groups[5] != groups[10]


def test_dim_frames_of_one_line_are_one_group_and_strikes_on_two_pixels_go():
    rng = np.random.default_rng(8)
    expected = np.stack(
        [expected_spectrum(AXIS, 2.0, 1e-5, 0.3, n, instrument=0.26) for n in [2000, 20000] * 4]
    )
    counts, _ = spectrum_frames(expected, rng)
    for f in range(8):
        counts[f, 100 + 40 * f : 102 + 40 * f] += [700, 450]
    mask, groups, _ = find_cosmics(counts)
    assert set(groups) == {0}
    assert all(mask[f, 100 + 40 * f : 102 + 40 * f].any() for f in range(8))


def test_clean_frames_lose_no_pixel(struck):
    clean, _, _ = struck
    mask, _, _ = find_cosmics(clean)
    assert mask.sum() == 0


@pytest.mark.parametrize(
    ("text", "axis", "flag"),
    [
        (
            "wavelength,counts\n" + "".join(f"{600 + i},{i}\n" for i in range(30)),
            "wavelength",
            None,
        ),
        ("a b\n" + "".join(f"{(600 + i) * 1e-9} {i}\n" for i in range(30)), "wavelength", "metres"),
        ("".join(f"{2.2 - 0.01 * i}\t{i}\n" for i in range(30)), "energy", "eV"),
        ("".join(f"{700 - i};{i};{i + 1}\n" for i in range(30)), "wavelength", "descending"),
        (
            "wavenumber (cm-1),counts\n" + "".join(f"{13500 + i},{i}\n" for i in range(30)),
            "energy",
            "1/cm",
        ),
        ("E (meV)\tI\n" + "".join(f"{1352 + i}\t{i}\n" for i in range(30)), "energy", "meV"),
        ("x_um;y\n" + "".join(f"{0.6 + i / 1e3};{i}\n" for i in range(30)), "wavelength", "µm"),
    ],
)
def test_columns_are_told_by_their_range(tmp_path, text, axis, flag):
    from matterscope.io import read

    path = tmp_path / "spectrum.csv"
    path.write_text(text)
    (data,) = read(path, kind="emission")
    assert axis in data.dims
    assert np.all(np.diff(data[axis].values) > 0)
    if flag:
        assert any(flag in f for f in data.attrs["flags"])
    middle = float(np.median(data[axis]))
    assert 1 < middle < 3 if axis == "energy" else 590 < middle < 710


@pytest.mark.parametrize("cut", [100, 3000, 4100, 20000])
def test_a_cut_spe_file_is_refused_with_its_place(tmp_path, cut):
    from matterscope.io import read

    path = tmp_path / "cut.spe"
    path.write_bytes(make_spe()[:cut] if cut < 20000 else make_spe()[:-30])
    with pytest.raises(ReadError) as error:
        read(path, kind="emission")
    assert str(path) in str(error.value)


def make_spe(frames=3, width=40):
    import struct

    counts = np.arange(frames * width, dtype="<u2")
    axis = ",".join(str(600 + 0.1 * i) for i in range(width))
    xml = (
        f'<SpeFormat version="3.0"><DataFormat><DataBlock type="Frame" count="{frames}" pixelFormat="MonochromeUnsigned16" '
        f'size="{2 * width}" stride="{2 * width}"><DataBlock type="Region" count="1" width="{width}" height="1" '
        f'size="{2 * width}" stride="{2 * width}"/></DataBlock></DataFormat><Calibrations><WavelengthMapping>'
        f"<Wavelength>{axis}</Wavelength></WavelengthMapping></Calibrations></SpeFormat>"
    )
    header = bytearray(4100)
    struct.pack_into("<f", header, 1992, 3.0)
    struct.pack_into("<Q", header, 678, 4100 + counts.nbytes)
    return bytes(header) + counts.tobytes() + xml.encode()


def test_an_spe_file_keeps_frames_and_wavelengths_apart(tmp_path):
    from matterscope.io import read

    path = tmp_path / "three.spe"
    path.write_bytes(make_spe())
    (data,) = read(path, kind="emission")
    assert data["counts"].shape == (3, 40)
    assert data["counts"].values[2, 1] == 81
    assert data["wavelength"].values[-1] == pytest.approx(603.9)


def test_a_saturated_top_is_left_out_and_the_flanks_give_the_line():
    rng = np.random.default_rng(3)
    axis = np.linspace(600, 640, 400)
    counts = rng.poisson(100 + 5000 * np.exp(-0.5 * ((axis - 620) / 1.5) ** 2)).astype(float)
    data = measurement(
        "emission",
        {"wavelength": (axis, "nm")},
        {"counts": (("wavelength",), np.minimum(counts, 3000.0), "counts")},
    )
    estimate = emitters.spectrum(data)
    assert estimate.flagged("saturated")
    assert estimate["zpl_wavelength"].value == pytest.approx(620.0, abs=0.05)
    truth = 1e3 * 1.5 * lineshapes.FWHM_OF_SIGMA * HC / 620.0**2
    assert abs(estimate["zpl_width"].value - truth) < 0.05 * truth


def test_pixels_without_a_number_are_named_and_are_no_cosmic_rays():
    rng = np.random.default_rng(4)
    axis = np.linspace(600, 640, 400)
    counts = rng.poisson(100 + 5000 * np.exp(-0.5 * ((axis - 620) / 1.5) ** 2)).astype(float)
    counts[5] = np.nan
    data = measurement(
        "emission",
        {"wavelength": (axis, "nm")},
        {"counts": (("wavelength",), counts, "counts")},
    )
    estimate = emitters.spectrum(data)
    (flag,) = [f for f in estimate.flags if f.code == "not-a-number"]
    assert "600.50 nm" in flag.message
    assert estimate["cosmic_pixels"].value == 0


def test_frames_of_one_broad_sideband_are_kept_apart_by_a_narrow_line_that_jumped():
    rng = np.random.default_rng(6)
    axis = spectrum_axis(553, 787, 1340)
    centres = [2.0] * 5 + [2.003] * 5 + [1.997] * 2
    expected = np.stack(
        [expected_spectrum(axis, c, 1e-5, 0.3, 6e4, instrument=0.26) for c in centres]
    )
    mask, groups, _ = find_cosmics(rng.poisson(expected).astype(float), 1.5)
    assert not mask.any()
    assert groups.tolist() == [0] * 5 + [1] * 5 + [2] * 2


def test_a_strike_as_high_as_half_the_line_is_none_of_it_while_the_line_is_all_there():
    rng = np.random.default_rng(7)
    axis = spectrum_axis(553, 787, 1340)
    expected = np.stack([expected_spectrum(axis, 2.0, 1e-5, 0.3, 6e4, instrument=0.26)] * 6)
    counts = rng.poisson(expected).astype(float)
    height = 0.45 * (expected.max() - 600)
    counts[2, 700:703] += height * np.array([0.3, 1.0, 0.8])
    mask, _, _ = find_cosmics(counts, 1.5)
    assert mask[2, 701]
    assert mask[2, 702]
    assert not np.delete(mask, np.arange(698, 705), axis=1).any()
