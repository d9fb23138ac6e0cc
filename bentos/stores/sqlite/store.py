"""`MetadataStore` in one SQLite file: for a laptop, the demo and the tests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.records import (
    FaceRecord,
    Lease,
    LeaseLost,
    Overview,
    PhotoDetails,
    PhotoPage,
    PhotoRecord,
    PhotoStatus,
    RemovalBatch,
)
from bentos.stores.sqlite import leases, overview, reads, removals, writes
from bentos.stores.sqlite.schema import ADDED_COLUMNS, SCHEMA

T = TypeVar("T")

_REASONS = {
    "SQLITE_BUSY": "another process keeps the file locked",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk failed",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_READONLY": "the file may not be written to",
}
"""Reasons by the beginning of SQLite's name for the error."""


class SqliteMetadataStore:
    """`MetadataStore` in the file `path`, which is created, with its folder, when it is missing.

    One connection, used by one thread; several processes may share the file. Every method is one
    transaction, and once it has returned, its changes survive a crash of the process and of the machine.
    """

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        """`timeout_s`: how long to wait for another process that is writing to the file."""
        self._path = path
        self._timeout_s = timeout_s
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, creating what is missing. Raises `DependencyUnavailable`."""
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-metadata")
        try:
            await self._in_thread(self._connect)
        except BaseException:
            await self.close()
            raise

    async def check(self) -> None:
        """Read from the table of photos. Raises `DependencyUnavailable`."""
        await self._transaction(lambda c: reads.find_photo(c, ""), "deferred")

    async def close(self) -> None:
        """Close the file. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown(wait=False)

    async def photo(self, photo_id: str) -> PhotoRecord | None:
        """The photo with its faces, or None."""
        return await self._transaction(lambda c: reads.find_photo(c, photo_id), "deferred")

    async def photo_of_face(self, face_id: str) -> PhotoRecord | None:
        """The photo that the face belongs to, with all its faces, or None."""
        return await self._transaction(lambda c: reads.find_photo_of_face(c, face_id), "deferred")

    async def photo_details(self, photo_id: str) -> PhotoDetails | None:
        """The photo with its faces and its status, or None."""
        return await self._transaction(lambda c: reads.details_of_photo(c, photo_id), "deferred")

    async def list_photos(
        self,
        *,
        collection_id: str | None = None,
        status: PhotoStatus | None = None,
        limit: int,
        offset: int,
    ) -> PhotoPage:
        """Newest first (by creation), ties by `photo_id`."""
        return await self._transaction(
            lambda c: reads.page_of_photos(c, collection_id, status, limit, offset), "deferred"
        )

    async def scan_photos(self, batch_size: int = 500) -> AsyncIterator[list[PhotoRecord]]:
        """Every photo with its faces, in batches, ordered by `photo_id`."""
        last = ""
        while batch := await self._photos_after(last, batch_size):
            yield batch
            last = batch[-1].photo_id

    async def begin_detection(
        self, photo_id: str, *, collection_id: str | None, image_sha256: str, lease: Lease
    ) -> PhotoRecord:
        """Take the lease of the photo, creating its record when there is none; see `MetadataStore`."""

        def change(c: sqlite3.Connection) -> PhotoRecord:
            writes.begin_detection(c, photo_id, collection_id, image_sha256, lease)
            return _photo(c, photo_id)

        return await self._transaction(change)

    async def finish_detection(
        self, photo_id: str, *, width: int, height: int, faces: Sequence[FaceRecord], lease: Lease
    ) -> PhotoRecord:
        """Record the size and the faces, and give the lease back. Raises `LeaseLost`."""

        def change(c: sqlite3.Connection) -> PhotoRecord:
            writes.finish_detection(c, photo_id, width, height, faces, lease)
            return _photo(c, photo_id)

        return await self._transaction(change)

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

        def change(c: sqlite3.Connection) -> PhotoRecord:
            writes.finish_detection(c, photo_id, width, height, faces, lease)
            writes.begin_indexing(c, photo_id, face_ids, None, lease)
            return _photo(c, photo_id)

        return await self._transaction(change)

    async def begin_indexing(
        self, photo_id: str, *, face_ids: Sequence[str], collection_id: str | None, lease: Lease
    ) -> PhotoRecord:
        """Take the lease; the named faces go from `detected` to `pending`; see `MetadataStore`."""

        def change(c: sqlite3.Connection) -> PhotoRecord:
            writes.begin_indexing(c, photo_id, face_ids, collection_id, lease)
            return _photo(c, photo_id)

        return await self._transaction(change)

    async def finish_indexing(self, photo_id: str, *, face_ids: Sequence[str], lease: Lease) -> None:
        """The named faces go from `pending` to `indexed`; the lease is given back. Raises `LeaseLost`."""
        await self._transaction(lambda c: writes.finish_indexing(c, photo_id, face_ids, lease))

    async def begin_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease; every face of the photo goes to `removing`; see `MetadataStore`."""
        return await self._transaction(lambda c: removals.begin_removal(c, photo_id, lease))

    async def begin_face_removal(self, photo_id: str, *, face_id: str, lease: Lease) -> PhotoRecord | None:
        """Take the lease of the photo; the face goes to `removing`; see `MetadataStore`."""

        def change(c: sqlite3.Connection) -> PhotoRecord | None:
            begun = removals.begin_face_removal(c, photo_id, face_id, lease)
            return _photo(c, photo_id) if begun else None

        return await self._transaction(change)

    async def begin_removals(
        self, *, collection_id: str | None, until: datetime, lease: Lease, limit: int
    ) -> RemovalBatch:
        """`begin_removal` for up to `limit` photos that have a face up to `until`; see `MetadataStore`."""
        micros = reads.to_micros(until)
        return await self._transaction(
            lambda c: removals.begin_removals(c, collection_id, micros, lease, limit)
        )

    async def finish_removals(self, photo_ids: Sequence[str], *, purge: bool, lease: Lease) -> int:
        """Delete the faces in state `removing`, with `purge` the photos too; see `MetadataStore`."""
        gone, lost = await self._transaction(lambda c: removals.finish_removals(c, photo_ids, purge, lease))
        if lost:
            raise LeaseLost(f"the leases of {len(lost)} photos are lost, first of all {lost[0]!r}")
        return gone

    async def purged(self, photo_ids: Sequence[str]) -> list[str]:
        """The photos among `photo_ids` that were purged and have not been recorded again since."""
        return await self._transaction(lambda c: removals.purged(c, photo_ids), "deferred")

    async def begin_image_removal(self, photo_id: str, *, lease: Lease) -> bool:
        """Take the lease of a purged photo; see `MetadataStore`."""
        return await self._transaction(lambda c: removals.begin_image_removal(c, photo_id, lease))

    async def release(self, photo_id: str, *, lease: Lease) -> None:
        """Give the lease back without finishing. Does nothing when it is not held."""
        await self._transaction(lambda c: writes.release(c, photo_id, lease))

    async def overview(self) -> Overview:
        """The number of photos of each status, and the result of the last audit."""
        return await self._transaction(overview.overview, "deferred")

    async def record_audit(self, *, photos: int, differences: Mapping[str, int]) -> None:
        """Store the result of an audit that ends now, in place of the previous result."""
        await self._transaction(lambda c: overview.record_audit(c, photos, differences))

    async def now(self) -> datetime:
        """This machine's clock, in UTC."""
        return reads.from_micros(leases.clock())

    async def _photos_after(self, photo_id: str, limit: int) -> list[PhotoRecord]:
        return await self._transaction(lambda c: reads.photos_after(c, photo_id, limit), "deferred")

    async def _transaction(self, work: Callable[[sqlite3.Connection], T], mode: str = "immediate") -> T:
        def whole_or_not_at_all() -> T:
            connection = self._connection
            if connection is None:
                raise DependencyUnavailable("postgrest", "the metadata file is not open")
            connection.execute(f"begin {mode}")
            try:
                result = work(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            return result

        return await self._in_thread(whole_or_not_at_all)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise DependencyUnavailable("postgrest", "the metadata file is not open")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the metadata refuse this ({error.sqlite_errorname})") from error
        except (sqlite3.Error, OSError) as error:
            raise DependencyUnavailable("postgrest", f"{self._path}: {_reason(error)}") from error

    def _connect(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
        self._connection = connection
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        # Metadata have to survive a power failure: NORMAL could lose the last commits.
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        connection.executescript(f"begin immediate; {SCHEMA} commit;")
        _add_columns(connection)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return next((reason for code, reason in _REASONS.items() if name.startswith(code)), f"it failed ({name})")


def _add_columns(connection: sqlite3.Connection) -> None:
    connection.execute("begin immediate")
    for table, column, kind in ADDED_COLUMNS:
        if column not in {row["name"] for row in connection.execute(f"pragma table_info({table})")}:
            connection.execute(f"alter table {table} add column {column} {kind}")
    connection.commit()


def _photo(connection: sqlite3.Connection, photo_id: str) -> PhotoRecord:
    photo = reads.find_photo(connection, photo_id)
    if photo is None:
        raise LookupError(photo_id)
    return photo
