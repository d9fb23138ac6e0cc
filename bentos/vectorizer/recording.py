"""Records a photo with the faces found in it, and, where asked for, stores the vectors of these faces as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bentos.domain.errors import NoFacesDetected
from bentos.domain.faces import Embedding, Face, FacesInImage
from bentos.domain.ids import derive_face_id
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.records import FaceRecord, Lease, LeaseLost, PhotoRecord
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.purged_image import remove_purged_image
from bentos.vectorizer.vector_writer import VectorWriter
from bentos.vectorizer.whole_photo import to_index


@dataclass(frozen=True)
class Detection:
    """An image, its SHA-256 in hex, and the faces found in it, to be recorded.

    `store` stores the image, and is called under the lease; None when the image is in the object store.
    """

    photo_id: str
    collection_id: str | None
    image: bytes
    digest: str
    found: FacesInImage
    store: Callable[[], Awaitable[None]] | None = None

    @cached_property
    def faces(self) -> tuple[FaceRecord, ...]:
        """The faces as they are recorded."""
        return tuple(record_of(self.photo_id, face) for face in self.found.faces)

    @property
    def embeddings(self) -> dict[str, Embedding]:
        """The embeddings that were computed, by `face_id`."""
        pairs = zip(self.faces, self.found.faces, strict=True)
        return {record.face_id: face.embedding for record, face in pairs if face.embedding is not None}


class PhotoRecording:
    """Records detections, each under the lease of its photo; repeating a call changes nothing.

    Every method may raise `CollectionMismatch`, `DependencyUnavailable`, `Overloaded` when another writer holds the
    photo for too long, and `InvalidRequest` when the photo's id names another image.
    """

    def __init__(
        self,
        *,
        writer: VectorWriter,
        metadata: MetadataStore,
        vectors: VectorStore,
        images: ImageStore,
        leases: PhotoLeases,
    ) -> None:
        self._writer, self._metadata, self._vectors = writer, metadata, vectors
        self._images, self._leases = images, leases

    async def record(self, detection: Detection) -> PhotoRecord:
        """Store the image and the faces. Raises `NoFacesDetected` once the photo is recorded as `no_faces`."""
        begin = self._begin(detection)
        async with self._leases.held(detection.photo_id, begin) as (lease, before):
            await self._before_the_faces(detection, before, lease)
            photo = await self._unless_purged(
                detection,
                self._metadata.finish_detection(
                    detection.photo_id,
                    width=detection.found.width,
                    height=detection.found.height,
                    faces=detection.faces,
                    lease=lease,
                ),
            )
        return _with_faces(photo, detection)

    async def record_and_index(self, detection: Detection, *, min_size: float) -> PhotoRecord:
        """As `record`, under the same lease also stores the vectors of the faces that can be indexed (`left_out`).

        Faces of an earlier call that was not finished are embedded too.
        """
        wanted = to_index(detection.faces, min_size=min_size)
        embeddings = detection.embeddings
        begin = self._begin(detection)
        async with self._leases.held(detection.photo_id, begin) as (lease, before):
            await self._before_the_faces(detection, before, lease)
            photo = await self._unless_purged(
                detection,
                self._metadata.finish_detection_and_begin_indexing(
                    detection.photo_id,
                    width=detection.found.width,
                    height=detection.found.height,
                    faces=detection.faces,
                    face_ids=[face_id for face_id in wanted if face_id in embeddings],
                    lease=lease,
                ),
            )
            pending = [face for face in photo.faces if face.state == "pending"]
            if others := [face for face in pending if face.face_id not in embeddings]:
                embeddings |= await self._writer.embed(detection.image, others)
                await self._leases.renewed(lease, begin)
            await self._writer.save(photo, pending, embeddings, lease)
        return _with_faces(_indexed(photo, embeddings), detection)

    def _begin(self, detection: Detection) -> Callable[[Lease], Awaitable[PhotoRecord]]:
        async def begin(lease: Lease) -> PhotoRecord:
            return await self._metadata.begin_detection(
                detection.photo_id,
                collection_id=detection.collection_id,
                image_sha256=detection.digest,
                lease=lease,
            )

        return begin

    async def _before_the_faces(self, detection: Detection, before: PhotoRecord, lease: Lease) -> None:
        """Finish a removal that was interrupted, and store the image."""
        half_removed = [face.face_id for face in before.faces if face.state == "removing"]
        if half_removed:
            await self._vectors.remove_faces(half_removed)
            await self._leases.renewed(lease, self._begin(detection))
        if detection.store is not None:
            await detection.store()

    async def _unless_purged(self, detection: Detection, recording: Awaitable[PhotoRecord]) -> PhotoRecord:
        try:
            return await recording
        except LeaseLost:
            # The image may have been stored after another writer had purged the photo.
            await remove_purged_image(
                detection.photo_id, metadata=self._metadata, images=self._images, leases=self._leases
            )
            raise


def record_of(photo_id: str, face: Face) -> FaceRecord:
    """A face that was found, as it is recorded."""
    return FaceRecord(derive_face_id(photo_id, face.bbox), face.bbox, face.score, face.landmarks)


def _with_faces(photo: PhotoRecord, detection: Detection) -> PhotoRecord:
    if not photo.faces:
        raise NoFacesDetected("There is no face in this image.", {"photo_id": photo.photo_id})
    return replace(photo, faces_left_out=detection.found.left_out)


def _indexed(photo: PhotoRecord, embeddings: Mapping[str, Embedding]) -> PhotoRecord:
    """The photo after its pending faces were saved."""

    def after(face: FaceRecord) -> FaceRecord:
        saved = face.state == "pending" and face.face_id in embeddings
        return replace(face, state="indexed") if saved else face

    return replace(photo, faces=tuple(map(after, photo.faces)))


def present(photo: PhotoRecord) -> Sequence[FaceRecord]:
    """The faces that are not being removed."""
    return [face for face in photo.faces if face.state != "removing"]
