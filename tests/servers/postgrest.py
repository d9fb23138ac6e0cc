"""The PostgREST protocol in front of a real PostgreSQL, as a process of its own.

`python -m tests.servers.postgrest --dsn ... --port ... --jwt-secret ...` starts it by hand.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn

from tests.servers.postgres import authenticator_dsn
from tests.servers.postgrest_app import Config, application
from tests.servers.postgrest_tokens import make_token

JWT_SECRET = "tests-jwt-secret-of-at-least-32-characters"
TOKEN = make_token(JWT_SECRET)
"""Opens the stand-in as role `face_search`."""

_ROOT = Path(__file__).parents[2]
_READY_WITHIN_S = 30


class PostgrestServer:
    """The stand-in's process: it can be stopped, frozen and started again on the same port."""

    def __init__(
        self,
        dsn: str,
        *,
        jwt_secret: str = JWT_SECRET,
        pool: int = 10,
        pool_acquisition_timeout_s: float = 10,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._arguments = ["--dsn", dsn, "--port", str(self._port), "--jwt-secret", jwt_secret]
        self._arguments += ["--pool", str(pool)]
        self._arguments += ["--pool-acquisition-timeout", str(pool_acquisition_timeout_s)]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, "-m", "tests.servers.postgrest", *self._arguments]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL)
        atexit.register(self.stop)
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(self.url, timeout=5)
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the stand-in of PostgREST does not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process, as a crash would. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """From now on connections are accepted, by the kernel, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def postgrest_server(dsn: str, *, pool: int = 10) -> Iterator[str]:
    """Start the stand-in in front of the database of a superuser's `dsn` and yield its URL; see `TOKEN`."""
    server = PostgrestServer(authenticator_dsn(dsn), pool=pool)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True, help="of a role that may become face_search")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jwt-secret", required=True)
    parser.add_argument("--pool", type=int, default=10)
    parser.add_argument("--pool-acquisition-timeout", type=float, default=10)
    given = parser.parse_args()
    config = Config(
        given.dsn,
        given.jwt_secret,
        pool=given.pool,
        pool_acquisition_timeout_s=given.pool_acquisition_timeout,
    )
    uvicorn.run(application(config), host="127.0.0.1", port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
