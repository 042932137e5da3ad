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
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape
from matterscope.spectra.measured.quality import SEVERE, Examined, examine_all
from matterscope.spectra.sets.assembly import STREAMS, assemble
from matterscope.spectra.sets.trainingsets import load_set

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
    if (Path(settings.folder) / "training").is_dir() or (
        Path(settings.folder) / "spectra.npz"
    ).is_file():
        return [search_sites(inputs, settings)]
    estimate = Estimate("spectra search", inputs[0].ref)
    blocks: dict[str, Floats] = {}
    for given in inputs:
        for seen in _examined(given, settings):
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
    _likeness(estimate, float(r[order[0]]))
    estimate.diagnostics |= {"blocks": sorted(blocks), "structures": len(kept), "set": data.digest}
    estimate.provenance["references"] = ["arXiv 2501.08919"]
    estimate.pictures.append(_picture(blocks, known, order, table))
    return [estimate]


def _examined(given: Input, settings: SearchSettings) -> list[Examined]:
    axis = {"energy": settings.energy} if settings.energy else {}
    return examine_all(measurements(given, "spectrum", **axis), "auto")


def search_sites(inputs: list[Input], settings: SearchSettings) -> Estimate:
    """Rank the sites of a training set (or of a built prototype set) by their likeness to one spectrum.

    Shapes are compared after alignment by E½, on the widest window that the spectrum covers.
    """
    estimate, folder = Estimate("spectra search", inputs[0].ref), Path(settings.folder)
    spectra = [s for given in inputs for s in _examined(given, settings)]
    if len(spectra) != 1 or spectra[0].codes & SEVERE or spectra[0].normalised is None:
        raise DataError(
            "one spectrum with an edge is needed to search the sites of a training set",
            where=inputs[0].source,
            got=f"{len(spectra)} spectra, {', '.join(sorted(spectra[0].codes)) if spectra else ''}",
            hint="FILE:NAME picks one of several",
        )
    seen = spectra[0]
    own = folder / "training" / f"{seen.element}_{seen.edge}"
    known = load_set(own if own.is_dir() else folder)
    if (known.element, known.edge) != (seen.element, seen.edge):
        raise DataError(
            f"the set holds {known.element} {known.edge}, the spectrum is {seen.element} {seen.edge}",
            where=str(folder),
        )
    window, shape = _covered(seen)
    rows = known.shapes(window, partial=True)
    usable = np.isfinite(rows).all(axis=1)
    if not usable.any():
        raise DataError(
            "no spectrum of the set is long enough", where=str(folder), expected="E½ + 38 eV"
        )
    r, far = rank({"K": shape}, {"K": rows[usable]})
    order = np.argsort(far, kind="stable")[: settings.top]
    chosen = np.flatnonzero(usable)[order]
    labels = [known.labels[i] for i in chosen]
    table = pd.DataFrame(
        {
            "r": r[order],
            "distance": far[order],
            "material": known.materials[chosen],
            "formula": known.formulas[chosen],
            "coordination_number": [s.coordination if s else np.nan for s in labels],
            "bond_length": [s.bond if s else np.nan for s in labels],
        }
    )
    table.attrs["units"] = {"bond_length": "Å"}
    estimate.tables["nearest"] = table
    estimate.diagnostics |= {"window": window, "sites": int(usable.sum()), "set": known.digest}
    estimate.provenance["references"] = ["arXiv 2310.07049"]
    _likeness(estimate, float(r[order[0]]))
    axis = WINDOWS[window]
    layers = [
        line(axis, rows[i], str(known.materials[i]), f"series{k + 1}")
        for k, i in enumerate(chosen[:3])
    ]
    layers.append(line(axis, shape, "this spectrum", "data"))
    panel = Panel(tuple(layers), "energy from E½ (eV)", "normalised absorption")
    estimate.pictures.append(
        Picture("nearest", "Nearest simulated sites", (panel,), "Aligned by E½; nothing broadened.")
    )
    return estimate


def _covered(seen: Examined) -> tuple[str, Floats]:
    """Return the widest window that a spectrum fills, and its shape on it."""
    assert seen.normalised is not None
    for window in ("wide", "narrow"):
        shape, _ = aligned_shape(seen.normalised.energy, seen.normalised.mu, window, seen.position)
        if np.isfinite(shape).all():
            return window, shape
    raise DataError(
        "the spectrum ends too early after its edge",
        where=seen.label,
        got=f"{seen.energy[-1] - seen.position:.0f} eV",
        expected="at least 38 eV",
    )


def _likeness(estimate: Estimate, best: float) -> None:
    estimate.quantities["best_correlation"] = Quantity(
        best, "1", reason="likeness of shapes, not a probability"
    )
    if best < 0.95:
        estimate.flag(
            "nothing_alike", f"The best correlation is {best:.2f}.", "build a set of this family"
        )


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
            line(grid, known[block][i], f"structure {int(table['index'][k])}", f"series{k + 1}")
            for k, i in enumerate(order[:3])
        ]
        layers.append(line(grid, values, "this spectrum", "data"))
        panels.append(Panel(tuple(layers), "energy from the edge (eV)", "µ / mean", block))
    return Picture(
        "nearest", "Nearest simulated structures", tuple(panels), "", columns=min(2, len(panels))
    )
