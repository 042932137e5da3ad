"""`materials train`: one verb for tables of defect levels and tables of alloys.

In: a table. Out: what the trainer of its kind answers; the columns say which kind it is.
"""

from __future__ import annotations

from pathlib import Path

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate
from matterscope.materials.settings import TrainSettings


def holds_levels(path: Path) -> bool:
    """Return whether a file is a table of transition levels, by its headings."""
    from matterscope.io.tables import read_table
    from matterscope.materials.transitions.tables import LEVELS

    try:
        headings = [str(c) for c in read_table(path).columns]
    except DataError:
        return False  # the reader of alloys says what is wrong
    return "charge_from" in headings or len(set(headings) & set(LEVELS)) > 1


def train_model(inputs: list[Input], settings: TrainSettings, call: Call) -> list[Estimate]:
    """Train on tables of levels, of impurities in halide perovskites, or of alloys; the columns decide."""
    from matterscope.materials.transitions.halide_impurities import holds_halides

    if inputs and all(i.path is not None and holds_halides(i.path) for i in inputs):
        from matterscope.materials.transitions.halide_training import train_halides

        return train_halides(inputs, settings, call)
    if inputs and all(i.path is not None and holds_levels(i.path) for i in inputs):
        from matterscope.materials.transitions.training import train_levels

        return train_levels(inputs, settings, call)
    from matterscope.materials.alloys.training import train_alloys

    return train_alloys(inputs, settings, call)
