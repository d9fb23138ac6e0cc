"""A Milvus Lite file in this process: its server is started by the first store and stopped by the last.

Private interface of milvus-lite 3.2.2: `server_manager_instance.release_server`; and of pymilvus 3.0.2:
`AsyncMilvusClient._get_connection`, the stub in `AsyncGrpcHandler._async_stub`, `Prepare.create_index_request`,
`check_status`. Milvus Lite is for laptops, the demo and tests; the images of the services do not have it.

What it buys: a closed file can be opened by another process; and an index is created without the wait for the server's
clock (AllocTimestamp) that Milvus Lite does not have, for which its server prints a stack trace. `problem` is the
self-check at start. The documented way: the file stays open until the process ends, and pymilvus' own `create_index`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_users: Counter[str] = Counter()


@cache
def problem() -> str | None:
    """Why the installed libraries cannot be used this way, or None; a reason is logged once."""
    try:
        # Imported here: that takes a second, and pymilvus must not be imported before its own guard in `client.py`.
        from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415
        from pymilvus.client.prepare import Prepare  # noqa: PLC0415
        from pymilvus.client.utils import check_status  # noqa: PLC0415
    except ImportError as error:
        found: str | None = str(error)
    else:
        used = (
            getattr(server_manager_instance, "release_server", None),
            getattr(Prepare, "create_index_request", None),
            check_status,
        )
        found = (
            None if all(map(callable, used)) else "its server manager or pymilvus' requests look different"
        )
    if found is not None:
        logger.warning("the Milvus Lite file stays open until this process ends: %s", found)
    return found


def start_lite(path: str, connect: Callable[[str], Any]) -> Any:
    """A client of the server thread for this file; the first store of the process starts the thread."""
    path = str(Path(path).resolve())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _lock:
        client = connect(path)
        _users[path] += 1
    return client


def stop_lite(path: str) -> None:
    """Stop the server thread when its last store is closed, which frees the file for other processes."""
    path = str(Path(path).resolve())
    with _lock:
        _users[path] -= 1
        if not _users[path] and problem() is None:
            from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415

            server_manager_instance.release_server(path)


def lite_index(
    collection: str, field: str, params: dict[str, Any], timeout_s: float
) -> Callable[[Any], Awaitable[None]]:
    """An operation of a client that creates this index; the index is complete when it returns."""

    async def as_documented(client: Any) -> None:
        wanted = client.prepare_index_params()
        wanted.add_index(field_name=field, index_name=field, **params)
        await client.create_index(collection, wanted, timeout=timeout_s)

    async def without_waiting(client: Any) -> None:
        from pymilvus.client.prepare import Prepare  # noqa: PLC0415
        from pymilvus.client.utils import check_status  # noqa: PLC0415

        handler = await client._get_connection()  # noqa: SLF001
        request = Prepare.create_index_request(collection, field, params, index_name=field)
        check_status(await handler._async_stub.CreateIndex(request, timeout=timeout_s))  # noqa: SLF001

    return without_waiting if problem() is None else as_documented
