"""Read a crystal or molecular structure: CIF, POSCAR, extended XYZ, XSF and what ASE knows.

In: a path (one structure a file; the last frame of a trajectory). Out: `ase.Atoms`, positions in Å.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from ase import Atoms

from matterscope.core.errors import ReadError
from matterscope.io.limits import regular_file

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


def read_structure(path: Path | str) -> Atoms:
    """Return the structure in a file; partial occupancies stay in ``info["occupancy"]``.

    Raises
    ------
    ReadError
        Unknown format, nothing inside, or positions that are not finite.
    """
    from ase.io import read

    path = Path(path)
    regular_file(path)
    kind = FORMATS.get(path.suffix.lower()) or (
        "vasp" if path.stem.upper() in ("POSCAR", "CONTCAR") else None
    )
    if kind is None:
        raise ReadError(
            "the format of this structure is not known",
            where=str(path),
            got=path.suffix or path.name,
            expected=", ".join(sorted(FORMATS)) + ", POSCAR, CONTCAR",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of CIF dialects that it reads all the same
            atoms = read(path, format=kind, index=-1)
    except Exception as error:
        raise ReadError(
            f"the {kind} structure could not be read: {type(error).__name__}: {error}",
            where=str(path),
        ) from error
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
