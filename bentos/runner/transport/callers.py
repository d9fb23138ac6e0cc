"""Tracks for each request in this process whether its caller still waits."""

from __future__ import annotations

import time
from asyncio import StreamReader
from collections.abc import Iterator
from contextlib import contextmanager

from bentos.runner.codec import Ticket


class Callers:
    """The requests in progress. The event loop adds and removes them; any thread may call `wait_for`."""

    def __init__(self) -> None:
        self._connections: dict[int, StreamReader] = {}

    @contextmanager
    def waiting(self, ticket: Ticket, connection: StreamReader) -> Iterator[None]:
        """The caller at the other end of the connection waits for the answer while the block runs."""
        self._connections[ticket.number] = connection
        try:
            yield
        finally:
            del self._connections[ticket.number]

    def wait_for(self, ticket: Ticket) -> bool:
        """Whether the deadline has not passed and the caller has not closed its end of the connection."""
        connection = self._connections.get(ticket.number)  # None: not from a socket
        gone = connection is not None and (connection.at_eof() or connection.exception() is not None)
        return not gone and time.monotonic() < ticket.deadline
