"""Models of the whole level vector of a defect: one formation-energy vector, with its covariance.

In: defects with six levels. Out: for any defect in any zinc-blende host, levels that belong together,
neutral formation energies, a calibrated covariance, and how far the host lies from what was learnt.

Levels stand in the frame of their host (`level_frames`); several draws of Gaussian processes on its principal
components (`level_members`) answer beside one forest of vector leaves. The share of the two, and the width of
the bars, come from leaving training hosts out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.learn.splits import grouped_folds
from matterscope.materials.forests import Forest, grow_vectors
from matterscope.materials.transitions.features import (
    Descriptors,
    Known,
    Scaling,
    describe,
    tree_matrix,
)
from matterscope.materials.transitions.frames import Frame
from matterscope.materials.transitions.members import CLIP, NOTHING, Member, averaged
from matterscope.materials.transitions.process import LINEAR, LevelProcess, Term, learn_processes
from matterscope.materials.transitions.tables import ENERGIES, IMPOSSIBLE_ENERGY, levels_of

Array = NDArray[np.float64]
TERMS: tuple[Term, ...] = (
    ("gap",), ("impurity", "site"), ("impurity", "change", "site", "host"), ("host", "site"),
    ("impurity", "site", "gap"), ("electrons", "site"), ("electrons", "site", "gap"), ("trend", "site"),
)  # fmt: skip
CAP, STEPS, DRAWS = 14, 30, 3
"""Rows per host in the search for hyper-parameters (no host rules), its iterations, and how many searches."""
MISPRINTS = 0.01
"""Share of rows out of order below which they are taken for misprints."""
OWN_WEIGHT = 5.0
"""Weight in the forest of native defects of the very host that is asked about."""
INNER_FOLDS = 4
WILD = 6.0
"""Scaled levels beyond it steer no forest."""
LARGEST_SHARE = 0.75
"""Of the members beside the forest: their hyper-parameters have seen the hosts left out, its trees have not."""
TREND_SCALE = 0.5
BLOCK = 1000
"""Defects predicted at a time: kernels against all training rows stay small."""


@dataclass
class Prediction:
    """Levels of n defects: mean (n, 6) and covariance (n, 6, 6) in eV, energies (n, 2) with σ, distance (n,).

    `blind` (n,) is the spread of levels in a host of this kind, eV: what is known without a model.
    """

    levels: Array
    covariance: Array
    energies: Array
    energies_sigma: Array
    distance: Array
    blind: Array

    @property
    def sigma(self) -> Array:
        """Return the standard deviation of each level, eV."""
        return np.asarray(np.sqrt(np.einsum("nii->ni", self.covariance)))


@dataclass
class LevelModel:
    """A fitted model; `fit` learns from a table, `predict` answers for defects."""

    frame: Frame | None = None
    members: list[Member] = field(default_factory=list)
    energy_processes: list[LevelProcess] = field(default_factory=list)
    energy_line: Array = field(default_factory=lambda: np.zeros((2, 2)))
    """(mean, spread) of each formation energy"""
    scaling: Scaling = field(default_factory=Scaling)
    forest: Forest | None = None
    share: float = 0.5
    """Weight of the members; the forest has the rest."""
    inflation: float = 1.0
    """Factor on σ, from left-out training hosts."""
    quantiles: dict[float, float] = field(default_factory=dict)
    """Level of confidence → half-width in σ, from left-out training hosts."""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Training defects: host, impurity, site, native, gap, lattice."""
    targets: Array = field(default_factory=lambda: np.empty((0, 6)))
    energy_targets: Array = field(default_factory=lambda: np.empty((0, 2)))
    host_spacing: float = 1.0
    """90 % quantile of the distance from a training host to its second nearest other."""
    blind_sigma: float = 1.0
    """Spread of a level over the other hosts, in units of the frame."""
    excluded: list[str] = field(default_factory=list)
    _blocks: dict[str, Array] = field(default_factory=dict, repr=False)
    _places: Array = field(default_factory=lambda: np.empty((0, 3)), repr=False)

    # ------------------------------------------------------------ learning
    def fit(
        self,
        table: pd.DataFrame,
        known: Known | None = None,
        seed: int = 0,
        *,
        energies: bool = True,
    ) -> LevelModel:
        """Learn from complete defects (host, impurity, site, native, six levels, formation energies).

        Without `energies` the neutral formation energies are not learnt, only the levels.
        """
        table, self.excluded = usable(table)
        raw = describe(table, known)
        host = table["host"].to_numpy(dtype=object)
        self.rows = table[["host", "impurity", "site", "native"]].copy()
        self.rows["gap"], self.rows["lattice"] = raw.blocks["gap"][:, 0], raw.blocks["gap"][:, 1]
        self.scaling = Scaling.of(raw)
        self.recall(raw)
        self.frame = Frame.of(levels_of(table), self._places, host)
        self.targets = self.frame.components(levels_of(table), self._places)
        rng = np.random.default_rng(seed)
        draws = [_balanced(host, CAP, rng) for _ in range(DRAWS)]
        self.members = [
            Member.learn(TERMS, self._blocks, self.targets, drawn, STEPS) for drawn in draws
        ]
        if energies:
            self._fit_energies(table, draws[0])
        matrix, scaled = tree_matrix(raw), self._scaled_targets()
        self.forest = grow_vectors(matrix, scaled, seed)
        self._calibrate(matrix, scaled, host, seed)
        self._learn_domain()
        return self.condition()

    def _scaled_targets(self) -> Array:
        """Return what a forest learns: scaled levels, with wild components held back."""
        assert self.frame is not None
        return np.clip(self.targets * self.frame.size, -WILD, WILD) @ self.frame.basis

    def recall(self, raw: Descriptors) -> None:
        """Take the descriptors of the training rows, which are not stored."""
        self._blocks, self._places = self.blocks_of(raw), raw.blocks["trend"]

    def blocks_of(self, raw: Descriptors) -> dict[str, Array]:
        """Return standardised kernel blocks; the trend on a scale of its own."""
        blocks = self.scaling.apply(raw)
        return blocks | {LINEAR: blocks[LINEAR] * TREND_SCALE}

    def _fit_energies(self, table: pd.DataFrame, drawn: NDArray[np.int64]) -> None:
        if not set(ENERGIES) <= set(table.columns) or table[list(ENERGIES)].isna().any().any():
            return
        energies = table[list(ENERGIES)].to_numpy(dtype=float)
        self.energy_line = np.array([energies.mean(0), energies.std(0)])
        self.energy_targets = (energies - self.energy_line[0]) / self.energy_line[1]
        part = {k: v[drawn] for k, v in self._blocks.items()}
        self.energy_processes = learn_processes(
            TERMS, part, np.clip(self.energy_targets[drawn], -CLIP, CLIP), STEPS
        )

    def left_out(
        self, partitions: Sequence[Sequence[NDArray[np.int64]]]
    ) -> list[tuple[Array, Array]]:
        """Return scaled levels of rows predicted without their own group, and their variances, (n, 6) each."""
        assert self.frame is not None
        size, basis = self.frame.size, self.frame.basis
        opinions = [m.left_out(self._blocks, self.targets, partitions) for m in self.members]
        found = [averaged(parts) for parts in zip(*opinions, strict=True)]
        return [
            ((mean * size) @ basis, (variance * size**2) @ basis**2) for mean, variance in found
        ]

    def _calibrate(
        self, matrix: Array, scaled: Array, host: NDArray[np.object_], seed: int
    ) -> None:
        """Choose the share of the two models and the width of the bars by leaving training hosts out."""
        assert self.frame is not None
        names = host.astype(str)
        hosts = [np.flatnonzero(names == h) for h in np.unique(names)]
        ((by_process, variance),) = self.left_out([hosts])
        by_forest = np.empty_like(by_process)
        folds = min(INNER_FOLDS, len(np.unique(names)))
        for train, test in grouped_folds(names, folds, seed):
            by_forest[test] = grow_vectors(matrix[train], scaled[train], seed, trees=30).predict(
                matrix[test]
            )
        judged = ~self.rows["native"].to_numpy(dtype=bool)
        truth = (self.targets * self.frame.size) @ self.frame.basis
        _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
        weight = (self.frame.unit(self._places) ** 2 / np.sqrt(counts[codes]))[judged]
        shares = np.arange(0, LARGEST_SHARE + 1e-9, 0.05)
        errors = [
            np.sum(
                weight[:, None]
                * np.abs(s * by_process + (1 - s) * by_forest - truth)[judged] ** 1.5
            )
            for s in shares
        ]
        self.share = float(shares[int(np.argmin(errors))])
        mixed = self.share * by_process + (1 - self.share) * by_forest
        z = np.abs((mixed - truth) / np.sqrt(variance))[judged]
        per_host = np.repeat(1 / counts[codes][judged], z.shape[1])
        spread = float(np.sqrt(np.average(np.minimum(z.ravel(), 4) ** 2, weights=per_host)))
        # the hyper-parameters have seen these hosts: they may widen the bars, never narrow them
        self.inflation = max(1.0, spread)
        ordered = np.argsort(z.ravel())
        share = np.cumsum(per_host[ordered]) / per_host.sum()
        for level in (0.5, 0.68, 0.8, 0.9, 0.95, 0.99):
            place = min(int(np.searchsorted(share, level)), len(ordered) - 1)
            normal = NormalDist().inv_cdf(0.5 + level / 2)
            self.quantiles[level] = max(normal, float(z.ravel()[ordered][place] / self.inflation))
        self.blind_sigma = float(truth[judged].std())

    def _learn_domain(self) -> None:
        places = self._host_places(np.ones(len(self.rows), dtype=bool))
        if len(places) > 2:
            self.host_spacing = float(
                np.quantile(_second_nearest(places, places, itself=True), 0.9)
            )

    def _host_places(self, rows: NDArray[np.bool_]) -> Array:
        """Return gap and lattice constant of the hosts of these rows, in spreads over all hosts."""
        numbers = self.rows[rows].drop_duplicates("host")[["gap", "lattice"]].to_numpy(dtype=float)
        return np.asarray(numbers / self._host_spread())

    def _host_spread(self) -> Array:
        every = self.rows.drop_duplicates("host")[["gap", "lattice"]].to_numpy(dtype=float)
        return np.asarray(np.maximum(every.std(0), 1e-6))

    # ------------------------------------------------------------ answers
    def condition(self) -> LevelModel:
        """Make all processes ready to predict from the training rows."""
        self.members = [m.condition(self._blocks, self.targets) for m in self.members]
        for c, process in enumerate(self.energy_processes):
            process.condition(self._blocks, self.energy_targets[:, c])
        return self

    def extended(
        self, evidence: pd.DataFrame, known: Known | None = None, *, ready: bool = True
    ) -> LevelModel:
        """Return a model that has also seen other defects, e.g. native defects of a new host.

        Hyper-parameters, forest and calibration stay as they are. Failed calculations among the new
        rows are kept with a weight of nothing. `ready` makes the members fit to predict.
        """
        assert self.frame is not None
        evidence = evidence.reset_index(drop=True)
        raw = describe(evidence, known)
        new, places = self.blocks_of(raw), raw.blocks["trend"]
        target = self.frame.components(levels_of(evidence), places)
        more = replace(self)
        more._blocks = {k: np.vstack([v, new[k]]) for k, v in self._blocks.items()}
        more._places = np.vstack([self._places, places])
        more.targets = np.vstack([self.targets, target])
        failed = failures(evidence)
        more.members = [m.with_rows(new, target, failed) for m in self.members]
        added = evidence[["host", "impurity", "site"]].assign(
            native=True, gap=raw.blocks["gap"][:, 0], lattice=raw.blocks["gap"][:, 1]
        )
        more.rows = pd.concat([self.rows, added], ignore_index=True)
        if ready:
            more.members = [m.condition(more._blocks, more.targets) for m in more.members]
        return more

    def forest_without(
        self, left_out: NDArray[np.int64], seed: int, known: Known | None = None
    ) -> Array:
        """Return scaled levels of the rows `left_out` by a forest grown on all the others."""
        assert self.frame is not None
        matrix = tree_matrix(describe(self.rows, known))
        learnt = self.members[0].weights.mean(1) > NOTHING
        kept = np.setdiff1d(np.flatnonzero(learnt), left_out)
        scaled = self._scaled_targets()
        same = np.isin(
            self.rows["host"].to_numpy(dtype=str)[kept],
            self.rows["host"].to_numpy(dtype=str)[left_out],
        )
        forest = grow_vectors(
            matrix[kept], scaled[kept], seed, weight=np.where(same, OWN_WEIGHT, 1.0)
        )
        return forest.predict(matrix[left_out])

    def distance_without(self, left_out: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
        """Return how far the hosts of `rows` lie from the others, without the hosts of `left_out`."""
        host = self.rows["host"].to_numpy(dtype=str)
        others = self._host_places(~np.isin(host, host[left_out]))
        asked = self.rows.iloc[rows][["gap", "lattice"]].to_numpy(dtype=float) / self._host_spread()
        return _second_nearest(asked, others) / self.host_spacing

    def predict(self, asked: pd.DataFrame, known: Known | None = None) -> Prediction:
        """Return levels, covariance and formation energies of defects (host, impurity, site)."""
        parts = [
            self._predict(asked.iloc[start : start + BLOCK], known)
            for start in range(0, len(asked), BLOCK)
        ]
        return Prediction(*(np.concatenate(p) for p in zip(*map(astuple, parts), strict=True)))

    def _predict(self, asked: pd.DataFrame, known: Known | None) -> Prediction:
        assert self.frame is not None
        assert self.forest is not None
        raw = describe(asked, known)
        blocks, places = self.blocks_of(raw), raw.blocks["trend"]
        mean, variance = averaged([m.predict(blocks) for m in self.members])
        size, basis = self.frame.size, self.frame.basis
        scaled = self.share * ((mean * size) @ basis)
        if self.share < 1:
            scaled = scaled + (1 - self.share) * self.forest.predict(tree_matrix(raw))
        unit = self.frame.unit(places) * self.inflation
        covariance = (
            np.einsum("nc,ci,cj->nij", variance * size**2, basis, basis) * unit[:, None, None] ** 2
        )
        energies, sigma = self._energies(blocks, len(places))
        return Prediction(
            self.frame.levels(scaled, places), covariance, energies, sigma, self._distance(raw),
            self.blind_sigma * self.frame.unit(places),
        )  # fmt: skip

    def _energies(self, blocks: dict[str, Array], n: int) -> tuple[Array, Array]:
        if not self.energy_processes:
            return np.full((n, 2), np.nan), np.full((n, 2), np.nan)
        parts = [p.predict(blocks) for p in self.energy_processes]
        mean = np.column_stack([m for m, _ in parts]) * self.energy_line[1] + self.energy_line[0]
        return mean, np.sqrt(np.column_stack([v for _, v in parts])) * self.energy_line[
            1
        ] * self.inflation

    def _distance(self, raw: Descriptors) -> Array:
        """Return the distance to the second nearest training host in units of the hosts' own spacing."""
        places = self._host_places(np.ones(len(self.rows), dtype=bool))
        return (
            _second_nearest(raw.blocks["gap"][:, :2] / self._host_spread(), places)
            / self.host_spacing
        )


def _second_nearest(asked: Array, places: Array, *, itself: bool = False) -> Array:
    """Return the distance to the second nearest place; a lone neighbour is no support."""
    away = np.sort(np.linalg.norm(asked[:, None] - places[None], axis=-1), axis=1)
    return np.asarray(away[:, min(1 + itself, away.shape[1] - 1)])


def failures(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows are failed calculations, by their formation energy."""
    energy = table[[c for c in ENERGIES if c in table]].abs().max(axis=1)
    return np.asarray((energy > IMPOSSIBLE_ENERGY).to_numpy(), dtype=bool)


def usable(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out failed calculations: impossible energies, and levels that fall in a table that is sorted.

    Returns
    -------
    (DataFrame, list of str)
        What can be learnt from, and what was left out and why.
    """
    wild = failures(table)
    falling = (np.diff(levels_of(table), axis=1) < -1e-6).any(1)
    # a table that is ordered but for a row or two has misprints; one with many has negative U
    misprint = falling & (falling.mean() < MISPRINTS)
    reasons = []
    for name, mask in (("formation energy beyond 30 eV", wild), ("levels out of order", misprint)):
        reasons += [
            f"{r.impurity} on {r.site} of {r.host}: {name}" for r in table[mask].itertuples()
        ]
    return table[~(wild | misprint)].reset_index(drop=True), reasons


def _balanced(host: NDArray[np.object_], cap: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return at most `cap` rows of each host, drawn without regard to their order."""
    names = host.astype(str)
    return np.concatenate(
        [rng.permutation(np.flatnonzero(names == h))[:cap] for h in np.unique(names)]
    )
