"""The contract of simulators: what is asked, what comes back, and the cache between.

In: a structure, a site, an edge. Out: a `Task` (validated, with a content hash) and from it a
spectrum. Nothing else in the package knows which engine stands behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from ase import Atoms
from ase.neighborlist import neighbor_list

from matterscope.core.errors import ConfigError, DataError, ModelError
from matterscope.core.files import canonical_json, write_text
from matterscope.core.schema import measurement

EDGES = ("K", "L1", "L2", "L3", "L23")
OWN = ("element", "edge", "engine", "engine_version", "task", "kind", "source", "vendor")
"""Attributes that every simulated spectrum carries; notes and facts cannot replace them."""
CLOSEST = 0.5
"""Å; atoms nearer than this are a fault of the structure."""


class SimulationFailed(ModelError):
    """An engine did not give a spectrum."""


class StageFailed(SimulationFailed):
    """A stage of the engine ended with an error."""


class TimedOut(SimulationFailed):
    """The engine ran past its time limit and was stopped."""


@dataclass(frozen=True)
class Task:
    """One spectrum to be computed.

    Parameters
    ----------
    engine, version : str
        Who computes it.
    element, edge : str
        ``"Ni"``, ``"K"``.
    payload : str
        Everything that determines the result, as the engine reads it (a deck, or JSON).
    notes : dict
        Facts about the task that do not change the result (site, number of atoms, settings).
    """

    engine: str
    version: str
    element: str
    edge: str
    payload: str
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """Return the sha256 of engine, version, edge and payload."""
        parts = (self.engine, self.version, self.element, self.edge, self.payload)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Simulator(Protocol):
    """An engine. `task` is pure and validates; `expect` is deterministic; failures are typed."""

    @property
    def name(self) -> str:
        """Return the engine's name."""
        ...

    @property
    def version(self) -> str:
        """Return the version that stands in hashes."""
        ...

    def supports(self, element: str, edge: str) -> str | None:
        """Return None, or the reason why this edge cannot be computed."""
        ...

    def task(self, atoms: Atoms, site: int, edge: str) -> Task:
        """Return the task for one absorbing site (0-based)."""
        ...

    def expect(self, task: Task) -> xr.Dataset:
        """Return the spectrum (energy in eV, ``mu``, ``mu0``); raise `SimulationFailed`."""
        ...


def check_structure(atoms: Atoms) -> None:
    """Raise where a structure cannot be simulated: shared sites, or atoms on top of each other."""
    occupancy = atoms.info.get("occupancy")
    if occupancy and any(sum(o.values()) < 0.999 or len(o) > 1 for o in occupancy.values()):
        raise DataError(
            "the structure has partly occupied sites",
            hint="give an ordered supercell; `spectra build` enumerates orderings",
        )
    first, second, apart = neighbor_list("ijd", atoms, CLOSEST)
    if len(apart):
        nearest = int(np.argmin(apart))
        one, other, distance = int(first[nearest]), int(second[nearest]), float(apart[nearest])
        raise DataError(
            f"atoms {one} and {other} are {distance:.2f} Å apart",
            got=f"{atoms.symbols[one]} and {atoms.symbols[other]}",
            expected=f"at least {CLOSEST} Å",
            hint="look for atoms given twice, or a split site",
        )


def check_site(simulator: Simulator, atoms: Atoms, site: int, edge: str) -> str:
    """Return the absorber's symbol; raise where structure, site or edge make no sense."""
    if edge not in EDGES:
        raise ConfigError("unknown edge", got=edge, expected="one of " + ", ".join(EDGES))
    if not 0 <= site < len(atoms):
        raise ConfigError(
            "site is not in the structure", got=site, expected=f"0 … {len(atoms) - 1}"
        )
    check_structure(atoms)
    element = str(atoms.get_chemical_symbols()[site])
    reason = simulator.supports(element, edge)
    if reason:
        raise ConfigError(f"{simulator.name} cannot compute {element} {edge}: {reason}")
    return element


def as_measurement(task: Task, energy: Any, mu: Any, mu0: Any = None, **attrs: Any) -> xr.Dataset:
    """Return a checked spectrum that carries its task's engine, hash and notes."""
    variables: dict[str, tuple[tuple[str, ...], Any, str]] = {"mu": (("energy",), mu, "1")}
    if mu0 is not None:
        variables["mu0"] = (("energy",), mu0, "1")
    return measurement(
        "spectrum",
        {"energy": (np.asarray(energy, dtype=float), "eV")},
        variables,
        source={"uri": f"{task.engine} {task.version}", "selector": task.key[:12]},
        element=task.element,
        edge=task.edge,
        engine=task.engine,
        engine_version=task.version,
        task=task.key,
        **{k: v for k, v in (task.notes | attrs).items() if k not in OWN},
    )


def cached(simulator: Simulator, task: Task, folder: Path | None) -> xr.Dataset:
    """Return the spectrum of `task`, from `folder` if it was computed before.

    A stored spectrum is a JSON file named by the task's hash; floats are written so that reading
    gives the same bits back.
    """
    if folder is None:
        return simulator.expect(task)
    path = folder / task.key[:2] / f"{task.key}.json"
    if path.exists():
        stored = json.loads(path.read_text())
        return as_measurement(
            task, stored["energy"], stored["mu"], stored["mu0"], **stored["attrs"]
        )
    found = simulator.expect(task)
    own = {*task.notes, *OWN, "cpu_s"}
    record = {
        "energy": found.energy.values.tolist(),
        "mu": found.mu.values.tolist(),
        "mu0": found.mu0.values.tolist() if "mu0" in found else None,
        "attrs": {k: v for k, v in found.attrs.items() if k not in own},
    }
    keep(path, lambda: write_text(path, canonical_json(record)))
    return found


def keep(path: Path, write: Callable[[], None]) -> None:
    """Write a cache file; another worker that wrote the same content first is no fault."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write()
    except FileNotFoundError:  # both wrote aside under one name, the other renamed it
        if not path.exists():
            raise
