"""Trained models outlive their runs and are found again by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.alloys import table, write

import matterscope
from matterscope.core.errors import ModelError
from matterscope.core.models import keep_models, model_file, models_folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATTERSCOPE_MODELS", str(tmp_path / "models"))


def test_a_trained_model_answers_after_its_run_is_gone(tmp_path: Path) -> None:
    frame = table()
    made = matterscope.run(
        "materials train", [write(tmp_path, frame)], targets=["band_gap"], store=tmp_path / "runs"
    )
    name = made.entries[0]["diagnostics"]["model"]
    shutil.rmtree(tmp_path / "runs")
    assert model_file(name) == models_folder() / f"{name}.npz"
    for given in (name, name.partition("@")[0]):
        found = matterscope.run("materials predict", [], formula=["CsPbI3"], model=given, store=tmp_path / "again")  # fmt: skip
        assert found.entries[0]["provenance"]["model"] == name
        assert found.entries[0]["quantities"]["band_gap"]["value"] is not None


def test_a_name_that_is_not_unique_or_unknown_is_an_error_that_lists_the_names() -> None:
    models_folder().mkdir(parents=True)
    for digest in ("11111111", "22222222"):
        (models_folder() / f"alloys@{digest}.npz").write_bytes(b"")
    with pytest.raises(ModelError, match="several models") as several:
        model_file("alloys")
    assert "alloys@11111111" in several.value.expected
    with pytest.raises(ModelError, match="no such model") as unknown:
        model_file("levels@33333333")
    assert "alloys@22222222" in unknown.value.expected
    assert model_file("alloys@22222222").name == "alloys@22222222.npz"


def test_answers_that_only_used_a_model_keep_none(tmp_path: Path) -> None:
    entries = [{"diagnostics": {"model": "levels@0badcafe"}}, {"diagnostics": {}}]
    assert keep_models(entries, tmp_path) == []
    assert not models_folder().exists()
