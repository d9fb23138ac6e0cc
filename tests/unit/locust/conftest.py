"""Fixtures: a stand-in for image-search that responds at once, for tests of the load generators."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

KEY = "0123456789abcdef-key-of-the-tests"
MATCH = {
    "photo_id": "p",
    "collection_id": "a",
    "face_id": "f",
    "bbox": [0, 0, 9, 9],
    "score": 0.9,
    "url": None,
}
RIGHT = {
    "results": [MATCH],
    "count": 1,
    "page": 1,
    "top_k": 10,
    "has_more": False,
    "score_threshold": 0.5,
    "query": {"bbox": [0, 0, 9, 9], "score": 0.9},
    "took_ms": 1.5,
}
REFUSED = {"error": "overloaded", "message": "Try again.", "request_id": "r", "details": {}}


@dataclass
class StandIn:
    """`fails_every`: every n-th request is refused as overloaded; 0: none."""

    url: str = ""
    fails_every: int = 0
    answer: dict = field(default_factory=lambda: RIGHT)
    seen: Counter = field(default_factory=Counter)
    bodies: set = field(default_factory=set)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.seen["requests"] += 1
            state.seen["with key"] += self.headers.get("x-api-key") == KEY
            state.bodies.add(hash(body))
            fails = state.fails_every and state.seen["requests"] % state.fails_every == 0
            answer = json.dumps(REFUSED if fails else state.answer).encode()
            self.send_response(503 if fails else 200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
