"""Contract of `MetadataStore`, tested with every implementation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from bentos.demo.servers.postgrest import TOKEN
from bentos.domain.errors import (
    CollectionMismatch,
    DependencyUnavailable,
    FaceNotFound,
    InvalidRequest,
    PhotoNotFound,
)
from bentos.domain.faces import BoundingBox
from bentos.domain.ids import derive_face_id
from bentos.stores.base import MetadataStore
from bentos.stores.postgrest.store import PostgrestMetadataStore, PostgrestOptions
from bentos.stores.records import PHOTO_STATUSES, FaceRecord, Lease, LeaseLost, PhotoBusy, PhotoRecord
from bentos.stores.sqlite.store import SqliteMetadataStore

SHA = "5f" * 32
OTHER_SHA = "a0" * 32
UNKNOWN_FACE = "00000000-0000-4000-8000-000000000000"
LANDMARKS = ((463.1, 266.2), (576.3, 266.4), (519.55, 320.123456), (480.0, 380.7), (560.9, 380.1))


@pytest.fixture(params=["sqlite", "postgrest"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MetadataStore]:
    opened: MetadataStore
    if request.param == "sqlite":
        opened = SqliteMetadataStore(tmp_path / "metadata" / "photos.db")
    else:
        with psycopg.connect(request.getfixturevalue("postgres_dsn")) as connection:
            connection.execute("set search_path = face_search")
            connection.execute(
                "truncate photos, faces, removed_faces, purged_photos, photo_counts, last_audit"
            )
        url = request.getfixturevalue("postgrest_url")
        opened = PostgrestMetadataStore(PostgrestOptions(url, TOKEN, timeout_s=10))
    await opened.open()
    yield opened
    await opened.close()


def lease(seconds: float = 30) -> Lease:
    return Lease(seconds)


def face_of(photo_id: str, score: float = 0.9, at: float = 10.0) -> FaceRecord:
    bbox = BoundingBox(at, 20.1, at + 100.3, 140.7)
    return FaceRecord(derive_face_id(photo_id, bbox), bbox, score, LANDMARKS)


async def detect(
    store: MetadataStore, photo_id: str, *faces: FaceRecord, collection_id: str | None = None
) -> PhotoRecord:
    held = lease()
    await store.begin_detection(photo_id, collection_id=collection_id, image_sha256=SHA, lease=held)
    return await store.finish_detection(photo_id, width=1280, height=886, faces=faces, lease=held)


async def index(store: MetadataStore, photo_id: str, *face_ids: str) -> None:
    held = lease()
    await store.begin_indexing(photo_id, face_ids=face_ids, collection_id=None, lease=held)
    await store.finish_indexing(photo_id, face_ids=face_ids, lease=held)


async def indexed_photo(
    store: MetadataStore, photo_id: str, *, collection_id: str | None = None
) -> FaceRecord:
    face = face_of(photo_id)
    await detect(store, photo_id, face, collection_id=collection_id)
    await index(store, photo_id, face.face_id)
    return face


async def remove(store: MetadataStore, photo_id: str, *, purge: bool = False) -> int:
    held = lease()
    assert await store.begin_removal(photo_id, lease=held)
    return await store.finish_removals([photo_id], purge=purge, lease=held)


async def states(store: MetadataStore, photo_id: str) -> list[str]:
    photo = await store.photo(photo_id)
    assert photo is not None
    return [face.state for face in photo.faces]


async def status(store: MetadataStore, photo_id: str) -> str:
    page = await store.list_photos(limit=500, offset=0)
    return next(item.status for item in page.items if item.photo_id == photo_id)


async def is_free(store: MetadataStore, photo_id: str) -> bool:
    """Whether another writer could begin; leaves the state unchanged."""
    probe = lease()
    try:
        await store.begin_indexing(photo_id, face_ids=[], collection_id=None, lease=probe)
    except PhotoBusy:
        return False
    await store.release(photo_id, lease=probe)
    return True


# Records


async def test_an_unknown_photo_is_none(store: MetadataStore) -> None:
    assert await store.photo("nobody") is None


async def test_an_unknown_face_belongs_to_no_photo(store: MetadataStore) -> None:
    assert await store.photo_of_face(UNKNOWN_FACE) is None
    assert await store.photo_of_face('not"a,uuid\\)') is None


async def test_a_photo_is_read_exactly_as_it_was_recorded(store: MetadataStore) -> None:
    faces = (face_of("p", 0.93), face_of("p", 0.5000000000000001, at=0.1))
    recorded = await detect(store, "p", *faces, collection_id="wedding")
    expected = PhotoRecord("p", "wedding", SHA, 1280, 886, faces)
    assert recorded == expected
    assert await store.photo("p") == expected
    assert await store.photo_of_face(faces[1].face_id) == expected


async def test_the_details_of_a_photo_are_its_record_and_its_row_of_the_listing(store: MetadataStore) -> None:
    await indexed_photo(store, "p", collection_id="c")
    record = await detect(store, "p", face_of("p", 0.6, at=300))
    details = await store.photo_details("p")
    assert details is not None
    assert details.record == record
    [summary] = (await store.list_photos(limit=9, offset=0)).items
    assert details.summary == summary
    assert (summary.status, summary.faces_detected, summary.faces_indexed) == ("partial", 2, 1)


async def test_an_unknown_photo_has_no_details(store: MetadataStore) -> None:
    assert await store.photo_details("nobody") is None
    assert await store.photo_details("") is None


async def test_faces_are_ordered_by_score_and_ties_by_id(store: MetadataStore) -> None:
    faces = [face_of("p", score, at) for score, at in [(0.5, 1), (0.9, 2), (0.7, 3), (0.9, 4), (0.9, 5)]]
    photo = await detect(store, "p", *faces)
    assert list(photo.faces) == sorted(faces, key=lambda face: (-face.score, face.face_id))


@pytest.mark.parametrize("photo_id", ["a", "a.b-c_D", "0", "v1.2.3-final", "Z" * 128, "null", "in.a"])
async def test_different_valid_ids_name_different_photos(store: MetadataStore, photo_id: str) -> None:
    await detect(store, "another", face_of("another"))
    await detect(store, photo_id, face_of(photo_id), collection_id=photo_id)
    photo = await store.photo(photo_id)
    assert photo is not None
    assert (photo.photo_id, photo.collection_id) == (photo_id, photo_id)
    page = await store.list_photos(collection_id=photo_id, limit=10, offset=0)
    assert [item.photo_id for item in page.items] == [photo_id]


async def test_ids_that_differ_in_case_are_different(store: MetadataStore) -> None:
    await detect(store, "Photo")
    assert await store.photo("photo") is None


async def test_invalid_values_are_refused_and_change_nothing(store: MetadataStore) -> None:
    inverted = FaceRecord(UNKNOWN_FACE, BoundingBox(50, 0, 10, 10), 0.9, LANDMARKS)
    too_few_landmarks = FaceRecord(UNKNOWN_FACE, BoundingBox(0, 0, 10, 10), 0.9, LANDMARKS[:4])
    too_good = FaceRecord(UNKNOWN_FACE, BoundingBox(0, 0, 10, 10), 1.5, LANDMARKS)
    held = lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    for wrong in (inverted, too_few_landmarks, too_good):
        with pytest.raises(ValueError, match="refuse"):
            await store.finish_detection("p", width=10, height=10, faces=[face_of("p"), wrong], lease=held)
    with pytest.raises(ValueError, match="refuse"):
        await store.finish_detection("p", width=0, height=10, faces=[], lease=held)
    assert await store.photo("p") == PhotoRecord("p", None, SHA, None, None)


async def test_a_face_cannot_move_to_another_photo(store: MetadataStore) -> None:
    face = face_of("p")
    await detect(store, "p", face)
    with pytest.raises(ValueError, match="belongs to another photo"):
        await detect(store, "q", face)
    assert await store.photo_of_face(face.face_id) == await store.photo("p")


# Leases


async def test_a_photo_that_is_being_worked_on_is_busy_for_everyone_else(store: MetadataStore) -> None:
    face = await indexed_photo(store, "p")
    held = lease()
    await store.begin_indexing("p", face_ids=[], collection_id=None, lease=held)
    with pytest.raises(PhotoBusy):
        await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=lease())
    with pytest.raises(PhotoBusy):
        await store.begin_indexing("p", face_ids=[face.face_id], collection_id=None, lease=lease())
    with pytest.raises(PhotoBusy):
        await store.begin_removal("p", lease=lease())
    assert await states(store, "p") == ["indexed"]


async def test_one_writer_may_begin_again_with_its_own_lease(store: MetadataStore) -> None:
    face, held = face_of("p"), lease()
    for _ in range(2):
        await store.begin_detection("p", collection_id="c", image_sha256=SHA, lease=held)
    await store.finish_detection("p", width=9, height=9, faces=[face], lease=held)
    for _ in range(2):
        photo = await store.begin_indexing("p", face_ids=[face.face_id], collection_id="c", lease=held)
        assert [f.state for f in photo.faces] == ["pending"]
    await store.finish_indexing("p", face_ids=[face.face_id], lease=held)
    for _ in range(2):
        assert await store.begin_removal("p", lease=held)
    assert await store.finish_removals(["p"], purge=False, lease=held) == 1


async def test_every_finish_gives_the_lease_back(store: MetadataStore) -> None:
    face = face_of("p")
    await detect(store, "p", face)
    assert await is_free(store, "p")
    await index(store, "p", face.face_id)
    assert await is_free(store, "p")
    await remove(store, "p")
    assert await is_free(store, "p")


async def test_of_sixteen_writers_at_once_exactly_one_begins(store: MetadataStore) -> None:
    leases = [lease() for _ in range(16)]
    outcomes = await asyncio.gather(
        *(store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held) for held in leases),
        return_exceptions=True,
    )
    winners = [
        held for held, outcome in zip(leases, outcomes, strict=True) if isinstance(outcome, PhotoRecord)
    ]
    assert len(winners) == 1
    assert [type(o) for o in outcomes if not isinstance(o, PhotoRecord)] == [PhotoBusy] * 15
    await store.finish_detection("p", width=9, height=9, faces=[face_of("p")], lease=winners[0])
    assert (await store.list_photos(limit=10, offset=0)).total == 1


async def test_the_lease_of_a_crashed_writer_expires(store: MetadataStore) -> None:
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=lease(0.2))
    assert not await is_free(store, "p")
    await asyncio.sleep(0.3)
    assert await is_free(store, "p")


async def test_a_writer_whose_lease_was_taken_over_gets_lease_lost_and_changes_nothing(
    store: MetadataStore,
) -> None:
    face, late, successor = face_of("p"), lease(0.05), lease()
    await detect(store, "p", face)
    await store.begin_indexing("p", face_ids=[face.face_id], collection_id=None, lease=late)
    await asyncio.sleep(0.1)
    await store.begin_removal("p", lease=successor)
    with pytest.raises(LeaseLost):
        await store.finish_indexing("p", face_ids=[face.face_id], lease=late)
    with pytest.raises(LeaseLost):
        await store.finish_detection("p", width=1, height=1, faces=[face_of("p", at=70)], lease=late)
    with pytest.raises(LeaseLost):
        await store.finish_removals(["p"], purge=True, lease=late)
    assert await states(store, "p") == ["removing"]
    assert await store.finish_removals(["p"], purge=False, lease=successor) == 1


async def test_a_lost_lease_stays_lost_when_the_other_writer_has_finished(store: MetadataStore) -> None:
    late = lease(0.05)
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=late)
    await asyncio.sleep(0.1)
    await detect(store, "p", face_of("p"))
    with pytest.raises(LeaseLost):
        await store.finish_detection("p", width=1, height=1, faces=[], lease=late)


async def test_an_expired_lease_that_no_other_writer_took_over_may_still_be_finished(
    store: MetadataStore,
) -> None:
    late = lease(0.05)
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=late)
    await asyncio.sleep(0.1)
    photo = await store.finish_detection("p", width=1, height=1, faces=[face_of("p")], lease=late)
    assert len(photo.faces) == 1


async def test_a_lease_is_lost_with_its_photo(store: MetadataStore) -> None:
    late = lease(0.05)
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=late)
    await asyncio.sleep(0.1)
    await remove(store, "p", purge=True)
    with pytest.raises(LeaseLost):
        await store.finish_detection("p", width=1, height=1, faces=[], lease=late)
    with pytest.raises(LeaseLost):
        await store.finish_indexing("never-seen", face_ids=[], lease=lease())


async def test_a_finish_whose_response_was_lost_may_be_repeated(store: MetadataStore) -> None:
    face, held = face_of("p"), lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    first = await store.finish_detection("p", width=9, height=9, faces=[face], lease=held)
    assert await store.finish_detection("p", width=9, height=9, faces=[face], lease=held) == first
    held = lease()
    await store.begin_indexing("p", face_ids=[face.face_id], collection_id=None, lease=held)
    for _ in range(2):
        await store.finish_indexing("p", face_ids=[face.face_id], lease=held)
    held = lease()
    await store.begin_removal("p", lease=held)
    assert await store.finish_removals(["p"], purge=True, lease=held) == 1
    assert await store.finish_removals(["p"], purge=True, lease=held) == 0


async def test_release_makes_the_photo_free_and_the_lease_lost(store: MetadataStore) -> None:
    held = lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    await store.release("p", lease=held)
    assert await is_free(store, "p")
    with pytest.raises(LeaseLost):
        await store.finish_detection("p", width=1, height=1, faces=[], lease=held)


async def test_release_of_a_lease_that_is_not_held_does_nothing(store: MetadataStore) -> None:
    held = lease()
    await store.release("never-seen", lease=held)
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    await store.release("p", lease=lease())
    assert not await is_free(store, "p")


# Detection


async def test_a_detection_that_begins_indexing_keeps_the_lease_until_indexing_is_finished(
    store: MetadataStore,
) -> None:
    small, large, held = face_of("p", 0.6, at=300), face_of("p"), lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    photo = await _detected_and_begun(store, "p", [large, small], [large.face_id], held)
    assert [face.state for face in photo.faces] == ["pending", "detected"]
    assert (photo.width, photo.height) == (9, 9)
    assert not await is_free(store, "p")
    await store.finish_indexing("p", face_ids=[large.face_id], lease=held)
    assert await states(store, "p") == ["indexed", "detected"]
    assert await is_free(store, "p")


async def test_a_detection_that_begins_indexing_may_be_repeated_with_its_lease(store: MetadataStore) -> None:
    face, held = face_of("p"), lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    first = await _detected_and_begun(store, "p", [face], [face.face_id], held)
    assert await _detected_and_begun(store, "p", [face], [face.face_id], held) == first


async def test_a_detection_that_begins_indexing_renews_the_lease(store: MetadataStore) -> None:
    face, short = face_of("p"), lease(0.2)
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=short)
    await _detected_and_begun(store, "p", [face], [face.face_id], Lease(30, short.token))
    await asyncio.sleep(0.25)
    assert not await is_free(store, "p")


async def test_a_detection_that_begins_indexing_returns_what_a_crash_left_unfinished(
    store: MetadataStore,
) -> None:
    crashed, other = await indexed_photo(store, "p"), face_of("p", 0.6, at=300)
    held = lease()
    # The vectors of indexed faces carry no collection, so they have to be written again.
    await store.begin_detection("p", collection_id="c", image_sha256=SHA, lease=held)
    photo = await _detected_and_begun(store, "p", [other], [other.face_id], held)
    assert [(face.face_id, face.state) for face in photo.faces] == [
        (crashed.face_id, "pending"),
        (other.face_id, "pending"),
    ]


async def test_a_detection_that_begins_indexing_changes_nothing_when_it_fails(store: MetadataStore) -> None:
    face, held = face_of("p"), lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    with pytest.raises(FaceNotFound):
        await _detected_and_begun(store, "p", [face], [UNKNOWN_FACE], held)
    assert await states(store, "p") == []
    with pytest.raises(LeaseLost):
        await _detected_and_begun(store, "p", [face], [face.face_id], lease())
    assert await states(store, "p") == []


async def _detected_and_begun(
    store: MetadataStore, photo_id: str, faces: list[FaceRecord], face_ids: list[str], held: Lease
) -> PhotoRecord:
    return await store.finish_detection_and_begin_indexing(
        photo_id, width=9, height=9, faces=faces, face_ids=face_ids, lease=held
    )


async def test_the_same_detection_twice_records_each_face_once(store: MetadataStore) -> None:
    first = await detect(store, "p", face_of("p"), collection_id="c")
    assert await detect(store, "p", face_of("p"), collection_id="c") == first
    assert (await store.list_photos(limit=10, offset=0)).total == 1


async def test_a_new_detection_keeps_the_states_and_the_faces_it_does_not_name(store: MetadataStore) -> None:
    await indexed_photo(store, "p")
    other = face_of("p", 0.6, at=300)
    photo = await detect(store, "p", other)
    assert [face.state for face in photo.faces] == ["indexed", "detected"]
    photo = await detect(store, "p", face_of("p"))
    assert [face.state for face in photo.faces] == ["indexed", "detected"]


async def test_a_face_in_state_removing_is_detected_again(store: MetadataStore) -> None:
    await indexed_photo(store, "p")
    crashed = lease(0.05)
    await store.begin_removal("p", lease=crashed)
    await asyncio.sleep(0.1)
    photo = await detect(store, "p", face_of("p"))
    assert [face.state for face in photo.faces] == ["detected"]
    assert await status(store, "p") == "detected"


async def test_a_photo_gains_a_collection_and_its_indexed_faces_are_pending_again(
    store: MetadataStore,
) -> None:
    await indexed_photo(store, "p")
    other = face_of("p", 0.6, at=300)
    await detect(store, "p", other)
    held = lease()
    photo = await store.begin_detection("p", collection_id="c", image_sha256=SHA, lease=held)
    assert photo.collection_id == "c"
    assert [face.state for face in photo.faces] == ["pending", "detected"]


async def test_indexing_may_set_the_collection_of_the_photo(store: MetadataStore) -> None:
    await indexed_photo(store, "p")
    held = lease()
    photo = await store.begin_indexing("p", face_ids=[], collection_id="c", lease=held)
    assert photo.collection_id == "c"
    assert [face.state for face in photo.faces] == ["pending"]


async def test_a_request_without_a_collection_is_no_mismatch(store: MetadataStore) -> None:
    await detect(store, "p", face_of("p"), collection_id="c")
    photo = await detect(store, "p", face_of("p"))
    assert photo.collection_id == "c"


async def test_another_collection_is_refused_and_changes_nothing(store: MetadataStore) -> None:
    face = face_of("p")
    before = await detect(store, "p", face, collection_id="c")
    for begin in (
        store.begin_detection("p", collection_id="d", image_sha256=SHA, lease=lease()),
        store.begin_indexing("p", face_ids=[face.face_id], collection_id="d", lease=lease()),
    ):
        with pytest.raises(CollectionMismatch) as refused:
            await begin
        assert refused.value.details == {"photo_id": "p", "collection_id": "c"}
        assert "'d'" in refused.value.message
    assert await store.photo("p") == before
    assert await is_free(store, "p")


async def test_another_image_under_the_same_id_is_refused_and_changes_nothing(store: MetadataStore) -> None:
    before = await detect(store, "p", face_of("p"))
    with pytest.raises(InvalidRequest) as refused:
        await store.begin_detection("p", collection_id="c", image_sha256=OTHER_SHA, lease=lease())
    assert list(refused.value.details["fields"]) == ["photo_id"]  # type: ignore[call-overload]
    assert "purge=true" in refused.value.message
    assert await store.photo("p") == before
    assert await is_free(store, "p")


# Indexing


async def test_only_the_named_faces_are_indexed(store: MetadataStore) -> None:
    named, other = face_of("p", 0.9), face_of("p", 0.8, at=300)
    await detect(store, "p", named, other)
    held = lease()
    photo = await store.begin_indexing("p", face_ids=[named.face_id], collection_id=None, lease=held)
    assert [face.state for face in photo.faces] == ["pending", "detected"]
    await store.finish_indexing("p", face_ids=[named.face_id, other.face_id], lease=held)
    assert await states(store, "p") == ["indexed", "detected"]


async def test_the_next_writer_gets_a_face_that_a_crash_left_pending(store: MetadataStore) -> None:
    left, other = face_of("p", 0.9), face_of("p", 0.8, at=300)
    await detect(store, "p", left, other)
    await store.begin_indexing("p", face_ids=[left.face_id], collection_id=None, lease=lease(0.05))
    await asyncio.sleep(0.1)
    held = lease()
    photo = await store.begin_indexing("p", face_ids=[other.face_id], collection_id=None, lease=held)
    assert [face.state for face in photo.faces] == ["pending", "pending"]


async def test_an_indexed_face_stays_indexed_when_it_is_named_again(store: MetadataStore) -> None:
    face = await indexed_photo(store, "p")
    held = lease()
    photo = await store.begin_indexing("p", face_ids=[face.face_id], collection_id=None, lease=held)
    assert [f.state for f in photo.faces] == ["indexed"]


async def test_indexing_an_unknown_photo_is_refused(store: MetadataStore) -> None:
    with pytest.raises(PhotoNotFound):
        await store.begin_indexing("nobody", face_ids=[], collection_id=None, lease=lease())


async def test_indexing_unknown_faces_or_those_of_another_photo_is_refused_and_changes_nothing(
    store: MetadataStore,
) -> None:
    mine, foreign = face_of("p"), face_of("q")
    await detect(store, "p", mine)
    await detect(store, "q", foreign)
    for wrong in (UNKNOWN_FACE, foreign.face_id, "no-uuid"):
        with pytest.raises(FaceNotFound) as refused:
            await store.begin_indexing("p", face_ids=[mine.face_id, wrong], collection_id="c", lease=lease())
        assert refused.value.details == {"face_id": wrong}
    photo = await store.photo("p")
    assert photo is not None
    assert photo.collection_id is None
    assert [face.state for face in photo.faces] == ["detected"]
    assert await is_free(store, "p")


async def test_a_face_that_is_being_removed_cannot_be_indexed(store: MetadataStore) -> None:
    face = await indexed_photo(store, "p")
    await store.begin_removal("p", lease=lease(0.05))
    await asyncio.sleep(0.1)
    with pytest.raises(FaceNotFound):
        await store.begin_indexing("p", face_ids=[face.face_id], collection_id=None, lease=lease())
    assert await states(store, "p") == ["removing"]


# Removal


async def test_removing_an_unknown_id_is_refused(store: MetadataStore) -> None:
    with pytest.raises(PhotoNotFound):
        await store.begin_removal("nobody", lease=lease())


async def test_a_removal_deletes_the_faces_and_keeps_the_photo(store: MetadataStore) -> None:
    face = await indexed_photo(store, "p", collection_id="c")
    assert await remove(store, "p") == 1
    assert await store.photo("p") == PhotoRecord("p", "c", SHA, 1280, 886)
    assert await store.photo_of_face(face.face_id) is None
    assert await remove(store, "p") == 0


async def test_a_purge_deletes_the_record_and_is_remembered(store: MetadataStore) -> None:
    await indexed_photo(store, "p", collection_id="c")
    assert await remove(store, "p", purge=True) == 1
    assert await store.photo("p") is None
    assert (await store.list_photos(limit=10, offset=0)).total == 0
    assert await store.begin_removal("p", lease=lease()) is False
    with pytest.raises(PhotoNotFound):
        await store.begin_indexing("p", face_ids=[], collection_id=None, lease=lease())


async def test_purged_photos_are_distinguished_from_recorded_and_unknown_ones(store: MetadataStore) -> None:
    for photo_id in ("p", "q", "r"):
        await detect(store, photo_id)
    await remove(store, "p", purge=True)
    await remove(store, "r", purge=True)
    await remove(store, "q")
    assert await store.purged(["r", "q", "nobody", "p"]) == ["p", "r"]
    await detect(store, "p")
    assert await store.purged(["r", "q", "nobody", "p"]) == ["r"]
    assert await store.purged([]) == []


async def test_the_image_of_a_photo_is_removed_again_only_when_the_photo_was_purged(
    store: MetadataStore,
) -> None:
    await detect(store, "recorded")
    assert not await store.begin_image_removal("nobody", lease=lease())
    assert not await store.begin_image_removal("recorded", lease=lease())
    await remove(store, "recorded", purge=True)
    assert await store.begin_image_removal("recorded", lease=lease())


async def test_a_purged_photo_cannot_be_detected_while_its_image_is_removed(store: MetadataStore) -> None:
    await detect(store, "p")
    await remove(store, "p", purge=True)
    removing = lease()
    assert await store.begin_image_removal("p", lease=removing)
    assert await store.begin_image_removal("p", lease=removing), "its own lease may begin again"
    with pytest.raises(PhotoBusy):
        await store.begin_image_removal("p", lease=lease())
    with pytest.raises(PhotoBusy):
        await detect(store, "p")
    assert await store.photo("p") is None, "what raises has changed nothing"
    assert await store.finish_removals(["p"], purge=True, lease=removing) == 0
    assert await store.purged(["p"]) == ["p"]
    await detect(store, "p")


@pytest.mark.parametrize("end", ["release", "expiry"])
async def test_an_unfinished_removal_of_an_image_blocks_others_only_until_its_lease_expires(
    store: MetadataStore, end: str
) -> None:
    await detect(store, "p")
    await remove(store, "p", purge=True)
    removing = lease(30 if end == "release" else 0.05)
    assert await store.begin_image_removal("p", lease=removing)
    if end == "release":
        await store.release("p", lease=removing)
    else:
        await asyncio.sleep(0.1)
    await detect(store, "p")
    assert await store.purged(["p"]) == []
    with pytest.raises(LeaseLost):
        await store.finish_removals(["p"], purge=True, lease=removing)
    assert await store.photo("p") is not None


async def test_a_detection_and_an_image_removal_at_once_run_one_after_the_other(
    store: MetadataStore,
) -> None:
    for number in range(20):
        photo_id = f"p{number}"
        await detect(store, photo_id)
        await remove(store, photo_id, purge=True)
        detected, removing = await asyncio.gather(
            detect(store, photo_id),
            store.begin_image_removal(photo_id, lease=lease()),
            return_exceptions=True,
        )
        assert isinstance(detected, PhotoBusy) == (removing is True)
        assert (await store.photo(photo_id) is None) == (removing is True)


async def test_a_purged_photo_may_be_recorded_again_with_another_image_and_collection(
    store: MetadataStore,
) -> None:
    await indexed_photo(store, "p", collection_id="c")
    await remove(store, "p", purge=True)
    held = lease()
    photo = await store.begin_detection("p", collection_id="d", image_sha256=OTHER_SHA, lease=held)
    assert photo == PhotoRecord("p", "d", OTHER_SHA, None, None)
    await store.release("p", lease=held)
    assert await store.begin_removal("p", lease=lease()) is True


async def test_only_faces_whose_removal_began_are_deleted(store: MetadataStore) -> None:
    await detect(store, "p", face_of("p"))
    held = lease()
    await store.begin_indexing("p", face_ids=[], collection_id=None, lease=held)
    assert await store.finish_removals(["p"], purge=False, lease=held) == 0
    assert await states(store, "p") == ["detected"]


async def test_a_bulk_removal_begins_every_photo_with_faces_batch_by_batch(store: MetadataStore) -> None:
    for number in range(7):
        await indexed_photo(store, f"p{number}")
    await detect(store, "without-faces")
    until, sizes, seen = await store.now(), [], set()
    while True:
        held = lease()
        batch = await store.begin_removals(collection_id=None, until=until, lease=held, limit=3)
        assert batch.busy == 0
        if not batch.photo_ids:
            break
        sizes.append(len(batch.photo_ids))
        seen |= set(batch.photo_ids)
        assert await states(store, batch.photo_ids[0]) == ["removing"]
        assert await store.finish_removals(batch.photo_ids, purge=False, lease=held) == len(batch.photo_ids)
    assert sizes == [3, 3, 1]
    assert seen == {f"p{number}" for number in range(7)}


async def test_a_bulk_removal_affects_only_its_collection(store: MetadataStore) -> None:
    await indexed_photo(store, "mine", collection_id="c")
    await indexed_photo(store, "other", collection_id="d")
    await indexed_photo(store, "none")
    batch = await store.begin_removals(collection_id="c", until=await store.now(), lease=lease(), limit=10)
    assert batch.photo_ids == ("mine",)
    assert await states(store, "other") == await states(store, "none") == ["indexed"]


async def test_a_bulk_removal_skips_photos_whose_faces_are_newer_than_until(
    store: MetadataStore,
) -> None:
    await indexed_photo(store, "before")
    until = await store.now()
    await asyncio.sleep(0.01)
    await indexed_photo(store, "after")
    batch = await store.begin_removals(collection_id=None, until=until, lease=lease(), limit=10)
    assert batch.photo_ids == ("before",)
    assert batch.busy == 0


async def test_a_bulk_removal_includes_unfinished_removals_however_new(store: MetadataStore) -> None:
    long_ago = await store.now() - timedelta(days=1)
    await indexed_photo(store, "p")
    await store.begin_removal("p", lease=lease(0.05))
    await asyncio.sleep(0.1)
    held = lease()
    batch = await store.begin_removals(collection_id=None, until=long_ago, lease=held, limit=10)
    assert batch.photo_ids == ("p",)
    assert await store.finish_removals(["p"], purge=False, lease=held) == 1


async def test_until_may_have_any_time_zone(store: MetadataStore) -> None:
    await indexed_photo(store, "p")
    until = (await store.now()).astimezone(timezone(timedelta(hours=5, minutes=30)))
    batch = await store.begin_removals(collection_id=None, until=until, lease=lease(), limit=10)
    assert batch.photo_ids == ("p",)


async def test_photos_that_other_writers_hold_are_skipped_and_counted(store: MetadataStore) -> None:
    for photo_id in ("free", "held-1", "held-2", "elsewhere"):
        await indexed_photo(store, photo_id, collection_id="d" if photo_id == "elsewhere" else "c")
    holders = {photo_id: lease() for photo_id in ("held-1", "held-2", "elsewhere")}
    for photo_id, held in holders.items():
        await store.begin_indexing(photo_id, face_ids=[], collection_id=None, lease=held)
    batch = await store.begin_removals(collection_id="c", until=await store.now(), lease=lease(), limit=10)
    assert batch.photo_ids == ("free",)
    assert batch.busy == 2
    assert await states(store, "held-1") == ["indexed"]
    await store.finish_indexing("held-1", face_ids=[], lease=holders["held-1"])
    batch = await store.begin_removals(collection_id="c", until=await store.now(), lease=lease(), limit=1)
    assert batch.photo_ids == ("held-1",)


async def test_a_bulk_removal_whose_response_was_lost_begins_the_same_photos_again(
    store: MetadataStore,
) -> None:
    for number in range(5):
        await indexed_photo(store, f"p{number}")
    held, until = lease(), await store.now()
    first = await store.begin_removals(collection_id=None, until=until, lease=held, limit=2)
    assert await store.begin_removals(collection_id=None, until=until, lease=held, limit=2) == first
    assert len(first.photo_ids) == 2


async def test_one_lost_lease_is_reported_and_the_other_photos_are_finished(store: MetadataStore) -> None:
    for photo_id in ("kept", "taken"):
        await indexed_photo(store, photo_id)
    held = lease(0.3)
    batch = await store.begin_removals(collection_id=None, until=await store.now(), lease=held, limit=10)
    assert batch.photo_ids == ("kept", "taken")
    await asyncio.sleep(0.4)
    await store.begin_removal("taken", lease=lease())
    with pytest.raises(LeaseLost, match="taken"):
        await store.finish_removals(batch.photo_ids, purge=True, lease=held)
    assert await store.photo("kept") is None
    assert await states(store, "taken") == ["removing"]


async def test_a_purge_by_another_writer_causes_lease_lost(store: MetadataStore) -> None:
    await indexed_photo(store, "p")
    late = lease(0.05)
    await store.begin_removal("p", lease=late)
    await asyncio.sleep(0.1)
    await remove(store, "p", purge=True)
    with pytest.raises(LeaseLost):
        await store.finish_removals(["p"], purge=True, lease=late)


async def test_two_bulk_removals_at_once_share_the_photos(store: MetadataStore) -> None:
    for number in range(20):
        await indexed_photo(store, f"p{number:02}")
    until = await store.now()

    async def remove_all() -> int:
        gone = 0
        while True:
            held = lease()
            batch = await store.begin_removals(collection_id=None, until=until, lease=held, limit=3)
            if not batch.photo_ids and not batch.busy:
                return gone
            gone += await store.finish_removals(batch.photo_ids, purge=False, lease=held)

    assert sum(await asyncio.gather(remove_all(), remove_all(), remove_all())) == 20


async def test_an_empty_bulk_removal_does_nothing(store: MetadataStore) -> None:
    batch = await store.begin_removals(collection_id="c", until=await store.now(), lease=lease(), limit=10)
    assert (batch.photo_ids, batch.busy) == ((), 0)
    assert await store.finish_removals([], purge=True, lease=lease()) == 0


# Listing


async def test_the_status_follows_the_states_of_the_faces(store: MetadataStore) -> None:
    first, second = face_of("p", 0.9), face_of("p", 0.8, at=300)
    held = lease()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=held)
    assert await status(store, "p") == "failed"
    await store.finish_detection("p", width=9, height=9, faces=[], lease=held)
    assert await status(store, "p") == "no_faces"
    await detect(store, "p", first, second)
    assert await status(store, "p") == "detected"
    await index(store, "p", first.face_id)
    assert await status(store, "p") == "partial"
    await index(store, "p", second.face_id)
    assert await status(store, "p") == "indexed"
    await store.begin_removal("p", lease=held)
    assert await status(store, "p") == "no_faces"


async def test_a_summary_counts_the_faces_that_are_not_being_removed(store: MetadataStore) -> None:
    first, second = face_of("p", 0.9), face_of("p", 0.8, at=300)
    await detect(store, "p", first, second, collection_id="c")
    await index(store, "p", first.face_id)
    (item,) = (await store.list_photos(limit=10, offset=0)).items
    assert (item.photo_id, item.collection_id, item.faces_detected, item.faces_indexed) == ("p", "c", 2, 1)
    await store.begin_removal("p", lease=lease())
    (item,) = (await store.list_photos(limit=10, offset=0)).items
    assert (item.faces_detected, item.faces_indexed) == (0, 0)


async def test_times_have_a_zone_and_follow_the_stores_clock(store: MetadataStore) -> None:
    before = await store.now()
    await detect(store, "p", face_of("p"))
    after = await store.now()
    (item,) = (await store.list_photos(limit=10, offset=0)).items
    assert before.tzinfo is not None
    assert before <= item.created_at < item.updated_at <= after
    assert abs(before - datetime.now(UTC)) < timedelta(minutes=1)
    await index(store, "p", face_of("p").face_id)
    (later,) = (await store.list_photos(limit=10, offset=0)).items
    assert later.created_at == item.created_at
    assert later.updated_at > item.updated_at


@pytest.fixture
async def mixed(store: MetadataStore) -> dict[str, tuple[str | None, str]]:
    """Twelve photos, oldest first, with their collections and statuses."""
    kinds = itertools.cycle(itertools.product([None, "c", "d"], ["detected", "indexed"]))
    photos: dict[str, tuple[str | None, str]] = {}
    for number, (collection_id, wanted) in zip(range(12), kinds, strict=False):
        # The order of the ids differs from that of the times.
        photo_id = f"p{(number * 7) % 12:02}"
        if wanted == "indexed":
            await indexed_photo(store, photo_id, collection_id=collection_id)
        else:
            await detect(store, photo_id, face_of(photo_id), collection_id=collection_id)
        photos[photo_id] = (collection_id, wanted)
    return photos


async def test_the_listing_is_newest_first(
    store: MetadataStore, mixed: dict[str, tuple[str | None, str]]
) -> None:
    page = await store.list_photos(limit=500, offset=0)
    assert [item.photo_id for item in page.items] == list(reversed(mixed))
    assert page.total == 12


@pytest.mark.parametrize("collection_id", [None, "c", "d", "unknown"])
@pytest.mark.parametrize("wanted", [None, "detected", "indexed", "failed"])
async def test_filters_narrow_the_listing_and_its_total(
    store: MetadataStore,
    mixed: dict[str, tuple[str | None, str]],
    collection_id: str | None,
    wanted: str | None,
) -> None:
    expected = [
        photo_id
        for photo_id, (collection, status) in reversed(mixed.items())
        if collection_id in (None, collection) and wanted in (None, status)
    ]
    page = await store.list_photos(
        collection_id=collection_id,
        status=wanted,  # type: ignore[arg-type]
        limit=500,
        offset=0,
    )
    assert [item.photo_id for item in page.items] == expected
    assert page.total == len(expected)


@pytest.mark.parametrize("limit", [1, 3, 5, 12, 500])
async def test_pages_are_disjoint_and_complete(
    store: MetadataStore, mixed: dict[str, tuple[str | None, str]], limit: int
) -> None:
    listed = []
    for offset in range(0, 12, limit):
        page = await store.list_photos(limit=limit, offset=offset)
        assert page.total == 12
        listed += [item.photo_id for item in page.items]
    assert listed == list(reversed(mixed))


async def test_a_page_past_the_end_is_empty_and_has_the_total(
    store: MetadataStore, mixed: dict[str, tuple[str | None, str]]
) -> None:
    for offset in (12, 1000, 10**9):
        page = await store.list_photos(limit=5, offset=offset)
        assert (page.items, page.total) == ((), 12)


async def test_the_totals_stay_exact_under_concurrent_changes(store: MetadataStore) -> None:
    async def live(number: int) -> None:
        photo_id = f"p{number}"
        await indexed_photo(store, photo_id, collection_id="c" if number % 2 else None)
        if number % 3 == 0:
            await remove(store, photo_id, purge=number % 2 == 0)

    await asyncio.gather(*(live(number) for number in range(24)))
    for collection_id in (None, "c"):
        for wanted in (None, "indexed", "no_faces", "detected", "failed"):
            page = await store.list_photos(
                collection_id=collection_id,
                status=wanted,  # type: ignore[arg-type]
                limit=500,
                offset=0,
            )
            assert page.total == len(page.items)
    assert (await store.list_photos(limit=1, offset=0)).total == 20
    assert (await store.list_photos(status="indexed", limit=1, offset=0)).total == 16
    assert (await store.list_photos(collection_id="c", status="no_faces", limit=1, offset=0)).total == 4


async def test_photos_created_at_the_same_time_are_ordered_by_id(store: MetadataStore) -> None:
    await asyncio.gather(*(detect(store, f"p{number:02}") for number in range(30)))
    items = (await store.list_photos(limit=500, offset=0)).items
    assert list(items) == sorted(items, key=lambda item: (-item.created_at.timestamp(), item.photo_id))


# The overview


async def test_the_overview_counts_the_photos_of_every_status(
    store: MetadataStore, mixed: dict[str, tuple[str | None, str]]
) -> None:
    await remove(store, "p00")
    found = await store.overview()
    counted = dict.fromkeys(PHOTO_STATUSES, 0)
    for item in (await store.list_photos(limit=500, offset=0)).items:
        counted[item.status] += 1
    assert found.photos == counted
    assert (counted["no_faces"], sum(counted.values())) == (1, 12)


async def test_the_overview_of_an_empty_store_has_zeros_and_no_audit(store: MetadataStore) -> None:
    found = await store.overview()
    assert (found.photos, found.audit) == (dict.fromkeys(PHOTO_STATUSES, 0), None)


async def test_the_overview_has_the_result_of_the_last_audit(store: MetadataStore) -> None:
    before = await store.now()
    await store.record_audit(photos=3, differences={"stale_vector": 2, "half_removed": 0})
    first = (await store.overview()).audit
    assert first is not None
    assert (first.photos, first.differences) == (3, {"stale_vector": 2, "half_removed": 0})
    assert before <= first.finished_at <= await store.now()
    await store.record_audit(photos=4, differences={})
    second = (await store.overview()).audit
    assert second is not None
    assert (second.photos, second.differences) == (4, {})
    assert second.finished_at > first.finished_at


# Scanning


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
async def test_a_scan_gives_every_photo_with_its_faces_once_in_order_of_ids(
    store: MetadataStore, mixed: dict[str, tuple[str | None, str]], batch_size: int
) -> None:
    batches = [batch async for batch in store.scan_photos(batch_size)]
    assert all(0 < len(batch) <= batch_size for batch in batches)
    photos = [photo for batch in batches for photo in batch]
    assert [photo.photo_id for photo in photos] == sorted(mixed)
    assert photos == [await store.photo(photo_id) for photo_id in sorted(mixed)]


async def test_a_scan_of_an_empty_store_is_empty(store: MetadataStore) -> None:
    assert [batch async for batch in store.scan_photos()] == []


async def test_ids_are_ordered_by_their_bytes(store: MetadataStore) -> None:
    ids = ["B", "a", "a-1", "a.1", "a_1", "A", "0", "aa"]
    for photo_id in ids:
        await detect(store, photo_id)
    scanned = [photo.photo_id async for batch in store.scan_photos(3) for photo in batch]
    assert scanned == sorted(ids)


# Opening and closing


async def test_close_may_be_called_twice_and_open_again(store: MetadataStore) -> None:
    await detect(store, "p")
    await store.close()
    await store.close()
    with pytest.raises(DependencyUnavailable):
        await store.photo("p")
    await store.open()
    assert await store.photo("p") is not None


async def test_a_check_passes_while_the_store_is_open(store: MetadataStore) -> None:
    await store.check()
    await detect(store, "photo", face_of("photo"))
    await store.check()


async def test_a_check_of_a_closed_store_fails_with_the_reason(store: MetadataStore) -> None:
    await store.close()
    with pytest.raises(DependencyUnavailable):
        await store.check()


# Removal of one face


async def test_removing_one_face_keeps_the_others_and_holds_the_photo(store: MetadataStore) -> None:
    one, other, held = await indexed_photo(store, "p"), face_of("p", 0.6, at=300), lease()
    await detect(store, "p", other)
    begun = await store.begin_face_removal("p", face_id=one.face_id, lease=held)
    assert begun is not None
    assert await store.begin_face_removal("p", face_id=one.face_id, lease=held) == begun
    assert [(face.face_id, face.state) for face in begun.faces] == [
        (one.face_id, "removing"),
        (other.face_id, "detected"),
    ]
    assert not await is_free(store, "p")
    assert await store.finish_removals(["p"], purge=False, lease=held) == 1
    assert await states(store, "p") == ["detected"]
    assert await is_free(store, "p")
    details = await store.photo_details("p")
    assert details is not None
    assert (details.summary.faces_detected, details.summary.faces_indexed) == (1, 0)


async def test_a_face_that_was_removed_before_can_be_removed_again(store: MetadataStore) -> None:
    face, other = await indexed_photo(store, "p"), face_of("p", 0.6, at=300)
    await detect(store, "p", other)
    for expected in (1, 0):
        held = lease()
        begun = await store.begin_face_removal("p", face_id=face.face_id, lease=held)
        assert begun is not None
        assert len([each for each in begun.faces if each.state == "removing"]) == expected
        assert await store.finish_removals(["p"], purge=False, lease=held) == expected
    await remove(store, "p")
    held = lease()
    begun = await store.begin_face_removal("p", face_id=other.face_id, lease=held)
    assert begun is not None
    assert begun.faces == ()
    await store.release("p", lease=held)


async def test_a_face_that_was_removed_and_detected_again_can_be_removed_again(store: MetadataStore) -> None:
    face = await indexed_photo(store, "p")
    for _ in range(2):
        held = lease()
        await store.begin_face_removal("p", face_id=face.face_id, lease=held)
        assert await store.finish_removals(["p"], purge=False, lease=held) == 1
        await detect(store, "p", face)
    assert await states(store, "p") == ["detected"]


async def test_removing_one_face_refuses_what_is_unknown_and_changes_nothing(store: MetadataStore) -> None:
    face, elsewhere = await indexed_photo(store, "p"), await indexed_photo(store, "q")
    for unknown in (UNKNOWN_FACE, elsewhere.face_id):
        with pytest.raises(FaceNotFound):
            await store.begin_face_removal("p", face_id=unknown, lease=lease())
    with pytest.raises(PhotoNotFound):
        await store.begin_face_removal("nobody", face_id=face.face_id, lease=lease())
    assert await states(store, "p") == ["indexed"]
    assert await is_free(store, "p")


async def test_one_face_of_a_photo_that_is_held_or_purged(store: MetadataStore) -> None:
    face, held = await indexed_photo(store, "p"), lease()
    await store.begin_indexing("p", face_ids=[], collection_id=None, lease=held)
    with pytest.raises(PhotoBusy):
        await store.begin_face_removal("p", face_id=face.face_id, lease=lease())
    assert await states(store, "p") == ["indexed"]
    await store.release("p", lease=held)
    await remove(store, "p", purge=True)
    assert await store.begin_face_removal("p", face_id=face.face_id, lease=lease()) is None
    await detect(store, "p", face)
    assert await is_free(store, "p")


async def test_removing_one_face_returns_those_that_an_interrupted_removal_left(store: MetadataStore) -> None:
    one, other = face_of("p"), face_of("p", 0.6, at=300)
    await detect(store, "p", one, other)
    await store.begin_face_removal("p", face_id=other.face_id, lease=lease(0.05))
    await asyncio.sleep(0.1)
    held = lease()
    begun = await store.begin_face_removal("p", face_id=one.face_id, lease=held)
    assert begun is not None
    assert {face.face_id for face in begun.faces if face.state == "removing"} == {one.face_id, other.face_id}
    assert await store.finish_removals(["p"], purge=False, lease=held) == 2
