"""Train nmc-core-loss on a built set and put it, its card and three held-out samples into the package.

In: the folder of `matterscope spectra build recipes/nmc.toml --folder nmc --seed 7`. Out, under
src/matterscope/spectra/shipped: nmc-core-loss.model.npz, nmc-core-loss.card.json, demo_nmc.h5.
    python scripts/ship_nmc_core_loss.py nmc
The last parent of the set is left out of the training; its structures are the samples of the demo.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from matterscope import spectra
from matterscope.core.files import canonical_json, write_text
from matterscope.core.random import generator
from matterscope.core.schema import measurement
from matterscope.io.measurement import write
from matterscope.spectra.fusion.fusing import load_fusion
from matterscope.spectra.fusion.training import TARGETS, perturbed
from matterscope.spectra.sets.assembly import STREAMS, assemble

SEED = 7
SHIPPED = Path(__file__).parents[1] / "src" / "matterscope" / "spectra" / "shipped"


def main(folder: Path) -> None:
    data = assemble(folder)
    last = data.labels["parent"].iloc[-1]
    held = data.labels.index[data.labels["parent"] == last].tolist()
    with tempfile.TemporaryDirectory() as scratch:
        found = spectra.fuse(
            folder,
            name="nmc-core-loss",
            limit=len(data) - len(held),
            seed=SEED,
            artifacts=Path(scratch),
        )
        model = Path(scratch) / "nmc-core-loss.model.npz"
        (SHIPPED / model.name).write_bytes(model.read_bytes())
    card, _ = load_fusion(SHIPPED / "nmc-core-loss.model.npz")
    write_text(
        SHIPPED / "nmc-core-loss.card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    )
    made = []
    for number, row in enumerate(held):
        labels = data.labels.loc[row]
        for stream in STREAMS:
            rng = generator(SEED, f"demo {stream}", number)
            element, edge = stream.split("_")
            mu = perturbed(stream, data.energy[stream], data.mu[stream][row], rng)
            name = f"sample {number + 1} {element} {edge}"
            made.append(
                measurement(
                    "spectrum",
                    {"energy": (data.energy[stream], "eV")},
                    {"mu": (("energy",), mu, "1")},
                    source={"uri": "demo_nmc.h5", "selector": name},
                    label=name,
                    element=element,
                    edge="L3" if edge == "L23" else edge,
                    engine="feff10" if edge == "K" else "multiplet",
                    simulated=f"structure {int(labels['index'])} of the set, left out of the training",
                    truth={t: float(labels[t]) for t in TARGETS},
                )
            )
    write(made, SHIPPED / "demo_nmc.h5")
    print(found.tables["ablation"].round(3).to_string())
    print(found.tables["learning_curve"].round(3).to_string())
    print(found.tables["coverage"].round(3).to_string())
    print(canonical_json(found.diagnostics["gain"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
