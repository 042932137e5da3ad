"""docs/formats.md says what the table of formats says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_formats_is_in_step_with_the_table():
    spec = importlib.util.spec_from_file_location("page", ROOT / "scripts" / "formats_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "formats.md").read_text(encoding="utf-8") == module.page(), (
        "run: python scripts/formats_page.py"
    )
