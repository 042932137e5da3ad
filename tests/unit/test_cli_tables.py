"""What the terminal shows of an answer's tables: short ones whole, of long and wide ones what varies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matterscope.cli.options import HEAD_ROWS, MOST_COLUMNS, print_answers


def entry(tables: dict[str, Any]) -> dict[str, Any]:
    return {
        "capability": "materials slme", "input": {"source": "alpha.csv", "selector": ""},
        "quantities": {}, "flags": [], "tables": tables,
    }  # fmt: skip


def stored(folder: Path, name: str, head: list[str], rows: list[list[object]]) -> dict[str, Any]:
    (folder / "tables").mkdir(exist_ok=True)
    text = "\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n"
    (folder / "tables" / f"{name}.csv").write_text(text)
    units = {head[0]: "eV"} | dict.fromkeys(head[1:], "1")
    return {"path": f"tables/{name}.csv", "columns": units, "rows": len(rows)}


def test_a_short_table_is_printed_whole_with_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = stored(tmp_path, "limits", ["gap", "slme"], [[1.5, 0.3214], [1.1, 0.2884]])
    print_answers([entry({"limits": table})], tmp_path)
    out = capsys.readouterr().out
    assert "gap / eV" in out
    assert "0.3214" in out
    assert "0.2884" in out
    assert " of 2 rows" not in out


def test_a_long_wide_table_shows_its_head_and_the_columns_that_vary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    head = ["same", *(f"c{i}" for i in range(MOST_COLUMNS + 2))]
    rows = [["CdTe", *(f"r{r}v{i}" for i in range(MOST_COLUMNS + 2))] for r in range(HEAD_ROWS + 3)]
    tables = {n: stored(tmp_path, n, head, rows) for n in ("first", "second", "third")}
    print_answers([entry(tables)], tmp_path)
    out = capsys.readouterr().out
    assert f"{HEAD_ROWS} of {HEAD_ROWS + 3} rows" in out
    assert "CdTe" not in out
    assert "r0v0" in out
    assert f"r{HEAD_ROWS}v0" not in out
    assert "more tables in the report: third" in out
