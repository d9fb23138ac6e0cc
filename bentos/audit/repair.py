"""Repairs the differences that the audit finds.

The metadata are authoritative. Each difference is checked again before its repair, because the services keep handling
requests while the audit runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from bentos.audit.snapshot import Finding, Kind, Snapshot
from bentos.domain.errors import InvalidRequest, NoFacesDetected, PhotoNotFound
from bentos.stores.base import MetadataStore, VectorStore
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.removal import Removal

_TOO_MANY_FROM = 10
"""From this number on, a wrong bucket, prefix or collection is likelier than a loss of data."""


class WrongStores(Exception):
    """There are so many differences that the settings are probably wrong; nothing was changed."""


class Repair:
    """Repairs the differences of one photo at a time."""

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
        """Raises `WrongStores` when the repair would remove half of the photos, or the vectors of another database."""
        missing = snapshot.count(Kind.PHOTO_WITHOUT_IMAGE)
        if snapshot.photos >= _TOO_MANY_FROM and 2 * missing >= snapshot.photos:
            raise WrongStores(
                f"{missing} of {snapshot.photos} photos have no image: is S3_BUCKET or S3_PREFIX right? "
                "Nothing was repaired."
            )
        strangers = snapshot.count(Kind.VECTOR_WITHOUT_FACE)
        if not snapshot.photos and strangers >= _TOO_MANY_FROM:
            raise WrongStores(
                f"There are {strangers} vectors and no photos: is POSTGREST_URL or MILVUS_COLLECTION right? "
                "Nothing was repaired."
            )

    async def repair(self, kind: Kind, findings: Sequence[Finding]) -> None:
        """Repair the differences of one kind on one photo. A difference that has disappeared meanwhile is skipped."""
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
            return  # the photo was removed meanwhile, or it shows no face
        except InvalidRequest:
            return  # the stored image is not the recorded one: only a person can decide which is right

    async def _drop_vectors(self, face_ids: Sequence[str]) -> None:
        for face_id in face_ids:
            if await self._photo_of_indexed_face(face_id):
                continue
            await self._vectors.remove_faces([face_id])
            # If the face was added while its old vector was removed, its new vector is stored again.
            if photo_id := await self._photo_of_indexed_face(face_id):
                await self._indexing.finish_photo(photo_id, lost_face_ids=[face_id])

    async def _photo_of_indexed_face(self, face_id: str) -> str | None:
        """The id of the photo, if the face is indexed or is being indexed."""
        photo = await self._metadata.photo_of_face(face_id)
        states = {face.face_id: face.state for face in photo.faces} if photo else {}
        return photo.photo_id if photo and states[face_id] in {"pending", "indexed"} else None
