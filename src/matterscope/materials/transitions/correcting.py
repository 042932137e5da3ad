"""A table of low-fidelity levels taken to high fidelity, with the choice of method made on left-out hosts.

In: a `LevelTable` with pairs. Out: one estimate: corrected levels, the loss of every method, a picture of
before and after.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Quantity, gaussian
from matterscope.core.pictures import Picture
from matterscope.materials.settings import LevelsSettings
from matterscope.materials.transitions.fidelity import (
    LEARNED,
    Loss,
    correct_levels,
    fit_stretch,
    leave_hosts_out,
    score_methods,
    usable,
)
from matterscope.materials.transitions.pictures import fidelity_picture, shift_picture
from matterscope.materials.transitions.tables import LevelTable

Array = NDArray[np.float64]
GAIN = 0.98
"""A method that learns is taken only if it beats the simpler ones by two per cent."""
SIMPLE = ("mba", "ba", "none")
REFERENCES = [
    "arXiv 2203.10349 (modified band alignment)",
    "Alkauskas, Broqvist and Pasquarello, Phys. Rev. Lett. 101, 046405 (2008)",
    "Kennedy and O'Hagan, Biometrika 87, 1 (2000)",
]
PAPER = (
    "published without high-fidelity labels in training: RMSE 0.36 eV, MAE 0.27 eV over 14 hosts"
)


def correct_table(
    table: LevelTable, ref: InputRef, settings: LevelsSettings, call: Call
) -> Estimate:
    """Correct all rows that have a low-fidelity level."""
    pairs = table.pairs.reset_index(drop=True)
    rows = pairs[pairs["low"].notna()].reset_index(drop=True)
    if not len(rows):
        raise DataError(
            "every row is of high fidelity: there is nothing to correct",
            where=ref.source,
            hint="--method model predicts levels of other defects",
        )
    labels = int((pairs["high"].notna() & pairs["low"].notna()).sum())
    answer = Estimate("materials levels", ref)
    allowed, skipped = usable(rows)
    s = None if settings.fit_s else settings.s
    losses = _losses(pairs, allowed, s, labels, answer, call)
    method = _choose(settings.method, allowed, skipped, losses)
    for name, why in skipped.items():
        answer.flag("method_skipped", f"{name} is skipped: it {why}")
    found = correct_levels(pairs, rows, method, s)
    sigma, reason = _sigma(pairs, method, s, losses, found.sigma, rows)
    answer.quantities["high_fidelity_labels"] = Quantity(labels, "1", reason="counted")
    best = next((x for x in losses if x.method == method), None)
    if best is not None:
        answer.quantities["level_rmse"] = Quantity(
            best.rmse,
            "eV",
            reason=f"over {best.hosts} hosts, each corrected without its own labels; MAE {best.mae:.3f} eV, mean over hosts {best.macro:.3f} eV",
        )
    answer.tables["levels"] = _table(rows, found.level, sigma)
    if losses:
        answer.tables["methods"] = pd.DataFrame([vars(x) for x in losses])
    _notes(answer, table, method, labels, reason, settings)
    answer.diagnostics |= {
        "method": method,
        "s": settings.s if s is not None else None,
        "labels_used": labels if method in LEARNED or settings.fit_s else 0,
        "paper": PAPER,
    }
    if settings.fit_s and labels and {"ba_shift", "gap"} <= set(pairs):
        known = pairs[pairs["high"].notna() & pairs["low"].notna()]
        fitted, error = fit_stretch(known["low"], known["high"], known["ba_shift"], known["gap"])
        answer.quantities["alignment_stretch"] = gaussian(fitted, error, "1", call.levels)
    answer.provenance["references"] = REFERENCES
    answer.pictures.append(_picture(pairs, rows, found.level, method, s, losses))
    return answer


def _losses(
    pairs: pd.DataFrame,
    allowed: list[str],
    s: float | None,
    labels: int,
    answer: Estimate,
    call: Call,
) -> list[Loss]:
    known = pairs[pairs["high"].notna() & pairs["low"].notna()]
    if known["host"].nunique() < 2:
        if labels:
            answer.flag(
                "one_host",
                "leaving hosts out needs ≥ 2 hosts with high-fidelity levels: no method can be judged",
                "methods without labels still work",
            )
        return []
    return score_methods(pairs, allowed, s, call.progress)


def _choose(wanted: str, allowed: list[str], skipped: dict[str, str], losses: list[Loss]) -> str:
    if wanted != "auto":
        if wanted in skipped:
            raise DataError(
                f"the method {wanted} {skipped[wanted]}",
                hint="another method: " + ", ".join(allowed),
            )
        return wanted
    simple = next((m for m in SIMPLE if m in allowed), "none")
    if not losses:
        return simple
    loss = {x.method: x.rmse for x in losses}
    best = min(loss, key=lambda m: loss[m])
    plain = min((m for m in SIMPLE if m in loss), key=lambda m: loss[m])
    return best if loss[best] < GAIN * loss[plain] else plain


def _sigma(
    pairs: pd.DataFrame,
    method: str,
    s: float | None,
    losses: list[Loss],
    own: Array,
    rows: pd.DataFrame,
) -> tuple[Array, str]:
    """Return σ of every row, scaled so that left-out hosts have standardised errors of spread 1."""
    if not losses:
        return np.full(len(rows), np.nan), "no high-fidelity levels of two hosts to calibrate with"
    left, truth = leave_hosts_out(pairs, method, s)
    rest = left.level - truth
    if np.isfinite(left.sigma).all():
        return own * float(np.sqrt(np.mean((rest / left.sigma) ** 2))), ""
    return np.full(len(rows), float(np.sqrt(np.mean(rest**2)))), ""


def _table(rows: pd.DataFrame, level: Array, sigma: Array) -> pd.DataFrame:
    columns = ["host", "impurity", "site", "charge_from", "charge_to", "low"]
    out = rows[columns].copy()
    out["value"], out["sigma"] = level, sigma
    for share in (0.68, 0.95):
        half = NormalDist().inv_cdf(0.5 + share / 2) * sigma
        out[f"low_{100 * share:g}"], out[f"high_{100 * share:g}"] = level - half, level + half
    out["high_fidelity"] = rows["high"].to_numpy()
    if "gap" in rows:
        out["gap_fraction"] = level / rows["gap"].where(rows["gap"] > 0).to_numpy()
    out.attrs["units"] = {c: "eV" for c in out if c.startswith(("low", "value", "sigma", "high"))}
    return out


def _notes(
    answer: Estimate,
    table: LevelTable,
    method: str,
    labels: int,
    reason: str,
    settings: LevelsSettings,
) -> None:
    for note in table.notes:
        answer.flag("table_note", note)
    if reason:
        answer.flag(
            "not_calibrated",
            f"the corrected levels carry no interval: {reason}",
            "add high-fidelity levels of two or more hosts",
        )
    if method == "mba" and not settings.fit_s:
        answer.flag(
            "stretch_from_one_host",
            f"the stretch s = {settings.s:g} was inferred from printed values of one host (CdS)",
            "--fit-s fits it to your own pairs",
        )
    answer.flag(
        "labels",
        f"high-fidelity labels in the table: {labels}; used by this method: {labels if method in LEARNED or settings.fit_s else 0}",
    )


def _picture(
    pairs: pd.DataFrame,
    rows: pd.DataFrame,
    level: Array,
    method: str,
    s: float | None,
    losses: list[Loss],
) -> Picture:
    if losses:
        left, truth = leave_hosts_out(pairs, method, s)
        known = pairs[pairs["high"].notna() & pairs["low"].notna()]
        return fidelity_picture(
            known["low"].to_numpy(dtype=float), left.level, truth, known["host"].tolist(), method
        )
    return shift_picture(rows["low"].to_numpy(dtype=float), level, method)
