"""`spectra simulate`: structures in, site averages out, refusals with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write as ase_write

import matterscope.spectra as spectra
from matterscope.core.errors import ConfigError, ReadError
from matterscope.io import read
from matterscope.io.structures import read_structure

QUICK = {"quality": "quick", "radius": 3.2, "k_max": 2.5}


@pytest.fixture
def nickel_oxide(tmp_path: Path) -> Path:
    path = tmp_path / "nio.cif"
    ase_write(path, bulk("NiO", "rocksalt", 4.18, cubic=True))
    return path


def test_unique_sites_give_the_average_of_all_sites(nickel_oxide: Path) -> None:
    one = spectra.simulate(nickel_oxide, edge="Ni:K", site="unique", **QUICK)
    number = int(np.flatnonzero(read_structure(nickel_oxide).numbers == 28)[1])
    other = spectra.simulate(nickel_oxide, edge="Ni:K", site=str(number), **QUICK)
    # equivalent sites have the same surroundings in another orientation
    assert np.allclose(one.arrays["mu"].values, other.arrays["mu"].values, atol=2e-3)
    assert one.tables["sites"]["weight"].tolist() == [4]
    assert one.tables["sites"]["coordination_number"].tolist() == [6]
    assert one.flagged("no-self-consistency")


def test_what_is_written_reads_back_as_a_measurement(nickel_oxide: Path, tmp_path: Path) -> None:
    found = spectra.simulate(nickel_oxide, edge="Ni:L23", artifacts=tmp_path)
    back = read(tmp_path / "Ni_L23.h5", kind="spectrum")[0]
    assert np.array_equal(back.mu.values, found.arrays["mu"].values)
    assert back.attrs["element"] == "Ni"


def test_single_absorbers_are_kept_apart_from_their_average(tmp_path: Path) -> None:
    path, atoms = tmp_path / "two.cif", bulk("NiO", "rocksalt", 4.18, cubic=True)
    atoms.positions[0] += [0.1, 0, 0]
    ase_write(path, atoms)
    found = spectra.simulate(path, edge="Ni:L23", artifacts=tmp_path)
    assert len(read(tmp_path / "Ni_L23.h5", kind="spectrum")) == 1
    sites = read(tmp_path / "Ni_L23_sites.h5", kind="spectrum")
    assert len(sites) == len(found.tables["sites"]) > 1


def test_an_ion_needs_no_structure() -> None:
    found = spectra.simulate(engine="multiplet", ion="Ni2+", ten_dq=1.1)
    assert found.flagged("ionic-model")
    energy = found.arrays["mu"].energy.values
    assert energy[np.argmax(found.arrays["mu"].values)] == pytest.approx(852.7, abs=0.3)


def test_k_edge_without_a_structure_is_refused() -> None:
    with pytest.raises(ReadError, match="a structure is needed"):
        spectra.simulate(engine="feff10")


def test_an_element_that_is_not_there_is_refused(nickel_oxide: Path) -> None:
    with pytest.raises(ConfigError, match="no Co in the structure"):
        spectra.simulate(nickel_oxide, edge="Co:K")


def test_l_edges_of_metals_are_not_left_to_multiple_scattering(nickel_oxide: Path) -> None:
    with pytest.raises(ConfigError, match="multiplet"):
        spectra.simulate(nickel_oxide, edge="Ni:L3")


def test_the_surrogate_asks_for_a_training_set(nickel_oxide: Path) -> None:
    with pytest.raises(ConfigError, match="needs a set"):
        spectra.simulate(nickel_oxide, edge="Ni:K", engine="surrogate")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.cif", "nothing here"),
        ("a.xyz", "3\n\nNi 0 0\n"),
        ("POSCAR", "x\n1\n"),
        ("a.pdb", "ATOM"),
    ],
)
def test_a_broken_structure_is_a_read_error(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ReadError, match=name.partition(".")[0]):
        read_structure(path)


def test_a_longer_bond_moves_the_first_extended_maximum_down(tmp_path: Path) -> None:
    tops = []
    for lattice in (4.10, 4.26):
        path = tmp_path / f"{lattice}.cif"
        ase_write(path, bulk("NiO", "rocksalt", lattice))
        found = spectra.simulate(path, edge="Ni:K", quality="quick", radius=4.4, k_max=4.0)
        mu = found.arrays["mu"]
        energy = mu.energy.values - found["edge_position"].value
        late = (energy > 12) & (energy < 35)
        tops.append(float(energy[late][np.argmax(mu.values[late])]))
    # Natoli: (E − E₀)·d² is constant, to 20 %
    fall = np.log(tops[0] / tops[1]) / np.log(4.26 / 4.10)
    assert 1.6 < fall < 2.4
