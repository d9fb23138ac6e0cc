from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import pytest
from bentoml.exceptions import NotFound

from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE, PackInfo
from models import store


@pytest.fixture
def another(pack_folder: Path, tmp_path: Path) -> Iterator[tuple[Path, PackInfo]]:
    """The default pack under another name, not saved yet."""
    folder = tmp_path / "pack"
    shutil.copytree(pack_folder, folder)
    info = replace(PackInfo.read(pack_folder), name="test-of-the-store")
    info.write(folder)
    yield folder, info
    for fingerprint in (info.fingerprint, "0" * 16):
        store.remove(store.tag_for(info.name, fingerprint))


def test_a_saved_pack_is_found_and_complete(another: tuple[Path, PackInfo]) -> None:
    folder, info = another
    saved = store.save(folder, info, replace=False)
    assert store.find(store.tag_of(info)) == saved
    assert PackInfo.read(saved) == info


def test_saving_again_changes_nothing_without_replace(another: tuple[Path, PackInfo]) -> None:
    folder, info = another
    created = (store.save(folder, info, replace=False) / DETECTOR_FILE).stat().st_ino
    assert (store.save(folder, info, replace=False) / DETECTOR_FILE).stat().st_ino == created
    assert (store.save(folder, info, replace=True) / "model.yaml").is_file()


@pytest.mark.parametrize("name", [DETECTOR_FILE, RECOGNISER_FILE, LANDMARKS_FILE])
def test_a_pack_whose_file_changed_is_not_found(name: str, another: tuple[Path, PackInfo]) -> None:
    folder, info = another
    (store.save(folder, info, replace=False) / name).write_bytes(b"")
    assert store.find(store.tag_of(info)) is None


def test_the_latest_pack_is_the_one_that_was_saved_last(
    another: tuple[Path, PackInfo],
) -> None:
    folder, info = another
    newer = replace(info, fingerprint="0" * 16)
    store.save(folder, info, replace=False)
    store.save(folder, newer, replace=False)
    assert bentoml.models.get(f"{info.name}:latest").tag.version == "0" * 12
    store.save(folder, info, replace=False)
    assert bentoml.models.get(f"{info.name}:latest").tag.version == info.fingerprint[:12]


def test_an_interrupted_copy_into_the_store_leaves_no_incomplete_pack(
    another: tuple[Path, PackInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, info = another
    whole_copy = shutil.copytree

    def interrupted(source: Any, target: Any, **options: Any) -> None:
        whole_copy(source, target, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copytree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save(folder, info, replace=False)
    with pytest.raises(NotFound):
        bentoml.models.get(store.tag_of(info))
