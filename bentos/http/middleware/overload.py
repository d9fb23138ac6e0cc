"""Refuses images before their bodies are read, while the queue in front of the runner is full."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.errors import Overloaded
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.request_state import state_of


class RefuseWhenFull:
    """Raises `Overloaded` for the paths that take an image."""

    def __init__(self, app: ASGIApp, options: MiddlewareOptions) -> None:
        self._app, self._full = app, options.full
        self._image_paths = frozenset(options.max_image_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request unless it brings an image and the queue is full."""
        if state_of(scope).path in self._image_paths and self._full():
            raise Overloaded
        await self._app(scope, receive, send)
