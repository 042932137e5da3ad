"""Goals of `materials levels`: hosts left out, with and without their own native defects, beside baselines.

In: the two public tables of levels (MATTERSCOPE_DATA). Out: one table on stdout.
Run: ``MATTERSCOPE_DATA=… python benchmarks/materials_levels.py`` (about four CPU minutes).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.core.calls import Call
from matterscope.core.verbs import as_input
from matterscope.materials.level_training import (
    gather,
    host_table,
    leave_hosts_out,
    score_table,
)

GOALS = {
    # (known of the host, subset): pooled RMSE, MAE, macro RMSE; then the best prototype of the same kind
    ("name, gap, lattice", "all hosts"): ((0.47, 0.28, 0.43), (0.494, 0.296, 0.466)),
    ("name, gap, lattice", "classic hosts"): ((0.30, 0.225, 0.275), (0.316, 0.236, 0.300)),
    ("and its native defects", "all hosts"): ((0.44, 0.255, 0.40), (0.472, 0.274, 0.427)),
    ("and its native defects", "classic hosts"): ((0.28, 0.21, 0.25), (0.310, 0.231, 0.276)),
}
WIDE = ("BN", "C", "AlN")


def permuted(table: pd.DataFrame, known: object, call: Call) -> float:
    """Return the pooled RMSE when host labels are dealt anew: near the spread of levels, or it leaks."""
    binary = table[table["host"].map(lambda h: len(h) > 2)].reset_index(drop=True)
    mixed = binary.copy()
    mixed["host"] = np.random.default_rng(0).permutation(binary["host"].to_numpy())
    mixed = mixed.drop_duplicates(["host", "impurity", "site"]).reset_index(drop=True)
    mixed["native"] = False
    rows = leave_hosts_out(mixed, known, call)  # type: ignore[arg-type]
    return float(np.sqrt(np.mean((rows["value"] - rows["truth"]) ** 2)))


def main() -> None:
    folder = Path(os.environ["MATTERSCOPE_DATA"]) / "defects"
    inputs = [as_input(folder / f"{n}_levels_pbe.csv") for n in ("impurity", "native_defect")]
    table, known, _ = gather(inputs)
    call = Call(seed=0)
    for label, own in (("name, gap, lattice", False), ("and its native defects", True)):
        start = time.process_time()
        rows = leave_hosts_out(table, known, call, own=own)
        scores, hosts = score_table(rows), host_table(rows)
        for score in scores.to_dict("records"):
            goal, prototype = GOALS.get((label, score["subset"]), ((np.nan,) * 3, (np.nan,) * 3))
            ours = (score["rmse"], score["mae"], score["macro_rmse"])
            print(f"{label:24s} {score['subset']:24s} " + "  ".join(f"{o:.3f} (goal {g:.3f}, prototype {p:.3f})" for o, g, p in zip(ours, goal, prototype, strict=True)) + f"  mean of the others {score['blind_rmse']:.3f}/{score['blind_mae']:.3f}  z {score['z_std']:.2f}  68 %: {score['coverage_68']:.2f}  95 %: {score['coverage_95']:.2f}")  # fmt: skip
        rest = hosts[~hosts["host"].isin(WIDE)]["rmse"].mean()
        print(
            f"{label:24s} macro without BN, C, AlN  {rest:.3f} (goal 0.310)   CPU s {time.process_time() - start:.0f}"
        )
        print(hosts.round(3).to_string(index=False))
    print(f"host labels permuted: {permuted(table, known, call):.3f} (a leak would give < 0.85)")


if __name__ == "__main__":
    main()
