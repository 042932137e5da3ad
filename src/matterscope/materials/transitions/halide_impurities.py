"""Impurities on the lead site of halide perovskites, a table without a header: read and learnt.

In: 27 columns (host, impurity, four levels, two formation energies, nineteen unnamed descriptors). Out: a
table by name, and levels and energies of hosts left out, each by a process and a forest together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError, SchemaError
from matterscope.io.tables import read_table
from matterscope.learn.conformal import split_quantile
from matterscope.materials.forests import grow_vectors
from matterscope.materials.transitions.features import ELEMENTAL, outer_electrons
from matterscope.materials.transitions.process import learn_processes
from matterscope.materials.transitions.tables import LEVELS
from matterscope.physics.elements import properties, symbol_of

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
HOST = re.compile(r"(MA|FA|Cs|Rb|K)(Pb|Sn|Ge)(Cl|Br|I)3$")
WIDTH = 27
TARGETS = (*LEVELS[1:5], "formation_energy_X_rich", "formation_energy_Pb_rich")
DESCRIPTORS = tuple(f"descriptor_{i + 1}" for i in range(WIDTH - 8))
TERMS = (("impurity",), ("descriptors",), ("impurity", "halide"))
HALIDE_STEP = 0.3
"""Pauling electronegativity between neighbouring halogens, Cl 3.16, Br 2.96, I 2.66."""
TREES, STEPS, CLIP = 100, 30, 4.0
LEVELS_KEPT = (0.68, 0.95)


def holds_halides(path: Path) -> bool:
    """Return whether a file is a header-less table of impurities in halide perovskites."""
    try:
        return _fits(read_table(path))
    except DataError:
        return False


def _fits(frame: pd.DataFrame) -> bool:
    first = [str(c) for c in frame.iloc[:3, 0]]
    return frame.shape[1] == WIDTH and bool(first) and all(HOST.match(c) for c in first)


def read_halides(path: Path) -> pd.DataFrame:
    """Return host, impurity, site, line, `TARGETS` (eV) and `DESCRIPTORS` of each row.

    Raises
    ------
    ReadError, SchemaError, DataError
    """
    raw = read_table(path)
    if not _fits(raw):
        raise SchemaError(
            "this is no table of impurities in halide perovskites",
            where=str(path),
            got=f"{raw.shape[1]} columns, first cell {raw.iloc[0, 0]}",
            expected=f"{WIDTH} columns without a header, the first a host such as MAPbI3",
        )
    frame = raw.copy()
    frame.columns = pd.Index(["host", "impurity", *TARGETS, *DESCRIPTORS])
    frame["line"] = np.arange(len(frame)) + int(raw.attrs.get("first_line", 1))
    for row in frame[["host", "impurity", "line"]].to_dict("records"):
        where = f"{path}, line {row['line']}"
        if not HOST.match(str(row["host"])):
            raise DataError(
                "not a halide perovskite", where=where, got=row["host"], expected="e.g. MAPbI3"
            )
        symbol_of(str(row["impurity"]), where)  # fmt: skip
    numbers = frame[[*TARGETS, *DESCRIPTORS]].apply(pd.to_numeric, errors="coerce")
    if numbers.isna().to_numpy().any():
        at = np.argwhere(numbers.isna().to_numpy())[0]
        raise SchemaError(
            "a cell is no number", where=f"{path}, line {frame['line'].iloc[at[0]]}",
            got=raw.iloc[at[0], at[1] + 2], expected=f"{numbers.columns[at[1]]} in eV or a descriptor",
        )  # fmt: skip
    frame[numbers.columns] = numbers
    frame["site"] = "M_B"
    return frame


@dataclass(frozen=True)
class Known:
    """What is known of each row: blocks for kernels, one matrix for trees."""

    blocks: dict[str, Array]
    matrix: Array

    def take(self, rows: Rows) -> dict[str, Array]:
        """Return the blocks of some rows."""
        return {k: v[rows] for k, v in self.blocks.items()}


def describe_halides(frame: pd.DataFrame, train: Rows) -> Known:
    """Return descriptors, standardised over the rows of `train`."""
    symbols = [str(m) for m in frame["impurity"]]
    own = np.column_stack([properties(symbols, ELEMENTAL), outer_electrons(symbols)])
    given = frame[list(DESCRIPTORS)].to_numpy(dtype=float)
    found = [HOST.match(str(h)) for h in frame["host"]]
    halogens = [m.group(3) for m in found if m is not None]
    halide = properties(halogens, ["electronegativity"]) / HALIDE_STEP
    blocks = {
        "impurity": _standard(own, train),
        "descriptors": _standard(given, train),
        "halide": halide - halide[train].mean(0),
    }
    return Known(blocks, np.column_stack([given, own]))


def _standard(values: Array, train: Rows) -> Array:
    spread = values[train].std(0)
    return np.asarray((values - values[train].mean(0)) / np.where(spread > 1e-9, spread, 1.0))


def answer_rows(frame: pd.DataFrame, train: Rows, test: Rows, seed: int) -> tuple[Array, Array]:
    """Return value and σ of all targets of the rows `test`, shape (n, 6) each, learnt from `train`.

    Process and forest count alike: three hosts cannot tell which of them is better on a fourth.
    """
    known = describe_halides(frame, train)
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    value, sigma = np.empty((len(test), len(TARGETS))), np.empty((len(test), len(TARGETS)))
    for c in range(len(TARGETS)):
        y = truth[train, c]
        mean, spread = y.mean(), y.std()
        scaled = (y - mean) / spread
        part = known.take(train)
        (process,) = learn_processes(TERMS, part, np.clip(scaled, -CLIP, CLIP)[:, None], STEPS)
        by_process, variance = process.condition(part, scaled).predict(known.take(test))
        forest = grow_vectors(known.matrix[train], y, seed, TREES, share=1.0)
        by_forest = forest.predict(known.matrix[test])
        by_process = mean + spread * by_process
        value[:, c] = 0.5 * (by_process + by_forest)
        # what the two disagree about is not known either
        sigma[:, c] = np.hypot(spread * np.sqrt(variance), 0.5 * (by_process - by_forest))
    return value, sigma


def leave_host_out(frame: pd.DataFrame, held: str, seed: int) -> pd.DataFrame:
    """Return one row per target of every impurity of the host `held`, learnt from the others.

    The width of the bars comes from leaving each of the other hosts out in turn, where there are two or more.
    """
    host = frame["host"].to_numpy(dtype=str)
    train, test = np.flatnonzero(host != held), np.flatnonzero(host == held)
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    z = []
    others = np.unique(host[train])
    for name in others if len(others) > 1 else []:
        inner, out = train[host[train] != name], train[host[train] == name]
        value, sigma = answer_rows(frame, inner, out, seed)
        z.append(np.abs(value - truth[out]) / sigma)
    value, sigma = answer_rows(frame, train, test, seed)
    return _prediction_rows(frame, (train, test), (value, sigma), np.vstack(z) if z else None)


def leave_folds_out(
    frame: pd.DataFrame, folds: Iterable[tuple[Rows, Rows]], seed: int
) -> pd.DataFrame:
    """Return the same for random folds of rows: the other hosts then show the same impurity."""
    parts = [
        _prediction_rows(frame, (train, test), answer_rows(frame, train, test, seed), None)
        for train, test in folds
    ]
    return pd.concat(parts, ignore_index=True)


def _prediction_rows(
    frame: pd.DataFrame, rows: tuple[Rows, Rows], found: tuple[Array, Array], z: Array | None
) -> pd.DataFrame:
    train, test = rows
    value, sigma = found
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    blind = truth[train].mean(0)
    same = _same_impurity(frame, train, test)
    scale = (
        np.ones(len(TARGETS)) if z is None else np.sqrt(np.mean(np.minimum(z, CLIP) ** 2, axis=0))
    )
    entries = []
    for c, name in enumerate(TARGETS):
        half = {
            p: _half_width(None if z is None else z[:, c], p) * sigma[:, c] for p in LEVELS_KEPT
        }
        part = frame.iloc[test][["host", "impurity", "line"]].copy()
        part["property"], part["truth"], part["value"] = name, truth[test, c], value[:, c]
        part["sigma"] = sigma[:, c] * scale[c]
        part["half_68"], part["half_95"] = half[0.68], half[0.95]
        part["mean_of_others"], part["same_impurity"] = blind[c], same[:, c]
        entries.append(part)
    return pd.concat(entries, ignore_index=True)


def _half_width(z: Array | None, level: float) -> float:
    normal = {0.68: 0.994, 0.95: 1.960}[level]
    return normal if z is None else max(normal, split_quantile(z, level))


def _same_impurity(frame: pd.DataFrame, train: Rows, test: Rows) -> Array:
    """Return the mean of the same impurity in the training hosts; NaN where no other host shows it."""
    columns = list(TARGETS)
    means = frame.iloc[train].groupby("impurity")[columns].mean()
    return np.asarray(means.reindex(frame.iloc[test]["impurity"])[columns].to_numpy(dtype=float))
