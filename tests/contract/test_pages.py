"""The pages tell the truth: every command on them parses, every link leads somewhere, every Python block compiles."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from support.commands import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")])
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
INLINE = re.compile(r"`([^`\n]*?\bmatterscope [^`\n]+)`")
ENDS = re.compile(r"&&|;|[|]|[12&]?>.*|[{}]")


def commands(page):
    """Words of everything that calls matterscope: lines of blocks and what stands in backticks.

    What follows a pipe or a redirection is left out; of `list|show` the first word is taken.
    """
    text = page.read_text().replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    called = [line for line in lines if line.startswith("matterscope ")]
    for line in called + INLINE.findall(text):
        words = shlex.split(line, comments=True)
        for start in (k for k, w in enumerate(words) if w == "matterscope"):
            rest = words[start + 1 :]
            ends = next((k for k, w in enumerate(rest) if ENDS.fullmatch(w)), len(rest))
            yield [re.sub(r"(?<=\w)[|][\w|]+$", "", w) for w in rest[:ends]]


NAMED = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: {' '.join(words)}"[:110])
    for page in PAGES
    for words in commands(page)
]


@pytest.mark.parametrize("words", NAMED)
def test_every_command_on_a_page_parses(words):
    parse(words)


def test_the_pages_hold_commands_and_a_wrong_one_is_found():
    assert len(NAMED) > 60
    with pytest.raises(Exception, match="no-such-option"):
        parse(["spectra", "infer", "scan.prj", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere_and_every_python_block_compiles(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page}: {target}"
    for text in PYTHON.findall(page.read_text()):
        ast.parse(text)
