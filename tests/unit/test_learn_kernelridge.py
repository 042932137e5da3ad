"""Kernel ridge: one factorisation answers classes and values, and survives storage."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.learn.kernelridge import KernelRidge, kernel, train_kernel_ridge


@pytest.fixture(scope="module")
def task():
    """Three clusters on a line; the value grows along it."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 40)
    features = rng.normal(size=(120, 6)) * 0.3 + classes[:, None]
    return features, classes, 1.9 + 0.1 * features.mean(axis=1)


def test_new_points_get_the_class_and_value_of_their_neighbourhood(task):
    features, classes, values = task
    machine = train_kernel_ridge(features[::2], classes[::2], values[::2], 3)
    chances, found = machine.predict(features[1::2])
    assert np.allclose(chances.sum(axis=1), 1.0)
    assert np.mean(chances.argmax(axis=1) == classes[1::2]) > 0.9
    # the values span 0.2; a machine that knows nothing errs by 0.07 on average
    assert np.mean(np.abs(found - values[1::2])) < 0.02


def test_shuffled_labels_leave_no_skill(task):
    features, classes, values = task
    order = np.random.default_rng(1).permutation(len(classes))
    machine = train_kernel_ridge(features[::2], classes[order][::2], values[order][::2], 3)
    _, found = machine.predict(features[1::2])
    explained = np.corrcoef(found, values[1::2])[0, 1] ** 2
    # 60 points without a relation: the share explained exceeds 0.15 once in 400 draws
    assert explained < 0.15


def test_the_stored_machine_answers_the_same(task):
    features, classes, values = task
    machine = train_kernel_ridge(features, classes, values, 3)
    again = KernelRidge.rebuild(machine.as_arrays())
    for before, after in zip(
        machine.predict(features[:9]), again.predict(features[:9]), strict=True
    ):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("name", ["laplace", "gauss", "gauss_wide"])
def test_kernels_are_one_at_no_distance_and_symmetric(name):
    points = np.random.default_rng(2).normal(size=(5, 4))
    gram = kernel(name, points, points)
    assert np.allclose(np.diag(gram), 1.0)
    assert np.allclose(gram, gram.T)
    assert np.linalg.eigvalsh(gram).min() > -1e-12
