"""Detects the faces of a photo and indexes them. (`removal.py` removes them.)

Every step can be repeated. Work that needs no lease of the photo (reading, detecting, embedding) is done before the
lease is taken, so that a lease is held for a few short calls only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bentos.domain.errors import (
    FaceNotFound,
    NoFacesDetected,
    PhotoNotFound,
)
from bentos.domain.faces import BoundingBox, Embedding, FacesInImage, same_face
from bentos.domain.ids import derive_photo_id, image_digest
from bentos.runner.finder import FaceFinder
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.records import FaceRecord, Lease, PhotoDetails, PhotoPage, PhotoRecord, PhotoStatus
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.recording import Detection, PhotoRecording, present, record_of
from bentos.vectorizer.vector_writer import VectorWriter


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """The result of a request to index a face; `created` is False when it was indexed before."""

    photo: PhotoRecord
    face: FaceRecord
    created: bool


class Indexing:
    """Detects, stores and indexes faces, for image-vectorizer.

    Every method may raise `DependencyUnavailable`, and `Overloaded` when another writer holds a photo for too long.
    """

    def __init__(
        self,
        *,
        finder: FaceFinder,
        metadata: MetadataStore,
        vectors: VectorStore,
        images: ImageStore,
        max_image_bytes: int,
        leases: PhotoLeases,
        index_min_size: float,
    ) -> None:
        """`index_min_size`: the shorter side of a face from which it is indexed together with its photo, pixels."""
        self._finder, self._metadata, self._vectors, self._images = finder, metadata, vectors, images
        self._max_image_bytes = max_image_bytes
        self._leases = leases
        self.index_min_size = index_min_size
        self._writer = VectorWriter(embedder=finder, metadata=metadata, vectors=vectors)
        self._recording = PhotoRecording(
            writer=self._writer, metadata=metadata, vectors=vectors, images=images, leases=leases
        )

    async def detect_uploaded(
        self, image: bytes, content_type: str, *, photo_id: str | None, collection_id: str | None
    ) -> PhotoRecord:
        """Store an image with the faces found in it; the same image again changes nothing.

        Raises `NoFacesDetected` once the photo is recorded as `no_faces`; `InvalidImageFormat`; `ImageTooLarge`;
        `CollectionMismatch`; `InvalidRequest` when `photo_id` names another image.
        """
        found = await self._finder.detect(image)
        return await self._recording.record(
            self._uploaded(image, content_type, photo_id, collection_id, found)
        )

    async def detect_stored(self, photo_id: str, *, collection_id: str | None) -> PhotoRecord:
        """Detect the faces of an image in the object store. Raises as `detect_uploaded` does, and `PhotoNotFound`."""
        image = await self._images.get(photo_id, max_bytes=self._max_image_bytes)
        found = await self._finder.detect(image)
        return await self._recording.record(
            Detection(photo_id, collection_id, image, image_digest(image), found)
        )

    async def index_uploaded(
        self, image: bytes, content_type: str, *, photo_id: str | None, collection_id: str | None
    ) -> PhotoRecord:
        """`detect_uploaded`, and index every face that is large enough and can be aligned (`whole_photo.faces_of`)."""
        found = await self._finder.detect_and_embed(image)
        return await self._recording.record_and_index(
            self._uploaded(image, content_type, photo_id, collection_id, found), min_size=self.index_min_size
        )

    async def index_stored(self, photo_id: str, *, collection_id: str | None) -> PhotoRecord:
        """`detect_stored`, and index every face as `index_uploaded` does."""
        image = await self._images.get(photo_id, max_bytes=self._max_image_bytes)
        found = await self._finder.detect_and_embed(image)
        return await self._recording.record_and_index(
            Detection(photo_id, collection_id, image, image_digest(image), found),
            min_size=self.index_min_size,
        )

    async def index_face(self, face_id: str, *, collection_id: str | None) -> IndexedFace:
        """Embed one detected face and store its vector. Raises `FaceNotFound`; `CollectionMismatch`."""
        photo = await self._metadata.photo_of_face(face_id)
        if photo is None:
            raise FaceNotFound(face_id)
        return await self._index(photo, face_id, collection_id)

    async def index_region(
        self, photo_id: str, bbox: BoundingBox, *, collection_id: str | None
    ) -> IndexedFace:
        """Index the face of a photo that overlaps `bbox` best, searching the region for it when none does.

        Raises `PhotoNotFound`; `NoFacesDetected` when the region holds no face; `CollectionMismatch`.
        """
        photo = await self._metadata.photo(photo_id)
        known = photo if photo is not None and photo.width is not None else None
        face = None if known is None else same_face(bbox, present(known))
        if known is not None and face is not None:
            return await self._index(known, face.face_id, collection_id)
        image = await self._images.get(photo_id, max_bytes=self._max_image_bytes)
        found = await self._finder.embed_at(image, bbox)
        at_box = next((face for face in found.faces if face.embedding is not None), None)
        if known is None:
            with suppress(NoFacesDetected):  # such a photo is recorded too
                known = await self._recording.record(
                    Detection(photo_id, None, image, image_digest(image), found)
                )
        if known is not None and at_box is None and (unaligned := same_face(bbox, present(known))):
            return await self._index(known, unaligned.face_id, collection_id, image)
        if known is None or at_box is None:
            raise NoFacesDetected("There is no face in this box.", {"photo_id": photo_id})
        face = same_face(at_box.bbox, present(known))
        if face is None:
            face = record_of(photo_id, at_box)
            alone = replace(found, faces=(at_box,), left_out=0)
            known = await self._recording.record(Detection(photo_id, None, image, image_digest(image), alone))
        return await self._index(known, face.face_id, collection_id, image, at_box.embedding)

    async def photo_details(self, photo_id: str) -> PhotoDetails:
        """The status of one photo and its faces. Raises `PhotoNotFound`."""
        details = await self._metadata.photo_details(photo_id)
        if details is None:
            raise PhotoNotFound(photo_id)
        return details

    async def list_photos(
        self, *, collection_id: str | None, status: PhotoStatus | None, limit: int, offset: int
    ) -> PhotoPage:
        """List the recorded photos, newest first."""
        return await self._metadata.list_photos(
            collection_id=collection_id, status=status, limit=limit, offset=offset
        )

    async def finish_photo(self, photo_id: str, *, lost_face_ids: Sequence[str]) -> None:
        """Finish interrupted work on a photo, and store the lost vectors of its indexed faces again.

        Raises `PhotoNotFound`, also when a face has to be embedded and the image is missing.
        """

        begin = self._leases.nothing_new(photo_id)
        async with self._leases.held(photo_id, begin) as (lease, begun):
            photo = begun
            embeddings: dict[str, Embedding] = {}
            if wanted := _unfinished(photo, lost_face_ids):
                image = await self._images.get(photo_id, max_bytes=self._max_image_bytes)
                embeddings = await self._writer.embed(image, wanted)
                photo = await self._leases.renewed(lease, begin)
            await self._writer.save(photo, _unfinished(photo, lost_face_ids), embeddings, lease)
        if any(face.state == "removing" for face in photo.faces):
            async with self._leases.held(photo_id, self._leases.nothing_new(photo_id)) as (lease, photo):
                await self._vectors.remove_faces([f.face_id for f in photo.faces if f.state == "removing"])
                await self._metadata.finish_removals([photo_id], purge=False, lease=lease)

    def _uploaded(
        self,
        image: bytes,
        content_type: str,
        photo_id: str | None,
        collection_id: str | None,
        found: FacesInImage,
    ) -> Detection:
        digest = image_digest(image)
        name = photo_id or derive_photo_id(digest, collection_id)

        async def store() -> None:
            await self._images.put(name, image, content_type)

        return Detection(name, collection_id, image, digest, found, store)

    async def _index(
        self,
        photo: PhotoRecord,
        face_id: str,
        collection_id: str | None,
        image: bytes | None = None,
        embedding: Embedding | None = None,
    ) -> IndexedFace:
        """`image` and `embedding`: where they are known already, so that neither is fetched or computed again."""
        face = _named(face_id, photo)
        if face.state == "indexed" and collection_id in {None, photo.collection_id}:
            return IndexedFace(photo, face, created=False)
        if image is None:
            image = await self._images.get(photo.photo_id, max_bytes=self._max_image_bytes)
        embeddings = (
            {face_id: embedding} if embedding is not None else await self._writer.embed(image, [face])
        )
        if not embeddings:
            raise NoFacesDetected("This face cannot be aligned.", {"face_id": face_id})

        async def begin(lease: Lease) -> PhotoRecord:
            return await self._metadata.begin_indexing(
                photo.photo_id, face_ids=[face_id], collection_id=collection_id, lease=lease
            )

        async with self._leases.held(photo.photo_id, begin) as (lease, held):
            begun, pending = held, _unfinished(held)
            if left_by_a_crash := [face for face in pending if face.face_id != face_id]:
                embeddings |= await self._writer.embed(image, left_by_a_crash)
                begun = await self._leases.renewed(lease, begin)
                pending = _unfinished(begun)
            await self._writer.save(begun, pending, embeddings, lease)
        created = face.state != "indexed" and face_id in {face.face_id for face in pending}
        return IndexedFace(begun, _named(face_id, begun), created=created)


def _unfinished(photo: PhotoRecord, lost_face_ids: Sequence[str] = ()) -> list[FaceRecord]:
    """The faces to embed: those in state `pending`, and indexed ones whose vectors are known to be lost."""
    return [
        face
        for face in photo.faces
        if face.state == "pending" or (face.state == "indexed" and face.face_id in lost_face_ids)
    ]


def _named(face_id: str, photo: PhotoRecord) -> FaceRecord:
    for face in photo.faces:
        if face.face_id == face_id:
            return face
    raise FaceNotFound(face_id)
