"""Calls to stores that end before their caller does, also when the caller is cancelled.

A request that times out is cancelled and gives its lease back. If it left a write under way, the write could land after
another writer has taken the photo over. So a cancelled call is waited for; every store bounds its own calls.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which is not cancelled with its caller: it ends, and only then is the cancellation raised.

    When the caller was cancelled and the work fails, its error is raised instead: it tells whether a write may still
    land (`DependencyUnavailable`).
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
    """`store` whose coroutine methods finish before a cancellation is raised; what else it has is passed through."""
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
