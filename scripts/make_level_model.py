"""Make the shipped model of transition levels from the MIT-licensed tables of impurities and native defects.

In: the folder of public data (MATTERSCOPE_DATA). Out: levels.npz and levels.json under materials/shipped.
"""

from __future__ import annotations

import os
from pathlib import Path

from matterscope.core.calls import Call
from matterscope.core.files import write_json
from matterscope.core.verbs import as_input
from matterscope.materials.transitions.models import LevelModel
from matterscope.materials.transitions.persistence import SHIPPED, save_levels
from matterscope.materials.transitions.training import gather, model_card
from matterscope.materials.transitions.validation import leave_hosts_out, score_table

SOURCE = "github.com/lmjacoby/ai_semiconductors (Patterns 3, 100450 (2022)), MIT licence"


def main() -> None:
    folder = Path(os.environ["MATTERSCOPE_DATA"]) / "defects"
    inputs = [as_input(folder / f"{n}_levels_pbe.csv") for n in ("impurity", "native_defect")]
    call = Call(seed=0)
    table, known, _ = gather(inputs)
    scores = score_table(leave_hosts_out(table, known, call)["name"])
    model = LevelModel().fit(table, known, call.seed)
    card = model_card(
        model, scores, [i.path.name for i in inputs if i.path], "+".join(i.sha256 for i in inputs)
    )
    card |= {
        "name": "levels", "licence": "MIT (data) and BSD-3-Clause (code)", "source": SOURCE,
        "references": ["Patterns 3, 100450 (2022)", "arXiv 2203.10349"],
        "rebuild": "MATTERSCOPE_DATA=… python scripts/make_level_model.py",
    }  # fmt: skip
    saved = save_levels(model, SHIPPED, card)
    write_json(SHIPPED.with_suffix(".json"), card | saved)


if __name__ == "__main__":
    main()
