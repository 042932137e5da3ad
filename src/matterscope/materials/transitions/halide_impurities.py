"""Impurities on the lead site of halide perovskites, a table without a header: read and learnt.

In: 27 columns (host, impurity, four levels, two formation energies, nineteen unnamed descriptors). Out: a
table by name, and levels and energies of hosts left out, each by a process and a forest together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError, SchemaError
from matterscope.io.tables import read_table
from matterscope.learn.conformal import split_quantile
from matterscope.learn.splits import grouped_folds
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
TREES, LEAVES, STEPS, CLIP = 100, (2, 4), 30, 4.0
FOLDS = 5
NORMAL = {0.68: 0.994, 0.95: 1.960}
"""Half the width of an interval of the normal law, in σ."""
SHARES, SLOPES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""What `fit_bars` looks at: the constant part in units of the RMS residual, the slope in units of one."""


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


@dataclass(frozen=True)
class Answers:
    """Means of all targets for some rows and how far the members stand apart, shape (n, 6) each, eV."""

    rows: Rows
    value: Array
    apart: Array


def answer_rows(frame: pd.DataFrame, train: Rows, test: Rows, seed: int) -> Answers:
    """Answer the rows `test` by two processes and two forests learnt from `train`, all counting alike.

    Two hosts to learn from cannot tell which of them is better on a third. One process has a length for every
    descriptor, the other one for each block; one forest has small leaves, the other larger ones.
    """
    known = describe_halides(frame, train)
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    seen, asked = known.take(train), known.take(test)
    members = np.empty((4, len(test), len(TARGETS)))
    for c in range(len(TARGETS)):
        y = truth[train, c]
        mean, spread = y.mean(), y.std()
        scaled = (y - mean) / spread
        for m, shared in enumerate((False, True)):
            (process,) = learn_processes(
                TERMS, seen, np.clip(scaled, -CLIP, CLIP)[:, None], STEPS, one_length=shared
            )
            members[m, :, c] = mean + spread * process.condition(seen, scaled).predict(asked)[0]
        for m, leaf in enumerate(LEAVES):
            forest = grow_vectors(known.matrix[train], y, seed, TREES, share=1.0, leaf=leaf)
            members[2 + m, :, c] = forest.predict(known.matrix[test])
    return Answers(test, members.mean(0), members.std(0))


@dataclass(frozen=True)
class Bars:
    """σ² = a² + (b · how far the members stand apart)² for each target, and |z| of the rows it was fitted to."""

    constant: Array
    slope: Array
    z: Array

    def sigma(self, apart: Array) -> Array:
        """Return σ (eV), shape (n, 6)."""
        return np.asarray(np.hypot(self.constant, self.slope * apart))

    def half(self, apart: Array, level: float) -> Array:
        """Return half the width of the interval at `level`, never below that of a normal law."""
        wide = [max(NORMAL[level], split_quantile(z, level)) for z in self.z.T]
        return np.asarray(self.sigma(apart) * np.array(wide))


def fit_bars(truth: Array, answers: list[Answers]) -> Bars:
    """Return the bars that make the residuals of rows left out most likely.

    The variance of a process is no guide here: for the level (+1/0) it is small where the hosts disagree most.
    """
    error = np.concatenate([a.value - truth[a.rows] for a in answers])
    apart = np.concatenate([a.apart for a in answers])
    constant, slope = np.empty(error.shape[1]), np.empty(error.shape[1])
    for c, (e, s) in enumerate(zip(error.T, apart.T, strict=True)):
        grid = [(a * _rms(e), b) for b in SLOPES for a in SHARES]
        loss = [np.mean(np.log(w) + 0.5 * (e / w) ** 2) for w in (np.hypot(a, b * s) for a, b in grid)]  # fmt: skip
        constant[c], slope[c] = grid[int(np.argmin(loss))]
    return Bars(constant, slope, np.abs(error) / np.hypot(constant, slope * apart))


def leave_host_out(frame: pd.DataFrame, held: str, seed: int) -> pd.DataFrame:
    """Return one row per target of every impurity of the host `held`, learnt from the others.

    The bars come from leaving each of the other hosts out in turn; with one other host, from its random folds.
    """
    host = frame["host"].to_numpy(dtype=str)
    train, test = np.flatnonzero(host != held), np.flatnonzero(host == held)
    others = np.unique(host[train])
    if len(others) > 1:
        splits = [(train[host[train] != o], train[host[train] == o]) for o in others]
    else:
        splits = [(train[i], train[o]) for i, o in grouped_folds(np.arange(len(train)), FOLDS, seed)]  # fmt: skip
    inner = [answer_rows(frame, *rows, seed) for rows in splits]
    bars = fit_bars(frame[list(TARGETS)].to_numpy(dtype=float), inner)
    return _prediction_rows(frame, train, answer_rows(frame, train, test, seed), bars)


def leave_folds_out(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the same for random folds of rows: the other hosts then show the same impurity.

    The bars of a fold are fitted to what is left out in the other folds.
    """
    folds = list(grouped_folds(np.arange(len(frame)), FOLDS, seed))
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    answers = [answer_rows(frame, train, test, seed) for train, test in folds]
    parts = [
        _prediction_rows(frame, train, mine, fit_bars(truth, [a for a in answers if a is not mine]))
        for (train, _), mine in zip(folds, answers, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _prediction_rows(frame: pd.DataFrame, train: Rows, found: Answers, bars: Bars) -> pd.DataFrame:
    truth = frame[list(TARGETS)].to_numpy(dtype=float)
    blind = truth[train].mean(0)
    same = _same_impurity(frame, train, found.rows)
    sigma = bars.sigma(found.apart)
    half = {level: bars.half(found.apart, level) for level in NORMAL}
    entries = []
    for c, name in enumerate(TARGETS):
        part = frame.iloc[found.rows][["host", "impurity", "line"]].copy()
        part["property"], part["truth"], part["value"] = name, truth[found.rows, c], found.value[:, c]  # fmt: skip
        part["sigma"] = sigma[:, c]
        part["half_68"], part["half_95"] = half[0.68][:, c], half[0.95][:, c]
        part["mean_of_others"], part["same_impurity"] = blind[c], same[:, c]
        entries.append(part)
    return pd.concat(entries, ignore_index=True)


def _rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error**2)))


def _same_impurity(frame: pd.DataFrame, train: Rows, test: Rows) -> Array:
    """Return the mean of the same impurity in the training hosts; NaN where no other host shows it."""
    columns = list(TARGETS)
    means = frame.iloc[train].groupby("impurity")[columns].mean()
    return np.asarray(means.reindex(frame.iloc[test]["impurity"])[columns].to_numpy(dtype=float))
