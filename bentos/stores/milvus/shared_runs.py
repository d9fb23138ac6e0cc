"""Lets concurrent callers share requests to Milvus: items that arrive during a request go into the next one together.

A Strong query is answered with one of the server's next time ticks (every 0.2 s), and sixteen at once take two ticks. A
write of one row costs the server almost as much as one of several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class SharedRuns(Generic[Item]):
    """Runs `work` over the items of all callers that wait, in the order of their arrival.

    `at_once`: how many runs may be under way; callers that arrive during these wait for the next one. `most`: how many
    items a run may have, unless a single caller has more.
    """

    def __init__(self, work: Callable[[list[Item]], Awaitable[None]], *, most: int, at_once: int = 1) -> None:
        self._work, self._most, self._at_once = work, most, at_once
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[None]]] = []
        self._runs: set[asyncio.Task[None]] = set()

    async def run(self, items: Sequence[Item]) -> None:
        """Return when a run with these items, which begins after this call, has ended. Raises what `work` raises.

        A caller that is cancelled before the run begins takes its items back; a run that has begun is not stopped.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((items, done))
        self._start()
        await done

    def _start(self) -> None:
        if self._waiting and len(self._runs) < self._at_once:
            run = asyncio.create_task(self._run())
            self._runs.add(run)
            run.add_done_callback(self._ended)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        self._start()

    async def _run(self) -> None:
        await asyncio.sleep(0)  # other tasks that are ready now can add their items
        callers = self._next()
        if not callers:
            return
        error: BaseException | None = None
        try:
            await self._work([item for items, _ in callers for item in items])
        except BaseException as raised:  # noqa: BLE001 - each caller raises it
            error = raised
        for _, done in callers:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            elif isinstance(error, asyncio.CancelledError):
                done.cancel()
            else:
                done.set_exception(error)

    def _next(self) -> list[tuple[Sequence[Item], asyncio.Future[None]]]:
        """The callers of the next run: the first that arrived, as many as fit, without those that were cancelled."""
        waiting = [(items, done) for items, done in self._waiting if not done.done()]
        count = size = 0
        for items, _ in waiting:
            size += len(items)
            if count and size > self._most:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]
