"""Contract of `ImageStore`, tested with every implementation: a folder, and a real S3 server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bentos.domain.errors import DependencyUnavailable, ImageTooLarge, InvalidRequest, PhotoNotFound
from bentos.stores.base import ImageStore
from bentos.stores.files import FilesStore
from bentos.stores.s3.store import S3Options, S3Store

JPEG = "image/jpeg"
LIMIT = 1 << 20
ODD_IDS = ["a", "0", "a.jpg", "a..b", "a-", "a_", "a.", "A", "x" * 128, "0" + ".-_" * 42]


@pytest.fixture(params=["files", "s3"])
async def store(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[ImageStore]:
    store: ImageStore
    if request.param == "files":
        store = FilesStore(folder / "images")
    else:
        bucket: S3Options = request.getfixturevalue("bucket")
        store = S3Store(replace(bucket, prefix=f"{bucket.prefix}{uuid.uuid4()}/"))
    await store.open()
    yield store
    await store.close()


async def every_photo_id(store: ImageStore, batch_size: int = 1000) -> list[str]:
    batches = [batch async for batch in store.scan_images(batch_size)]
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    return [photo_id for batch in batches for photo_id in batch]


async def test_get_returns_the_bytes_that_were_put(store: ImageStore) -> None:
    image = bytes(range(256)) * 300
    await store.put("photo", image, JPEG)
    assert await store.get("photo", max_bytes=LIMIT) == image


async def test_a_second_put_replaces_the_first(store: ImageStore) -> None:
    await store.put("photo", b"first, and longer", JPEG)
    await store.put("photo", b"second", "image/png")
    assert await store.get("photo", max_bytes=LIMIT) == b"second"


async def test_a_photo_never_stored_is_not_found(store: ImageStore) -> None:
    with pytest.raises(PhotoNotFound):
        await store.get("missing", max_bytes=LIMIT)
    assert not await store.exists("missing")


async def test_exists_follows_put_and_delete(store: ImageStore) -> None:
    await store.put("photo", b"image", JPEG)
    assert await store.exists("photo")
    await store.delete("photo")
    assert not await store.exists("photo")


async def test_deleting_twice_has_the_same_effect_as_once(store: ImageStore) -> None:
    await store.put("photo", b"image", JPEG)
    await store.delete("photo")
    await store.delete("photo")
    with pytest.raises(PhotoNotFound):
        await store.get("photo", max_bytes=LIMIT)


async def test_an_image_at_the_limit_is_read_and_one_byte_more_is_too_large(
    store: ImageStore,
) -> None:
    await store.put("photo", b"x" * 1001, JPEG)
    assert len(await store.get("photo", max_bytes=1001)) == 1001
    with pytest.raises(ImageTooLarge) as caught:
        await store.get("photo", max_bytes=1000)
    assert caught.value.details == {"max_bytes": 1000}


async def test_an_empty_image_is_returned_empty(store: ImageStore) -> None:
    await store.put("photo", b"", JPEG)
    assert await store.get("photo", max_bytes=LIMIT) == b""


@pytest.mark.parametrize("photo_id", ODD_IDS)
async def test_different_valid_ids_name_different_images(store: ImageStore, photo_id: str) -> None:
    await store.put(photo_id, photo_id.encode(), JPEG)
    assert await store.get(photo_id, max_bytes=LIMIT) == photo_id.encode()
    assert await every_photo_id(store) == [photo_id]
    assert not await store.exists(photo_id.swapcase() if photo_id.swapcase() != photo_id else "other")


@pytest.mark.parametrize(
    "photo_id",
    ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", ".put-x", "a\x00", "a\n", "é", "x" * 129],
)
async def test_an_invalid_id_never_becomes_a_path_or_key(store: ImageStore, photo_id: str) -> None:
    for call in (
        store.put(photo_id, b"image", JPEG),
        store.get(photo_id, max_bytes=LIMIT),
        store.exists(photo_id),
        store.delete(photo_id),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await call
        assert list(caught.value.details["fields"]) == ["photo_id"]
    assert await every_photo_id(store) == []


async def test_a_scan_names_every_photo_once_in_batches(store: ImageStore) -> None:
    photo_ids = [f"photo-{number:02}" for number in range(25)]
    await asyncio.gather(*(store.put(photo_id, b"image", JPEG) for photo_id in photo_ids))
    await store.delete("photo-07")
    photo_ids.remove("photo-07")
    assert sorted(await every_photo_id(store, batch_size=10)) == photo_ids


async def test_a_scan_of_an_empty_store_is_empty(store: ImageStore) -> None:
    assert await every_photo_id(store) == []


async def test_a_scan_of_names_is_narrowed_by_its_prefix(store: ImageStore) -> None:
    for photo_id in ("a-1", "a-2", "b-1"):
        await store.put(photo_id, b"image", JPEG)
    found = {
        prefix: sorted([n async for b in store.scan_names(prefix, 2) for n in b])
        for prefix in ("", "a-", "c")
    }
    assert found == {"": ["a-1", "a-2", "b-1"], "a-": ["a-1", "a-2"], "c": []}


async def test_concurrent_puts_of_one_photo_leave_one_complete_image(store: ImageStore) -> None:
    images = [bytes([number]) * 50_000 for number in range(16)]
    await store.put("photo", images[0], JPEG)

    async def read_all_along() -> None:
        for _ in range(10):
            assert await store.get("photo", max_bytes=LIMIT) in images

    await asyncio.gather(read_all_along(), *(store.put("photo", image, JPEG) for image in images))
    assert await store.get("photo", max_bytes=LIMIT) in images
    assert await every_photo_id(store) == ["photo"]


async def test_a_store_may_be_closed_twice(store: ImageStore) -> None:
    await store.close()
    await store.close()


async def test_links_come_in_the_order_of_the_photos_with_a_link_or_none_for_each(store: ImageStore) -> None:
    for photo_id in ("one", "two"):
        await store.put(photo_id, photo_id.encode(), JPEG)
    links = await store.presigned_urls(["two", "never-stored", "one"], expires_s=60)
    assert len(links) == 3
    opened = [httpx.get(link) for link in links if link is not None]
    assert [(answer.status_code, answer.content) for answer in opened[::2]] in (
        [],
        [(200, b"two"), (200, b"one")],
    )
    assert await store.presigned_urls([], expires_s=60) == []


async def test_a_check_passes_while_the_store_is_open_and_leaves_no_files(store: ImageStore) -> None:
    await store.put("photo", b"image", JPEG)
    await store.check()
    await store.check()
    assert await every_photo_id(store) == ["photo"]


@pytest.mark.parametrize("kind", ["files", "s3"])
async def test_a_check_fails_when_the_folder_or_the_bucket_is_missing(
    kind: str, request: pytest.FixtureRequest, folder: Path
) -> None:
    store: ImageStore
    if kind == "files":
        store = FilesStore(folder / "vanished")
    else:
        store = S3Store(replace(request.getfixturevalue("bucket"), bucket=f"no-such-bucket-{uuid.uuid4()}"))
    with pytest.raises(DependencyUnavailable):
        await store.check()
    assert not (folder / "vanished").exists()
    await store.close()
