"""The options of the middleware of one service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp

from bentos.observability.tracing import Tracing


async def _ready() -> str | None:
    return None


def _nothing(app: ASGIApp) -> ASGIApp:
    return app


@dataclass(frozen=True, slots=True)
class MiddlewareOptions:
    """The settings of the middleware, and the functions through which they ask about the service's state.

    `present_keys`: the valid API keys; asked for each request, because keys can change while the service runs.
    `max_image_bytes`: the largest image by path, without a trailing slash; other paths take no image.
    `receive_timeout_s`: how long the body of a request may take to arrive.
    `request_timeout_s`: how long a request may take from its arrival to the end of its answer.
    `slow_request_s`: requests that take at least this long are logged with the time of each stage.
    `not_ready`: why the service cannot serve, in one sentence, or None.
    `full`: whether images are refused before they are read.
    `before_the_key`: puts middleware in front of the check of the key, for what needs none besides the probes.
    `stopping`: whether every answer asks its caller to close the connection.
    `tracing`: makes the spans of requests, or None.
    """

    service: str
    present_keys: Callable[[], Sequence[str]]
    max_image_bytes: Mapping[str, int] = field(default_factory=dict)
    receive_timeout_s: float = 30
    request_timeout_s: float = 60
    slow_request_s: float = 1
    not_ready: Callable[[], Awaitable[str | None]] = _ready
    full: Callable[[], bool] = lambda: False
    before_the_key: Callable[[ASGIApp], ASGIApp] = _nothing
    stopping: Callable[[], bool] = lambda: False
    tracing: Tracing | None = None
