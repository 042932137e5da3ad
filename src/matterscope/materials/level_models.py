"""Models of the whole level vector of a defect: one formation-energy vector, with its covariance.

In: defects with six levels. Out: for any defect in any zinc-blende host, levels that belong together,
neutral formation energies, a calibrated covariance, and how far the host lies from what was learnt.

Levels are measured from a line in the host's gap and in units of a spread that grows with the gap;
their principal components are independent Gaussian processes (`level_process`) beside one forest of
vector leaves. Wild rows are weighted down by a Student-t law; weights of the two, and the width of the
bars, come from leaving training hosts out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.learn.splits import grouped_folds
from matterscope.materials.level_features import Descriptors, Known, Scaling, describe, tree_matrix
from matterscope.materials.level_process import LevelProcess, Term
from matterscope.materials.level_tables import levels_of
from matterscope.materials.vector_forest import VectorForest, grow_vectors

Array = NDArray[np.float64]
ENERGIES = ("formation_energy_A_rich", "formation_energy_B_rich")
TERMS: tuple[Term, ...] = (
    ("gap",), ("impurity", "site"), ("impurity", "change", "site", "host"), ("host", "site"),
    ("impurity", "site", "gap"), ("electrons", "site"), ("electrons", "site", "gap"), ("trend", "site"),
)  # fmt: skip
CAP, STEPS = 14, 30
"""Rows per host in the search for hyper-parameters (no host rules), and its iterations."""
IMPOSSIBLE_ENERGY = 30.0
"""eV; a neutral formation energy beyond it is a failed calculation, whose levels teach nothing."""
MISPRINTS = 0.01
"""Share of rows out of order below which they are taken for misprints."""
NOTHING = 1e-6
"""Weight of a row that is there to be predicted, not to be learnt from."""
OWN_WEIGHT = 5.0
"""Weight in the forest of native defects of the very host that is asked about."""
FREEDOM = 4.0
"""Degrees of freedom of the noise."""
CLIP = 4.0
LEAST_SPREAD = 0.15
"""eV"""
INNER_FOLDS = 4
TREND_SCALE = 0.5


@dataclass
class Frame:
    """Where levels are measured from, and in which unit: lines in the gap of the host."""

    line: Array
    """(2, 6): level = line[0] + line[1]·gap"""
    spread: Array
    """(2,): unit = spread[0] + spread[1]·gap, at least `LEAST_SPREAD`"""
    basis: Array
    """(6, 6): principal components as rows"""
    size: Array
    """(6,): standard deviation of each component"""

    @classmethod
    def of(cls, levels: Array, gap: Array, host: NDArray[np.object_]) -> Frame:
        """Return the frame of the training defects; every host counts alike."""
        _, codes, counts = np.unique(host.astype(str), return_inverse=True, return_counts=True)
        root = np.sqrt(1 / counts[codes])[:, None]
        design = np.column_stack([np.ones(len(gap)), gap])
        line = np.linalg.lstsq(design * root, levels * root, rcond=None)[0]
        rest = np.abs(levels - design @ line).mean(1)
        spread = np.linalg.lstsq(design * root, rest * root[:, 0], rcond=None)[0]
        frame = cls(line, spread, np.eye(levels.shape[1]), np.ones(levels.shape[1]))
        scaled = frame.scaled(levels, gap)
        frame.basis = np.linalg.svd(scaled, full_matrices=False)[2]
        frame.size = np.maximum((scaled @ frame.basis.T).std(0), 1e-6)
        return frame

    def unit(self, gap: Array) -> Array:
        """Return the unit of each row, eV."""
        return np.asarray(np.maximum(self.spread[0] + self.spread[1] * gap, LEAST_SPREAD))

    def scaled(self, levels: Array, gap: Array) -> Array:
        """Return levels in the frame."""
        return np.asarray(
            (levels - self.line[0] - gap[:, None] * self.line[1]) / self.unit(gap)[:, None]
        )

    def components(self, levels: Array, gap: Array) -> Array:
        """Return standardised components, shape (n, 6)."""
        return np.asarray(self.scaled(levels, gap) @ self.basis.T / self.size)

    def levels(self, scaled: Array, gap: Array) -> Array:
        """Return eV from scaled levels."""
        return np.asarray(
            self.line[0] + gap[:, None] * self.line[1] + self.unit(gap)[:, None] * scaled
        )


@dataclass
class Prediction:
    """Levels of n defects: mean (n, 6) and covariance (n, 6, 6) in eV, energies (n, 2) with σ, distance (n,)."""

    levels: Array
    covariance: Array
    energies: Array
    energies_sigma: Array
    distance: Array

    @property
    def sigma(self) -> Array:
        """Return the standard deviation of each level, eV."""
        return np.asarray(np.sqrt(np.einsum("nii->ni", self.covariance)))


@dataclass
class LevelModel:
    """A fitted model; `fit` learns from a table, `predict` answers for defects."""

    frame: Frame | None = None
    processes: list[LevelProcess] = field(default_factory=list)
    energy_processes: list[LevelProcess] = field(default_factory=list)
    energy_line: Array = field(default_factory=lambda: np.zeros((2, 2)))
    """(mean, spread) of each formation energy"""
    scaling: Scaling = field(default_factory=Scaling)
    forest: VectorForest | None = None
    share: float = 0.5
    """Weight of the processes; the forest has the rest."""
    inflation: float = 1.0
    """Factor on σ, from left-out training hosts."""
    quantiles: dict[float, float] = field(default_factory=dict)
    """Level of confidence → half-width in σ, from left-out training hosts."""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Training defects: host, impurity, site, native, gap, lattice."""
    targets: Array = field(default_factory=lambda: np.empty((0, 6)))
    energy_targets: Array = field(default_factory=lambda: np.empty((0, 2)))
    weights: Array = field(default_factory=lambda: np.empty((0, 6)))
    host_spacing: float = 1.0
    """90 % quantile of the distance from a training host to its second nearest other."""
    blind_sigma: float = 1.0
    """Spread of a level over the other hosts, in units of the frame."""
    excluded: list[str] = field(default_factory=list)
    _blocks: dict[str, Array] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------ learning
    def fit(self, table: pd.DataFrame, known: Known | None = None, seed: int = 0) -> LevelModel:
        """Learn from complete defects (host, impurity, site, native, six levels, formation energies)."""
        table, self.excluded = usable(table)
        raw = describe(table, known)
        gap = raw.blocks["gap"][:, 0]
        host = table["host"].to_numpy(dtype=object)
        rng = np.random.default_rng(seed)
        self.rows = table[["host", "impurity", "site", "native"]].copy()
        self.rows["gap"], self.rows["lattice"] = gap, raw.blocks["gap"][:, 1]
        self.scaling = Scaling.of(raw)
        self._blocks = self.blocks_of(raw)
        self.frame = Frame.of(levels_of(table), gap, host)
        self.targets = self.frame.components(levels_of(table), gap)
        some = _balanced(host, CAP, rng)
        part = {k: v[some] for k, v in self._blocks.items()}
        self.processes = [
            LevelProcess(TERMS).fit(part, np.clip(self.targets[some, c], -CLIP, CLIP), STEPS)
            for c in range(self.targets.shape[1])
        ]
        self._fit_energies(table, part, some)
        self.weights = np.column_stack(
            [self._robust_weights(p, self.targets[:, c]) for c, p in enumerate(self.processes)]
        )
        scaled = np.clip(self.targets * self.frame.size, -6, 6) @ self.frame.basis
        matrix = tree_matrix(raw)
        self.forest = grow_vectors(matrix, scaled, seed)
        self._calibrate(matrix, scaled, host, gap, seed)
        self._learn_domain()
        return self.condition()

    def blocks_of(self, raw: Descriptors) -> dict[str, Array]:
        """Return standardised kernel blocks; the trend on a scale of its own."""
        blocks = self.scaling.apply(raw)
        blocks["trend"] = blocks["trend"] * TREND_SCALE
        return blocks

    def _fit_energies(
        self, table: pd.DataFrame, part: dict[str, Array], some: NDArray[np.int64]
    ) -> None:
        if not set(ENERGIES) <= set(table.columns) or table[list(ENERGIES)].isna().any().any():
            return
        energies = table[list(ENERGIES)].to_numpy(dtype=float)
        self.energy_line = np.array([energies.mean(0), energies.std(0)])
        self.energy_targets = (energies - self.energy_line[0]) / self.energy_line[1]
        self.energy_processes = [
            LevelProcess(TERMS).fit(part, np.clip(self.energy_targets[some, c], -CLIP, CLIP), STEPS)
            for c in range(2)
        ]

    def _robust_weights(self, process: LevelProcess, target: Array) -> Array:
        """Return the Student-t weight of each row: small where it disagrees with all the others."""
        weight = np.ones(len(target))
        for _ in range(2):
            inverse, alpha = process.precision(self._blocks, target, weight)
            own = 1 / np.diag(inverse)
            variance = np.maximum(own - process.noise / weight + process.noise, 1e-6)
            weight = student_weight(alpha * own, variance)
        return weight

    def left_out(self, places: list[NDArray[np.int64]]) -> tuple[Array, Array]:
        """Return components of rows predicted without any row of their own group, and their variances.

        From the blocks of K⁻¹ (Sundararajan and Keerthi, Neural Comput. 13, 1103 (2001)); rows in no
        group stay NaN.
        """
        mean, variance = np.full_like(self.targets, np.nan), np.full_like(self.targets, np.nan)
        for c, process in enumerate(self.processes):
            inverse, alpha = process.precision(self._blocks, self.targets[:, c], self.weights[:, c])
            for rows in places:
                block = np.linalg.inv(inverse[np.ix_(rows, rows)])
                mean[rows, c] = self.targets[rows, c] - block @ alpha[rows]
                plain = np.diag(block) - process.noise / self.weights[rows, c] + process.noise
                variance[rows, c] = np.maximum(plain, 1e-6)
        return mean, variance

    def _calibrate(
        self, matrix: Array, scaled: Array, host: NDArray[np.object_], gap: Array, seed: int
    ) -> None:
        """Choose the share of the two models and the width of the bars by leaving training hosts out."""
        assert self.frame is not None
        names = host.astype(str)
        mean, variance = self.left_out([np.flatnonzero(names == h) for h in np.unique(names)])
        by_process = (mean * self.frame.size) @ self.frame.basis
        by_forest = np.empty_like(by_process)
        folds = min(INNER_FOLDS, len(np.unique(host.astype(str))))
        for train, test in grouped_folds(host.astype(str), folds, seed):
            by_forest[test] = grow_vectors(matrix[train], scaled[train], seed, trees=30).predict(
                matrix[test]
            )
        judged = ~self.rows["native"].to_numpy(dtype=bool)
        truth = (self.targets * self.frame.size) @ self.frame.basis
        _, codes, counts = np.unique(host.astype(str), return_inverse=True, return_counts=True)
        weight = (self.frame.unit(gap) ** 2 / np.sqrt(counts[codes]))[judged]
        shares = np.linspace(0, 1, 11)
        errors = [
            np.sum(
                weight[:, None]
                * np.abs(s * by_process + (1 - s) * by_forest - truth)[judged] ** 1.5
            )
            for s in shares
        ]
        self.share = float(shares[int(np.argmin(errors))])
        mixed = self.share * by_process + (1 - self.share) * by_forest
        sigma = np.sqrt((variance * self.frame.size**2) @ self.frame.basis**2)
        z = np.abs((mixed - truth) / sigma)[judged]
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
        for c, process in enumerate(self.processes):
            process.condition(self._blocks, self.targets[:, c], self.weights[:, c])
        for c, process in enumerate(self.energy_processes):
            process.condition(self._blocks, self.energy_targets[:, c])
        return self

    def extended(
        self, evidence: pd.DataFrame, known: Known | None = None, *, ready: bool = True
    ) -> LevelModel:
        """Return a model that has also seen other defects, e.g. native defects of a new host.

        Hyper-parameters, forest and calibration stay as they are. Failed calculations among the new
        rows are kept with a weight of nothing. `ready` makes the processes fit to predict.
        """
        assert self.frame is not None
        evidence = evidence.reset_index(drop=True)
        raw = describe(evidence, known)
        new = self.blocks_of(raw)
        target = self.frame.components(levels_of(evidence), raw.blocks["gap"][:, 0])
        more = LevelModel(**{k: v for k, v in self.__dict__.items() if k != "_blocks"})
        more._blocks = {k: np.vstack([v, new[k]]) for k, v in self._blocks.items()}
        more.targets = np.vstack([self.targets, target])
        weights = [
            student_weight(target[:, c] - mean, variance)
            for c, (mean, variance) in enumerate(p.predict(new) for p in self.processes)
        ]
        failed = failures(evidence)
        added_weights = np.where(failed[:, None], NOTHING, np.column_stack(weights))
        more.weights = np.vstack([self.weights, added_weights])
        gap = raw.blocks["gap"][:, 0]
        added = evidence[["host", "impurity", "site"]].assign(
            native=True, gap=gap, lattice=raw.blocks["gap"][:, 1]
        )
        more.rows = pd.concat([self.rows, added], ignore_index=True)
        more.processes = [
            LevelProcess(p.terms, p.lengths, p.amplitudes, p.noise) for p in self.processes
        ]
        for c, process in enumerate(more.processes if ready else []):
            process.condition(more._blocks, more.targets[:, c], more.weights[:, c])
        return more

    def forest_without(
        self, left_out: NDArray[np.int64], seed: int, known: Known | None = None
    ) -> Array:
        """Return scaled levels of the rows `left_out` by a forest grown on all the others."""
        assert self.frame is not None
        matrix = tree_matrix(describe(self.rows, known))
        kept = np.setdiff1d(np.flatnonzero(self.weights.mean(1) > NOTHING), left_out)
        scaled = np.clip(self.targets * self.frame.size, -6, 6) @ self.frame.basis
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
        assert self.frame is not None
        assert self.forest is not None
        raw = describe(asked, known)
        blocks, gap = self.blocks_of(raw), raw.blocks["gap"][:, 0]
        parts = [p.predict(blocks) for p in self.processes]
        mean = np.column_stack([m for m, _ in parts]) * self.frame.size
        variance = np.column_stack([v for _, v in parts]) * self.frame.size**2
        scaled = self.share * (mean @ self.frame.basis)
        if self.share < 1:
            scaled = scaled + (1 - self.share) * self.forest.predict(tree_matrix(raw))
        unit = self.frame.unit(gap) * self.inflation
        covariance = (
            np.einsum("nc,ci,cj->nij", variance, self.frame.basis, self.frame.basis)
            * unit[:, None, None] ** 2
        )
        energies, sigma = self._energies(blocks, len(gap))
        return Prediction(
            self.frame.levels(scaled, gap), covariance, energies, sigma, self._distance(raw)
        )

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


def student_weight(residual: Array, variance: Array) -> Array:
    """Return (ν + 1)/(ν + r²/v): the weight of a row under Student-t noise (Lange et al., JASA 84, 881 (1989))."""
    return np.asarray(np.clip((FREEDOM + 1) / (FREEDOM + residual**2 / variance), 0.02, 1.2))


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
