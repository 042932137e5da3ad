"""Which alloy model answers: the one named, or one made on the spot from the user's table.

In: the inputs of a verb and its `model` setting. Out: a fitted model, where it came from, and notes.
"""

from __future__ import annotations

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.files import sha256_of
from matterscope.core.models import model_file
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.persistence import load_model
from matterscope.materials.alloys.training import fit_all, reading_notes, training_table
from matterscope.materials.settings import PredictSettings, ScreenSettings

Note = tuple[str, str, str]


def model_for(
    inputs: list[Input], settings: ScreenSettings | PredictSettings, call: Call
) -> tuple[AlloyModel, dict[str, str], list[Note]]:
    """Return the model, its source, and notes to be flagged."""
    if settings.model:
        path = model_file(settings.model)
        digest = sha256_of(path)
        return load_model(path), {"source": path.name, "sha256": digest, "name": f"alloys@{digest[:8]}"}, []  # fmt: skip
    if not inputs:
        raise ConfigError(
            "this verb needs a model or a table to learn from",
            hint="no model of alloys is shipped (the public table has no licence): give TABLE, or --model FILE from materials train",
        )
    table = training_table(inputs, settings)
    model = fit_all(table, call)
    source = {
        "source": table.source,
        "sha256": "+".join(i.sha256 for i in inputs),
        "name": "made on the spot from " + table.source,
    }
    note = (
        "model-made-on-the-spot",
        f"no --model was given: one was learnt from {len(table)} rows of {table.source} for this answer",
        "materials train scores it on left-out rows and keeps it for --model",
    )
    return model, source, [note, *reading_notes(table)]
