"""A TCP server of the tests, which does with each connection what a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Serve = Callable[[socket.socket, threading.Event], None]
"""Called in a thread of its own with a connection, and an event that is set when the server stops."""


@contextmanager
def tcp_server(serve: Serve, *, receive_buffer: int | None = None) -> Iterator[str]:
    """The server's URL. An `OSError` of `serve` is ignored: the other side may have gone.

    `receive_buffer`: bytes that the kernel takes for each connection, by default its own choice.
    """
    done = threading.Event()

    def converse(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            serve(connection, done)

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
