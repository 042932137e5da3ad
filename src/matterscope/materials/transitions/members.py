"""One opinion on the components of level vectors: Gaussian processes learnt on one draw of the rows.

In: kernel blocks and components of training defects. Out: components of other defects with variances, also
for training hosts as if they had never been seen. Hyper-parameters depend on which rows were drawn, more than
on anything else; several members averaged do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.transitions.process import (
    Blocks,
    LevelProcess,
    Term,
    block_kernels,
    learn_processes,
)

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
CLIP = 4.0
"""Components beyond it do not steer the hyper-parameters."""
NOTHING = 1e-6
"""Weight of a row that is there to be predicted, not to be learnt from."""
FREEDOM = 4.0
"""Degrees of freedom of the noise."""


@dataclass
class Member:
    """Processes of all components over the same rows, with a weight for each row and component."""

    terms: tuple[Term, ...]
    processes: list[LevelProcess]
    weights: Array = field(default_factory=lambda: np.empty((0, 6)))

    @classmethod
    def learn(
        cls, terms: tuple[Term, ...], blocks: Blocks, targets: Array, drawn: Rows, steps: int
    ) -> Member:
        """Learn hyper-parameters from the rows `drawn`, and weights of all rows."""
        part = {k: v[drawn] for k, v in blocks.items()}
        processes = learn_processes(terms, part, np.clip(targets[drawn], -CLIP, CLIP), steps)
        member = cls(terms, processes, np.ones_like(targets))
        for c, kernel in enumerate(member._kernels(blocks)):
            member.weights[:, c] = robust_weights(processes[c], kernel, targets[:, c])
        return member

    def _parts(self, a: Blocks, b: Blocks) -> dict[str, Array]:
        return block_kernels(self.terms, self.processes[0].lengths, a, b)

    def _kernels(self, blocks: Blocks) -> list[Array]:
        parts = self._parts(blocks, blocks)
        return [p.kernel(blocks, blocks, parts) for p in self.processes]

    def condition(self, blocks: Blocks, targets: Array) -> Member:
        """Return the member ready to predict from these rows."""
        parts = self._parts(blocks, blocks)
        ready = [LevelProcess(p.terms, p.lengths, p.amplitudes, p.noise) for p in self.processes]
        for c, process in enumerate(ready):
            process.condition(blocks, targets[:, c], self.weights[:, c], parts)
        return Member(self.terms, ready, self.weights)

    def predict(self, blocks: Blocks) -> tuple[Array, Array]:
        """Return components and variances, shape (n, k) each."""
        seen = self.processes[0].seen
        parts = self._parts(blocks, seen)
        found = [p.predict(blocks, parts) for p in self.processes]
        return np.column_stack([m for m, _ in found]), np.column_stack([v for _, v in found])

    def with_rows(self, blocks: Blocks, targets: Array, nothing: NDArray[np.bool_]) -> Member:
        """Return a member with the weights of further rows; the rows `nothing` weigh nothing."""
        mean, variance = self.predict(blocks)
        added = np.where(nothing[:, None], NOTHING, student_weight(targets - mean, variance))
        return Member(self.terms, self.processes, np.vstack([self.weights, added]))

    def left_out(
        self, blocks: Blocks, targets: Array, partitions: Sequence[Sequence[Rows]]
    ) -> list[tuple[Array, Array]]:
        """Return components of rows predicted without any row of their own group, and their variances.

        From the blocks of K⁻¹ (Sundararajan and Keerthi, Neural Comput. 13, 1103 (2001)), once for each
        partition of rows into groups; rows in no group stay NaN.
        """
        found = [(np.full_like(targets, np.nan), np.full_like(targets, np.nan)) for _ in partitions]
        for c, (process, kernel) in enumerate(
            zip(self.processes, self._kernels(blocks), strict=True)
        ):
            weight = self.weights[:, c]
            inverse, alpha = process.precision(kernel, targets[:, c], weight)
            for (mean, variance), groups in zip(found, partitions, strict=True):
                for rows in groups:
                    block = np.linalg.inv(inverse[np.ix_(rows, rows)])
                    mean[rows, c] = targets[rows, c] - block @ alpha[rows]
                    plain = np.diag(block) - process.noise / weight[rows] + process.noise
                    variance[rows, c] = np.maximum(plain, 1e-6)
        return found


def robust_weights(process: LevelProcess, kernel: Array, target: Array) -> Array:
    """Return the Student-t weight of each row: small where it disagrees with all the others."""
    weight = np.ones(len(target))
    for _ in range(2):
        inverse, alpha = process.precision(kernel, target, weight)
        own = 1 / np.diag(inverse)
        variance = np.maximum(own - process.noise / weight + process.noise, 1e-6)
        weight = student_weight(alpha * own, variance)
    return weight


def student_weight(residual: Array, variance: Array) -> Array:
    """Return (ν + 1)/(ν + r²/v): the weight of a row under Student-t noise (Lange et al., JASA 84, 881 (1989))."""
    return np.asarray(np.clip((FREEDOM + 1) / (FREEDOM + residual**2 / variance), 0.02, 1.2))


def averaged(opinions: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the mean of several (mean, variance), its variance with what they disagree about."""
    means = np.array([m for m, _ in opinions])
    return means.mean(0), np.mean([v for _, v in opinions], axis=0) + means.var(0)
