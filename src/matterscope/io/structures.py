"""Read a crystal or molecular structure: CIF, POSCAR, extended XYZ, XSF and FDMNES decks, packed or not.

In: a path (one structure a file; the last frame of a trajectory; .gz is unpacked). Out: `ase.Atoms`, positions in Å.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms

from matterscope.core.errors import ReadError
from matterscope.io.fdmnes import is_fdmnes_deck, read_fdmnes_deck
from matterscope.io.limits import unpacked_text

FORMATS = {
    ".cif": "cif",
    ".vasp": "vasp",
    ".poscar": "vasp",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".xsf": "xsf",
}
"""Formats that are plain text: nothing that could run code or load objects is opened."""
LARGEST = 5000
LARGEST_DECK = 2_000_000


def structure_format(path: Path) -> str:
    """Return the format of a structure file by its name ("" where it is none); an FDMNES deck by its text."""
    name = Path(path.name.removesuffix(".gz"))
    if name.stem.upper() in ("POSCAR", "CONTCAR"):
        return "vasp"
    if name.suffix.lower() == ".txt" and path.is_file() and path.stat().st_size < LARGEST_DECK:
        return "fdmnes" if is_fdmnes_deck(path.read_text(errors="replace")) else ""
    return FORMATS.get(name.suffix.lower(), "")


def read_structure(path: Path | str, otherwise: str = "") -> Atoms:
    """Return the structure in a file; partial occupancies stay in ``info["occupancy"]``.

    `otherwise` is the format of files whose name tells none.

    Raises
    ------
    ReadError
        Unknown format, nothing inside, or positions that are not finite.
    """
    path = Path(path)
    text = unpacked_text(path)
    kind = structure_format(path) or otherwise
    if not kind:
        raise ReadError(
            "the format of this structure is not known",
            where=str(path),
            got=path.suffix or path.name,
            expected=", ".join(sorted(FORMATS))
            + ", POSCAR, CONTCAR, an FDMNES deck (.txt); .gz of any",
        )
    atoms = read_fdmnes_deck(text)[0] if kind == "fdmnes" else _by_ase(text, kind, path)
    if not isinstance(atoms, Atoms) or not len(atoms):
        raise ReadError("no atoms in this file", where=str(path))
    if len(atoms) > LARGEST:
        raise ReadError(
            "too many atoms", where=str(path), got=len(atoms), expected=f"at most {LARGEST}"
        )
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ReadError("positions or cell are not finite", where=str(path))
    atoms.calc = None
    return atoms


def _by_ase(text: str, kind: str, path: Path) -> Atoms | list[Atoms]:
    from ase.io import read

    # ASE's CIF reader wants bytes
    stream = io.BytesIO(text.encode()) if kind == "cif" else io.StringIO(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of CIF dialects that it reads all the same
            return read(stream, format=kind, index=-1)
    except Exception as error:
        raise ReadError(
            f"the {kind} structure could not be read: {type(error).__name__}: {error}",
            where=str(path),
        ) from error
