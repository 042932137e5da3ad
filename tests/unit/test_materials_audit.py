"""Audit of tables of alloys: planted faults are found, clean rows are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.verbs import as_input
from matterscope.materials.alloys.audit import findings_of, off_family_steps
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.table_fidelities import merge_duplicates
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.alloys.training import training_table
from matterscope.materials.auditing import audit_table
from matterscope.materials.findings import raise_first
from matterscope.materials.settings import AuditSettings, TrainSettings
from matterscope.materials.solar.photovoltaics import detailed_balance
from support.alloys import table, write


def read(path: Path, **options: object) -> AlloyTable:
    return read_alloys([as_input(path)], **options)  # type: ignore[arg-type]


def rules(path: Path) -> set[str]:
    return {f.rule for f in findings_of(read(path), residuals=False)}


def test_a_clean_table_has_no_findings(tmp_path: Path) -> None:
    assert rules(write(tmp_path, table())) == set()


@pytest.mark.parametrize("sentinel", [1000, -999, 9999])
def test_sentinels_are_read_as_missing_and_reported(tmp_path: Path, sentinel: int) -> None:
    frame = table()
    frame.loc[4, "gap (eV)"] = sentinel
    found = read(write(tmp_path, frame))
    assert np.isnan(found.targets["band_gap"][4])
    assert any(f.rule == "sentinel" and f.row == "row 5" for f in found.findings)


def test_a_sentinel_that_the_range_allows_is_kept(tmp_path: Path) -> None:
    frame = table()
    frame["temperature"] = np.linspace(300, 1000, len(frame))
    found = read(write(tmp_path, frame))
    assert found.targets["temperature"][-1] == 1000


def test_a_gap_far_outside_its_end_members_is_found(tmp_path: Path) -> None:
    frame = table(bowing=0.2)
    mixed = frame.index[frame["formula"].str.contains(r"0\.5")][0]
    frame.loc[mixed, "gap (eV)"] += 1.5
    found = findings_of(read(write(tmp_path, frame)), residuals=False)
    assert [f.row for f in found if f.rule == "Vegard bracket"] == [f"row {mixed + 1}"]


def test_labels_permuted_inside_a_series_are_found_when_a_gap_leaves_its_bracket(
    tmp_path: Path,
) -> None:
    frame = table(bowing=0.2)
    one = frame.index[frame["formula"] == "CsSn0.5Pb0.5I3"][0]
    two = frame.index[frame["formula"] == "MASn0.25Pb0.75Br3"][0]
    swapped = frame.loc[[two, one], "gap (eV)"].to_numpy()
    assert abs(swapped[0] - swapped[1]) > 0.9
    frame.loc[[one, two], "gap (eV)"] = swapped
    found = {f.row for f in findings_of(read(write(tmp_path, frame)), residuals=False)}
    assert {f"row {one + 1}", f"row {two + 1}"} & found


def test_columns_renamed_in_the_wrong_order_are_found_by_the_formulas(tmp_path: Path) -> None:
    frame = table()
    formulas = frame["formula"]
    for name in ("Cs", "MA", "Sn", "Pb", "Br", "I"):
        frame[name] = [read_fraction(f, name) for f in formulas]
    right = rules(write(tmp_path, frame, "right.csv"))
    frame = frame.rename(columns={"Br": "I", "I": "Br"})
    wrong = findings_of(read(write(tmp_path, frame, "wrong.csv")), residuals=False)
    assert right == set()
    swapped = [f for f in wrong if f.rule == "column order"]
    assert len(swapped) == 1
    assert "Br↔I" in swapped[0].evidence or "I↔Br" in swapped[0].evidence


def read_fraction(formula: str, name: str) -> float:
    from matterscope.materials.alloys.compositions import parse_formula

    return next((g[name] for g in parse_formula(formula).values() if name in g), 0.0)


def test_an_slme_above_the_limit_of_its_gap_is_found(tmp_path: Path) -> None:
    frame = table()
    frame["SLME"] = 0.9 * detailed_balance(frame["gap (eV)"]).efficiency
    assert "Shockley–Queisser bound" not in rules(write(tmp_path, frame))
    frame.loc[3, "SLME"] = detailed_balance(frame.loc[3, "gap (eV)"]).efficiency[0] + 0.02
    found = findings_of(read(write(tmp_path, frame)), residuals=False)
    assert [f.row for f in found if f.rule == "Shockley–Queisser bound"] == ["row 4"]


def test_fractions_off_by_an_eighth_are_found_by_their_sum(tmp_path: Path) -> None:
    frame = table()
    frame.loc[2, "formula"] = "CsSn0.5Pb0.375Br3"
    found = findings_of(read(write(tmp_path, frame)), residuals=False)
    assert [(f.row, f.rule) for f in found] == [("row 3", "fraction sums")]


def test_a_row_twice_with_different_values_is_refused_and_with_equal_ones_merged(
    tmp_path: Path,
) -> None:
    frame = table()
    twice = pd.concat([frame, frame.iloc[[0]]], ignore_index=True)
    assert len(merge_duplicates(read(write(tmp_path, twice)))) == len(frame)
    twice.loc[len(frame), "gap (eV)"] += 0.1
    with pytest.raises(SchemaError, match="row 1 and row 21"):
        merge_duplicates(read(write(tmp_path, twice)))


def test_several_levels_of_theory_in_one_column_are_refused_until_one_is_named(
    tmp_path: Path,
) -> None:
    frame = table()
    frame["functional"] = ["PBE", "HSE"] * (len(frame) // 2)
    path = write(tmp_path, frame)
    with pytest.raises(SchemaError, match="functional/spin–orbit"):
        raise_first(read(path).findings, "t")
    assert len(read(path, fidelity="HSE")) == len(frame) // 2


def test_a_family_on_another_reference_is_named() -> None:
    species = {"A": ("K", "Rb", "Cs", "MA"), "B": ("Pb",), "X": ("Cl", "Br", "I")}
    index = np.indices((4, 3)).reshape(2, -1)
    fractions = (np.eye(4)[index[0]], np.ones((12, 1)), np.eye(3)[index[1]])
    values = 0.1 * index[0] - 0.05 * index[1] + 0.01 * np.random.default_rng(0).normal(size=12)
    assert off_family_steps(fractions, species, values) == []
    values[[0, 2]] += 2.0
    found = [name for name, *_ in off_family_steps(fractions, species, values)]
    assert found == ["K–Cl", "K–I"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_marks_and_line_ends_are_seen_through(
    tmp_path: Path, separator: str
) -> None:
    frame = table()
    path = tmp_path / "dialect.csv"
    text = frame.to_csv(index=False, sep=separator).replace("\n", "\r\n")
    if separator == ";":
        text = text.replace(".", ",").replace("Sn0,", "Sn0.").replace("Pb0,", "Pb0.")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read(path).targets["band_gap"] == pytest.approx(frame["gap (eV)"].to_numpy())


def test_a_blank_cell_is_missing_and_not_zero(tmp_path: Path) -> None:
    frame = table()
    frame["gap (eV)"] = frame["gap (eV)"].astype(str)
    frame.loc[[1, 2], "gap (eV)"] = ["n/a", ""]
    assert np.flatnonzero(np.isnan(read(write(tmp_path, frame)).targets["band_gap"])).tolist() == [
        1,
        2,
    ]


@pytest.mark.parametrize("content", [b"", b"\x00\x01binary", b"a,b\n1,2\n", b"formula\n"])
def test_what_is_no_table_of_alloys_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises((ReadError, SchemaError)):
        read(path)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("\n\n")
    with pytest.raises(ReadError):
        read(path)


def test_lines_of_findings_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path, table().assign(**{"gap (eV)": lambda f: f["gap (eV)"].where(f.index != 4, 1000)})
    )
    path.write_text("# made up\n# twice\n" + path.read_text())
    lines = path.read_text().splitlines()
    (found,) = [f for f in read(path).findings if f.rule == "sentinel"]
    assert "1000" in lines[found.line - 1]


def test_the_audit_writes_corrections_apart_and_leaves_the_table(tmp_path: Path) -> None:
    frame = table()
    frame.loc[4, "gap (eV)"] = 1000
    path = write(tmp_path, frame)
    before = path.read_bytes()
    call = Call(artifacts=tmp_path / "made")
    (answer,) = audit_table([as_input(path)], AuditSettings(residuals=False, fix_list=True), call)
    assert path.read_bytes() == before
    assert "missing" in (tmp_path / "made" / "corrections.csv").read_text()
    assert answer["findings_warning"].value == 1


def test_an_odd_row_is_unexpected_and_not_wrong(tmp_path: Path) -> None:
    frame = table(bowing=0.3, noise=0.01, steps=12)
    odd = frame.index[frame["formula"] == "CsSn0.5Pb0.5I3"][0]
    frame.loc[odd, "gap (eV)"] += 0.4
    found = findings_of(read(write(tmp_path, frame)))
    assert [(f.row, f.severity) for f in found] == [(f"row {odd + 1}", "unexpected")]


@pytest.mark.parametrize(
    "heads",
    [
        ("Cs", "FA", "Pb", "I", "Br"),
        ("A_Cs", "A_FA", "B_Pb", "X_I", "X_Br"),
        ("x(Cs)", "x(FA)", "x(Pb)", "x(I)", "x(Br)"),
        ("Cs (%)", "FA (%)", "Pb (%)", "I (%)", "Br (%)"),
    ],
)
@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_headings_of_other_people_and_percent_are_read(
    heads: tuple[str, ...], whole: float
) -> None:
    rows = whole * np.array([[0.5, 0.5, 1, 0.8, 0.2], [1, 0, 1, 1, 0]])
    frame = pd.DataFrame(rows, columns=list(heads)).assign(gap=[1.6, 1.7])
    table = read_alloys([Input("table", data=frame)])
    assert table.formulas == ["Cs0.5FA0.5Pb(Br0.2I0.8)3", "CsPbI3"]
    assert list(table.targets) == ["band_gap"]


def test_columns_named_for_the_sites_are_read() -> None:
    frame = pd.DataFrame({"A": ["MA0.5FA0.5"], "B": ["Sn"], "X": ["I0.5Br0.5"], "gap": [1.4]})
    assert read_alloys([Input("t", data=frame)]).formulas == ["MA0.5FA0.5Sn(Br0.5I0.5)3"]


def test_b_cations_of_the_wrong_mean_charge_are_named() -> None:
    frame = pd.DataFrame({"formula": ["Cs2AgBiBr6", "CsBiI3", "CsSnI3"], "gap": [2.2, 1.9, 1.3]})
    table = read_alloys([Input("t", data=frame)])
    found = [f for f in findings_of(table, residuals=False) if f.rule == "charge balance"]
    assert [f.row for f in found] == ["row 2"]
    assert "3.00" in found[0].evidence


def test_fractions_are_divided_by_their_sum_only_on_request(tmp_path: Path) -> None:
    frame = table()
    frame.loc[3, "formula"] = "CsSn0.5Pb0.4I3"
    path = write(tmp_path, frame)
    with pytest.raises(SchemaError, match="renormalise"):
        training_table([as_input(path)], TrainSettings())
    assert len(training_table([as_input(path)], TrainSettings(renormalise=True))) == len(frame)
