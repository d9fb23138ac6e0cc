"""The runner's processes as their callers see them: who is there, and who has the least to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_S = 0.1
_UNTIMED = aiohttp.ClientTimeout(total=None)


@dataclass(slots=True)
class _Process:
    session: aiohttp.ClientSession
    in_flight: int = 0


class RunnerProcesses:
    """Connections to every process that listens beside the `shared` socket (see `bentos.runner.hop`).

    Processes may end and others come at any time.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._processes: dict[Path, _Process] = {}
        self._next_look = 0.0

    @asynccontextmanager
    async def least_busy(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session with the process that has the fewest requests; waits for one while none is there.

        What the block raises when it cannot connect makes the next caller look for the processes anew.
        """
        await self._look()
        while not self._processes:
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self._look()
        path, process = min(self._processes.items(), key=lambda entry: entry[1].in_flight)
        process.in_flight += 1
        try:
            yield process.session
        except aiohttp.ClientConnectorError as error:
            if nobody_listens(error):
                path.unlink(missing_ok=True)  # left behind by a process that was killed
                self._next_look = 0.0
            raise
        finally:
            process.in_flight -= 1

    async def close(self) -> None:
        """Let go of all connections."""
        for path in list(self._processes):
            await self._drop(path)

    async def _look(self) -> None:
        if self._processes and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        there = set(self._shared.parent.glob(f"{self._shared.name}.*"))
        for path in sorted(there - self._processes.keys()):
            connector = aiohttp.UnixConnector(str(path), limit=0)
            session = aiohttp.ClientSession("http://runner", connector=connector, timeout=_UNTIMED)
            self._processes[path] = _Process(session)
        for path in self._processes.keys() - there:
            await self._drop(path)

    async def _drop(self, path: Path) -> None:
        process = self._processes.pop(path, None)  # None: another task was faster
        if process is not None:
            await process.session.close()


def nobody_listens(error: Exception) -> bool:
    """Whether a call failed because the process whose socket it was is gone."""
    gone = (ConnectionRefusedError, FileNotFoundError)
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, gone)
