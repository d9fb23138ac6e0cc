"""Contract of `VectorStore`, tested with a Milvus Lite file and a real Milvus server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from bentos.domain.errors import DependencyUnavailable, NotReady
from bentos.domain.faces import BoundingBox, Embedding
from bentos.stores.base import VectorStore
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector, Match

DIM = 16
BBOX = BoundingBox(463.0, 266.1, 576.2, 416.9)


@pytest.fixture(params=["milvus-lite", "milvus-server"])
def options(request: pytest.FixtureRequest, folder: Path) -> MilvusOptions:
    """A file per test; on the server one collection, which each test leaves empty: a new one takes five seconds."""
    lite = request.param == "milvus-lite"
    return MilvusOptions(
        uri=str(folder / "new" / "vectors.db") if lite else request.getfixturevalue("milvus_uri"),
        alias="faces_of_the_contract",
        dim=DIM,
        pack_name="test-pack",
        fingerprint="0123456789abcdef",
        consistency="Bounded",
        timeout_s=20,
    )


@pytest.fixture
async def store(options: MilvusOptions) -> AsyncIterator[VectorStore]:
    store = MilvusVectorStore(options)
    await store.open()
    yield store
    await store.remove_faces(await scanned(store))
    await store.close()


@pytest.fixture
async def fresh(options: MilvusOptions) -> AsyncIterator[MilvusOptions]:
    """Options of a collection that does not exist yet."""
    fresh = dataclasses.replace(options, alias=f"faces_{uuid.uuid4().hex[:8]}")
    yield fresh
    if not options.lite:
        await asyncio.to_thread(drop, fresh)


def drop(options: MilvusOptions) -> None:
    with contextlib.closing(MilvusClient(options.uri, timeout=20)) as client:
        client.drop_alias(options.alias)
        client.drop_collection(options.collection)


def unit(*leading: float) -> Embedding:
    """A unit vector that begins with these numbers; its last component makes its length 1."""
    vector = np.zeros(DIM, np.float32)
    vector[: len(leading)] = leading
    vector[-1] = np.sqrt(max(0.0, 1.0 - float(np.sum(np.square(leading)))))
    return vector


SELFIE = unit(1.0)


def face(photo_id: str, score: float, *, number: int = 0, collection_id: str | None = None) -> FaceVector:
    """A face whose score against `SELFIE` is `score`."""
    face_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{photo_id}/{number}"))
    return FaceVector(face_id, photo_id, collection_id, BBOX, unit(score))


def random_faces(count: int, *, photos: int, seed: int = 7) -> list[FaceVector]:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        dataclasses.replace(face(f"photo-{i % photos}", 0.0, number=i), embedding=vector)
        for i, vector in enumerate(vectors)
    ]


async def search(
    store: VectorStore, photos: int = 10, threshold: float = -1.0, collections: Sequence[str] = ()
) -> list[Match]:
    return await store.nearest(SELFIE, photos=photos, score_threshold=threshold, collection_ids=collections)


async def found(store: VectorStore, photos: int = 10, threshold: float = -1.0) -> list[str]:
    return photo_ids(await search(store, photos, threshold))


def photo_ids(matches: Iterable[Match]) -> list[str]:
    return [match.photo_id for match in matches]


async def scanned(store: VectorStore, batch_size: int = 1000) -> list[str]:
    batches = [batch async for batch in store.scan_faces(batch_size)]
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    return [stored.face_id for batch in batches for stored in batch]


async def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    assert await search(store) == []
    assert await scanned(store) == []


async def test_a_match_has_the_fields_of_the_saved_face(store: VectorStore) -> None:
    saved = face("photo.1-a_B", 0.75, collection_id="wedding")
    await store.save_faces([saved])
    (match,) = await search(store)
    assert (match.photo_id, match.collection_id) == ("photo.1-a_B", "wedding")
    assert (match.face_id, match.bbox) == (saved.face_id, BBOX)
    assert match.score == pytest.approx(0.75, abs=1e-6)


async def test_a_photo_without_a_collection_has_none_when_found(store: VectorStore) -> None:
    await store.save_faces([face("photo", 0.9)])
    (match,) = await search(store)
    assert match.collection_id is None


async def test_scores_descend_and_stay_within_one(store: VectorStore) -> None:
    await store.save_faces([face(f"photo{i}", score) for i, score in enumerate((-1.0, 0.3, 1.0, -0.4, 0.7))])
    matches = await search(store)
    assert photo_ids(matches) == ["photo2", "photo4", "photo1", "photo3", "photo0"]
    assert [match.score for match in matches] == pytest.approx([1.0, 0.7, 0.3, -0.4, -1.0], abs=1e-6)
    assert all(-1.0 <= match.score <= 1.0 for match in matches)


async def test_a_photo_with_sixty_faces_is_returned_once_and_displaces_no_other(store: VectorStore) -> None:
    crowd = [face("crowd", 0.99 - i / 1000, number=i) for i in range(60)]
    await store.save_faces([*crowd, *(face(f"other{i}", 0.9 - i / 100) for i in range(5))])
    matches = await search(store, photos=4)
    assert photo_ids(matches) == ["crowd", "other0", "other1", "other2"]
    assert matches[0].face_id == crowd[0].face_id
    assert await found(store, photos=50) == ["crowd", *(f"other{i}" for i in range(5))]


async def test_several_crowded_photos_displace_no_other(store: VectorStore) -> None:
    crowds = [face(f"crowd{i % 5}", 0.99 - i / 10000, number=i) for i in range(500)]
    await store.save_faces([*crowds, face("alone", 0.6)])
    assert await found(store, photos=6) == [*(f"crowd{i}" for i in range(5)), "alone"]


async def test_ties_are_ordered_by_photo_even_at_the_end_of_a_page(store: VectorStore) -> None:
    ids = [f"photo{i:03}" for i in range(100)]
    shuffled = np.random.default_rng(3).permutation(ids)
    await store.save_faces([face(str(photo_id), 0.8) for photo_id in shuffled])
    await store.save_faces([face("best", 0.9), face("worst", 0.1)])
    for photos in (1, 2, 15, 16, 17, 64, 101, 102, 500):
        assert await found(store, photos) == ["best", *ids, "worst"][:photos]


async def test_pages_are_disjoint_and_complete(store: VectorStore) -> None:
    await store.save_faces(random_faces(400, photos=150))
    whole = await search(store, photos=1000)
    assert len(whole) == 150
    pages = [(await search(store, photos=page * 10 + 1))[page * 10 - 10 : page * 10] for page in range(1, 17)]
    assert [match for page in pages for match in page] == whole


async def test_the_best_face_of_each_photo_equals_that_of_an_exact_search(store: VectorStore) -> None:
    faces = random_faces(400, photos=150)
    await store.save_faces(faces)
    best: dict[str, float] = {}
    for each in faces:
        best[each.photo_id] = max(best.get(each.photo_id, -1.0), float(each.embedding @ SELFIE))
    matches = await search(store, photos=40)
    assert photo_ids(matches) == sorted(best, key=lambda photo_id: -best[photo_id])[:40]
    assert [match.score for match in matches] == pytest.approx([best[m.photo_id] for m in matches], abs=2e-6)


async def test_the_threshold_is_inclusive(store: VectorStore) -> None:
    await store.save_faces([face("above", 0.51), face("at", 0.5), face("below", 0.49)])
    assert await found(store, threshold=0.5) == ["above", "at"]
    assert await found(store, threshold=0.52) == []


async def test_a_search_is_limited_to_its_collections(store: VectorStore) -> None:
    await store.save_faces(
        [
            face("a", 0.9, collection_id="one"),
            face("b", 0.8, collection_id="two"),
            face("c", 0.7, collection_id="three"),
            face("d", 0.6),
        ]
    )
    assert photo_ids(await search(store, collections=["two"])) == ["b"]
    assert photo_ids(await search(store, collections=["three", "one", "one"])) == ["a", "c"]
    assert photo_ids(await search(store, collections=["two", "unknown"])) == ["b"]
    assert await search(store, collections=["unknown"]) == []
    assert await found(store) == ["a", "b", "c", "d"]


async def test_a_crowded_photo_in_another_collection_displaces_no_photo(store: VectorStore) -> None:
    await store.save_faces([face(f"far{i}", 0.99, collection_id="far") for i in range(200)])
    await store.save_faces([face(f"near{i}", 0.6 - i / 100, collection_id="near") for i in range(3)])
    assert photo_ids(await search(store, collections=["near"])) == ["near0", "near1", "near2"]


async def test_saving_a_face_again_replaces_it(store: VectorStore) -> None:
    await store.save_faces([face("photo", 0.9)])
    await store.save_faces([face("photo", 0.4, collection_id="late")])
    (match,) = await search(store)
    assert match.score == pytest.approx(0.4, abs=1e-6)
    assert match.collection_id == "late"
    assert len(await scanned(store)) == 1


async def test_a_face_that_comes_twice_in_one_call_is_stored_once(store: VectorStore) -> None:
    await store.save_faces([face("photo", 0.9), face("photo", 0.4)])
    assert len(await scanned(store)) == 1
    (match,) = await search(store)
    assert match.score == pytest.approx(0.4, abs=1e-6)


async def test_a_removal_is_seen_by_the_next_search(store: VectorStore) -> None:
    for repeat in range(5):
        await store.save_faces([face("gone", 0.9, number=i) for i in range(3)] + [face("stays", 0.5)])
        assert await found(store) == ["gone", "stays"], repeat
        await store.remove_photos(["gone", "never-seen"])
        assert await found(store) == ["stays"], repeat
    assert len(await scanned(store)) == 1


async def test_calls_with_nothing_or_with_unknown_ids_change_nothing(store: VectorStore) -> None:
    await store.save_faces([face("stays", 0.5)])
    await store.remove_photos([])
    await store.remove_faces([])
    await store.remove_photos(["never-seen"])
    await store.remove_faces([str(uuid.uuid4())])
    await store.save_faces([])
    assert await found(store) == ["stays"]
    assert len(await scanned(store)) == 1


async def test_single_faces_can_be_removed(store: VectorStore) -> None:
    faces = [face("photo", 0.9 - i / 10, number=i) for i in range(3)]
    await store.save_faces(faces)
    await store.remove_faces([faces[0].face_id, str(uuid.uuid4())])
    (match,) = await search(store)
    assert match.face_id == faces[1].face_id


@pytest.mark.parametrize("consistency", ["Strong", "Session", "Bounded", "Eventually"])
async def test_another_client_finds_a_written_face_at_once(options: MilvusOptions, consistency: str) -> None:
    options = dataclasses.replace(options, consistency=consistency)  # type: ignore[arg-type]
    one, other = MilvusVectorStore(options), MilvusVectorStore(options)
    await asyncio.gather(one.open(), other.open())
    try:
        for i in range(5):
            await one.save_faces([face(f"photo{i}", 0.9)])
            assert await found(other) == [f"photo{i}"]
            await one.save_faces([face(f"photo{i}", 0.3)])
            assert await found(other, threshold=0.5) == []
            await one.remove_photos([f"photo{i}"])
            assert await found(other) == []
    finally:
        await one.remove_faces(await scanned(one))
        await asyncio.gather(one.close(), other.close())


async def test_several_stores_may_open_at_once_and_share_one_collection(fresh: MilvusOptions) -> None:
    stores = [MilvusVectorStore(fresh) for _ in range(4)]
    try:
        await asyncio.gather(*(each.open() for each in stores))
        await stores[0].save_faces([face("photo", 0.9)])
        for each in stores:
            assert await found(each) == ["photo"]
    finally:
        await asyncio.gather(*(each.close() for each in stores))


async def test_a_store_that_is_closed_and_opened_again_still_has_its_faces(
    store: VectorStore, options: MilvusOptions
) -> None:
    await store.save_faces([face("photo", 0.9)])
    await store.close()
    await store.close()
    await store.open()
    assert await found(store) == ["photo"]


@pytest.mark.parametrize("changed", [{"fingerprint": "fedcba9876543210", "pack_name": "other"}, {"dim": 8}])
async def test_a_collection_of_another_face_pack_is_refused_and_not_changed(
    store: VectorStore, options: MilvusOptions, changed: dict[str, object]
) -> None:
    await store.save_faces([face("photo", 0.9)])
    other = dataclasses.replace(options, **changed)  # type: ignore[arg-type]
    with pytest.raises(NotReady, match="was built with") as refused:
        await MilvusVectorStore(other).open()
    assert options.fingerprint[:12] in refused.value.message
    assert other.pack in refused.value.message
    assert await found(store) == ["photo"]


async def test_the_same_pack_with_other_index_settings_is_accepted(
    store: VectorStore, options: MilvusOptions
) -> None:
    await store.save_faces([face("photo", 0.9)])
    other = MilvusVectorStore(dataclasses.replace(options, index_type="FLAT", hnsw_m=32))
    await other.open()
    assert await found(other) == ["photo"]
    await other.close()


async def test_an_alias_that_is_the_name_of_a_collection_is_refused(
    store: VectorStore, options: MilvusOptions
) -> None:
    other = dataclasses.replace(options, alias=options.collection)
    with pytest.raises(NotReady, match="MILVUS_COLLECTION"):
        await MilvusVectorStore(other).open()


@pytest.mark.parametrize("index_type", ["IVF_FLAT", "FLAT", "AUTOINDEX"])
async def test_every_index_type_finds_what_was_saved(fresh: MilvusOptions, index_type: str) -> None:
    store = MilvusVectorStore(dataclasses.replace(fresh, index_type=index_type))  # type: ignore[arg-type]
    await store.open()
    try:
        await store.save_faces([face(f"photo{i}", 0.9 - i / 100) for i in range(30)])
        assert await found(store, photos=20) == [f"photo{i}" for i in range(20)]
    finally:
        await store.close()


async def test_a_scan_sees_every_face_once_in_batches(store: VectorStore) -> None:
    faces = random_faces(250, photos=90)
    await store.save_faces(faces)
    for batch_size in (7, 100, 250, 1000):
        assert await scanned(store, batch_size) == sorted(each.face_id for each in faces)


async def test_a_scan_returns_the_photo_and_the_collection_of_each_face(store: VectorStore) -> None:
    faces = [face("a", 0.9, collection_id="one"), face("b", 0.8)]
    await store.save_faces(faces)
    stored = {each.face_id: each async for batch in store.scan_faces() for each in batch}
    assert [stored[each.face_id].photo_id for each in faces] == ["a", "b"]
    assert [stored[each.face_id].collection_id for each in faces] == ["one", None]


async def test_three_thousand_faces_are_saved_and_removed_in_one_call_each(store: VectorStore) -> None:
    faces = random_faces(3000, photos=1500)
    await store.save_faces(faces)
    assert len(set(await scanned(store))) == 3000
    assert len(await found(store, photos=2000)) == 1500
    await store.remove_photos(sorted({each.photo_id for each in faces}))
    assert await scanned(store) == []
    assert await found(store) == []


async def test_a_face_of_another_dimension_is_neither_saved_nor_searched(store: VectorStore) -> None:
    wrong = np.ones(DIM + 1, np.float32)
    with pytest.raises(ValueError, match="dimensions"):
        await store.save_faces([dataclasses.replace(face("photo", 0.9), embedding=wrong)])
    with pytest.raises(ValueError, match="dimensions"):
        await store.nearest(wrong, photos=1, score_threshold=0)
    assert await scanned(store) == []


async def test_an_embedding_that_is_not_finite_is_neither_saved_nor_searched(store: VectorStore) -> None:
    broken = np.full(DIM, np.nan, np.float32)
    with pytest.raises(ValueError, match="finite"):
        await store.save_faces([dataclasses.replace(face("photo", 0.9), embedding=broken)])
    with pytest.raises(ValueError, match="finite"):
        await store.nearest(broken, photos=1, score_threshold=0)


@pytest.mark.parametrize("malformed", ['x"] or photo_id != "', "", "a b", "x\\"])
async def test_a_malformed_id_never_gets_into_a_filter(store: VectorStore, malformed: str) -> None:
    await store.save_faces([face("photo", 0.9)])
    with pytest.raises(ValueError, match="id"):
        await search(store, collections=[malformed])
    with pytest.raises(ValueError, match="id"):
        await store.remove_photos([malformed])
    with pytest.raises(ValueError, match="id"):
        await store.remove_faces([malformed])
    with pytest.raises(ValueError, match="id"):
        await store.save_faces([dataclasses.replace(face("photo", 0.9), photo_id=malformed)])
    assert await found(store) == ["photo"]


async def test_reads_and_writes_may_run_concurrently(store: VectorStore) -> None:
    await asyncio.gather(*(store.save_faces([face(f"photo{i:02}", 0.9)]) for i in range(16)))
    answers = await asyncio.gather(*(found(store, photos=20) for _ in range(16)))
    assert answers == [[f"photo{i:02}" for i in range(16)]] * 16


async def test_a_check_passes_while_the_store_is_open_and_changes_nothing(store: VectorStore) -> None:
    await store.check()
    await store.save_faces([face("photo", 0.9)])
    await store.check()
    assert await found(store) == ["photo"]


async def test_a_check_of_a_store_that_is_not_open_fails_with_the_reason(options: MilvusOptions) -> None:
    with pytest.raises(DependencyUnavailable):
        await MilvusVectorStore(options).check()


async def test_a_stored_face_is_read_as_it_was_saved(store: VectorStore) -> None:
    saved = face("p", 0.6)
    await store.save_faces([saved, face("q", 0.5)])
    found = await store.face(saved.face_id)
    assert found is not None
    assert (found.face_id, found.photo_id, found.collection_id, found.bbox) == (
        saved.face_id,
        "p",
        None,
        saved.bbox,
    )
    np.testing.assert_array_equal(found.embedding, saved.embedding)
    assert found.embedding.dtype == np.float32


async def test_a_face_that_was_removed_or_never_stored_is_none(store: VectorStore) -> None:
    removed = face("p", 0.6)
    await store.save_faces([removed])
    await store.remove_faces([removed.face_id])
    assert await store.face(removed.face_id) is None
    assert await store.face(str(uuid.uuid4())) is None
    with pytest.raises(ValueError, match="not a face"):
        await store.face('x" or face_id != "')


async def test_writers_that_meet_share_their_requests_and_each_finds_its_faces_afterwards(
    options: MilvusOptions,
) -> None:
    counted = Counter[str]()

    class Counting(MilvusVectorStore):
        async def _upsert(self, rows: Sequence[dict[str, Any]]) -> None:
            counted["upserts"] += 1
            counted["rows"] += len(rows)
            await super()._upsert(rows)

        async def _until_found(self, face_ids: Sequence[str]) -> None:
            counted["checks"] += 1
            await super()._until_found(face_ids)

    store = Counting(options)
    await store.open()

    async def write(number: int) -> None:
        photo_id = f"photo-{number}"
        faces = [face(photo_id, 0.9, number=place, collection_id=photo_id) for place in range(3)]
        await store.save_faces(faces)
        assert photo_ids(await search(store, 5, collections=[photo_id])) == [photo_id]
        await store.save_faces(faces[:1])
        await store.remove_faces([each.face_id for each in faces])
        assert await search(store, 5, collections=[photo_id]) == []

    await asyncio.gather(*map(write, range(12)))
    assert counted["rows"] == 12 * 4
    assert counted["upserts"] < 24
    assert (counted["checks"] == 0) == options.lite
    assert counted["checks"] < 24
    assert await scanned(store) == []
    await store.close()


async def test_a_writer_whose_rows_do_not_fit_affects_no_other(store: VectorStore) -> None:
    good, bad = face("good", 0.9), dataclasses.replace(face("bad", 0.9), embedding=np.ones(3, np.float32))
    outcomes = await asyncio.gather(store.save_faces([good]), store.save_faces([bad]), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], ValueError)
    assert await found(store) == ["good"]


async def test_the_last_of_two_rows_with_one_id_that_meet_is_kept(store: VectorStore) -> None:
    first, second = face("p", 0.2), face("p", 0.9)
    assert first.face_id == second.face_id
    await asyncio.gather(store.save_faces([first]), store.save_faces([second]))
    (match,) = await search(store)
    assert abs(match.score - 0.9) < 1e-4
