"""The connection to a Milvus server or a Milvus Lite file: every call is bounded in time and fails with one error."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import grpc

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.milvus.errors import Failure, failure_of
from bentos.stores.milvus.lite_file import start_lite, stop_lite
from bentos.stores.milvus.options import MilvusOptions


@contextmanager
def _kept_from_pymilvus() -> Iterator[None]:
    """Keep the environment as it is while pymilvus is imported.

    On import pymilvus reads MILVUS_URI and raises when that is a file, and it loads the next `.env` file that it finds
    in a parent folder into the environment.
    """
    before = dict(os.environ)
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    os.environ.pop("MILVUS_URI", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


with _kept_from_pymilvus():
    from pymilvus import AsyncMilvusClient, DataType, MilvusException
    from pymilvus.exceptions import ParamError

# pymilvus logs each failed call with its traceback and then raises the error, which is enough.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

__all__ = ["AsyncMilvusClient", "DataType", "MilvusConnection", "MilvusException"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

_MARGIN_S = 0.25
"""pymilvus keeps the timeout for a call, but not for the reconnection that it tries in between."""
_LOG_AGAIN_AFTER_S = 60.0


def _ignore(_: Failure) -> None:
    return None


class MilvusConnection:
    """Opened once for the process; safe for concurrent use by the tasks of one event loop.

    `on_failure` is called with each failure of the server, before the call raises.
    """

    def __init__(self, options: MilvusOptions, on_failure: Callable[[Failure], None] = _ignore) -> None:
        self._options = options
        self._on_failure = on_failure
        self._client: Any = None
        self._earlier: Any = None
        self._token = ""
        self._tried_token = ""
        self._logged_at: dict[object, float] = {}

    @property
    def options(self) -> MilvusOptions:
        """The options of the store."""
        return self._options

    @property
    def is_open(self) -> bool:
        """Whether `open` succeeded and `close` was not called since."""
        return self._client is not None

    async def open(self) -> None:
        """Connect with the present token. Raises `DependencyUnavailable` within the timeout."""
        if self._client is None:
            self._client = await self._connected()

    async def renew(self) -> None:
        """Connect again when the token has changed since. Raises `DependencyUnavailable` and then changes nothing.

        Calls that are under way finish on the earlier connection: closing it would cancel them. It stays open, and
        idle, until the next renewal or `close`.
        """
        if not self.is_open or self._options.lite or self._options.token() == self._token:
            return
        client = await self._connected()
        stale, self._earlier, self._client = self._earlier, self._client, client
        await self._closed(stale)

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""
        client, earlier, self._client, self._earlier = self._client, self._earlier, None, None
        await self._closed(earlier)
        await self._closed(client)

    async def call(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """The answer of `operation`, which gets pymilvus' client and gives it the timeout.

        Raises `DependencyUnavailable`, with a fixed sentence, for whatever fails on the way or on the server.
        """
        if self._client is None:
            raise DependencyUnavailable("milvus", "the service has not connected to it")
        return await self._bounded(self._client, operation)

    async def _connected(self) -> Any:
        """A client with the present token, after the server has answered it."""
        token = self._tried_token = self._options.token()
        # Dedicated: the connections that pymilvus shares are kept by the id of an event loop, which may be that of
        # an earlier, closed one.
        connect = partial(AsyncMilvusClient, token=token, timeout=self._options.timeout_s, dedicated=True)
        client: Any = None
        try:
            if self._options.lite:
                client = await asyncio.to_thread(start_lite, self._options.uri, connect)
            else:
                client = connect(self._options.uri)
            await self._bounded(client, lambda made: made.get_server_version(timeout=self._options.timeout_s))
        except MilvusException as error:
            raise self._unavailable(error) from error
        except BaseException:
            await self._closed(client)
            raise
        self._token = token
        return client

    async def _closed(self, client: Any) -> None:
        if client is None:
            return
        try:
            await asyncio.wait_for(client.close(), self._options.timeout_s)
        except (TimeoutError, MilvusException, grpc.RpcError):
            logger.warning("the connection to milvus did not close in time")
        finally:
            if self._options.lite:
                await asyncio.to_thread(stop_lite, self._options.uri)

    async def _bounded(self, client: Any, operation: Callable[[Any], Awaitable[T]]) -> T:
        try:
            # Not wait_for: until Python 3.12 that makes one more task for each call.
            async with asyncio.timeout(self._options.timeout_s + _MARGIN_S):
                return await operation(client)
        except TimeoutError as error:
            reason = f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("milvus", reason) from error
        except ParamError:
            raise  # A mistake in this program, not an outage.
        except (MilvusException, grpc.RpcError, grpc.aio.UsageError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> DependencyUnavailable:
        failure = failure_of(error, self._options, (self._token, self._tried_token))
        now = time.monotonic()
        if now - self._logged_at.get(failure.code, -_LOG_AGAIN_AFTER_S) >= _LOG_AGAIN_AFTER_S:
            self._logged_at[failure.code] = now
            logger.warning("milvus: %s; it said: %s", failure.reason, failure.detail)
        self._on_failure(failure)
        return DependencyUnavailable("milvus", failure.reason)
