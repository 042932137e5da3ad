"""Movies: the number of disks against time, one frame in memory, pictures of the whole.

In: a stream of frames. Out: one estimate with a row per frame, its band, and change points.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, Interval, Quantity
from matterscope.scattering import pictures
from matterscope.scattering.description import REFERENCES
from matterscope.scattering.frames import Frame, frame_numbers, load_frames
from matterscope.scattering.number_density import solve
from matterscope.scattering.posterior import credible_set

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings

Floats = NDArray[np.float64]
DECISIVE = np.log(20.0)
"""A change of N between frames is reported where the odds against equality exceed 20."""


def follow(given: Input, settings: DensitySettings, call: Call) -> Estimate:
    """Return N against the frame for a stack, as one estimate.

    Every frame is a unit of work: it is read, answered and forgotten where it is computed, so that a stack
    of any length takes the memory of one frame per worker, and a stopped run goes on where it was.
    """
    items: list[tuple[Any, dict[str, Any]]]
    chosen = None if given.path is None else frame_numbers(given, settings)
    if chosen is not None:
        source = replace(given, data=None)
        items = [(source, settings.model_dump() | {"frames": f"{k}:{k + 1}:1"}) for k in chosen]
    else:
        items = [(frame, settings.model_dump()) for frame in load_frames(given, settings)]
    done = call.map(answer_unit, items, "density")
    lost = [row for row in done if "refused" in row]
    done = [row for row in done if "refused" not in row]
    rows = [{k: v for k, v in row.items() if k != "posterior"} for row in done]
    shares = [row["posterior"] for row in done]
    if not rows:
        reason = f": {lost[0]['refused']}" if lost else " that was asked for"
        raise DataError(f"the stack has no frame{reason}", where=given.source)
    table, chance = pd.DataFrame(rows), np.stack(shares)
    estimate = Estimate("scattering density", input=given.ref, tables={"frames": table})
    if lost:
        places = ", ".join(str(row["frame"]) for row in lost[:8])
        estimate.flag(
            "frames-refused",
            f"{len(lost)} of {len(lost) + len(rows)} frames hold no pattern that can be answered (frames {places}): {lost[0]['refused']}",
            "look at these frames; leave them out with --frames",
        )
    mean = chance.mean(axis=0)
    numbers = np.arange(1.0, mean.size + 1.0)
    bands = tuple(Interval(level, *credible_set(numbers, mean, level)) for level in call.levels)
    estimate.quantities["disk_number"] = Quantity(
        int(numbers[np.argmax(mean)]), "1", intervals=bands
    )
    changes = change_points(chance)
    estimate.diagnostics |= {
        "frames": len(rows),
        "independent_realisations": independent_frames(chance, table["disk_number"].to_numpy()),
        "change_points": [int(table["frame"][k]) for k in changes],
        "proved": float(table["proved"].mean()),
    }
    if changes:
        estimate.flag(
            "number-changes",
            f"the number of disks changes at frame{'s' * (len(changes) > 1)} {', '.join(str(int(table['frame'][k])) for k in changes[:8])}",
            "read the table of frames, not the mean",
        )
    estimate.provenance |= {"references": REFERENCES}
    estimate.pictures.append(
        pictures.frames(
            table["frame"].to_numpy(dtype=float),
            table["disk_number"].to_numpy(dtype=float),
            table["low_90"].to_numpy(),
            table["high_90"].to_numpy(),
        )
    )
    return estimate


def answer_unit(item: tuple[Any, dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Answer one frame of a stack: a unit of work."""
    from matterscope.scattering.settings import DensitySettings

    source, given = item
    settings = DensitySettings.model_validate(given)
    frame = source if isinstance(source, Frame) else next(load_frames(source, settings))
    try:
        solution = solve(frame, settings, rng)
    except DataError as error:
        return {"frame": frame.index, "refused": error.what}
    low, high = credible_set(solution.numbers, solution.posterior, 0.9)
    return {
        "frame": frame.index,
        "disk_number": solution.answer,
        "low_90": low,
        "high_90": high,
        "proved": solution.verdict == "proved",
        "photons_per_pixel": solution.ready.level,
        "posterior": solution.posterior,
    }


def change_points(chance: Floats) -> list[int]:
    """Return the rows at which the posterior over N no longer agrees with that of the row before.

    The odds for one common N are Σ p₁p₂ over Σ p₁² Σ p₂² under its geometric mean.
    """
    found = []
    for k in range(1, len(chance)):
        common = float((chance[k] * chance[k - 1]).sum())
        alone = float(np.sqrt((chance[k] ** 2).sum() * (chance[k - 1] ** 2).sum()))
        if np.log(max(alone, 1e-300)) - np.log(max(common, 1e-300)) > DECISIVE:
            found.append(k)
    return found


def independent_frames(chance: Floats, number: Floats) -> int:
    """Return how many rows are not a repeat of the row before, as far as the answers tell."""
    return int(1 + len(change_points(chance))) if len(number) else 0
