"""Adds the headers of every response, and removes headers that the frameworks add."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.http.request_state import state_of

_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_OF_FRAMEWORKS = ("server", "x-bentoml-request-id", "x-bentoml-trace-id")


class ResponseHeaders:
    """Adds the security headers and the request id; asks callers to close the connection while the service stops."""

    def __init__(self, app: ASGIApp, stopping: Callable[[], bool]) -> None:
        self._app, self._stopping = app, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and change the headers of its response."""
        state = state_of(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in _OF_FRAMEWORKS:
                    del headers[name]
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = state.request_id
                if state.close_connection or self._stopping():
                    headers["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, with_headers)
