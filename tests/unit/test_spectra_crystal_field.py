"""The crystal field of a measured L edge."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.errors import ConfigError, DataError
from matterscope.spectra.simulators.l23 import Multiplet
from matterscope.spectra.simulators.multiplet import Field
from matterscope.spectra.simulators.multiplet_fit import fit_field


def edge(ten_dq: float, scale: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    engine = Multiplet(ion="Ni2+", field=Field(ten_dq), scale=scale, instrument=0.4)
    found = engine.expect(engine.ion_task())
    energy, mu = found.energy.values[::2], found.mu.values[::2]
    step = 0.05 * (0.5 + np.arctan((energy - 856) / 0.5) / np.pi)
    rng = np.random.default_rng(4)
    return energy, 7.0 * (mu + step) + 0.3 + rng.normal(0, noise * 7 * mu.max(), len(mu))


def test_ten_dq_and_scaling_are_found_within_their_errors() -> None:
    energy, mu = edge(1.25, 0.75, 0.01)
    found = fit_field(energy, mu, "Ni2+")
    error = np.sqrt(np.diag(found.covariance))
    # four standard errors; the step of the edge adds a little of its own
    assert abs(found.values[0] - 1.25) < 4 * error[0] + 0.01
    assert abs(found.values[1] - 0.75) < 4 * error[1] + 0.01
    assert found.at_bound == ()


def test_more_noise_gives_wider_intervals() -> None:
    quiet, loud = (fit_field(*edge(1.1, 0.8, n), "Ni2+", starts=2) for n in (0.003, 0.03))
    assert loud.covariance[0, 0] > quiet.covariance[0, 0]


def test_the_wrong_ion_leaves_a_larger_residual() -> None:
    energy, mu = edge(1.1, 0.8, 0.002)
    right, wrong = (fit_field(energy, mu, ion, starts=2) for ion in ("Ni2+", "Ni4+"))
    assert wrong.residual > 3 * right.residual


def test_an_unknown_ion_or_a_short_spectrum_is_refused() -> None:
    energy, mu = edge(1.1, 0.8, 0.01)
    with pytest.raises(ConfigError, match="unknown ion"):
        fit_field(energy, mu, "Xx2+")
    with pytest.raises(DataError, match="does not cover"):
        fit_field(energy[:50], mu[:50], "Ni2+")
