"""Waits for stores that do not answer, and ends every wait once the work is to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bentos.domain.errors import Dependency, DependencyUnavailable

T = TypeVar("T")
Say = Callable[[str], None]

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 10.0
_SAY_AGAIN_S = 30.0


class Stopped(Exception):
    """The work was told to stop before it was done."""


class Patience:
    """Repeats calls until the stores answer. `stopped` is set from outside."""

    def __init__(self, say: Say) -> None:
        self.stopped = asyncio.Event()
        self._say = say
        self._said: dict[Dependency, float] = {}

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The answer of `operation`, which is repeated while it raises `DependencyUnavailable`. Raises `Stopped`."""
        pause = _FIRST_RETRY_S
        while True:
            try:
                return await operation()
            except DependencyUnavailable as error:
                self._say_that_it_waits(error)
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

    def _say_that_it_waits(self, error: DependencyUnavailable) -> None:
        now = time.monotonic()
        if now - self._said.get(error.dependency, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
            self._said[error.dependency] = now
            self._say(f"waiting: {error.message}")
