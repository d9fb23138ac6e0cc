"""Lets a call to a store finish before a cancellation of its caller is raised.

A request that times out is cancelled and releases its lease. If one of its writes were still running then, the write
could be carried out after another writer has taken the photo over. Every store limits the time of its calls.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

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
    return cast("T", _Uninterrupted(store))


class _Uninterrupted:
    def __init__(self, store: object) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(attribute):
            return attribute

        async def finished(*arguments: Any, **named: Any) -> Any:
            return await finish(getattr(self._store, name)(*arguments, **named))

        setattr(self, name, finished)  # the next call finds it without `__getattr__`
        return finished
