"""Ensembles: members trained apart, their mean, and their spread split into two kinds of doubt.

In: predictions of the members. Out: mean probabilities, mean values, disagreement and label noise.
Total variance = mean of member variances + variance of member means (law of total variance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matterscope.learn.networks import Network

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Networks that answer together."""

    members: tuple[Network, ...]

    def predict(self, features: NDArray[np.float32]) -> dict[str, tuple[Floats, Floats]]:
        """Return per head (mean, disagreement): probabilities (n, k) or values (n,).

        Disagreement is the standard deviation over members; for classes, of the likeliest one.
        """
        found = [m.predict(features) for m in self.members]
        result = {}
        for name in found[0]:
            stack = np.stack([f[name] for f in found])
            mean, spread = stack.mean(axis=0), stack.std(axis=0)
            if mean.ndim == 2:
                spread = np.take_along_axis(spread, mean.argmax(axis=1)[:, None], axis=1)[:, 0]
            result[name] = (mean, spread)
        return result


def entropies(member_probabilities: Sequence[ArrayLike]) -> tuple[Floats, Floats]:
    """Return (label noise, disagreement) in nats: mean member entropy, and total minus that mean.

    H(mean p) = mean H(p) + I; I is the mutual information between answer and member
    (Depeweg et al., ICML 2018).

    Examples
    --------
    >>> noise, doubt = entropies([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> round(float(noise[0]), 6), round(float(doubt[0]), 4)
    (0.0, 0.6931)
    """
    stack = np.asarray([np.asarray(p, dtype=float) for p in member_probabilities])

    def entropy(p: Floats) -> Floats:
        return np.asarray(-(p * np.log(np.clip(p, 1e-12, 1.0))).sum(axis=-1))

    noise = entropy(stack).mean(axis=0)
    return noise, np.maximum(entropy(stack.mean(axis=0)) - noise, 0.0)
