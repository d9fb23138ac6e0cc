"""Limits the body of a request: how many bytes it may have, and how long it may take to arrive."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.domain.errors import ImageTooLarge, InvalidRequest
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.request_state import RequestState, state_of

FORM_OVERHEAD = 64 * 1024
"""Bytes that a form may have in addition to its image: the other fields and the boundaries between them."""


class BodyLimits:
    """Refuses a body that declares too many bytes, and stops a body that becomes too large or is too slow."""

    def __init__(self, app: ASGIApp, options: MiddlewareOptions) -> None:
        self._app = app
        self._max_image_bytes = options.max_image_bytes
        self._timeout_s = options.receive_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose body stays within the limits."""
        state = state_of(scope)
        max_image_bytes = self._max_image_bytes.get(state.path, 0)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > max_image_bytes + FORM_OVERHEAD:
            raise _too_large(max_image_bytes)
        await self._app(scope, self._bounded(receive, state, max_image_bytes), send)

    def _bounded(self, receive: Receive, state: RequestState, max_image_bytes: int) -> Receive:
        """`receive`, which raises `ImageTooLarge` or `InvalidRequest` once the body breaks a limit."""
        deadline: float | None = asyncio.get_running_loop().time() + self._timeout_s
        received = 0

        async def bounded() -> Message:
            nonlocal deadline, received
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                state.close_connection = True  # the rest of the body may still come
                raise self._too_slow() from None
            if message["type"] == "http.request":
                if not message.get("more_body", False):
                    deadline = None
                received += len(message.get("body", b""))
                if received > max_image_bytes + FORM_OVERHEAD:
                    raise _too_large(max_image_bytes)
            return message

        return bounded

    def _too_slow(self) -> InvalidRequest:
        reason = f"did not arrive within {self._timeout_s:g} s"
        return InvalidRequest(f"The body {reason}.", {"body": reason})


def _too_large(max_image_bytes: int) -> ImageTooLarge | InvalidRequest:
    if not max_image_bytes:
        reason = f"has more than {FORM_OVERHEAD} bytes"
        return InvalidRequest(f"The body {reason}.", {"body": reason})
    return ImageTooLarge(
        f"The image may have at most {max_image_bytes} bytes.", {"max_bytes": max_image_bytes}
    )
