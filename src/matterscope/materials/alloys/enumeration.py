"""`materials enumerate`: how many alloys a search holds, with the formula, and which.

In: species and denominators by site. Out: exact counts, the partitions of every site, and on request
the list of compounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, bars
from matterscope.materials.alloys.compositions import SITES, formulas
from matterscope.materials.alloys.spaces import LEFT_OUT_PARTITION, Space, make_space, partitions
from matterscope.materials.settings import EnumerateSettings

EXACT = "counted exactly"
LIST_LIMIT = 1_000_000
PARTITION_LIMIT = 2_000_000
PAPER = "arXiv 2109.10798"


def steps_of(text: Sequence[str], owner: str = "materials enumerate") -> dict[str, int]:
    """Return denominators from words such as ``A=8``; sites that are not named stay pure."""
    steps = dict.fromkeys(SITES, 1)
    for word in text:
        site, _, number = word.partition("=")
        if site not in SITES or not number.isdigit():
            raise ConfigError(
                f"steps of {owner} must be SITE=NUMBER", got=word, expected="e.g. A=8,B=8,X=8"
            )
        steps[site] = int(number)
    return steps


def space_of(settings: Any) -> Space:
    """Return the space that the shared settings A, B, X, steps, max_mixed and compat_17955 describe."""
    return make_space(
        {"A": settings.A, "B": settings.B, "X": settings.X},
        steps_of(settings.steps),
        max_mixed=settings.max_mixed,
        left_out=[LEFT_OUT_PARTITION] if settings.compat_17955 else (),
    )


def enumerate_space(inputs: list[Input], settings: EnumerateSettings, call: Call) -> list[Estimate]:
    """Count, and on request list, all compounds of a search."""
    space = space_of(settings)
    answer = Estimate("materials enumerate")
    answer.quantities["number_of_compounds"] = Quantity(
        space.size, "1", reason=f"{EXACT}: {space.counting_formula()}"
    )
    sites = pd.DataFrame(
        {
            "site": SITES,
            "species": [" ".join(g.species) for g in space.grids],
            "steps": [g.steps for g in space.grids],
            "compositions": [g.size for g in space.grids],
            "formula": [g.counting_formula() for g in space.grids],
        }
    )
    answer.tables["sites"] = sites
    answer.diagnostics["count"] = space.counting_formula()
    for site, grid in zip(SITES, space.grids, strict=True):
        if grid.steps > 1 and grid.size <= PARTITION_LIMIT:
            found = partitions(grid)
            answer.tables[f"partitions_{site}"] = pd.DataFrame(
                {"partition": list(found), "compositions": list(found.values())}
            )
            answer.pictures.append(_partition_picture(site, found))
    if not answer.pictures:
        answer.pictures.append(_site_picture(space))
    if settings.compat_17955:
        answer.flag(
            "partition-left-out",
            "compositions 3+3+1+1 of site B are left out, as in the 17,955 compounds of " + PAPER,
            "without --compat-17955 they are counted",
        )
    if settings.listing:
        _list(space, answer, call)
    answer.provenance["references"] = [PAPER]
    return [answer]


def _list(space: Space, answer: Estimate, call: Call) -> None:
    if space.size > LIST_LIMIT:
        raise ConfigError(
            "this list is too long for a text file",
            got=f"{space.size:,} compounds",
            expected=f"at most {LIST_LIMIT:,}",
            hint="materials screen streams predictions of any number to Parquet",
        )
    path = call.artifact("compounds.csv")
    with path.open("w", encoding="utf-8") as handle:
        handle.write("number,formula\n")
        for start in range(0, space.size, 20_000):
            index = np.arange(start, min(start + 20_000, space.size))
            names = formulas(space.unrank(index), space.species, space.steps)
            handle.writelines(f"{i},{name}\n" for i, name in zip(index, names, strict=True))
            call.progress(int(index[-1]) + 1, space.size, "compounds listed")
    answer.diagnostics["artifacts"] = [{"path": path.name, "sha256": sha256_of(path)}]


def _partition_picture(site: str, found: dict[str, int]) -> Picture:
    panel = Panel(
        [bars(np.arange(len(found)), list(found.values()), "compositions", "series0")],
        x_label=f"parts of site {site}",
        y_label="compositions",
        x_ticks=list(found),
    )
    return Picture(
        f"partitions_{site}",
        f"Compositions of site {site} by partition",
        [panel],
        "How many ways there are to share the site, sorted by the size of the parts.",
    )


def _site_picture(space: Space) -> Picture:
    panel = Panel(
        [bars(np.arange(3), [g.size for g in space.grids], "compositions", "series0")],
        x_label="site",
        y_label="compositions",
        y_scale="log",
        x_ticks=list(SITES),
    )
    return Picture(
        "sites", "Compositions by site", [panel], "The search is the product of the three."
    )
