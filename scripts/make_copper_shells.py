"""Simulate copper in shells other than oxygen, and in oxides beside: what teaches a gate the refusal.

In: a folder to write (argument 1), the folder of an oxide set to draw structures from (argument 2), how many
of them (argument 3). Out: ``spectra.npz`` and ``structures.extxyz.gz`` for `spectra train --others`. FEFF10 in
quick mode, about 3 CPU s a site; what the folder holds already is kept. The oxides are computed by the same
engine, so that the gate cannot tell the engines apart instead of the shells.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from matterscope.core.errors import MatterscopeError
from matterscope.core.random import generator
from matterscope.physics.structures import site_classes
from matterscope.spectra.sets.trainingsets import load_set, read_structures
from matterscope.spectra.simulators.feff import Feff

COPPER = 29
POINTS = 200
STRAINS = (-0.02, 0.015)
SHAKEN = 0.04
"""Å; standard deviation of the displacement of every coordinate."""

Entry = tuple[str, int, list[float], list[tuple]]


def cubic(a: float) -> list[float]:
    """Return the cell."""
    return [a, a, a, 90, 90, 90]


def tetragonal(a: float, c: float) -> list[float]:
    """Return the cell."""
    return [a, a, c, 90, 90, 90]


def hexagonal(a: float, c: float) -> list[float]:
    """Return the cell."""
    return [a, a, c, 90, 90, 120]


def prototypes() -> list[Entry]:
    """Return (name, space group, cell, sites): lattice constants as tabulated, rounded."""
    third, two = 1 / 3, 2 / 3
    found: list[Entry] = [
        (n, 194, hexagonal(a, c), [("Cu", third, two, 0.75), ("Cu", third, two, 0.1073), (x, third, two, 0.25), (x, 0, 0, 0.0634)])
        for n, x, a, c in (("CuS", "S", 3.794, 16.341), ("CuSe", "Se", 3.939, 17.25))
    ]  # fmt: skip
    for x, a in (("S", 5.57), ("Se", 5.84), ("Te", 6.11)):
        found.append((f"Cu2{x}", 225, cubic(a), [(x, 0, 0, 0), ("Cu", 0.25, 0.25, 0.25)]))
    for m, x, a, c, u in (
        ("Fe", "S", 5.289, 10.423, 0.2574), ("Ga", "S", 5.351, 10.484, 0.2539), ("In", "S", 5.523, 11.14, 0.2295),
        ("Al", "S", 5.334, 10.444, 0.268), ("In", "Se", 5.782, 11.62, 0.235), ("Ga", "Se", 5.614, 11.02, 0.2431),
        ("Al", "Se", 5.606, 10.90, 0.26), ("In", "Te", 6.18, 12.37, 0.225),
    ):  # fmt: skip
        sites = [("Cu", 0, 0, 0), (m, 0, 0, 0.5), (x, u, 0.25, 0.125)]
        found.append((f"Cu{m}{x}2", 122, tetragonal(a, c), sites))
    found += [
        ("Cu2ZnSnS4", 82, tetragonal(5.427, 10.871), [("Cu", 0, 0, 0), ("Cu", 0, 0.5, 0.25), ("Zn", 0, 0.5, 0.75), ("Sn", 0, 0, 0.5), ("S", 0.756, 0.7566, 0.8722)]),
        ("Cu3SbS4", 121, tetragonal(5.385, 10.754), [("Sb", 0, 0, 0), ("Cu", 0, 0, 0.5), ("Cu", 0, 0.5, 0.25), ("S", 0.245, 0.245, 0.1295)]),
        ("Cu3VS4", 215, cubic(5.391), [("V", 0, 0, 0), ("Cu", 0.5, 0, 0), ("S", 0.2372, 0.2372, 0.2372)]),
        ("KCuF3", 140, tetragonal(5.855, 7.852), [("K", 0, 0, 0.25), ("Cu", 0, 0.5, 0), ("F", 0, 0.5, 0.25), ("F", 0.2276, 0.7276, 0)]),
        ("K2CuF4", 139, tetragonal(4.147, 12.73), [("Cu", 0, 0, 0), ("K", 0, 0, 0.356), ("F", 0, 0.5, 0), ("F", 0, 0, 0.153)]),
        ("Cu3N", 221, cubic(3.817), [("N", 0, 0, 0), ("Cu", 0.5, 0, 0)]),
        ("SrCu2As2", 139, tetragonal(4.271, 10.018), [("Sr", 0, 0, 0), ("Cu", 0, 0.5, 0.25), ("As", 0, 0, 0.38)]),
        ("BaCu2S2", 139, tetragonal(3.908, 12.655), [("Ba", 0, 0, 0), ("Cu", 0, 0.5, 0.25), ("S", 0, 0, 0.36)]),
        ("TlCu2Se2", 139, tetragonal(3.857, 14.04), [("Tl", 0, 0, 0), ("Cu", 0, 0.5, 0.25), ("Se", 0, 0, 0.357)]),
        ("Cu", 225, cubic(3.615), [("Cu", 0, 0, 0)]),
        ("CuZn", 221, cubic(2.95), [("Cu", 0, 0, 0), ("Zn", 0.5, 0.5, 0.5)]),
        ("Cu3Au", 221, cubic(3.75), [("Au", 0, 0, 0), ("Cu", 0, 0.5, 0.5)]),
        ("CuAl2", 140, tetragonal(6.067, 4.877), [("Cu", 0, 0, 0.25), ("Al", 0.1581, 0.6581, 0)]),
        ("Cu2MnAl", 225, cubic(5.95), [("Al", 0, 0, 0), ("Mn", 0.5, 0.5, 0.5), ("Cu", 0.25, 0.25, 0.25)]),
        ("CuCN", 160, hexagonal(5.912, 4.86), [("Cu", 0, 0, 0), ("C", 0, 0, 0.3815), ("N", 0, 0, 0.618)]),
        ("CuH", 186, hexagonal(2.893, 4.614), [("Cu", third, two, 0), ("H", third, two, 0.375)]),
    ]  # fmt: skip
    for x, a in (("Cl", 5.416), ("Br", 5.690), ("I", 6.05)):
        found.append((f"Cu{x}", 216, cubic(a), [("Cu", 0, 0, 0), (x, 0.25, 0.25, 0.25)]))
    for x, a in (("S", 5.79), ("Se", 6.12)):
        found.append((f"Cu{x}2", 205, cubic(a), [("Cu", 0, 0, 0), (x, 0.392, 0.392, 0.392)]))
    for m, x, a in (("Cr", "S", 9.814), ("Cr", "Se", 10.33), ("Ti", "S", 10.0), ("Co", "S", 9.48)):
        sites = [("Cu", 0.125, 0.125, 0.125), (m, 0.5, 0.5, 0.5), (x, 0.2587, 0.2587, 0.2587)]
        found.append((f"Cu{m}2{x}4", 227, cubic(a), sites))
    for m, x, a, c in (("La", "S", 3.999, 8.53), ("La", "Se", 4.067, 8.80), ("Bi", "S", 3.868, 8.56), ("Bi", "Se", 3.930, 8.93)):  # fmt: skip
        sites = [
            (m, 0.25, 0.25, 0.145),
            ("O", 0.75, 0.25, 0),
            ("Cu", 0.75, 0.25, 0.5),
            (x, 0.25, 0.25, 0.66),
        ]
        found.append((f"{m}OCu{x}", 129, tetragonal(a, c), sites))
    return found


def crystals() -> list[tuple[str, Atoms]]:
    """Return every prototype, strained and shaken."""
    made = []
    for name, group, cell, sites in prototypes():
        setting = 2 if group in (129, 227) else 1
        atoms = crystal(
            [s[0] for s in sites],
            [s[1:] for s in sites],
            spacegroup=group,
            setting=setting,
            cellpar=cell,
        )
        for k, strain in enumerate(STRAINS):
            moved = Atoms(atoms.symbols, cell=atoms.cell, positions=atoms.positions, pbc=True)
            moved.set_cell(moved.cell * (1 + strain), scale_atoms=True)
            moved.positions += generator(0, name, k).normal(0, SHAKEN, moved.positions.shape)
            first = [members[0] for members in site_classes(atoms, COPPER).values()]
            made += [(f"{name}-{k}:{i}", moved) for i in first]
    return made


def oxides(folder: Path, count: int) -> list[tuple[str, Atoms]]:
    """Return `count` oxygen-coordinated sites of a set, of small cells, one a material."""
    known, structures = load_set(folder), read_structures(folder / "structures.extxyz.gz")
    with np.load(folder / "spectra.npz", allow_pickle=False) as stored:
        sites = stored["site"]
    order = generator(0, "oxides").permutation(np.flatnonzero(known.oxygen))
    seen: set[str] = set()
    made = []
    for i in order:
        name = str(known.materials[i])
        if name not in seen and len(structures[name]) <= 60:
            seen.add(name)
            made.append((f"{name}:{int(sites[i])}", structures[name]))
    return made[:count]


def main() -> None:
    out, source, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    cache = out / "computed.npz"
    done = dict(np.load(cache, allow_pickle=False)) if cache.exists() else {}
    engine = Feff(quality="quick", k_max=6.0)
    others, own = crystals(), oxides(source, count)
    longest = max(len(others), len(own))
    wanted = [group[k] for k in range(longest) for group in (others, own) if k < len(group)]
    for number, (name, atoms) in enumerate(wanted):
        if name in done:
            continue
        try:
            found = engine.expect(engine.task(atoms, int(name.rpartition(":")[2]), "K"))
        except MatterscopeError as error:  # a failed site is named and left out
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        grid = np.linspace(found.energy.values[0], found.energy.values[-1], POINTS)
        done[name] = np.stack([grid, np.interp(grid, found.energy.values, found.mu.values)])
        np.savez(cache, **done)
        print(f"{number + 1} of {len(wanted)}: {name}", flush=True)
    write_set(out, {n: a for n, a in wanted if n in done}, done)


def write_set(out: Path, atoms: dict[str, Atoms], spectra: dict[str, np.ndarray]) -> None:
    """Write the folder that `spectra train --others` reads."""
    names = list(atoms)
    material = [n.rpartition(":")[0] for n in names]
    np.savez(
        out / "spectra.npz",
        material=np.array(material),
        site=np.array([int(n.rpartition(":")[2]) for n in names], dtype=np.int32),
        energy_ev=np.array([spectra[n][0] for n in names]),
        mu=np.array([spectra[n][1] for n in names]),
    )
    with gzip.open(out / "structures.extxyz.gz", "wt") as stream:
        for name, own in {m: atoms[n] for m, n in zip(material, names, strict=True)}.items():
            cell = " ".join(f"{x:.8f}" for x in own.cell.array.ravel())
            stream.write(f'{len(own)}\nLattice="{cell}" material={name}\n')
            for symbol, place in zip(own.symbols, own.positions, strict=True):
                stream.write(f"{symbol} " + " ".join(f"{x:.8f}" for x in place) + "\n")


if __name__ == "__main__":
    main()
