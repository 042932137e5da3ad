"""Reducing absorption scans: merging, glitches, self-absorption, bins, foil, and the files written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.errors import DataError
from matterscope.core.schema import measurement
from matterscope.io import read
from matterscope.spectra.measured.absorption_reduction import deglitch, without_self_absorption

ENERGY = np.arange(7000.0, 7400.0, 0.5)


def _scan(label="scan 1", *, shift=0.0, noise=0.0, seed=0, line=0.6):
    rng = np.random.default_rng(seed)
    x = ENERGY - 7120.0 - shift
    mu = 0.5 + np.arctan(x / 1.2) / np.pi + line * np.exp(-0.5 * ((x - 4) / 2.0) ** 2)
    mu = 1.5 * mu + 0.2 - 1e-4 * x + rng.normal(0, noise, x.size)
    return measurement(
        "spectrum", {"energy": (ENERGY, "eV")}, {"mu": (("energy",), mu, "1")},
        element="Fe", edge="K", label=label,
    )  # fmt: skip


def test_merging_repeats_leaves_out_the_odd_one_and_names_it(tmp_path):
    scans = [_scan(f"scan {k}", noise=0.01, seed=k) for k in range(4)] + [_scan("scan 9", line=1.4)]
    answer = spectra.reduce(*scans, merge="repeats", artifacts=tmp_path)
    assert answer.diagnostics["left_out"] == ["scan 9"]
    assert answer.flagged("outlier_scans")
    assert answer["scans_used"].value == 4


def test_the_error_of_a_mean_is_that_of_its_scans(tmp_path):
    scans = [_scan(f"scan {k}", noise=0.015, seed=k) for k in range(9)]
    answer = spectra.reduce(*scans, merge="all", artifacts=tmp_path)
    # 0.015 of raw noise over an edge step of 1.5 and √9 scans
    error = float(np.median(answer.arrays["spectrum_sigma"]))
    assert error == pytest.approx(0.015 / 1.5 / 3, rel=0.15)


def test_scans_of_different_samples_are_not_merged_as_repeats(tmp_path):
    answers = spectra.reduce(
        _scan("a.001"), _scan("a.002"), _scan("b.001"), merge="repeats", artifacts=tmp_path
    )
    assert [a["scans_used"].value for a in answers] == [2, 1]


def test_a_glitch_is_mended_and_an_edge_is_not():
    scan = _scan(noise=1e-3)
    mu = scan["mu"].values.copy()
    mu[300] += 0.5
    mended, where = deglitch(ENERGY, mu)
    assert where.tolist() == [ENERGY[300]]
    np.testing.assert_array_equal(np.delete(mended, 300), np.delete(mu, 300))


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_self_absorption_is_undone(strength):
    truth = np.array([0.0, 0.3, 1.0, 1.8, 1.05])
    measured = truth * (1 + strength) / (1 + strength * truth)
    np.testing.assert_allclose(without_self_absorption(measured, strength), truth, atol=1e-12)


def test_an_impossible_self_absorption_is_refused():
    with pytest.raises(DataError, match="white line"):
        without_self_absorption(np.array([0.0, 3.0]), 0.9)


def test_a_foil_puts_the_edge_where_the_table_has_it(tmp_path):
    foil = _scan("Fe foil", shift=-11.0, line=0.0)
    path = tmp_path / "foil.h5"
    from matterscope.io import write

    write(foil, path)
    answer = spectra.reduce(_scan(shift=-8.0), foil=str(path), artifacts=tmp_path)
    plain = spectra.reduce(_scan(shift=-8.0), artifacts=tmp_path)
    # the synthetic foil rises steepest at 7109, the table says 7112
    moved = answer["edge_position"].value - plain["edge_position"].value
    assert moved == pytest.approx(3.0, abs=0.3)
    assert answer.diagnostics["foil"]["edge"] == "Fe K"


def test_every_format_written_is_read_back_as_the_same_numbers(tmp_path):
    answer = spectra.reduce(
        _scan("sample"), write=("csv", "xdi", "nxxas", "msa"), artifacts=tmp_path
    )
    names = sorted(a["path"] for a in answer.diagnostics["artifacts"])
    assert [n.rsplit(".", 1)[1] for n in names] == ["csv", "msa", "nxs", "json", "xdi"]
    expected = answer.arrays["spectrum"].values
    for name in names:
        if not name.endswith("json"):
            found = read(tmp_path / name, kind="spectrum")[0]
            np.testing.assert_allclose(found["mu"], expected, rtol=1e-12)


def test_the_record_tells_every_step_with_its_numbers(tmp_path):
    answer = spectra.reduce(
        _scan("sample"), deglitch=True, rebin=2.0, self_absorption=0.2, artifacts=tmp_path
    )
    record = json.loads(next(tmp_path.glob("*.steps.json")).read_text())
    assert [s["step"] for s in record["steps"]] == ["deglitch", "normalise", "self-absorption", "rebin"]  # fmt: skip
    assert np.median(np.diff(answer.arrays["spectrum"]["energy"])) == pytest.approx(2.0)
