"""Write a built set as training sets: one folder per element, as `train`, `compare-features` and `search` read them.

In: the folder of `spectra build`. Out: ``training/ELEMENT_K`` with ``spectra.npz`` (energy_ev, mu, material, site)
and ``structures.extxyz.gz``; materials are grouped by parent, so that no fold shares an ordering.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from matterscope.core.files import write_bytes
from matterscope.physics.structures import from_record


def export_training(folder: Path) -> dict[str, Path]:
    """Return element and edge → folder of the training sets written from a built set.

    A material is a structure; its name begins with its parent, ``p0003-00011``.
    """
    rows: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
    structures: dict[str, Atoms] = {}
    for path in sorted((folder / "structures").glob("*.json")):
        record = json.loads(path.read_text())
        name = f"{record['plan']['parent']}-{record['plan']['index']:05d}"
        structures[name] = from_record(record["structure"])
        for entry in record["spectra"]:
            stored = folder / "sites" / entry["task"][:2] / f"{entry['task']}.json"
            key = f"{entry['element']}_{entry['edge']}"
            rows.setdefault(key, []).append((name, entry["site"], json.loads(stored.read_text())))
    written = {}
    for key, found in sorted(rows.items()):
        target = folder / "training" / key
        target.mkdir(parents=True, exist_ok=True)
        write_bytes(target / "spectra.npz", _spectra(found))
        own = {name for name, _, _ in found}
        text = "".join(_extxyz(n, a) for n, a in structures.items() if n in own)
        write_bytes(target / "structures.extxyz.gz", gzip.compress(text.encode(), mtime=0))
        written[key] = target
    return written


def _spectra(rows: list[tuple[str, int, dict[str, Any]]]) -> bytes:
    # sites differ in length where their Fermi levels do: all get the points of the longest, on their own range
    most = max(len(stored["energy"]) for _, _, stored in rows)
    energy, mu = np.empty((len(rows), most)), np.empty((len(rows), most))
    for k, (_, _, stored) in enumerate(rows):
        own = np.asarray(stored["energy"])
        energy[k] = np.interp(np.linspace(0, 1, most), np.linspace(0, 1, own.size), own)
        mu[k] = np.interp(energy[k], own, stored["mu"])
    buffer = io.BytesIO()
    np.savez(
        buffer,
        material=np.array([name for name, _, _ in rows]),
        site=np.array([site for _, site, _ in rows], dtype=np.int32),
        energy_ev=energy,
        mu=mu,
    )
    return buffer.getvalue()


def _extxyz(name: str, atoms: Atoms) -> str:
    lattice = " ".join(f"{v:.8f}" for v in atoms.cell.array.ravel())
    lines = [str(len(atoms)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 material={name}']
    lines += [
        f"{s} " + " ".join(f"{x:.8f}" for x in p)
        for s, p in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    ]
    return "\n".join(lines) + "\n"
