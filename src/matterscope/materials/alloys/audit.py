"""Faults in tables of alloys: rules that follow from physics and bookkeeping, then what is merely odd.

In: a table. Out: findings with row, column, rule and evidence. Nothing is changed; corrections are proposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import mean_charge
from matterscope.materials.alloys.perovskite_229 import LIMITS
from matterscope.materials.alloys.process import AlloyProcess, mixed_sites, take
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.sitekernels import VEGARD_TERMS, bowing_terms, site_bases
from matterscope.materials.findings import Finding
from matterscope.materials.solar.photovoltaics import detailed_balance

Array = NDArray[np.float64]

BRACKET = 0.5
"""eV: a gap further outside its end members than any of the 139 alloys of 2109.10798 (0.26 eV) by twice."""
ALGEBRA = 0.010
RATIO = 0.1
STEP_SIGMAS = 5.0
UNEXPECTED_SIGMAS = 6.0
FEWEST_FOR_RESIDUALS = 40
SLME_SLACK = 0.003
CHARGE_SLACK = 0.02


def findings_of(table: AlloyTable, *, residuals: bool = True) -> list[Finding]:
    """Return all findings of a table, those met while reading included."""
    found = list(table.findings)
    for rule in RULES:
        found += rule(table)
    if residuals:
        found += unexpected(table, {f.row for f in found if f.severity == "error"})
    return found


# --- rows -------------------------------------------------------------------------------------
def gap_bracket(table: AlloyTable) -> list[Finding]:
    """Find gaps more than 0.5 eV outside those of the alloy's end members."""
    share, ends = end_members(table)
    found = []
    for name in (n for n in table.targets if n.startswith("band_gap")):
        values = table.targets[name]
        pure = np.full(share.shape[1], np.nan)
        for i in np.flatnonzero(ends >= 0):
            pure[ends[i]] = values[i]
        for i in np.flatnonzero(ends < 0):
            known = pure[share[i] > 1e-9]
            if not np.isfinite(known).all() or not np.isfinite(values[i]):
                continue
            outside = max(known.min() - values[i], values[i] - known.max())
            if outside > BRACKET:
                found.append(
                    Finding(
                        table.rows[i], name, "Vegard bracket",
                        f"{values[i]:.3f} eV lies {outside:.2f} eV outside its end members "
                        f"({known.min():.3f} … {known.max():.3f} eV)",
                        "error", line=int(table.lines[i]),
                    )
                )  # fmt: skip
    return found


def end_members(table: AlloyTable) -> tuple[Array, NDArray[np.int64]]:
    """Return shares of the end members, shape (n, k), and the end member that a pure row is, else −1."""
    fractions = table.fractions
    share = np.einsum("ni,nj,nk->nijk", *fractions).reshape(len(table), -1)
    pure = share.max(1) > 1 - 1e-6
    return share, np.where(pure, share.argmax(1), -1)


def shockley_queisser(table: AlloyTable) -> list[Finding]:
    """Find SLME above the limit of the gap, or written in percent."""
    if "slme" not in table.targets:
        return []
    gap_name = next((n for n in ("band_gap", "band_gap_hse", "band_gap_pbe") if n in table.targets), "")  # fmt: skip
    slme = table.targets["slme"]
    found = []
    limit = np.full(len(table), 0.3377)
    if gap_name:
        gap = table.targets[gap_name]
        known = np.isfinite(gap)
        limit[known] = detailed_balance(gap[known]).efficiency
    for i in np.flatnonzero(slme > limit + SLME_SLACK):
        percent = slme[i] > 0.5
        found.append(
            Finding(
                table.rows[i], "slme", "Shockley–Queisser bound",
                f"{slme[i]:.4g} exceeds the limit {limit[i]:.4f} of its gap" + ("; it may be in percent" if percent else ""),
                "error", line=int(table.lines[i]),
            )
        )  # fmt: skip
    return found


def defect_algebra(table: AlloyTable) -> list[Finding]:
    """Check that E_F and the defect formation energy follow from the vacancy pair, within 10 meV.

    E_F = ½{[E_f(V_A) + ε(0/−)] − [E_f(V_X) − ε(+/0)]}, DFE = E_f(V_A) + ε(0/−) − E_F.
    """
    need = f"formation energy of V_A, {LIMITS[0]}"
    if need not in table.extras or "vacancy_level_a" not in table.targets:
        return []
    level_a, level_x = table.targets["vacancy_level_a"], table.targets["vacancy_level_x"]
    off: dict[int, list[str]] = {}
    proposals: dict[int, str] = {}
    for limit in LIMITS:
        acceptor = table.extras[f"formation energy of V_A, {limit}"] + level_a
        donor = table.extras[f"formation energy of V_X, {limit}"] - level_x
        fermi, energy = (acceptor - donor) / 2, (acceptor + donor) / 2
        for label, derived, column in (
            ("E_F", fermi, f"Fermi level, {limit}"),
            ("DFE", energy, f"defect formation energy, {limit}"),
        ):
            stated = table.extras[column]
            # E_F is printed to 0.01 eV
            slack = ALGEBRA + (0.005 if label == "E_F" else 0.0)
            for i in np.flatnonzero(np.abs(stated - derived) > slack):
                off.setdefault(int(i), []).append(
                    f"{label} {limit}: {stated[i]:.3f} stated, {derived[i]:.3f} follows ({stated[i] - derived[i]:+.2f} eV)"
                )
                proposals[int(i)] = f"{column} = {derived[i]:.4f}"
    return [
        Finding(table.rows[i], "defect formation energy", "defect algebra",
                f"{table.formulas[i]}: " + "; ".join(texts), "error", proposals[i], int(table.lines[i]))
        for i, texts in off.items()
    ]  # fmt: skip


def ratio_columns(table: AlloyTable) -> list[Finding]:
    """Check that E_F over the gap, times the gap, is E_F; name rows and families that fail."""
    need = f"Fermi level over gap, {LIMITS[0]}"
    if need not in table.extras:
        return []
    gap = table.targets.get("band_gap_pbe")
    if gap is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = table.targets["vacancy_level_x"] / table.extras["V_X over gap"]
    steps = np.array(
        [
            table.extras[f"Fermi level over gap, {limit}"] * gap
            - table.extras[f"Fermi level, {limit}"]
            for limit in LIMITS
        ]
    )
    worst = steps[np.abs(steps).argmax(0), np.arange(len(table))]
    families = family_names(table)
    found = [
        Finding(
            table.rows[i],
            "Fermi level over gap",
            "ratio columns",
            f"{table.formulas[i]}: fraction × gap is {worst[i]:+.2f} eV off E_F, family {families[i]}",
            "error",
            "use E_F over the gap",
            int(table.lines[i]),
        )
        for i in np.flatnonzero(np.abs(worst) > RATIO)
    ]
    names = sorted({families[i] for i in np.flatnonzero(np.abs(worst) > RATIO)})
    if names:
        rows = np.isin(families, names)
        found.append(
            Finding(
                "families " + ", ".join(names), "Fermi level over gap", "ratio columns",
                f"{len(names)} families, {int(rows.sum())} rows, stand on another reference: "
                + ", ".join(f"{n} {np.median(worst[np.array(families) == n]):+.2f} eV" for n in names),
                "error",
            )
        )  # fmt: skip
    return found


def family_names(table: AlloyTable) -> list[str]:
    """Return "Cs–Cl" for every row (the species with the largest share on A and X)."""
    return [
        f"{max(c['A'], key=lambda n: c['A'][n])}–{max(c['X'], key=lambda n: c['X'][n])}"
        for c in table.compositions
    ]


def family_steps(table: AlloyTable) -> list[Finding]:
    """Find (A, X) families whose mean energy is off its row + column model by more than 5 robust σ."""
    found = []
    for name in table.targets:
        if not name.startswith("decomposition"):
            continue
        for family, off, sigmas, rows in off_family_steps(
            table.fractions, table.species, table.targets[name]
        ):
            found.append(
                Finding(
                    f"family {family}", name, "family steps",
                    f"{rows} rows lie {off:+.2f} eV off the sum of their A and X trends ({sigmas:.0f} robust σ): "
                    "another reference phase",
                    "warning",
                )
            )  # fmt: skip
    return found


def off_families(
    fractions: tuple[Array, Array, Array], species: Mapping[str, Sequence[str]], values: Array
) -> list[str]:
    """Return the names of the families with a step."""
    return [entry[0] for entry in off_family_steps(fractions, species, values)]


def off_family_steps(
    fractions: tuple[Array, Array, Array], species: Mapping[str, Sequence[str]], values: Array
) -> list[tuple[str, float, float, int]]:
    """Return (family, offset, robust σ's, rows) of families off their row + column model.

    The model m + a_A + x_X has Gaussian priors on its effects, as wide as the robust spread of the
    family means, and Laplace residuals: a row of the table with two steps is not taken for a trend.
    """
    known = np.isfinite(values)
    a, x = fractions[0][known].argmax(1), fractions[2][known].argmax(1)
    n_a, n_x = len(species["A"]), len(species["X"])
    if n_a < 3 or n_x < 2:
        return []
    counts = np.zeros((n_a, n_x))
    sums = np.zeros((n_a, n_x))
    np.add.at(counts, (a, x), 1.0)
    np.add.at(sums, (a, x), values[known])
    full = counts > 0
    means = np.where(full, sums / np.maximum(counts, 1), np.nan)
    kept = full.copy()
    residual = means - _row_column(means, kept)
    typical = residual[full]
    sigma = 1.4826 * float(np.median(np.abs(typical - np.median(typical)))) + 0.02
    while True:
        # the worst family leaves, the trends are drawn anew: one step must not bend its neighbours
        residual = means - _row_column(means, kept)
        size = np.where(kept, np.abs(residual), 0.0)
        if size.max() <= STEP_SIGMAS * sigma or kept.sum() <= n_a + n_x:
            break
        kept.flat[size.argmax()] = False
    off = full & ~kept & (np.abs(residual) > STEP_SIGMAS * sigma)
    return [
        (
            f"{species['A'][i]}–{species['X'][k]}",
            float(residual[i, k]),
            float(abs(residual[i, k]) / sigma),
            int(counts[i, k]),
        )
        for i, k in zip(*np.nonzero(off), strict=True)
    ]


def _row_column(means: Array, full: NDArray[np.bool_]) -> Array:
    n_a, n_x = means.shape
    entries = means[full]
    centre = float(np.median(entries))
    spread = 1.4826 * float(np.median(np.abs(entries - centre))) + 1e-3
    rows, columns = np.nonzero(full)
    design = np.zeros((len(entries), n_a + n_x))
    design[np.arange(len(entries)), rows] = 1
    design[np.arange(len(entries)), n_a + columns] = 1
    target = entries - centre
    effects = np.zeros(n_a + n_x)
    scale = 0.5 * spread
    for _ in range(200):
        # reweighted least squares for |residual|/scale with the prior ½(effect/spread)²
        size = np.maximum(np.abs(target - design @ effects), 0.02 * scale)
        weight = 1.0 / (scale * size)
        normal = design.T @ (weight[:, None] * design) + np.eye(n_a + n_x) / spread**2
        effects = np.linalg.solve(normal, design.T @ (weight * target))
    return np.asarray(centre + effects[:n_a, None] + effects[None, n_a:])


def gap_order(table: AlloyTable) -> list[Finding]:
    """Find gaps at HSE below the one at PBE; spin–orbit coupling can do that."""
    if not {"band_gap_pbe", "band_gap_hse"} <= set(table.targets):
        return []
    low, high = table.targets["band_gap_pbe"], table.targets["band_gap_hse"]
    return [
        Finding(table.rows[i], "band_gap_hse", "gap order",
                f"HSE {high[i]:.3f} eV lies below PBE {low[i]:.3f} eV", "warning",
                "kept: spin–orbit coupling can do that", int(table.lines[i]))
        for i in np.flatnonzero(high < low)
    ]  # fmt: skip


def zero_as_missing(table: AlloyTable) -> list[Finding]:
    """Find exact zeros in a column whose other values stay far from it."""
    found = []
    for name, values in table.targets.items():
        zero = values == 0.0
        rest = values[np.isfinite(values) & ~zero]
        if not zero.any() or len(rest) < 5:
            continue
        spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest)))) + 1e-9
        if np.abs(rest).min() < 0.05 * np.abs(np.median(rest)) or abs(np.median(rest)) < 3 * spread:
            continue
        found += [
            Finding(table.rows[i], name, "zero as missing",
                    f"exactly 0, the others lie in {rest.min():.3g} … {rest.max():.3g}", "warning",
                    "missing", int(table.lines[i]))
            for i in np.flatnonzero(zero)
        ]  # fmt: skip
    return found


def charge_balance(table: AlloyTable) -> list[Finding]:
    """Find compounds whose B cations cannot average to charge 2."""
    found = []
    for i, composition in enumerate(table.compositions):
        low, high = mean_charge(composition["B"])
        if low - CHARGE_SLACK <= 2 <= high + CHARGE_SLACK:
            continue
        text = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} … {high:.2f}"
        found.append(
            Finding(
                table.rows[i], "formula", "charge balance",
                f"{table.formulas[i]}: the B cations have a mean charge of {text}, ABX₃ needs 2",
                "warning", line=int(table.lines[i]),
            )
        )  # fmt: skip
    return found


def duplicates(table: AlloyTable) -> list[Finding]:
    """Find the same compound, phase and fidelity twice, with equal or different values."""
    first: dict[tuple[Any, ...], int] = {}
    found = []
    for i, (formula, key) in enumerate(zip(table.formulas, table.keys, strict=True)):
        known = first.setdefault((formula, *key), i)
        if known == i:
            continue
        different = [
            n for n, v in table.targets.items()
            if np.isfinite(v[[known, i]]).all() and abs(v[known] - v[i]) > 1e-9
        ]  # fmt: skip
        found.append(
            Finding(
                f"{table.rows[known]} and {table.rows[i]}", "formula", "duplicates",
                f"{formula} stands twice" + (f" with different {', '.join(different)}" if different else ", equal"),
                "error" if different else "information", line=int(table.lines[i]),
            )
        )  # fmt: skip
    return found


def column_order(table: AlloyTable) -> list[Finding]:
    """Find species columns in another order than their names, shown by the formulas."""
    clashes = [f for f in table.findings if f.rule == "formula ↔ columns"]
    if len(clashes) < max(3, 0.05 * len(table)):
        return []
    pairs: dict[tuple[str, str], int] = {}
    for finding in clashes:
        said, listed = re.findall(r"say?s? ([A-Za-z0-9.()]+)", finding.evidence)[:2]
        left = set(re.findall(r"MA|FA|[A-Z][a-z]?", said))
        right = set(re.findall(r"MA|FA|[A-Z][a-z]?", listed))
        for one in left - right:
            for two in right - left:
                pairs[one, two] = pairs.get((one, two), 0) + 1
    text = ", ".join(f"{a}↔{b}" for (a, b), _ in sorted(pairs.items(), key=lambda p: -p[1])[:3])
    return [
        Finding(
            f"{len(clashes)} rows", "species columns", "column order",
            f"columns and formulas disagree in {len(clashes)} of {len(table)} rows: columns may be swapped ({text})",
            "error", "check the header against the formulas",
        )
    ]  # fmt: skip


# --- second line ------------------------------------------------------------------------------
def unexpected(table: AlloyTable, known_bad: set[str]) -> list[Finding]:
    """Find rows far from what all the others let expect: not wrong, unexpected."""
    found = []
    for name, values in table.targets.items():
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) < FEWEST_FOR_RESIDUALS or values[rows].std() < 1e-9:
            continue
        fractions = take(table.fractions, rows)
        terms = VEGARD_TERMS + bowing_terms(mixed_sites(fractions))
        bases = site_bases(table.species)
        process = AlloyProcess(terms, bases).fit(fractions, values[rows], iterations=30)
        expected, sigma = process.leave_out(np.arange(len(rows)))
        residual = (values[rows] - expected) / sigma
        width = 1.4826 * float(np.median(np.abs(residual)))
        for j in np.flatnonzero(np.abs(residual) > UNEXPECTED_SIGMAS * max(width, 0.3)):
            row = table.rows[rows[j]]
            if row in known_bad:
                continue
            found.append(
                Finding(
                    row, name, "unexpected",
                    f"{table.formulas[rows[j]]}: {values[rows[j]]:.4g}, the other rows let expect {expected[j]:.4g} ± {sigma[j]:.2g}",
                    "unexpected", line=int(table.lines[rows[j]]),
                )
            )  # fmt: skip
    return found


RULES: tuple[Callable[[AlloyTable], list[Finding]], ...] = (
    gap_bracket, shockley_queisser, defect_algebra, ratio_columns, family_steps, gap_order,
    zero_as_missing, charge_balance, duplicates, column_order,
)  # fmt: skip
