"""From low to high fidelity: band alignment, its stretched form, a line, and Gaussian-process corrections.

In: level pairs (low, and high where known) with host gap and band shift. Out: corrected levels with σ,
and the loss of every method with whole hosts left out; `auto` takes the smallest loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matterscope.core.errors import DataError
from matterscope.learn.splits import leave_one_group_out
from matterscope.materials.defects.hosts import find_host, natural_valence_band
from matterscope.materials.transitions.features import outer_electrons
from matterscope.materials.transitions.process import learn_processes
from matterscope.materials.transitions.tables import VACANCY
from matterscope.physics.elements import properties

Array = NDArray[np.float64]
STRETCH = 0.14
"""s of arXiv 2203.10349, inferred from three printed rows of one host (CdS); refit it where pairs exist."""
METHODS = ("none", "ba", "mba", "linear", "delta-gp", "co-kriging")
NEEDS = {
    "ba": ("ba_shift",),
    "mba": ("ba_shift", "gap"),
    "delta-gp": (),
    "linear": (),
    "none": (),
    "co-kriging": (),
}
LEARNED = ("linear", "delta-gp", "co-kriging")
LEAST_LABELS = 8


def align_bands(low: ArrayLike, shift: ArrayLike) -> Array:
    """Return E_BA = E_lo + Δ_BA: levels keep their place against the vacuum when the valence band moves.

    Alkauskas, Broqvist and Pasquarello, Phys. Rev. Lett. 101, 046405 (2008), arXiv 0807.4647.
    """
    return np.asarray(np.asarray(low, dtype=float) + np.asarray(shift, dtype=float))


def stretch_alignment(
    low: ArrayLike, shift: ArrayLike, gap: ArrayLike, s: float = STRETCH
) -> Array:
    """Return E_MBA = E_lo + Δ_BA + s (E_lo − E_g): stretched by 1 + s about the high-fidelity conduction band.

    Parameters
    ----------
    low : array, eV
        Low-fidelity levels from their own valence-band maximum.
    shift : array, eV
        Δ_BA, how much deeper the high-fidelity valence band lies.
    gap : array, eV
        High-fidelity gap of the host.
    s : float
        Stretch; 0 is plain band alignment.

    Examples
    --------
    >>> stretch_alignment(0.0, 0.6515, 2.05).round(4).item()  # V on Cd in CdS
    0.3645
    """
    x = np.asarray(low, dtype=float)
    return np.asarray(align_bands(x, shift) + s * (x - np.asarray(gap, dtype=float)))


def fit_stretch(
    low: ArrayLike, high: ArrayLike, shift: ArrayLike, gap: ArrayLike
) -> tuple[float, float]:
    """Return the least-squares stretch s and its standard error from pairs of levels.

    Examples
    --------
    >>> low = np.array([-0.5, 0.3, 1.2]); high = stretch_alignment(low, 0.6, 2.0, 0.2)
    >>> round(fit_stretch(low, high, 0.6, 2.0)[0], 6)
    0.2
    """
    x = np.asarray(low, dtype=float) - np.asarray(gap, dtype=float)
    y = np.asarray(high, dtype=float) - align_bands(low, shift)
    s = float(x @ y / (x @ x))
    rest = y - s * x
    error = float(np.sqrt(rest @ rest / max(len(x) - 1, 1) / (x @ x)))
    return s, error


@dataclass(frozen=True)
class Corrected:
    """Corrected levels of the rows asked for, eV; σ is NaN where nothing calibrates it."""

    level: Array
    sigma: Array


@dataclass(frozen=True)
class Loss:
    """Score of one method with whole hosts left out, on rows whose high-fidelity level is known."""

    method: str
    rmse: float
    mae: float
    macro: float
    hosts: int


def usable(pairs: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Return the methods this table allows, and why the others are skipped."""
    labels = pairs["high"].notna()
    allowed, skipped = [], {}
    for method in METHODS:
        lacking = [c for c in NEEDS[method] if c not in pairs or pairs[c].isna().any()]
        if lacking:
            skipped[method] = f"needs {' and '.join(lacking)} for every row"
        elif method in LEARNED and int(labels.sum()) < LEAST_LABELS:
            skipped[method] = (
                f"needs at least {LEAST_LABELS} high-fidelity labels, the table has {int(labels.sum())}"
            )
        else:
            allowed.append(method)
    return allowed, skipped


def correct_levels(
    train: pd.DataFrame, rows: pd.DataFrame, method: str, s: float | None = STRETCH
) -> Corrected:
    """Correct `rows` by one method, learning from the labelled rows of `train`.

    Parameters
    ----------
    train, rows : DataFrame
        host, impurity, site, charge_from, charge_to, low, high, gap, ba_shift.
    method : str
        One of `METHODS`.
    s : float, optional
        Stretch of "mba"; None fits it to the labelled rows of `train`.
    """
    nothing = np.full(len(rows), np.nan)
    low = rows["low"].to_numpy(dtype=float)
    if method == "none":
        return Corrected(low.copy(), nothing)
    if method == "ba":
        return Corrected(align_bands(low, rows["ba_shift"]), nothing)
    if method == "mba":
        return Corrected(
            stretch_alignment(low, rows["ba_shift"], rows["gap"], _stretch(train, s)), nothing
        )
    known = train[train["high"].notna() & train["low"].notna()]
    if method == "linear":
        return _line(known, rows)
    return _process(known, rows, free_slope=method == "co-kriging")


def _stretch(train: pd.DataFrame, s: float | None) -> float:
    if s is not None:
        return s
    known = train[train["high"].notna()]
    if not len(known):
        raise DataError(
            "fitting the stretch needs rows with a high-fidelity level",
            got="none",
            hint="drop --fit-s",
        )
    return fit_stretch(known["low"], known["high"], known["ba_shift"], known["gap"])[0]


def _line(known: pd.DataFrame, rows: pd.DataFrame) -> Corrected:
    """Return high = a + b low + c gap by least squares; σ from the residuals."""

    def design(frame: pd.DataFrame) -> Array:
        parts = [np.ones(len(frame)), frame["low"].to_numpy(dtype=float)]
        if "gap" in frame and known["gap"].notna().all() and known["gap"].nunique() > 2:
            parts.append(frame["gap"].to_numpy(dtype=float))
        return np.column_stack(parts)

    x, y = design(known), known["high"].to_numpy(dtype=float)
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    rest = float(np.sqrt(np.sum((y - x @ beta) ** 2) / max(len(y) - x.shape[1], 1)))
    return Corrected(np.asarray(design(rows) @ beta), np.full(len(rows), rest))


def _process(known: pd.DataFrame, rows: pd.DataFrame, *, free_slope: bool) -> Corrected:
    """Return low·ρ + δ(x): δ a Gaussian process over host, impurity, charge and the low level.

    ρ = 1 is the delta form; a free ρ is the recursive co-kriging of Kennedy and O'Hagan,
    Biometrika 87, 1 (2000), with noiseless low values.
    """
    x, xt = _blocks(known), _blocks(rows)
    centre = {k: v.mean(0) for k, v in x.items()}
    spread = {k: np.where(v.std(0) > 1e-9, v.std(0), 1.0) for k, v in x.items()}
    x, xt = ({k: (v - centre[k]) / spread[k] for k, v in b.items()} for b in (x, xt))
    low, high = known["low"].to_numpy(dtype=float), known["high"].to_numpy(dtype=float)
    slope = float(np.polyfit(low, high, 1)[0]) if free_slope and low.std() > 1e-9 else 1.0
    delta = high - slope * low
    scale = float(delta.std()) or 1.0
    terms = (("host", "level"), ("host", "defect", "charge"), ("trend",))
    chosen = np.random.default_rng(0).permutation(len(delta))[:300]
    part = {k: v[chosen] for k, v in x.items()}
    (process,) = learn_processes(terms, part, (delta[chosen, None] - delta.mean()) / scale, 25)
    mean, variance = process.condition(x, (delta - delta.mean()) / scale).predict(xt)
    return Corrected(
        slope * rows["low"].to_numpy(dtype=float) + delta.mean() + scale * mean,
        scale * np.sqrt(variance),
    )


def _blocks(rows: pd.DataFrame) -> dict[str, Array]:
    low = rows["low"].to_numpy(dtype=float)
    gap = rows["gap"].to_numpy(dtype=float) if "gap" in rows else np.zeros(len(rows))
    columns = [np.nan_to_num(gap)]
    if "ba_shift" in rows and rows["ba_shift"].notna().all():
        columns.append(rows["ba_shift"].to_numpy(dtype=float))
    else:
        columns.append(
            np.array([_depth(str(h), g) for h, g in zip(rows["host"], gap, strict=True)])
        )
    symbols = ["Og" if m == VACANCY else str(m) for m in rows["impurity"]]
    symbols = [m if m != "Og" else "He" for m in symbols]
    own = properties(symbols, ["electronegativity", "covalent_radius", "period"])
    inside = rows["site"].astype(str).str.contains("_i").to_numpy(dtype=float)
    return {
        "host": np.column_stack(columns),
        "level": low[:, None],
        "defect": np.column_stack([own, outer_electrons(symbols), inside]),
        "charge": rows["charge_from"].to_numpy(dtype=float)[:, None],
        "trend": np.column_stack([low, low - np.nan_to_num(gap), *columns]),
    }


def _depth(host: str, gap: float) -> float:
    try:
        return natural_valence_band(find_host(host, {host: (gap, None)}))
    except DataError:
        return 0.0


def leave_hosts_out(
    pairs: pd.DataFrame, method: str, s: float | None = STRETCH
) -> tuple[Corrected, Array]:
    """Return corrections of the labelled rows with their own host's labels left out, and the truths.

    Raises
    ------
    DataError
        With fewer than two hosts.
    """
    known = pairs[pairs["high"].notna() & pairs["low"].notna()].reset_index(drop=True)
    if known["host"].nunique() < 2:
        raise DataError(
            "leaving hosts out needs ≥ 2 hosts with high-fidelity levels",
            got=known["host"].nunique(),
            hint="methods without labels (none, ba, mba with a fixed stretch) still work",
        )
    level, sigma = np.empty(len(known)), np.empty(len(known))
    for _, train, test in leave_one_group_out(known["host"].to_numpy()):
        part = correct_levels(known.iloc[train], known.iloc[test], method, s)
        level[test], sigma[test] = part.level, part.sigma
    return Corrected(level, sigma), known["high"].to_numpy(dtype=float)


def score_methods(
    pairs: pd.DataFrame, methods: list[str], s: float | None = STRETCH,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[Loss]:  # fmt: skip
    """Return the loss of each method with whole hosts left out, smallest first (pooled RMSE)."""
    hosts = pairs.loc[pairs["high"].notna() & pairs["low"].notna(), "host"].to_numpy()
    losses = []
    for index, method in enumerate(methods):
        corrected, truth = leave_hosts_out(pairs, method, s)
        rest = corrected.level - truth
        macro = np.mean([np.sqrt(np.mean(rest[hosts == h] ** 2)) for h in np.unique(hosts)])
        losses.append(
            Loss(
                method,
                float(np.sqrt(np.mean(rest**2))),
                float(np.abs(rest).mean()),
                float(macro),
                len(np.unique(hosts)),
            )
        )
        progress(index + 1, len(methods), "methods")
    return sorted(losses, key=lambda loss: loss.rmse)
