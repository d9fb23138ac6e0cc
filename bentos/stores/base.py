"""The interfaces of the three stores as Protocols; `records.py` has the values that they take and return.

Source of truth. `MetadataStore` is the source of truth. `VectorStore` is derived from it and can be rebuilt.
`ImageStore` holds the uploaded bytes, unchanged, under the photo's id.

Order. A write goes metadata (pending) → vectors → metadata (indexed); a removal goes metadata
(removing) → vectors → metadata (gone). Whatever a crash leaves behind, the metadata says what is
unfinished, and repeating the call finishes it.

Leases. No two writers work on one photo at once: whatever is begun on a photo holds its lease until
it is finished. The lease expires by itself, so that a crashed writer blocks nobody for long. A writer
whose lease was taken over gets `LeaseLost` and may not report success.

Every method may raise `DependencyUnavailable`, within the timeout of its settings; none waits for ever.
Implementations are safe for concurrent use by the tasks of one event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bentos.domain.faces import Embedding
from bentos.stores.records import (
    FaceRecord,
    FaceVector,
    Lease,
    Match,
    Overview,
    PhotoDetails,
    PhotoPage,
    PhotoRecord,
    PhotoStatus,
    RemovalBatch,
    StoredVector,
)


class MetadataStore(Protocol):
    """Photos, their faces, and how far the work on each has come."""

    async def open(self) -> None:
        """Connect. Raises `DependencyUnavailable` when the store cannot be reached or has no schema."""

    async def check(self) -> None:
        """Check that the store responds now, over the connections that requests use. Cheap enough for every second.

        Raises `DependencyUnavailable`.
        """

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""

    async def photo(self, photo_id: str) -> PhotoRecord | None:
        """The photo with its faces, or None."""

    async def photo_of_face(self, face_id: str) -> PhotoRecord | None:
        """The photo that the face belongs to, with all its faces, or None."""

    async def photo_details(self, photo_id: str) -> PhotoDetails | None:
        """The photo with its faces and its status, as of one moment, or None."""

    async def list_photos(
        self,
        *,
        collection_id: str | None = None,
        status: PhotoStatus | None = None,
        limit: int,
        offset: int,
    ) -> PhotoPage:
        """Newest first (by creation), ties by `photo_id`."""

    def scan_photos(self, batch_size: int = 500) -> AsyncIterator[list[PhotoRecord]]:
        """Every photo with its faces, in batches, ordered by `photo_id`; memory stays that of a batch."""

    async def begin_detection(
        self, photo_id: str, *, collection_id: str | None, image_sha256: str, lease: Lease
    ) -> PhotoRecord:
        """Take the lease of the photo, creating its record when there is none.

        A `collection_id` becomes the photo's when it has none. Raises `PhotoBusy`;
        `CollectionMismatch` when the photo has another collection; `InvalidRequest` naming `photo_id`
        when the photo's recorded image has other bytes. What raises has changed nothing.
        When the photo gains a collection, its faces in state `indexed` go back to `pending`, because
        their vectors carry the old one.
        """

    async def finish_detection(
        self, photo_id: str, *, width: int, height: int, faces: Sequence[FaceRecord], lease: Lease
    ) -> PhotoRecord:
        """Record the size and the faces, and give the lease back.

        A face that is recorded already keeps its state, except that `removing` becomes `detected`.
        Faces that are not named stay. Raises `LeaseLost`.
        """

    async def finish_detection_and_begin_indexing(
        self,
        photo_id: str,
        *,
        width: int,
        height: int,
        faces: Sequence[FaceRecord],
        face_ids: Sequence[str],
        lease: Lease,
    ) -> PhotoRecord:
        """`finish_detection`, then `begin_indexing` of `face_ids`, as one change; the lease is renewed, not given back.

        Raises `LeaseLost`; `FaceNotFound` when a named face is not recorded.
        """

    async def begin_indexing(
        self, photo_id: str, *, face_ids: Sequence[str], collection_id: str | None, lease: Lease
    ) -> PhotoRecord:
        """Take the lease; the named faces go from `detected` to `pending`. Returns the photo as it then is.

        The caller has to embed and finish every returned face in state `pending`: those named, those that a crash
        left unfinished, and those whose vectors carry no collection yet (see `begin_detection`).
        Raises `PhotoBusy`; `CollectionMismatch`; `PhotoNotFound`; `FaceNotFound` when a named face is not
        recorded, or is being removed. What raises has changed nothing.
        """

    async def finish_indexing(self, photo_id: str, *, face_ids: Sequence[str], lease: Lease) -> None:
        """The named faces go from `pending` to `indexed`; the lease is given back. Raises `LeaseLost`."""

    async def begin_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease; every face of the photo goes to `removing`.

        False, and no lease, when the photo was purged before. Raises `PhotoNotFound` for an id never seen;
        `PhotoBusy`.
        """

    async def begin_face_removal(self, photo_id: str, *, face_id: str, lease: Lease) -> PhotoRecord | None:
        """Take the lease; this face goes to `removing`. Returns the photo as it then is.

        The caller has to remove the vectors of every returned face in state `removing`, which may include those that a
        crash left, before `finish_removals`. The face is not among them when it was removed earlier.
        None, and no lease, when the photo was purged. Raises `PhotoBusy`; `PhotoNotFound` for an id never seen;
        `FaceNotFound` when the photo never had the face. What raises has changed nothing.
        """

    async def begin_removals(
        self, *, collection_id: str | None, until: datetime, lease: Lease, limit: int
    ) -> RemovalBatch:
        """`begin_removal` for up to `limit` photos (of the collection, when one is given) that have a face that was
        recorded or indexed up to `until`, or that is in state `removing`. Photos held by another writer are
        skipped and counted in `busy`.
        """

    async def finish_removals(self, photo_ids: Sequence[str], *, purge: bool, lease: Lease) -> int:
        """Delete the faces in state `removing` of these photos; with `purge` the photos' records too, leaving
        only a digest of each id. Gives the leases back. Returns how many faces were deleted. Raises `LeaseLost`
        when any of the leases is lost; the photos still held are finished nevertheless.
        """

    async def purged(self, photo_ids: Sequence[str]) -> list[str]:
        """The photos among `photo_ids` that were purged and have not been recorded again since."""

    async def begin_image_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease of a purged photo, so that an image which arrived after the purge can be removed.

        Until `finish_removals` with `purge` gives the lease back, `begin_detection` of the photo raises `PhotoBusy`.
        False, and no lease, when the photo is recorded, or was never purged. Raises `PhotoBusy`.
        """

    async def release(self, photo_id: str, *, lease: Lease) -> None:
        """Give the lease back without finishing. Does nothing when it is not held."""

    async def overview(self) -> Overview:
        """The number of photos of each status, and the result of the last audit. Cheap: counts are kept up to date."""

    async def record_audit(self, *, photos: int, differences: Mapping[str, int]) -> None:
        """Store the result of an audit that ends now, in place of the previous result; see `AuditResult`."""

    async def now(self) -> datetime:
        """The time of the store's clock, with a time zone; `until` is compared with this clock."""


class VectorStore(Protocol):
    """The embeddings of the indexed faces, searched by inner product."""

    async def open(self) -> None:
        """Connect; create the collection, its indexes and its alias when missing; load it.

        Safe when several processes do it at once. Raises `NotReady`, with the reason, when the collection was built
        with another face pack or dimension; `DependencyUnavailable`. Once open, the store automatically reopens a
        collection that was released, dropped or replaced; calls raise `DependencyUnavailable` meanwhile.
        """

    async def check(self) -> None:
        """Check that the store responds now, over the connections that requests use. Cheap enough for every second.

        Raises `DependencyUnavailable`; `NotReady` when the collection now belongs to another face pack.
        """

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""

    async def save_faces(self, faces: Sequence[FaceVector]) -> None:
        """Insert or replace, by `face_id`. A search that starts after the return finds the faces."""

    async def nearest(
        self,
        embedding: Embedding,
        *,
        photos: int,
        score_threshold: float,
        collection_ids: Sequence[str] = (),
    ) -> list[Match]:
        """The `photos` most similar photos, one match each, score descending, ties by `photo_id`.

        Only matches with `score >= score_threshold`; empty `collection_ids` mean all photos.
        However many faces a photo has, it is returned once and does not displace other photos.
        """

    async def face(self, face_id: str) -> FaceVector | None:
        """The stored face with this id, or None, as a search that starts now would find it."""

    async def remove_photos(self, photo_ids: Sequence[str]) -> None:
        """Remove every face of these photos. A search, with any face pack, that starts after the return finds none."""

    async def remove_faces(self, face_ids: Sequence[str]) -> None:
        """Remove these faces, with the guarantee of `remove_photos`; unknown ids are ignored."""

    def scan_faces(self, batch_size: int = 1000) -> AsyncIterator[list[StoredVector]]:
        """Every stored face, in batches; memory stays that of a batch."""


class ImageStore(Protocol):
    """Stores the bytes of the photos as they were uploaded."""

    async def open(self) -> None:
        """Connect and check that the bucket or folder exists. Raises `DependencyUnavailable`."""

    async def check(self) -> None:
        """Check that the store responds now, over the connections that requests use. Cheap enough for every second.

        Raises `DependencyUnavailable`.
        """

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""

    async def put(self, photo_id: str, image: bytes, content_type: str) -> None:
        """Store or replace, atomically: a reader never sees a part of an image."""

    async def get(self, photo_id: str, *, max_bytes: int) -> bytes:
        """The bytes. Raises `PhotoNotFound`; `ImageTooLarge`, without reading them, if they exceed `max_bytes`."""

    async def exists(self, photo_id: str) -> bool:
        """Whether there is an image under this id."""

    async def delete(self, photo_id: str) -> None:
        """Remove the image; an unknown id is ignored."""

    def scan_images(self, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every stored `photo_id`, in batches; memory stays that of a batch. Names that are no ids are ignored."""

    def scan_names(self, prefix: str, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every name that begins with `prefix`, in batches, also names that are no ids, and those of subfolders in S3.

        A batch may be empty.
        """

    async def presigned_urls(self, photo_ids: Sequence[str], *, expires_s: int) -> list[str | None]:
        """For each photo a link that anyone may open for `expires_s` seconds, or None if the store cannot sign links.

        A link that begins with a slash is a path of the service itself.

        Made without a call to the store: a link does not say whether the image exists. Signing the links of one page
        of search results must not block the event loop.
        """
