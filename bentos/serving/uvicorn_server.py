"""Finds the uvicorn server of this process, for draining and for the limits of connections.

Private interface of uvicorn 0.54.0: the server is the object behind the handler of SIGTERM (`Server.handle_exit`), and
its asyncio servers are in `Server.servers` once it listens. BentoML creates the server and gives no access to it.

What it buys: a service that stops refuses new connections at once (`drain.py`), and slow connections are bounded
(`connections.py`). `serving_server() is None` is the self-check at start. Without it draining warns, and new
connections wait until the process has ended; the limits stop the start unless CONNECTION_LIMITS=off.
"""

from __future__ import annotations

import os
import signal
import socket

import uvicorn


def serving_server() -> uvicorn.Server | None:
    """The uvicorn server of this process; None where nothing serves, or another version is installed."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


def listening_sockets() -> list[socket.socket]:
    """The sockets on which this process accepts connections. The event loop owns them."""
    return [each for listener in getattr(serving_server(), "servers", ()) for each in listener.sockets]


def close_listeners() -> list[socket.socket]:
    """Stop accepting in this process, and return its listening sockets, which other processes may hold as well."""
    # Duplicates, because the event loop closes its own numbers.
    sockets = [socket.socket(fileno=os.dup(each.fileno())) for each in listening_sockets()]
    for listener in getattr(serving_server(), "servers", ()):
        listener.close()
    return sockets
