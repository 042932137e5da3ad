"""A screen of any number of alloys as independent chunks, each a pure function of plan and number.

In: a plan (tables of predictions at the compositions of each site, rules). Out: one Parquet file for each
chunk, and what the chunk adds to funnel, maps, fronts and lists. Nothing of the size of the search is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.files import atomic, sha256_of
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.spaces import Space
from matterscope.materials.alloys.students import Student
from matterscope.materials.screens.frontiers import pareto_front
from matterscope.materials.screens.rules import Rule, joint_draws, joint_probability

Single = NDArray[np.float32]

ROWS_PER_CHUNK = 1_000_000
LIST_PER_CHUNK = 400
MAP_BINS = 60


@dataclass(frozen=True)
class SiteTable:
    """Predictions of one property on the product of site compositions.

    Parameters
    ----------
    value, sigma : float32 arrays of shape (n_A, n_B, n_X)
        On sites that training mixes: all compositions of the grid; on others the pure species.
    interpolated : tuple of str
        Sites on which Vegard's rule continues the table.
    bowing : float
        σ of the deviation from Vegard at 50:50.
    """

    value: Single
    sigma: Single
    interpolated: tuple[str, ...]
    bowing: float


def site_table(model: AlloyModel, name: str, space: Space) -> SiteTable:
    """Return the table of one property for a space."""
    stack = model.models[name]
    linear, _ = model.corners(stack.mixed)
    tables = []
    for site, grid in zip(SITES, space.grids, strict=True):
        known = model.species[site]
        columns = [known.index(s) for s in grid.species]
        if site in linear:
            rows = np.eye(len(known))[columns]
        else:
            rows = np.zeros((grid.size, len(known)))
            rows[:, columns] = grid.unrank(np.arange(grid.size)) / grid.steps
        tables.append(rows)
    a, b, x = tables
    value, sigma = stack.predict_grid((a, b, x), model.species)
    measured = model.end_member_labels(stack, _ends(model, space)).reshape(
        [len(g.species) for g in space.grids]
    )
    places = [
        np.arange(len(g.species)) if s in linear else g.rank(g.steps * np.eye(len(g.species), dtype=int))
        for s, g in zip(SITES, space.grids, strict=True)
    ]  # fmt: skip
    corner = np.ix_(*places)
    value[corner] = np.where(np.isfinite(measured), measured, value[corner])
    return SiteTable(value.astype(np.float32), sigma.astype(np.float32), linear, stack.bowing)


def _ends(
    model: AlloyModel, space: Space
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    sizes = [len(g.species) for g in space.grids]
    index = np.indices(sizes).reshape(3, -1)
    rows = [
        np.eye(len(model.species[s]))[[model.species[s].index(n) for n in g.species]][i]
        for s, g, i in zip(SITES, space.grids, index, strict=True)
    ]
    return rows[0], rows[1], rows[2]


@dataclass(frozen=True)
class Plan:
    """Everything a chunk needs: picklable, the same for all of them."""

    space: Space
    names: tuple[str, ...]
    tables: tuple[SiteTable | None, ...]
    """None for the properties that `student` answers."""
    rules: tuple[Rule, ...]
    correlation: NDArray[np.float64]
    objectives: tuple[tuple[str, float], ...]
    """Property and sign (+1 largest is best)."""
    rank_by: str
    threshold: float
    keep: str
    """all, passing or none: which rows are written."""
    folder: str
    map_axes: tuple[str, str, str] = ("", "", "")
    map_ranges: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 1.0), (0.0, 1.0))
    student: Student | None = None

    def reach(self, name: str) -> tuple[float, float, float]:
        """Return the lowest and highest value of a property and its spread."""
        table = self.tables[self.names.index(name)]
        if table is not None:
            return float(table.value.min()), float(table.value.max()), float(table.value.std())
        assert self.student is not None
        place = self.student.names.index(name)
        return tuple(float(v[place]) for v in (self.student.low, self.student.high, self.student.spread))  # type: ignore[return-value]  # fmt: skip

    @property
    def pairs(self) -> int:
        """Products of A and B compositions."""
        return self.space.grids[0].size * self.space.grids[1].size

    def chunks(self) -> list[tuple[int, int]]:
        """Return ranges of (A, B) pairs, about a million compounds each."""
        step = max(1, ROWS_PER_CHUNK // self.space.grids[2].size)
        return [(i, min(i + step, self.pairs)) for i in range(0, self.pairs, step)]


def evaluate(plan: Plan, first: int, last: int) -> tuple[Single, Single]:
    """Return values and σ of the compounds of the pairs first … last − 1.

    Returns
    -------
    arrays of shape (properties, pairs, n_X), float32
    """
    n_b, n_x = plan.space.grids[1].size, plan.space.grids[2].size
    shape = (len(plan.names), last - first, n_x)
    values, sigmas = np.empty(shape, np.float32), np.empty(shape, np.float32)
    weights = [(g.unrank(np.arange(g.size)) / g.steps).astype(np.float32) for g in plan.space.grids]
    impurity = [2.0 * (1.0 - (w**2).sum(1)) for w in weights]
    if plan.student is not None:
        _ask_student(plan, first, last, values, sigmas)
    for t, table in enumerate(plan.tables):
        if table is None:
            continue
        start = first
        while start < last:
            a, b = divmod(start, n_b)
            stop = min(last, (a + 1) * n_b)
            rows = slice(start - first, stop - first)
            block = slice(b, b + stop - start)
            for out, grid in ((values, table.value), (sigmas, table.sigma)):
                out[t, rows] = _contract(grid, table.interpolated, weights, a, block)
            extra = _interpolation_variance(table, impurity, a, block)
            np.hypot(sigmas[t, rows], np.sqrt(extra), out=sigmas[t, rows])
            start = stop
    return values, sigmas


def _ask_student(plan: Plan, first: int, last: int, values: Single, sigmas: Single) -> None:
    """Fill in the properties of the student for the pairs first … last − 1."""
    assert plan.student is not None
    n_b, n_x = plan.space.grids[1].size, plan.space.grids[2].size
    pairs = np.repeat(np.arange(first, last), n_x)
    x = np.tile(np.arange(n_x), last - first)
    value, sigma = plan.student.rows(pairs // n_b, pairs % n_b, x)
    plan.student.correct_ends(pairs * n_x + x, value)
    for place, name in enumerate(plan.student.names):
        t = plan.names.index(name)
        values[t] = value[:, place].reshape(values.shape[1:])
        sigmas[t] = sigma[:, place].reshape(sigmas.shape[1:])


def _contract(
    grid: Single, interpolated: tuple[str, ...], weights: Sequence[Single], a: int, block: slice
) -> Single:
    plane = np.tensordot(weights[0][a], grid, axes=1) if "A" in interpolated else grid[a]
    plane = weights[1][block] @ plane if "B" in interpolated else plane[block]
    return np.asarray(plane @ weights[2].T if "X" in interpolated else plane, dtype=np.float32)


def _interpolation_variance(
    table: SiteTable, impurity: Sequence[Single], a: int, block: slice
) -> Single:
    variance = np.zeros((block.stop - block.start, len(impurity[2])), np.float32)
    if "A" in table.interpolated:
        variance += impurity[0][a]
    if "B" in table.interpolated:
        variance += impurity[1][block][:, None]
    if "X" in table.interpolated:
        variance += impurity[2][None, :]
    return np.asarray(np.maximum(variance, 0) * np.float32(table.bowing**2))


def chunk_unit(item: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Predict, filter and write one chunk; return what it adds to the answer. Pure in `item`."""
    plan: Plan = item["plan"]
    number, (first, last) = item["number"], item["range"]
    values, sigmas = evaluate(plan, first, last)
    values, sigmas = values.reshape(len(plan.names), -1), sigmas.reshape(len(plan.names), -1)
    index = np.arange(values.shape[1], dtype=np.int64) + first * plan.space.grids[2].size
    where = [plan.names.index(r.name) for r in plan.rules]
    if plan.rules:
        draws = joint_draws(plan.correlation)
        each, every = joint_probability(
            plan.rules, values[where].T, sigmas[where].T, draws, plan.threshold
        )
    else:
        each = np.ones((len(index), 0), np.float32)
        every = np.ones(len(index), np.float32)
    passing = every >= plan.threshold if plan.rules else np.ones(len(index), dtype=bool)
    result = _counts(plan, values, each, every)
    result |= _lists(plan, index, values, sigmas, every, passing)
    result |= _map(plan, values, every, passing)
    result["species"] = _species_sums(plan, index, passing)
    kept = np.arange(len(index)) if plan.keep == "all" else np.flatnonzero(passing)
    path = Path(plan.folder) / f"part-{number:05d}.parquet"
    result["rows_written"] = 0
    if plan.keep != "none":
        result["rows_written"] = write_part(
            path, plan, index[kept], values[:, kept], sigmas[:, kept], every[kept]
        )
        result["file"], result["sha256"] = path.name, sha256_of(path)
    return result


def _counts(plan: Plan, values: Single, each: Single, every: Single) -> dict[str, Any]:
    by_value, expected = [], []
    alive = np.ones(values.shape[1], dtype=bool)
    product = np.ones(values.shape[1], dtype=np.float64)
    for j, rule in enumerate(plan.rules):
        alive &= rule.by_value(values[plan.names.index(rule.name)])
        product *= each[:, j]
        by_value.append(int(alive.sum()))
        expected.append(float(product.sum()))
    alone = [int(r.by_value(values[plan.names.index(r.name)]).sum()) for r in plan.rules]
    return {
        "rows": int(values.shape[1]),
        "by_value": by_value,
        "expected": expected,
        "alone": alone,
        "expected_joint": float(every.astype(np.float64).sum()),
        "confident": int((every >= plan.threshold).sum()),
    }


def _lists(
    plan: Plan, index: NDArray[np.int64], values: Single, sigmas: Single, every: Single,
    passing: NDArray[np.bool_],
) -> dict[str, Any]:  # fmt: skip
    score = values[plan.names.index(plan.rank_by)] if plan.rank_by else every
    rows = np.flatnonzero(passing)
    best = rows[_largest(score[rows], LIST_PER_CHUNK)]
    front = np.empty(0, dtype=np.intp)
    if plan.objectives and len(rows):
        signed = np.column_stack(
            [s * values[plan.names.index(n), rows] for n, s in plan.objectives]
        )
        front = rows[pareto_front(signed)]
    misses = _largest(every, 20) if len(rows) == 0 else np.empty(0, dtype=np.intp)
    result: dict[str, Any] = {}
    for name, chosen in (("best", best), ("front", front), ("misses", misses)):
        result[name] = {
            "number": index[chosen],
            "values": values[:, chosen].T.copy(),
            "sigmas": sigmas[:, chosen].T.copy(),
            "probability": every[chosen],
        }
    return result


def _largest(score: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    if len(score) > count:
        part = np.argpartition(-score, count - 1)[:count]
        # ties at the border are settled by the compound's number, so that chunks do not matter
        border = score[part].min()
        sure = np.flatnonzero(score > border)
        ties = np.flatnonzero(score == border)[: count - len(sure)]
        part = np.concatenate([sure, ties])
    else:
        part = np.arange(len(score))
    return np.asarray(part[np.lexsort((part, -score[part]))], dtype=np.intp)


def _map(plan: Plan, values: Single, every: Single, passing: NDArray[np.bool_]) -> dict[str, Any]:
    x, y, colour = plan.map_axes
    if not x:
        return {"map": np.empty((0, 0), np.float32), "density": np.empty((0, 0), np.int64)}
    best = np.full(MAP_BINS * MAP_BINS, -np.inf, np.float32)
    cells = []
    for name, (low, high) in zip((x, y), plan.map_ranges, strict=True):
        scaled = (values[plan.names.index(name)] - low) / (high - low) * MAP_BINS
        cells.append(np.clip(scaled.astype(np.int32), 0, MAP_BINS - 1))
    cell = cells[1] * MAP_BINS + cells[0]
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    best[cell[order][starts]] = np.maximum.reduceat(values[plan.names.index(colour)][order], starts)
    density = np.bincount(cell[passing], minlength=MAP_BINS * MAP_BINS)
    return {"map": best.reshape(MAP_BINS, MAP_BINS), "density": density.reshape(MAP_BINS, MAP_BINS)}


def _species_sums(
    plan: Plan, index: NDArray[np.int64], passing: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    sums = {}
    for site, grid, number in zip(SITES, plan.space.grids, plan.space.split(index), strict=True):
        weights = np.bincount(number[passing], minlength=grid.size)
        everything = np.bincount(number, minlength=grid.size)
        counts = grid.unrank(np.arange(grid.size)) / grid.steps
        sums[f"passing_{site}"], sums[f"all_{site}"] = weights @ counts, everything @ counts
    return sums


def write_part(
    path: Path, plan: Plan, index: NDArray[np.int64], values: Single, sigmas: Single, every: Single
) -> int:
    """Write rows as one Parquet row group: counts by species, values, σ, probability; return their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    for site, counts in plan.space.unrank(index).items():
        for j, name in enumerate(plan.space.species[site]):
            columns[f"{site}_{name}"] = np.ascontiguousarray(counts[:, j])
    for t, name in enumerate(plan.names):
        columns[name], columns[f"{name}_sigma"] = values[t], sigmas[t]
    columns["probability"] = every
    table = pa.table({"number": index.astype(np.uint64), **columns})
    floats = [n for n in table.column_names if table.schema.field(n).type == pa.float32()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as handle:
        pq.write_table(
            table, handle, compression="zstd", compression_level=1, row_group_size=len(index) or 1,
            use_dictionary=[n for n in table.column_names if n not in floats and n != "number"],
            use_byte_stream_split=floats, column_encoding=None, write_statistics=True,
        )  # fmt: skip
    return len(index)
