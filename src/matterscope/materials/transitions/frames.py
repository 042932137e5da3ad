"""The frame in which levels of unlike hosts are alike: measured from a line, in units of a spread.

In: levels of training defects and the bond energies of their hosts. Out: standardised components of the
level vector, and the way back to eV. Gap, covalent and polar energy say where the levels of a host lie
and how far they spread; every host counts alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_SPREAD = 0.15
"""eV"""
RIDGE = 0.03
"""Pull on standardised slopes, as a share of the hosts: two dozen hosts bear three slopes, not more."""


@dataclass
class Frame:
    """Where levels are measured from, and in which unit.

    `places` below are the host's numbers of each row: gap, covalent and polar energy (n, 3), eV.

    Parameters
    ----------
    centre, scale : arrays of shape (3,), eV
        Mean and spread of the places over the training hosts.
    line : array of shape (4, 6), eV
        Level = line[0] + standardised places · line[1:].
    spread : array of shape (4,), eV
        Unit of a host, likewise; at least `LEAST_SPREAD`.
    basis : array of shape (6, 6)
        Principal components of the scaled levels, as rows.
    size : array of shape (6,)
        Standard deviation of each component.
    """

    centre: Array
    scale: Array
    line: Array
    spread: Array
    basis: Array
    size: Array

    @classmethod
    def of(cls, levels: Array, places: Array, host: NDArray[np.object_]) -> Frame:
        """Return the frame of the training defects."""
        _, first, codes, counts = np.unique(
            host.astype(str), return_index=True, return_inverse=True, return_counts=True
        )
        each = places[first]
        scale = np.where(each.std(0) > 1e-9, each.std(0), 1.0)
        count = levels.shape[1]
        frame = cls(
            each.mean(0), scale, np.zeros((1 + places.shape[1], count)), np.zeros(1 + places.shape[1]),
            np.eye(count), np.ones(count),
        )  # fmt: skip
        root = np.sqrt(1 / counts[codes])[:, None]
        design = frame._design(places) * root
        pull = RIDGE * len(counts) * np.diag([0.0] + [1.0] * places.shape[1])
        inverse = np.linalg.inv(design.T @ design + pull)
        frame.line = inverse @ design.T @ (levels * root)
        rest = np.abs(levels - frame.base(places)).mean(1)
        frame.spread = inverse @ design.T @ (rest * root[:, 0])
        scaled = frame.scaled(levels, places)
        frame.basis = np.linalg.svd(scaled, full_matrices=False)[2]
        frame.size = np.maximum((scaled @ frame.basis.T).std(0), 1e-6)
        return frame

    def _design(self, places: Array) -> Array:
        return np.column_stack([np.ones(len(places)), (places - self.centre) / self.scale])

    def base(self, places: Array) -> Array:
        """Return where levels are measured from, shape (n, 6), eV."""
        return self._design(places) @ self.line

    def unit(self, places: Array) -> Array:
        """Return the unit of each row, shape (n,), eV."""
        return np.asarray(np.maximum(self._design(places) @ self.spread, LEAST_SPREAD))

    def scaled(self, levels: Array, places: Array) -> Array:
        """Return levels in the frame."""
        return np.asarray((levels - self.base(places)) / self.unit(places)[:, None])

    def components(self, levels: Array, places: Array) -> Array:
        """Return standardised components, shape (n, 6)."""
        return np.asarray(self.scaled(levels, places) @ self.basis.T / self.size)

    def levels(self, scaled: Array, places: Array) -> Array:
        """Return eV from scaled levels."""
        return np.asarray(self.base(places) + self.unit(places)[:, None] * scaled)
