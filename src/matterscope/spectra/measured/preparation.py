"""The verb `reduce`: raw files in, spectra one can compare out, with a record of every step.

In: X-ray absorption or energy-loss files. Out: one estimate per spectrum (or per merged edge), and the
reduced spectra as files (CSV, XDI, NXxas, EMSA) beside a JSON of the steps.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.files import sha256_of, write_json, write_text
from matterscope.core.schema import measurement
from matterscope.core.verbs import as_input
from matterscope.io import measurements, write
from matterscope.spectra.loss.loss_reduction import is_energy_loss, reduce_energy_loss
from matterscope.spectra.measured.absorption_reduction import (  # fmt: skip
    Scan,
    answer,
    finish,
    foil_shift,
    merge,
    prepare,
)
from matterscope.spectra.settings import ReduceSettings

Array = NDArray[np.float64]
FORMATS = {"msa": "emsa", "xdi": "xdi", "nxxas": "nxxas"}


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
        One per spectrum or spectrum image; with ``merge`` one per absorption edge.
    """
    answers: list[Estimate] = []
    absorption: list[tuple[xr.Dataset, InputRef]] = []
    axis = {"energy": settings.energy} if settings.energy else {}
    low_loss = _only(settings.low_loss) if settings.low_loss else None
    for given in inputs:
        for spectrum in measurements(given, "spectrum", **axis):
            ref = _ref(given, spectrum)
            loss = is_energy_loss(spectrum) if settings.technique == "auto" else settings.technique == "eels"  # fmt: skip
            if not loss:
                absorption.append((spectrum, ref))
                continue
            estimate, state = reduce_energy_loss(spectrum, ref, settings, call, low_loss)
            columns = {"counts": state.counts} | state.extra
            units = spectrum["mu"].attrs["units"]
            _store(estimate, state.energy, columns, units, spectrum.attrs, settings, call)
            answers.append(estimate)
    return answers + _absorption(absorption, settings, call)


def _only(name: str) -> xr.Dataset:
    found = measurements(as_input(name), "spectrum")
    if len(found) != 1:
        raise DataError(
            "this file holds several spectra",
            where=name,
            got=len(found),
            hint="name one: FILE:NAME",
        )
    chosen: xr.Dataset = found[0]
    return chosen


def _absorption(
    given: list[tuple[xr.Dataset, InputRef]], settings: ReduceSettings, call: Call
) -> list[Estimate]:
    if not given:
        return []
    shift, foil = foil_shift(_only(settings.foil)) if settings.foil else (0.0, "")
    scans = [prepare(spectrum, ref, settings, shift) for spectrum, ref in given]
    answers = []
    for members in _groups(scans, settings.merge):
        group, spectrum = [scans[k] for k in members], given[members[0]][0]
        merged, left_out, _ = merge(group) if len(group) > 1 else (group[0], [], None)
        reduced = finish(merged, settings)
        estimate = answer(reduced, group, left_out, call)
        if foil:
            estimate.diagnostics["foil"] = {"edge": foil, "shift_ev": shift}
            if abs(shift) > 5.0:
                estimate.flag(
                    "axis_off",
                    f"the foil ({foil}) lies {-shift:+.1f} eV from the table",
                    "the reduced spectrum stands on the axis of the foil",
                )
        attrs = {**spectrum.attrs, "element": reduced.element, "edge": reduced.edge, "normalised": True}  # fmt: skip
        _store(estimate, reduced.energy, _columns(reduced), "1", attrs, settings, call)
        answers.append(estimate)
    return answers


def _groups(scans: list[Scan], how: str) -> list[list[int]]:
    """Return which scans are averaged: none, repeats (names that differ in a last number), or all."""
    if how == "all":
        return [list(range(len(scans)))]
    if how == "off":
        return [[k] for k in range(len(scans))]
    groups: dict[tuple[str, ...], list[int]] = {}
    for k, scan in enumerate(scans):
        stem = re.sub(r"[\s._-]*\d+(\.\w+)?$", "", scan.label).replace(" ", "").lower()
        groups.setdefault((scan.element, scan.edge, stem), []).append(k)
    return list(groups.values())


def _columns(scan: Scan) -> dict[str, Array]:
    return {"mu": scan.mu} | ({} if scan.sigma is None else {"mu_sigma": scan.sigma})


def _ref(given: Input, spectrum: xr.Dataset) -> InputRef:
    origin = spectrum.attrs.get("source") or {}
    return InputRef(given.source, str(origin.get("selector") or given.selector), given.sha256)


# --- files for the user -----------------------------------------------------------------------


def _store(
    estimate: Estimate,
    energy: Array,
    columns: dict[str, Array],
    units: str,
    attrs: dict[str, Any],
    settings: ReduceSettings,
    call: Call,
) -> None:
    stem = _file_name(estimate.input)
    written = []
    for form in dict.fromkeys(settings.write):
        path = call.artifact(f"{stem}.{'nxs' if form == 'nxxas' else form}")
        if form == "csv":
            _write_csv(path, energy, columns)
        else:
            main = next(iter(columns.values()))
            write(_dataset(energy, main, units, attrs), path, format=FORMATS[form])
        written.append(path)
    record = call.artifact(f"{stem}.steps.json")
    steps = estimate.diagnostics.get("steps", [])
    write_json(record, {"input": estimate.input.as_json(), "steps": steps})
    estimate.diagnostics["artifacts"] = [
        {"path": path.name, "sha256": sha256_of(path)} for path in [*written, record]
    ]


def _file_name(ref: InputRef) -> str:
    stem = Path(ref.source).stem + (f"-{ref.selector}" if ref.selector else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:80] or "spectrum"


def _write_csv(path: Path, energy: Array, columns: dict[str, Array]) -> None:
    table = {"energy_ev": energy, **columns}
    rows = zip(*(np.asarray(v).tolist() for v in table.values()), strict=True)
    lines = [",".join(table), *(",".join(repr(v) for v in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _dataset(energy: Array, values: Array, units: str, attrs: dict[str, Any]) -> xr.Dataset:
    kept = {k: v for k, v in attrs.items() if k not in {"kind", "source", "warnings"} and v}  # fmt: skip
    return measurement(
        "spectrum",
        {"energy": (energy, "eV")},
        {"mu": (("energy",), values, units)},
        source=dict(attrs.get("source") or {}),
        **kept,
    )
