"""A small verb with units of work, planted into the catalogue to test executors, store and command line."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, from_samples
from matterscope.core.pictures import Panel, Picture, line
from matterscope.core.settings import Settings, option


class PlantedSettings(Settings):
    """Settings of the planted verb."""

    count: int = option(5, "Number of units.", ge=1)
    delay: float = option(0.0, "Pause in each unit.", units="s", ge=0)
    kill: str = option("", "File; the first worker that does not find it makes it and dies.")
    words: tuple[str, ...] = option((), "Any words.")


def unit(item, rng):
    """Return numbers that depend on the item and its generator only."""
    time.sleep(item["delay"])
    if item["kill"] and item["index"] == 2 and not Path(item["kill"]).exists():
        Path(item["kill"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"draws": rng.normal(size=7), "index": item["index"]}


def answer(inputs, settings, call):
    """Return one estimate per input (or one without input)."""
    answers = []
    for given in inputs or [None]:
        if given is not None and b"broken" in given.path.read_bytes():
            raise DataError("this input is broken", where=given.source)
        items = [
            {"index": i, "delay": settings.delay, "kill": settings.kill}
            for i in range(settings.count)
        ]
        found = call.map(unit, items, "planted")
        assert [f["index"] for f in found] == list(range(settings.count))
        draws = np.concatenate([f["draws"] for f in found])
        estimate = Estimate(
            "planted answer", quantities={"purity": from_samples(draws, "1", call.levels)}
        )
        if given is not None:
            estimate.input = given.ref
        estimate.arrays["draws"] = xr.DataArray(draws, dims=("n",), attrs={"units": "1"})
        estimate.tables["rows"] = pd.DataFrame({"draw": draws})
        estimate.flag("planted", "a <b>bold</b> $claim$", "none")
        estimate.pictures.append(
            Picture(
                "draws",
                "Draws <i>",
                [Panel([line(range(draws.size), draws, "x < y $z$")], "n", "draw / 1")],
            )
        )
        answers.append(estimate)
    return answers


def plant():
    """Put the verb into the catalogue."""
    from matterscope.runs.catalogue import VERBS, Verb

    VERBS["spectra planted"] = Verb(
        "planted:answer", "planted:PlantedSettings", "Planted.", inputs="files?"
    )


if __name__ == "__main__":
    plant()
    from matterscope.cli.app import main

    main()
