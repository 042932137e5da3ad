"""Retrieval and calibration of the defect ranking, by simulated perturbation of a library's rows.

    python benchmarks/emitters_identity.py LIBRARY [TESTS]

A row is drawn, its values are perturbed by the theory errors, and the ranking is asked for it; for the
calibration of "none of these" three of ten true defects are removed from the library beforehand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from matterscope.emitters.identity import AXES, make_library, posterior
from matterscope.io.defect_libraries import read_library

ERRORS = {"huang_rhys": 0.15, "lifetime": 0.5, "visibility": 0.1, "misalignment": 10.0}
CASES = [
    ("ZPL alone (all)", ("zpl",), "all", (0.06, 0.24, 0.03, 0.12)),
    ("ZPL alone (1.5-3 eV)", ("zpl",), "visible", (0.03, 0.15, 0.01, 0.06)),
    (
        "ZPL + lifetime + V (all)",
        ("zpl", "lifetime", "visibility"),
        "all",
        (0.48, 0.88, 0.32, 0.71),
    ),
    ("ZPL + S (rows with S)", ("zpl", "huang_rhys"), "known", (0.56, 0.91, 0.41, 0.82)),
    (
        "all four (visible, with S)",
        ("zpl", "huang_rhys", "lifetime", "visibility"),
        "visible known",
        (0.79, 0.96, 0.70, 0.93),
    ),
]


TESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000


def choose(rows, which):
    """Return the rows that are drawn as truths; the candidates of the retrieval are the whole library."""
    keep = np.ones(len(rows), bool)
    if "visible" in which:
        keep &= rows["zpl"].between(1.5, 3.0).to_numpy()
    if "known" in which:
        keep &= rows["huang_rhys"].notna().to_numpy()
    return np.flatnonzero(keep)


def perturb(library, row, axes, zpl_error, rng):
    measured, errors = np.full(len(AXES), np.nan), np.ones(len(AXES))
    for axis in axes:
        k = AXES.index(axis)
        errors[k] = zpl_error if axis == "zpl" else ERRORS[axis]
        measured[k] = library.values[row, k] + errors[k] * rng.standard_normal()
    return measured, errors


def reliability(stated, true, bins=10):
    """Return the expected calibration error over equal-width bins."""
    edges = np.clip((np.asarray(stated) * bins).astype(int), 0, bins - 1)
    return sum(
        np.mean(edges == b)
        * abs(np.mean(np.asarray(stated)[edges == b]) - np.mean(np.asarray(true)[edges == b]))
        for b in range(bins)
        if (edges == b).any()
    )


def main(path):
    rng = np.random.default_rng(3)
    rows = read_library(Path(path))
    print(
        f"{len(rows)} rows, {(rows['fault'] != '').sum()} faulty:",
        "; ".join(rows.loc[rows["fault"] != "", "label"]),
    )
    print(
        "evidence | top-1/top-5 at 0.1 eV, at 0.25 eV (reference) | reliability error of the leader, of 'none', mean P(none) where true/false"
    )
    rows = rows[rows["fault"] == ""].reset_index(drop=True)
    library, without = make_library(rows), {}
    for name, axes, which, reference in CASES:
        text, stated, right, none_stated, none_true = [], [], [], [], []
        truths = choose(rows, which)
        # calibration is a matter of the prior: truths and candidates come from the same rows
        same = rows.iloc[truths].reset_index(drop=True)
        candidates = make_library(same)
        without.clear()
        for zpl_error in (0.1, 0.25):
            first = five = 0
            for _ in range(TESTS):
                row = rng.choice(truths)
                measured, errors = perturb(library, row, axes, zpl_error, rng)
                shares, _ = posterior(library, measured, errors, 1e-9)
                order = np.argsort(-shares)[:5]
                first += order[0] == row
                five += row in order
            text.append(f"{first / TESTS:.2f}/{five / TESTS:.2f}")
            for _ in range(TESTS):
                row = rng.integers(len(same))
                measured, errors = perturb(candidates, row, axes, zpl_error, rng)
                gone, asked = rng.random() < 0.3, candidates
                if gone:  # nothing of the library was made with this defect, its kernels neither
                    defect = same["defect"][row]
                    if defect not in without:
                        kept = same[same["defect"] != defect].reset_index(drop=True)
                        without[defect] = make_library(kept)
                    asked = without[defect]
                shares, none = posterior(asked, measured, errors, 0.3)
                none_stated.append(none)
                none_true.append(gone)
                stated.append(shares.max())
                right.append(not gone and shares.argmax() == row)
        none_stated, none_true = np.array(none_stated), np.array(none_true)
        print(
            f"{name:28s} | {text[0]} {text[1]} ({reference[0]}/{reference[1]} {reference[2]}/{reference[3]}) | {reliability(stated, right):.3f} "
            f"{reliability(none_stated, none_true):.3f} {none_stated[none_true].mean():.2f}/{none_stated[~none_true].mean():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1])
