"""The nouns of the spine: units, schema, estimates, pictures, errors, files."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - what multiprocessing does on the wire

import numpy as np
import pytest

from matterscope.core.errors import (
    ConfigError,
    DataError,
    NotInstalled,
    SchemaError,
    UnitError,
    require,
)
from matterscope.core.estimates import Estimate, Interval, Quantity, from_samples, gaussian, refused
from matterscope.core.files import atomic, canonical_json
from matterscope.core.pictures import Panel, Picture, image, line, points
from matterscope.core.random import generator
from matterscope.core.schema import check, measurement, same_grid
from matterscope.core.settings import Settings, option, validate
from matterscope.core.units import conversion, parse_unit, wavelength_to_energy
from matterscope.core.verbs import as_input, split_source


def spectrum(energy=(1.0, 2.0, 3.0)):
    return measurement(
        "spectrum",
        {"energy": (list(energy), "eV")},
        {"mu": (("energy",), np.zeros(len(energy)), "1")},
    )


def test_an_error_has_five_parts_and_survives_a_process_border():
    error = DataError("axis falls", where="a.xdi, line 3", got=1, expected=2, hint="sort it")
    assert str(error) == "axis falls (a.xdi, line 3); got 1, expected 2.\nHint: sort it"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what multiprocessing does on the wire
    assert isinstance(again, DataError)
    assert str(again) == str(error)


def test_a_missing_extra_names_the_exact_command():
    with pytest.raises(NotInstalled, match="pip install no_such_package"):
        require("no_such_package", "this test")


def test_units_convert_within_their_dimension_only():
    assert conversion("keV", "eV") == 1000
    assert parse_unit("μm") == "µm"
    with pytest.raises(UnitError, match="length"):
        conversion("nm", "eV")
    with pytest.raises(UnitError, match="unknown unit"):
        parse_unit("furlong")


def test_the_step_from_wavelength_to_energy_conserves_area():
    wavelength = np.linspace(500, 700, 4001)
    line_shape = np.exp(-0.5 * ((wavelength - 600) / 5) ** 2)
    energy, intensity = wavelength_to_energy(wavelength, line_shape)
    assert np.all(np.diff(energy) > 0)
    # trapezoid rule on 4001 points of a smooth peak: relative error far below 1e-6
    assert np.trapezoid(intensity, energy) == pytest.approx(
        np.trapezoid(line_shape, wavelength), rel=1e-6
    )


def test_a_falling_axis_is_refused_with_its_place():
    with pytest.raises(SchemaError, match=r"from 3 to 2 at index 2"):
        spectrum((1.0, 3.0, 2.0))


def test_a_measurement_of_another_kind_is_refused():
    with pytest.raises(
        SchemaError, match="spectrum data were found here, and photons data are wanted"
    ):
        check(spectrum(), "photons")


def test_a_variable_without_units_is_refused():
    broken = spectrum()
    broken["mu"].attrs.clear()
    with pytest.raises(UnitError, match="'mu' has no fitting units"):
        check(broken)


def test_grids_are_the_same_within_rounding_only():
    grid = np.linspace(0, 1, 11)
    assert same_grid(grid, grid + 1e-12)
    assert not same_grid(grid, grid + 1e-3)


def test_a_quantity_without_uncertainty_must_say_why():
    with pytest.raises(ConfigError, match="reason"):
        Quantity(1.0, "eV")
    assert refused("eV", "no data").as_json() == {
        "value": None,
        "units": "eV",
        "uncertainty": "none: no data",
    }


def test_one_sided_intervals_name_their_bound():
    assert Interval(0.95, None, 0.02).as_json() == {
        "level": 0.95,
        "low": None,
        "high": 0.02,
        "bound": "upper",
    }


def test_sample_quantiles_are_the_intervals():
    draws = np.arange(1001) / 1000
    band = from_samples(draws, "1").interval(0.9)
    assert (band.low, band.high) == pytest.approx((0.05, 0.95), abs=1e-12)


def test_an_estimate_shows_itself_and_converts():
    estimate = Estimate("test", quantities={"purity": gaussian(0.5, 0.1, "1")})
    estimate.flag("a", "b <c>")
    estimate.flag("a", "b <c>")
    assert len(estimate.flags) == 1
    assert "&lt;c&gt;" in estimate._repr_html_()
    assert estimate.to_frame().loc[0, "value"] == 0.5
    json.dumps(estimate.as_json(), allow_nan=False)


def test_pictures_survive_their_stored_form():
    picture = Picture(
        "p",
        "t",
        [
            Panel(
                [
                    line([0, 1], [0, np.nan], "m"),
                    points([0], [1], y_low=[0], y_high=[2]),
                    image(np.eye(2), (0, 1), (0, 1)),
                ],
                "x",
                "y",
                x_range=(0, 1),
            )
        ],
    )
    stored = json.loads(canonical_json(picture.as_json()))
    assert Picture.from_json(stored).as_json() == stored


def test_canonical_json_has_no_nan_and_plain_numbers():
    assert (
        canonical_json({"b": np.float32(0.5), "a": [np.nan, np.int64(3)]})
        == '{"a":[null,3],"b":0.5}'
    )


def test_a_file_appears_only_when_its_writing_ended_well(tmp_path):
    target = tmp_path / "x"

    def half_written():
        with atomic(target) as handle:
            handle.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert list(tmp_path.iterdir()) == []


def test_streams_are_independent_of_order_and_of_each_other():
    assert generator(1, "a", 5).random() == generator(1, "a", 5).random()
    assert len({generator(1, s, i).random() for s in "ab" for i in range(3)}) == 6


def test_settings_errors_name_parameter_owner_and_value():
    class Example(Settings):
        bins: int = option(10, "Bins.", ge=8)

    with pytest.raises(ConfigError, match=r"bins of emitters g2 is not allowed.*got 3"):
        validate(Example, {"bins": 3}, "emitters g2")
    with pytest.raises(ConfigError, match="has no setting 'bin'"):
        validate(Example, {"bin": 3}, "emitters g2")


def test_a_selector_follows_the_last_file_name(tmp_path):
    odd = tmp_path / "a:b.txt"
    odd.write_text("x")
    assert split_source(str(odd)) == (str(odd), "")
    assert split_source("scan.prj:4.3 V: second") == ("scan.prj", "4.3 V: second")
    assert as_input(str(odd)).sha256


def test_hdf5_round_trip_keeps_every_kind(tmp_path):
    from matterscope.io import read, write

    given = spectrum()
    given.attrs["vendor"] = {"odd key": [1, "ü"]}
    stream = measurement(
        "photons",
        {},
        {
            "time": (("event",), np.array([1, 2**60], dtype=np.int64), "ps"),
            "channel": (("event",), np.array([0, 1], dtype=np.int16), "1"),
        },
    )
    path = write([given, stream], tmp_path / "m.h5")
    back = read(path)
    assert back[0].mu.equals(given.mu)
    assert back[0].attrs["vendor"] == given.attrs["vendor"]
    assert back[1].time.dtype == np.int64
    assert back[1].time.values[1] == 2**60
