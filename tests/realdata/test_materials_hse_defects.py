"""Published HSE06 defect energies of CdTe and CdSe: every level and neutral point that must come out."""

from __future__ import annotations

import pytest

from matterscope import materials

pytestmark = pytest.mark.realdata
FOLDER = "defects/hse_defect_energies"


def levels(answer, kind="thermodynamic"):
    table = answer.tables["levels"]
    rows = table[table["kind"] == kind]
    return {(r.charge_from, r.charge_to): (r.level, r.negative_u) for r in rows.itertuples()}


@pytest.mark.parametrize(
    ("file", "defect", "expected"),
    [
        ("CdTe_Wei_FS", "V_Cd", {(0, -2): (0.355, True)}),
        ("CdTe_Wei_FS", "As_Te", {(1, -1): (0.36, True)}),
        ("CdTe_Wei_FS", "Te_int+Te_int", {(4, 3): (0.14, False), (3, 2): (0.24, False), (2, 1): (1.35, False)}),
        ("CdTe_Wei_FS", "Cu_Cd+Cd_int", {(1, -1): (1.185, True)}),
        ("CdSe_wz", "V_Se", {(2, 0): (1.192, True)}),
        ("CdSe_wz", "Cd_int", {(2, 1): (1.177, False), (1, 0): (1.737, False)}),
        ("CdSe_wz", "Se_Cd", {(2, 1): (0.581, False), (1, 0): (0.977, False), (0, -1): (1.294, False), (-1, -2): (3.468, False)}),
    ],
)  # fmt: skip
def test_published_levels_come_out_to_a_millielectronvolt(data, file, defect, expected):
    answer = materials.diagram(data / FOLDER / f"params_{file}.json", only=(defect,))[1]
    found = levels(answer)
    assert set(found) == set(expected)
    for key, (energy, negative) in expected.items():
        assert found[key][0] == pytest.approx(energy, abs=1e-3)
        assert found[key][1] is negative


def test_a_charge_that_was_never_computed_is_named(data):
    answer = materials.diagram(data / FOLDER / "params_CdTe_Wei_FS.json", only=("Te_Cd",))[1]
    assert any("charge −1 not computed" in f.message for f in answer.flags)


NATIVE = {"Te": ("V_Cd", "V_Te", "Cd_Te", "Te_Cd", "Cd_int", "Te_int"), "Se": ("V_Cd", "V_Se", "Cd_Se", "Se_Cd", "Cd_int", "Se_int")}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "anion", "delta", "temperature", "fermi", "n", "p"),
    [
        ("CdTe_Wei_FS", "Te", (), 600.0, 0.8465, 8.18e12, 4.24e12),
        ("CdTe_Wei_FS", "Te", (), 800.0, 0.8901, 5.32e14, 2.08e14),
        ("CdTe_Wei_FS", "Te", ("Cd=-1.17",), 800.0, 0.7111, 3.97e13, 2.79e15),
        ("CdSe_wz", "Se", ("Se=-1.4601361",), 800.0, 1.0781, 4.15e14, 2.45e13),
        ("CdSe_wz", "Se", ("Cd=-1.4601361",), 800.0, 0.9781, 9.72e13, 1.04e14),
    ],
)
def test_the_neutral_point_is_that_of_the_published_energies(data, file, anion, delta, temperature, fermi, n, p):  # fmt: skip
    answer = materials.fermi(data / FOLDER / f"params_{file}.json", only=NATIVE[anion], delta_mu=delta, temperatures=(temperature,))  # fmt: skip
    assert answer["fermi_level"].value == pytest.approx(fermi, abs=1e-3)
    assert answer["electron_density"].value == pytest.approx(n, rel=0.01)
    assert answer["hole_density"].value == pytest.approx(p, rel=0.01)


def test_levels_do_not_depend_on_chemical_potentials(data):
    path = data / FOLDER / "params_CdSe_wz.json"
    rich, poor = (materials.diagram(path, delta_mu=d)[0].tables["levels"]["level"] for d in (("Cd=-1.4",), ()))  # fmt: skip
    assert rich.to_numpy() == pytest.approx(poor.to_numpy(), abs=1e-9)


@pytest.mark.parametrize(("epsilon", "total"), [(9.13, 0.7278), (10.4, 0.6748)])
def test_the_charged_vacancy_gets_its_published_correction(data, epsilon, total):
    folder = data / "defects/cdte_vcd_fnv"
    grids = (folder / "bulk_vasp_gam_LOCPOT.gz", folder / "v_Cd_-2_vasp_gam_LOCPOT.gz")
    answer = materials.correct(*grids, charge=-2, epsilon=(epsilon,))
    assert answer["charge_correction"].value == pytest.approx(total, abs=5e-3)
    axes = list(answer.diagnostics["plateau_per_axis"].values())
    assert max(axes) - min(axes) < 1e-3


def test_the_audit_finds_what_is_known_of_the_public_tables(data):
    impurities = materials.audit(data / "defects/impurity_levels_pbe.csv").tables["findings"]
    text = dict(
        zip(impurities["rule"], impurities["row"] + ": " + impurities["evidence"], strict=True)
    )
    assert text["no levels"].startswith("282 rows")
    assert text["pinned levels"].startswith("55 rows: 69 steps")
    assert "Hg M_i_A C" in " ".join(
        impurities.loc[impurities["rule"] == "impossible formation energy", "row"]
    )
    native = materials.audit(data / "defects/native_defect_levels_pbe.csv").tables["findings"]
    assert native.loc[native["rule"] == "unknown element", "proposal"].tolist() == ["Sb"] * 3
    assert (native["rule"] == "zero as missing").sum() == 1
    assert native.loc[native["rule"] == "pinned levels", "evidence"].item().startswith("24 steps")
