"""Finds, checks and saves assembled packs in the BentoML model store ($BENTOML_HOME), each save atomically."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from bentos.pipeline.pack_info import (
    DETECTOR_FILE,
    LANDMARKS_FILE,
    PACK_FILE,
    RECOGNISER_FILE,
    BadPackInfo,
    PackInfo,
    file_sha256,
)
from models.catalog import LANDMARK_MODEL

_VERSION_LENGTH = 12


def tag_of(info: PackInfo) -> str:
    """`name:version`, the version being the first twelve characters of the fingerprint."""
    return tag_for(info.name, info.fingerprint)


def tag_for(name: str, fingerprint: str) -> str:
    """The tag under which the pack of that name and fingerprint is stored."""
    return f"{name}:{fingerprint[:_VERSION_LENGTH]}"


def find(tag: str) -> Path | None:
    """The folder of this pack, or None if it is missing or incomplete."""
    try:
        folder = Path(bentoml.models.get(tag).path)
        info = PackInfo.read(folder)
        expected = {
            DETECTOR_FILE: info.detector,
            RECOGNISER_FILE: info.recogniser,
            LANDMARKS_FILE: info.landmarks,
        }
        if all(file_sha256(folder / name) == file.sha256 for name, file in expected.items()):
            return folder
    except (BentoMLException, BadPackInfo, OSError, ValueError):
        pass
    return None


def save(assembled: Path, info: PackInfo, *, replace: bool) -> Path:
    """Copy the pack in the folder `assembled` into the store and return its folder there.

    A complete pack in the store stays unless `replace`; an incomplete one is removed. A lock serialises processes that
    do this at once.
    """
    tag = tag_of(info)
    with _alone():
        there = None if replace else find(tag)
        if there is None:
            remove(tag)
            _create(tag, assembled, info)
        make_latest(tag)
    return Path(bentoml.models.get(tag).path)


def _create(tag: str, assembled: Path, info: PackInfo) -> None:
    try:
        with bentoml.models.create(
            tag,
            labels={"kind": "face-pack", "pack": info.name},
            metadata={
                "name": info.name,
                "dimension": info.dimension,
                "fingerprint": info.fingerprint,
                "licence": info.licence,
                "commercial_use": info.commercial_use,
                "detector_sha256": info.detector.sha256,
                "detector_source": info.detector.source,
                "detector_source_sha256": info.detector.source_sha256,
                "recogniser_sha256": info.recogniser.sha256,
                "recogniser_source": info.recogniser.source,
                "recogniser_source_sha256": info.recogniser.source_sha256,
                "landmarks_sha256": info.landmarks.sha256,
                "landmarks_source": info.landmarks.source,
                "landmarks_source_sha256": info.landmarks.source_sha256,
                "landmarks_licence": LANDMARK_MODEL.licence,
            },
        ) as model:
            for name in (DETECTOR_FILE, RECOGNISER_FILE, LANDMARKS_FILE, PACK_FILE):
                shutil.copyfile(assembled / name, model.path_of(name))
    except BaseException:
        remove(tag)
        raise


def make_latest(tag: str) -> None:
    """Make `name:latest` this pack, because the services open the latest one."""
    name, version = tag.split(":")
    latest = _store_folder() / name / "latest"
    if not latest.is_file() or latest.read_text(encoding="utf-8").strip() != version:
        latest.write_text(version, encoding="utf-8")


def remove(tag: str) -> None:
    """Remove the pack of this tag, complete or not."""
    name, version = tag.split(":")
    folder = _store_folder() / name / version
    if folder.exists():
        shutil.rmtree(folder)
    with suppress(OSError):  # there are other versions, or the name does not exist
        folder.parent.rmdir()


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of the store; the kernel releases it when the process ends."""
    _store_folder().mkdir(parents=True, exist_ok=True)
    with (_store_folder() / ".face-packs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _store_folder() -> Path:
    home = os.environ.get("BENTOML_HOME")
    return (Path(home) if home else Path.home() / "bentoml") / "models"
