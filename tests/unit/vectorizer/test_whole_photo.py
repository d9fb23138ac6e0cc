"""Tests of indexing all faces of a photo together, with a finder that returns chosen faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bentos.domain.errors import FaceSearchError, InvalidImageFormat
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks, can_be_aligned
from bentos.stores.files import FilesStore
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import Lease, PhotoRecord
from bentos.stores.sqlite.store import SqliteMetadataStore
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.whole_photo import faces_of

DIM = 8
MARKS = ((1.0, 1.0), (9.0, 1.0), (5.0, 5.0), (2.0, 9.0), (8.0, 9.0))
LARGE = Face(BoundingBox(0, 0, 40, 40), 0.9, MARKS)
OTHER = Face(BoundingBox(50, 0, 90, 40), 0.8, MARKS)
SMALL = Face(BoundingBox(100, 0, 110, 10), 0.7, MARKS)
FLAT = Face(BoundingBox(120, 0, 160, 40), 0.6, ((3.0, 3.0),) * 5)


class ChosenFaces:
    """A finder that returns `faces`; the embedding of a face has a one at its place."""

    def __init__(self) -> None:
        self.faces: tuple[Face, ...] = (LARGE, SMALL, FLAT)
        self.error: FaceSearchError | None = None
        self.embedded: list[int] = []
        self.aligned: list[Landmarks] = []

    async def detect(self, _image: bytes) -> FacesInImage:
        return FacesInImage(200, 100, self.faces)

    async def detect_and_embed(self, _image: bytes) -> FacesInImage:
        if self.error is not None:
            raise self.error
        embedded = (
            face if face is FLAT else replace(face, embedding=np.eye(DIM, dtype=np.float32)[place])
            for place, face in enumerate(self.faces)
        )
        return FacesInImage(200, 100, tuple(embedded))

    async def embed_at(self, image: bytes, _box: BoundingBox) -> FacesInImage:
        return await self.detect(image)

    async def embed(self, _image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        self.embedded.append(len(landmarks))
        self.aligned += landmarks
        return [np.eye(DIM, dtype=np.float32)[-1] for _ in landmarks]


class Base:
    def __init__(self, folder: Path) -> None:
        self.metadata = SqliteMetadataStore(folder / "metadata.db")
        self.vectors = MilvusVectorStore(
            MilvusOptions(
                uri=str(folder / "vectors.db"),
                alias="faces",
                dim=DIM,
                pack_name="chosen",
                fingerprint="ab" * 32,
            )
        )
        self.images = FilesStore(folder / "images")
        self.finder = ChosenFaces()
        self.indexing = Indexing(
            finder=self.finder,  # type: ignore[arg-type]
            metadata=self.metadata,
            vectors=self.vectors,
            images=self.images,
            max_image_bytes=1000,
            leases=PhotoLeases(self.metadata, lease_s=30),
            index_min_size=24,
        )

    async def indexed(self, photo_id: str = "p", collection_id: str | None = None) -> PhotoRecord:
        return await self.indexing.index_uploaded(
            photo_id.encode(), "image/jpeg", photo_id=photo_id, collection_id=collection_id
        )

    async def stored(self) -> set[str]:
        return {vector.face_id async for batch in self.vectors.scan_faces() for vector in batch}


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[Base]:
    made = Base(tmp_path)
    for store in (made.metadata, made.vectors, made.images):
        await store.open()
    yield made
    for store in (made.metadata, made.vectors, made.images):
        await store.close()


async def test_each_face_says_whether_it_is_indexed_or_why_not(base: Base) -> None:
    photo = await base.indexed()
    outcomes = [(seen.face.bbox, seen.status, seen.reason) for seen in faces_of(photo, min_size=24)]
    assert outcomes == [
        (LARGE.bbox, "indexed", None),
        (SMALL.bbox, "detected", "too_small"),
        (FLAT.bbox, "detected", "not_alignable"),
    ]
    assert await base.metadata.photo("p") == photo
    assert await base.stored() == {photo.faces[0].face_id}


@pytest.mark.parametrize("named_by", ["face_id", "box of a recorded photo", "box of a new photo"])
async def test_a_face_that_cannot_be_aligned_is_indexed_by_its_box_when_it_is_asked_for(
    base: Base, named_by: str
) -> None:
    if named_by == "box of a new photo":
        await base.images.put("p", b"p", "image/jpeg")
    else:
        await base.indexed()
    if named_by == "face_id":
        photo = await base.metadata.photo("p")
        assert photo is not None
        done = await base.indexing.index_face(photo.faces[2].face_id, collection_id=None)
    else:
        done = await base.indexing.index_region("p", FLAT.bbox, collection_id=None)
    assert (done.created, done.face.bbox) == (True, FLAT.bbox)
    assert done.face.face_id in await base.stored()
    recorded = await base.metadata.photo("p")
    assert recorded is not None
    assert {face.state for face in recorded.faces if face.bbox == FLAT.bbox} == {"indexed"}
    [points] = base.finder.aligned
    assert all(120 < x < 160 and 0 < y < 40 for x, y in points)
    assert can_be_aligned(points)


async def test_a_photo_of_which_no_face_can_be_indexed_is_free_afterwards(base: Base) -> None:
    base.finder.faces = (SMALL, FLAT)
    photo = await base.indexed()
    assert [seen.status for seen in faces_of(photo, min_size=24)] == ["detected", "detected"]
    lease = Lease(30)
    await base.metadata.begin_indexing("p", face_ids=[], collection_id=None, lease=lease)
    await base.metadata.release("p", lease=lease)


async def test_faces_that_a_crash_left_are_embedded_where_the_detector_does_not_find_them_again(
    base: Base,
) -> None:
    base.finder.faces = (LARGE, OTHER)
    before = await base.indexed()
    crashed = Lease(0)
    await base.metadata.begin_detection(
        "p", collection_id="late", image_sha256=before.image_sha256, lease=crashed
    )
    base.finder.faces = (LARGE,)
    after = await base.indexed(collection_id="late")
    assert [face.state for face in after.faces] == ["indexed", "indexed"]
    assert base.finder.embedded == [1]
    stored = [vector async for batch in base.vectors.scan_faces() for vector in batch]
    assert {(vector.face_id, vector.collection_id) for vector in stored} == {
        (face.face_id, "late") for face in before.faces
    }


async def test_an_image_that_cannot_be_read_changes_nothing(base: Base) -> None:
    base.finder.error = InvalidImageFormat("not an image")
    with pytest.raises(InvalidImageFormat):
        await base.indexed()
    assert await base.metadata.photo("p") is None
    assert not await base.images.exists("p")
