"""A small collector of traces: an HTTP server that reads OTLP in protobuf, as an OpenTelemetry collector does."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 60
KINDS = {1: "internal", 2: "server", 3: "client"}


@dataclass(frozen=True)
class Received:
    """One span; ids in hexadecimal, times in seconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    began: float
    ended: float
    error: str | None
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def ms(self) -> float:
        return (self.ended - self.began) * 1000


@dataclass
class Collector:
    """The running server and what it has received. `status`: how it answers; `open`: cleared to let senders wait."""

    url: str
    spans: list[Received] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    open: threading.Event = field(default_factory=threading.Event)

    def trace(self, trace_id: str) -> list[Received]:
        return sorted((s for s in list(self.spans) if s.trace_id == trace_id), key=lambda span: span.began)

    def trace_when(self, trace_id: str, complete: Callable[[list[Received]], bool]) -> list[Received]:
        """The spans of the trace, once they are complete."""
        deadline = time.monotonic() + PATIENCE_S
        while not complete(found := self.trace(trace_id)):
            assert time.monotonic() < deadline, "\n".join(drawn(found)) or "no span"
            time.sleep(0.05)
        return found


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.open.wait(PATIENCE_S)
            right = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if right and collector.status == 200:
                collector.requests.append({name.lower(): value for name, value in self.headers.items()})
                collector.spans.extend(spans_of(body))
            self.send_response(collector.status if right else 415)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    collector.open.set()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield collector
    finally:
        collector.open.set()
        server.shutdown()
        server.server_close()


def spans_of(body: bytes) -> Iterator[Received]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                assert not span.events, "a span with events, which may hold the text of an exception"
                yield Received(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=KINDS[span.kind],
                    began=span.start_time_unix_nano / 1e9,
                    ended=span.end_time_unix_nano / 1e9,
                    error=span.status.message if span.status.code == 2 else None,
                    attributes=values(span.attributes),
                    resource=resource,
                )


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def drawn(spans: list[Received], parent: str | None = None, depth: int = 0) -> list[str]:
    """The spans as an indented tree, in the order of their beginnings, with their milliseconds."""
    ids = {span.span_id for span in spans}
    lines = []
    for span in sorted(spans, key=lambda each: each.began):
        if span.parent_id == parent or (parent is None and span.parent_id not in ids):
            name = "  " * depth + span.name
            lines.append(
                f"{name:<34} {span.ms:7.2f} ms  {span.kind}"
                + (f"  ERROR: {span.error}" if span.error else "")
            )
            lines += drawn(spans, span.span_id, depth + 1)
    return lines


def tree(spans: list[Received], parent_id: str) -> list[Any]:
    """The names of the children of a span; a child that has children itself is a tuple of its name and their list."""
    children = [span for span in sorted(spans, key=lambda each: each.began) if span.parent_id == parent_id]
    return [(s.name, below) if (below := tree(spans, s.span_id)) else s.name for s in children]
