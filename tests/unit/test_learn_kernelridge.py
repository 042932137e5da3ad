"""Kernel ridge: one solution answers any number of targets, and may keep no row."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.learn.kernelridge import KernelRidge, distances, kernel, train_kernel_ridge


@pytest.fixture(scope="module")
def task():
    """Three clusters on a line; the value grows along it."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 40)
    features = rng.normal(size=(120, 6)) * 0.3 + classes[:, None]
    goal = np.column_stack([np.eye(3)[classes], 1.9 + 0.1 * features.mean(axis=1)])
    return features, goal


def trained(features, goal, mixing=0.0):
    noise = np.full(len(goal), 0.03)
    return train_kernel_ridge(features, goal, noise, np.random.default_rng(3), mixing=mixing)


@pytest.mark.parametrize("mixing", [0.0, 0.1])
def test_new_points_get_the_class_and_value_of_their_neighbourhood(task, mixing):
    features, goal = task
    found = trained(features[::2], goal[::2], mixing).predict(features[1::2])
    assert np.mean(found[:, :3].argmax(axis=1) == goal[1::2, :3].argmax(axis=1)) > 0.9
    # the values span 0.2; a machine that knows nothing errs by 0.07 on average
    assert np.mean(np.abs(found[:, 3] - goal[1::2, 3])) < 0.02


def test_shuffled_labels_leave_no_skill(task):
    features, goal = task
    order = np.random.default_rng(1).permutation(len(goal))
    found = trained(features[::2], goal[order][::2]).predict(features[1::2])[:, 3]
    explained = np.corrcoef(found, goal[1::2, 3])[0, 1] ** 2
    # 60 points without a relation: the share explained exceeds 0.15 once in 400 draws
    assert explained < 0.15


def test_the_ridge_equation_holds(task):
    features, goal = task
    machine = trained(features, goal)
    gram = kernel(distances(machine.anchors, machine.anchors, features.shape[1])).astype(float)
    order = np.random.default_rng(3).permutation(len(goal))
    left = (gram + 0.03 * np.eye(len(gram))) @ machine.weights
    # single precision at a condition number of about 1e3
    np.testing.assert_allclose(left, goal[order] - goal.mean(axis=0), atol=2e-3)


def test_a_mixed_machine_keeps_no_row_of_the_training_set(task):
    features, goal = task
    machine = trained(features, goal, mixing=0.1)
    apart = distances(machine.anchors, machine.scores(features), features.shape[1])
    # half precision alone would leave 1e-3
    assert np.mean(apart.min(axis=1) > 5e-3) > 0.9


@pytest.mark.parametrize("mixing", [0.0, 0.1])
def test_the_stored_machine_answers_the_same(task, mixing):
    features, goal = task
    machine = trained(features, goal, mixing)
    again = KernelRidge.rebuild(machine.as_arrays())
    # offsets are stored in double, everything else as it was used
    np.testing.assert_allclose(machine.predict(features), again.predict(features), atol=1e-6)


def test_the_kernel_is_one_at_no_distance_symmetric_and_positive():
    points = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    gram = kernel(distances(points, points, 4))
    # r is the root of a difference of squares: ε^½ in single precision
    assert np.allclose(np.diag(gram), 1.0, atol=1e-3)
    assert np.allclose(gram, gram.T, atol=1e-6)
    assert np.linalg.eigvalsh(gram.astype(float)).min() > -1e-6
