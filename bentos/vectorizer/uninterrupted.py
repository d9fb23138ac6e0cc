"""Lets a call to a store finish before a cancellation of its caller is raised.

A request that times out is cancelled and releases its lease. If one of its writes were still running then, the write
could be carried out after another writer has taken the photo over. Every store limits the time of its calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bentos.observability.each_call import Operation, each_call

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`. If the caller is cancelled, `work` runs to its end, and only then is the cancellation raised.

    If the caller was cancelled and the work fails, its error is raised instead: it says whether a write may still
    be carried out (`DependencyUnavailable`).
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    answer = task.result()
    if cancelled is not None:
        raise cancelled
    return answer


def uninterrupted(store: T) -> T:
    """Wrap `store` so that its coroutine methods finish before a cancellation is raised."""

    def finished(operation: str) -> Operation:
        async def call(*arguments: Any, **named: Any) -> Any:
            return await finish(getattr(store, operation)(*arguments, **named))

        return call

    return each_call(store, finished)
