"""What a user sees for each kind of bad spectrum or structure: one row of the table, one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.data import atomic_numbers
from ase.io import write

import matterscope.spectra as spectra
from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError, DataError, MatterscopeError, ReadError
from matterscope.core.verbs import as_input
from matterscope.io import read
from matterscope.runs.checking import check_files
from matterscope.runs.settings import CheckSettings

ENERGY = np.arange(6962.0, 7700.0)
HC = 12398.41984


def iron(energy: np.ndarray, edge: float = 7112.0) -> np.ndarray:
    """Return an absorption edge with a white line on a falling background."""
    x = energy - edge
    line = 1 + 0.5 * np.exp(-(((x - 8) / 4) ** 2))
    return np.asarray(0.2 - 1e-4 * x + (0.5 + np.arctan(x / 1.2) / np.pi) * line)


def table(names: str, *columns: np.ndarray, mark: str = ".") -> str:
    """Return a table as text; semicolons part the columns where commas mark the decimals."""
    part = "," if mark == "." else ";"
    rows = [
        part.join(f"{v:.6f}".replace(".", mark) for v in row) for row in zip(*columns, strict=True)
    ]
    return "\n".join([names.replace(",", part), *rows]) + "\n"


def xdi(
    edge: float, element: str = "Fe", name: str = "K", sample: str = "x", stop: float = 7700.0
) -> str:
    """Return a file that states its element, edge and sample."""
    energy = np.arange(edge - 150, stop)
    head = f"# XDI/1.0\n# Element.symbol: {element}\n# Element.edge: {name}\n# Mono.d_spacing: 3.1356\n"
    head += f"# Sample.name: {sample}\n# Column.1: energy eV\n# Column.2: mutrans\n#---\n"
    return head + "\n".join(
        f"{e:.3f} {m:.6f}" for e, m in zip(energy, iron(energy, edge), strict=True)
    )


MU = iron(ENERGY)
I0 = np.full_like(ENERGY, 1e5)
IT = I0 * np.exp(-MU)
NORMAL = MU - 0.2 + 1e-4 * (ENERGY - 7112)
K = np.arange(0, 14, 0.05)
SHUFFLED = np.random.default_rng(0).permutation(ENERGY.size)
REPEATED = np.sort(np.append(ENERGY, ENERGY[200]))

JUDGED: dict[str, tuple[str, str, str, str]] = {
    # what it is: name, content, code of the finding, verdict
    "keV": ("a.csv", table("energy,mu", ENERGY / 1e3, MU), "axis_kev", "PASS"),
    "wavelength": ("a.csv", table("wavelength (A),mu", HC / ENERGY, MU), "axis_wavelength", "WARN"),
    "reversed": ("a.csv", table("energy,mu", ENERGY[::-1], MU[::-1]), "axis_reversed", "WARN"),
    "repeated": ("a.csv", table("energy,mu", REPEATED, iron(REPEATED)), "axis_duplicates", "WARN"),
    "unsorted": ("a.csv", table("energy,mu", ENERGY[SHUFFLED], MU[SHUFFLED]), "axis_unsorted", "WARN"),
    "angle": ("a.csv", table("angle,mu", np.degrees(np.arcsin(HC / ENERGY / 6.2712)), MU), "axis_angle_unknown", "WARN"),
    "swapped": ("a.csv", table("energy,i0,itrans", ENERGY, IT, I0), "falls_at_edge", "FAIL"),
    "short": ("a.csv", table("energy,mu", ENERGY[:168], MU[:168]), "post_edge_missing", "FAIL"),
    "shortish": ("a.csv", table("energy,mu", ENERGY[:188], MU[:188]), "post_edge_short", "WARN"),
    "before the edge": ("a.xdi", xdi(7112.0, stop=7108.6), "edge_missing", "FAIL"),
    "another element": ("a.xdi", xdi(5465.0, "La", "L3", stop=6200.0), "element_conflict", "WARN"),
    "axis off": ("a.csv", table("energy,mu", ENERGY + 40, MU), "axis_offset", "WARN"),
    "foil off": ("a.xdi", xdi(7106.0, sample="Fe foil"), "foil_offset", "WARN"),
    "normalised": ("a.csv", table("energy,mu", ENERGY, NORMAL), "already_normalised", "PASS"),
    "derivative": ("a.csv", table("energy,mu", ENERGY, np.gradient(MU)), "derivative", "FAIL"),
    "oscillations": ("a.csv", table("k,chi", K, np.sin(4 * K) * np.exp(-K / 6)), "chi_k", "WARN"),
}  # fmt: skip


@pytest.mark.parametrize("what", JUDGED)
def test_check_names_what_is_wrong(what: str, tmp_path: Path) -> None:
    name, content, code, verdict = JUDGED[what]
    path = tmp_path / name
    path.write_text(content)
    (found,) = check_files([as_input(path)], CheckSettings(), Call())
    assert found.flagged(code), [f.code for f in found.flags]
    assert found["verdict"].value == verdict


def test_decimal_commas_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table("energy,mu", ENERGY, MU, mark=","))
    (tmp_path / "b.csv").write_text(table("energy,mu", ENERGY, MU))
    one, other = (read(tmp_path / n, kind="spectrum")[0] for n in ("a.csv", "b.csv"))
    assert np.array_equal(one.mu.values, other.mu.values)


ROWS = table("energy,mu", ENERGY, MU).splitlines()
REFUSED: dict[str, tuple[str, str]] = {
    "no energy": (table("x mm,i0", np.arange(300.0), np.ones(300)), "column 1 is 'x mm', no energy"),
    "one column": ("energy\n" + "\n".join(map(str, ENERGY)), "no column is an absorption"),
    "text": ("\n".join([*ROWS[:101], "7062.0,abc", *ROWS[102:]]), "line 102, column 2.*'abc'"),
    "not a number": ("\n".join([*ROWS[:101], "7062.0,nan", *ROWS[102:]]), "line 102, column 2.*'nan'"),
    "dark": (table("energy,i0,itrans", ENERGY, I0, np.where(ENERGY == 7012, -1.0, IT)), "row 51.*got 100000, -1"),
    "oscillations": (table("k,chi", K, np.sin(4 * K)), "oscillations χ"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_as_a_spectrum_says_where(what: str, tmp_path: Path) -> None:
    content, message = REFUSED[what]
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ReadError, match=message):
        read(tmp_path / "a.csv", kind="spectrum")


def _crystal(path: Path, change: Callable[[object], None]) -> Path:
    atoms = bulk("NiO", "rocksalt", 4.18).repeat((3, 2, 2))
    change(atoms)
    write(path, atoms)
    return path


def _near(atoms: object) -> None:
    atoms.positions[1] = atoms.positions[0] + 0.1  # type: ignore[attr-defined]


def _many(atoms: object) -> None:
    names = ("Ni", "O", "Fe", "Co", "Mn", "Cu", "Zn", "Cr", "V", "Ti", "Sc", "Ca")
    atoms.numbers[:] = [atomic_numbers[names[i % 12]] for i in range(len(atoms))]  # type: ignore


@pytest.mark.parametrize(
    ("change", "settings", "kind", "message"),
    [
        (_near, {"edge": "Ni:K"}, DataError, r"atoms 0 and 1 are 0\.17 Å apart"),
        (_near, {"edge": "Ni:L23"}, DataError, r"atoms 0 and 1 are 0\.17 Å apart"),
        (_many, {"edge": "Ni:K"}, DataError, "too many elements"),
        (len, {"edge": "Co:K"}, ConfigError, "no Co in the structure"),
        (len, {"edge": "Ni:K", "site": "99"}, ConfigError, "site is no Ni"),
        (len, {"edge": "Ni:Q"}, ConfigError, "unknown edge"),
        (len, {"edge": "Ni:K", "engine": "feff", "executable": "/nowhere"}, ConfigError, "no such FEFF"),
    ],
)  # fmt: skip
def test_a_structure_that_cannot_be_simulated_is_refused_before_any_engine_runs(
    change: Callable[[object], None],
    settings: dict[str, str],
    kind: type[MatterscopeError],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind, match=message):
        spectra.simulate(_crystal(tmp_path / "a.cif", change), **settings)


def test_decks_are_not_written_of_atoms_on_top_of_each_other(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.17 Å apart"):
        spectra.decks(_crystal(tmp_path / "a.cif", _near), edge="Ni:K")


def test_an_external_program_that_fails_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "feff"
    program.write_text("#!/bin/sh\necho boom; exit 3\n")
    program.chmod(0o755)
    crystal = _crystal(tmp_path / "a.cif", len)
    with pytest.raises(MatterscopeError, match=r"a stage of FEFF failed.*boom"):
        spectra.simulate(crystal, edge="Ni:K", engine="feff", executable=str(program))
