"""Servers that misbehave: they echo requests, close connections, do not respond, or speak another protocol."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from tests.tcp_server import tcp_server

Answer = Callable[[str, bytes], bytes]
"""From the first bytes of a request to the bytes of the response; empty: do not respond."""


def _http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("utf-8", "replace")


def postgrest_error(status: str, code: str) -> Answer:
    """An error of PostgREST whose texts contain the request."""

    def answer(head: str, body: bytes) -> bytes:
        sent = head + body.decode("latin-1")
        error = {"code": code, "message": sent, "details": sent, "hint": sent}
        return _http(status, json.dumps(error), "Content-Type: application/json")

    return answer


def s3_error(status: str, code: str | None) -> Answer:
    """An error of S3 whose texts contain the request; None: its code contains it too."""

    def answer(head: str, body: bytes) -> bytes:
        sent = "".join(c for c in head if c.isalnum() or c in " -=/:.,")
        fields = {"Code": code or sent, "Message": sent, "Resource": sent, "RequestId": sent}
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        xml = f'<?xml version="1.0"?><Error>{inside}</Error>'
        return _http(status, xml, "Content-Type: application/xml")

    return answer


def _plain(status: str) -> Answer:
    return lambda head, body: _http(status, head + body.decode("latin-1"), "Content-Type: text/plain")


def _in_headers(head: str, _: bytes) -> bytes:
    line = head.replace("\r\n", " ")
    return _http("500 " + line[-2000:], "", f"X-Echo: {line}", f"Location: http://127.0.0.1:1/{line}")


def _malformed_headers(head: str, _: bytes) -> bytes:
    return ("HTTP/1.1 200 OK\r\n" + head.replace(":", " ") + "\r\n\r\n").encode("utf-8", "replace")


def _cut_short(head: str, _: bytes) -> bytes:
    return ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + head).encode("utf-8", "replace")


HOSTILE: dict[str, Answer] = {
    "closes at once": lambda *_: b"\x00",
    "echoes without HTTP": lambda head, body: head.encode() + body,
    "echoes with 200": _plain("200 OK"),
    "echoes with 302": _plain("302 Found"),
    "echoes with 400": _plain("400 Bad Request"),
    "echoes with 401": _plain("401 Unauthorized"),
    "echoes with 404": _plain("404 Not Found"),
    "echoes with 500": _plain("500 Internal Server Error"),
    "echoes with 503": _plain("503 Service Unavailable"),
    "echoes in headers": _in_headers,
    "echoes as malformed headers": _malformed_headers,
    "echoes and breaks off": _cut_short,
    "never answers": lambda *_: b"",
}


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The URL of a server that sends this response to each request, and then closes the connection."""

    def serve(connection: socket.socket, done: threading.Event) -> None:
        request = connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        if said := answer(head.decode("latin-1"), body):
            connection.sendall(said)
        else:
            done.wait(10)

    with tcp_server(serve) as url:
        yield url


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def service(self, call: Any) -> Any:
        sent = " ".join(f"{name}={value}" for name, value in call.invocation_metadata)

        def refuse(_: bytes, context: Any) -> bytes:
            context.abort(self._code, sent)
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextmanager
def grpc_echo(code: grpc.StatusCode) -> Iterator[str]:
    """The URL of a gRPC server that refuses every call with `code` and the metadata that came with it."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Echo(code)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
