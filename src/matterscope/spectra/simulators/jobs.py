"""Write inputs for other simulation codes, one folder a task: FEFF, FDMNES, VASP, OCEAN, XSpectra.

In: a structure, an absorber, an edge. Out: text files that a group with a cluster can run; results come
back through `matterscope.io` in the schema of `spectra simulate`. No potential file is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, ReadError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import sha256_of, write_text
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.io.measurement import write
from matterscope.io.reading import read
from matterscope.io.structures import read_structure
from matterscope.physics.structures import cluster
from matterscope.spectra.settings import DecksSettings
from matterscope.spectra.simulators.contract import check_structure
from matterscope.spectra.simulators.feff import Feff

CODES = ("feff", "fdmnes", "vasp", "ocean", "xspectra")
CORE_HOLES_APART = 8.0
"""Å; nearer, the core hole of a periodic calculation acts on its own images."""
EDGE_NUMBERS = {"K": (1, 0), "L1": (2, 0), "L23": (2, 1), "L3": (2, 1), "L2": (2, 1)}
"""Edge → n, l of the core state."""


@dataclass(frozen=True)
class Job:
    """What is asked of another code.

    Parameters
    ----------
    atoms : Atoms
        Å; periodic.
    site : int
        0-based absorber.
    edge : str
        K, L1, L2, L3 or L23.
    radius : float, Å
        Cluster of the real-space codes.
    """

    atoms: Atoms
    site: int
    edge: str = "K"
    radius: float = 6.0

    def __post_init__(self) -> None:
        if self.edge not in EDGE_NUMBERS:
            raise ConfigError("unknown edge", got=self.edge, expected=", ".join(EDGE_NUMBERS))
        if not 0 <= self.site < len(self.atoms):
            raise ConfigError("site is not in the structure", got=self.site)

    @property
    def absorber(self) -> str:
        """Symbol of the absorbing atom."""
        return str(chemical_symbols[self.atoms.numbers[self.site]])

    @property
    def fractional(self) -> np.ndarray:
        """Positions (n, 3) in units of the cell."""
        return np.asarray(self.atoms.get_scaled_positions(wrap=True))


def write_decks(job: Job, code: str) -> dict[str, str]:
    """Return file name → text for one code.

    Examples
    --------
    >>> from ase.build import bulk
    >>> sorted(write_decks(Job(bulk("NiO", "rocksalt", 4.18), 0), "vasp"))
    ['INCAR', 'KPOINTS', 'POSCAR', 'README.txt']
    """
    if code not in CODES:
        raise ConfigError("unknown code", got=code, expected=", ".join(CODES))
    return {
        "feff": _feff, "fdmnes": _fdmnes, "vasp": _vasp, "ocean": _ocean, "xspectra": _xspectra
    }[code](job)  # fmt: skip


def _feff(job: Job) -> dict[str, str]:
    from matterscope.spectra.simulators.feff import MARGIN, write_deck

    engine = Feff(radius=job.radius)
    around = cluster(job.atoms, job.site, job.radius + MARGIN)
    edge = "L3" if job.edge == "L23" else job.edge
    return {"feff.inp": write_deck(engine, around, job.atoms.numbers, edge)}


def _fdmnes(job: Job) -> dict[str, str]:
    lengths = " ".join(f"{v:.6f}" for v in job.atoms.cell.cellpar())
    order = [job.site, *(i for i in range(len(job.atoms)) if i != job.site)]
    rows = [
        f"  {job.atoms.numbers[i]} " + " ".join(f"{x:.6f}" for x in job.fractional[i])
        for i in order
    ]
    lines = [
        "Filout", f"  {job.absorber}_{job.edge}", "", "Range", "  -5. 0.2 45.", "", "Energpho", "",
        "Quadrupole", "", "Memory_save", "", "Relativism", "", "PBE", "", "SCF", "",
        "Radius", f"  {job.radius:g}", "", "Crystal", f"  {lengths}", *rows, "",
        "Absorber", "  1", "", "Edge", f"  {job.edge}", "", "Convolution", "", "End", "",
    ]  # fmt: skip
    return {"job.txt": "\n".join(lines), "fdmfile.txt": "1\njob.txt\n"}


def _vasp(job: Job) -> dict[str, str]:
    symbols = job.atoms.get_chemical_symbols()
    others = sorted(set(symbols[: job.site] + symbols[job.site + 1 :]))
    order = [job.site]
    counts = [1]
    for symbol in others:
        own = [i for i, s in enumerate(symbols) if s == symbol and i != job.site]
        order += own
        counts.append(len(own))
    n, angular = EDGE_NUMBERS[job.edge]
    electrons = 12 * len(symbols)
    incar = [
        "SYSTEM = core hole", "ISMEAR = 0", "SIGMA = 0.1", "ENCUT = 520", "EDIFF = 1E-6",
        "ISPIN = 2", "LORBIT = 11",
        "ICORELEVEL = 2", "CLNT = 1  # the absorber is the first species", f"CLN = {n}",
        f"CLL = {angular}", "CLZ = 1", "CH_LSPEC = .TRUE.", "CH_NEDOS = 4000", "CH_SIGMA = 0.5",
        f"NBANDS = {electrons}  # enough to reach 40 eV above the edge", "ALGO = Normal",
    ]  # fmt: skip
    poscar = [
        f"{job.absorber} absorber first",
        "1.0",
        *(" ".join(f"{x:.10f}" for x in row) for row in job.atoms.cell.array),
        " ".join([job.absorber, *others]),
        " ".join(map(str, counts)),
        "Direct",
        *(" ".join(f"{x:.10f}" for x in job.fractional[i]) for i in order),
    ]
    spacing = np.maximum(np.ceil(25.0 / job.atoms.cell.lengths()).astype(int), 1)
    readme = (
        "POTCAR is licensed and not written: concatenate "
        + ", ".join([job.absorber, *others])
        + " in this order (the absorber twice where it occurs again).\nThe result to bring back is "
        "CORE_DIELECTRIC_IMAG.dat; µ ∝ E·Tr Im ε. L2,3 of 3d metals lack multiplets in this method.\n"
    )
    return {
        "INCAR": "\n".join(incar) + "\n",
        "POSCAR": "\n".join(poscar) + "\n",
        "KPOINTS": f"mesh of 25 Å\n0\nGamma\n{spacing[0]} {spacing[1]} {spacing[2]}\n",
        "README.txt": readme,
    }


def _ocean(job: Job) -> dict[str, str]:
    bohr = 0.529177210903
    species = sorted(set(job.atoms.numbers.tolist()))
    n, angular = EDGE_NUMBERS[job.edge]
    lines = [
        "dft qe", "ppdir '../pseudopotentials'", "opf.program oncvpsp", "ecut 100",
        f"acell {{ {1 / bohr:.9f} {1 / bohr:.9f} {1 / bohr:.9f} }}",
        "rprim {", *("  " + " ".join(f"{x:.9f}" for x in row) for row in job.atoms.cell.array), "}",
        f"ntypat {len(species)}", f"natom {len(job.atoms)}",
        f"znucl {{ {' '.join(map(str, species))} }}",
        f"typat {{ {' '.join(str(1 + species.index(z)) for z in job.atoms.numbers)} }}",
        "xred {", *("  " + " ".join(f"{x:.9f}" for x in row) for row in job.fractional), "}",
        f"edges {{ {job.site + 1} {n} {angular} }}", "ngkpt { 2 2 2 }", "nkpt { 4 4 4 }",
        "nbands 300", "screen.nbands 1200", "cnbse.rad 5.5", "cnbse.broaden 0.5",
    ]  # fmt: skip
    return {"ocean.in": "\n".join(lines) + "\n"}


def _xspectra(job: Job) -> dict[str, str]:
    symbols = job.atoms.get_chemical_symbols()
    kinds = sorted(set(symbols))
    hole = f"{job.absorber}h"
    from ase.data import atomic_masses

    named = [hole if i == job.site else s for i, s in enumerate(symbols)]
    scf = [
        "&control", "  calculation = 'scf', prefix = 'xas', pseudo_dir = './pseudo', outdir = './out'",
        "/", "&system", f"  ibrav = 0, nat = {len(symbols)}, ntyp = {len(kinds) + 1},",
        "  ecutwfc = 60, ecutrho = 480, tot_charge = 1", "/", "&electrons", "  conv_thr = 1e-9", "/",
        "ATOMIC_SPECIES",
        f"  {hole} {atomic_masses[atomic_numbers[job.absorber]]:.4f} {job.absorber}_with_core_hole.UPF",
        *(f"  {s} {atomic_masses[atomic_numbers[s]]:.4f} {s}.UPF" for s in kinds),
        "CELL_PARAMETERS angstrom", *("  " + " ".join(f"{x:.9f}" for x in row) for row in job.atoms.cell.array),
        "ATOMIC_POSITIONS crystal",
        *(f"  {s} " + " ".join(f"{x:.9f}" for x in row) for s, row in zip(named, job.fractional, strict=True)),
        "K_POINTS automatic", "  2 2 2 0 0 0",
    ]  # fmt: skip
    xas = [
        "&input_xspectra", "  calculation = 'xanes_dipole', prefix = 'xas', outdir = './out',",
        f"  xiabs = 1, xepsilon(1) = 1.0, edge = '{job.edge}', xerror = 0.001, xcheck_conv = 100", "/",
        "&plot", "  xnepoint = 1000, xgamma = 0.8, xemin = -10, xemax = 45, terminator = .true.,",
        "  cut_occ_states = .true.", "/", "&pseudos",
        f"  filecore = '{job.absorber}.wfc', r_paw(1) = 3.2", "/", "&cut_occ", "  cut_desmooth = 0.1", "/",
        "4 4 4 0 0 0",
    ]  # fmt: skip
    return {"scf.in": "\n".join(scf) + "\n", "xspectra.in": "\n".join(xas) + "\n"}


def convert_decks(inputs: list[Input], settings: DecksSettings, call: Call) -> list[Estimate]:
    """Write inputs for other codes from structures, or read what those codes gave: `spectra decks`."""
    estimates = []
    for given in inputs:
        if given.path is None:
            raise ReadError("a structure or a result is needed", where=given.source)
        estimate = Estimate("spectra decks", given.ref)
        if settings.action == "parse":
            _parse(estimate, given.path, given.selector, call)
        else:
            _write(estimate, given.path, settings, call)
        estimate.provenance["references"] = [
            "FDMNES: O. Bunău and Y. Joly, J. Phys.: Condens. Matter 21, 345501 (2009)",
            "OCEAN: J. Vinson et al., Phys. Rev. B 83, 115106 (2011)",
            "XSpectra: C. Gougoussis et al., Phys. Rev. B 80, 075102 (2009)",
        ]
        estimates.append(estimate)
    return estimates


def _write(estimate: Estimate, path: Path, settings: DecksSettings, call: Call) -> None:
    atoms = read_structure(path)
    check_structure(atoms)
    symbols = atoms.get_chemical_symbols()
    element, _, edge = settings.edge.rpartition(":")
    element = element or max(set(symbols), key=lambda s: atomic_numbers[s])
    if element not in symbols:
        raise ConfigError(
            f"there is no {element} in the structure", expected=", ".join(sorted(set(symbols)))
        )
    sites = [i for i, s in enumerate(symbols) if s == element]
    if settings.site >= 0 and settings.site not in sites:
        raise ConfigError(
            f"site is no {element}", got=settings.site, expected=f"one of {sites[:20]}"
        )
    job = Job(
        atoms, settings.site if settings.site >= 0 else sites[0], edge or "K", settings.radius
    )
    rows, artifacts = [], []
    for code in settings.codes:
        for name, text in write_decks(job, code).items():
            target = call.artifact(f"{code}-{job.absorber}{job.site}-{job.edge}-{name}")
            write_text(target, text)
            digest = sha256_of(target)
            artifacts.append({"path": target.name, "sha256": digest})
            rows.append({"code": code, "file": name, "written_as": target.name, "sha256": digest})
    table = pd.DataFrame(rows)
    table.attrs["units"] = {}
    estimate.tables["files"] = table
    estimate.diagnostics |= {"artifacts": artifacts, "absorber": job.absorber, "site": job.site}
    estimate.quantities["files"] = Quantity(len(rows), "1", reason="counted")
    estimate.pictures.append(_surroundings(job))
    shortest = float(atoms.cell.lengths().min())
    periodic = [code for code in settings.codes if code in ("vasp", "xspectra")]
    if periodic and shortest < CORE_HOLES_APART:
        estimate.flag(
            "core_holes_close",
            f"The core hole repeats every {shortest:.1f} Å in the decks of {' and '.join(periodic)}.",
            f"give a supercell of at least {CORE_HOLES_APART:g} Å in every direction",
        )
    if edge in ("L2", "L3", "L23") and element in ("Mn", "Fe", "Co", "Ni", "Cu"):
        estimate.flag(
            "multiplets-missing",
            f"none of these codes makes the multiplets of {element} L2,3 as written here",
            "spectra simulate --engine multiplet",
        )


def _surroundings(job: Job) -> Picture:
    """Draw how many atoms of which element stand at which distance from the absorber."""
    around = cluster(job.atoms, job.site, job.radius)
    layers = []
    for k, z in enumerate(sorted(set(around.numbers[1:].tolist()))):
        far = np.round(around.distances[1:][around.numbers[1:] == z], 2)
        places, counts = np.unique(far, return_counts=True)
        layers.append(points(places, counts, str(chemical_symbols[z]), f"series{k % 8}"))
    top = 1.08 * max((max(layer.data["y"]) for layer in layers), default=1.0)
    panel = Panel(tuple(layers), "distance from the absorber (Å)", "atoms", y_range=(0.0, top))
    title = f"Surroundings of {job.absorber} {job.site}"
    return Picture("surroundings", title, (panel,), "What the real-space codes are given.")


def _parse(estimate: Estimate, path: Path, selector: str, call: Call) -> None:
    spectra = read(path, kind="spectrum", selector=selector)
    target = call.artifact(path.stem + ".h5")
    write(spectra, target)
    spectrum = spectra[0]
    estimate.arrays["mu"] = spectrum["mu"]
    estimate.quantities["files"] = Quantity(1, "1", reason="counted")
    estimate.diagnostics |= {
        "artifacts": [{"path": target.name, "sha256": sha256_of(target)}],
        "code": spectrum.attrs.get("engine", ""),
        "axis": spectrum.attrs.get("axis_note", ""),
    }
    panel = Panel((line(spectrum.energy.values, spectrum.mu.values),), "energy (eV)", "µ")
    estimate.pictures.append(
        Picture(
            "spectrum",
            path.name,
            (panel,),
            ("As the code wrote it. " + str(spectrum.attrs.get("axis_note", ""))).strip(),
        )
    )
