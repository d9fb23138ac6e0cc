"""How the serving process leaves: not ready first, then nothing new, then the requests under way, then the end.

It is told so by SIGUSR1 from `bentos.serving`, which holds SIGTERM back from BentoML: the arbiter would take the
sockets of the runner away from the requests under way.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

SETTLE_S = 0.3
"""Between the last connection that is accepted and the end of idle ones: time for its request to arrive."""

RUN_FOLDER = "FACE_SEARCH_RUN_FOLDER"
"""The environment variable with the folder where the serving process writes its process id."""
PID_FILE = "serving.pid"


class Leave:
    """The way out of the process that serves; without `bentos.serving` in front there is none."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the service was told to stop."""
        return self._task is not None

    @asynccontextmanager
    async def possible(self) -> AsyncIterator[None]:
        """Listen for the signal while the block runs."""
        folder = os.environ.get(RUN_FOLDER)
        if folder is None:
            yield
            return
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._begin)
        partial = Path(folder) / f"{PID_FILE}.{os.getpid()}"
        partial.write_text(str(os.getpid()))
        partial.rename(Path(folder) / PID_FILE)
        yield

    def _begin(self) -> None:
        if self._task is None:
            logger.info("stopping: not ready from now on")
            self._task = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        await asyncio.sleep(self._delay_s)
        _close_the_door()
        await asyncio.sleep(SETTLE_S)
        logger.info("stopping: waiting for the requests under way")
        os.kill(os.getpid(), signal.SIGTERM)  # uvicorn finishes what it has and ends


def _close_the_door() -> None:
    """Refuse new connections at once.

    The arbiter holds the listening socket as well: closed here alone, connections would be accepted by the kernel
    and never answered. `shutdown` ends it for every process.
    """
    shared = _listening_socket()  # before the event loop closes its number
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)  # uvicorn.Server
    for listener in getattr(server, "servers", ()):
        listener.close()
    if shared is None:
        logger.warning("stopping: the listening socket was not found; new connections wait until the end")
        return
    with shared:
        shared.shutdown(socket.SHUT_RD)


def _listening_socket() -> socket.socket | None:
    """The one that BentoML's arbiter handed down with `--fd`."""
    try:
        return socket.socket(fileno=os.dup(int(sys.argv[sys.argv.index("--fd") + 1])))
    except (ValueError, IndexError, OSError):
        return None
