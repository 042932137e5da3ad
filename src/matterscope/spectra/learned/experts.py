"""Experts: networks and kernel machines that answer together, because unlike models err differently.

In: aligned shapes with labels, and the same shapes through instruments. Out: one set of answers per shape:
coordination, bond and valence with the disagreement of the experts, and the probability of an oxygen shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.learn.ensembles import Ensemble
from matterscope.learn.kernelridge import KernelRidge, train_kernel_ridge
from matterscope.learn.networks import Network
from matterscope.learn.persist import Arrays, nested, prefixed
from matterscope.spectra.sets.trainingsets import COORDINATIONS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASSES = len(COORDINATIONS)
STATES = 3
SHARPNESS = 0.2
"""Ridge scores of a class lie near 0 or 1; a softmax at this temperature makes them probabilities."""
QUIET, SEEN = 0.03, 0.1
"""Noise variances of computed shapes and of shapes through instruments."""
SHELL_NOISE = 0.05
MIXING = 0.05
"""Largest share of another row in an anchor: no anchor is a spectrum of the training set."""


@dataclass
class Experts:
    """Networks, and where trained a kernel machine and a kernel gate."""

    ensemble: Ensemble
    machine: KernelRidge | None = None
    """Answers coordination, bond and valence of oxygen shells."""
    gate: KernelRidge | None = None
    """Answers whether the shell is oxygen."""

    def predict(self, rows: NDArray[Any]) -> dict[str, tuple[Floats, Floats]]:
        """Return per head (mean, disagreement) for shapes (n, m).

        Half of the distance between networks and machine joins the networks' own disagreement on the bond.
        """
        rows = np.asarray(rows, dtype=np.float32)
        found = self.ensemble.predict(rows)
        if self.gate is not None:
            shell = np.clip(self.gate.predict(rows)[:, 0], 0.0, 1.0)
            found["shell"] = (np.column_stack([1 - shell, shell]), np.zeros(len(rows)))
        if self.machine is None:
            return found
        answers = self.machine.predict(rows)
        share, doubt = found["coordination"]
        found["coordination"] = ((share + _shares(answers[:, :CLASSES])) / 2, doubt)
        valence, uncertain = found["valence"]
        states = _shares(answers[:, CLASSES + 1 :])
        found["valence"] = ((valence + states) / 2, uncertain)
        bond, spread = found["bond"]
        other = answers[:, CLASSES]
        found["bond"] = ((bond + other) / 2, np.hypot(spread, np.abs(bond - other) / 2))
        return found

    def pack(self) -> tuple[Arrays, list[dict[str, Any]]]:
        """Return arrays and the networks' JSON data."""
        arrays: Arrays = {}
        for k, member in enumerate(self.ensemble.members):
            arrays |= prefixed(member.as_arrays(), f"member{k}")
        for name, machine in (("machine", self.machine), ("gate", self.gate)):
            if machine is not None:
                arrays |= prefixed(machine.as_arrays(), name)
        return arrays, [m.as_json() for m in self.ensemble.members]

    @classmethod
    def unpack(cls, arrays: Arrays, meta: list[dict[str, Any]]) -> Experts:
        """Return the experts that were stored."""
        members = tuple(
            Network.rebuild(nested(arrays, f"member{k}"), m) for k, m in enumerate(meta)
        )
        kernels = [nested(arrays, name) for name in ("machine", "gate")]
        machine, gate = (KernelRidge.rebuild(k) if k else None for k in kernels)
        return cls(Ensemble(members), machine, gate)


def _shares(scores: Floats) -> Floats:
    power = np.exp((scores - scores.max(axis=1, keepdims=True)) / SHARPNESS)
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def train_machines(
    shapes: NDArray[Any],
    views: NDArray[Any],
    targets: dict[str, NDArray[Any]],
    rows: Ints,
    rng: np.random.Generator,
) -> tuple[KernelRidge, KernelRidge]:
    """Return kernel machine and gate, trained on computed shapes and on views of them.

    Parameters
    ----------
    shapes : array of shape (n, m)
    views : array of shape (k, n, m)
        The same shapes through instruments.
    targets : dict
        Labels of all n shapes.
    rows : array of int
        What may be trained on.
    """
    own = rows[targets["shell"][rows] == 1]
    known = targets["valence"][own]
    states = np.eye(STATES)[np.maximum(known, 0)]
    states[known < 0] = states[known >= 0].mean(axis=0) if (known >= 0).any() else 1 / STATES
    goal = np.column_stack(
        [np.eye(CLASSES)[targets["coordination"][own]], targets["bond"][own], states]
    )
    machine = train_kernel_ridge(
        np.concatenate([shapes[own], *views[:, own]]),
        np.tile(goal, (1 + len(views), 1)),
        np.repeat([QUIET] + [SEEN] * len(views), len(own)),
        rng,
        mixing=MIXING,
    )
    shell = targets["shell"][rows][:, None].astype(float)
    gate = train_kernel_ridge(
        np.concatenate([shapes[rows], *views[:1, rows]]),
        np.tile(shell, (1 + len(views[:1]), 1)),
        np.full(len(rows) * (1 + len(views[:1])), SHELL_NOISE),
        rng,
        mixing=MIXING,
    )
    return machine, gate
