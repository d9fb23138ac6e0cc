"""Removes the faces of photos and, where asked for, the images and the records of the photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.records import Lease, LeaseLost, PhotoRecord, RemovalBatch
from bentos.vectorizer.leasing import PhotoLeases, busy, pause
from bentos.vectorizer.purged_image import remove_purged_image
from bentos.vectorizer.uninterrupted import finish

_BATCH = 200


@dataclass(frozen=True, slots=True)
class RemovedPhotos:
    """How many photos lost their faces, and how many faces that were."""

    photos: int
    faces: int


class Removal:
    """Removes faces: marks them as `removing` in the metadata, deletes their vectors, then deletes their records.

    Every method may raise `DependencyUnavailable`, and `Overloaded` when another writer holds a photo for too long.
    """

    def __init__(
        self, *, metadata: MetadataStore, vectors: VectorStore, images: ImageStore, leases: PhotoLeases
    ) -> None:
        self._metadata, self._vectors, self._images, self._leases = metadata, vectors, images, leases

    async def remove_photo(self, photo_id: str, *, purge: bool) -> int:
        """Remove every face of a photo, with `purge` also the image and its record. Returns how many faces.

        Repeated after a purge, it removes an image that was stored since. Raises `PhotoNotFound` for an unknown id.
        """

        async def begin(lease: Lease) -> bool:
            return await self._metadata.begin_removal(photo_id, lease=lease)

        async with self._leases.held(photo_id, begin) as (lease, known):
            if known:
                return await self._finish([photo_id], lease, purge=purge)
        if purge:
            await self.remove_purged_image(photo_id)
        return 0

    async def remove_face(self, photo_id: str, face_id: str) -> int:
        """Remove one face of a photo. Returns 1, or 0 when it was removed before.

        Raises `PhotoNotFound` for an unknown id; `FaceNotFound` when the photo never had the face.
        """

        async def begin(lease: Lease) -> PhotoRecord | None:
            return await self._metadata.begin_face_removal(photo_id, face_id=face_id, lease=lease)

        async with self._leases.held(photo_id, begin) as (lease, photo):
            if photo is None:
                return 0
            # Those that an interrupted removal left are finished too, because their records go with this one.
            removing = [face.face_id for face in photo.faces if face.state == "removing"]
            if not removing:
                await self._metadata.release(photo_id, lease=lease)
                return 0
            await self._vectors.remove_faces(removing)
            await self._metadata.finish_removals([photo_id], purge=False, lease=lease)
            return int(face_id in removing)

    async def remove_purged_image(self, photo_id: str) -> None:
        """Remove an image that was stored after its photo was purged; the image of any other photo stays."""
        await remove_purged_image(photo_id, metadata=self._metadata, images=self._images, leases=self._leases)

    async def forget_without_image(self, photo_id: str) -> int:
        """Purge a photo whose image is missing; does nothing when the image exists. Returns how many faces.

        The image is looked up under the photo's lease, so that no upload runs meanwhile. Raises `PhotoNotFound`.
        """
        async with self._leases.held(photo_id, self._leases.nothing_new(photo_id)) as (lease, _):
            if await self._images.exists(photo_id):
                await self._metadata.release(photo_id, lease=lease)
                return 0
            await self._metadata.begin_removal(photo_id, lease=lease)
            return await self._finish([photo_id], lease, purge=True)

    async def remove_all(self, *, collection_id: str | None) -> RemovedPhotos:
        """Remove every face that existed when the call began, of one collection or of all photos.

        Works batch by batch. A call that is cancelled finishes its batch first: removed faces stay removed, every
        lease is released, and the next call continues with the remaining photos.
        """
        until = await self._metadata.now()
        photos = faces = 0
        deadline = self._leases.deadline()
        while True:
            batch, removed = await finish(self._remove_batch(collection_id, until))
            if batch.photo_ids:
                faces += removed
                photos += len(batch.photo_ids)
                deadline = self._leases.deadline()
            elif not batch.busy:
                return RemovedPhotos(photos, faces)
            elif time.monotonic() > deadline:
                raise busy()
            else:
                await pause()

    async def _remove_batch(self, collection_id: str | None, until: datetime) -> tuple[RemovalBatch, int]:
        """Remove one batch. Returns its photos, empty when none is left, and how many faces were removed."""
        lease = self._leases.lease()
        batch = await self._metadata.begin_removals(
            collection_id=collection_id, until=until, lease=lease, limit=_BATCH
        )
        if not batch.photo_ids:
            return batch, 0
        try:
            return batch, await self._finish(batch.photo_ids, lease, purge=False)
        except LeaseLost as error:
            raise busy() from error

    async def _finish(self, photo_ids: Sequence[str], lease: Lease, *, purge: bool) -> int:
        await self._vectors.remove_photos(photo_ids)
        if purge:
            for photo_id in photo_ids:
                await self._images.delete(photo_id)
        return await self._metadata.finish_removals(photo_ids, purge=purge, lease=lease)
