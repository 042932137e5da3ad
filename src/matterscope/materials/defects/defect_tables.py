"""Defect energies as people hold them: a six-column table or the JSON of a defect solver.

In: a file, and what the user says of the host. Out: a `Crystal` and its `Defect`s with E_f(q) at
the valence-band maximum for reference chemical potentials; Δμ comes in later, once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from matterscope.core.errors import ConfigError, ReadError, SchemaError
from matterscope.io.limits import regular_file
from matterscope.io.tables import Column, read_table
from matterscope.physics.elements import parse_formula, symbol_of

COLUMNS = (
    Column("defect", kind="text", required=True, aliases=("name",), definition="name of the defect"),
    Column("charge", "e", "int", required=True, aliases=("q",), definition="charge of the cell"),
    Column("energy", "eV", required=True, aliases=("defect_energy", "total_energy", "formation_energy"), definition="total or formation energy"),
    Column("correction", "eV", aliases=("charge_correction",), definition="finite-size correction, added to the energy"),
    Column("atoms_removed", kind="text", definition="atoms taken out, e.g. Cd or Cd:1 Te:1"),
    Column("atoms_added", kind="text", definition="atoms put in"),
    Column("degeneracy", definition="spin and configurational degeneracy"),
    Column("sites", "1/cm³", definition="sites per cm³ on which the defect can form"),
)  # fmt: skip


@dataclass(frozen=True)
class Crystal:
    """The host: what levels and carriers refer to.

    Parameters
    ----------
    gap : float, eV, or None
    formula : dict of element to amount
    electron_mass, hole_mass : float or None, in electron masses
    volume_per_site : float or None, Å³
        Volume per lattice site; turns prefactors into sites per cm³.
    reference : dict of element to eV
        μ⁰, already inside the energies when they are formation energies.
    notes : tuple of str
        What had to be assumed to read the file, e.g. its decimal comma.
    """

    gap: float | None = None
    formula: dict[str, float] = field(default_factory=dict)
    electron_mass: float | None = None
    hole_mass: float | None = None
    volume_per_site: float | None = None
    reference: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defect:
    """One defect: E_f(q) at the valence-band maximum and Δμ = 0, and the atoms it takes in.

    Parameters
    ----------
    added : dict of element to amount
        Atoms added (> 0) or removed (< 0).
    energies, degeneracies : dict of charge to eV, to number
    sites : float or None
        Sites per cm³.
    notes : tuple of str
        What was odd in the rows, e.g. a duplicate charge.
    """

    name: str
    added: dict[str, float]
    energies: dict[int, float]
    degeneracies: dict[int, float]
    sites: float | None = None
    notes: tuple[str, ...] = ()

    def at(self, delta_mu: Mapping[str, float]) -> dict[int, float]:
        """Return E_f(q; E_F = 0) = E_f(Δμ = 0) − Σ n Δμ."""
        shift = sum(n * delta_mu.get(element, 0.0) for element, n in self.added.items())
        return {q: e - shift for q, e in self.energies.items()}


@dataclass(frozen=True)
class Reference:
    """What turns total energies into formation energies; zeros for formation energies."""

    bulk_energy: float = 0.0
    vbm: float = 0.0
    mu0: Mapping[str, float] = field(default_factory=dict)
    total: bool = False


def is_solver_json(path: Path) -> bool:
    """Return whether a file is the JSON parameter file of a defect-concentration solver."""
    regular_file(path)
    with path.open("rb") as handle:
        head = handle.read(1 << 16)
    return head.lstrip()[:1] == b"{" and b"defect_references" in head


def as_table(defects: Sequence[Defect]) -> pd.DataFrame:
    """Return `COLUMNS`, one row a charge state: formation energies (eV) at the valence-band maximum and Δμ = 0."""
    rows = [
        {
            "defect": d.name, "charge": q, "energy": energy,
            "atoms_removed": _spelled({el: -n for el, n in d.added.items() if n < 0}),
            "atoms_added": _spelled({el: n for el, n in d.added.items() if n > 0}),
            "degeneracy": d.degeneracies[q], "sites": d.sites,
        }
        for d in defects
        for q, energy in d.energies.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _spelled(counts: Mapping[str, float]) -> str:
    return " ".join(f"{element}:{n:g}" for element, n in counts.items())


def read_defects(
    path: Path, reference: Reference, crystal: Crystal
) -> tuple[Crystal, list[Defect]]:
    """Read defects from a table or from a solver's JSON; `crystal` fills what the file leaves open.

    Raises
    ------
    ReadError, SchemaError
    """
    if is_solver_json(path):
        return _solver_json(path, crystal)
    frame = read_table(path, COLUMNS)
    if {"n", "atoms", "n_i"} & {str(c).lower() for c in frame.columns} and not (
        {"atoms_removed", "atoms_added"} & set(frame.columns)
    ):
        raise SchemaError(
            "a column of atom numbers must say whether atoms are added or removed",
            where=str(path),
            got="a column 'n'",
            expected="'atoms_removed' or 'atoms_added'",
            hint="the sign decides the sign of every chemical potential",
        )
    read = replace(crystal, notes=tuple(frame.attrs.get("assumed", ())))
    return read, _from_frame(frame, reference, str(path))


def _from_frame(frame: Any, reference: Reference, where: str) -> list[Defect]:
    defects: dict[str, Defect] = {}
    first = int(frame.attrs.get("first_line", 1))
    for index, row in enumerate(frame.to_dict("records")):
        place = f"{where}, line {first + index}"
        if pd.isna(row["energy"]) or pd.isna(row["charge"]):
            continue  # no energy, no state: an empty cell is "not computed"
        charge, name = int(row["charge"]), str(row["defect"])
        added = atoms(row.get("atoms_added", ""), place)
        for element, n in atoms(row.get("atoms_removed", ""), place).items():
            added[element] = added.get(element, 0.0) - n
        energy = float(row["energy"]) + _number(row.get("correction"), 0.0)
        if reference.total:
            energy += charge * reference.vbm - reference.bulk_energy
            energy -= sum(n * _potential(reference.mu0, el, place) for el, n in added.items())
        known = defects.get(name)
        state = (charge, energy, _number(row.get("degeneracy"), 1.0))
        if known is None:
            known = Defect(name, added, {}, {}, _number(row.get("sites"), 0.0) or None)
        elif known.added != added:
            raise SchemaError(
                f"the charge states of '{name}' differ in their atoms",
                where=place,
                got=added,
                expected=known.added,
            )
        defects[name] = _with_state(known, state, first + index)
    if not defects:
        raise SchemaError("no row of the table has an energy", where=where)
    return list(defects.values())


def _number(value: Any, default: float) -> float:
    return default if value == "" or pd.isna(value) else float(value)


def _potential(mu0: Mapping[str, float], element: str, where: str) -> float:
    if element not in mu0:
        raise ConfigError(
            f"total energies need the reference chemical potential of {element}",
            where=where,
            expected=f"--mu0 {element}=VALUE (eV per atom)",
        )
    return mu0[element]


def _with_state(defect: Defect, state: tuple[int, float, float], line: int) -> Defect:
    charge, energy, degeneracy = state
    notes = defect.notes
    energies, degeneracies = dict(defect.energies), dict(defect.degeneracies)
    if charge in energies:
        kept, other = sorted((energies[charge], energy))
        notes = (
            *notes,
            f"charge {charge:+d} stands twice (again in line {line}): kept {kept:.3f} eV, not {other:.3f} eV",
        )
        energy = kept
    energies[charge], degeneracies[charge] = energy, degeneracy
    return replace(defect, energies=energies, degeneracies=degeneracies, notes=notes)


def atoms(cell: Any, where: str) -> dict[str, float]:
    """Return the atoms named in a cell: ``Cd``, ``2 Cd``, ``Cd:1 Te:2``, ``Cd=1;Te=2`` or ``CdTe2``.

    Examples
    --------
    >>> atoms("Cd:1 Te:2", ""), atoms("", "")
    ({'Cd': 1.0, 'Te': 2.0}, {})
    """
    text = "" if pd.isna(cell) else str(cell).strip()
    if text in ("", "-", "none", "0", "{}"):
        return {}
    pairs = re.findall(r"['\"]?([A-Z][a-z]?)['\"]?\s*[:=]\s*(-?\d*\.?\d+)", text)
    if pairs:
        return {symbol_of(el, where): float(n) for el, n in pairs if float(n)}
    leading = re.fullmatch(r"(\d+)\s*([A-Z][a-z]?)", text)
    if leading:
        return {symbol_of(leading[2], where): float(leading[1])}
    return parse_formula(re.sub(r"[\s,;+]+", "", text), where=where)


def _solver_json(path: Path, crystal: Crystal) -> tuple[Crystal, list[Defect]]:
    """Read the JSON of a defect-concentration solver (keys ``defect_references``, ``band_gap`` …)."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReadError(f"this is not valid JSON: {error}", where=str(path)) from None
    try:
        mu0 = {k: float(v) for k, v in data["reference_chemical_potentials"].items()}
        volume = float(data["bulk_volume_per_site"])
        found = Crystal(
            crystal.gap if crystal.gap is not None else float(data["band_gap"]),
            crystal.formula
            or {k: float(v) for k, v in data["compound_stoichiometry"].items() if v},
            crystal.electron_mass or float(data["electron_effective_mass"]),
            crystal.hole_mass or float(data["hole_effective_mass"]),
            crystal.volume_per_site or volume,
            mu0,
        )
        bulk, vbm = float(data["bulk_energy"]), float(data["bulk_vbm"])
        defects = [
            _solver_defect(name, entry, bulk, vbm, mu0, found.volume_per_site or volume)
            for name, entry in data["defect_references"].items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(
            f"the solver's JSON lacks or garbles {error}",
            where=str(path),
            expected="the keys of a parameter file with defect_references",
        ) from None
    return found, defects


def _solver_defect(
    name: str, entry: Mapping[str, Any], bulk: float, vbm: float, mu0: Mapping[str, float], volume: float
) -> Defect:  # fmt: skip
    removed = {k: float(v) for k, v in entry["particles_removed"].items() if v}
    exchange = sum(n * mu0[el] for el, n in removed.items())
    energies, degeneracies = {}, {}
    for state in entry["charge_states"]:
        q = int(state["charge"])
        energies[q] = (
            float(state["defect_energy"]) - bulk + exchange + q * vbm
            + float(state["charge_correction"]) + q * float(state["potential_alignment"])
        )  # fmt: skip
        degeneracies[q] = float(state["electronic_prefactor"])
    share = float(entry["mixing_prefactor"]) * float(entry["configurational_prefactor"])
    return Defect(
        name, {el: -n for el, n in removed.items()}, energies, degeneracies, share * 1e24 / volume
    )


def pairs_of(texts: Sequence[str], option: str) -> dict[str, float]:
    """Return ``("Cd=-0.5", "Te=0")`` as a mapping; an element that is misspelt is an error.

    Examples
    --------
    >>> pairs_of(["Cd=-0.5"], "delta-mu")
    {'Cd': -0.5}
    """
    result = {}
    for text in texts:
        name, mark, value = text.partition("=")
        try:
            result[symbol_of(name, f"--{option}")] = float(value)
        except ValueError:
            mark = ""
        if not mark:
            raise ConfigError(
                f"--{option} takes ELEMENT=VALUE", got=repr(text), expected="e.g. Cd=-0.5"
            )
    return result
