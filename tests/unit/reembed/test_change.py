"""Tests the change to another pack and back, on embedded stores: no concurrent work of the services is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bentos.domain.errors import DependencyUnavailable, NotReady
from bentos.domain.faces import Embedding, Landmarks
from bentos.jobs.patience import Stopped
from bentos.reembed import change as change_module
from bentos.reembed.change import WrongStores
from bentos.stores.records import Lease
from tests.unit.reembed.base import DAMAGED, Base, OneFace, Service, pack_named

OLD, NEW = pack_named("old"), pack_named("new")


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[Base]:
    base = Base(tmp_path)
    async with base.opened():
        yield base


@pytest.fixture
async def old(base: Base) -> AsyncIterator[Service]:
    async with base.service(OLD) as service:
        yield service


class Meanwhile(OneFace):
    """Runs an action once, while the job embeds the first face."""

    def __init__(self, work) -> None:
        super().__init__(NEW)
        self._work = work

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        work, self._work = self._work, None
        if work is not None:
            await work()
        return await super().embed(image, landmarks)


async def test_every_photo_is_found_by_the_new_version_and_still_by_the_old_one(
    base: Base, old: Service
) -> None:
    for n in range(30):
        await old.add(f"photo{n}", collection_id=f"c{n % 3}")
    with pytest.raises(NotReady, match=r"python -m bentos\.reembed"):
        async with base.service(NEW):
            pass
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert (report.stored, report.moved, report.failures) == (30, True, [])
    async with base.service(NEW) as new:
        for n in range(30):
            assert await new.search(f"photo{n}", collections=[f"c{n % 3}"]) == [f"photo{n}"]
            assert await old.search(f"photo{n}") == [f"photo{n}"]


async def test_running_it_again_embeds_only_what_is_missing(base: Base, old: Service) -> None:
    await old.add("before")
    async with base.change_to(NEW) as change:
        await change.run()
    await old.add("after")
    await old.removal.remove_photo("before", purge=True)
    finder = OneFace(NEW)
    async with base.change_to(NEW, finder) as change:
        report = await change.run()
    assert (finder.embedded, report.stored, report.moved) == (1, 1, False)
    async with base.service(NEW) as new:
        assert await new.search("after") == ["after"]
        assert await new.search("before") == []


async def test_the_change_back_embeds_only_faces_added_since(base: Base, old: Service) -> None:
    for n in range(5):
        await old.add(f"photo{n}")
    async with base.change_to(NEW) as change:
        await change.run()
    async with base.service(NEW) as new:
        await new.add("added-later")
        await new.removal.remove_photo("photo0", purge=False)
        finder = OneFace(OLD)
        async with base.change_to(OLD, finder) as change:
            report = await change.run()
        assert (finder.embedded, report.moved) == (1, True)
        assert await new.search("photo1") == ["photo1"]
    async with base.service(OLD) as again:
        assert await again.search("added-later") == ["added-later"]
        assert await again.search("photo0") == []
        assert await again.search("photo1") == ["photo1"]


async def test_photos_added_changed_and_removed_meanwhile_are_processed_too(base: Base, old: Service) -> None:
    for n in range(6):
        await old.add(f"photo{n}")

    async def meanwhile() -> None:
        await old.add("added")
        await old.add("photo1", collection_id="joined")
        await old.removal.remove_photo("photo2", purge=False)
        await old.removal.remove_photo("photo3", purge=True)
        await old.removal.remove_photo("photo4", purge=True)
        await old.add("photo4")

    async with base.change_to(NEW, Meanwhile(meanwhile)) as change:
        report = await change.run()
    assert report.failures == []
    async with base.service(NEW) as new:
        for photo_id in ("photo0", "photo4", "photo5", "added"):
            assert await new.search(photo_id) == [photo_id]
        assert await new.search("photo1", collections=["joined"]) == ["photo1"]
        for photo_id in ("photo2", "photo3"):
            assert await new.search(photo_id) == []


async def test_a_face_that_is_removed_while_it_is_embedded_does_not_get_a_vector(
    base: Base, old: Service
) -> None:
    await old.add("photo")

    async def remove() -> None:
        await old.removal.remove_photo("photo", purge=False)

    async with base.change_to(NEW, Meanwhile(remove)) as change:
        report = await change.run()
    assert (report.stored, report.failures) == (0, [])


async def test_an_image_that_replaces_the_embedded_one_gets_its_own_vector(base: Base, old: Service) -> None:
    await old.add("photo")

    async def replace() -> None:
        await old.removal.remove_photo("photo", purge=True)
        await old.add("photo", image=b"another image")

    async with base.change_to(NEW, Meanwhile(replace)) as change:
        await change.run()
    async with base.service(NEW) as new:
        assert await new.search("photo") == []
        assert await new.search("another image") == ["photo"]


async def test_vectors_of_an_interrupted_removal_are_removed(base: Base, old: Service) -> None:
    await old.add("photo")
    async with base.change_to(NEW) as change:
        await change.run()
        await base.metadata.begin_removal("photo", lease=Lease(0.1))
        report = await change.run()
    assert report.removed == 1
    async with base.service(NEW) as new:
        assert await new.search("photo") == []


async def test_a_face_that_another_writer_has_begun_is_left_to_that_writer(base: Base, old: Service) -> None:
    face_id = await old.add("photo")
    await old.removal.remove_photo("photo", purge=False)
    photo = await old.indexing.detect_stored("photo", collection_id=None)
    await base.metadata.begin_indexing("photo", face_ids=[face_id], collection_id=None, lease=Lease(0.1))
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert report.stored == 0
    photo = await base.metadata.photo("photo")
    assert photo is not None
    assert [face.state for face in photo.faces] == ["pending"]


async def test_photos_without_a_usable_image_are_reported_and_do_not_stop_the_job(
    base: Base, old: Service
) -> None:
    for n in range(4):
        await old.add(f"photo{n}")
    await old.add("damaged", image=b"whole")
    await base.images.put("damaged", DAMAGED, "image/jpeg")
    await base.images.delete("photo1")
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert report.moved
    assert sorted((failure.photo_id, failure.reason) for failure in report.failures) == [
        ("damaged", "This is no image."),
        ("photo1", "its image is missing"),
    ]
    async with base.service(NEW) as new:
        assert await new.search("photo3") == ["photo3"]


async def test_a_wrong_image_store_is_refused_before_the_alias_moves(base: Base, old: Service) -> None:
    for n in range(24):
        await old.add(f"photo{n}")
        if n % 2:
            await base.images.delete(f"photo{n}")
    async with base.change_to(NEW) as change:
        with pytest.raises(WrongStores, match="S3_BUCKET"):
            await change.run()
    async with base.service(OLD):
        pass


async def test_an_empty_metadata_store_with_stored_vectors_is_refused(
    base: Base, old: Service, tmp_path: Path
) -> None:
    await old.add("photo")
    other = Base(tmp_path / "other")
    other.settings = base.settings
    async with other.opened(), other.change_to(NEW) as change:
        with pytest.raises(WrongStores, match="POSTGREST_URL"):
            await change.run()
    async with base.service(OLD):
        pass


async def test_an_empty_database_can_change_too(base: Base, old: Service) -> None:
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert report.moved
    async with base.service(NEW):
        pass


async def test_it_finishes_started_photos_when_stopped_and_continues_later(base: Base, old: Service) -> None:
    for n in range(20):
        await old.add(f"photo{n}")

    async def stop() -> None:
        base.patience.stopped.set()

    finder = Meanwhile(stop)
    async with base.change_to(NEW, finder) as change:
        with pytest.raises(Stopped):
            await change.run()
    assert 1 <= finder.embedded < 20
    base.patience.stopped.clear()
    rest = OneFace(NEW)
    async with base.change_to(NEW, rest) as change:
        report = await change.run()
    assert rest.embedded == 20 - finder.embedded
    assert report.moved


async def test_it_waits_for_an_unavailable_store_and_says_so(base: Base, old: Service) -> None:
    for n in range(5):
        await old.add(f"photo{n}")
    get, refusals = base.images.get, iter(range(6))

    async def flaky(photo_id: str, *, max_bytes: int) -> bytes:
        if next(refusals, None) is not None:
            raise DependencyUnavailable("object_store", "it cannot be reached")
        return await get(photo_id, max_bytes=max_bytes)

    base.images.get = flaky  # type: ignore[method-assign]
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert (report.stored, report.failures) == (5, [])
    assert base.said.count("waiting: object_store is not available: it cannot be reached.") == 1


async def test_it_can_be_stopped_while_it_waits(base: Base, old: Service) -> None:
    await old.add("photo")

    async def away(photo_id: str, *, max_bytes: int) -> bytes:
        base.patience.stopped.set()
        raise DependencyUnavailable("object_store", "it cannot be reached")

    base.images.get = away  # type: ignore[method-assign]
    async with base.change_to(NEW) as change, asyncio.timeout(20):
        with pytest.raises(Stopped):
            await change.run()


async def test_the_alias_moves_even_if_photos_change_faster_than_they_are_compared(
    base: Base, old: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_module, "_FEW", 0)
    for n in range(3):
        await old.add(f"photo{n}")
    numbers = iter(range(1000))

    class Busy(OneFace):
        async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
            await old.add(f"more{next(numbers)}")
            return await super().embed(image, landmarks)

    async with base.change_to(NEW, Busy(NEW)) as change:
        report = await change.run()
    assert report.moved
    assert report.passes < 20


async def test_the_old_collections_are_dropped_only_on_request(base: Base, old: Service) -> None:
    await old.add("photo")
    async with base.change_to(NEW) as change:
        report = await change.run()
        assert report.dropped == []
        assert await old.search("photo") == ["photo"]
        await change.remove_old(report)
    assert len(report.dropped) == 1
    async with base.service(NEW) as new:
        await new.removal.remove_photo("photo", purge=True)
        assert await new.search("photo") == []


async def test_a_photo_that_another_writer_holds_for_long_is_reported(
    base: Base, old: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_module, "_PASSES_AFTERWARDS", 1)
    await old.add("photo")
    base.leases._lease_s = 0.2
    await base.metadata.begin_indexing("photo", face_ids=[], collection_id=None, lease=Lease(60))
    async with base.change_to(NEW) as change:
        report = await change.run()
    assert [(failure.photo_id, "another writer" in failure.reason) for failure in report.failures] == [
        ("photo", True)
    ]
