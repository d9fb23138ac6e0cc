"""Tests of requests cancelled at their deadline: leases are released, no later write happens, a repeat finishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bentos.domain.errors import DependencyUnavailable
from bentos.domain.faces import BoundingBox
from bentos.stores.records import FaceRecord, Lease, PhotoBusy
from bentos.stores.sqlite.store import SqliteMetadataStore
from bentos.vectorizer import removal
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.removal import Removal
from bentos.vectorizer.uninterrupted import finish, uninterrupted

LEASE_S = 30.0
BATCH, PHOTOS = 2, 6
MARKS = tuple((float(n), 1.0) for n in range(5))


class Slow:
    """A store with a method whose n-th call is slow: it takes effect first and then waits."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.method, self.at_call, self.calls = "", 1, 0
        self.begun = asyncio.Event()
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self.method:
            return method

        async def slow(*arguments: Any, **named: Any) -> Any:
            answer = await method(*arguments, **named)
            self.calls += 1
            if self.calls == self.at_call:
                self.begun.set()
                await asyncio.sleep(0.2)
                if self.fails:
                    raise DependencyUnavailable("postgrest", "no answer within 0.2 s")
            return answer

        return slow


class Vectors:
    """The photos that have vectors."""

    def __init__(self) -> None:
        self.photo_ids: set[str] = set()

    async def remove_photos(self, photo_ids: Any) -> None:
        self.photo_ids -= set(photo_ids)


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Slow]:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    await store.open()
    yield Slow(store)
    await store.close()


async def _record(metadata: Any, photo_id: str) -> None:
    lease = Lease(LEASE_S)
    face = FaceRecord(f"00000000-0000-5000-8000-{int(photo_id):012d}", BoundingBox(0, 0, 9, 9), 0.9, MARKS)
    await metadata.begin_detection(photo_id, collection_id=None, image_sha256="0" * 64, lease=lease)
    await metadata.finish_detection(photo_id, width=10, height=10, faces=[face], lease=lease)


async def _cancelled(work: asyncio.Task[Any], begun: asyncio.Event) -> None:
    await asyncio.wait_for(begun.wait(), 10)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def _is_free(metadata: Any, photo_id: str) -> bool:
    lease = Lease(LEASE_S)
    try:
        await metadata.begin_removal(photo_id, lease=lease)
    except PhotoBusy:
        return False
    await metadata.release(photo_id, lease=lease)
    return True


@pytest.mark.parametrize("slow", ["begin_removals", "remove_photos", "finish_removals"])
async def test_a_cancelled_remove_all_keeps_its_finished_batches_and_a_repeat_continues(
    metadata: Slow, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_BATCH", BATCH)
    photo_ids = {str(number) for number in range(PHOTOS)}
    for photo_id in photo_ids:
        await _record(metadata, photo_id)
    vectors = Slow(Vectors())
    vectors.photo_ids.update(photo_ids)
    at = vectors if slow == "remove_photos" else metadata
    at.method, at.at_call = slow, 2
    stores: dict[str, Any] = {"metadata": metadata, "vectors": vectors, "images": None}
    both = Removal(leases=PhotoLeases(metadata, lease_s=LEASE_S), **stores)  # type: ignore[arg-type]

    await _cancelled(asyncio.create_task(both.remove_all(collection_id=None)), at.begun)

    at.method = ""
    left = {photo_id for photo_id in photo_ids if (await metadata.photo(photo_id)).faces}
    assert len(left) == PHOTOS - 2 * BATCH, "two complete batches are removed"
    assert vectors.photo_ids == left, "both stores agree"
    for photo_id in photo_ids:
        assert await _is_free(metadata, photo_id)
    removed = await asyncio.wait_for(both.remove_all(collection_id=None), LEASE_S / 2)
    assert (removed.photos, removed.faces) == (len(left), len(left))
    assert vectors.photo_ids == set()


@pytest.mark.parametrize("slow", ["begin_removal", "finish_removals"])
async def test_a_cancelled_writer_releases_its_lease_after_its_call_has_ended(
    metadata: Slow, slow: str
) -> None:
    await _record(metadata, "1")
    metadata.method = slow
    writer = _writer(metadata)
    await _cancelled(asyncio.create_task(writer()), metadata.begun)
    assert await _is_free(metadata, "1")


async def test_a_lease_is_kept_when_the_store_failed_during_the_cancellation(metadata: Slow) -> None:
    await _record(metadata, "1")
    metadata.method, metadata.fails = "photo", True
    held = PhotoLeases(uninterrupted(metadata), lease_s=LEASE_S)  # type: ignore[arg-type]
    store = uninterrupted(metadata)

    async def begin(lease: Lease) -> bool:
        return bool(await store.begin_removal("1", lease=lease))

    async def write() -> None:
        async with held.held("1", begin):
            await store.photo("1")

    work = asyncio.create_task(write())
    await asyncio.wait_for(metadata.begun.wait(), 10)
    work.cancel()
    with pytest.raises(DependencyUnavailable):
        await work
    metadata.method = ""
    assert not await _is_free(metadata, "1"), "its write may still be carried out"


async def test_work_that_is_cancelled_twice_runs_to_its_end() -> None:
    ended = False

    async def work() -> None:
        nonlocal ended
        await asyncio.sleep(0.1)
        ended = True

    caller = asyncio.create_task(finish(work()))
    for _ in range(2):
        await asyncio.sleep(0.01)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended


def _begin(metadata: Any) -> Callable[[Lease], Any]:
    async def begin(lease: Lease) -> bool:
        return bool(await metadata.begin_removal("1", lease=lease))

    return begin


def _writer(metadata: Slow) -> Callable[[], Any]:
    """Remove photo 1 as the endpoint does."""
    store: Any = uninterrupted(metadata)
    stores: dict[str, Any] = {"metadata": store, "vectors": Vectors(), "images": None}
    one = Removal(leases=PhotoLeases(store, lease_s=LEASE_S), **stores)
    return lambda: one.remove_photo("1", purge=False)
