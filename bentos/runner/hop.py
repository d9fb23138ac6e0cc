"""The hop to the runner, its inner side: the bytes of a request in, the bytes of its answer out.

BentoML's own endpoint for a batchable method builds pydantic models of the request and the answer, and its client does
the same: more than two milliseconds of processor time where this takes half of one. Its adaptive batching looks every
millisecond whether the last batch is done, which pays where a batch costs less than its items one by one: on a GPU. On
a CPU it does not, and each request goes straight to the thread that works, first come, first served.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

PATH = "/hop/"
"""Followed by the name of a batchable method that takes and gives one `bytes` for each item of its batch."""

Work = Callable[[str, bytes], Awaitable[bytes]]
"""The answer of the method of that name to one request."""


class Hop:
    """ASGI middleware of the runner: answers `POST /hop/METHOD`, leaves the rest to BentoML.

    `batched`: requests that wait are put together by BentoML; else each is worked on by itself.
    """

    def __init__(self, app: ASGIApp, *, batched: bool) -> None:
        self._app, self._batched = app, batched
        self._work: Work | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        if self._work is None:  # not before the first request: BentoML makes the runner after its middleware
            self._work = _in_batches(scope["app"]) if self._batched else _one_by_one()
        body = await Request(scope, receive).body()
        response = await _answer(self._work, scope["path"].removeprefix(PATH), body)
        await response(scope, receive, send)


async def _answer(work: Work, method: str, body: bytes) -> Response:
    try:
        payload = await work(method, body)
    except BentoMLException as error:
        return Response(status_code=error.error_code)
    except Exception:
        logger.exception("the runner failed")
        return Response(status_code=HTTPStatus.INTERNAL_SERVER_ERROR)
    return Response(payload, media_type="application/octet-stream")


def _one_by_one() -> Work:
    runner = bentoml.get_current_service()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runner")

    def alone(method: str, body: bytes) -> bytes:
        [payload] = getattr(runner, method).local([body])
        return bytes(payload)

    async def work(method: str, body: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(thread, alone, method, body)

    return work


def _in_batches(app: Starlette) -> Work:
    """Raises `RuntimeError` when BentoML's batching is not where it is expected."""
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        batching = getattr(getattr(endpoint, "func", None), "__self__", None)
        batch_infer = getattr(batching, "batch_infer", None)
        if isinstance(endpoint, functools.partial) and batch_infer is not None:
            break
    else:
        raise RuntimeError("this version of BentoML keeps its batching somewhere else")

    async def work(method: str, body: bytes) -> bytes:
        [payload] = await batch_infer(method, ([body],), {})
        return bytes(payload)

    return work
