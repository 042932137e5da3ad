"""Edges are named by their white lines and order, and distorted axes come back."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.physics.edges import loss_onset, separation
from matterscope.spectra.loss.recalibration import interpret

TRUE = np.arange(430.0, 1060.0, 0.3)


def _white_lines(element: str, height: float) -> np.ndarray:
    """Return L3 and L2 (Gaussian, FWHM 2.4 eV) on arctangent steps; L3 rises steepest at its onset."""
    sigma, onset = 1.0, loss_onset(element, "L3")
    result = np.zeros_like(TRUE)
    for position, weight in ((onset, 1.0), (onset + separation(element), 0.45)):
        result += weight * np.exp(-0.5 * ((TRUE - position - sigma) / sigma) ** 2)
        result += 0.15 * weight * (0.5 + np.arctan((TRUE - position - 2) / 2) / np.pi)
    return height * result


def _oxygen(height: float) -> np.ndarray:
    peak = np.exp(-0.5 * ((TRUE - 533.2) / 1.2) ** 2)
    main = 1.1 * np.exp(-0.5 * ((TRUE - 543.0) / 3.0) ** 2)
    return height * (peak + main + 0.4 / (1 + np.exp(-(TRUE - 536.0) / 1.5)))


def _spectrum(elements: list[str], rng: np.random.Generator) -> np.ndarray:
    clean = 4e4 * (TRUE / 500.0) ** -3.0 + _oxygen(6000.0)
    for element in elements:
        clean = clean + _white_lines(element, 9000.0 * (loss_onset(element, "L3") / 640.0) ** -3)
    return rng.poisson(clean).astype(float)


@pytest.mark.parametrize("shift", [-30.0, 0.0, 30.0])
@pytest.mark.parametrize("gain", [-0.04, 0.04])
@pytest.mark.parametrize("elements", [["Mn", "Co", "Ni"], ["Fe", "Cu"], ["Cr", "Fe", "Ni"]])
def test_a_distorted_axis_is_repaired_without_hints(shift, gain, elements):
    u = (TRUE - 745.0) / 300.0
    recorded = TRUE + shift + gain * (TRUE - 745.0) + 4.0 * u**2
    counts = _spectrum(elements, np.random.default_rng(20))
    found = interpret(recorded, counts)
    assert [e.element for e in found.edges] == ["O", *elements]
    named = np.array([found.peaks[e.first].onset for e in found.edges])
    truth = np.interp(named, recorded, TRUE)
    # the table allows 1.5 eV of chemical shift, here there is none: what is left is peak finding
    assert np.abs(found.axis(named) - truth).max() < 1.0


def test_one_edge_allows_a_shift_only():
    rng = np.random.default_rng(3)
    clean = 4e4 * (TRUE / 500.0) ** -3.0 + _white_lines("Fe", 6000.0)
    found = interpret(TRUE + 12.0, rng.poisson(clean).astype(float))
    assert [e.label for e in found.edges] == ["Fe L3"]
    assert found.axis.coefficients.size == 1
    assert abs(found.axis.coefficients[0] + 12.0) < 1.0


def test_a_smooth_spectrum_has_no_edge():
    counts = np.random.default_rng(1).poisson(4e4 * (TRUE / 500.0) ** -3.0).astype(float)
    assert interpret(TRUE, counts).edges == []


@pytest.mark.parametrize("element", ["Mn", "Fe", "Co"])
def test_a_single_pair_is_named_by_its_separation_on_an_axis_30_eV_off(element):
    clean = 4e4 * (TRUE / 500.0) ** -3.0 + _white_lines(element, 9000.0)
    counts = np.random.default_rng(5).poisson(clean).astype(float)
    assert [e.element for e in interpret(TRUE + 30.0, counts).edges] == [element]
