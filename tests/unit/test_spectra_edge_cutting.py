"""One energy-loss spectrum with several edges: cut apart, named, and counted for the fusion model."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.calls import Call
from matterscope.core.estimates import InputRef
from matterscope.core.schema import measurement
from matterscope.physics.edges import loss_onset, separation
from matterscope.spectra.fusion.streams import without_steps
from matterscope.spectra.loss.cross_sections import differential
from matterscope.spectra.loss.edge_cutting import cut_edges

ENERGY = np.arange(470.0, 1000.0, 0.3)
CONTENTS = {"Mn": 0.2, "Co": 0.2, "Ni": 0.6}


def _layered(contents=CONTENTS, seed=0, stretch=1.0):
    """Return an energy-loss spectrum of a layered oxide: continua by cross-section, white lines on top."""
    rng = np.random.default_rng(seed)
    clean = 6e5 * (ENERGY / 500.0) ** -3.0
    clean = clean + 6e4 * np.exp(-0.5 * ((ENERGY - 533.0) / 1.2) ** 2)
    clean = clean + 7e4 * np.exp(-0.5 * ((ENERGY - 542.5) / 3.0) ** 2)
    for metal, share in contents.items():
        onset, lines = loss_onset(metal, "L3"), 0.0
        for place, weight in ((onset, 0.7), (onset + separation(metal), 0.3)):
            lines = lines + 12.0 * weight * np.exp(-0.5 * (ENERGY - place - 1.5) ** 2) / 2.5
        above = np.maximum(ENERGY, onset)
        continuum = differential(above, metal, "L3", 200.0, 20.0) * (onset < ENERGY)
        level = float(differential(np.array([onset]), metal, "L3", 200.0, 20.0)[0])
        clean = clean + 900.0 * share * (continuum + level * lines)
    counts = rng.poisson(clean).astype(float)
    return measurement(
        "spectrum", {"energy": (stretch * (ENERGY - 750.0) + 750.0, "eV")}, {"mu": (("energy",), counts, "counts")},
        signal="ELS", label="layered oxide", beam_energy_kev=200.0,
    )  # fmt: skip


def test_every_named_edge_becomes_a_spectrum_on_the_repaired_axis():
    _, edges = cut_edges(_layered(stretch=1.03), InputRef("x", ""), Call())
    assert [(e.attrs["element"], e.attrs["edge"]) for e in edges] == [
        ("O", "K"), ("Mn", "L3"), ("Co", "L3"), ("Ni", "L3"),
    ]  # fmt: skip
    for edge in edges:
        top = float(edge["energy"].values[np.argmax(edge["mu"].values)])
        assert abs(top - loss_onset(edge.attrs["element"], edge.attrs["edge"])) < 14.0
        before = edge["energy"].values < edge.attrs["onset"] - 8.0
        assert abs(edge["mu"].values[before].mean()) < 0.1 * edge["mu"].values.max()


def test_ratios_of_metals_come_with_an_error_that_holds_the_truth():
    _, edges = cut_edges(_layered(), InputRef("x", ""), Call())
    found = dict(t.split("=") for t in edges[0].attrs["metal_ratios"])
    assert set(found) == {"Mn/Ni", "Co/Ni"}
    for text in found.values():
        ratio, error = map(float, text.split(":"))
        assert abs(ratio - 1 / 3) < 2 * error
        assert error / ratio == pytest.approx(0.29, abs=0.03)


def test_infer_takes_the_edges_of_one_file_together_and_counts_its_metals():
    answers = spectra.infer(_layered())
    answer = answers[0] if isinstance(answers, list) else answers
    assert answer.flagged("ratios_from_intensities")
    nickel = answer["nickel_content"]
    assert abs(nickel.value - 0.6) < 0.15
    assert list(answer.tables["edges"]["edge"]) == ["O K", "Mn L3", "Co L3", "Ni L3"]
    names = [p.name for p in answer.pictures]
    assert len(set(names)) == len(names)


def test_ratios_of_the_user_go_before_those_of_the_intensities():
    answers = spectra.infer(_layered(), ratios=("Mn/Ni=1.0:0.02", "Co/Ni=1.0:0.02"))
    answer = answers[0] if isinstance(answers, list) else answers
    assert not answer.flagged("ratios_from_intensities")
    assert abs(answer["nickel_content"].value - 1 / 3) < 0.06


def test_the_steps_under_white_lines_are_taken_away_and_lines_without_steps_left_alone():
    energy = np.arange(620.0, 690.0, 0.1)
    lines = np.exp(-0.5 * (energy - 640) ** 2) + 0.4 * np.exp(-0.5 * (energy - 651.2) ** 2)
    steps = 0.3 * sum(
        w * (0.5 + np.arctan(energy - e) / np.pi) for e, w in ((640.0, 2 / 3), (651.2, 1 / 3))
    )
    bare = without_steps("Mn_L23", energy, lines + steps)
    assert np.abs(bare - lines).max() < 0.05
    assert np.array_equal(without_steps("Mn_L23", energy, lines), lines)
