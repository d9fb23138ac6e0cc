"""The runner's processes as their callers see them: who is there, and who has the least to do."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from pathlib import Path

from bentos.runner.transport.frames import BUFFER, Frame, read_frame, write_frame

_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_S = 0.1

_Connection = tuple[StreamReader, StreamWriter]


class _Process:
    """One process, and the connections to it that nobody uses at the moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.in_flight = 0
        self._idle: list[_Connection] = []
        self._left = False

    async def ask(self, request: Frame) -> Frame:
        """One request over a connection of its own, so that a caller who gives up leaves nothing half read."""
        self.in_flight += 1
        try:
            reader, writer = await self._connection()
            try:
                await write_frame(writer, request)
                answer = await read_frame(reader)
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
            return answer
        finally:
            self.in_flight -= 1
            if self._left:
                self.leave()

    async def check(self) -> None:
        """Return when the process accepts a connection."""
        self._idle.append(await self._connection())

    def leave(self) -> None:
        """Close each connection as soon as nobody uses it."""
        self._left = True
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> _Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_unix_connection(self.path, limit=BUFFER)


class RunnerProcesses:
    """Every process that listens beside the `shared` socket (see `bentos.runner.transport.server`).

    Processes may end and others come at any time.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._processes: dict[Path, _Process] = {}
        self._next_look = 0.0

    async def ask(self, request: Frame) -> Frame:
        """The answer of the process that has the fewest requests; waits for one while none is there.

        Raises `OSError` or `EOFError` when the connection breaks.
        """
        while True:
            process = await self._least_busy()
            try:
                return await process.ask(request)
            except (ConnectionRefusedError, FileNotFoundError):  # nobody listens
                process.path.unlink(missing_ok=True)  # left behind by a process that was killed
                self._drop(process.path)

    async def check(self) -> None:
        """Return once a process accepts a connection that the next request could be given to."""
        await (await self._least_busy()).check()

    def close(self) -> None:
        """Let go of all connections."""
        for path in list(self._processes):
            self._drop(path)

    async def _least_busy(self) -> _Process:
        self._look()
        while not self._processes:
            await asyncio.sleep(_LOOK_AGAIN_S)
            self._look()
        return min(self._processes.values(), key=lambda process: process.in_flight)

    def _look(self) -> None:
        if self._processes and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        there = set(self._shared.parent.glob(f"{self._shared.name}.*"))
        for path in sorted(there - self._processes.keys()):
            self._processes[path] = _Process(path)
        for path in self._processes.keys() - there:
            self._drop(path)

    def _drop(self, path: Path) -> None:
        process = self._processes.pop(path, None)  # None: another task was faster
        if process is not None:
            process.leave()
