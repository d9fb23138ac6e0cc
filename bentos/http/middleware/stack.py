"""Puts the middleware of a service together, in the order in which a request passes them.

BentoML runs the middleware around everything that it serves, including its own routes, which dependencies of the
FastAPI app would not cover.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.http.middleware.access_log import AccessLog
from bentos.http.middleware.api_key import RequireApiKey
from bentos.http.middleware.body_limits import BodyLimits
from bentos.http.middleware.deadline import RequestDeadline
from bentos.http.middleware.errors import AnswerErrors
from bentos.http.middleware.headers import ResponseHeaders
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.middleware.overload import RefuseWhenFull
from bentos.http.middleware.probes import Probes
from bentos.http.middleware.tracing import TraceRequests


def with_middleware(app: ASGIApp, options: Callable[[], MiddlewareOptions]) -> ASGIApp:
    """`app` behind all middleware. `options` is called once, in the process that serves."""
    chosen = options()
    limited = BodyLimits(RefuseWhenFull(app, chosen), chosen)
    protected = RequireApiKey(RequestDeadline(limited, chosen.request_timeout_s), chosen.present_keys)
    open_first = chosen.before_the_key(protected)
    answered = AnswerErrors(Probes(app, protected=open_first, not_ready=chosen.not_ready))
    with_headers = ResponseHeaders(answered, chosen.stopping)
    tracing = chosen.tracing
    logged = AccessLog(
        with_headers,
        chosen.service,
        slow_s=chosen.slow_request_s,
        on_stage=None if tracing is None else tracing.stage,
    )
    return _HttpOnly(app, logged if tracing is None else TraceRequests(logged, tracing))


class _HttpOnly:
    """Sends requests through the middleware and the lifespan past them; refuses WebSockets."""

    def __init__(self, app: ASGIApp, requests: ASGIApp) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._requests(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)
