"""The verb `reduce`: raw files in, spectra one can compare out, with a record of every step.

In: X-ray absorption or energy-loss files. Out: one estimate per spectrum, and the reduced spectra as
files (CSV, XDI, NXxas, EMSA) beside a JSON of the steps.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.files import sha256_of, write_json, write_text
from matterscope.core.schema import measurement
from matterscope.io import measurements
from matterscope.spectra.loss_reduction import Reduced, is_energy_loss, reduce_energy_loss
from matterscope.spectra.settings import ReduceSettings


def reduce(inputs: list[Input], settings: ReduceSettings, call: Call) -> list[Estimate]:
    """Reduce spectra: axis, background, normalisation; what is done depends on the technique.

    Parameters
    ----------
    inputs : list of Input
        Files or measurements of kind "spectrum".
    settings : ReduceSettings
        What is done.
    call : Call
        Levels and the folder for the reduced files.

    Returns
    -------
    list of Estimate
        One per spectrum (or spectrum image).
    """
    answers = []
    for given in inputs:
        for spectrum in measurements(given, "spectrum"):
            ref = _ref(given, spectrum)
            if settings.technique == "xas" or (
                settings.technique == "auto" and not is_energy_loss(spectrum)
            ):
                raise ConfigError(
                    "X-ray absorption spectra are not reduced by this version", where=ref.source
                )
            estimate, state = reduce_energy_loss(spectrum, ref, settings, call)
            _store(estimate, state, spectrum, settings, call)
            answers.append(estimate)
    return answers


def _ref(given: Input, spectrum: xr.Dataset) -> InputRef:
    origin = spectrum.attrs.get("source") or {}
    return InputRef(given.source, str(origin.get("selector") or given.selector), given.sha256)


def _store(
    estimate: Estimate, state: Reduced, spectrum: xr.Dataset, settings: ReduceSettings, call: Call
) -> None:
    stem = _file_name(estimate.input)
    written = []
    for form in dict.fromkeys(settings.write):
        path = call.artifact(f"{stem}.{form if form != 'nxxas' else 'h5'}")
        if form == "csv":
            _write_csv(path, state)
        else:
            _write_format(path, form, state, spectrum)
        written.append(path)
    record = call.artifact(f"{stem}.steps.json")
    write_json(record, {"input": estimate.input.as_json(), "steps": state.steps})
    estimate.diagnostics["artifacts"] = [
        {"path": path.name, "sha256": sha256_of(path)} for path in [*written, record]
    ]


def _file_name(ref: InputRef) -> str:
    stem = Path(ref.source).stem + (f"-{ref.selector}" if ref.selector else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:80] or "spectrum"


def _write_csv(path: Path, state: Reduced) -> None:
    columns: dict[str, Any] = {"energy_ev": state.energy, "counts": state.counts}
    if state.edge_counts is not None:
        columns["above_background"] = state.edge_counts
    rows = zip(*(np.asarray(v).tolist() for v in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(repr(v) for v in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _write_format(path: Path, form: str, state: Reduced, spectrum: xr.Dataset) -> None:
    from matterscope.io import write

    names = {"msa": "emsa", "xdi": "xdi", "nxxas": "nxxas"}
    dataset = measurement(
        "spectrum",
        {"energy": (state.energy, "eV")},
        {"mu": (("energy",), state.counts, spectrum["mu"].attrs["units"])},
        source=dict(spectrum.attrs.get("source") or {}),
        vendor={},
        **{k: v for k, v in spectrum.attrs.items() if k not in {"kind", "source", "vendor"}},
    )
    write(dataset, path, format=names[form])
