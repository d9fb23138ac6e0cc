"""Limits the time and the bytes that a connection may use outside the body of a request; uvicorn limits neither.

It closes a connection that sends nothing, one that sends its headers slowly or without an end, and a refused upload
that continues. (`bentos.http.middleware.body_limits` bounds the body of a request that is being served.)

Private interface of uvicorn 0.54.0: `HttpToolsProtocol` and its callbacks, `RequestResponseCycle.response_complete` and
`more_body`, `Config.http_protocol_class` read when the server starts to listen.

What it buys: connections that send slowly or without an end (tests/system/attacks.py opens up to 200) are closed after
RECEIVE_TIMEOUT_S, or 64 KiB beside the body; without it each holds a file descriptor for ever, and a head without an
end grows in memory. `check_uvicorn` is the self-check at start: where the library differs the service does not start.
The documented way is CONNECTION_LIMITS=off with a proxy in front that bounds slow and endless requests.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bentos.serving.uvicorn_server import serving_server

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request beside its body: the request line, the headers, what chunked encoding adds."""
_FRAMING = 2
"""Bytes on the connection for each byte of the body: a chunk may be as short as five bytes."""


_CALLBACKS = (
    "connection_made",
    "connection_lost",
    "data_received",
    "on_message_begin",
    "on_headers_complete",
    "on_body",
    "on_response_complete",
    "on_message_complete",
    "send_400_response",
)


class ConnectionLimitsUnavailable(Exception):
    """The limits cannot be installed; the message is one sentence that says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The limits of connections cannot be installed: {reason}; install the pinned uvicorn and httptools, "
            "or set CONNECTION_LIMITS=off to run without limits."
        )


def check_uvicorn() -> None:
    """Raises `ConnectionLimitsUnavailable` when the installed uvicorn lacks what the limits rely on."""
    missing = [name for name in _CALLBACKS if not callable(getattr(HttpToolsProtocol, name, None))]
    if missing:
        raise ConnectionLimitsUnavailable(f"uvicorn's HttpToolsProtocol has no {', '.join(missing)}")
    known = RequestResponseCycle.__init__.__code__.co_names
    if unknown := {"response_complete", "more_body"} - set(known):
        raise ConnectionLimitsUnavailable(f"uvicorn's requests have no {', '.join(sorted(unknown))}")
    if AutoHTTPProtocol is not HttpToolsProtocol:
        raise ConnectionLimitsUnavailable(f"uvicorn would use {AutoHTTPProtocol.__name__}")
    if not callable(getattr(uvicorn.Server, "handle_exit", None)):
        raise ConnectionLimitsUnavailable("uvicorn's server does not handle signals as expected")


def bound_connections(timeout_s: float) -> None:
    """Make the uvicorn server of this process bound its connections.

    To be called before the server listens: while the lifespan of its app starts. Raises `ConnectionLimitsUnavailable`.
    """
    server = serving_server()
    if server is None:
        raise ConnectionLimitsUnavailable("no uvicorn server was found in this process")
    if server.config.http_protocol_class is not HttpToolsProtocol:
        raise ConnectionLimitsUnavailable(f"uvicorn uses {server.config.http_protocol_class}")
    bounded: Any = partial(BoundedHttp, timeout_s=timeout_s)
    server.config.http_protocol_class = bounded


class BoundedHttp(HttpToolsProtocol):
    """One connection: `timeout_s` for the head of a request, uvicorn's keep-alive until the next request begins."""

    def __init__(self, *args: Any, timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout_s = timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._messages = 0
        self._received = 0
        self._of_the_body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._wait(self._timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse `data`, and refuse a request that has too many bytes outside its body."""
        messages = self._messages
        super().data_received(data)
        # The piece of data in which a request begins is not counted: it has at most 256 KiB.
        self._received = self._received + len(data) if self._messages == messages else 0
        if self._received > MAX_HEAD_BYTES + _FRAMING * self._of_the_body:
            self._refuse()

    def on_message_begin(self) -> None:
        """Reset the byte counts, and start the timeout of the head."""
        super().on_message_begin()
        self._messages += 1
        if self._between_requests():
            self._wait(self._timeout_s)
        self._of_the_body = 0

    def on_headers_complete(self) -> None:
        """Stop the timeout: the middleware bounds the body."""
        super().on_headers_complete()
        self._wait_no_more()

    def on_body(self, body: bytes) -> None:
        """Count the bytes of the body."""
        self._of_the_body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Start the timeout of the next request, unless that request has begun already."""
        super().on_response_complete()
        if self._between_requests():
            self._wait(
                self._timeout_s
                if self.cycle is not None and self.cycle.more_body
                else self.timeout_keep_alive
            )

    def on_message_complete(self) -> None:
        """The end of a body that the app did not wait for: the connection is idle from now on."""
        super().on_message_complete()
        if self._between_requests():
            self._wait(self.timeout_keep_alive)

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self, seconds: float) -> None:
        self._wait_no_more()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._between_requests() and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self._between_requests():
            self.send_400_response("The request has too many bytes beside its body.")
        else:
            self.transport.close()
