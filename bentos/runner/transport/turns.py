"""A thread that runs one request at a time, small images before large images that arrived a little earlier.

In order of arrival, a caller with a selfie would wait for every large image before it. Here each request is treated as
if it had arrived later, by a time that grows with its size: smaller requests can overtake it for that long and no
longer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import PriorityQueue
from threading import Thread
from typing import NamedTuple

_S_PER_BYTE = 1e-6
_MOST_S = 2.0


class _Turn(NamedTuple):
    at: float
    number: int
    future: Future[bytes]
    work: Callable[[], bytes]


class Turns:
    """Runs calls one after the other in its own thread."""

    def __init__(self) -> None:
        self._waiting: PriorityQueue[_Turn] = PriorityQueue()
        self._numbers = itertools.count()
        Thread(target=self._take_turns, name="runner", daemon=True).start()

    async def run(self, work: Callable[[], bytes], *, size: int) -> bytes:
        """The result of `work`; `size`: bytes of its request."""
        future: Future[bytes] = Future()
        at = time.monotonic() + min(size * _S_PER_BYTE, _MOST_S)
        self._waiting.put(_Turn(at, next(self._numbers), future, work))
        return await asyncio.wrap_future(future)

    def _take_turns(self) -> None:
        while True:
            turn = self._waiting.get()
            if not turn.future.set_running_or_notify_cancel():
                continue
            try:
                turn.future.set_result(turn.work())
            except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
                turn.future.set_exception(error)
