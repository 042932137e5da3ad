"""The forward surrogate: invariance of its description, interpolation, honest distance."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from matterscope.spectra.simulators.surrogate import describe, fit_surrogate


@pytest.fixture
def oxide() -> Atoms:
    atoms = bulk("CuO", "rocksalt", 4.2, cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=3)
    return atoms


def test_description_does_not_see_rotation_translation_or_order(oxide: Atoms) -> None:
    turned = oxide.copy()
    turn = Rotation.random(random_state=1).as_matrix()
    turned.set_cell(oxide.cell.array @ turn.T)
    turned.positions = oxide.positions @ turn.T + 0.3
    assert np.allclose(describe(oxide, 0), describe(turned, 0), atol=1e-5)
    order = np.roll(np.arange(len(oxide)), 3)
    assert np.allclose(describe(oxide, 0), describe(oxide[order], 3), atol=1e-8)


def test_description_sees_a_moved_neighbour_and_another_element(oxide: Atoms) -> None:
    plain = describe(oxide, 0)
    moved, other = oxide.copy(), oxide.copy()
    near = int(np.argsort(oxide.get_distances(0, range(len(oxide)), mic=True))[1])
    moved.positions[near] += 0.05
    other.numbers[near] = 9
    assert np.abs(describe(moved, 0) - plain).max() > 1e-3
    assert np.abs(describe(other, 0) - plain).max() > 1e-3


def test_surrogate_learns_a_smooth_map_and_knows_when_it_is_far() -> None:
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 10, 30)
    x = rng.uniform(-1, 1, size=(300, 4))
    y = np.sin(grid[None] + x[:, :1]) + 0.3 * x[:, 1:2]
    model = fit_surrogate(x[:250], y[:250], grid)
    found, sigma = model.predict(x[250:])
    assert ((found - y[250:]) ** 2).mean() < 0.2 * y.var(axis=0).mean()
    far, wide = model.predict(np.full((1, 4), 30.0))
    assert wide[0] > sigma.max()
    # without likeness the answer is the mean spectrum
    assert np.abs(far[0] - y[:250].mean(axis=0)).max() < np.abs(y).max()
