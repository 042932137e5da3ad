"""The simulator contract: tasks, hashes, failures, cache; FEFF in quick mode."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell

from matterscope.core.errors import ConfigError, DataError
from matterscope.physics.structures import cluster, first_shell, shortest_distance, site_classes
from matterscope.spectra.simulators import feffstages
from matterscope.spectra.simulators.contract import StageFailed, TimedOut, cached, keep
from matterscope.spectra.simulators.feff import SCRATCH, Feff, read_xmu, remove_orphans
from matterscope.spectra.simulators.l23 import Multiplet

QUICK = Feff(quality="quick", radius=3.2, k_max=3.0, k_step=0.15, edge_step=0.5)


@pytest.fixture
def rocksalt() -> Atoms:
    return bulk("NiO", "rocksalt", 4.18)


def test_task_does_not_depend_on_the_choice_of_the_cell(rocksalt: Atoms) -> None:
    cube = make_supercell(rocksalt, [[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    site = int(np.flatnonzero(cube.numbers == 28)[-1])
    own = QUICK.task(rocksalt, 0, "K").payload.splitlines()
    other = QUICK.task(cube, site, "K").payload.splitlines()
    # stoichiometric weights scale with the cell; atoms and cards do not
    at = own.index("ATOMS")
    assert own[at:] == other[at:]


def test_permuting_atoms_changes_nothing(rocksalt: Atoms) -> None:
    turned = rocksalt[[1, 0]]
    assert QUICK.task(turned, 1, "K").key == QUICK.task(rocksalt, 0, "K").key


def test_settings_and_edge_enter_the_hash(rocksalt: Atoms) -> None:
    keys = {
        QUICK.task(rocksalt, 0, "K").key,
        QUICK.task(rocksalt, 1, "K").key,
        Feff(quality="scf", radius=3.2).task(rocksalt, 0, "K").key,
    }
    assert len(keys) == 3


def test_l_edges_of_3d_metals_are_sent_to_the_multiplets(rocksalt: Atoms) -> None:
    with pytest.raises(ConfigError, match="multiplet"):
        QUICK.task(rocksalt, 0, "L3")


def test_a_site_out_of_range_is_refused(rocksalt: Atoms) -> None:
    with pytest.raises(ConfigError, match="site is not in the structure"):
        QUICK.task(rocksalt, 7, "K")


def test_atoms_on_top_of_each_other_are_refused() -> None:
    broken = Atoms("NiO", positions=[(0, 0, 0), (0, 0, 0.3)], cell=[4] * 3, pbc=True)
    with pytest.raises(DataError, match=r"0\.30 Å apart"):
        QUICK.task(broken, 0, "K")


def test_partial_occupancy_is_refused(rocksalt: Atoms) -> None:
    rocksalt.info["occupancy"] = {"0": {"Ni": 0.5, "Co": 0.5}}
    with pytest.raises(DataError, match="partly occupied"):
        QUICK.task(rocksalt, 0, "K")


def test_feff_gives_the_same_spectrum_fresh_and_from_the_cache(
    rocksalt: Atoms, tmp_path: Path
) -> None:
    task = QUICK.task(rocksalt, 0, "K")
    fresh = cached(QUICK, task, tmp_path)
    again = cached(QUICK, task, tmp_path)
    assert np.array_equal(fresh.mu.values, again.mu.values)
    assert np.array_equal(fresh.energy.values, again.energy.values)
    assert again.attrs["normalisation"] > 0
    # absolute energies of theory are off by up to 8 eV; the maximum lies within 20 eV of the edge
    assert abs(float(fresh.energy[int(np.argmax(fresh.mu.values))]) - 8333) < 28


def test_two_workers_may_write_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"

    def lose_the_race() -> None:
        path.write_text("the other's")
        raise FileNotFoundError(path)

    keep(path, lose_the_race)
    assert path.read_text() == "the other's"
    with pytest.raises(FileNotFoundError):
        keep(tmp_path / "b" / "x.json", lambda: (tmp_path / "none" / "y").write_text("") and None)


def test_feff_leaves_no_scratch_behind(
    rocksalt: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    QUICK.expect(QUICK.task(rocksalt, 0, "K"))
    assert list(tmp_path.iterdir()) == []


def test_time_limit_ends_feff(rocksalt: Atoms) -> None:
    hurried = Feff(quality="scf", radius=5.0, time_limit=0.2)
    with pytest.raises(TimedOut, match="time limit"):
        hurried.expect(hurried.task(rocksalt, 0, "K"))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_killed_builder_leaves_no_feff_behind(rocksalt: Atoms, tmp_path: Path) -> None:
    # the stand-in for a builder starts a child that guards itself as FEFF's do, and is then killed
    own, parent = tmp_path / "own.py", tmp_path / "parent.py"
    own.write_text(
        f"import sys, time\nsys.path.insert(0, {str(Path(feffstages.__file__).parent)!r})\n"
        "import feffstages\nfeffstages.end_with_parent()\nprint(1, flush=True)\ntime.sleep(60)\n"
    )
    parent.write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {str(own)!r}], stdout=subprocess.PIPE, start_new_session=True)\n"
        "child.stdout.readline()\nprint(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    builder = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True)
    assert builder.stdout is not None
    child = int(builder.stdout.readline())
    builder.kill()
    builder.wait()
    builder.stdout.close()
    state = Path(f"/proc/{child}/stat")
    for _ in range(100):
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child outlived the builder that was killed")


def test_a_failing_program_is_a_typed_failure_with_its_log(rocksalt: Atoms, tmp_path: Path) -> None:
    program = tmp_path / "feff"
    program.write_text("#!/bin/sh\necho 'no such potential'\nexit 3\n")
    program.chmod(0o755)
    engine = Feff(executable=str(program))
    with pytest.raises(StageFailed, match="no such potential"):
        engine.expect(engine.task(rocksalt, 0, "K"))


def test_an_external_program_gets_the_same_deck(rocksalt: Atoms, tmp_path: Path) -> None:
    program = tmp_path / "feff"
    program.write_text(f"#!/bin/sh\ncp feff.inp {tmp_path}/seen\nexit 1\n")
    program.chmod(0o755)
    engine = Feff(quality="quick", radius=3.2, executable=str(program))
    task = engine.task(rocksalt, 0, "K")
    with pytest.raises(StageFailed):
        engine.expect(task)
    assert (tmp_path / "seen").read_text() == task.payload


def test_an_xmu_file_without_rows_is_a_failure() -> None:
    with pytest.raises(StageFailed, match="no usable rows"):
        read_xmu("# nothing\n")


def test_multiplet_site_takes_its_valence_from_the_bonds(rocksalt: Atoms) -> None:
    task = Multiplet().task(rocksalt, 0, "L23")
    assert task.notes["ion"] == "Ni2+"
    assert task.notes["oxygens"] == 6


def test_multiplet_refuses_an_ion_of_another_element(rocksalt: Atoms) -> None:
    with pytest.raises(ConfigError, match="no ion of Ni"):
        Multiplet(ion="Co3+").task(rocksalt, 0, "L23")


def test_shells_of_rocksalt_and_copper_are_known() -> None:
    assert first_shell(bulk("NaCl", "rocksalt", 5.64), 0).coordination_number == 6
    assert first_shell(bulk("Cu", "fcc", 3.61), 0).coordination_number == 12


def test_equivalent_sites_are_one_class() -> None:
    cube = bulk("Cu", "fcc", 3.61, cubic=True) * 2
    assert len(site_classes(cube, 29)) == 1
    cube.positions[0] += 0.1
    assert len(site_classes(cube, 29)) > 1


def test_shortest_distance_sees_across_the_cell_border() -> None:
    atoms = Atoms("H2", positions=[(0.1, 0, 0), (4.9, 0, 0)], cell=[5] * 3, pbc=True)
    assert shortest_distance(atoms)[0] == pytest.approx(0.2)


def test_cluster_begins_with_its_centre() -> None:
    around = cluster(bulk("Cu", "fcc", 3.61), 0, 4.0)
    assert around.distances[0] == 0.0
    assert np.all(np.diff(around.distances) >= -1e-4)


def test_a_radius_of_zero_holds_the_same_number_of_atoms_in_dense_and_open_crystals():
    decks = [
        Feff(radius=0.0, quality="quick").task(bulk(*given), 0, "K").notes["atoms"]
        for given in (("FeO", "rocksalt", 4.311), ("ZnSe", "zincblende", 5.668))
    ]
    assert abs(decks[0] - decks[1]) < 0.35 * max(decks)


def test_disorder_is_a_card_of_its_own_and_absent_where_atoms_rest():
    atoms = bulk("FeO", "rocksalt", 4.311)
    rest, warm = (Feff(disorder=d).task(atoms, 0, "K") for d in (0.0, 0.006))
    assert "SIG2 0.006" in warm.payload
    assert rest.payload == warm.payload.replace("SIG2 0.006\n", "")


def test_scratch_of_a_killed_process_is_removed_and_that_of_a_living_one_kept(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, held, other = (
        tmp_path / name
        for name in (f"{SCRATCH}{gone.pid}-a", f"{SCRATCH}{os.getpid()}-b", "matterscope-feff-c")
    )
    for folder in (left, held, other):
        folder.mkdir()
    remove_orphans(tmp_path)
    assert not left.exists()
    assert held.exists()
    assert other.exists()
