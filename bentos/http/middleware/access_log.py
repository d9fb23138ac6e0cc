"""Writes one log line and one count for each request, with the request id that the response carries too.

The line of a failed request names the error: `info` for what the caller can correct, `warning` for 503 and 504, `error`
with the traceback for 500. The probes and `/metrics` are neither logged nor counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.http.error_responses import STATUS
from bentos.http.middleware.probes import is_open
from bentos.http.request_state import RequestState, begin_state
from bentos.observability.metrics import errors_total, request_seconds, requests_total
from bentos.observability.request_ids import begin_request
from bentos.observability.stages import OnStage, begin_stages

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
"""Callers may send any method; only these are separate labels in the metrics."""
_FIRST_ERROR = 400
_INTERNAL_ERROR = 500


class AccessLog:
    """Creates the request id, the record and the stage timings of a request, and reports them at its end.

    `slow_s`: a request that takes at least this many seconds is logged with the time of each stage.
    """

    def __init__(self, app: ASGIApp, service: str, *, slow_s: float, on_stage: OnStage | None = None) -> None:
        self._app, self._service, self._slow_s, self._on_stage = app, service, slow_s, on_stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; report it at its end, also when it fails or is cancelled."""
        started = time.perf_counter()
        state = begin_state(scope, begin_request(Headers(scope=scope).get("x-request-id")))
        stages = begin_stages(self._service, self._on_stage)

        async def noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        finally:
            stages.close()
            if not is_open(state.path):
                self._report(scope, state, time.perf_counter() - started, stages.seconds)

    def _report(self, scope: Scope, state: RequestState, seconds: float, stages: Mapping[str, float]) -> None:
        method, route = scope["method"], route_of(scope) or "none"
        requests_total(self._service, route, known_method(scope), str(state.status)).inc()
        request_seconds(self._service, route).observe(seconds)
        fields: dict[str, object] = {
            "method": method,
            "route": route,
            "status": state.status,
            "ms": round(seconds * 1000, 1),
        }
        if stages and seconds >= self._slow_s:
            fields |= {"stages_ms": {stage: round(each * 1000, 1) for stage, each in stages.items()}}
        failed_with = state.status if state.error is None else STATUS[state.error.code]
        if failed_with >= _FIRST_ERROR:
            code = "other" if state.error is None else state.error.code
            errors_total(self._service, route, code).inc()
            fields |= {"error": code}
        if failed_with >= _INTERNAL_ERROR and state.error is not None:
            if dependency := state.error.details.get("dependency"):
                fields |= {"dependency": dependency}
            fields |= {"reason": state.error.message}
        logger.log(_level(failed_with), "request", extra={"fields": fields}, exc_info=state.exception)


def known_method(scope: Scope) -> str:
    """The method of the request, or `other` for one that HTTP does not define."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def route_of(scope: Scope) -> str | None:
    """The pattern of the route that served the request, such as `/remove/{photo_id}`, or None."""
    return getattr(scope.get("route"), "path", None)


def _level(status: int) -> int:
    if status > _INTERNAL_ERROR:
        return logging.WARNING
    return logging.ERROR if status == _INTERNAL_ERROR else logging.INFO
