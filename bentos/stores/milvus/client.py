"""One connection to Milvus, or one Milvus Lite file: every call bounded in time, every failure one error."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.milvus.options import MilvusOptions


@contextmanager
def _kept_from_pymilvus() -> Iterator[None]:
    """As it is imported, pymilvus reads MILVUS_URI by itself and raises when that is a file, and it loads whatever
    `.env` it finds on the way up into this process's environment.
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
    from pymilvus.client.prepare import Prepare
    from pymilvus.client.ts_utils import construct_guarantee_ts
    from pymilvus.client.utils import check_status
    from pymilvus.decorators import retry_on_rpc_failure
    from pymilvus.exceptions import ParamError
    from pymilvus.grpc_gen.common_pb2 import PlaceholderGroup, PlaceholderType, PlaceholderValue
    from pymilvus.grpc_gen.milvus_pb2 import SearchRequest

# It also prints each failed call with its traceback, and then raises it: that is enough.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

__all__ = [
    "DataType",
    "MilvusConnection",
    "MilvusException",
    "PlaceholderGroup",
    "PlaceholderType",
    "PlaceholderValue",
    "Prepare",
    "SearchRequest",
]

T = TypeVar("T")

_MARGIN_S = 0.25
"""pymilvus keeps the timeout for a call, but not for the reconnection that it tries in between."""
_LONGEST_REASON = 200

# By gRPC's code, or by pymilvus' and the server's.
_REASONS: dict[object, str] = {
    grpc.StatusCode.UNAVAILABLE: "it cannot be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "it did not answer in time",
    grpc.StatusCode.UNAUTHENTICATED: "it refuses MILVUS_TOKEN",
    grpc.StatusCode.PERMISSION_DENIED: "the user of MILVUS_TOKEN lacks a right",
    2: "it cannot be reached",
    1400: "it refuses MILVUS_TOKEN",
    1401: "the user of MILVUS_TOKEN lacks a right",
}

_lite_lock = threading.Lock()
_lite_users: Counter[str] = Counter()


class MilvusConnection:
    """Opened once for the process; safe for concurrent use by the tasks of one event loop."""

    def __init__(self, options: MilvusOptions) -> None:
        self._options = options
        self._client: Any = None

    async def open(self) -> None:
        """Connect. Raises `DependencyUnavailable` within the timeout."""
        if self._client is not None:
            return
        # A connection of its own: those that pymilvus shares are kept by the id of an event loop, which may be
        # that of an earlier, closed one.
        arguments = {"token": self._options.token, "timeout": self._options.timeout_s, "dedicated": True}
        try:
            if self._options.lite:
                self._client = await asyncio.to_thread(_start_lite, self._options.uri, arguments)
            else:
                self._client = AsyncMilvusClient(self._options.uri, **arguments)
            await self.call(lambda client: client.get_server_version(timeout=self._options.timeout_s))
        except MilvusException as error:
            raise DependencyUnavailable("milvus", _reason(error, self._options)) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection. Safe to call twice."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            await asyncio.wait_for(client.close(), self._options.timeout_s)
        except (TimeoutError, MilvusException, grpc.RpcError):
            logging.getLogger(__name__).warning("the connection to milvus did not close in time")
        finally:
            if self._options.lite:
                await asyncio.to_thread(_stop_lite, self._options.uri)

    async def call(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """The answer of `operation`, which gets pymilvus' client and gives it the timeout.

        Raises `DependencyUnavailable` for whatever goes wrong on the way or on the server.
        """
        if self._client is None:
            raise DependencyUnavailable("milvus", "the service has not connected to it")
        try:
            # Not wait_for: until Python 3.12 that is one more task for each call.
            async with asyncio.timeout(self._options.timeout_s + _MARGIN_S):
                return await operation(self._client)
        except TimeoutError as error:
            reason = f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("milvus", reason) from error
        except ParamError:
            raise  # A mistake in this program, not an outage.
        except (MilvusException, grpc.RpcError) as error:
            raise DependencyUnavailable("milvus", _reason(error, self._options)) from error

    async def search(self, request: Any) -> Any:
        """The `SearchResultData` that answers this `SearchRequest`, read at the level of the options.

        Raises `DependencyUnavailable`, as `call` does.
        """

        async def ask(client: Any) -> Any:
            # pymilvus has no public way to its channel, which is another one once the server was away.
            handler = await client._get_connection()  # noqa: SLF001
            level = {"consistency_level": self._options.consistency}
            construct_guarantee_ts(request.collection_name, level, handler.server_address)
            request.consistency_level = level["consistency_level"]
            request.guarantee_timestamp = level["guarantee_timestamp"]
            return await _searched(handler, request, self._options.timeout_s)

        return await self.call(ask)


@retry_on_rpc_failure()  # type: ignore[untyped-decorator]
async def _searched(handler: Any, request: Any, deadline_s: float) -> Any:
    """As pymilvus' own `search` does it, with its retries and its reconnection."""
    response = await handler._async_stub.Search(request, timeout=deadline_s)  # noqa: SLF001
    check_status(response.status)
    return response.results


def _start_lite(path: str, arguments: dict[str, Any]) -> Any:
    """A client of the server thread for this file, which is started unless another store has done so."""
    path = str(Path(path).resolve())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _lite_lock:
        client = AsyncMilvusClient(path, **arguments)
        _lite_users[path] += 1
    return client


def _stop_lite(path: str) -> None:
    """Stop the server thread, and free the file for other processes, when its last store is closed."""
    from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415 - a second of imports

    path = str(Path(path).resolve())
    with _lite_lock:
        _lite_users[path] -= 1
        if not _lite_users[path]:
            server_manager_instance.release_server(path)


def _reason(error: Exception, options: MilvusOptions) -> str:
    """Why it failed, in a few words that hold neither an address nor the token."""
    code = error.code() if isinstance(error, grpc.RpcError) else getattr(error, "code", None)
    if code in _REASONS:
        return _REASONS[code]
    if isinstance(code, grpc.StatusCode):
        return f"the call failed ({code.name.lower()})"
    message = str(getattr(error, "message", error)).split("\n")[0]
    if options.lite and "Open local milvus failed" in message:
        return f"{Path(options.uri).name} is open in another process, or cannot be read"
    if "Retry timeout" in message:
        return _REASONS[grpc.StatusCode.DEADLINE_EXCEEDED]
    if options.token:
        message = message.replace(options.token, "***")
    return message.rstrip(".")[:_LONGEST_REASON]
