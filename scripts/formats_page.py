"""Write docs/formats.md from the literal table of formats and the readers' own words.

In: matterscope.io.formats.FORMATS and the module docstrings. Out: the page; a test keeps it in step.
"""

from __future__ import annotations

import ast
from pathlib import Path

from matterscope.io.formats import FORMATS, Format

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
HEAD = """# Formats

*This page is made by `python scripts/formats_page.py` from the table in `matterscope/io/formats.py`.*

A file is recognised by its content first and by its name second. `FILE:NAME` or `FILE:NUMBER` picks one part of a
file that holds several. Every measurement keeps the sha256 of the bytes it came from, the normalised metadata, and,
apart from them, the vendor's own metadata untouched. What had to be mended is named in its warnings.

Refused, always with the place in the file, what was met, what was expected and what to do: an empty file, a folder, an
address, a format that is not known, a file cut inside its header, declared sizes above the limit (`--max-bytes`,
2 GB), HDF5 data that live in another file (external links, virtual data sets, external storage), and anything that
would have to be run to be read (pickles).

"""


def words(entry: Format) -> str:
    """Return the docstring of the reader's module, without importing it."""
    source = ROOT / "src" / "matterscope" / "io" / f"{entry.module}.py"
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def page() -> str:
    """Return the text of the page."""
    lines = ["| format | files | gives | also written | |", "|---|---|---|---|---|"]
    lines += [
        f"| [{f.name}](#{f.name}) | {' '.join(f'`{e}`' for e in f.extensions)} | "
        f"{'any kind' if f.kinds == ('*',) else ', '.join(f.kinds)} | {'yes' if f.writes else ''} | {f.summary} |"
        for f in FORMATS
    ]
    parts = [HEAD + "\n".join(lines)]
    parts += [f"## {f.name}\n\n{words(f)}" for f in FORMATS]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
