"""Answers what needs no key: the probes and `/metrics`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.errors import MethodNotAllowed
from bentos.http.request_state import state_of

LIVENESS = frozenset({"/livez", "/healthz"})
READINESS = "/readyz"
METRICS = "/metrics"
OPEN_PATHS = LIVENESS | {READINESS, METRICS}
"""Paths without a trailing slash."""


def is_open(path: str) -> bool:
    """Whether the path, without a trailing slash, needs no key."""
    return path in OPEN_PATHS


class Probes:
    """Answers `/readyz` and `/metrics`; BentoML answers the liveness probes; all other paths go to `protected`."""

    def __init__(
        self, bentoml: ASGIApp, *, protected: ASGIApp, not_ready: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._bentoml, self._protected, self._not_ready = bentoml, protected, not_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, or pass the request on."""
        path = state_of(scope).path
        if not is_open(path):
            await self._protected(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("GET, HEAD")
        elif path in LIVENESS:
            scope["path"] = path
            await self._bentoml(scope, receive, send)
        else:
            answer = _metrics() if path == METRICS else await self._readiness()
            await answer(scope, receive, send)

    async def _readiness(self) -> Response:
        reason = await self._not_ready()
        return Response((reason or "") + "\n", status_code=503 if reason else 200, media_type="text/plain")


def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
