"""Gives each request a span, whose parent is the caller's span; used only while traces are exported."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.http.middleware.access_log import known_method, route_of
from bentos.http.middleware.probes import is_open
from bentos.http.request_state import state_of
from bentos.observability.tracing import PARENT_HEADERS, Tracing, end_request


class TraceRequests:
    """Makes the span of each request but the probes and `/metrics`. Its name is the method and the route's pattern."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its span."""
        if is_open(scope["path"].rstrip("/")):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        parent = {name: headers[name] for name in PARENT_HEADERS if name in headers}
        method = known_method(scope)
        with self._tracing.request(method, parent) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                state = state_of(scope)
                error = None if state.error is None else state.error.code
                end_request(span, method=method, route=route_of(scope), status=state.status, error=error)
