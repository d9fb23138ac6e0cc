"""Gives each request one deadline: when it passes, the handler is cancelled and `timed_out` is answered."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.deadline import begin_deadline
from bentos.domain.errors import TimedOut


class RequestDeadline:
    """Gives each request `seconds` from its arrival to the end of its answer. Raises `TimedOut`.

    A cancelled handler first finishes its current call to a store (see `bentos.vectorizer.uninterrupted`): the answer
    comes later than the deadline by at most the timeout of that store, and of the release of a lease.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that ends before its deadline."""
        begin_deadline(self._seconds)
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                await self._app(scope, receive, send)
        except TimeoutError:
            if deadline.expired():
                raise TimedOut(self._seconds) from None
            raise
