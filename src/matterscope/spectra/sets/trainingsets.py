"""Training sets: simulated or measured spectra with the structures they belong to.

In: a folder with ``spectra.npz`` (energy_ev, mu, material, site, split) and ``structures.extxyz.gz``.
Out: aligned shapes and labels of every site, with the groups by which it may be split.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError, ReadError
from matterscope.core.files import sha256_of
from matterscope.io.limits import declared
from matterscope.physics.edges import edges_of
from matterscope.spectra.measured.alignment import WINDOWS, aligned_shape
from matterscope.spectra.sets.labels import CUTOFF, SHELL_RATIO, SiteLabels, site_labels

if TYPE_CHECKING:
    from ase import Atoms

Floats = NDArray[np.float64]

LIGAND = "O"
"""The first shell that the models speak about; sites with another one teach the refusal."""
COORDINATIONS = (2, 3, 4, 5, 6)
BLUR = 0.02
"""Standard deviation of the ratio of distances at which the first shell ends, for blurred labels."""
SHELL = 6
"""Distances to the nearest so many ligands are learned beside, as auxiliary targets."""


@dataclass
class TrainingSet:
    """Spectra with labels."""

    element: str
    edge: str
    energy: Floats
    """(n, p) eV."""
    mu: Floats
    """(n, p)."""
    labels: list[SiteLabels | None]
    materials: NDArray[Any]
    formulas: NDArray[Any]
    systems: NDArray[Any]
    held_out: NDArray[np.bool_]
    """The set's own validation split, where it states one."""
    digest: str = ""
    name: str = ""
    _shapes: dict[str, Floats] = field(default_factory=dict)

    def shapes(self, window: str, *, partial: bool = False) -> Floats:
        """Return the aligned shapes (n, m) on a window; spectra that end before it are NaN there if `partial`.

        Raises
        ------
        DataError
            Unless `partial`, where spectra do not fill the window.
        """
        if window not in self._shapes:
            pairs = zip(self.energy, self.mu, strict=True)
            self._shapes[window] = np.array([aligned_shape(e, m, window)[0] for e, m in pairs])
        found = self._shapes[window]
        short = int((~np.isfinite(found).all(axis=1)).sum())
        if short and not partial:
            raise DataError(
                f"spectra of this set end before the {window} window does",
                where=self.name,
                got=f"{short} of {len(found)}",
                expected=f"at least E½ + {WINDOWS[window][-1]:g} eV",
                hint="--windows narrow if the narrow one is filled; else simulate further (k_max of the recipe)",
            )
        return found

    @property
    def oxygen(self) -> NDArray[np.bool_]:
        """Sites whose first shell is mostly oxygen, with a coordination that is learned."""
        return np.array(
            [
                bool(s and s.ligand == LIGAND and s.coordination in COORDINATIONS)
                for s in self.labels
            ]
        )

    @property
    def pure(self) -> NDArray[np.bool_]:
        """Sites whose whole first shell is oxygen."""
        own = np.array([bool(s and s.pure) for s in self.labels])
        return np.asarray(self.oxygen & own)

    def targets(self) -> dict[str, NDArray[Any]]:
        """Return the targets, −1, NaN or zeros where a site has none.

        ``shares`` (n, 5) are the probabilities of the coordinations where the border of the shell is blurred.
        """
        own = self.oxygen
        found = [s if s and o else None for s, o in zip(self.labels, own, strict=True)]
        result: dict[str, NDArray[Any]] = {
            "coordination": np.array([s.coordination - 2 if s else -1 for s in found]),
            "bond": np.array([s.bond if s else np.nan for s in found]),
            "valence": np.array([s.valence - 1 if s and s.valence else -1 for s in found]),
            "shell": own.astype(int),
            "shares": np.array([coordination_shares(s.distances) if s else np.zeros(5) for s in found]),
        }  # fmt: skip
        near = np.full((len(found), SHELL), np.nan)
        for i, s in enumerate(found):
            if s:
                ligands = s.distances[np.array(s.elements) == LIGAND][:SHELL]
                near[i] = CUTOFF
                near[i, : len(ligands)] = ligands
        return result | {f"distance_{k + 1}": near[:, k] for k in range(SHELL)}


def coordination_shares(distances: Floats) -> Floats:
    """Return the probabilities (5,) of CN 2 … 6 when the border of the shell is uncertain by `BLUR`.

    A fifth neighbour at 1.24 or 1.26 times the nearest distance is the same chemistry with another label.

    Examples
    --------
    >>> coordination_shares(np.array([1.9, 1.9, 1.9, 1.9, 1.9 * 1.25])).round(2).tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0]
    """
    from scipy.special import ndtr

    ratios = np.full(COORDINATIONS[-1], np.inf)
    known = distances[: ratios.size] / distances[0]
    ratios[: known.size] = known
    least = ndtr((SHELL_RATIO - ratios[COORDINATIONS[0] :]) / BLUR)
    return np.asarray(np.concatenate([[1.0], least]) - np.concatenate([least, [0.0]]))


def load_set(folder: Path) -> TrainingSet:
    """Return the training set in a folder.

    Raises
    ------
    ReadError
        When a file is missing or damaged.
    DataError
        When spectra and structures do not belong together.
    """
    spectra, structures = folder / "spectra.npz", folder / "structures.extxyz.gz"
    for path in (spectra, structures):
        if not path.is_file():
            raise ReadError(
                "this folder is no training set", where=str(path), expected="spectra.npz and structures.extxyz.gz"
            )  # fmt: skip
    with np.load(spectra, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in ("material", "site", "energy_ev", "mu")}
        split = stored["split"] if "split" in stored.files else np.array([])
    atoms = read_structures(structures)
    missing = sorted(set(arrays["material"].tolist()) - set(atoms))
    if missing:
        raise DataError("spectra without a structure", where=str(structures), got=missing[:3])
    sites = [(atoms[m], int(s)) for m, s in zip(arrays["material"], arrays["site"], strict=True)]
    absorbers = {str(a.symbols[s]) for a, s in sites}
    if len(absorbers) != 1:
        raise DataError(
            "one training set has one absorber", where=str(folder), got=sorted(absorbers)
        )
    element = absorbers.pop()
    energy = arrays["energy_ev"].astype(float)
    return TrainingSet(
        element,
        _edge_of(element, float(np.median(energy))),
        energy,
        arrays["mu"].astype(float),
        [site_labels(a, s) for a, s in sites],
        arrays["material"],
        np.array([a.symbols.get_chemical_formula("metal") for a, _ in sites]),
        np.array(["-".join(sorted(set(a.symbols))) for a, _ in sites]),
        split == "val" if split.size else np.zeros(len(sites), dtype=bool),
        sha256_of(spectra),
        folder.name,
    )


def _edge_of(element: str, energy: float) -> str:
    return min(edges_of(element), key=lambda e: abs(e.energy - energy)).name


def read_structures(path: Path) -> dict[str, Atoms]:
    """Read an extxyz file with ``material=`` in its comment lines; a plain parser, 20 × ase's speed."""
    from ase import Atoms

    with gzip.open(path) as stream:
        raw = stream.read(500_000_001)
    declared(len(raw), str(path), "these structures")
    lines = io.StringIO(raw.decode())
    found: dict[str, Atoms] = {}
    while header := lines.readline().strip():
        count, info = int(header), lines.readline()
        cell = np.array(_quoted(info, "Lattice").split(), dtype=float).reshape(3, 3)
        rows = [lines.readline().split() for _ in range(count)]
        found[_quoted(info, "material")] = Atoms(
            [r[0] for r in rows],
            positions=np.array([r[1:4] for r in rows], dtype=float),
            cell=cell,
            pbc=True,
        )
    return found


def _quoted(info: str, key: str) -> str:
    start = info.index(f"{key}=") + len(key) + 1
    rest = info[start:]
    return rest[1 : rest.index('"', 1)] if rest.startswith('"') else rest.split()[0]


__all__ = ["COORDINATIONS", "LIGAND", "WINDOWS", "TrainingSet", "load_set", "read_structures"]
