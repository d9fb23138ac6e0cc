"""One runner process as a client sees it: its connections, its requests in progress, and whether it answers."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from pathlib import Path

from bentos.runner.transport.base import ProcessFailed
from bentos.runner.transport.frames import BUFFER, PING, Frame, read_frame, write_frame
from bentos.runner.transport.working import record_beside, worked_on

PING_EVERY_S = 0.4
_PING_WITHIN_S = 1.5
"""Together with the pause before a ping: a stopped process is noticed within two seconds."""
_OWN_PAUSE_S = 0.05

_Connection = tuple[StreamReader, StreamWriter]


class RunnerProcess:
    """The process that listens on the socket `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers = True
        self.in_flight = 0
        self.abandoned = 0
        self._idle: list[_Connection] = []
        self._busy: set[StreamWriter] = set()
        self._left = False
        self._abandoning: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> str:
        """Its process id."""
        return self.path.suffix[1:]

    async def ask(self, number: int, request: Frame) -> Frame:
        """The answer to one request, over its own connection. Raises `ProcessFailed`; `OSError` before it is sent.

        When the caller is cancelled, the process is told, and the request counts as in flight until the process has
        dropped it.
        """
        self.in_flight += 1
        try:
            reader, writer = await self._connection()
        except BaseException:
            self.in_flight -= 1
            raise
        self._busy.add(writer)
        try:
            await write_frame(writer, request)
            answer = await read_frame(reader)
        except (EOFError, ConnectionError) as error:
            self._end(writer)
            raise ProcessFailed(worked_on_it=worked_on(record_beside(self.path), number)) from error
        except asyncio.CancelledError:
            self._abandon(reader, writer)
            raise
        except BaseException:
            self._end(writer)
            raise
        self.in_flight -= 1
        self._busy.discard(writer)
        self._idle.append((reader, writer))
        if self._left:
            self.leave()
        return answer

    async def ping(self) -> None:
        """Raises `TimeoutError` when the event loop of the process does not answer in time; `OSError`; `EOFError`."""
        asking = asyncio.create_task(self._pong())
        try:
            await asyncio.wait([asking], timeout=_PING_WITHIN_S)
            if not asking.done():
                # In case this process was paused, and not the runner process.
                await asyncio.sleep(_OWN_PAUSE_S)
            if not asking.done():
                raise TimeoutError
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def stopped(self) -> None:
        """End the requests of a process that does not answer with `ProcessFailed`."""
        self.answers = False
        for writer in self._busy:
            writer.transport.abort()
        self._close_idle()

    def leave(self) -> None:
        """Close each connection as soon as it is idle."""
        self._left = True
        self._close_idle()

    async def close(self) -> None:
        """Close every connection."""
        for writer in self._busy:
            writer.transport.abort()
        self.leave()
        await asyncio.gather(*self._abandoning, return_exceptions=True)

    async def _pong(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            await write_frame(writer, Frame(PING, b""))
            await read_frame(reader)
        finally:
            writer.close()

    async def _connection(self) -> _Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_unix_connection(self.path, limit=BUFFER)

    def _abandon(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Close one direction, which tells the process that no caller waits, and wait until it drops the request."""

        async def until_dropped() -> None:
            try:
                writer.write_eof()
                await reader.read()
            except OSError:
                pass
            finally:
                self.abandoned -= 1
                self._end(writer)

        self.abandoned += 1
        task = asyncio.create_task(until_dropped())
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)

    def _end(self, writer: StreamWriter) -> None:
        self.in_flight -= 1
        self._busy.discard(writer)
        writer.close()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()
