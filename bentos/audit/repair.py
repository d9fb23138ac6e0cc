"""Mends what the audit finds. The metadata are the truth, and every finding is looked at again before it is mended,
because the services go on working while the audit runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from bentos.audit.snapshot import Finding, Kind, Snapshot
from bentos.domain.errors import InvalidRequest, NoFacesDetected, PhotoNotFound
from bentos.stores.base import MetadataStore, VectorStore
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.removal import Removal

_TOO_MANY_FROM = 10
"""From so many on, half of the photos without an image mean a wrong bucket or prefix, not a loss."""


class WrongStores(Exception):
    """So much disagrees that the settings are more likely to be wrong than the base."""


class Repair:
    """Mends one kind of finding after the other."""

    def __init__(
        self,
        *,
        indexing: Indexing,
        removal: Removal,
        metadata: MetadataStore,
        vectors: VectorStore,
    ) -> None:
        self._indexing, self._removal = indexing, removal
        self._metadata, self._vectors = metadata, vectors

    def refuse_wrong_stores(self, snapshot: Snapshot) -> None:
        """Raises `WrongStores` when mending would remove half of the photos, or the vectors of another base."""
        missing = snapshot.count(Kind.PHOTO_WITHOUT_IMAGE)
        if snapshot.photos >= _TOO_MANY_FROM and 2 * missing >= snapshot.photos:
            raise WrongStores(
                f"{missing} of {snapshot.photos} photos have no image: is S3_BUCKET or S3_PREFIX right? "
                "Nothing was mended."
            )
        strangers = snapshot.count(Kind.VECTOR_WITHOUT_FACE)
        if not snapshot.photos and strangers >= _TOO_MANY_FROM:
            raise WrongStores(
                f"There are {strangers} vectors and not one photo: is POSTGREST_URL or MILVUS_COLLECTION right? "
                "Nothing was mended."
            )

    async def mend(self, kind: Kind, findings: Sequence[Finding]) -> None:
        """Mend the findings of one kind on one photo. What is in order by now stays as it is."""
        photo_id = findings[0].photo_id
        face_ids = [finding.face_id for finding in findings]
        try:
            if kind is Kind.VECTOR_WITHOUT_FACE:
                await self._drop_vectors(face_ids)
            elif kind is Kind.PHOTO_WITHOUT_IMAGE:
                await self._removal.forget_without_image(photo_id)
            elif kind is Kind.IMAGE_OF_PURGED_PHOTO:
                await self._removal.remove_purged_image(photo_id)
            elif kind is Kind.HALF_DETECTED:
                await self._indexing.detect_stored(photo_id, collection_id=None)
            else:
                await self._indexing.finish_photo(photo_id, lost_face_ids=face_ids)
        except (NoFacesDetected, PhotoNotFound):
            return  # the photo is gone by now, or turns out to show nobody
        except InvalidRequest:
            return  # another image lies under its id: only a person can tell which is right

    async def _drop_vectors(self, face_ids: Sequence[str]) -> None:
        for face_id in face_ids:
            if await self._photo_that_wants(face_id):
                continue
            await self._vectors.remove_faces([face_id])
            # It may have been added while its old vector was removed: then the new one is made again.
            if photo_id := await self._photo_that_wants(face_id):
                await self._indexing.finish_photo(photo_id, lost_face_ids=[face_id])

    async def _photo_that_wants(self, face_id: str) -> str | None:
        """The id of the photo whose face has a vector, or is about to get one."""
        photo = await self._metadata.photo_of_face(face_id)
        states = {face.face_id: face.state for face in photo.faces} if photo else {}
        return photo.photo_id if photo and states[face_id] in {"pending", "indexed"} else None
