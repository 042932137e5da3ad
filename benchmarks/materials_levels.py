"""Goals of `materials levels`: hosts left out, with and without their own native defects, beside baselines.

In: the public tables of levels (MATTERSCOPE_DATA). Out: tables on stdout.
Run: ``MATTERSCOPE_DATA=… python benchmarks/materials_levels.py [hosts|easier|permuted|halides|speed]`` (all: about ten
CPU minutes; ``--seed N`` for other draws).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope import materials, run
from matterscope.core.calls import Call
from matterscope.core.verbs import as_input
from matterscope.materials.defects.hosts import host_table as shipped_hosts
from matterscope.materials.transitions.features import Known, Scaling, describe
from matterscope.materials.transitions.persistence import load_levels
from matterscope.materials.transitions.process import learn_processes
from matterscope.materials.transitions.tables import levels_of
from matterscope.materials.transitions.training import gather
from matterscope.materials.transitions.validation import (
    host_table,
    leave_groups_out,
    leave_hosts_out,
    score_table,
)

GOALS = {
    # (known of the host, subset): pooled RMSE, MAE, macro RMSE; then the best prototype of the same kind
    ("name", "all hosts"): ((0.47, 0.28, 0.43), (0.494, 0.296, 0.466)),
    ("name", "classic hosts"): ((0.30, 0.225, 0.275), (0.316, 0.236, 0.300)),
    ("natives", "all hosts"): ((0.44, 0.255, 0.40), (0.472, 0.274, 0.427)),
    ("natives", "classic hosts"): ((0.28, 0.21, 0.25), (0.310, 0.231, 0.276)),
}
WIDE = ("BN", "C", "AlN")
HALIDE_GOALS = (0.40, 0.48, 0.43, 0.43, 0.68, 0.62)
HALIDE_PROTOTYPE = (0.408, 0.542, 0.429, 0.432, 0.697, 0.632)


def tables() -> tuple[pd.DataFrame, Known]:
    """Return the complete defects of both tables."""
    folder = Path(os.environ["MATTERSCOPE_DATA"]) / "defects"
    inputs = [as_input(folder / f"{n}_levels_pbe.csv") for n in ("impurity", "native_defect")]
    table, known, _ = gather(inputs)
    return table, known


def report(answers: dict[str, pd.DataFrame]) -> None:
    """Print scores beside goals and prototypes, and the error of every host."""
    for label, rows in answers.items():
        scores, hosts = score_table(rows), host_table(rows)
        for score in scores.to_dict("records"):
            goal, prototype = GOALS.get((label, score["subset"]), ((np.nan,) * 3, (np.nan,) * 3))
            ours = (score["rmse"], score["mae"], score["macro_rmse"])
            print(f"{label:8s} {score['subset']:40s} " + "  ".join(f"{o:.3f} (goal {g:.3f}, prototype {p:.3f})" for o, g, p in zip(ours, goal, prototype, strict=True)) + f"  mean of the others {score['blind_rmse']:.3f}/{score['blind_mae']:.3f}  z {score['z_std']:.2f}  68 %: {score['coverage_68']:.2f}  95 %: {score['coverage_95']:.2f}")  # fmt: skip
        rest = hosts[~hosts["host"].isin(WIDE)]["rmse"].mean()
        print(f"{label:8s} macro without BN, C, AlN  {rest:.3f} (goal 0.310, prototype 0.320)")
        print(hosts.round(3).to_string(index=False))


def hosts(seed: int) -> None:
    """Leave every host out."""
    start = time.process_time()
    report(leave_hosts_out(*tables(), Call(seed=seed)))
    print(f"both protocols: {time.process_time() - start:.0f} CPU s")


def easier(seed: int) -> None:
    """Leave groups of impurities, and fifths of whole defects, out of hosts that are known."""
    for by, prototype in (("fold", (0.456, 0.248)), ("impurity", (0.451, 0.259))):
        score = score_table(leave_groups_out(*tables(), by, Call(seed=seed))).iloc[0]
        print(
            f"{by} left out: {score['rmse']:.3f} / {score['mae']:.3f} (prototype {prototype[0]} / {prototype[1]}), z {score['z_std']:.2f}"
        )


def without_hosts(table: pd.DataFrame, known: Known) -> float:
    """Return the RMSE of a process on impurity and site alone, each host left out: no host can leak."""
    levels, host = levels_of(table), table["host"].to_numpy(dtype=str)
    scaling = Scaling.of(raw := describe(table, known))
    blocks = {k: v for k, v in scaling.apply(raw).items() if k in ("impurity", "site")}
    mean, spread = levels.mean(0), levels.std(0)
    scaled = (levels - mean) / spread
    some = np.random.default_rng(0).permutation(len(table))[:350]
    part = {k: v[some] for k, v in blocks.items()}
    error = np.empty_like(levels)
    for c, process in enumerate(learn_processes((("impurity", "site"),), part, scaled[some])):
        inverse, alpha = process.precision(process.kernel(blocks, blocks), scaled[:, c])
        for name in np.unique(host):
            out = np.flatnonzero(host == name)
            error[out, c] = spread[c] * np.linalg.solve(inverse[np.ix_(out, out)], alpha[out])
    return float(np.sqrt(np.mean(error**2)))


def permuted(seed: int) -> None:
    """Deal host labels anew: what impurity and site tell remains, anything more would have leaked."""
    table, known = tables()
    binary = table[table["host"].map(lambda h: len(h) > 2)].reset_index(drop=True)
    mixed = binary.copy()
    mixed["host"] = np.random.default_rng(seed).permutation(binary["host"].to_numpy())
    mixed = mixed.drop_duplicates(["host", "impurity", "site"]).reset_index(drop=True)
    mixed["native"] = False
    rows = leave_hosts_out(mixed, known, Call(seed=seed))["name"]
    rmse = float(np.sqrt(np.mean((rows["value"] - rows["truth"]) ** 2)))
    spread = float(np.sqrt(np.mean((rows["mean_of_others"] - rows["truth"]) ** 2)))
    print(
        f"host labels permuted: {rmse:.3f}; mean of the others {spread:.3f}, impurity and site alone {without_hosts(mixed, known):.3f}"
    )


def halides(seed: int) -> None:
    """Leave each of the three halide perovskites out."""
    path = Path(os.environ["MATTERSCOPE_DATA"]) / "defects" / "halide_perovskite_impurities_pbe.csv"
    start = time.process_time()
    answer = materials.train(path, seed=seed)
    scores = answer.tables["scores"].assign(goal=HALIDE_GOALS, prototype=HALIDE_PROTOTYPE)
    print(scores.round(3).to_string(index=False))
    print(
        answer.tables["scores_random_folds"][["property", "rmse"]].round(3).to_string(index=False)
    )
    print(f"halide perovskites: {time.process_time() - start:.0f} CPU s")


def speed(seed: int) -> None:
    """Time predictions and diagrams."""
    model, card, _ = load_levels()
    asked = [
        (host, impurity, site)
        for host in list(shipped_hosts())[:12]
        for impurity in card["impurities"][:28]
        for site in ("M_A", "M_B", "M_i_A", "M_i_B", "M_i_neut")
    ]
    frame = pd.DataFrame(asked, columns=["host", "impurity", "site"])
    start = time.process_time()
    model.predict(frame)
    spent = time.process_time() - start
    print(f"{6 * len(frame)} levels in {spent:.1f} CPU s (goal: 10 000 in 5 s)")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "energies.csv"
        lines = [
            f"D{d},{q},{2 + rng.normal() + 0.3 * q * q:.3f}"
            for d in range(100)
            for q in range(-2, 3)
        ]
        path.write_text("defect,charge,energy\n" + "\n".join(lines) + "\n")
        begin = time.perf_counter()
        run("materials diagram", [path], gap=1.5, store=Path(folder) / "store")
        print(f"diagram of 100 defects with report: {time.perf_counter() - begin:.1f} s (goal 3 s)")


PARTS: dict[str, Callable[[int], None]] = {
    "hosts": hosts, "easier": easier, "permuted": permuted, "halides": halides, "speed": speed,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, part in PARTS.items():
        if given.part in (None, name):
            part(given.seed)


if __name__ == "__main__":
    main()
