"""How many planted faults the audit of alloys finds, and how often it accuses clean rows.

    python benchmarks/materials_audit.py [DRAWS]

Two tables carry the faults: the 229 compounds of arXiv 2109.10798 (from $MATTERSCOPE_DATA; an SLME of 85 % of the
limit of its HSE gap is added), and a simulated one whose sites A, B and X are all mixed. Goal: 95 % of each fault
found, at most 1 % of clean rows accused. No bookkeeping rule is a baseline: without an audit nothing is found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import SchemaError
from matterscope.core.verbs import as_input
from matterscope.materials.alloys.audit import findings_of
from matterscope.materials.alloys.compositions import SITE_OF, SITES, write_formula
from matterscope.materials.alloys.spaces import PAPER_SPACE, make_space
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.findings import Finding
from matterscope.materials.settings import SlmeSettings
from matterscope.materials.solar.efficiency import limit_efficiency
from matterscope.materials.solar.photovoltaics import detailed_balance

Plant = Callable[[pd.DataFrame, np.random.Generator], tuple[pd.DataFrame, set[int]] | None]
SPECIES = [s for s in SITE_OF if s in {n for names in PAPER_SPACE.values() for n in names}]


def real_table() -> pd.DataFrame:
    """Return the 229 compounds as a user would write them: formula, species columns, properties."""
    path = Path(os.environ["MATTERSCOPE_DATA"]) / "perovskites" / "dft_229_properties.csv"
    table = read_alloys([as_input(path)])
    return written(table.compositions, table.targets)


def simulated_table(rows: int = 300) -> pd.DataFrame:
    """Return compounds that mix every site, with their end members and gaps from a law with bowing."""
    space = make_space(PAPER_SPACE, {"A": 8, "B": 8, "X": 8})
    rng = np.random.default_rng(1)
    ends = make_space(PAPER_SPACE, {"A": 1, "B": 1, "X": 1})
    counts = {s: np.vstack([ends.unrank(np.arange(ends.size))[s] * 8, space.unrank(rng.integers(0, space.size, rows))[s]]) for s in SITES}  # fmt: skip
    compositions = [
        {s: {n: c / 8 for n, c in zip(space.species[s], counts[s][i], strict=True) if c} for s in SITES}
        for i in range(len(counts["A"]))
    ]  # fmt: skip
    b, x = counts["B"] / 8, counts["X"] / 8
    gap = b @ np.array([3.9, 3.7, 3.5, 1.5, 1.0, 1.8]) + x @ np.array([1.6, 0.9, 0.2])
    gap = gap - 0.25 * (1 - (b**2).sum(1)) + 0.05 * rng.normal(size=len(gap))
    return written(compositions, {"band_gap_pbe": gap, "band_gap_hse": 1.2 * gap + 0.5})


def written(compositions: list, targets: dict[str, np.ndarray]) -> pd.DataFrame:
    every = [{n: v for group in c.values() for n, v in group.items()} for c in compositions]
    columns = {s: [c.get(s, 0.0) for c in every] for s in SPECIES}
    frame = pd.DataFrame({"formula": [write_formula(c) for c in compositions]} | columns | targets)
    frame["slme"] = 0.85 * detailed_balance(targets["band_gap_hse"]).efficiency
    return frame


def audited(frame: pd.DataFrame) -> list[Finding]:
    return findings_of(read_alloys([Input("table", data=frame)]), residuals=False)


def accused(findings: list[Finding]) -> set[int]:
    """Return the rows that an error or warning names (first data row 0); groups apart."""
    return {f.line - 1 for f in findings if f.severity in {"error", "warning"} and f.line > 0}


# --- faults -----------------------------------------------------------------------------------
def sentinel(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, set[int]]:
    column = rng.choice([c for c in frame.columns if c not in {"formula", *SPECIES}])
    row = int(rng.integers(len(frame)))
    frame.loc[row, column] = rng.choice([1000.0, -999.0])
    return frame, {row}


def swapped_gap(
    frame: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, set[int]] | None:
    """Exchange the gaps of two alloys; None when neither leaves its end members by more than 0.5 eV."""
    name = rng.choice(["band_gap_pbe", "band_gap_hse"])
    shares = frame[list(SPECIES)].to_numpy()
    mixed = np.flatnonzero(((shares > 0) & (shares < 1)).any(1))
    one, two = rng.choice(mixed, 2, replace=False)
    frame.loc[[one, two], name] = frame.loc[[two, one], name].to_numpy()
    pure = {tuple(np.flatnonzero(r)): g for r, g in zip(shares, frame[name], strict=True)
            if (r > 0).sum() == len(SITES)}  # fmt: skip
    outside = []
    for row in (one, two):
        present = [
            [i for i in np.flatnonzero(shares[row]) if SITE_OF[SPECIES[i]] == s] for s in SITES
        ]
        ends = [pure[tuple(sorted(c))] for c in product(*present)]
        value = frame.loc[row, name]
        outside.append(max(min(ends) - value, value - max(ends)))
    return (frame, {int(one), int(two)}) if max(outside) > 0.5 else None


def renamed_columns(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, set[int]]:
    one, two = rng.choice(SPECIES, 2, replace=False)
    changed = np.flatnonzero(frame[one] != frame[two])
    return frame.rename(columns={one: two, two: one}), {int(i) for i in changed}


def above_limit(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, set[int]]:
    row = int(rng.integers(len(frame)))
    limit = detailed_balance(float(frame.loc[row, "band_gap_hse"])).efficiency
    frame.loc[row, "slme"] = float(np.ravel(limit)[0]) * rng.uniform(1.05, 1.5) + 0.004
    return frame, {row}


def fraction_off(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, set[int]]:
    row = int(rng.integers(len(frame)))
    present = [s for s in SPECIES if frame.loc[row, s] > 0]
    name = rng.choice(present)
    frame.loc[row, name] += rng.choice([-0.125, 0.125])
    return frame, {row}


FAULTS: dict[str, Plant] = {
    "sentinel 1000 or −999": sentinel,
    "gaps exchanged, > 0.5 eV outside": swapped_gap,
    "species columns exchanged": renamed_columns,
    "SLME above its limit": above_limit,
    "fraction off by 0.125": fraction_off,
}


def planted(clean: pd.DataFrame, plant: Plant, draws: int) -> tuple[int, int, int, int]:
    """Return faults found and planted, clean rows accused and looked at."""
    known = accused(audited(clean))
    found = total = wrong = looked = 0
    rng = np.random.default_rng(0)
    while total < draws:
        made = plant(clean.copy(), rng)
        if made is None:
            continue
        frame, rows = made
        total += 1
        findings = audited(frame)
        named = accused(findings)
        group = any(f.rule == "column order" for f in findings)
        found += bool(rows & named) or (plant is renamed_columns and group)
        wrong += len(named - rows - known)
        looked += len(frame) - len(rows)
    return found, total, wrong, looked


def absorption(draws: int) -> tuple[int, int, int]:
    """Return how many spectra in 1/m are not taken for 1/cm, how many were drawn, how many right ones refused."""
    rng = np.random.default_rng(0)
    energy = np.arange(0.3, 5.0, 0.01)
    caught = refused = 0
    for _ in range(draws):
        gap, strength = rng.uniform(0.5, 3.0), 10 ** rng.uniform(4.5, 5.7)
        rise = np.maximum(energy - gap, 0.0)
        direct = strength * np.sqrt(rise) / energy
        indirect = 0.1 * strength * rise**2 + 5 * strength * np.maximum(rise - 1.5, 0) ** 0.5
        alpha = direct if rng.random() < 0.7 else indirect
        for factor in (1.0, 100.0):
            frame = pd.DataFrame({"energy": energy, "alpha": factor * alpha})
            try:
                limit_efficiency(
                    [Input("alpha", data=frame)], SlmeSettings(gap=gap, thickness=(0.5,)), Call()
                )
            except SchemaError as error:
                said = "does not look like 1/cm" in str(error)
                caught += said and factor == 100.0
                refused += said and factor == 1.0
    return caught, draws, refused


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for label, clean in (("229 compounds", real_table()), ("simulated, all sites mixed", simulated_table())):  # fmt: skip
        rows = accused(audited(clean))
        print(f"{label}: {len(clean)} rows, {len(rows)} accused before anything is planted")
        for name, plant in FAULTS.items():
            found, total, wrong, looked = planted(clean, plant, draws if "exchanged, >" not in name else draws // 4)  # fmt: skip
            print(
                f"  {name:34s} found {found}/{total} = {found / total:.3f} (goal 0.95)   "
                f"clean rows accused {wrong}/{looked} = {wrong / looked:.5f} (goal 0.01)",
                flush=True,
            )
    caught, total, refused = absorption(draws)
    print(
        f"α in 1/m read as 1/cm: refused {caught}/{total}; right spectra refused {refused}/{total}"
    )


if __name__ == "__main__":
    main()
