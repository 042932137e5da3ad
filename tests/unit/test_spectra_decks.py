"""Inputs for other codes, and what they give back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read as ase_read

from matterscope.core.errors import ConfigError, ReadError
from matterscope.io import read
from matterscope.io.fdmnes import read_fdmnes_deck
from matterscope.spectra.simulators.jobs import CODES, Job, write_decks


@pytest.fixture
def oxide() -> Atoms:
    return bulk("NiO", "rocksalt", 4.18, cubic=True)


@pytest.mark.parametrize("code", CODES)
def test_every_code_gets_text_that_names_the_absorber(oxide: Atoms, code: str) -> None:
    files = write_decks(Job(oxide, 0), code)
    assert files
    assert any("Ni" in text or " 28" in text for text in files.values())


def test_vasp_puts_the_absorber_first_and_alone(oxide: Atoms, tmp_path: Path) -> None:
    site = int(np.flatnonzero(oxide.numbers == 28)[2])
    path = tmp_path / "POSCAR"
    path.write_text(write_decks(Job(oxide, site), "vasp")["POSCAR"])
    atoms = ase_read(path)
    assert atoms[0].symbol == "Ni"
    assert sorted(atoms.numbers) == sorted(oxide.numbers)
    assert np.allclose(atoms.positions[0], oxide.positions[site], atol=1e-8)


def test_no_potential_file_is_written(oxide: Atoms) -> None:
    names = {name for code in CODES for name in write_decks(Job(oxide, 0), code)}
    assert not any("POTCAR" in n or n.endswith(".UPF") for n in names)


def test_a_deck_of_fdmnes_reads_back_as_the_structure(oxide: Atoms) -> None:
    atoms, keywords = read_fdmnes_deck(write_decks(Job(oxide, 0, "L3", 5.0), "fdmnes")["job.txt"])
    assert sorted(atoms.numbers) == sorted(oxide.numbers)
    assert atoms.cell.cellpar() == pytest.approx(oxide.cell.cellpar())
    assert keywords["edge"] == "L3"
    assert float(keywords["radius"]) == 5.0


def test_a_deck_without_a_crystal_is_refused() -> None:
    with pytest.raises(ReadError, match="no crystal"):
        read_fdmnes_deck("Radius\n 5\nEnd\n")


def test_an_unknown_code_or_edge_is_refused(oxide: Atoms) -> None:
    with pytest.raises(ConfigError, match="unknown code"):
        write_decks(Job(oxide, 0), "gpaw")
    with pytest.raises(ConfigError, match="unknown edge"):
        Job(oxide, 0, "M5")


@pytest.mark.realdata
@pytest.mark.parametrize("element", ["Co", "Mn", "Ni", "O"])
def test_published_decks_are_read(data: Path, element: str) -> None:
    text = (data / "spectra" / "fdmnes_inputs" / f"{element}_in.txt").read_text()
    atoms, keywords = read_fdmnes_deck(text)
    assert len(atoms) == 40
    assert atoms.get_chemical_formula() == "Co2Li10Mn2Ni6O20"
    assert keywords["edge"] == ("K" if element == "O" else "L23")


def test_fdmnes_result_is_read_with_its_axis(tmp_path: Path) -> None:
    path = tmp_path / "job_conv.txt"
    path.write_text(
        "    Energy    <xanes>\n" + "".join(f" {e:.2f} {e * 0.01:.4f}\n" for e in range(-5, 20))
    )
    spectrum = read(path)[0]
    assert spectrum.energy.values[0] == -5.0
    assert spectrum.attrs["engine"] == "fdmnes"


def test_vasp_dielectric_tensor_becomes_absorption(tmp_path: Path) -> None:
    path = tmp_path / "CORE_DIELECTRIC_IMAG.dat"
    rows = [[e, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0] for e in np.arange(100.0, 110.0)]
    path.write_text("\n".join(" ".join(map(str, r)) for r in rows) + "\n")
    spectrum = read(path)[0]
    # µ ∝ E·Tr ε/3 and the trace over 3 is 2
    assert np.allclose(spectrum.mu.values, 2 * spectrum.energy.values)


@pytest.mark.parametrize(
    ("name", "head", "code"),
    [
        ("absspct_Ni.0001_1s_01", "# energy  absorption  left  right\n", "ocean"),
        ("xanes.dat", "# final state angular momentum: 1\n# Energy (eV)   XANES\n", "xspectra"),
    ],
)
def test_results_of_plane_wave_codes_are_read_on_their_own_axis(
    tmp_path: Path, name: str, head: str, code: str
) -> None:
    path = tmp_path / name
    energy = np.arange(-4.0, 6.0, 0.5)
    path.write_text(head + "".join(f" {e:.3f} {2 + e / 10:.4f} 0.1 0.2\n" for e in energy))
    (spectrum,) = read(path)
    assert spectrum.attrs["engine"] == code
    assert np.allclose(spectrum.energy.values, energy)
    assert np.allclose(spectrum.mu.values, 2 + energy / 10)
    assert "own zero" in spectrum.attrs["axis_note"]


def test_a_falling_energy_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "job_conv.txt"
    path.write_text("Energy <xanes>\n1.0 0.1\n2.0 0.2\n1.5 0.3\n4.0 0.4\n")
    with pytest.raises(ReadError, match="line 4"):
        read(path)
