"""Search a built set for the structures whose spectra look most like a measured one.

In: spectra of one sample and the folder of a built set (or of several edges together). Out: a ranked list
with the correlation after alignment, the distance, and what the nearest structures share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.pictures import Panel, Picture, line
from matterscope.io.reading import measurements
from matterscope.spectra.fusion.family import stream_of
from matterscope.spectra.fusion.streams import block_grid, stream_blocks
from matterscope.spectra.fusion.training import set_blocks
from matterscope.spectra.measured.quality import SEVERE, examine_all
from matterscope.spectra.sets.assembly import STREAMS, assemble

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import SearchSettings

Floats = NDArray[np.float64]

SHOWN = ("lithium_content", "nickel_oxidation_state", "bond_length", "oxygen_vacancy", "antisite")


def rank(blocks: dict[str, Floats], known: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Return Pearson r and root mean square distance (n,) of every structure, meaned over the blocks."""
    r, far = [], []
    for block, values in blocks.items():
        rows = known[block]
        centred, own = rows - rows.mean(axis=1, keepdims=True), values - values.mean()
        norm = np.linalg.norm(centred, axis=1) * max(float(np.linalg.norm(own)), 1e-12)
        r.append(centred @ own / np.maximum(norm, 1e-12))
        far.append(np.sqrt(((rows - values) ** 2).mean(axis=1)))
    return np.mean(r, axis=0), np.mean(far, axis=0)


def search_set(inputs: list[Input], settings: SearchSettings, call: Call) -> list[Estimate]:
    """Rank the structures of a built set by their likeness to the spectra of one sample: `spectra search`."""
    if not settings.folder or not Path(settings.folder).is_dir():
        raise ConfigError(
            "the folder of a built set is needed", got=settings.folder or "none", hint="--folder, from `spectra build`"
        )  # fmt: skip
    estimate = Estimate("spectra search", inputs[0].ref)
    blocks: dict[str, Floats] = {}
    for given in inputs:
        for seen in examine_all(measurements(given, "spectrum"), "auto"):
            if seen.codes & SEVERE or stream_of(seen) not in STREAMS:
                estimate.flag(
                    "not_searched",
                    f"{seen.label or given.source} was left out.",
                    "matterscope check FILE",
                )
                continue
            mu = seen.normalised.mu if seen.normalised is not None else seen.raw
            blocks |= stream_blocks(stream_of(seen), seen.energy, mu)
    if not blocks:
        raise DataError(
            "no spectrum covers an edge of the set",
            where=inputs[0].source,
            expected=", ".join(STREAMS),
        )
    data = assemble(Path(settings.folder))
    known, kept = set_blocks(data)
    r, far = rank(blocks, known)
    order = np.argsort(far, kind="stable")[: settings.top]
    table = data.labels.iloc[kept[order]][["index", "parent", "family", *SHOWN]].copy()
    table.insert(0, "distance", far[order])
    table.insert(0, "r", r[order])
    table = table.reset_index(drop=True)
    table.attrs["units"] = {"bond_length": "Å"}
    estimate.tables["nearest"] = table
    estimate.quantities["best_correlation"] = Quantity(
        float(r[order[0]]), "1", reason="likeness of shapes, not a probability"
    )
    estimate.diagnostics |= {"blocks": sorted(blocks), "structures": len(kept), "set": data.digest}
    if float(r[order[0]]) < 0.95:
        estimate.flag(
            "nothing_alike",
            f"The best correlation is {r[order[0]]:.2f}.",
            "build a set of this family",
        )
    estimate.provenance["references"] = ["arXiv 2501.08919"]
    estimate.pictures.append(_picture(blocks, known, order, table))
    return [estimate]


def _picture(
    blocks: dict[str, Floats],
    known: dict[str, Floats],
    order: NDArray[np.int64],
    table: pd.DataFrame,
) -> Picture:
    panels = []
    for block, values in sorted(blocks.items()):
        grid = block_grid(block)
        layers = [
            line(grid, known[block][i], f"structure {int(table['index'][k])}", f"series{k}")
            for k, i in enumerate(order[:3])
        ]
        layers.append(line(grid, values, "this spectrum", "data"))
        panels.append(Panel(tuple(layers), "energy from the edge (eV)", "µ / mean", block))
    return Picture(
        "nearest", "Nearest simulated structures", tuple(panels), "", columns=min(2, len(panels))
    )
