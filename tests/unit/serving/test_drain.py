"""Tests how a serving process stops accepting connections, with a real uvicorn server."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import pytest
import uvicorn
import uvloop

from bentos.serving.drain import _stop_accepting, waiting_connections

CALLERS = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


async def _app(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


def _connected(port: int) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", port))
    caller.sendall(REQUEST)
    return caller


def _answer(caller: socket.socket) -> bytes:
    with caller:
        caller.settimeout(30)
        received = b""
        while part := caller.recv(4096):
            received += part
        return received


async def _stop_with_waiting_callers() -> list[bytes]:
    """The answers to callers whose connections wait when the process stops accepting; a later one is refused."""
    server = uvicorn.Server(uvicorn.Config(_app, port=0, lifespan="off", log_level="error", ws="none"))
    before = signal.getsignal(signal.SIGTERM)
    serves = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        (listening,) = server.servers[0].sockets
        port = listening.getsockname()[1]
        callers = [_connected(port) for _ in range(CALLERS)]  # the event loop accepts nothing meanwhile
        assert waiting_connections(listening) == CALLERS
        await _stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            _connected(port)
        return await asyncio.gather(*(asyncio.to_thread(_answer, caller) for caller in callers))
    finally:
        server.should_exit = True
        await serves
        signal.signal(signal.SIGTERM, before)


def test_connections_that_nobody_has_accepted_yet_are_answered_and_later_ones_are_refused() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in a service
        answers = runner.run(_stop_with_waiting_callers())
    assert len(answers) == CALLERS
    assert all(b"answered" in answer for answer in answers)
