"""Assemble a built folder into a set: one spectrum per structure and stream, labels, groups.

In: the folder of `spectra build`. Out: a `SpectralSet` on fixed grids: K edges from the cached sites
(FEFF), L2,3 edges of Ni, Mn and Co from every site of the stored structure (multiplets).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.errors import DataError, MatterscopeError
from matterscope.core.files import write_array
from matterscope.physics.structures import from_record
from matterscope.spectra.sets.structures import METALS
from matterscope.spectra.simulators.contract import keep
from matterscope.spectra.simulators.l23 import VERSION, Multiplet, edge_grid
from matterscope.spectra.simulators.ligandfield import site_parameters
from matterscope.spectra.simulators.multiplet import IONS, Field

K_GRIDS = {
    # eV on FEFF's own axis, which is off by a few eV; models align every spectrum by its edge
    "O_K": (525.0, 575.0), "Ni_K": (8325.0, 8380.0), "Mn_K": (6531.0, 6586.0), "Co_K": (7701.0, 7756.0),
}  # fmt: skip
STEP = 0.25
STREAMS = (*K_GRIDS, "Ni_L23", "Mn_L23", "Co_L23")


@dataclass(frozen=True)
class SpectralSet:
    """Spectra of many structures, by stream.

    Parameters
    ----------
    energy : dict of str to array of shape (m,), eV
        Grid of each stream.
    mu : dict of str to array of shape (n, m)
        NaN rows where a structure has no spectrum of a stream.
    labels : DataFrame of n rows
        Labels, and ``index``, ``parent``, ``family``.
    digest : str
        sha256 over the structures' digests.
    failures : list of str
        What could not be computed, with the reason.
    """

    energy: dict[str, NDArray[np.float64]]
    mu: dict[str, NDArray[np.float64]]
    labels: pd.DataFrame
    digest: str
    failures: list[str]

    def __len__(self) -> int:
        return len(self.labels)


def k_grid(stream: str) -> NDArray[np.float64]:
    """Return the energies (eV) of a K stream."""
    low, high = K_GRIDS[stream]
    return np.arange(low, high + STEP / 2, STEP)


def site_sum(record: dict[str, Any], stream: str, folder: Path) -> NDArray[np.float64] | None:
    """Return the average over a structure's simulated sites of one element, on absolute energies."""
    element, edge = stream.split("_")
    grid = k_grid(stream)
    total, norm = np.zeros(len(grid)), 0.0
    for entry in record["spectra"]:
        if entry["element"] != element or entry["edge"] != edge:
            continue
        path = folder / "sites" / entry["task"][:2] / f"{entry['task']}.json"
        stored = json.loads(path.read_text())
        weight = entry["share"] * stored["attrs"]["normalisation"]
        total += weight * np.interp(grid, stored["energy"], stored["mu"])
        norm += weight
    return total / norm if norm > 0 else None


@lru_cache(maxsize=4096)
def ion_spectrum(ion: str, ten_dq: float, ds: float, dt: float) -> NDArray[np.float64]:
    """Return the L2,3 spectrum of an ion in a field; like sites share one diagonalisation."""
    engine = Multiplet(ion=ion, field=Field(ten_dq, ds, dt))
    return np.asarray(engine.expect(engine.ion_task()).mu.values)


def l23_sum(record: dict[str, Any], element: str) -> NDArray[np.float64] | None:
    """Return the mean L2,3 spectrum of all sites of a metal in a structure (strength per eV)."""
    stored = record["structure"]
    atoms = from_record(stored)
    sites = np.flatnonzero(atoms.numbers == METALS[element])
    total: NDArray[np.float64] | None = None
    for site in sites:
        moment = stored["moments"][site]
        found = site_parameters(atoms, int(site), float("nan") if moment is None else moment)
        field = found.field
        mu = ion_spectrum(found.ion, field.ten_dq, field.ds, field.dt)
        total = mu if total is None else total + mu
    return None if total is None else np.asarray(total / len(sites))


def l23_grid(element: str) -> NDArray[np.float64]:
    """Return the energies (eV) of a metal's L2,3 stream."""
    return edge_grid(next(ion for ion in IONS.values() if ion.element == element))


def cached_l23(record: dict[str, Any], element: str, folder: Path) -> NDArray[np.float64] | None:
    """Return `l23_sum`, kept in the folder under the structure's digest and the engine's version."""
    key = hashlib.sha256(f"{record['digest']}|{element}|{VERSION}".encode()).hexdigest()
    path = folder / "l23" / f"{key}.npy"
    if path.exists():
        stored: NDArray[np.float64] = np.load(path, allow_pickle=False)
        return stored
    found = l23_sum(record, element)
    if found is not None:
        keep(path, lambda: write_array(path, found))
    return found


def _streams(record: dict[str, Any], folder: Path, failures: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stream in STREAMS:
        element, edge = stream.split("_")
        try:
            found[stream] = (
                cached_l23(record, element, folder)
                if edge == "L23"
                else site_sum(record, stream, folder)
            )
        except MatterscopeError as error:
            found[stream] = None
            failures.append(f"structure {record['plan']['index']}, {stream}: {error}")
    return found


def assemble(folder: Path, limit: int | None = None) -> SpectralSet:
    """Return the set in a built folder, structures in the order of their numbers."""
    paths = sorted((folder / "structures").glob("*.json"))[:limit]
    if not paths:
        raise DataError(
            "no structures in this folder", where=str(folder), hint="run `spectra build`"
        )
    energy = {s: k_grid(s) if s in K_GRIDS else l23_grid(s[:2]) for s in STREAMS}
    rows: list[dict[str, Any]] = []
    mu: dict[str, list[Any]] = {s: [] for s in STREAMS}
    failures: list[str] = []
    digest = hashlib.sha256()
    for path in paths:
        record = json.loads(path.read_text())
        if "units" not in record["plan"]:
            raise DataError(
                "this set was built from a prototype, not of layered oxides",
                where=str(folder),
                hint="its sites are training sets: spectra train FOLDER/training/ELEMENT_K",
            )
        failures += [f"structure {record['plan']['index']}: {f}" for f in record["failures"]]
        if "labels" not in record:
            continue
        digest.update(record["digest"].encode())
        plan = record["plan"]
        keys = {k: plan[k] for k in ("index", "parent", "family", "units")}
        rows.append(record["labels"] | keys)
        for stream, values in _streams(record, folder, failures).items():
            mu[stream].append(np.full(len(energy[stream]), np.nan) if values is None else values)
    matrices = {s: np.array(v) for s, v in mu.items()}
    return SpectralSet(energy, matrices, pd.DataFrame(rows), digest.hexdigest(), failures)
