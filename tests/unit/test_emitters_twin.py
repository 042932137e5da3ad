"""The digital twin: what it makes is what it says, and cards join what is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from matterscope import emitters
from matterscope.emitters.twin import Design, expected_spectrum, make_array, spectrum_axis


def test_the_map_has_the_light_of_its_emitters():
    array = make_array(Design(rows=6, columns=5, background=20, hump=0), np.random.default_rng(0))
    inside = array.emitters["peak"].sum() * 2 * np.pi * 1.8**2
    # each spot is cut at five widths: less than 1e-5 is lost
    assert array.expected.sum() - 20 * array.expected.size == pytest.approx(inside, rel=1e-3)


def test_numbers_per_site_follow_their_law():
    array = make_array(
        Design(rows=60, columns=60, pitch=4, emitters_per_site=1.3), np.random.default_rng(1)
    )
    n = array.sites["emitters"]
    assert n.mean() == pytest.approx(1.3, abs=4 * np.sqrt(1.3 / 3600))
    assert n.var() == pytest.approx(1.3, abs=4 * np.sqrt(3 * 1.3**2 / 3600))


def test_a_spectrum_holds_the_stated_share_of_light_in_the_line():
    axis = spectrum_axis()
    whole = expected_spectrum(axis, 2.0989, 0.002, 0.45, 1e6, offset=0)
    energy = 1239.841984 / axis
    lineshape = whole / energy**3
    near = np.abs(energy - 2.0989) < 0.05
    assert lineshape[near].sum() / lineshape.sum() == pytest.approx(0.45, abs=0.02)


def test_an_array_is_made_read_and_answered(tmp_path):
    made = emitters.simulate(kind="array", rows=8, columns=8, spectra=2, seed=3, artifacts=tmp_path)
    truth = pd.read_csv(tmp_path / "sites.csv")
    answer = emitters.map(tmp_path / "map.h5")
    assert len(answer.tables["array"]) == 64
    assert abs(answer["empty_sites"].value - (truth["emitters"] == 0).sum()) <= 2
    names = [a["path"] for a in made.diagnostics["artifacts"]]
    spectrum = emitters.spectrum(tmp_path / next(n for n in names if n.startswith("spectrum")))
    assert 2.05 < spectrum["zpl_energy"].value < 2.15
    assert not spectrum.flagged("line-jumps")


def test_the_same_seed_makes_the_same_spectra(tmp_path):
    a = emitters.simulate(kind="spectra", spectra=2, seed=5, artifacts=tmp_path / "a")
    b = emitters.simulate(kind="spectra", spectra=2, seed=5, artifacts=tmp_path / "b")
    first, second = (np.load(tmp_path / n / "spectrum_001.npz")["counts"] for n in "ab")
    assert np.array_equal(first, second)
    assert a.diagnostics["truth"] == b.diagnostics["truth"]


def stored(value, sigma, capability="emitters spectrum", name="zpl_energy"):
    return {
        "capability": capability,
        "input": {"source": "a.spe", "selector": ""},
        "quantities": {
            name: {
                "value": value,
                "units": "eV",
                "sigma": sigma,
                "intervals": [{"level": 0.9, "low": value - sigma, "high": value + sigma}],
            }
        },
        "flags": [],
    }


def test_a_card_takes_the_better_answer_and_names_disagreements(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([stored(2.1, 0.001), stored(2.2, 0.01)]))
    card = emitters.card(path, name="emitter 7")
    assert card["zpl_energy"].value == 2.1
    assert card.flagged("disagreement")
    assert card.flagged("incomplete")
    assert card.input.source == "emitter 7"


def test_agreeing_answers_raise_no_flag(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([stored(2.1, 0.001), stored(2.101, 0.001)]))
    assert not emitters.card(path).flagged("disagreement")
