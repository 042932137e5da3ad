"""Simulated patterns on disk: structures, exposures, and the truth beside them.

In: the settings of `scattering simulate`. Out: a file of patterns with its truth in another file.
Every pattern has its own random stream, so that workers and interruptions change no byte.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import sha256_of, write_bytes, write_text
from matterscope.core.random import generator
from matterscope.io.detector_axes import as_patterns
from matterscope.io.measurement import write_stack
from matterscope.scattering import pictures
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid

if TYPE_CHECKING:
    from matterscope.scattering.settings import SimulateSettings

CHUNK = 4_000_000
"""Pixels in a chunk: 15 patterns of 513² or 240 of 129²."""
REFERENCES = ["arXiv 2211.08194, Comput. Mater. Sci. 2023: the published speckle geometry"]


def simulate_patterns(
    inputs: list[Input], settings: SimulateSettings, call: Call
) -> list[Estimate]:
    """Simulate patterns of disks and write them with their truth beside them.

    A unit of work is a chunk of patterns in a file of its own; the file of all is put together from
    them at the end. Memory holds one chunk, and a stopped run goes on with the chunks that are missing.
    """
    numbers = range(settings.n, (settings.n_last or settings.n) + 1)
    if not numbers:
        raise ConfigError(
            "n-last must not be below n", got=settings.n_last, expected=f"≥ {settings.n}"
        )
    wanted = [n for n in numbers for _ in range(settings.patterns)]
    path = call.artifact(settings.file)
    folder = path.with_name(f"{path.stem}.parts")
    folder.mkdir(exist_ok=True)
    size = max(CHUNK // settings.pixels**2, 1)
    given = settings.model_dump() | {"seed": call.seed, "folder": str(folder)}
    chunks = [(k, wanted[k : k + size], given) for k in range(0, len(wanted), size)]
    made = call.map(simulate_chunk, chunks, "patterns")
    _assemble(chunks, made, settings, path)
    shutil.rmtree(folder, ignore_errors=True)
    rows = [
        {"frame": k, "disk": j, "x": x, "y": y, "radius": r}
        for k, m in enumerate(m for chunk in made for m in chunk["structures"])
        for j, (x, y, r) in enumerate(zip(m["x"], m["y"], m["radius"], strict=True))
    ]
    truth = pd.DataFrame(rows)
    truth.attrs["units"] = {"x": "px", "y": "px", "radius": "px"}
    beside = path.with_suffix(".truth.csv")
    write_text(beside, truth.to_csv(index=False))
    return [_answer(made, truth, settings, call, [path, beside])]


def _assemble(
    chunks: list[tuple[int, list[int], dict[str, Any]]],
    made: list[dict[str, Any]],
    settings: SimulateSettings,
    path: Path,
) -> None:
    """Write the file of all patterns from the parts; a part that was lost is computed again."""
    if path.is_file():
        return  # the run was stopped after this
    grid = published_grid(settings.pixels)
    whole = settings.photons > 0 and settings.read_noise == 0
    top = max(m["top"] for m in made)
    kind = np.dtype(np.float32 if not whole else np.uint16 if top < 65535 else np.int32)
    template = as_patterns(
        np.zeros((1, *grid.shape), dtype=kind),
        step=grid.step,
        centre=(grid.origin if settings.offset == 0 else None),
        open_pixels=np.asarray(np.stack([m["open"] for m in made]).all(axis=0)),
        length_unit="px",
        area=settings.box**2,
        label=f"{sum(len(m['structures']) for m in made)} simulated patterns",
    )

    def frames() -> Iterator[Any]:
        for chunk in chunks:
            part = part_path(chunk)
            if not part.is_file():
                simulate_chunk(chunk, np.random.default_rng(0))
            for counts in np.load(part, allow_pickle=False):
                yield counts.astype(kind, copy=False)

    total = sum(len(n) for _, n, _ in chunks)
    write_stack(template, "counts", total, frames(), path)


def part_path(chunk: tuple[int, list[int], dict[str, Any]]) -> Path:
    """Return where the patterns of a chunk are kept until all are there."""
    return Path(chunk[2]["folder"]) / f"{chunk[0]:07d}.npy"


def simulate_chunk(
    chunk: tuple[int, list[int], dict[str, Any]], rng: np.random.Generator
) -> dict[str, Any]:
    """Simulate the patterns of a chunk into its part: a unit of work, the same on any executor.

    Every pattern has a stream of its own number, so that the size of a chunk changes no byte; `rng`, the
    chunk's own, is not used.
    """
    first, numbers, given = chunk
    made = [
        simulate_one((n, given), generator(given["seed"], "patterns", first + k))
        for k, n in enumerate(numbers)
    ]
    counts = np.stack([m.pop("counts") for m in made])
    whole = given["photons"] > 0 and given["read_noise"] == 0
    path = part_path(chunk)
    buffer = io.BytesIO()
    kind = np.float32 if not whole else np.uint16 if counts.max() < 65535 else np.int32
    np.save(buffer, counts.astype(kind), allow_pickle=False)
    write_bytes(path, buffer.getvalue())
    opened = np.stack([m.pop("open") for m in made]).all(axis=0)
    result = {"structures": made, "open": opened, "top": float(counts.max())}
    return result | ({"first": counts[0]} if first == 0 else {})


def simulate_one(item: tuple[int, dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Simulate one pattern with its truth."""
    n, given = item
    recipe = recipe_of(given)
    disks = place(n, recipe, rng)
    beamline = beamline_of(given, rng)
    exposure = detect(intensity(disks, beamline, recipe.box, given["engine"]), beamline, rng)
    return {
        "counts": exposure.counts,
        "open": exposure.open_pixels,
        "x": disks.x,
        "y": disks.y,
        "radius": disks.radius,
        "centre": np.array(beamline.grid.origin),
    }


def recipe_of(given: dict[str, Any]) -> Recipe:
    """Return the recipe of structures of a set of settings."""
    return Recipe(
        box=given["box"],
        radius=given["radius"],
        law=given["law"],
        scatter=given["scatter"],
        placement=given["placement"],
    )


def beamline_of(given: dict[str, Any], rng: np.random.Generator) -> Beamline:
    """Return the beamline of a set of settings; the centre is drawn."""
    grid = published_grid(given["pixels"])
    if given["offset"] > 0:
        cy, cx = grid.origin
        dy, dx = rng.uniform(-given["offset"], given["offset"], 2)
        grid = replace(grid, centre=(cy + dy, cx + dx))
    return Beamline(
        grid,
        photons=given["photons"],
        beam_stop=given["beamstop"] * (given["pixels"] - 1) / 512.0,
        bar=given["bar"],
        gap=given["gap"],
        modes=given["modes"],
        coherence=given["coherence"],
        dead=given["dead"],
        hot=given["hot"],
        read_noise=given["read_noise"],
        saturation=given["saturation"],
    )


def _answer(
    made: list[dict[str, Any]],
    truth: pd.DataFrame,
    settings: SimulateSettings,
    call: Call,
    paths: list[Path],
) -> Estimate:
    structures = [m for chunk in made for m in chunk["structures"]]
    first = structures[0]
    estimate = Estimate("scattering simulate", tables={"truth": truth})
    known = "a simulated truth, exact"
    estimate.quantities["patterns"] = Quantity(len(structures), "1", reason=known)
    area = np.pi * sum(float((m["radius"] ** 2).sum()) for m in structures) / len(structures)
    estimate.quantities["area_fraction"] = Quantity(area / settings.box**2, "1", reason=known)
    estimate.diagnostics["artifacts"] = [{"path": p.name, "sha256": sha256_of(p)} for p in paths]
    if len(structures) == 1:
        n = len(first["radius"])
        estimate.diagnostics["truth"] = {
            "disk_number": n,
            "number_density": n / settings.box**2,
            "disk_radius": float(first["radius"].mean()),
        }
    estimate.provenance = {"references": REFERENCES, "engine": settings.engine, "seed": call.seed}
    disks = pictures.circles(first["y"], first["x"], first["radius"], "disks", "truth")
    picture = pictures.pattern_and_structure(
        made[0]["first"],
        made[0]["open"],
        disks,
        "px",
        "The first pattern and the structure it was made from.",
    )
    panels = (picture.panels[0], replace(picture.panels[1], title="structure simulated"))
    estimate.pictures.append(replace(picture, panels=panels))
    return estimate
