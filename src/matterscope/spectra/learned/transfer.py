"""Transfer from theory to experiment: descriptions trained on computed spectra, asked about measured ones.

In: a table of measured spectra with known labels, and what `featurization` trains. Out: every answer, scores
by sample beside the mean predictor, and whether the measured samples overrule what the distortions recommend.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.core.verbs import as_input
from matterscope.io.reading import measurements
from matterscope.learn.calibration import macro_f1
from matterscope.spectra.measured.alignment import WINDOWS
from matterscope.spectra.measured.quality import SEVERE, examine

Floats = NDArray[np.float64]

LABELS = {"coordination_number": "1", "bond_length": "Å", "oxidation_state": "1"}
MEASURED = "measured"
"""Name of the column that stands beside the distortions."""
ENOUGH = 5
"""Independent samples below which measured spectra do not overrule the distortions."""


@dataclass(frozen=True)
class Standard:
    """One measured spectrum whose structure is known.

    Parameters
    ----------
    label : str
    sample : str
        Repeats of one sample are one piece of evidence.
    energy, mu : arrays of shape (n,), eV and 1
        Edge-normalised.
    truth : dict
        Known labels by name; missing ones are NaN.
    """

    label: str
    sample: str
    energy: Floats
    mu: Floats
    truth: dict[str, float]


def read_standards(path: Path, window: str) -> tuple[list[Standard], list[dict[str, str]]]:
    """Return the standards that cover a window, and what was left out and why.

    The table is a CSV with the columns ``file`` (relative to the table) and any of ``selector``, ``sample``
    (by default the file and selector without a last number), ``coordination_number``, ``bond_length`` (Å) and
    ``oxidation_state``; an empty cell is an unknown label.

    Raises
    ------
    ReadError
        When there is no table, or a line of it cannot be understood.
    """
    if not path.is_file():
        raise ReadError("there is no such table of measured spectra", where=str(path))
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    if not rows or "file" not in rows[0] or not set(LABELS) & set(rows[0]):
        raise ReadError(
            "this table of measured spectra is not understood", where=str(path),
            expected="columns file and one or more of " + ", ".join(LABELS),
        )  # fmt: skip
    kept, left = [], []
    for number, row in enumerate(rows, start=2):
        selector = (row.get("selector") or "").strip()
        name = f"{row['file']}:{selector}" if selector else row["file"]
        try:
            truth = {n: float(row.get(n) or "nan") for n in LABELS}
        except ValueError as error:
            raise ReadError(f"line {number}: {error}", where=str(path)) from error
        found = _standard(path.parent / row["file"], selector, row, truth, window)
        if isinstance(found, str):
            left.append({"spectrum": name, "left out because": found})
        else:
            kept.append(found)
    return kept, left


def _standard(
    file: Path, selector: str, row: dict[str, str], truth: dict[str, float], window: str
) -> Standard | str:
    given = as_input(f"{file}:{selector}" if selector else str(file))
    spectra = measurements(given, "spectrum")
    if len(spectra) != 1:
        return f"the file holds {len(spectra)} spectra: name one in the column selector"
    seen = examine(spectra[0])
    blocking = [f.message for f in seen.flags if f.code in SEVERE]
    if blocking or seen.normalised is None:
        return blocking[0] if blocking else "no edge was recognised"
    reach = seen.energy[-1] - seen.position
    if reach < WINDOWS[window][-1] - 2.0:
        return f"it ends {reach:.0f} eV beyond E½, the window {WINDOWS[window][-1]:.0f} eV"
    label = selector or file.name
    sample = (row.get("sample") or "").strip() or label.rstrip("0123456789").rstrip("._- ")
    # energies far below the edge would be searched for its half step
    near = seen.normalised.energy > seen.position - 30.0
    return Standard(label, sample, seen.normalised.energy[near], seen.normalised.mu[near], truth)


def score_standards(
    standards: list[Standard], answers: dict[str, Floats], mean: dict[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the answers, and the scores of every description with every sample weighing the same.

    Parameters
    ----------
    standards : list of Standard
    answers : dict
        Description → (n, 3): coordination number, bond length (Å), oxidation state.
    mean : dict
        What the mean predictor says, by label.
    """
    guess = np.tile([mean[n] for n in LABELS], (len(standards), 1))
    rows, scores = [], []
    for description, found in {**answers, "mean of the training set": guess}.items():
        for own, values in zip(standards, found, strict=True):
            entry: dict[str, Any] = {"description": description, "spectrum": own.label, "sample": own.sample}  # fmt: skip
            for value, name in zip(values, LABELS, strict=True):
                entry |= {name: float(value), f"true_{name}": own.truth[name]}
            rows.append(entry)
        scores.append({"description": description} | _scores(standards, found))
    frame, table = pd.DataFrame(rows), pd.DataFrame(scores)
    frame.attrs["units"] = {"bond_length": "Å", "true_bond_length": "Å"}
    table.attrs["units"] = {"bond_mae": "Å"}
    return frame, table


def _misses(standards: list[Standard], found: Floats, column: int) -> tuple[Floats, list[str]]:
    """Return the mean absolute miss of every sample with this label, and the samples."""
    truth = np.array([list(s.truth.values())[column] for s in standards])
    names = np.array([s.sample for s in standards])
    known = np.isfinite(truth)
    miss = np.abs(found[:, column] - truth)
    samples = sorted(set(names[known]))
    return np.array([miss[known & (names == n)].mean() for n in samples]), samples


def _scores(standards: list[Standard], found: Floats) -> dict[str, float]:
    truth = np.array([s.truth["coordination_number"] for s in standards])
    known = np.isfinite(truth)
    right = (found[:, 0] == truth).astype(float)
    names = np.array([s.sample for s in standards])
    shares = [right[known & (names == n)].mean() for n in sorted(set(names[known]))]
    result = {
        "spectra": len(standards),
        "samples": len(set(names)),
        "coordination_right": float(np.mean(shares)) if shares else float("nan"),
        "coordination_f1": float("nan"),
    }
    if known.any():
        result["coordination_f1"] = macro_f1(truth[known], found[known, 0])
    for column, name in ((1, "bond_mae"), (2, "oxidation_mae")):
        miss, _ = _misses(standards, found, column)
        result[name] = float(miss.mean()) if miss.size else float("nan")
    return result


def weigh(
    best: str, standards: list[Standard], answers: dict[str, Floats], rng: np.random.Generator
) -> tuple[str, str]:
    """Return the description to use and why, once the measured samples have been heard.

    The recommendation of the distortions stands unless at least `ENOUGH` samples with a known bond say by a
    paired bootstrap (90 %) that another description errs less.
    """
    misses = {n: _misses(standards, a, 1)[0] for n, a in answers.items()}
    count = misses[best].size
    if not count:
        return best, "the table gives no bond lengths: the measured spectra do not enter the choice"
    first = min(misses, key=lambda n: float(misses[n].mean()))
    gap = misses[best] - misses[first]
    told = (
        f"on {count} measured samples it errs by {misses[best].mean():.3f} Å, "
        f"the best there, {first}, by {misses[first].mean():.3f} Å"
    )
    if count < ENOUGH:
        return best, f"{told}; {count} samples are too few to overrule the distortions"
    draws = gap[rng.integers(0, count, (2000, count))].mean(axis=1)
    if float(np.quantile(draws, 0.1)) > 0:
        return first, f"{told}: better by a paired bootstrap of the samples (90 %)"
    return best, f"{told}; the difference is within the scatter of the samples"


def parity_picture(
    standards: list[Standard], answers: dict[str, Floats], chosen: str, mean: float
) -> Picture:
    """Return the measured samples: bond length in the structure against that from the spectrum."""
    truth = np.array([s.truth["bond_length"] for s in standards])
    known = np.isfinite(truth)
    found = answers[chosen][known, 1]
    ends = [
        float(min(truth[known].min(), found.min())),
        float(max(truth[known].max(), found.max())),
    ]
    layers = [
        line(ends, ends, "perfect", "reference"),
        line(ends, [mean, mean], "mean of the training set", "muted"),
        points(truth[known], found, "measured spectra", size=4),
    ]
    panel = Panel(layers, "bond length in the structure / Å", "from the spectrum / Å", chosen)
    caption = f"Trained on computed spectra alone; {len({s.sample for s in standards})} samples."
    return Picture("transfer", "From theory to experiment", [panel], caption, width=5.0, height=4.2)
