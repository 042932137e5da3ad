"""Tables: what is read in any dialect, and what is refused with which sentence."""

from __future__ import annotations

import pytest

from matterscope.core.errors import ReadError, SchemaError
from matterscope.io.tables import Column, read_table

SCHEMA = [
    Column("host", kind="text", required=True, aliases=("AB",)),
    Column("level", "eV", required=True, aliases=("transition level",)),
    Column("charge", kind="int"),
]


def write(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("host,level,charge\nCdTe,0.5,1\nNaCl,,0\n", "utf-8"),
        ("host;level;charge\r\nCdTe;0,5;1\r\nNaCl;n/a;0\r\n", "utf-8-sig"),
        ("AB\tTransition Level (eV)\tcharge\nCdTe\t0.5\t1\nNaCl\t--\t0\n", "utf-8"),
        ("# a comment\nhost level charge\nCdTe 0.5 1\nNaCl nan 0\n", "utf-8"),
        ("host,level,charge\nCdTe,0.5,1\nNaCl,,0\n", "utf-16"),
        (
            '[{"host":"CdTe","level":0.5,"charge":1},{"host":"NaCl","level":null,"charge":0}]',
            "utf-8",
        ),
    ],
)
def test_any_dialect_gives_the_same_table(tmp_path, text, encoding):
    frame = read_table(write(tmp_path, text, encoding=encoding), SCHEMA)
    assert frame["host"].tolist() == ["CdTe", "NaCl"]
    assert frame["level"].iloc[0] == 0.5
    assert frame["level"].isna().tolist() == [False, True]
    assert frame.attrs["units"]["level"] == "eV"


def test_what_was_assumed_is_said(tmp_path):
    frame = read_table(write(tmp_path, "host;level\nCdTe;0,5\n"), SCHEMA)
    assert frame.attrs["assumed"] == [
        "columns are separated by semicolons",
        "numbers have a decimal comma",
    ]


def test_sodium_stays_sodium(tmp_path):
    frame = read_table(write(tmp_path, "host,level\nNa,1\n"), SCHEMA)
    assert frame["host"].tolist() == ["Na"]


def test_a_missing_column_names_the_nearest_heading(tmp_path):
    with pytest.raises(SchemaError, match=r"no column 'level'[\s\S]*rename 'levels'"):
        read_table(write(tmp_path, "host,levels\nCdTe,0.5\n"), SCHEMA)


def test_a_cell_that_is_no_number_is_named_by_line_and_column(tmp_path):
    with pytest.raises(SchemaError, match=r"'level'[\s\S]*line 3[\s\S]*'abc'"):
        read_table(write(tmp_path, "host,level\nCdTe,0.5\nCdS,abc\n"), SCHEMA)


def test_a_fraction_is_no_charge(tmp_path):
    with pytest.raises(SchemaError, match="whole number"):
        read_table(write(tmp_path, "host,level,charge\nCdTe,0.5,1.5\n"), SCHEMA)


def test_a_table_without_header_gets_numbers_for_names(tmp_path):
    frame = read_table(write(tmp_path, "CdTe,0.5\nCdS,0.7\n"))
    assert frame.columns.tolist() == ["0", "1"]
    assert frame["1"].tolist() == [0.5, 0.7]


def test_workbooks_and_parquet_read_like_text(tmp_path):
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    frame = read_table(write(tmp_path, "host,level\nCdTe,0.5\n"), SCHEMA)
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.xlsx", "t.parquet"):
        again = read_table(tmp_path / name, SCHEMA)
        assert again["level"].tolist() == [0.5]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "[1, 2]", "{", "a\x00b\x00"])
def test_what_is_no_table_is_refused(tmp_path, text):
    with pytest.raises(ReadError):
        read_table(write(tmp_path, text))


def test_an_address_is_refused():
    with pytest.raises(ReadError, match="address"):
        read_table("http://example.org/t.csv")
