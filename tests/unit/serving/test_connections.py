"""Tests how long a connection stays open, over real sockets, and what happens when the limits cannot be installed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn

from bentos.serving.connections import (
    BoundedHttp,
    ConnectionLimitsUnavailable,
    bound_connections,
    check_uvicorn,
)

HEAD_S = 0.3
KEEP_ALIVE_S = 3
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
BODY = b"body"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    bounded: Any = partial(BoundedHttp, timeout_s=HEAD_S)
    config = uvicorn.Config(_app, port=0, http=bounded, lifespan="off", log_level="error")
    config.timeout_keep_alive = KEEP_ALIVE_S
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def answer(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]

    async def seconds_to_the_end(self) -> float:
        started = time.monotonic()
        assert await self._reader.read() == b""
        return time.monotonic() - started


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def test_an_answered_connection_waits_longer_for_the_next_request_than_a_new_one(port: int) -> None:
    async with connected(port) as silent, connected(port) as answered:
        answered.writer.write(REQUEST + BODY)
        assert await answered.answer() == b"HTTP/1.1 200 OK"
        assert await silent.seconds_to_the_end() < KEEP_ALIVE_S / 2
        await asyncio.sleep(HEAD_S)
        answered.writer.write(REQUEST + BODY)
        assert await answered.answer() == b"HTTP/1.1 200 OK"
        assert await answered.seconds_to_the_end() > KEEP_ALIVE_S * 0.9


async def test_a_next_request_that_has_begun_must_continue(port: int) -> None:
    async with connected(port) as caller:
        caller.writer.write(REQUEST + BODY)
        await caller.answer()
        caller.writer.write(b"GET / HTTP/1.1\r\nX-A")
        assert await caller.seconds_to_the_end() < KEEP_ALIVE_S / 2


async def test_an_unread_body_must_end(port: int) -> None:
    async with connected(port) as stops, connected(port) as ends:
        for caller in (stops, ends):
            caller.writer.write(REQUEST)
            await caller.answer()
        ends.writer.write(BODY)
        assert await stops.seconds_to_the_end() < KEEP_ALIVE_S / 2
        assert await ends.seconds_to_the_end() > HEAD_S


def test_the_installed_uvicorn_can_be_bounded() -> None:
    check_uvicorn()


def test_limits_that_cannot_be_installed_raise_an_error() -> None:
    with pytest.raises(ConnectionLimitsUnavailable, match="no uvicorn server"):
        bound_connections(HEAD_S)


_OTHER_UVICORN = """
import os, sys
import uvicorn.protocols.http.httptools_impl as uvicorn_http
{change}
sys.argv = ["bentoml", "serve", "bentos.search.service:ImageSearch"]
try:
    import bentos.search.service
except SystemExit as stopped:
    print(stopped, file=sys.stderr)  # as Python does
    os.environ["CONNECTION_LIMITS"] = "off"
    import bentos.search.service
    print("started")
"""


@pytest.mark.parametrize(
    "change",
    [
        "del uvicorn_http.HttpToolsProtocol.on_body",
        "uvicorn_http.RequestResponseCycle.__init__ = lambda self: None",
        "import uvicorn.protocols.http.auto as auto; auto.AutoHTTPProtocol = type('Other', (), {})",
        "import uvicorn; del uvicorn.Server.handle_exit",
    ],
)
def test_another_uvicorn_stops_the_start_in_one_sentence_unless_the_limits_are_off(change: str) -> None:
    settings = {
        "API_KEY": "0123456789abcdef-key-of-the-tests",
        "MILVUS_URI": "vectors.db",
        "S3_ENDPOINT_URL": "file:///images",
    }
    command = [sys.executable, "-c", _OTHER_UVICORN.format(change=change)]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("The limits of connections cannot be installed: ")
    assert "CONNECTION_LIMITS=off" in sentence
