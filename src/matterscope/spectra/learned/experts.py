"""Experts: networks and kernel machines that answer together, because unlike models err differently.

In: aligned shapes with labels, and the same shapes through instruments. Out: one set of answers per shape:
coordination, bond, valence and edge with the disagreement of the experts, and the probability of an oxygen shell.
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
from matterscope.spectra.measured.alignment import STEADY
from matterscope.spectra.sets.trainingsets import COORDINATIONS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASSES = len(COORDINATIONS)
STATES = 3
EDGE = CLASSES + 1 + STATES
"""Column of the machine that holds the edge position, behind classes, bond and states."""
SHARPNESS = 0.2
"""Ridge scores of a class lie near 0 or 1; a softmax at this temperature makes them probabilities."""
QUIET, SEEN = 0.03, 0.1
"""Noise variances of computed shapes and of shapes through instruments."""
SHELL_NOISE = 0.05
MIXING = 0.05
"""Largest share of another row in an anchor: no anchor is a spectrum of the training set."""


SOFTENING = 0.2
"""Power of the class shares that the probabilities of a coordination are divided by: the set is two thirds
fourfold, a user's sample need not be. Answers are those for shares p^0.8, made to add up to 1."""
MACHINES = ("machine", "gate", "level")
FLAT = (20.0, 115.0)
"""eV from the edge: where the line is fitted that `levelled` divides by."""


def levelled(shapes: NDArray[Any], grid: Floats) -> NDArray[np.float32]:
    """Return shapes (n, m) divided by a line through their post-edge and aligned anew, as steadily as before.

    Gain and slope of the normalisation drop out, and with them what theory alone knows: its level far
    above the edge. Machines on both descriptions err differently.
    """
    from scipy.ndimage import gaussian_filter1d

    rows = np.asarray(shapes, dtype=np.float32)
    far = (grid >= FLAT[0]) & (grid <= FLAT[1])
    design = np.column_stack([np.ones(grid.size), grid / 50.0]).astype(np.float32)
    fit = np.linalg.lstsq(design[far], rows[:, far].T, rcond=None)[0]
    flat = rows / np.maximum(design @ fit, 0.2).T
    even = np.arange(grid[0], 30.0 + 1e-9, np.diff(grid).min())
    near = flat[:, : even.size]
    seen = gaussian_filter1d(near, STEADY / (even[1] - even[0]), axis=1, mode="nearest")
    first = np.maximum((seen >= 0.5).argmax(axis=1), 1)
    own = np.arange(len(flat))
    low, high = seen[own, first - 1], seen[own, first]
    share = np.clip((0.5 - low) / np.where(np.abs(high - low) < 1e-6, 1e-6, high - low), 0.0, 1.0)
    shift = even[first - 1] + share * (even[1] - even[0])
    moved = [np.interp(grid + s, grid, row) for s, row in zip(shift, flat, strict=True)]
    return np.asarray(moved, dtype=np.float32)


def reaches(grid: Floats) -> bool:
    """Say whether a window reaches far enough for its shapes to be levelled."""
    return bool(grid[-1] >= FLAT[1])


@dataclass
class Experts:
    """Networks, and where trained kernel machines and kernel gates."""

    ensemble: Ensemble
    grid: Floats
    """eV from the edge; of the shapes."""
    machine: KernelRidge | None = None
    """Answers coordination, bond, valence and edge position of oxygen shells."""
    gate: KernelRidge | None = None
    """Answers whether the shell is oxygen."""
    level: KernelRidge | None = None
    """Like `machine`, on levelled shapes; windows that end near the edge have none."""
    shares: Floats | None = None
    """Of the coordinations in the training set, none 0."""

    def predict(self, rows: NDArray[Any]) -> dict[str, tuple[Floats, Floats]]:
        """Return per head (mean, disagreement) for shapes (n, m).

        Half of the distance between networks and machines joins the networks' own disagreement on the bond.
        """
        found = self._together(np.asarray(rows, dtype=np.float32))
        if self.shares is not None:
            named, doubt = found["coordination"]
            even = named / self.shares**SOFTENING
            found["coordination"] = (even / even.sum(axis=1, keepdims=True), doubt)
        return found

    def _together(self, rows: NDArray[np.float32]) -> dict[str, tuple[Floats, Floats]]:
        found = self.ensemble.predict(rows)
        if self.gate is not None:
            shell = np.clip(self.gate.predict(rows)[:, 0], 0.0, 1.0)
            found["shell"] = (np.column_stack([1 - shell, shell]), np.zeros(len(rows)))
        if self.machine is None:
            return found
        answers = [self.machine.predict(rows)]
        if self.level is not None:
            answers.append(self.level.predict(levelled(rows, self.grid)))
        share, doubt = found["coordination"]
        named = np.mean([_shares(a[:, :CLASSES]) for a in answers], axis=0)
        found["coordination"] = ((share + named) / 2, doubt)
        valence, uncertain = found["valence"]
        states = np.mean([_shares(a[:, CLASSES + 1 : EDGE]) for a in answers], axis=0)
        found["valence"] = ((valence + states) / 2, uncertain)
        bond, spread = found["bond"]
        other = np.mean([a[:, CLASSES] for a in answers], axis=0)
        found["bond"] = ((bond + other) / 2, np.hypot(spread, np.abs(bond - other) / 2))
        if answers[0].shape[1] > EDGE:
            edge = np.mean([a[:, EDGE] for a in answers], axis=0)
            found["edge"] = (edge, np.zeros(len(rows)))
        return found

    def pack(self) -> tuple[Arrays, list[dict[str, Any]]]:
        """Return arrays and the networks' JSON data."""
        arrays: Arrays = {}
        for k, member in enumerate(self.ensemble.members):
            arrays |= prefixed(member.as_arrays(), f"member{k}")
        for name in MACHINES:
            machine: KernelRidge | None = getattr(self, name)
            if machine is not None:
                arrays |= prefixed(machine.as_arrays(), name)
        if self.shares is not None:
            arrays["shares"] = self.shares
        return arrays, [m.as_json() for m in self.ensemble.members]

    @classmethod
    def unpack(cls, arrays: Arrays, meta: list[dict[str, Any]], grid: Floats) -> Experts:
        """Return the experts that were stored."""
        members = tuple(
            Network.rebuild(nested(arrays, f"member{k}"), m) for k, m in enumerate(meta)
        )
        shares = arrays.get("shares")
        known = None if shares is None else np.asarray(shares, dtype=float)
        return cls(Ensemble(members), grid, **machines_in(arrays), shares=known)


def machines_in(arrays: Arrays) -> dict[str, KernelRidge]:
    """Return the machines among stored arrays, by name."""
    kernels = {name: nested(arrays, name) for name in MACHINES}
    return {name: KernelRidge.rebuild(k) for name, k in kernels.items() if k}


def class_shares(coordination: Ints) -> Floats:
    """Return the shares of the classes among labels, −1 for unknown; half a site where a class has none."""
    known = coordination[coordination >= 0]
    counts = np.maximum(np.bincount(known, minlength=CLASSES), 0.5)
    return np.asarray(counts / counts.sum())


def _shares(scores: Floats) -> Floats:
    power = np.exp((scores - scores.max(axis=1, keepdims=True)) / SHARPNESS)
    return np.asarray(power / power.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Taught:
    """Shapes that a gate learns from.

    Parameters
    ----------
    shapes : array of shape (n, m)
    views : array of shape (k, n, m)
        The same through instruments.
    shell : array of shape (n,)
        1 where the shell is oxygen.
    """

    shapes: NDArray[Any]
    views: NDArray[Any]
    shell: NDArray[Any]


def train_machines(
    shapes: NDArray[Any],
    views: NDArray[Any],
    targets: dict[str, NDArray[Any]],
    rows: Ints,
    rng: np.random.Generator,
    grid: Floats,
    others: Taught | None = None,
) -> dict[str, KernelRidge]:
    """Return kernel machines and gates, trained on computed shapes and on views of them.

    Parameters
    ----------
    shapes : array of shape (n, m)
    views : array of shape (k, n, m)
        The same shapes through instruments.
    targets : dict
        Labels of all n shapes.
    rows : array of int
        What may be trained on.
    grid : array of shape (m,), eV
    others : Taught, optional
        Further shapes for the gates.
    """
    own = rows[targets["shell"][rows] == 1]
    goal = _goal(targets, own)
    seen = Taught(shapes[rows], views[:1, rows], targets["shell"][rows])
    if others is not None:
        seen = Taught(
            np.concatenate([seen.shapes, others.shapes]),
            np.concatenate([seen.views, others.views[: len(seen.views)]], axis=1),
            np.concatenate([seen.shell, others.shell]),
        )
    found = {
        "machine": _machine(shapes[own], views[:, own], goal, rng),
        "gate": _gate(seen.shapes, seen.views, seen.shell, rng),
    }
    if reaches(grid):
        one = [levelled(v, grid) for v in views[:1, own]]
        flat = levelled(shapes[own], grid)
        found["level"] = _machine(flat, np.array(one).reshape(-1, *flat.shape), goal, rng)
    return found


def _goal(targets: dict[str, NDArray[Any]], own: Ints) -> Floats:
    """Return blurred classes, bond, states and edge of the rows, side by side."""
    known = targets["valence"][own]
    states = np.eye(STATES)[np.maximum(known, 0)]
    states[known < 0] = states[known >= 0].mean(axis=0) if (known >= 0).any() else 1 / STATES
    return np.column_stack(
        [
            targets["shares"][own],
            targets["bond"][own],
            states,
            targets["edge"][own],
        ]
    )


def _machine(
    shapes: NDArray[Any], views: NDArray[Any], goal: Floats, rng: np.random.Generator
) -> KernelRidge:
    return train_kernel_ridge(
        np.concatenate([shapes, *views]),
        np.tile(goal, (1 + len(views), 1)),
        np.repeat([QUIET] + [SEEN] * len(views), len(shapes)),
        rng,
        mixing=MIXING,
    )


def _gate(
    shapes: NDArray[Any], views: NDArray[Any], shell: NDArray[Any], rng: np.random.Generator
) -> KernelRidge:
    return train_kernel_ridge(
        np.concatenate([shapes, *views]),
        np.tile(shell[:, None].astype(float), (1 + len(views), 1)),
        np.full(len(shapes) * (1 + len(views)), SHELL_NOISE),
        rng,
        mixing=MIXING,
    )
