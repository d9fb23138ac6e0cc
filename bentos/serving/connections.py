"""What a connection may cost before it is a request: so many seconds and so many bytes; uvicorn bounds neither.

A connection that says nothing, one that sends its headers a letter at a time, headers without an end, and a refused
upload that goes on and on: each is closed. (Of a request that is being served, the door watches the body.)

A connection that has been answered stays open for longer than the proxies and clients that keep it for later: closed
here first, their next request would meet its end, and a POST is not sent twice.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_S = 75
"""ingress-nginx keeps an idle connection for 60 seconds; uvicorn's own 5 lost searches under changing load."""

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request beside its body: its line, its headers, what chunked encoding adds."""
_FRAMING = 2
"""Bytes on the wire for each of the body: chunks may be as short as five bytes."""


def bound_connections(timeout_s: float) -> None:
    """Have the uvicorn server of this process bound its connections; nothing happens where there is none.

    To be called before it listens, which is while the lifespan of its app starts.
    """
    server = serving_server()
    if server is not None and server.config.http_protocol_class is HttpToolsProtocol:
        bounded: Any = partial(BoundedHttp, timeout_s=timeout_s)
        server.config.http_protocol_class = bounded
        server.config.timeout_keep_alive = KEEP_ALIVE_S


def serving_server() -> uvicorn.Server | None:
    """The uvicorn server of this process: it handles SIGTERM."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


class BoundedHttp(HttpToolsProtocol):
    """One connection. It has `timeout_s` to come up with the head of a request; `KEEP_ALIVE_S` to begin another."""

    def __init__(self, *args: Any, timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout_s = timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._messages = 0
        self._received = 0
        self._of_the_body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait(self._timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as the request is not mostly something else than its body."""
        messages = self._messages
        super().data_received(data)
        # Where a request begins within `data`, that one piece is not counted: it has at most 256 KiB.
        self._received = self._received + len(data) if self._messages == messages else 0
        if self._received > MAX_HEAD_BYTES + _FRAMING * self._of_the_body:
            self._refuse()

    def on_message_begin(self) -> None:
        """Count anew, and wait for the rest of the head."""
        super().on_message_begin()
        self._messages += 1
        if self._between_requests():
            self._wait(self._timeout_s)
        self._of_the_body = 0

    def on_headers_complete(self) -> None:
        """There is a request: its body is the door's concern."""
        super().on_headers_complete()
        self._wait_no_more()

    def on_body(self, body: bytes) -> None:
        """Count what is no overhead."""
        self._of_the_body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has come already."""
        super().on_response_complete()
        if self._between_requests():
            self._wait(self._timeout_s if self.cycle is not None and self.cycle.more_body else KEEP_ALIVE_S)

    def on_message_complete(self) -> None:
        """The end of a body that nobody waited for: from here on the connection is idle."""
        super().on_message_complete()
        if self._between_requests():
            self._wait(KEEP_ALIVE_S)

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
