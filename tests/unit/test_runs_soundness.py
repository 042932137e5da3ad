"""What `check` says of any file before a domain looks at it."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.schema import measurement
from matterscope.io.reading import read
from matterscope.runs.soundness import findings, picture, summary


def _frames(values):
    axes = {n: (np.arange(values.shape[i]) - 2.0, "1/px") for i, n in ((0, "qy"), (1, "qx"))}
    return measurement("patterns", axes, {"counts": (("qy", "qx"), values, "counts")})


def _codes(dataset):
    return {f.code: f.level for f in findings(dataset)}


def test_a_frame_without_a_finite_value_fails():
    assert _codes(_frames(np.full((9, 9), np.nan)))["not_finite"] == "FAIL"


def test_a_frame_of_one_value_fails():
    assert _codes(_frames(np.zeros((9, 9))))["constant"] == "FAIL"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda z: z - 3.0, "negative_counts"),
        (lambda z: z * 0.37, "scaled_counts"),
        (lambda z: np.where(z > 4, 255.0, z), "saturated"),
        (lambda z: np.where(z > 4, np.nan, z), "some_not_finite"),
    ],
)
def test_counts_that_are_not_what_a_detector_wrote_are_named(change, code):
    counts = np.random.default_rng(4).poisson(3.0, (20, 20)).astype(float)
    assert code not in _codes(_frames(counts))
    assert _codes(_frames(change(counts)))[code] == "WARN"


def test_an_axis_of_pixels_is_called_uncalibrated():
    assert "uncalibrated_axis" in _codes(_frames(np.arange(100.0).reshape(10, 10)))


def test_a_stream_on_one_channel_is_named_and_drawn_as_a_rate():
    time = np.cumsum(np.random.default_rng(1).integers(1, 9000, 500))
    stream = measurement(
        "photons",
        {},
        {"time": (("event",), time, "ps"), "channel": (("event",), np.zeros(500, int), "1")},
    )
    assert _codes(stream) == {"one_channel": "WARN"}
    assert summary(stream) == "photons, 500 on 1 channel"
    rates = np.array(picture(stream).panels[0].layers[0].data["y"])
    span = (time[-1] - time[0]) * 1e-12
    assert np.mean(rates) * span == pytest.approx(500, abs=0.5)  # no photon is lost


@pytest.mark.parametrize(
    ("header", "first", "kind"),
    [
        ("energy,mu", 8900.0, "spectrum"),
        ("", 8900.0, "spectrum"),
        ("wavelength,counts", 560.0, "emission"),
        ("wavelength (nm),counts", 3200.0, "emission"),
        ("energy,mutrans", 700.0, "spectrum"),
    ],
)
def test_columns_are_taken_for_what_their_axis_and_header_say(tmp_path, header, first, kind):
    file = tmp_path / "columns.csv"
    x = first + np.arange(200.0)
    rows = [f"{a},{1 + (i > 90)}" for i, a in enumerate(x)]
    file.write_text("\n".join([header, *rows] if header else rows))
    assert read(file)[0].attrs["kind"] == kind
