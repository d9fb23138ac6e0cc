"""The hop to the runner, its inner side: the bytes of a request into BentoML's adaptive batching, and its answer out.

BentoML's own endpoint for a batchable method builds pydantic models of the request and the answer around that, and its
client does the same: more than two milliseconds of processor time where this takes half of one.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from bentoml.exceptions import BentoMLException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

PATH = "/hop/"
"""Followed by the name of a batchable method that takes and gives one `bytes` for each item of its batch."""

Batching = Callable[[str, tuple[bytes], dict[str, object]], Awaitable[list[bytes]]]


class Hop:
    """ASGI middleware of the runner: answers `POST /hop/METHOD`, leaves the rest to BentoML."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._batching: Batching | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        self._batching = self._batching or _batching_of(scope["app"])
        body = await Request(scope, receive).body()
        response = await _answer(self._batching, scope["path"].removeprefix(PATH), body)
        await response(scope, receive, send)


async def _answer(batching: Batching, method: str, body: bytes) -> Response:
    try:
        [payload] = await batching(method, ([body],), {})  # type: ignore[arg-type]
    except BentoMLException as error:
        return Response(status_code=error.error_code)
    except Exception:
        logger.exception("the runner failed")
        return Response(status_code=HTTPStatus.INTERNAL_SERVER_ERROR)
    return Response(payload, media_type="application/octet-stream")


def _batching_of(app: Starlette) -> Batching:
    """The method of BentoML's app that puts an item into the next batch. Raises `RuntimeError` when there is none."""
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        factory = getattr(getattr(endpoint, "func", None), "__self__", None)
        batching: Batching | None = getattr(factory, "batch_infer", None)
        if isinstance(endpoint, functools.partial) and batching is not None:
            return batching
    raise RuntimeError("this version of BentoML keeps its batching somewhere else")
