"""Simulated patterns on disk: structures, exposures, and the truth beside them.

In: the settings of `scattering simulate`. Out: a file of patterns with its truth in another file.
Every pattern has its own random stream, so that workers and interruptions change no byte.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import sha256_of, write_text
from matterscope.io.measurement import write
from matterscope.io.patterns import as_patterns
from matterscope.scattering import pictures
from matterscope.scattering.disks import Recipe, place
from matterscope.scattering.speckle import Beamline, detect, intensity, published_grid

if TYPE_CHECKING:
    from matterscope.scattering.settings import SimulateSettings

REFERENCES = ["arXiv 2211.08194, Comput. Mater. Sci. 2023: the published speckle geometry"]


def simulate_patterns(
    inputs: list[Input], settings: SimulateSettings, call: Call
) -> list[Estimate]:
    """Simulate patterns of disks and write them with their truth beside them."""
    numbers = range(settings.n, (settings.n_last or settings.n) + 1)
    if not numbers:
        raise ConfigError(
            "n-last must not be below n", got=settings.n_last, expected=f"≥ {settings.n}"
        )
    items = [(n, settings.model_dump()) for n in numbers for _ in range(settings.patterns)]
    made = call.map(simulate_one, items, "patterns")
    counts = np.stack([m["counts"] for m in made])
    open_pixels = np.asarray(np.stack([m["open"] for m in made]).all(axis=0))
    grid = published_grid(settings.pixels)
    dataset = as_patterns(
        counts.astype(np.float32)
        if settings.photons == 0 or settings.read_noise
        else counts.astype(np.int32),
        step=grid.step,
        centre=(grid.origin if settings.offset == 0 else None),
        open_pixels=open_pixels,
        length_unit="px",
        area=settings.box**2,
        label=f"{len(made)} simulated patterns",
    )
    path = call.artifact(settings.file)
    write(dataset, path)
    rows = [
        {"frame": k, "disk": j, "x": x, "y": y, "radius": r}
        for k, m in enumerate(made)
        for j, (x, y, r) in enumerate(zip(m["x"], m["y"], m["radius"], strict=True))
    ]
    truth = pd.DataFrame(rows)
    truth.attrs["units"] = {"x": "px", "y": "px", "radius": "px"}
    beside = path.with_suffix(".truth.csv")
    write_text(beside, truth.to_csv(index=False))
    return [_answer(made, truth, settings, call, [path, beside], open_pixels)]


def simulate_one(item: tuple[int, dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Simulate one pattern: a unit of work, the same on any executor."""
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
    paths: list[Any],
    open_pixels: Any,
) -> Estimate:
    first = made[0]
    estimate = Estimate("scattering simulate", tables={"truth": truth})
    known = "a simulated truth, exact"
    estimate.quantities["patterns"] = Quantity(len(made), "1", reason=known)
    area = np.pi * sum(float((m["radius"] ** 2).sum()) for m in made) / len(made)
    estimate.quantities["area_fraction"] = Quantity(area / settings.box**2, "1", reason=known)
    estimate.diagnostics["artifacts"] = [{"path": p.name, "sha256": sha256_of(p)} for p in paths]
    if len(made) == 1:
        n = len(first["radius"])
        estimate.diagnostics["truth"] = {
            "disk_number": n,
            "number_density": n / settings.box**2,
            "disk_radius": float(first["radius"].mean()),
        }
    estimate.provenance = {"references": REFERENCES, "engine": settings.engine, "seed": call.seed}
    disks = pictures.circles(first["y"], first["x"], first["radius"], "disks", "truth")
    picture = pictures.pattern_and_structure(
        first["counts"],
        open_pixels,
        disks,
        "px",
        "The first pattern and the structure it was made from.",
    )
    panels = (picture.panels[0], replace(picture.panels[1], title="structure simulated"))
    estimate.pictures.append(replace(picture, panels=panels))
    return estimate
