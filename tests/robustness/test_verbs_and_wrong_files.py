"""No verb meets a file that is not for it with a fault: the error says what, where and what to do."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

import matterscope
from matterscope.core.errors import MatterscopeError
from matterscope.runs.catalogue import VERBS

TAKING = sorted(name for name, verb in VERBS.items() if verb.inputs != "none")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small files that hold nothing a verb could answer about."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty.csv").touch()
    (folder / "words.txt").write_text("nothing here\nis a number at all\n" * 4)
    (folder / "noise.dat").write_bytes(np.random.default_rng(1).bytes(3000))
    (folder / "cut.json").write_text('{"a": [1, 2')
    np.save(folder / "blank.npy", np.full((32, 32), np.nan))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "b")
    (folder / "folder").mkdir()
    return sorted(folder.iterdir())


@pytest.mark.parametrize("verb", TAKING)
@pytest.mark.timeout(60)
def test_a_wrong_file_is_refused_or_answered_but_never_a_fault(verb, files, tmp_path):
    for path in files:
        said = ""
        try:
            run = matterscope.run(verb, path, store=tmp_path)
            said = " ".join(f["message"] for f in run.failures) or "answered" * bool(run.entries)
        except MatterscopeError as error:
            said = str(error)
        assert said, path.name
