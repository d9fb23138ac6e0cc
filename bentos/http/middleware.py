"""The door of a service: nothing gets in without a key, nothing gets out without a request id.

An ASGI middleware around everything that BentoML serves, its own routes included, because dependencies of the
FastAPI app would not cover those.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.domain.errors import (
    FaceSearchError,
    ImageTooLarge,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
)
from bentos.http.error_responses import error_response
from bentos.observability.metrics import request_seconds, requests_total
from bentos.observability.request_ids import begin_request
from bentos.observability.stages import begin_stages

logger = logging.getLogger(__name__)

PROBES = frozenset({"/livez", "/readyz", "/healthz"})
METRICS = "/metrics"
_FORM_OVERHEAD = 64 * 1024
"""Bytes that a form may have beside its file: the other fields and the boundaries between them."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_BANNERS = ("server", "x-bentoml-request-id", "x-bentoml-trace-id")


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """`present_keys` gives those that open the door now; `max_image_bytes` by path, without a trailing slash;
    `not_ready` says why, or None.

    The body of a request has `receive_timeout_s` to arrive. While the service is `full`, images are refused before they
    are read. While it is `leaving`, every answer asks its caller to close the connection.
    """

    service: str
    present_keys: Callable[[], Sequence[str]]
    max_image_bytes: Mapping[str, int] = field(default_factory=dict)
    receive_timeout_s: float = 30
    not_ready: Callable[[], str | None] = lambda: None
    full: Callable[[], bool] = lambda: False
    leaving: Callable[[], bool] = lambda: False


class Door:
    """Wraps an ASGI app. `options` is called once, in the process that serves."""

    def __init__(self, app: ASGIApp, options: Callable[[], DoorOptions]) -> None:
        self._app = app
        self._options = options()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: requests are checked, WebSockets are refused, the lifespan passes."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await _Visit(self._options, scope, send).serve(self._app, receive)


class _Visit:
    """One request on its way through the door."""

    def __init__(self, options: DoorOptions, scope: Scope, send: Send) -> None:
        self._options, self._scope, self._send = options, scope, send
        self._headers = Headers(scope=scope)
        self._path = scope["path"].rstrip("/") or "/"
        self._request_id = begin_request(self._headers.get("x-request-id"))
        self._status = 0
        self._received = 0
        self._too_slow = False

    async def serve(self, app: ASGIApp, receive: Receive) -> None:
        started = time.perf_counter()
        stages = begin_stages(self._options.service)
        try:
            answer = self._answer_at_the_door()
            if answer is None:
                await app(self._scope, self._bounded(receive), self._marked)
            else:
                await answer(self._scope, receive, self._marked)
        except FaceSearchError as error:
            await self._fail(error, receive)
        except Exception:
            logger.exception("unhandled error")
            await self._fail(InternalError(), receive)
        finally:
            stages.close()
            self._note(time.perf_counter() - started)

    def _answer_at_the_door(self) -> Response | None:
        if self._path in PROBES or self._path == METRICS:
            return self._probe()
        if not self._has_key():
            raise InvalidApiKey
        declared = self._headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limit + _FORM_OVERHEAD:
            raise self._too_large()
        if self._limit and self._options.full():
            raise Overloaded
        return None

    def _probe(self) -> Response | None:
        if self._scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("GET, HEAD")
        if self._path == METRICS:
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
        if self._path == "/readyz" and (reason := self._options.not_ready()):
            return Response(reason + "\n", status_code=503, media_type="text/plain")
        self._scope["path"] = self._path
        return None

    def _has_key(self) -> bool:
        given = self._headers.get("x-api-key", "").encode("latin-1")
        # Every key is compared, in constant time each, so that the time tells nothing about any.
        return any([hmac.compare_digest(given, key.encode()) for key in self._options.present_keys()])

    @property
    def _limit(self) -> int:
        return self._options.max_image_bytes.get(self._path, 0)

    def _too_large(self) -> ImageTooLarge | InvalidRequest:
        if not self._limit:
            reason = f"has more than {_FORM_OVERHEAD} bytes"
            return InvalidRequest(f"The body {reason}.", {"body": reason})
        return ImageTooLarge(f"The image may have at most {self._limit} bytes.", {"max_bytes": self._limit})

    def _slow(self) -> InvalidRequest:
        self._too_slow = True
        reason = f"did not arrive within {self._options.receive_timeout_s:g} s"
        return InvalidRequest(f"The body {reason}.", {"body": reason})

    def _bounded(self, receive: Receive) -> Receive:
        deadline: float | None = asyncio.get_running_loop().time() + self._options.receive_timeout_s

        async def bounded() -> Message:
            nonlocal deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise self._slow() from None
            if message["type"] == "http.request":
                if not message.get("more_body", False):
                    deadline = None
                self._received += len(message.get("body", b""))
                if self._received > self._limit + _FORM_OVERHEAD:
                    raise self._too_large()
            return message

        return bounded

    async def _marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name in _BANNERS:
                del headers[name]
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self._request_id
            if self._too_slow or self._options.leaving():
                headers["Connection"] = "close"
        await self._send(message)

    async def _fail(self, error: FaceSearchError, receive: Receive) -> None:
        if not self._status:
            await error_response(error)(self._scope, receive, self._marked)

    def _note(self, seconds: float) -> None:
        if self._path in PROBES or self._path == METRICS:
            return
        service, method = self._options.service, self._scope["method"]
        route = getattr(self._scope.get("route"), "path", "none")
        requests_total(service, route, method, str(self._status)).inc()
        request_seconds(service, route).observe(seconds)
        fields = {"method": method, "route": route, "status": self._status, "ms": round(seconds * 1000, 1)}
        logger.info("request", extra={"fields": fields})
