"""FEFF10 full multiple scattering: K edges (and L of heavy elements) from a structure, offline.

In: a task made from a structure, a site and an edge. Out: µ(E) with the constant by which FEFF
normalised it. Runs feff10-rs in processes of its own, or an external ``feff`` executable.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from matterscope.core.errors import ConfigError, DataError, require
from matterscope.physics.structures import Cluster, cluster
from matterscope.spectra.simulators.contract import (
    StageFailed,
    Task,
    TimedOut,
    as_measurement,
    check_site,
)

NOTICE = (
    "FEFF10.0 Copyright (c) 2020 FEFF Project, University of Washington and SLAC National "
    "Accelerator Laboratory"
)
STAGES = ("rdinp", "atomic", "pot", "xsph", "fms", "mkgtr", "path", "genfmt", "ff2x")
"""The others change nothing in the spectrum (bit-identical) and cost a fifth more."""
MARGIN = 1.6
"""Å beyond the multiple-scattering radius: atoms that overlap the potentials inside."""
MOST_POTENTIALS = 11
SCRATCH = f"matterscope-feff-{platform.node()}-"
"""Begin of the names of scratch folders; the number of the owning process follows."""
THIRD_ROW_METALS = range(21, 31)


@dataclass(frozen=True)
class Feff:
    """FEFF10 with one quality of settings.

    Parameters
    ----------
    quality : str
        "quick" (overlapped atoms) or "scf" (self-consistent potential).
    radius : float, Å
        Full multiple scattering; 0 takes the sphere that holds 55 atoms.
    scf_radius : float, Å
    k_max, k_step : float, 1/Å
        Range and step above the edge: E_max = k²·3.81 eV.
    edge_step : float, eV
        Step at the edge.
    extra_width : float, eV
        Added to the core-hole width (imaginary part of the potential); may be negative.
    disorder : float, Å²
        Mean-square relative displacement of every pair of atoms (SIG2); 0 leaves atoms at rest.
    executable : str
        "" for the built-in FEFF10; else the path of an external program that reads ``feff.inp``.
    time_limit : float, s
    """

    quality: str = "scf"
    radius: float = 5.2
    scf_radius: float = 4.2
    k_max: float = 4.0
    k_step: float = 0.06
    edge_step: float = 0.15
    extra_width: float = 0.0
    disorder: float = 0.0
    executable: str = ""
    time_limit: float = 600.0

    @property
    def name(self) -> str:
        """Return "feff10", or "feff" for an external program."""
        return "feff" if self.executable else "feff10"

    @property
    def version(self) -> str:
        """Return the engine's version as it stands in hashes."""
        if self.executable:
            return f"external {Path(self.executable).name}"
        require("feff10", "simulating with FEFF10")
        return f"feff10-rs {metadata.version('feff10-rs')}"

    def supports(self, element: str, edge: str) -> str | None:
        """Return None or the reason: 3d metals need multiplets at L2,3."""
        if edge == "L23":
            return "the two edges are separate runs: ask for L3 and L2, or use the multiplet engine"
        if edge in ("L2", "L3") and atomic_numbers[element] in THIRD_ROW_METALS:
            return "L2,3 of 3d metals are multiplets: use the multiplet engine"
        return None

    def task(self, atoms: Atoms, site: int, edge: str) -> Task:
        """Return the task: the deck is its payload, so equal surroundings have equal hashes."""
        element = check_site(self, atoms, site, edge)
        if self.radius == 0:
            return replace(self, radius=round(scattering_radius(atoms), 2)).task(atoms, site, edge)
        around = cluster(atoms, site, self.radius + MARGIN)
        notes = {"site": int(site), "atoms": len(around), "quality": self.quality}
        return Task(self.name, self.version, element, edge, self.deck(around, atoms, edge), notes)

    def deck(self, around: Cluster, atoms: Atoms, edge: str) -> str:
        """Return ``feff.inp`` for a cluster."""
        return write_deck(self, around, atoms.numbers, edge)

    def expect(self, task: Task) -> xr.Dataset:
        """Run FEFF on the deck of `task` in a scratch folder of its own."""
        memory = Path("/dev/shm")  # ~60 small files that nobody keeps
        parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        remove_orphans(parent)
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", dir=parent) as name:
            folder = Path(name)
            (folder / "feff.inp").write_text(task.payload)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._run(folder)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            table = folder / "xmu.dat"
            if not table.exists():
                raise StageFailed(
                    f"FEFF wrote no spectrum for {task.element} {task.edge}",
                    got=_tail(folder / "log.txt"),
                    hint="look for atoms too close to each other or a charge that does not fit",
                )
            columns, facts = read_xmu(table.read_text(errors="replace"))
            facts["scf_converged"] = _converged(folder / "log.txt", self.quality)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return as_measurement(
            task,
            columns["omega"],
            columns["mu"],
            columns["mu0"],
            cpu_s=float(spent),
            licence=NOTICE,
            **facts,
        )

    def _run(self, folder: Path) -> None:
        if self.executable:
            program = shutil.which(self.executable)
            if program is None:
                raise ConfigError("no such FEFF executable", got=self.executable)
            command = [program]
        else:
            script = Path(__file__).with_name("feffstages.py")
            command = [sys.executable, str(script), str(folder), *STAGES]
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                status = process.wait(timeout=self.time_limit)
            except subprocess.TimeoutExpired:
                raise TimedOut(
                    "FEFF ran past its time limit",
                    got=f"{self.time_limit:g} s",
                    hint="use --quality quick, a smaller radius or a longer limit",
                ) from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if status != 0:
            raise StageFailed(
                "a stage of FEFF failed", got=_tail(folder / "log.txt"), hint="see the log excerpt"
            )


def remove_orphans(parent: Path) -> None:
    """Remove scratch folders in `parent` whose process on this host is gone: killed builders leave theirs behind."""
    for folder in parent.glob(f"{SCRATCH}*-*"):
        owner = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, and alive
        return True
    return True


def scattering_radius(atoms: Atoms, count: int = 55) -> float:
    """Return the radius (Å) of a sphere that holds `count` atoms of the crystal, 4 to 9 Å.

    A fixed radius holds 60 atoms of a dense oxide and 26 of ZnSe: the series ends too early in open structures.
    """
    density = len(atoms) / float(atoms.get_volume())
    return float(np.clip(np.cbrt(3 * count / (4 * np.pi * density)), 4.0, 9.0))


def write_deck(engine: Feff, around: Cluster, numbers: Any, edge: str) -> str:
    """Return ``feff.inp``: cards, one potential per element, atoms by distance.

    The angular momentum goes to l = 2 (1 up to Ne, 3 from La on); the absorber has a potential of its own with
    next to no weight in the stoichiometry.
    """
    absorber = int(around.numbers[0])
    others = sorted({int(z) for z in around.numbers[1:]})
    if len(others) + 1 > MOST_POTENTIALS:
        raise DataError(
            "too many elements around the absorber for FEFF",
            got=len(others) + 1,
            expected=f"at most {MOST_POTENTIALS} potentials",
            hint="use a smaller radius",
        )
    lines = [
        f"TITLE {chemical_symbols[absorber]} {edge}",
        f"EDGE {edge}",
        "S02 1.0",
        "CONTROL 1 1 1 1 1 1",
        "PRINT 0 0 0 0 0 0",
        "COREHOLE FSR",
    ]
    if engine.quality == "scf":
        lines.append(f"SCF {engine.scf_radius:g} 0 30 0.2 3")
    lines += [
        f"FMS {engine.radius:g} 0",
        f"EXCHANGE 0 0 {engine.extra_width:g}",
        f"XANES {engine.k_max:g} {engine.k_step:g} {engine.edge_step:g}",
        "RPATH -1",
        *([f"SIG2 {engine.disorder:g}"] if engine.disorder > 0 else []),
        "POTENTIALS",
        _potential(0, absorber, 0.001),
    ]
    counts = np.bincount(np.asarray(numbers, dtype=int), minlength=100)
    lines += [_potential(1 + i, z, max(float(counts[z]), 0.001)) for i, z in enumerate(others)]
    lines.append("ATOMS")
    for k, (z, place) in enumerate(zip(around.numbers, around.positions, strict=True)):
        x, y, height = np.round(place, 5) + 0.0
        which = 0 if k == 0 else 1 + others.index(int(z))
        symbol, far = chemical_symbols[z], around.distances[k]
        lines.append(f"{x:.5f} {y:.5f} {height:.5f} {which} {symbol} {far:.5f}")
    return "\n".join([*lines, "END", ""])


def _potential(number: int, z: int, weight: float) -> str:
    # heavy atoms hold 4f electrons, without which the Fermi level is wrong
    momentum = 1 if z <= 10 else 2 if z < 57 else 3
    return f"{number} {z} {chemical_symbols[z]} {momentum} {momentum} {weight:g}"


def read_xmu(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of ``xmu.dat`` and facts from its header.

    Facts: ``normalisation`` (µ at edge + 50 eV by which FEFF divided; multiply back before sites
    are averaged), ``fermi_level`` (eV), ``core_hole_width`` (eV).
    """
    rows, facts = [], {}
    for line in text.splitlines():
        if not line.startswith("#"):
            rows.append([float(word) for word in line.split()])
        elif "used to normalize mu" in line:
            facts["normalisation"] = float(line.split()[-1])
        elif "Gam_ch=" in line:
            facts["core_hole_width"] = float(line.split("Gam_ch=")[1].split()[0])
        elif "Mu=" in line and "eV" in line:
            facts["fermi_level"] = float(line.split("Mu=")[1].split("eV")[0])
    table = np.array([r for r in rows if len(r) == 6])
    if len(table) < 10 or not np.isfinite(table).all():
        raise StageFailed("FEFF's xmu.dat has no usable rows", got=f"{len(table)} rows")
    names = ("omega", "e", "k", "mu", "mu0", "chi")
    return {n: table[:, i] for i, n in enumerate(names)}, facts


def _converged(log: Path, quality: str) -> str:
    if quality != "scf":
        return "not asked"
    text = log.read_text(errors="replace").lower()
    return "no" if "not converge" in text or "convergence not reached" in text else "yes"


def _tail(log: Path, lines: int = 4) -> str:
    if not log.exists():
        return "no log"
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
