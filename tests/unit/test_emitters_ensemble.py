"""Populations of emitters and the law of the width against temperature."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from matterscope import emitters
from matterscope.core.errors import SchemaError
from matterscope.emitters.made.twin import expected_spectrum, spectrum_axis
from matterscope.emitters.sites.statistics import draw_population, mixture_order


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """590.7 ± 2.7 nm and 7.1 ± 1.7 nm, as the source paper states them: quantiles, not draws."""
    from scipy.stats import norm

    z = norm.ppf((np.arange(200) + 0.5) / 200)
    mixed = np.random.default_rng(0).permutation(z)
    table = pd.DataFrame(
        {
            "wavelength_nm": 590.7 + 2.7 * z,
            "wavelength_sigma_nm": 0.05,
            "fwhm_nm": 7.1 + 1.7 * mixed,
            "fwhm_sigma_nm": 0.1,
        }
    )
    path = tmp_path_factory.mktemp("ensemble") / "paper.csv"
    table.to_csv(path, index=False)
    return emitters.ensemble(path)


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    # one standard error of 200 emitters: σ/√200 = 0.7 meV, σ/√400 = 0.5 meV; grid and quantiles less
    [
        ("centre_mean", 2.0989, 7e-4),
        ("centre_scatter", 9.6, 0.5),
        ("width_mean", 25.2, 0.45),
        ("width_scatter", 6.0, 0.4),
        ("width_over_kt", 0.99, 0.02),
        ("scatter_over_width", 0.38, 0.03),
    ],
)
def test_the_paper_s_population_is_reproduced(paper, name, value, tolerance):
    assert paper[name].value == pytest.approx(value, abs=tolerance)


def test_identical_is_not_indistinguishable(paper):
    assert paper["spectrally_identical"].value == "yes"
    assert 0.5e-5 < paper["two_photon_visibility"].value < 2e-5
    assert paper.flagged("identity")


def test_scatter_that_equals_the_errors_is_no_scatter():
    rng = np.random.default_rng(1)
    errors = np.full(60, 2.0)
    _, scatter = draw_population(rng.normal(5, 2.0, 60), errors, rng)
    assert np.quantile(scatter, 0.05) < 0.5


def test_the_scatter_s_interval_covers():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(100):
        errors = rng.uniform(0.5, 1.5, 25)
        values = rng.normal(3, np.hypot(1.0, errors))
        _, scatter = draw_population(values, errors, rng, n=1000)
        low, high = np.quantile(scatter, [0.05, 0.95])
        inside += low < 1.0 < high
    assert 0.90 - 3 * 0.03 < inside / 100 <= 0.99  # binomial error of 100 is 3 %


def test_two_lines_are_two_populations():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(2.00, 0.005, 60), rng.normal(2.05, 0.005, 40)])
    order, _, parts = mixture_order(values, np.full(100, 0.001))
    assert order == 2
    assert sorted(m for _, m, _ in parts) == pytest.approx([2.00, 2.05], abs=0.003)


def test_one_line_is_one_population():
    rng = np.random.default_rng(4)
    order, _, _ = mixture_order(rng.normal(2.0, 0.01, 80), np.full(80, 0.002))
    assert order == 1


def test_an_outlier_is_named(tmp_path):
    table = pd.DataFrame(
        {
            "name": [f"e{i}" for i in range(30)],
            "centre_eV": 2.1 + 0.003 * np.sin(np.arange(30.0)),
            "centre_sigma": 0.0005,
        }
    )
    table.loc[7, "centre_eV"] = 2.2
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    estimate = emitters.ensemble(path)
    assert any(
        f.code == "outliers" and "e7" in f.message and "e8" not in f.message for f in estimate.flags
    )


def test_stored_answers_are_read(tmp_path):
    stored = [
        {
            "quantities": {
                "zpl_energy": {"value": 2.1 + 0.001 * k, "sigma": 1e-4},
                "zpl_width": {"value": 25.0, "sigma": 1.0},
            },
            "input": {"source": f"s{k}.spe"},
        }
        for k in range(5)
    ]
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(stored))
    assert emitters.ensemble(path)["emitters"].value == 5


def test_a_table_without_a_line_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(SchemaError, match="neither a centre nor a width"):
        emitters.ensemble(path)


@pytest.mark.parametrize(("power", "law"), [(3, "T³"), (7, "T⁷")])
def test_the_law_of_the_width_is_chosen(tmp_path, power, law):
    t = np.array([5, 20, 50, 80, 120, 160, 200, 250, 295.0])
    width = 0.5 + 0.01 * t + 20 * (t / 295) ** power
    error = 0.03 * width
    noise = np.random.default_rng(5).standard_normal(t.size)
    path = tmp_path / "series.csv"
    pd.DataFrame(
        {"temperature": t, "width_meV": width + error * noise, "width_sigma_meV": error}
    ).to_csv(path, index=False)
    estimate = emitters.linewidth(path)
    assert law in estimate["width_law"].value
    assert estimate["thermal_verdict"].value == "consistent with the thermal limit"
    assert abs(estimate["width_at_295"].value - width[-1]) < 3 * error[-1]


def test_a_constant_width_is_not_thermal(tmp_path):
    path = tmp_path / "series.csv"
    pd.DataFrame(
        {
            "temperature": [5, 50, 100, 200, 295],
            "width_meV": [20.1, 19.8, 20.3, 19.9, 20.0],
            "width_sigma_meV": 0.3,
        }
    ).to_csv(path, index=False)
    assert emitters.linewidth(path)["thermal_verdict"].value == "inhomogeneous"


def test_spectra_a_run_s_folder_and_its_answers_give_the_same_population(tmp_path):
    rng = np.random.default_rng(2)
    axis = spectrum_axis()
    paths = []
    for k, centre in enumerate((2.09, 2.1, 2.112)):
        counts = rng.poisson(expected_spectrum(axis, centre, 0.025, 0.45, 1e5, instrument=0.3))
        paths.append(tmp_path / f"emitter_{k}.csv")
        table = pd.DataFrame({"wavelength (nm)": axis, "counts": counts})
        table.to_csv(paths[-1], index=False)
    direct = emitters.ensemble(*paths, instrument_width=0.3)
    assert direct["centre_mean"].value == pytest.approx(2.1007, abs=0.002)
    assert direct["emitters"].value == 3
    fits = [emitters.spectrum(p, instrument_width=0.3) for p in paths]
    (tmp_path / "run").mkdir()
    stored = tmp_path / "run" / "estimates.json"
    stored.write_text(json.dumps([a.as_json() for a in fits]))
    for given in (tmp_path / "run", stored):
        again = emitters.ensemble(given)
        assert again["centre_mean"].value == pytest.approx(direct["centre_mean"].value, abs=5e-4)


def test_the_shift_of_a_line_with_temperature_has_a_law(tmp_path):
    rng = np.random.default_rng(3)
    t = np.array([5.0, 25, 50, 80, 110, 150, 190, 230, 270, 295])
    width = 1.0 + 0.9 * (t / 100) ** 3
    centre = 2.1 - 0.8e-3 * (t / 100) ** 3 + 1e-4 * rng.standard_normal(t.size)
    table = pd.DataFrame(
        {
            "temperature_K": t,
            "zpl_eV": centre,
            "zpl_sigma_eV": 1e-4,
            "width_meV": width * (1 + 0.03 * rng.standard_normal(t.size)),
            "width_sigma_meV": 0.03 * width,
        }
    )
    table.to_csv(tmp_path / "series.csv", index=False)
    found = emitters.linewidth(tmp_path / "series.csv")
    band = found["shift_at_295"].interval(0.95)
    assert band.low < -0.8 * 2.95**3 < band.high
    assert found["centre_cold"].interval(0.95).low < 2.1 < found["centre_cold"].interval(0.95).high
    assert found["shift_law"].value != "constant"
