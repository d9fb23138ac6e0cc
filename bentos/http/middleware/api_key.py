"""Refuses every request that has no valid API key."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.errors import InvalidApiKey


class RequireApiKey:
    """Compares the header `X-Api-Key` with each of the present keys. Raises `InvalidApiKey`."""

    def __init__(self, app: ASGIApp, present_keys: Callable[[], Sequence[str]]) -> None:
        self._app, self._present_keys = app, present_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that has a valid key."""
        given = Headers(scope=scope).get("x-api-key", "").encode("latin-1")
        # Compares every key, each in constant time, so that the time reveals nothing about any key.
        if not any([hmac.compare_digest(given, key.encode()) for key in self._present_keys()]):
            raise InvalidApiKey
        await self._app(scope, receive, send)
