"""Opens and checks the store's collection, and reopens it after it was released, dropped or replaced."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import numpy as np

from bentos.domain.errors import DependencyUnavailable, FaceSearchError, NotReady
from bentos.domain.redaction import frames_of
from bentos.stores.milvus.client import MilvusConnection
from bentos.stores.milvus.errors import Failure
from bentos.stores.milvus.options import MilvusOptions
from bentos.stores.milvus.rows import MilvusRows
from bentos.stores.milvus.schema import FACE_ID, MilvusSchema
from bentos.stores.milvus.search import WIDEST

logger = logging.getLogger(__name__)

_PAUSE_S = 1.0
"""The wait after a failed attempt to reopen the collection."""


@dataclass(frozen=True, slots=True)
class OpenCollection:
    """A collection that can be searched. Up to `steady_width` rows the index searches with the same parameters."""

    name: str
    rows: MilvusRows
    steady_width: int


class MilvusCollection:
    """Keeps `current` usable. Safe for concurrent use by the tasks of one event loop.

    A call that fails because the collection is not loaded, does not exist, or because the token is refused, starts one
    attempt to reopen the collection in the background; calls fail until it succeeds. `check` starts one when the
    alias is gone or names another collection. An alias that names another collection of the same face pack is
    followed. One that names another face pack's is not: the store keeps the collection that it opened, so that
    embeddings of two packs are never compared, and a process that starts then is not ready.
    """

    def __init__(self, options: MilvusOptions) -> None:
        self._options = options
        self.connection = MilvusConnection(options, self._on_failure)
        self.current = self._searchable(options.collection, "")
        self._in_use: str | None = None
        self._other_pack: str | None = None
        self._lock = asyncio.Lock()
        self._reopening: asyncio.Task[None] | None = None
        self._refusal: NotReady | None = None
        self._logged = ""
        self._probe = np.eye(1, options.dim, dtype=np.float32)[0]

    async def open(self) -> None:
        """Connect, create what is missing, load. Raises `NotReady`; `DependencyUnavailable`."""
        async with self._lock:
            await self.connection.open()
            try:
                await self._find()
            except BaseException:
                await self.connection.close()
                raise

    async def close(self) -> None:
        """Stop attempts to reopen the collection, and close the connection. Safe to call twice."""
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        await self.connection.close()

    async def check(self) -> None:
        """Search for one row, as `nearest` does, then compare the alias with the collection in use.

        Raises `DependencyUnavailable`; `NotReady` when the collection in use is gone and the alias names another
        face pack's.
        """
        try:
            await self.current.rows.nearest(self._probe, width=1, condition="")
            self._refusal = None
            if self._options.beside:
                return
            target = await MilvusSchema(self.connection, self._options).alias_target()
        except DependencyUnavailable:
            if self._refusal is not None:
                raise self._refusal from None
            raise
        if target is None or target not in {self.current.name, self._other_pack}:
            self._open_again()

    async def _find(self) -> None:
        """Find the collection, and use it once it can be searched."""
        found = await MilvusSchema(self.connection, self._options).ensure(self._in_use)
        await self._answers(found.name)
        if self._in_use is not None and found.name != self._in_use:
            logger.warning("milvus: searches and writes now use %s instead of %s", found.name, self._in_use)
        other = found.alias_target if found.alias_target != found.name else None
        if other is not None and other != self._other_pack:
            logger.warning(
                "milvus: the alias %r now names %s, which another face pack made; this process keeps %s until it ends",
                self._options.alias,
                other,
                found.name,
            )
        self.current = self._searchable(found.name, found.index_type)
        self._in_use, self._other_pack, self._refusal = found.name, other, None

    async def _answers(self, name: str) -> None:
        """Search for one row: a server that has just started reports Loaded up to 30 s before it can search."""
        await self.connection.call(
            lambda client: client.query(
                name,
                filter=f'{FACE_ID} in [""]',
                output_fields=[FACE_ID],
                limit=1,
                consistency_level="Strong",
                timeout=self._options.timeout_s,
            )
        )

    def _on_failure(self, failure: Failure) -> None:
        if failure.needs_reopening:
            self._open_again()

    def _open_again(self) -> None:
        """Start one attempt in the background, unless one is under way or `open` was never finished."""
        if self._in_use is None or not self.connection.is_open:
            return
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        try:
            async with self._lock:
                await self.connection.renew()
                await self._find()
        except FaceSearchError as error:
            self._refusal = error if isinstance(error, NotReady) else None
            self._log_once(error.message)
            await asyncio.sleep(_PAUSE_S)
        except Exception as error:  # noqa: BLE001 - the task ends here, so that the next failed call starts another
            self._log_once(f"{type(error).__name__} was not expected", error)
            await asyncio.sleep(_PAUSE_S)
        else:
            self._logged = ""
            logger.info("milvus: the collection %s is open again", self.current.name)

    def _log_once(self, reason: str, error: Exception | None = None) -> None:
        if reason != self._logged:
            self._logged = reason
            logger.warning(
                "milvus: could not open the collection again: %s", reason, extra={"fields": frames_of(error)}
            )

    def _searchable(self, name: str, index_type: str) -> OpenCollection:
        options = self._options
        params = {"HNSW": {"ef": options.search_ef}, "IVF_FLAT": {"nprobe": options.search_nprobe}}
        # HNSW searches with the same effort until `ef` has to grow; of an unknown type nothing is known.
        widths = {"HNSW": options.search_ef, "IVF_FLAT": WIDEST, "FLAT": WIDEST}
        rows = MilvusRows(self.connection, name, params.get(index_type, {}))
        return OpenCollection(name, rows, widths.get(index_type, 0))
