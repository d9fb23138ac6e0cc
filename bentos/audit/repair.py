"""Mends what the audit finds. The metadata are the truth, and every finding is looked at again before it is mended,
because the services go on working while the audit runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from bentos.audit.ledger import Finding, Kind, Ledger
from bentos.common.errors import NoFacesDetected, PhotoNotFound
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.removal import Removal

_WRONG_BUCKET_FROM = 10
"""From so many photos on, half of them without an image mean a wrong bucket or prefix, not a loss."""


class WrongBucket(Exception):
    """Most photos have no image: the settings are more likely to be wrong than the base."""


class Repair:
    """Mends one kind of finding after the other."""

    def __init__(
        self,
        *,
        indexing: Indexing,
        removal: Removal,
        metadata: MetadataStore,
        vectors: VectorStore,
        images: ImageStore,
    ) -> None:
        self._indexing, self._removal = indexing, removal
        self._metadata, self._vectors, self._images = metadata, vectors, images

    def refuse_wrong_bucket(self, ledger: Ledger) -> None:
        """Raises `WrongBucket` when mending would remove half of the base."""
        missing = ledger.count(Kind.PHOTO_WITHOUT_IMAGE)
        if ledger.photos >= _WRONG_BUCKET_FROM and 2 * missing > ledger.photos:
            raise WrongBucket(
                f"{missing} of {ledger.photos} photos have no image: is S3_BUCKET or S3_PREFIX right? "
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
                await self._drop_photo(photo_id)
            elif kind is Kind.HALF_DETECTED:
                await self._indexing.detect_stored(photo_id, collection_id=None)
            else:
                await self._indexing.finish_photo(photo_id, lost_face_ids=face_ids)
        except (NoFacesDetected, PhotoNotFound):
            return  # the photo is gone by now, or turns out to show nobody

    async def _drop_vectors(self, face_ids: Sequence[str]) -> None:
        for face_id in face_ids:
            photo = await self._metadata.photo_of_face(face_id)
            states = {face.face_id: face.state for face in photo.faces} if photo else {}
            if states.get(face_id) not in {"pending", "indexed"}:
                await self._vectors.remove_faces([face_id])

    async def _drop_photo(self, photo_id: str) -> None:
        if not await self._images.exists(photo_id):
            await self._removal.remove_photo(photo_id, purge=True)
