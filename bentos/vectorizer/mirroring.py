"""Makes the vectors of one store match the metadata, photo by photo, while the services keep running."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bentos.domain.errors import PhotoNotFound
from bentos.domain.faces import Embedding
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.records import FaceRecord, PhotoRecord
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.vector_writer import VectorWriter


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How many vectors of a photo were stored and removed, and how many of its faces cannot be aligned."""

    stored: int = 0
    removed: int = 0
    not_alignable: int = 0


class Mirroring:
    """Stores the vectors of indexed faces in `vectors`, and removes those of faces that are no longer indexed.

    Faces in state `pending` are left to the writer that is indexing them. Faces are embedded before the photo's lease
    is taken, so that a service waits for a few short calls at most.
    """

    def __init__(
        self,
        *,
        writer: VectorWriter,
        metadata: MetadataStore,
        vectors: VectorStore,
        images: ImageStore,
        max_image_bytes: int,
        leases: PhotoLeases,
    ) -> None:
        self._writer, self._metadata, self._vectors, self._images = writer, metadata, vectors, images
        self._max_image_bytes, self._leases = max_image_bytes, leases

    async def mirror(self, photo_id: str, face_ids: Collection[str]) -> Mirrored:
        """Store or remove the vectors of these faces of a photo, as its record says. Repeating it changes nothing.

        A face that changes meanwhile is left out; the next comparison finds it again. Raises `PhotoNotFound` when a
        face has to be embedded and the image is gone; `InvalidImageFormat`; `ImageTooLarge`; `Overloaded` when another
        writer keeps the photo for too long; `DependencyUnavailable`.
        """
        photo = await self._metadata.photo(photo_id)
        if photo is None:
            return await self._without_a_record(photo_id, face_ids)
        wanted = [face for face in photo.faces if face.face_id in face_ids and face.state == "indexed"]
        embeddings: dict[str, Embedding] = {}
        if wanted:
            try:
                image = await self._images.get(photo_id, max_bytes=self._max_image_bytes)
            except PhotoNotFound:
                if await self._metadata.photo(photo_id) is None:
                    return await self._without_a_record(photo_id, face_ids)
                raise
            embeddings = await self._writer.embed(image, wanted)
        try:
            return await self._written(photo, wanted, embeddings, face_ids)
        except PhotoNotFound:
            return await self._without_a_record(photo_id, face_ids)

    async def _written(
        self,
        seen: PhotoRecord,
        wanted: list[FaceRecord],
        embeddings: dict[str, Embedding],
        face_ids: Collection[str],
    ) -> Mirrored:
        begin = self._leases.nothing_new(seen.photo_id)
        async with self._leases.held(seen.photo_id, begin) as (lease, held):
            photo = held
            states = {face.face_id: face.state for face in photo.faces}
            unwanted = [each for each in face_ids if states.get(each) not in {"pending", "indexed"}]
            if unwanted:
                await self._vectors.remove_faces(unwanted)
                photo = await self._leases.renewed(lease, begin)
            same_image = photo.image_sha256 == seen.image_sha256
            unchanged = [face for face in wanted if same_image and face in photo.faces]
            await self._writer.save(photo, unchanged, embeddings, lease)
        stored = sum(face.face_id in embeddings for face in unchanged)
        return Mirrored(stored, len(unwanted), len(unchanged) - stored)

    async def _without_a_record(self, photo_id: str, face_ids: Collection[str]) -> Mirrored:
        """Remove the vectors of a purged photo, which has no lease. The photo may be uploaded again meanwhile."""
        await self._vectors.remove_faces(sorted(face_ids))
        if await self._metadata.photo(photo_id) is not None:
            return await self.mirror(photo_id, face_ids)
        return Mirrored(removed=len(face_ids))
