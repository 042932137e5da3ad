"""Maps: the right pixel, the right axis, the same answer in any chunk, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import spectra
from matterscope.core.errors import SchemaError
from matterscope.core.schema import measurement
from matterscope.physics.edges import loss_onset, separation

ENERGY = np.arange(430.0, 800.0, 0.5)


def _edge(element: str, height: float) -> np.ndarray:
    onset, result = loss_onset(element, "L3"), np.zeros_like(ENERGY)
    for position, weight in ((onset, 1.0), (onset + separation(element), 0.5)):
        result += weight * np.exp(-0.5 * ((ENERGY - position - 1.0) / 1.0) ** 2)
        result += 0.3 * weight / (1 + np.exp(-np.clip((ENERGY - position - 1) / 0.4, -50, 50)))
    return height * result


def _cube(amounts: np.ndarray) -> object:
    rng = np.random.default_rng(4)
    background = 2e4 * (ENERGY / 500.0) ** -3.0
    clean = background + amounts[..., None] * _edge("Mn", 3000.0)
    return measurement(
        "spectrum",
        {"y": (np.arange(amounts.shape[0]), "nm"), "x": (np.arange(amounts.shape[1]), "nm"), "energy": (ENERGY, "eV")},
        {"mu": (("y", "x", "energy"), rng.poisson(clean).astype(np.float32), "counts")},
        signal="EELS",
    )  # fmt: skip


AMOUNTS = np.linspace(0.5, 3.0, 12).reshape(3, 4)


def test_the_counts_of_an_element_follow_its_amount_within_their_error():
    answer = spectra.map(_cube(AMOUNTS))
    counts = answer.arrays["counts.Mn_L3"]
    sigma = answer.arrays["counts.Mn_L3_sigma"].values
    assert counts.dims == ("y", "x")
    inside = (ENERGY >= 636.7) & (ENERGY <= 676.7)
    expected = AMOUNTS * _edge("Mn", 3000.0)[inside].sum()
    pull = (counts.values - expected) / sigma
    # 12 pixels: the mean square of a unit normal is 1 ± 0.41; a wide band holds it at 3 of these
    assert 0.0 < np.mean(pull**2) < 2.3


def test_the_chunk_size_changes_nothing():
    cube = _cube(AMOUNTS)
    whole, rows = spectra.map(cube, chunk=4096), spectra.map(cube, chunk=1)
    for name in whole.arrays:
        np.testing.assert_allclose(whole.arrays[name], rows.arrays[name], rtol=1e-6, atol=1e-9)


def test_a_pixel_without_counts_is_refused_and_the_others_answer():
    cube = _cube(AMOUNTS)
    cube["mu"].values[1, 2] = 0.0
    answer = spectra.map(cube)
    assert answer.arrays["refused"].values[1, 2] == 1
    assert answer.arrays["refused"].values.sum() == 1
    assert np.isnan(answer.arrays["counts.Mn_L3"].values[1, 2])


def test_an_odd_pixel_stands_out_in_the_anomaly_map():
    cube = _cube(np.ones((5, 8)))
    cube["mu"].values[3, 6, 100:140] *= 4.0
    anomaly = spectra.map(cube, components=1).arrays["anomaly"].values
    assert np.unravel_index(np.argmax(anomaly), anomaly.shape) == (3, 6)


def test_an_absorption_stack_gives_edge_jump_and_position():
    energy = np.linspace(7080.0, 7180.0, 201)
    shift = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    mu = 2.0 * (0.5 + np.arctan((energy - 7112.0 - shift[..., None]) / 0.5) / np.pi)
    stack = measurement(
        "spectrum",
        {"y": ([0.0, 1.0], "px"), "x": ([0.0, 1.0, 2.0], "px"), "energy": (energy, "eV")},
        {"mu": (("y", "x", "energy"), mu, "1")},
        element="Fe",
        edge="K",
    )
    answer = spectra.map(stack)
    np.testing.assert_allclose(answer.arrays["edge_position"], 7112.0 + shift, atol=0.1)
    np.testing.assert_allclose(answer.arrays["edge_jump"], 2.0, rtol=0.02)


def test_a_single_spectrum_is_no_map():
    one = measurement("spectrum", {"energy": (ENERGY, "eV")}, {"mu": (("energy",), ENERGY, "1")})
    with pytest.raises(SchemaError, match="no map"):
        spectra.map(one)
