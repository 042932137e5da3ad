"""Descriptors of a defect in a zinc-blende host: impurity, atom replaced, host, site, electron count.

In: host, impurity and site of each defect. Out: standardised blocks for kernels, one matrix for trees.
Everything follows from the element table, gap and lattice constant; no row is known by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.materials.defects.hosts import (
    Host,
    covalent_energy,
    find_host,
    natural_valence_band,
    polar_energy,
    polarity,
)
from matterscope.materials.transitions.tables import SITES, VACANCY
from matterscope.physics.elements import properties

Array = NDArray[np.float64]
Known = Mapping[str, tuple[float | None, float | None]]

ELEMENTAL = (
    "electronegativity", "group", "period", "ionisation_energy_1", "electron_affinity", "covalent_radius",
    "polarisability", "melting_point", "mendeleev_number", "valence_electrons", "orbital_energy_s",
)  # fmt: skip
HOST_PROPERTIES = (
    "electronegativity",
    "ionisation_energy_1",
    "covalent_radius",
    "polarisability",
    "valence_electrons",
)


@dataclass
class Descriptors:
    """Raw descriptors of n defects; `names` says what the columns of each block are."""

    blocks: dict[str, Array]
    names: dict[str, list[str]]


@dataclass
class Scaling:
    """Means and spreads of each block over the training defects."""

    mean: dict[str, Array] = field(default_factory=dict)
    spread: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Descriptors) -> Scaling:
        """Return the scaling that makes these descriptors of mean 0 and spread 1."""
        mean = {k: v.mean(0) for k, v in raw.blocks.items()}
        spread = {k: np.where(v.std(0) > 1e-9, v.std(0), 1.0) for k, v in raw.blocks.items()}
        # a category and a count keep their own unit: one step apart is one step apart
        mean["site"], spread["site"] = np.zeros_like(mean["site"]), np.full_like(mean["site"], 0.5)
        mean["electrons"], spread["electrons"] = np.zeros(1), np.full(1, 2.0)
        return cls(mean, spread)

    def apply(self, raw: Descriptors) -> dict[str, Array]:
        """Return standardised blocks."""
        return {k: (v - self.mean[k]) / self.spread[k] for k, v in raw.blocks.items()}


def outer_electrons(symbols: list[str]) -> Array:
    """Return valence electrons with the filled d shell of groups 11 and 12 counted as core.

    Examples
    --------
    >>> outer_electrons(["Zn", "Cu", "Te", "Fe"]).tolist()
    [2.0, 1.0, 6.0, 8.0]
    """
    both = properties(symbols, ["valence_electrons", "group"])
    return np.where(np.isin(both[:, 1], (11, 12)), both[:, 1] - 10, both[:, 0])


def describe(frame: pd.DataFrame, known: Known | None = None) -> Descriptors:
    """Return the descriptors of the defects in `frame` (host, impurity, site).

    Parameters
    ----------
    frame : DataFrame
        One row per defect; a vacancy has the impurity "vacancy".
    known : mapping, optional
        Gap and lattice constant of hosts, where the user's differ from the table's.
    """
    hosts = {str(h): find_host(str(h), known) for h in frame["host"].unique()}
    per_row = [hosts[str(h)] for h in frame["host"]]
    site = frame["site"].to_numpy(dtype=object)
    empty = (frame["impurity"] == VACANCY).to_numpy()
    first, second = [h.a for h in per_row], [h.b for h in per_row]
    # a vacancy is described as the atom that left; its electrons are taken away instead of exchanged
    removed = [
        a if s == "M_A" else b if s == "M_B" else ""
        for a, b, s in zip(first, second, site, strict=True)
    ]
    impurity = [
        r or a if v else str(m)
        for m, r, a, v in zip(frame["impurity"], removed, first, empty, strict=True)
    ]
    replaced = np.array([bool(r) for r in removed])
    old = [r or m for r, m in zip(removed, impurity, strict=True)]
    own = properties(impurity, ELEMENTAL)
    change = np.where(replaced[:, None], own - properties(old, ELEMENTAL), 0.0)
    numbers = _host_numbers(per_row)
    electrons = np.where(empty, 0.0, outer_electrons(impurity)) - np.where(
        replaced, outer_electrons(old), 0.0
    )
    radius = properties(impurity, ["covalent_radius"])[:, 0] / numbers[:, 1] / (3**0.5 / 4)
    blocks = {
        "impurity": np.column_stack([own, empty]),
        "change": np.column_stack([change, radius]),
        "gap": numbers,
        "host": np.column_stack(
            [properties(first, HOST_PROPERTIES), properties(second, HOST_PROPERTIES), numbers]
        ),
        "site": np.column_stack([(site == s).astype(float) for s in SITES]),
        "electrons": electrons[:, None],
    }
    blocks["trend"] = _bond_energies(per_row)
    numbers_names = ["gap", "lattice_constant", "natural_valence_band", "polarity"]
    names = {
        "impurity": [*(f"impurity {p}" for p in ELEMENTAL), "vacancy"],
        "change": [*(f"impurity − replaced {p}" for p in ELEMENTAL), "radius / bond"],
        "gap": numbers_names,
        "host": [*(f"A {p}" for p in HOST_PROPERTIES), *(f"B {p}" for p in HOST_PROPERTIES), *numbers_names],
        "site": list(SITES), "electrons": ["electrons beyond the replaced atom"],
        "trend": ["gap", "covalent_energy", "polar_energy"],
    }  # fmt: skip
    return Descriptors(blocks, names)


def _host_numbers(hosts: list[Host]) -> Array:
    rows = {h.name: [h.gap, h.lattice, natural_valence_band(h), polarity(h)] for h in hosts}
    return np.array([rows[h.name] for h in hosts])


def _bond_energies(hosts: list[Host]) -> Array:
    """Return gap, covalent and polar energy of the host of each row, eV."""
    rows = {h.name: [h.gap, covalent_energy(h), polar_energy(h)] for h in hosts}
    return np.array([rows[h.name] for h in hosts])


def tree_matrix(raw: Descriptors) -> Array:
    """Return one matrix for trees: all blocks, and impurity minus each host atom."""
    own = raw.blocks["impurity"][:, [0, 3, 5, 6, 9]]
    host = raw.blocks["host"]
    return np.column_stack(
        [raw.blocks[k] for k in ("impurity", "change", "host", "site", "electrons")]
        + [own - host[:, :5], own - host[:, 5:10], host[:, :5] - host[:, 5:10]]
    )
