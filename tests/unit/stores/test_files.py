"""Tests of the image folder beyond the contract of `ImageStore`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bentos.domain.errors import DependencyUnavailable, PhotoNotFound
from bentos.stores.files import FilesStore

JPEG = "image/jpeg"


async def opened(folder: Path) -> FilesStore:
    store = FilesStore(folder)
    await store.open()
    return store


async def test_the_folder_is_created_with_its_parents(folder: Path) -> None:
    await opened(folder / "a" / "b")
    assert (folder / "a" / "b").is_dir()


async def test_a_path_that_cannot_be_a_folder_is_unavailable(folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    with pytest.raises(DependencyUnavailable, match="S3_ENDPOINT_URL"):
        await opened(folder / "file" / "images")


async def test_a_missing_folder_is_an_outage_and_not_a_missing_photo(folder: Path) -> None:
    store = await opened(folder / "images")
    (folder / "images").rmdir()
    with pytest.raises(DependencyUnavailable):
        await store.get("photo", max_bytes=10)
    with pytest.raises(DependencyUnavailable):
        await store.put("photo", b"image", JPEG)
    with pytest.raises(DependencyUnavailable):
        await store.exists("photo")
    (folder / "images").mkdir()
    with pytest.raises(PhotoNotFound):
        await store.get("photo", max_bytes=10)


async def test_a_failed_write_keeps_the_old_image_and_leaves_no_temporary_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(folder)
    await store.put("photo", b"old", JPEG)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DependencyUnavailable, match="No space left"):
        await store.put("photo", b"new", JPEG)
    assert await store.get("photo", max_bytes=10) == b"old"
    assert [entry.name for entry in folder.iterdir()] == ["photo"]


async def test_a_symbolic_link_in_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "secret").write_bytes(b"secret")
    store = await opened(folder / "images")
    (folder / "images" / "photo").symlink_to(folder / "secret")
    with pytest.raises(PhotoNotFound):
        await store.get("photo", max_bytes=10)
    assert [batch async for batch in store.scan_images()] == []
    await store.put("photo", b"image", JPEG)
    assert (folder / "secret").read_bytes() == b"secret"


async def test_what_is_no_file_is_no_photo_instead_of_an_outage(folder: Path) -> None:
    store = await opened(folder)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(PhotoNotFound):
            await store.get(name, max_bytes=10)


async def test_a_scan_skips_files_that_are_no_photos(folder: Path) -> None:
    store = await opened(folder)
    (folder / "sub").mkdir()
    (folder / "a b").write_bytes(b"")
    (folder / ".put-unfinished").write_bytes(b"")
    await store.put("photo", b"image", JPEG)
    assert [batch async for batch in store.scan_images()] == [["photo"]]


async def test_open_deletes_temporary_files_of_a_crash_and_keeps_those_being_written(
    folder: Path,
) -> None:
    long_ago, just_now = folder / ".put-old", folder / ".put-new"
    for unfinished in (long_ago, just_now):
        unfinished.write_bytes(b"half")
    os.utime(long_ago, (time.time() - 7200,) * 2)
    await opened(folder)
    assert [entry.name for entry in folder.iterdir()] == [".put-new"]


async def test_a_folder_signs_no_links(folder: Path) -> None:
    store = await opened(folder)
    assert await store.presigned_urls(["photo", "other"], expires_s=60) == [None, None]
