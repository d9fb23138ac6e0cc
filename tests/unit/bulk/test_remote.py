"""Tests of what answers in place of the service: a proxy in front of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bentos.bulk.items import Item, WrongSetup
from bentos.bulk.remote import RemoteIndexer
from bentos.client.connection import Connection

KEY = "0123456789abcdef-key-of-the-tests"


async def test_a_photo_that_is_too_large_for_a_proxy_fails_alone() -> None:
    assert (await _outcome(413)).error == "image_too_large"
    with pytest.raises(WrongSetup, match="answered 403"):
        await _outcome(403)


async def _outcome(status: int):
    with _proxy(status) as url:
        indexer = RemoteIndexer(Connection(url, KEY), collection_id=None)
        try:
            return await indexer.index(Item("large.jpg"), b"image")
        finally:
            await indexer.close()


@contextmanager
def _proxy(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>no</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
