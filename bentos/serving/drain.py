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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bentos.serving.uvicorn_server import close_listeners, serving_server

logger = logging.getLogger(__name__)

SETTLE_S = 0.3
"""Seconds between the last accepted connection and the close of idle ones, so that its request can arrive."""

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
        _stop_accepting()
        await asyncio.sleep(SETTLE_S)
        logger.info("stopping: waiting for the requests under way")
        os.kill(os.getpid(), signal.SIGTERM)  # uvicorn finishes what it has and ends


def _stop_accepting() -> None:
    """Refuse new connections at once.

    The arbiter holds the listening socket as well: if only this process closed it, the kernel would accept connections
    that nobody answers. `shutdown` closes it for all processes.
    """
    for shared in close_listeners():
        with shared:
            shared.shutdown(socket.SHUT_RD)
