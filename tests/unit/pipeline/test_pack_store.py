"""Tests where a face pack is searched for."""

from __future__ import annotations

from pathlib import Path

import bentoml
import pytest

from bentos.config.settings import Settings, SettingsError
from bentos.pipeline.pack_store import checked_pack, face_pack_folder


def test_a_tool_in_the_image_finds_the_pack_of_the_bento(
    tmp_path: Path, pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    bentoml.models.BentoModel("yunet-mbf:latest").resolve(models)
    monkeypatch.setenv("BENTO_PATH", str(tmp_path))
    assert face_pack_folder("yunet-mbf") == models / "yunet-mbf" / pack_folder.name
    assert checked_pack(Settings()).name == "yunet-mbf"


def test_the_error_for_a_missing_pack_names_the_command_that_makes_it() -> None:
    with pytest.raises(SettingsError, match=r"python -m models\.assemble --pack buffalo_nobody"):
        checked_pack(Settings(face_pack="buffalo_nobody"))
