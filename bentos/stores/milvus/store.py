"""`VectorStore` in a Milvus server (2.3.5 or later) or a Milvus Lite file, with the same code for both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import numpy as np

from bentos.domain.errors import DependencyUnavailable
from bentos.domain.faces import Embedding
from bentos.domain.ids import is_face_id, is_valid_id
from bentos.stores.milvus.collection import MilvusCollection
from bentos.stores.milvus.columns import face_of
from bentos.stores.milvus.options import MilvusOptions
from bentos.stores.milvus.schema import BBOX, COLLECTION_ID, EMBEDDING, FACE_ID, PHOTO_ID
from bentos.stores.milvus.search import WIDEST, nearest_photos
from bentos.stores.milvus.shared_runs import SharedRuns
from bentos.stores.milvus.siblings import remove_from_all
from bentos.stores.records import FaceVector, Match, StoredVector

__all__ = ["MilvusOptions", "MilvusVectorStore"]

_BATCH_BYTES = 4 * 1024 * 1024
_IDS_IN_A_FILTER = 1000
_ROWS_IN_A_REMOVAL = 4096
_CHECKS_AT_ONCE = 4
"""Sixteen Strong queries at once take two time ticks instead of one; with one, others wait for the next tick."""
_ROWS_IN_LITE_MEMORY = 256
"""Milvus Lite searches rows that are not flushed one by one, 0.05 ms each, and flushed rows all at once."""


class MilvusVectorStore:
    """The `VectorStore` over Milvus."""

    def __init__(self, options: MilvusOptions) -> None:
        self._options = options
        self._collection = MilvusCollection(options)
        self._connection = self._collection.connection
        # When the first two writes run at once, Milvus Lite opens its log twice and loses one of them.
        self._writing: AbstractAsyncContextManager[Any] = asyncio.Lock() if options.lite else nullcontext()
        self._unflushed = 0
        self._rows_in_a_write = max(1, min(_IDS_IN_A_FILTER, _BATCH_BYTES // (4 * options.dim)))
        self._upserts = SharedRuns(self._upsert, most=self._rows_in_a_write)
        self._checks = SharedRuns(self._until_found, most=_IDS_IN_A_FILTER, at_once=_CHECKS_AT_ONCE)

    async def open(self) -> None:
        """Connect; create the collection, its indexes and its alias when missing; load it.

        Raises `NotReady` when the base was built with another face pack or dimension; `DependencyUnavailable`.
        """
        await self._collection.open()
        try:
            await self._flush_lite()
        except BaseException:
            await self._collection.close()
            raise

    async def check(self) -> None:
        """Search for one row, and check that the alias still names the collection in use.

        Raises `NotReady`; `DependencyUnavailable`. `MilvusCollection` describes what is reopened automatically.
        """
        await self._collection.check()

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""
        await self._collection.close()

    async def save_faces(self, faces: Sequence[FaceVector]) -> None:
        """Insert or replace, by `face_id`. Raises `ValueError` for a wrong dimension or id."""
        rows = [self._row(face) for face in faces]
        for batch in _batches(rows, self._rows_in_a_write):
            await self._in_time(self._upserts.run(batch))
        if rows and self._options.waits_after_write:
            await self._in_time(self._checks.run([rows[-1][FACE_ID]]))
        self._unflushed += len(rows)
        if self._unflushed >= _ROWS_IN_LITE_MEMORY:
            await self._flush_lite()

    async def nearest(
        self,
        embedding: Embedding,
        *,
        photos: int,
        score_threshold: float,
        collection_ids: Sequence[str] = (),
    ) -> list[Match]:
        """The `photos` most similar photos, one match each, score descending, ties by `photo_id`.

        All of its calls together end within the timeout. Raises `ValueError` for a wrong dimension or id.
        """
        query = self._checked(embedding)
        collection = self._collection.current
        scope = _is_in(COLLECTION_ID, _valid(collection_ids)) if collection_ids else ""

        async def fetch(width: int, without: Collection[str]) -> list[Match]:
            outside = f"not ({_is_in(PHOTO_ID, without)})" if without else ""
            condition = " and ".join(filter(None, (scope, outside)))
            return await collection.rows.nearest(query, width=width, condition=condition)

        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await nearest_photos(
                    fetch,
                    photos=photos,
                    score_threshold=score_threshold,
                    steady_width=collection.steady_width,
                )
        except TimeoutError as error:
            reason = f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("milvus", reason) from error

    async def face(self, face_id: str) -> FaceVector | None:
        """The stored face, read at the level of searches. Raises `ValueError` for a malformed id."""
        [wanted] = _valid_faces([face_id])
        rows = await self._connection.call(
            lambda client: client.query(
                self._collection.current.name,
                filter=_is_in(FACE_ID, [wanted]),
                output_fields=[FACE_ID, PHOTO_ID, COLLECTION_ID, BBOX, EMBEDDING],
                limit=1,
                consistency_level=self._options.consistency,
                timeout=self._options.timeout_s,
            )
        )
        return face_of(rows[0]) if rows else None

    async def remove_photos(self, photo_ids: Sequence[str]) -> None:
        """Remove every face of these photos. Raises `ValueError` for a malformed id."""
        for batch in _batches(_valid(photo_ids), _IDS_IN_A_FILTER):
            await self._remove_everywhere(_is_in(PHOTO_ID, batch))

    async def remove_faces(self, face_ids: Sequence[str]) -> None:
        """Remove these faces; unknown ids are ignored. Raises `ValueError` for a malformed id."""
        for batch in _batches(_valid_faces(face_ids), _IDS_IN_A_FILTER):
            await self._remove_everywhere(_is_in(FACE_ID, batch))

    async def scan_faces(self, batch_size: int = 1000) -> AsyncIterator[list[StoredVector]]:
        """Every stored face, ordered by `face_id`, in batches of at most `batch_size`."""
        # The pages below are read at the collection's own level; a Strong query first ensures that they are up to date.
        await self._query(_is_in(FACE_ID, [""]), limit=1)
        fields, limit, last = [FACE_ID, PHOTO_ID, COLLECTION_ID], min(batch_size, WIDEST), ""
        while rows := await self._connection.call(
            lambda client, last=last: client.query(  # type: ignore[misc]
                self._collection.current.name,
                filter=f"{FACE_ID} > {json.dumps(last)}",
                output_fields=fields,
                limit=limit,
                timeout=self._options.timeout_s,
                iterator="True",  # Rows come ordered by the primary key only to an iterator.
                reduce_stop_for_best="True",
            )
        ):
            yield [StoredVector(row[FACE_ID], row[PHOTO_ID], row[COLLECTION_ID] or None) for row in rows]
            last = rows[-1][FACE_ID]

    async def _remove_everywhere(self, condition: str) -> None:
        """Remove from this collection, and from those of other face packs that may be searched."""
        await remove_from_all(
            self._connection,
            self._options,
            self._collection.current.name,
            lambda collection: self._remove(condition, collection),
        )

    async def _remove(self, condition: str, collection: str) -> None:
        """Delete until a query finds no row, because pymilvus does not report a deletion that the server refuses.

        Every query is Strong, so that the last one proves that no later search finds a row. Session is not enough:
        Milvus 2.3.5 gives deletions a timestamp from before they become visible.
        """
        before: list[str] = []
        while face_ids := await self._query(condition, limit=_ROWS_IN_A_REMOVAL, collection=collection):
            if face_ids == before:
                raise DependencyUnavailable("milvus", "it did not carry out a removal")
            await self._write(
                lambda client, ids=face_ids: client.delete(  # type: ignore[misc]
                    collection, filter=_is_in(FACE_ID, ids), timeout=self._options.timeout_s
                )
            )
            before = face_ids

    async def _upsert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows, of one or several callers, in one request."""
        # Milvus 2.3.5 stores two rows when one request holds the same key twice.
        last = list({row[FACE_ID]: row for row in rows}.values())
        await self._write(
            lambda client: client.upsert(self._collection.current.name, last, timeout=self._options.timeout_s)
        )

    async def _until_found(self, face_ids: Sequence[str]) -> None:
        """Wait until every search that starts later finds what was written before this call.

        A Strong query is answered after the time ticks of all earlier writes, whichever row it asks for.
        """
        await self._query(_is_in(FACE_ID, face_ids[-1:]), limit=1)

    async def _in_time(self, shared: Awaitable[None]) -> None:
        """Await a shared run for at most the timeout. Raises `DependencyUnavailable`."""
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await shared
        except TimeoutError as error:
            reason = f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("milvus", reason) from error

    async def _write(self, ask: Callable[[Any], Awaitable[Any]]) -> None:
        async with self._writing:
            await self._connection.call(ask)

    async def _query(self, condition: str, *, limit: int, collection: str | None = None) -> list[str]:
        """The ids of the faces that match, read at level Strong, which waits for the server's next time tick."""
        rows = await self._connection.call(
            lambda client: client.query(
                collection or self._collection.current.name,
                filter=condition,
                output_fields=[FACE_ID],
                limit=limit,
                consistency_level="Strong",
                timeout=self._options.timeout_s,
            )
        )
        return sorted(row[FACE_ID] for row in rows)

    async def _flush_lite(self) -> None:
        self._unflushed = 0
        if self._options.lite:
            await self._write(
                lambda client: client.flush(self._collection.current.name, timeout=self._options.timeout_s)
            )

    def _row(self, face: FaceVector) -> dict[str, Any]:
        _valid_faces([face.face_id])
        _valid([face.photo_id] if face.collection_id is None else [face.photo_id, face.collection_id])
        return {
            FACE_ID: face.face_id,
            PHOTO_ID: face.photo_id,
            COLLECTION_ID: face.collection_id or "",
            BBOX: face.bbox.as_list(),
            EMBEDDING: self._checked(face.embedding),
        }

    def _checked(self, embedding: Embedding) -> Embedding:
        if embedding.shape != (self._options.dim,):
            raise ValueError(
                f"an embedding of shape {embedding.shape}; the base has {self._options.dim} dimensions"
            )
        if not np.isfinite(embedding).all():
            raise ValueError("an embedding that is not finite")
        return np.ascontiguousarray(embedding, dtype=np.float32)


def _is_in(field: str, values: Iterable[str]) -> str:
    return f"{field} in {json.dumps(sorted(values))}"


def _valid(ids: Sequence[str]) -> list[str]:
    for each in ids:
        if not is_valid_id(each):
            raise ValueError(f"not an id: {each!r}")
    return sorted(set(ids))


def _valid_faces(face_ids: Sequence[str]) -> list[str]:
    for each in face_ids:
        if not is_face_id(each):
            raise ValueError(f"not a face's id: {each!r}")
    return sorted(set(face_ids))


def _batches(items: Sequence[Any], size: int) -> Iterable[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))
