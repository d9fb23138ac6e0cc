"""The PostgREST stand-in's connection to PostgreSQL: a pool, the schema cache, and attempts with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bentos.demo.servers.postgrest_cache import Cache, read_cache
from bentos.demo.servers.postgrest_requests import Refused

_LONGEST_PAUSE_S = 32
_CONNECT_WITHIN_S = 2


@dataclass(frozen=True)
class Config:
    """`db-uri`, `jwt-secret`, `db-schemas` (one), `db-pool` and `db-pool-acquisition-timeout` of PostgREST.

    `major`: 12, 13 or 14; where statuses and codes of errors differ between versions, those of this one are returned.
    """

    dsn: str
    jwt_secret: str
    schema: str = "face_search"
    pool: int = 10
    pool_acquisition_timeout_s: int = 10
    major: int = 14


def pauses() -> Iterator[int]:
    """The seconds between two attempts to read the schema: 1, 2, 4, ... 32, 32, ..."""
    pause = 1
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE_S)


class Database:
    """The database of one stand-in.

    As in PostgREST: while the schema has not been read, at the start or since a connection failed, every request is
    answered PGRST002, and reading is tried again after growing pauses, whether or not PostgreSQL is back.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = AsyncConnectionPool(
            config.dsn,
            min_size=1,
            max_size=config.pool,
            timeout=config.pool_acquisition_timeout_s,
            open=False,
            kwargs={"autocommit": True},
            reconnect_timeout=0,
        )
        self._cache: Cache | None = None
        self._reason = ""
        self._reading: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the pool, and try to read the schema once; close everything after the block."""
        async with self._pool:
            self._read_schema()
            await self._tried.wait()
            try:
                yield
            finally:
                if self._reading is not None:
                    self._reading.cancel()

    @property
    def schema(self) -> Cache:
        """The schema cache. Raises `Refused` while there is none."""
        if self._cache is None:
            message = "Could not query the database for the schema cache. Retrying."
            raise Refused(503, "PGRST002", message, self._reason)
        return self._cache

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool. Raises `Refused` when none is free, and when it fails; other `psycopg.Error`."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except PoolTimeout:
            if reason := await self._refusal():
                raise self._lost(reason) from None
            raise Refused(504, "PGRST003", "Timed out acquiring connection from connection pool.") from None
        except psycopg.Error as error:
            if not _is_lost(error):
                raise
            refused = self._lost(str(error))
            # As PostgREST does after a failed connection: the others of the pool are checked before they are used.
            await self._pool.check()
            raise refused from None

    def _lost(self, reason: str) -> Refused:
        self._read_schema()
        return Refused(503, "PGRST001", "Database client error. Retrying the connection.", reason)

    def _read_schema(self) -> None:
        self._cache = None
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._until_read())

    async def _until_read(self) -> None:
        for pause in pauses():
            try:
                async with await self._connected() as connection:
                    self._cache = await read_cache(connection, self._config.schema)
            except psycopg.Error as error:
                self._reason = str(error)
            else:
                return
            finally:
                self._tried.set()
            await asyncio.sleep(pause)

    async def _refusal(self) -> str | None:
        """Why PostgreSQL accepts no connection, or None when it does."""
        try:
            async with await self._connected():
                return None
        except psycopg.Error as error:
            return str(error)

    async def _connected(self) -> AsyncConnection:
        return await AsyncConnection.connect(
            self._config.dsn, connect_timeout=_CONNECT_WITHIN_S, autocommit=True
        )


def _is_lost(error: psycopg.Error) -> bool:
    code = error.sqlstate
    return code is None or code.startswith("08") or isinstance(error, psycopg.errors.AdminShutdown)
