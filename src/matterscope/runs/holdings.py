"""What other verbs take beside measurements: structures, tables, defect libraries, force constants.

In: a path. Out: an estimate with the verdict PASS, WARN or FAIL of a thing that is no measurement, or None.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.pictures import Panel, Picture, bars, points

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

TOO_CLOSE = 0.5
"""Å; no two atoms are nearer."""
TABLES = (".xlsx", ".parquet")
"""Tables that are nothing but tables; text tables may be spectra and are read as measurements first."""


def assess(path: Path) -> Estimate | None:
    """Return the verdict of a structure, table, library or force-constant file; None for anything else."""
    from matterscope.io.structures import structure_format

    if not path.is_file() or path.stat().st_size == 0:
        return None
    with path.open("rb") as handle:
        magic = handle.read(16)
    if magic.startswith(b"SQLite format 3"):
        return _library(path)
    if path.suffix.lower() in TABLES:
        return _table(path)
    if path.name.upper().startswith("FORCE_CONSTANTS"):
        return _force_constants(path)
    return _structure(path) if structure_format(path) else None


def _answer(what: str, picture: Picture, reason: str) -> Estimate:
    estimate = Estimate("check")
    estimate.quantities["measurement_kind"] = Quantity(what, "1", reason=reason)
    estimate.pictures.append(picture)
    estimate.diagnostics["kind"] = what.partition(",")[0]
    return estimate


def _judged(estimate: Estimate, *, failed: bool = False) -> Estimate:
    verdict = "FAIL" if failed else "WARN" if estimate.flags else "PASS"
    estimate.diagnostics["verdict"] = verdict
    why = "a judgement of the file, not a measured quantity"
    estimate.quantities["verdict"] = Quantity(verdict, "1", reason=why)
    return estimate


def _structure(path: Path) -> Estimate:
    from matterscope.io.limits import unpacked_text
    from matterscope.io.structures import read_structure, structure_format

    atoms = read_structure(path)
    nearest = _nearest(atoms)
    formula = atoms.get_chemical_formula("metal")
    symbols = np.array(atoms.get_chemical_symbols())
    layers = [
        points(np.flatnonzero(symbols == s), nearest[symbols == s], str(s), f"series{k % 8}")
        for k, s in enumerate(dict.fromkeys(symbols.tolist()))
    ]
    panel = Panel(tuple(layers), "atom", "distance to the nearest atom / Å")
    volume = f", {atoms.get_volume():.1f} Å³" if atoms.cell.rank == 3 else ""
    estimate = _answer(
        f"structure, {len(atoms)} atoms, {formula}{volume}",
        Picture("structure", formula, (panel,), "Periodic images count."),
        "for spectra simulate, spectra decks and others that take a structure",
    )
    frames = unpacked_text(path).count("Lattice=") if structure_format(path) == "extxyz" else 1
    if frames > 1:
        estimate.flag(
            "several_structures",
            f"The file holds {frames} structures; verbs take the last, shown here.",
        )
    occupancy = atoms.info.get("occupancy") or {}
    shared = [k for k, o in occupancy.items() if len(o) > 1 or sum(o.values()) < 0.999]
    if shared:
        estimate.flag(
            "partial_occupancy",
            f"{len(shared)} sites are partly occupied or shared by several elements.",
            "simulations need an ordered supercell; `spectra build` enumerates orderings",
        )
    if atoms.cell.rank < 3:
        estimate.flag("no_cell", "The file has no three cell vectors: a molecule or a cluster.")
    close = np.flatnonzero(nearest < TOO_CLOSE)
    if close.size:
        estimate.flag(
            "atoms_too_close",
            f"{close.size} atoms have another within {TOO_CLOSE:g} Å; the first is atom {close[0]} "
            f"({symbols[close[0]]}, {nearest[close[0]]:.2f} Å).",
            "look for atoms given twice, or a split site",
        )
    return _judged(estimate, failed=bool(close.size))


def _nearest(atoms: Atoms) -> np.ndarray:
    """Return the distance (Å) of every atom to its nearest neighbour, images included; NaN where there is none in 4 Å."""
    from ase.neighborlist import neighbor_list

    index, far = neighbor_list("id", atoms, 4.0)
    found = np.full(len(atoms), np.inf)
    np.minimum.at(found, index, far)
    return np.where(np.isfinite(found), found, np.nan)


def _table(path: Path) -> Estimate:
    from matterscope.io.tables import read_table

    frame = read_table(path)
    return _of_table(frame, f"table, {len(frame)} rows × {frame.shape[1]} columns")


def _of_table(frame: pd.DataFrame, what: str) -> Estimate:
    filled = [
        float((frame[n].notna() & (frame[n].astype(str).str.strip() != "")).mean()) for n in frame
    ]
    panel = Panel(
        (bars(np.arange(frame.shape[1]), filled),),
        "column",
        "share of filled cells",
        x_ticks=[str(n)[:24] for n in frame],
        y_range=(0.0, 1.05),
    )
    estimate = _answer(
        what,
        Picture("columns", "Columns of the table", (panel,), "Names as they stand in the file."),
        "for the verbs that take tables; each says which columns it needs",
    )
    if not len(frame):
        estimate.flag("no_rows", "The table has a heading and no rows.")
    empty = [str(n) for n, share in zip(frame, filled, strict=True) if share == 0]
    if empty and len(frame):
        estimate.flag("empty_columns", f"Nothing stands in {', '.join(empty[:6])}.")
    for sentence in frame.attrs.get("assumed", []):
        estimate.flag("read_with_a_guess", f"{sentence[:1].upper()}{sentence[1:]}.")
    return _judged(estimate, failed=not len(frame))


def _library(path: Path) -> Estimate:
    from matterscope.io.defect_libraries import read_library

    rows = read_library(path)
    estimate = _of_table(rows, f"library of defects, {len(rows)} transitions")
    faulty = int((rows["fault"] != "").sum())
    if faulty:
        first = rows[rows["fault"] != ""].iloc[0]
        estimate.flag(
            "faulty_rows",
            f"{faulty} of {len(rows)} rows are left out by emitters identify; the first: {first['label']}, {first['fault']}.",
        )
    estimate.flags = [f for f in estimate.flags if f.code != "empty_columns"]
    return _judged(estimate, failed=faulty == len(rows))


def _force_constants(path: Path) -> Estimate:
    from matterscope.io.force_constants import read_force_constants

    constants = read_force_constants(path)
    number = len(constants)
    drift = float(np.abs(constants.sum(axis=1)).max())
    strength = np.linalg.norm(constants.reshape(number, number, 9), axis=2)
    panel = Panel(
        (points(np.arange(number), np.diagonal(strength)),), "atom", "own force constant / (eV/Å²)"
    )
    estimate = _answer(
        f"force constants, {number} atoms",
        Picture("constants", "Force constants", (panel,), "Norm of the 3 × 3 block of each atom."),
        "for emitters lineshape",
    )
    if drift > 0.05 * float(np.diagonal(strength).max()):
        estimate.flag(
            "acoustic_sum",
            f"Moving all atoms together costs up to {drift:.2g} eV/Å² a component: the sum rule is broken.",
            "symmetrise the force constants (phonopy --fc-symmetry)",
        )
    return _judged(estimate)
