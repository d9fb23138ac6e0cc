"""Waits for stores that do not answer, and ends every wait once the work is to stop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bentos.domain.errors import DependencyUnavailable

T = TypeVar("T")
Say = Callable[[str], None]
WaitsFor = Callable[[Exception], str | None]
"""Names what does not answer, when an error is one that passes; else None."""

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0
_SAY_AGAIN_S = 30.0


_LEAST_TRIES = 6
"""After 15 s of pauses."""

_OTHERS = 5
"""So many other items, each begun after the first failure of one, say that it fails for a reason of its own."""


class Stopped(Exception):
    """The work was told to stop before it was done."""


def a_store(error: Exception) -> str | None:
    """The store that does not answer."""
    return error.dependency if isinstance(error, DependencyUnavailable) else None


class ItemRefused(Exception):
    """A store answers for other items, but not for this one; the message quotes its last `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{error} Other photos were worked on meanwhile.")


class Patience:
    """Repeats calls until the stores answer. `stopped` is set from outside."""

    def __init__(self, say: Say, *, waits_for: WaitsFor = a_store) -> None:
        self.stopped = asyncio.Event()
        self._say, self._waits_for = say, waits_for
        self._said: dict[str, float] = {}
        self._tries = 0
        self._began: deque[int] = deque(maxlen=_OTHERS)

    async def call_for_item(self, operation: Callable[[], Awaitable[T]]) -> T:
        """As `call`, for work on one of many items; raises `ItemRefused` when it alone does not succeed."""
        failed: list[int] = []

        async def once() -> T:
            self._tries += 1
            number = self._tries
            try:
                answer = await operation()
            except Exception as error:
                failed.append(number)
                others = sum(began > failed[0] for began in self._began)
                if self._waits_for(error) and len(failed) >= _LEAST_TRIES and others >= _OTHERS:
                    raise ItemRefused(error) from error
                raise
            self._began.append(number)
            return answer

        return await self.call(once)

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The answer of `operation`, which is repeated while it raises an error that passes. Raises `Stopped`."""
        pause = _FIRST_RETRY_S
        waited: set[str] = set()
        while True:
            try:
                answer = await operation()
            except Exception as error:
                awaited = self._waits_for(error)
                if awaited is None:
                    raise
                waited.add(awaited)
                self._say_that_it_waits(awaited, error)
            else:
                self._say_that_it_goes_on(waited)
                return answer
            await self._pause(pause)
            pause = min(2 * pause, _LONGEST_RETRY_S)

    async def read(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As `call`, for an operation that can be cancelled at any moment: ends at once with `Stopped`."""
        task = asyncio.create_task(self.call(operation))
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            for each in (task, stopped):
                each.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopped.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped

    def _say_that_it_waits(self, awaited: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._said.get(awaited, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
            self._said[awaited] = now
            self._say(f"waiting: {error}")

    def _say_that_it_goes_on(self, waited: set[str]) -> None:
        for awaited in sorted(waited & self._said.keys()):
            del self._said[awaited]
            self._say(f"going on: {awaited} answers again")
