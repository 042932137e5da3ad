"""`check` knows what other verbs take beside measurements."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate
from matterscope.core.verbs import as_input
from matterscope.io.structures import read_structure
from matterscope.runs.checking import check_files
from matterscope.runs.settings import CheckSettings
from matterscope.spectra.simulators.jobs import Job, write_decks


def checked(path: Path) -> Estimate:
    return check_files([as_input(path)], CheckSettings(), Call())[0]


@pytest.mark.parametrize("name", ["nio.cif", "POSCAR", "nio.extxyz", "nio.xsf"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_structure_is_known_packed_or_not(name: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, bulk("NiO", "rocksalt", 4.18, cubic=True))
    if packed:
        path = path.with_name(name + ".gz")
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    found = checked(path)
    assert found["verdict"].value == "PASS"
    assert "8 atoms, Ni4O4" in str(found["measurement_kind"].value)


def test_an_fdmnes_deck_is_a_structure(tmp_path: Path) -> None:
    path = tmp_path / "job.txt"
    path.write_text(
        write_decks(Job(bulk("NiO", "rocksalt", 4.18), 0, "K", 5.0), "fdmnes")["job.txt"]
    )
    assert len(read_structure(path)) == 2
    assert checked(path)["verdict"].value == "PASS"


def test_atoms_on_top_of_each_other_fail_and_a_molecule_warns(tmp_path: Path) -> None:
    crystal = bulk("NiO", "rocksalt", 4.18)
    crystal.positions[1] = crystal.positions[0] + 0.2
    write(tmp_path / "bad.vasp", crystal)
    found = checked(tmp_path / "bad.vasp")
    assert found["verdict"].value == "FAIL"
    assert found.flagged("atoms_too_close")
    write(tmp_path / "co.xyz", Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.13]]))
    assert checked(tmp_path / "co.xyz").flagged("no_cell")


def test_a_partly_occupied_site_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mixed.cif"
    write(path, bulk("NiO", "rocksalt", 4.18))
    text = path.read_text()
    row = next(line for line in text.splitlines() if line.split()[:1] == ["Ni"])
    path.write_text(text.replace(row, row.replace("1.0000", "0.5000", 1)))
    if "0.5000" not in path.read_text():
        pytest.skip("this version of ase writes no occupancies")
    assert checked(path).flagged("partial_occupancy")


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["formula", "gap"], ["CsPbI3", 1.7], ["CsSnI3", 1.3]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    found = checked(tmp_path / "t.xlsx")
    assert "2 rows × 2 columns" in str(found["measurement_kind"].value)


def test_force_constants_that_break_the_sum_rule_are_flagged(tmp_path: Path) -> None:
    def text(blocks: np.ndarray) -> str:
        rows = ["2 2"]
        for i in range(2):
            for j in range(2):
                rows += [
                    f"{i + 1} {j + 1}",
                    *(" ".join(f"{x:.6f}" for x in r) for r in blocks[i, j]),
                ]
        return "\n".join(rows) + "\n"

    spring = 5.0 * np.eye(3)
    good = np.array([[spring, -spring], [-spring, spring]])
    path = tmp_path / "FORCE_CONSTANTS"
    path.write_text(text(good))
    assert checked(path)["verdict"].value == "PASS"
    path.write_text(text(good * [[[[1]], [[0.5]]], [[[0.5]], [[1]]]]))
    assert checked(path).flagged("acoustic_sum")
