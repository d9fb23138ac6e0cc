"""The runner's processes as a client sees them: which exist, which answer, and which is the least busy."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from bentos.runner.transport.frames import Frame
from bentos.runner.transport.process import PING_EVERY_S, RunnerProcess

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_S = 0.1
_NOBODY_LISTENS = (ConnectionRefusedError, FileNotFoundError)


class RunnerProcesses:
    """Every process that listens beside the `shared` socket (see `bentos.runner.transport.server`).

    Processes may start and end at any time. Each is pinged continuously. A process that does not answer gets no images,
    and its images go to another process.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._processes: dict[Path, RunnerProcess] = {}
        self._watching: dict[Path, asyncio.Task[None]] = {}
        self._next_look = 0.0

    @property
    def abandoned(self) -> int:
        """Requests whose caller no longer waits and that a process has not dropped yet."""
        return sum(process.abandoned for process in self._processes.values())

    @property
    def working(self) -> int:
        """Processes that have a request."""
        return sum(process.in_flight > 0 for process in self._processes.values())

    async def ask(self, number: int, request: Frame) -> Frame:
        """The answer of the process with the fewest requests; waits while no process answers.

        `number`: the number in the request's ticket. Raises `ProcessFailed`.
        """
        while True:
            process = await self._least_busy()
            try:
                return await process.ask(number, request)
            except _NOBODY_LISTENS:
                self._forget(process)

    async def check(self) -> None:
        """Return once a process that can take the next request answers."""
        while True:
            if await self._pinged(await self._least_busy()):
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        """Close all connections."""
        processes, watching = list(self._processes.values()), list(self._watching.values())
        for process in processes:
            self._drop(process.path)
            await process.close()
        await asyncio.gather(*watching, return_exceptions=True)

    async def _least_busy(self) -> RunnerProcess:
        self._look()
        while not (able := [process for process in self._processes.values() if process.answers]):
            await asyncio.sleep(_LOOK_AGAIN_S)
            self._look()
        return min(able, key=lambda process: process.in_flight)

    def _look(self) -> None:
        if self._processes and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        there = set(self._shared.parent.glob(f"{self._shared.name}.*"))
        for path in sorted(there - self._processes.keys()):
            self._processes[path] = process = RunnerProcess(path)
            self._watching[path] = asyncio.create_task(self._watch(process))
        for path in self._processes.keys() - there:
            self._drop(path)

    async def _watch(self, process: RunnerProcess) -> None:
        while process.path in self._processes:
            await self._pinged(process)
            await asyncio.sleep(PING_EVERY_S)

    async def _pinged(self, process: RunnerProcess) -> bool:
        """Ping the process, and note whether it answered."""
        try:
            await process.ping()
        except TimeoutError:
            self._note(process, answers=False)
        except _NOBODY_LISTENS:
            self._forget(process)
        except (OSError, EOFError) as error:
            logger.warning("runner process %s could not be asked: %s", process.pid, type(error).__name__)
        else:
            self._note(process, answers=True)
            return True
        return False

    def _note(self, process: RunnerProcess, *, answers: bool) -> None:
        if process.answers == answers:
            return
        if answers:
            process.answers = True
            logger.warning("runner process %s answers again", process.pid)
        else:
            logger.error(
                "runner process %s does not answer; its %d images go to another",
                process.pid,
                process.in_flight,
            )
            process.stopped()

    def _forget(self, process: RunnerProcess) -> None:
        """Forget a process that was killed: its socket still exists, but nothing listens on it."""
        process.path.unlink(missing_ok=True)
        self._drop(process.path)

    def _drop(self, path: Path) -> None:
        process = self._processes.pop(path, None)  # None: another task has removed it
        if process is not None:
            process.leave()
            self._watching.pop(path).cancel()
