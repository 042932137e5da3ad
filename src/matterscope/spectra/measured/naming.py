"""Which edge could stand where: the table against position, header and label.

In: the position of an edge and what its file says. Out: candidate edges with their probabilities.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from matterscope.physics.edges import Edge, loss_onset, table

if TYPE_CHECKING:
    import xarray as xr

WORD = re.compile(r"[A-Z][a-z]?")


def claimed(dataset: xr.Dataset) -> Edge | None:
    """Return the edge that a header states by name, or by the energy its scan aimed at."""
    element, edge = str(dataset.attrs.get("element") or ""), str(dataset.attrs.get("edge") or "")
    named = table().get((element, edge.upper()))
    aim = float(dataset.attrs.get("edge_energy") or 0.0)
    if named is None and aim > 0:
        near = [e for e in table().values() if abs(e.energy - aim) <= 6.0]
        named = min(near, key=lambda e: (e.name != "K", abs(e.energy - aim))) if near else None
    return named


def candidates(position: float, dataset: xr.Dataset) -> pd.DataFrame:
    """Return the edges that could stand at `position` (eV) with their probabilities.

    Evidence multiplies: a heavy-tailed law for E½ − table (median +5, width 6 eV), the kind of edge,
    the header's claim (× 4 for the element, × 1.5 for the edge) and element names in the label (× 3).
    An edge that the user gave (``edge_given``) leaves no other.
    """
    prior = {"K": 1.0, "L3": 0.6, "L2": 0.15, "L1": 0.1}
    element = str(dataset.attrs.get("element") or "")
    edge = str(dataset.attrs.get("edge") or "").upper()
    words = set(WORD.findall(str(dataset.attrs.get("label") or "")))
    rows = []
    for entry in table().values():
        if not -25.0 <= position - entry.energy <= 45.0:
            continue
        if dataset.attrs.get("edge_given") and (entry.element, entry.name) != (element, edge):
            continue
        z = (position - entry.energy - 5.0) / 6.0
        weight = prior.get(entry.name, 0.03) * (1 + z * z / 3) ** -2
        weight *= 4.0 if entry.element == element and element != "H" else 1.0
        weight *= 1.5 if entry.name == edge and entry.element == element else 1.0
        weight *= 3.0 if entry.element in words else 1.0
        rows.append((entry.element, entry.name, entry.energy, position - entry.energy, weight))
    frame = pd.DataFrame(rows, columns=["element", "edge", "energy", "offset", "probability"])
    if len(frame):
        frame["probability"] /= frame["probability"].sum()
    frame.attrs["units"] = {"energy": "eV", "offset": "eV", "probability": "1"}
    return frame.sort_values("probability", ascending=False, ignore_index=True)


def as_cut(dataset: xr.Dataset) -> pd.DataFrame:
    """Return the one reading of an edge that all edges of its spectrum together have named."""
    attrs = dataset.attrs
    element, edge, probability = str(attrs["element"]), str(attrs["edge"]), attrs["edge_probability"]  # fmt: skip
    onset = loss_onset(element, edge)
    row = (element, edge, onset, float(attrs["onset"]) - onset, probability)
    frame = pd.DataFrame([row], columns=["element", "edge", "energy", "offset", "probability"])
    frame.attrs["units"] = {"energy": "eV", "offset": "eV", "probability": "1"}
    return frame
