"""Splits by group: no material, host, emitter or image on both sides of a fold.

In: one group name per sample. Out: index pairs, the same for the same seed, and a leakage check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matterscope.core.errors import ConfigError

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def grouped_folds(groups: ArrayLike, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Return (train, test) indices of `folds` folds that never share a group.

    Groups are dealt, largest first and in seeded order among equals, to the smallest fold, so that
    folds have nearly equal numbers of samples.

    Parameters
    ----------
    groups : array of shape (n,)
        Group of each sample.
    folds : int
        At least 2, at most the number of groups.

    Examples
    --------
    >>> for train, test in grouped_folds(["a", "a", "b", "c"], folds=3):
    ...     assert not set(train) & set(test)
    """
    names, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if not 2 <= folds <= len(names):
        raise ConfigError(
            "folds must lie between 2 and the number of groups",
            got=folds,
            expected=f"2 … {len(names)}",
        )
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load = np.zeros(folds, dtype=np.int64)
    home = np.empty(len(names), dtype=np.int64)
    for group in order:
        target = int(np.argmin(load))
        home[group] = target
        load[target] += counts[group]
    place = home[codes]
    return [(np.flatnonzero(place != k), np.flatnonzero(place == k)) for k in range(folds)]


def leave_one_group_out(
    groups: ArrayLike,
) -> list[tuple[Any, NDArray[np.int64], NDArray[np.int64]]]:
    """Return (group, train, test) for every group, in sorted order."""
    labels = np.asarray(groups)
    return [
        (name, np.flatnonzero(labels != name), np.flatnonzero(labels == name))
        for name in np.unique(labels)
    ]


def check_leakage(samples: Sequence[Any] | NDArray[Any], folds: Sequence[Fold]) -> None:
    """Raise if an identical sample stands on both sides of a fold (a planted or real duplicate)."""
    keys = [np.ascontiguousarray(s).tobytes() if not isinstance(s, bytes) else s for s in samples]
    for number, (train, test) in enumerate(folds):
        shared = {keys[i] for i in train} & {keys[i] for i in test}
        if shared:
            first = next(int(i) for i in test if keys[i] in shared)
            raise ConfigError(
                f"fold {number} has {len(shared)} identical samples in training and test",
                got=f"sample {first}",
                hint="put duplicates into one group",
            )
