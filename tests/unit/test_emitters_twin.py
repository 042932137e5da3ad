"""The digital twin: what it makes is what it says, and cards join what is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from matterscope import emitters
from matterscope.emitters.made.twin import Design, expected_spectrum, make_array, spectrum_axis


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


def test_a_card_of_several_emitters_says_so_once(tmp_path):
    paths = []
    for k, centre in enumerate((2.08, 2.1, 2.12)):
        answer = stored(centre, 0.001)
        answer["input"] = {"source": f"emitter {k}", "selector": ""}
        paths.append(tmp_path / f"{k}.json")
        paths[-1].write_text(json.dumps([answer]))
    card = emitters.card(*paths)
    assert card.flagged("several-things")
    assert not card.flagged("disagreement")


def test_agreeing_answers_raise_no_flag(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([stored(2.1, 0.001), stored(2.101, 0.001)]))
    assert not emitters.card(path).flagged("disagreement")


def test_the_streams_of_an_array_are_those_of_its_sites(tmp_path):
    made = emitters.simulate(
        kind="array",
        rows=6,
        columns=6,
        spectra=1,
        streams=3,
        duration=0.02,
        seed=4,
        artifacts=tmp_path,
    )
    truth = made.diagnostics["truth"]["streams"]
    sites = pd.read_csv(tmp_path / "sites.csv").set_index("site")["emitters"]
    assert len(truth) == 3
    for site, stream in truth.items():
        assert stream["emitters"] == sites[int(site)] > 0
        assert (stream["g2_zero_ideal"] == 0) == (stream["emitters"] == 1)
    path = next(tmp_path.glob("stream_000_*.ptu"))
    assert emitters.convert(path, artifacts=tmp_path / "read")["photons"].value > 1000


def test_one_card_for_each_site_and_one_for_the_array(tmp_path):
    def about(source, name, value, capability):
        return stored(value, 0.01, capability, name) | {"input": {"source": source, "selector": ""}}

    path = tmp_path / "answers.json"
    answers = [
        about("map.h5", "emitters_per_site", 0.8, "emitters map"),
        about("spectrum_000_site_3.npz", "zpl_energy", 2.1, "emitters spectrum"),
        about("stream_000_site_3.ptu", "g2_zero", 0.1, "emitters g2"),
        about("spectrum_001_site_7.npz", "zpl_energy", 2.2, "emitters spectrum"),
    ]
    path.write_text(json.dumps(answers))
    array, third, seventh = emitters.card(path, each="site")
    assert (array.input.source, third.input.source, seventh.input.source) == (
        "array",
        "site 3",
        "site 7",
    )
    assert third["zpl_energy"].value == 2.1
    assert third["g2_zero"].value == 0.1
    assert array.tables["sites"]["zpl_energy"].tolist() == [2.1, 2.2]
    assert "zpl_energy" not in array.quantities


def test_stored_answers_are_evidence_enough(tmp_path):
    path, library = tmp_path / "answers.json", tmp_path / "library.csv"
    path.write_text(json.dumps([stored(2.1, 0.001)]))
    pd.DataFrame({"defect": list("abcd"), "zpl": [2.1, 3.0, 1.2, 0.8]}).to_csv(library, index=False)
    assert emitters.identify(path, library=str(library))["identity"].value == "a"
