"""Domain of a model: whether an input is like what it was trained on.

In: features of the training set. Out: weights (no training data) whose scores say how far a new input lies.
Scores are turned into percentiles of the training population, so that a threshold is a false-flag rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass
class Domain:
    """Principal components, their residual, and a Mahalanobis distance to the nearest class.

    With scores t = V (x − c): residual ‖x − c − Vᵀt‖, distance min_k (t − m_k)ᵀ S⁻¹ (t − m_k), S pooled
    within classes (Lee et al., NeurIPS 2018).
    """

    centre: Floats
    components: Floats
    class_means: Floats
    precision: Floats
    residual_quantiles: Floats
    distance_quantiles: Floats

    def scores(self, features: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return (residual, distance) of each row."""
        x = np.asarray(features, dtype=float) - self.centre
        t = x @ self.components.T
        residual = np.sqrt(np.maximum((x**2).sum(axis=1) - (t**2).sum(axis=1), 0.0))
        away = t[:, None, :] - self.class_means[None, :, :]
        squared = np.einsum("nkp,pq,nkq->nk", away, self.precision, away)
        return residual, np.sqrt(squared.min(axis=1))

    def percentiles(self, features: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return residual and distance as shares (0–1) of the training population that lie below.

        Beyond the largest training value the share goes on rising: 1 + log2(value/largest).
        """
        residual, distance = self.scores(features)
        return (
            _percentile(residual, self.residual_quantiles),
            _percentile(distance, self.distance_quantiles),
        )

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that rebuild it."""
        return {name: np.asarray(getattr(self, name), dtype=np.float32) for name in _FIELDS}

    @classmethod
    def rebuild(cls, arrays: dict[str, NDArray[Any]]) -> Domain:
        """Return the domain that was stored."""
        return cls(**{name: np.asarray(arrays[name], dtype=float) for name in _FIELDS})


_FIELDS = (
    "centre",
    "components",
    "class_means",
    "precision",
    "residual_quantiles",
    "distance_quantiles",
)
_GRID = np.linspace(0.0, 1.0, 201)


def _percentile(values: Floats, quantiles: Floats) -> Floats:
    inside = np.interp(values, quantiles, _GRID)
    largest = max(float(quantiles[-1]), 1e-12)
    return np.where(values > largest, 1 + np.log2(np.maximum(values, largest) / largest), inside)


def fit_domain(features: NDArray[Any], classes: NDArray[Any], components: int = 15) -> Domain:
    """Return the domain of a training set.

    Parameters
    ----------
    features : array of shape (n, p)
        Training inputs.
    classes : array of shape (n,)
        Any grouping of the population; each has its own centre.
    components : int
        Principal components kept.
    """
    x = np.asarray(features, dtype=float)
    centre = x.mean(axis=0)
    _, _, rows = np.linalg.svd(x - centre, full_matrices=False)
    basis = rows[:components]
    t = (x - centre) @ basis.T
    names = np.unique(classes)
    means = np.array([t[classes == name].mean(axis=0) for name in names])
    within = t - means[np.searchsorted(names, classes)]
    scatter = within.T @ within / len(t)
    # a hundredth of the mean variance keeps directions that never varied from deciding alone
    precision = np.linalg.inv(scatter + 0.01 * np.trace(scatter) / components * np.eye(components))
    domain = Domain(centre, basis, means, precision, np.zeros(1), np.zeros(1))
    residual, distance = domain.scores(x)
    domain.residual_quantiles = np.quantile(residual, _GRID)
    domain.distance_quantiles = np.quantile(distance, _GRID)
    return domain
