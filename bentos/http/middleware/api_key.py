"""Refuses every request that has no valid API key."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.errors import InvalidApiKey


class RequireApiKey:
    """Compares the header `X-Api-Key` with each of the keys. Raises `InvalidApiKey`."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that has a valid key."""
        given = Headers(scope=scope).get("x-api-key", "").encode("latin-1")
        # Every key is compared, in constant time each, so that the time tells nothing about any.
        if not any([hmac.compare_digest(given, key) for key in self._keys]):
            raise InvalidApiKey
        await self._app(scope, receive, send)
