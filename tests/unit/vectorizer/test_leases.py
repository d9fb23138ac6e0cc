"""Tests of work that takes longer than the lease of its photo; tests/system/real has kills and races."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.domain.errors import FaceNotFound, Overloaded, PhotoNotFound
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks
from bentos.stores.files import FilesStore
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import Lease, PhotoBusy, PhotoRecord
from bentos.stores.sqlite.store import SqliteMetadataStore
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.removal import Removal

DIM = 8
LEASE_S = 0.4
PHOTO = "photo"


class SlowFinder:
    """Finds two faces in any image; embedding the second face, alone or with others, is slow."""

    slow_s = 0.0

    async def detect(self, _image: bytes) -> FacesInImage:
        boxes = (BoundingBox(0, 0, 10, 10), BoundingBox(20, 0, 30, 10))
        faces = [Face(box, 0.9, tuple((box.x1 + n, 1.0 + n) for n in range(5))) for box in boxes]
        return FacesInImage(40, 20, tuple(faces))

    detect_and_embed = detect

    async def embed_at(self, _image: bytes, _box: BoundingBox) -> FacesInImage:
        return FacesInImage(40, 20, ())

    async def embed(self, _image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        if any(marks[0][0] >= 20 for marks in landmarks):
            await asyncio.sleep(self.slow_s)
        return [np.eye(DIM, dtype=np.float32)[int(marks[0][0]) // 20] for marks in landmarks]


class WatchedVectors:
    """A vector store that signals when faces were saved."""

    def __init__(self, store: MilvusVectorStore) -> None:
        self._store = store
        self.saves = 0
        self.slow_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def remove_faces(self, face_ids: Sequence[str]) -> None:
        await asyncio.sleep(self.slow_s)
        await self._store.remove_faces(face_ids)

    async def save_faces(self, faces: Any) -> None:
        self.saves += 1
        await self._store.save_faces(faces)


class LateImages:
    """An image store that stores the next upload only when `arrive` is set."""

    def __init__(self, store: FilesStore) -> None:
        self._store = store
        self.late = False
        self.begun, self.arrive = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, photo_id: str, image: bytes, content_type: str) -> None:
        if self.late:
            self.late = False
            self.begun.set()
            await self.arrive.wait()
        await self._store.put(photo_id, image, content_type)


@dataclass
class Base:
    metadata: SqliteMetadataStore
    vectors: WatchedVectors
    images: LateImages
    finder: SlowFinder = field(default_factory=SlowFinder)

    def __post_init__(self) -> None:
        leases = PhotoLeases(self.metadata, lease_s=LEASE_S)
        stores: dict[str, Any] = {"metadata": self.metadata, "vectors": self.vectors, "images": self.images}
        self.indexing = Indexing(
            finder=self.finder, max_image_bytes=1000, leases=leases, index_min_size=0, **stores
        )
        self.removal = Removal(leases=leases, **stores)

    async def detected(self) -> PhotoRecord:
        return await self.indexing.detect_uploaded(b"image", "image/jpeg", photo_id=PHOTO, collection_id=None)

    async def found(self) -> list[str]:
        hits = await self.vectors.nearest(np.eye(DIM, dtype=np.float32)[0], photos=5, score_threshold=-1)
        return [hit.photo_id for hit in hits]


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[Base]:
    options = MilvusOptions(
        uri=str(tmp_path / "vectors.db"),
        alias="faces",
        dim=DIM,
        pack_name="test",
        fingerprint="0123456789abcdef",
    )
    metadata, images = SqliteMetadataStore(tmp_path / "metadata.db"), FilesStore(tmp_path / "images")
    vectors = MilvusVectorStore(options)
    for store in (metadata, vectors, images):
        await store.open()
    yield Base(metadata, WatchedVectors(vectors), LateImages(images))
    for store in (metadata, vectors, images):
        await store.close()


async def _left_by_a_crash(base: Base, face_id: str) -> None:
    await base.metadata.begin_indexing(PHOTO, face_ids=[face_id], collection_id=None, lease=Lease(0.01))
    await asyncio.sleep(0.05)


async def test_a_face_that_a_crash_left_pending_is_indexed_with_the_next_face_of_its_photo(
    base: Base,
) -> None:
    first, second = (await base.detected()).faces
    await _left_by_a_crash(base, second.face_id)
    assert (await base.indexing.index_face(first.face_id, collection_id=None)).created
    photo = await base.metadata.photo(PHOTO)
    assert photo is not None
    assert [face.state for face in photo.faces] == ["indexed", "indexed"]


async def test_an_addition_with_an_expired_lease_writes_nothing_after_the_photo_was_removed(
    base: Base,
) -> None:
    faces = sorted((await base.detected()).faces, key=lambda face: face.bbox.x1)
    await _left_by_a_crash(base, faces[1].face_id)
    base.finder.slow_s = 4 * LEASE_S
    addition = asyncio.create_task(base.indexing.index_face(faces[0].face_id, collection_id=None))
    await asyncio.sleep(LEASE_S / 2)
    assert await base.removal.remove_photo(PHOTO, purge=False) == 2
    assert base.vectors.saves == 0
    with pytest.raises((FaceNotFound, Overloaded)):
        await addition
    assert base.vectors.saves == 0, "a removed face must not be found again, even for a short time"
    assert await base.found() == []


async def test_an_addition_with_an_expired_lease_is_finished_if_no_other_writer_took_it(base: Base) -> None:
    faces = sorted((await base.detected()).faces, key=lambda face: face.bbox.x1)
    await _left_by_a_crash(base, faces[1].face_id)
    base.finder.slow_s = 2 * LEASE_S
    assert (await base.indexing.index_face(faces[0].face_id, collection_id=None)).created
    assert await base.found() == [PHOTO]


async def test_a_repair_that_takes_longer_than_its_lease_does_not_restore_removed_faces(base: Base) -> None:
    faces = sorted((await base.detected()).faces, key=lambda face: face.bbox.x1)
    await _left_by_a_crash(base, faces[1].face_id)
    base.finder.slow_s = 4 * LEASE_S
    mending = asyncio.create_task(base.indexing.finish_photo(PHOTO, lost_face_ids=[]))
    await asyncio.sleep(LEASE_S / 2)
    assert await base.removal.remove_photo(PHOTO, purge=False) == 2
    await asyncio.gather(mending, return_exceptions=True)
    assert base.vectors.saves == 0
    assert await base.found() == []


async def test_a_photo_that_another_writer_holds_for_too_long_is_refused_as_overloaded(
    base: Base,
) -> None:
    await base.detected()
    await base.metadata.begin_removal(PHOTO, lease=Lease(60))
    with pytest.raises(Overloaded):
        await base.removal.remove_photo(PHOTO, purge=False)
    with pytest.raises(Overloaded):
        await base.removal.remove_all(collection_id=None)


async def _late_upload(base: Base) -> asyncio.Task[PhotoRecord]:
    """An upload of a photo that is recorded already, whose image is not stored yet."""
    await base.detected()
    base.images.late = True
    upload = asyncio.create_task(base.detected())
    await base.images.begun.wait()
    return upload


async def test_an_image_stored_after_its_photo_was_purged_is_removed_again(base: Base) -> None:
    upload = await _late_upload(base)
    await base.removal.remove_photo(PHOTO, purge=True)
    base.images.arrive.set()
    with pytest.raises(Overloaded):
        await upload
    assert not await base.images.exists(PHOTO)
    assert await base.metadata.purged([PHOTO]) == [PHOTO]


async def test_an_image_stored_after_a_purge_and_a_new_upload_is_kept(base: Base) -> None:
    upload = await _late_upload(base)
    await base.removal.remove_photo(PHOTO, purge=True)
    assert len((await base.detected()).faces) == 2
    base.images.arrive.set()
    with pytest.raises(Overloaded):
        await upload
    assert await base.images.exists(PHOTO)
    photo = await base.metadata.photo(PHOTO)
    assert photo is not None
    assert len(photo.faces) == 2


async def test_a_repeated_purge_removes_an_image_that_was_stored_since_and_no_other(base: Base) -> None:
    await base.detected()
    assert await base.removal.remove_photo(PHOTO, purge=True) == 2
    await base.images.put(PHOTO, b"image", "image/jpeg")
    assert await base.removal.remove_photo(PHOTO, purge=False) == 0
    assert await base.images.exists(PHOTO)
    assert await base.removal.remove_photo(PHOTO, purge=True) == 0
    assert not await base.images.exists(PHOTO)
    await base.images.put("never-seen", b"image", "image/jpeg")
    with pytest.raises(PhotoNotFound):
        await base.removal.remove_photo("never-seen", purge=True)
    assert await base.images.exists("never-seen")


async def test_a_slow_removal_of_vectors_does_not_shorten_the_lease_of_the_following_upload(
    base: Base,
) -> None:
    await base.detected()
    await base.metadata.begin_removal(PHOTO, lease=Lease(0.01))
    await asyncio.sleep(0.05)
    base.vectors.slow_s = 0.75 * LEASE_S
    base.images.late = True
    upload = asyncio.create_task(base.detected())
    await base.images.begun.wait()
    await asyncio.sleep(0.5 * LEASE_S)
    with pytest.raises(PhotoBusy):
        await base.metadata.begin_removal(PHOTO, lease=Lease(1))
    base.images.arrive.set()
    assert len((await upload).faces) == 2


async def test_a_lease_that_cannot_be_released_does_not_hide_the_first_error(
    base: Base, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("bentos"), "propagate", True)
    await base.detected()

    async def begin(lease: Lease) -> PhotoRecord:
        return await base.metadata.begin_indexing(PHOTO, face_ids=[], collection_id=None, lease=lease)

    async def fail() -> None:
        async with PhotoLeases(base.metadata, lease_s=LEASE_S).held(PHOTO, begin):
            await base.metadata.close()
            raise FaceNotFound("face")

    with pytest.raises(FaceNotFound):
        await fail()
    assert f"the lease of photo {PHOTO} was not released: postgrest is not available" in caplog.text
    await base.metadata.open()
