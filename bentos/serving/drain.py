"""Drains the serving process before it ends: not ready, then no new connections, then the open requests finish.

`bentos.serving` starts the drain with SIGUSR1 and holds SIGTERM back from BentoML, whose arbiter would remove the
sockets of the runner while requests still need them.

When uvicorn's server cannot be found (see `uvicorn_server.py`), new connections wait until the process has ended, and a
warning at start says so. BentoML's `on_shutdown` hook runs too late: the runner's sockets are gone by then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bentos.serving.uvicorn_server import close_listeners, listening_sockets, serving_server

logger = logging.getLogger(__name__)

SETTLE_S = 0.3
"""Seconds between the last accepted connection and the close of idle ones, so that its request can arrive."""

_MOST_ACCEPTS = 1000  # rounds of the event loop; each accepts all that wait
_TCP_INFO = struct.Struct("<24xI")
"""Linux's `tcp_info` up to `tcpi_unacked`, which for a listening socket is the length of its queue."""

RUN_FOLDER = "FACE_SEARCH_RUN_FOLDER"
"""The environment variable with the folder where the serving process writes its process id."""
PID_FILE = "serving.pid"


class Drain:
    """Drains this process when it receives SIGUSR1; `delay_s`: seconds not ready while it still accepts connections."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the service was told to stop."""
        return self._task is not None

    @asynccontextmanager
    async def awaited(self) -> AsyncIterator[None]:
        """Listen for the signal while the block runs; does nothing unless `bentos.serving` started this process."""
        folder = os.environ.get(RUN_FOLDER)
        if folder is None:
            yield
            return
        if serving_server() is None:
            logger.warning(
                "uvicorn's server was not found: while stopping, new connections wait until the end"
            )
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._begin)
        partial = Path(folder) / f"{PID_FILE}.{os.getpid()}"
        partial.write_text(str(os.getpid()))
        partial.rename(Path(folder) / PID_FILE)
        yield

    def _begin(self) -> None:
        if self._task is None:
            logger.info("stopping: not ready from now on")
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        await asyncio.sleep(self._delay_s)
        await _stop_accepting()
        await asyncio.sleep(SETTLE_S)
        logger.info("stopping: waiting for the requests under way")
        os.kill(os.getpid(), signal.SIGTERM)  # uvicorn finishes what it has and ends


async def _stop_accepting() -> None:
    """Refuse new connections at once, after those are accepted that wait already: the kernel would reset them.

    The arbiter holds the listening socket as well: if only this process closed it, the kernel would accept connections
    that nobody answers. `shutdown` closes it for all processes.
    """
    for _ in range(_MOST_ACCEPTS):
        if not any(waiting_connections(each) for each in listening_sockets()):
            break
        await asyncio.sleep(0)
    for shared in close_listeners():
        with shared:
            shared.shutdown(socket.SHUT_RD)


def waiting_connections(listening: socket.socket) -> int:
    """Connections that the kernel has established and nobody has accepted; 0 where it does not say."""
    try:
        state = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return int(_TCP_INFO.unpack(state)[0])
    except (OSError, AttributeError, struct.error):
        return 0
