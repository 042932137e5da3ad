"""`materials train`: one verb for tables of defect levels and tables of alloys.

In: a table. Out: what the trainer of its kind answers; the columns say which kind it is.
"""

from __future__ import annotations

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate
from matterscope.materials.settings import TrainSettings


def train_model(inputs: list[Input], settings: TrainSettings, call: Call) -> list[Estimate]:
    """Train on a table of alloys."""
    from matterscope.materials.alloy_training import train_alloys

    return train_alloys(inputs, settings, call)
