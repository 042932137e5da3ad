"""Readers of absorption spectra: dialects, repairs, and what is refused with its line."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest

from golden import beamline_scans, kek
from matterscope.core.errors import MatterscopeError, ReadError
from matterscope.io import read

ENERGY = np.arange(8900.0, 9100.0, 2.0)
MU = 0.2 + 1 / (1 + np.exp(-(ENERGY - 8985) / 2))


def rows(separator: str = " ", decimal: str = ".", scale: float = 1.0) -> str:
    pairs = zip(ENERGY * scale, MU, strict=True)
    lines = [f"{e:.5f}{separator}{m:.6f}".replace(".", decimal) for e, m in pairs]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "energy,mu\n" + rows(",")),
        ("b.csv", "energy;mu\r\n" + rows(";", ",").replace("\n", "\r\n")),
        ("c.tsv", "\ufeffEnergy (eV)\tmu\n" + rows("\t")),
        ("d.dat", "# Probe: Lösung\n# energy mu\n" + rows()),
        ("e.txt", rows("  ", ",")),
        ("f.nor", "# energy norm\n" + rows()),
        ("g.dat", "energy mu\n" + rows().replace("8900.00000", ".89000000E+04", 1)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_every_dialect_gives_the_same_spectrum(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    if encoding == "latin-1":
        text = text.lstrip("\ufeff")
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    (found,) = read(path, kind="spectrum")
    np.testing.assert_allclose(found.energy.values[-1], ENERGY[-1], atol=0.01)
    np.testing.assert_allclose(found.mu.values, MU, atol=1e-5)


def test_an_axis_in_kev_is_converted_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "kev.csv"
    path.write_text("energy,mu\n" + rows(",", scale=1e-3))
    (found,) = read(path, kind="spectrum")
    np.testing.assert_allclose(found.energy.values, ENERGY, atol=0.02)
    assert [w["code"] for w in found.attrs["warnings"]] == ["axis_kev"]


def test_a_reversed_axis_with_repeats_is_repaired_and_said_so(tmp_path: Path) -> None:
    body = rows(",").splitlines()
    path = tmp_path / "down.csv"
    path.write_text("energy,mu\n" + "\n".join([*body[::-1], body[0]]))
    (found,) = read(path, kind="spectrum")
    np.testing.assert_allclose(found.energy.values, ENERGY)
    codes = [w["code"] for w in found.attrs["warnings"]]
    assert codes == ["axis_reversed", "axis_duplicates"]


def test_columns_go_by_name_and_transmission_is_the_logarithm(tmp_path: Path) -> None:
    path = tmp_path / "t.dat"
    beam = 1e5 * np.exp(-MU)
    lines = [f"{t:.3f} 100000 {e}" for t, e in zip(beam, ENERGY, strict=True)]
    path.write_text("# itrans i0 energy\n" + "\n".join(lines))
    (found,) = read(path, kind="spectrum")
    np.testing.assert_allclose(found.mu.values, MU, atol=1e-6)


def test_roles_given_by_the_user_win(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    lines = [f"1 {m} {e}" for m, e in zip(MU, ENERGY, strict=True)]
    path.write_text("\n".join(lines))
    (found,) = read(path, kind="spectrum", columns="energy=3,mu=2")
    np.testing.assert_allclose(found.mu.values, MU)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("energy,mu\n1,2\n2,nan\n", "line 3, column 2"),
        ("energy,mu\n1,2\n2,1.4.9\n", "line 3, column 2"),
        ("energy,mu\n1,2\n2,3,4\n", "line 3"),
        ("x mm,mu\n1,2\n2,3\n", "no energy found"),
    ],
)
def test_a_broken_table_names_the_place(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=part):
        read(path, kind="spectrum")


def test_arrays_without_an_axis_are_refused_and_taken_with_one(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('[{"intensity": [0.0, 0.1, 0.9, 1.0], "voltage": 4.3}]')
    with pytest.raises(ReadError, match="--energy START:STEP"):
        read(path, kind="spectrum")
    (found,) = read(path, kind="spectrum", energy="8330:0.4")
    np.testing.assert_allclose(found.energy.values, [8330.0, 8330.4, 8330.8, 8331.2])
    with pytest.raises(ReadError, match="positive step"):
        read(path, kind="spectrum", energy="8330")


GROUP = (
    "$old_group = 'abcd';\n@args = ('bkg_eshift','5.5','titles',['a','b\\'c'],'bkg_z','Cu',"
    "'label','foil, it''s','is_chi',0,'peak',undef);\n"
)


def project(packed: bool, tmp_path: Path, tail: str = "[record]\n") -> Path:
    x = ",".join(f"'{e}'" for e in ENERGY)
    y = ",".join(f"'{m}'" for m in MU)
    text = "# Athena project file -- x\n\n" + GROUP.replace("it''s", "its")
    text += f"@x = ({x});\n@y = ({y});\n{tail}"
    path = tmp_path / "p.prj"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_the_shift_of_a_project_is_added(tmp_path: Path, packed: bool) -> None:
    (found,) = read(project(packed, tmp_path))
    np.testing.assert_allclose(found.energy.values, ENERGY + 5.5)
    assert found.attrs["label"] == "foil, its"
    assert found.attrs["vendor"]["titles"] == ["a", "b'c"]
    assert found.attrs["vendor"]["peak"] is None


def test_a_cut_project_is_an_error_and_not_a_shorter_spectrum(tmp_path: Path) -> None:
    whole = project(False, tmp_path).read_bytes()
    cut = tmp_path / "cut.prj"
    cut.write_bytes(whole[: len(whole) - 200])
    with pytest.raises(ReadError, match="line"):
        read(cut)
    packed = project(True, tmp_path).read_bytes()
    cut.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ReadError):
        read(cut)


def test_perl_code_in_a_project_is_data(tmp_path: Path) -> None:
    path = project(False, tmp_path)
    marker = tmp_path / "ran"
    path.write_text(path.read_text().replace("'abcd'", f'system("touch {marker}")'))
    with contextlib.suppress(MatterscopeError):
        read(path)
    assert not marker.exists()


def test_deeply_nested_lists_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.prj"
    path.write_text("# Athena project file\n$old_group = 'a';\n@args = " + "(" * 2000)
    with pytest.raises(ReadError):
        read(path)


def test_angles_and_dark_counts_of_a_9809_file_become_energies_and_absorption(tmp_path):
    spectrum = read(kek(tmp_path / "scan"))[0]
    energy, mu = spectrum["energy"].values, spectrum["mu"].values
    # the angle is written with 7 decimals: 1e-7° of 16° is 3e-5 eV of 7100
    np.testing.assert_allclose(energy, 7090.0 + 2.0 * np.arange(40), atol=1e-4)
    np.testing.assert_allclose(mu, 0.4 + 0.8 * (energy > 7120.5), atol=1e-6)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (["E0= 7112.00", "Gains= 8 9 1", "-----", "  energy   Io   It"], "{e} 100 {t}"),
        (["Weights:", "1.0 1.0 1.0", "Data:", "Achieved Energy", "I0", "I1", ""], "{e} 100 {t}"),
        (['#(1) "ID" "BL:Energy"', '#(1) "I0" "$(EnergyAchieved)" "I1"'], "100, {e}, {t}"),
        (["#eBraggEnergy I0_EH1 I1_EH1"], "{e} 100 {t}"),
        (["energy;i0;it"], "{e};100;{t}"),
    ],
    ids=["named after a rule", "one name a line", "quoted", "detectors by place", "semicolons"],
)
def test_columns_are_found_under_headers_of_many_beamlines(tmp_path, header, row):
    energy = 7100.0 + np.arange(30)
    mu = 0.3 + 0.5 * (energy > 7115)
    rows = [row.format(e=e, t=100 * np.exp(-m)) for e, m in zip(energy, mu, strict=True)]
    path = tmp_path / "scan.dat"
    path.write_text("\n".join([*header, *rows]))
    spectrum = read(path, kind="spectrum")[0]
    np.testing.assert_allclose(spectrum["energy"], energy)
    np.testing.assert_allclose(spectrum["mu"], mu, atol=1e-12)


def test_a_word_among_the_rows_is_named_with_its_place_not_skipped(tmp_path):
    path = tmp_path / "scan.dat"
    rows = [f"{7100 + i} {i}" for i in range(40)]
    rows[25] = "7125 bad"
    path.write_text("\n".join(["energy mu", *rows]))
    with pytest.raises(ReadError, match="line 27, column 2"):
        read(path, kind="spectrum")


def test_scans_of_a_spec_file_are_spectra_where_they_are_energy_scans(tmp_path):
    path = beamline_scans(tmp_path / "day")
    every = read(path)
    assert [d.attrs["kind"] for d in every] == ["curve", "spectrum", "spectrum"]
    first, second = read(path, kind="spectrum")
    assert np.allclose(first["energy"], second["energy"])
    assert np.allclose(first["mu"], second["mu"], atol=1e-4)
    codes = {w["code"] for w in second.attrs["warnings"]}
    assert codes == {"axis_kev", "scans_left_out"}
    assert read(path, selector="4")[0].attrs["label"].startswith("4 ascan energy")


def test_a_spec_file_without_what_is_asked_for_says_so(tmp_path):
    path = beamline_scans(tmp_path / "day")
    path.write_text(path.read_text().split("#S 2")[0])
    with pytest.raises(ReadError, match="no energy found"):
        read(path, kind="spectrum")
    path.write_text(path.read_text().replace("\n2 4\n", "\n2 4 7\n"))
    with pytest.raises(ReadError, match="line 11"):
        read(path)


def test_a_fio_file_is_a_spectrum_under_its_own_names(tmp_path):
    path = tmp_path / "xas_00001.fio"
    energy = np.arange(8300.0, 8400.0)
    rows = "\n".join(f" {e} 1000 {500 - (e > 8345) * 200}" for e in energy)
    names = (
        " Col 1 XAS_00001_ENERGY DOUBLE\n Col 2 XAS_00001_I0 DOUBLE\n Col 3 XAS_00001_I1 DOUBLE\n"
    )
    path.write_text(f"!\n! Comments\n!\n%c\nscan\n%p\nmono = 1\n!\n%d\n{names}{rows}\n")
    found = read(path, kind="spectrum")[0]
    assert found["mu"].values[[0, -1]] == pytest.approx([np.log(2.0), np.log(1000 / 300)])
    path.write_text(path.read_text().replace("%d", "%q"))
    with pytest.raises(ReadError, match="no data section"):
        read(path, kind="spectrum")


@pytest.mark.parametrize(
    "header",
    [
        "# beamline\n# energy_mc  n_i0_1  n_i1_1  n_i2_1\n",
        "# Column.1: energy eV\n# Column.2: i0\n# Column.3: itrans\n# Column.4: irefer\n",
    ],
)
def test_columns_are_known_by_the_names_that_beamlines_give(tmp_path, header):
    path = tmp_path / "scan.dat"
    energy = np.arange(8300.0, 8400.0)
    path.write_text(header + "\n".join(f"{e} 1000 {500 - (e > 8345) * 200} 90" for e in energy))
    found = read(path, kind="spectrum")[0]
    assert found["mu"].values[[0, -1]] == pytest.approx([np.log(2.0), np.log(1000 / 300)])
    assert "mu_reference" in found
