"""`MetadataStore` in PostgreSQL, through PostgREST; `deploy/postgrest/schema.sql` defines the functions it calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from bentos.domain.errors import (
    CollectionMismatch,
    DependencyUnavailable,
    FaceNotFound,
    PhotoNotFound,
)
from bentos.stores.errors import other_image
from bentos.stores.postgrest.client import PostgrestClient, PostgrestError, PostgrestOptions
from bentos.stores.postgrest.overview import overview_of
from bentos.stores.postgrest.rows import photo_of, rows_of, summary_of
from bentos.stores.records import (
    FaceRecord,
    Lease,
    LeaseLost,
    Overview,
    PhotoBusy,
    PhotoDetails,
    PhotoPage,
    PhotoRecord,
    PhotoStatus,
    RemovalBatch,
)

__all__ = ["PostgrestMetadataStore", "PostgrestOptions"]


class PostgrestMetadataStore:
    """`MetadataStore` of one PostgREST. Every method is one request, and therefore one transaction."""

    def __init__(self, options: PostgrestOptions) -> None:
        self._options = options
        self._opened: PostgrestClient | None = None

    async def open(self) -> None:
        """Connect. Raises `DependencyUnavailable` when it cannot be reached, or lacks the schema or rights."""
        if self._opened is None:
            self._opened = PostgrestClient(self._options)
            try:
                await self.overview()  # the newest functions, so that an older schema is detected
                await self.photo_details("")
            except BaseException:
                await self.close()
                raise

    async def check(self) -> None:
        """Call the cheapest function of the schema. Raises `DependencyUnavailable`."""
        await self.now()

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def photo(self, photo_id: str) -> PhotoRecord | None:
        """The photo with its faces, or None."""
        row = await self._client.row_of("photo_records", "photo_id", photo_id)
        return None if row is None else photo_of(row)

    async def photo_of_face(self, face_id: str) -> PhotoRecord | None:
        """The photo that the face belongs to, with all its faces, or None."""
        row = await self._client.row_of("photos_of_faces", "of_face_id", face_id)
        return None if row is None else photo_of(row)

    async def photo_details(self, photo_id: str) -> PhotoDetails | None:
        """The photo with its faces and its status, or None."""
        row = await self._client.call("photo_details", p_photo_id=photo_id)
        return None if row is None else PhotoDetails(summary_of(row["summary"]), photo_of(row["record"]))

    async def list_photos(
        self,
        *,
        collection_id: str | None = None,
        status: PhotoStatus | None = None,
        limit: int,
        offset: int,
    ) -> PhotoPage:
        """Newest first (by creation), ties by `photo_id`."""
        page = await self._client.call(
            "list_photos", p_collection_id=collection_id, p_status=status, p_limit=limit, p_offset=offset
        )
        return PhotoPage(tuple(summary_of(item) for item in page["items"]), page["total"])

    async def scan_photos(self, batch_size: int = 500) -> AsyncIterator[list[PhotoRecord]]:
        """Every photo with its faces, in batches, ordered by `photo_id`."""
        last = ""
        while rows := await self._client.call("scan_photos", p_after=last, p_limit=batch_size):
            yield [photo_of(row) for row in rows]
            last = rows[-1]["photo_id"]

    async def begin_detection(
        self, photo_id: str, *, collection_id: str | None, image_sha256: str, lease: Lease
    ) -> PhotoRecord:
        """Take the lease of the photo, creating its record when there is none; see `MetadataStore`."""
        with _translated_errors(photo_id, collection_id):
            row = await self._client.call(
                "begin_detection",
                p_photo_id=photo_id,
                p_collection_id=collection_id,
                p_image_sha256=image_sha256,
                p_lease_token=lease.token,
                p_lease_seconds=lease.seconds,
            )
        return photo_of(row)

    async def finish_detection(
        self, photo_id: str, *, width: int, height: int, faces: Sequence[FaceRecord], lease: Lease
    ) -> PhotoRecord:
        """Record the size and the faces, and give the lease back. Raises `LeaseLost`."""
        with _translated_errors(photo_id):
            row = await self._client.call(
                "finish_detection",
                p_photo_id=photo_id,
                p_width=width,
                p_height=height,
                p_faces=rows_of(faces),
                p_lease_token=lease.token,
            )
        return photo_of(row)

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
        """`finish_detection`, then `begin_indexing`, as one change; see `MetadataStore`."""
        with _translated_errors(photo_id):
            row = await self._client.call(
                "finish_detection_and_begin_indexing",
                p_photo_id=photo_id,
                p_width=width,
                p_height=height,
                p_faces=rows_of(faces),
                p_face_ids=list(face_ids),
                p_lease_token=lease.token,
                p_lease_seconds=lease.seconds,
            )
        return photo_of(row)

    async def begin_indexing(
        self, photo_id: str, *, face_ids: Sequence[str], collection_id: str | None, lease: Lease
    ) -> PhotoRecord:
        """Take the lease; the named faces go from `detected` to `pending`; see `MetadataStore`."""
        with _translated_errors(photo_id, collection_id):
            row = await self._client.call(
                "begin_indexing",
                p_photo_id=photo_id,
                p_face_ids=list(face_ids),
                p_collection_id=collection_id,
                p_lease_token=lease.token,
                p_lease_seconds=lease.seconds,
            )
        return photo_of(row)

    async def finish_indexing(self, photo_id: str, *, face_ids: Sequence[str], lease: Lease) -> None:
        """The named faces go from `pending` to `indexed`; the lease is given back. Raises `LeaseLost`."""
        with _translated_errors(photo_id):
            await self._client.call(
                "finish_indexing", p_photo_id=photo_id, p_face_ids=list(face_ids), p_lease_token=lease.token
            )

    async def begin_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease; every face of the photo goes to `removing`; see `MetadataStore`."""
        with _translated_errors(photo_id):
            return bool(
                await self._client.call(
                    "begin_removal",
                    p_photo_id=photo_id,
                    p_lease_token=lease.token,
                    p_lease_seconds=lease.seconds,
                )
            )

    async def begin_face_removal(self, photo_id: str, *, face_id: str, lease: Lease) -> PhotoRecord | None:
        """Take the lease of the photo; the face goes to `removing`; see `MetadataStore`."""
        with _translated_errors(photo_id):
            row = await self._client.call(
                "begin_face_removal",
                p_photo_id=photo_id,
                p_face_id=face_id,
                p_lease_token=lease.token,
                p_lease_seconds=lease.seconds,
            )
        return None if row is None else photo_of(row)

    async def begin_removals(
        self, *, collection_id: str | None, until: datetime, lease: Lease, limit: int
    ) -> RemovalBatch:
        """`begin_removal` for up to `limit` photos that have a face up to `until`; see `MetadataStore`."""
        batch = await self._client.call(
            "begin_removals",
            p_collection_id=collection_id,
            p_until=until.isoformat(),
            p_limit=limit,
            p_lease_token=lease.token,
            p_lease_seconds=lease.seconds,
        )
        return RemovalBatch(tuple(batch["photo_ids"]), batch["busy"])

    async def finish_removals(self, photo_ids: Sequence[str], *, purge: bool, lease: Lease) -> int:
        """Delete the faces in state `removing`, with `purge` the photos too; see `MetadataStore`.

        When the first response was lost, the retry counts only the faces that it removed itself.
        """
        done = await self._client.call(
            "finish_removals", p_photo_ids=list(photo_ids), p_purge=purge, p_lease_token=lease.token
        )
        if lost := done["lost"]:
            raise LeaseLost(f"the leases of {len(lost)} photos are lost, first of all {lost[0]!r}")
        return int(done["faces_removed"])

    async def purged(self, photo_ids: Sequence[str]) -> list[str]:
        """The photos among `photo_ids` that were purged and have not been recorded again since."""
        return [str(each) for each in await self._client.call("purged", p_photo_ids=list(photo_ids))]

    async def begin_image_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease of a purged photo; see `MetadataStore`."""
        with _translated_errors(photo_id):
            return bool(
                await self._client.call(
                    "begin_image_removal",
                    p_photo_id=photo_id,
                    p_lease_token=lease.token,
                    p_lease_seconds=lease.seconds,
                )
            )

    async def release(self, photo_id: str, *, lease: Lease) -> None:
        """Give the lease back without finishing. Does nothing when it is not held."""
        await self._client.call("release", p_photo_id=photo_id, p_lease_token=lease.token)

    async def overview(self) -> Overview:
        """The number of photos of each status, and the result of the last audit."""
        return overview_of(await self._client.call("overview"))

    async def record_audit(self, *, photos: int, differences: Mapping[str, int]) -> None:
        """Store the result of an audit that ends now, in place of the previous result."""
        await self._client.call("record_audit", p_photos=photos, p_differences=dict(differences))

    async def now(self) -> datetime:
        """PostgreSQL's clock, in UTC."""
        return datetime.fromisoformat(await self._client.call("clock"))

    @property
    def _client(self) -> PostgrestClient:
        if self._opened is None:
            raise DependencyUnavailable("postgrest", "the store is not open")
        return self._opened


@contextmanager
def _translated_errors(photo_id: str, collection_id: str | None = None) -> Iterator[None]:
    """Raises the exception for a code of schema.sql; `collection_id` is that of the request."""
    try:
        yield
    except PostgrestError as error:
        raise _in_words_of_the_domain(error, photo_id, collection_id) from None


def _in_words_of_the_domain(error: PostgrestError, photo_id: str, collection_id: str | None) -> Exception:
    meanings = {
        "FS001": PhotoBusy(f"photo {photo_id!r} is held by another writer"),
        "FS002": LeaseLost(f"the lease of photo {photo_id!r} is lost"),
        "FS003": PhotoNotFound(photo_id),
        "FS004": FaceNotFound(error.details),
        "FS005": CollectionMismatch(photo_id, error.details, collection_id or ""),
        "FS006": other_image(photo_id),
        "23505": ValueError("a face belongs to another photo"),
    }
    return meanings.get(error.code, ValueError(f"the metadata refuse this ({error.code})"))
