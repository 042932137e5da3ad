"""Tables from hostile or broken files: an answer or a clear error, never a traceback."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from matterscope.core.errors import MatterscopeError
from matterscope.io.tables import read_table
from matterscope.materials.defects.defect_tables import COLUMNS
from matterscope.materials.transitions.tables import LEVELS, read_levels

GOOD = "host,impurity,site," + ",".join(LEVELS) + "\nCdTe,Cu,M_A,0,0.1,0.2,0.3,0.4,0.5\n"
quiet = settings(derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # fmt: skip


def ends_well(read, path):
    try:
        return read(path) is not None
    except MatterscopeError as error:
        return bool(str(error))


@quiet
@given(st.binary(max_size=300))
def test_any_bytes_give_a_table_or_a_sentence(tmp_path, content):
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    assert ends_well(read_table, path)


@quiet
@given(st.integers(0, len(GOOD) - 1), st.characters(codec="utf-8"))
def test_one_wrong_character_gives_levels_or_a_sentence(tmp_path, place, character):
    path = tmp_path / "fuzz.csv"
    path.write_text(GOOD[:place] + character + GOOD[place + 1 :], encoding="utf-8")
    assert ends_well(read_levels, path)
    assert ends_well(lambda p: read_table(p, COLUMNS), path)
