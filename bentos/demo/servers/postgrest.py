"""Starts a stand-in for PostgREST: a process that serves PostgREST's protocol from a real PostgreSQL.

`python -m bentos.demo.servers.postgrest --dsn ... --port ... --jwt-secret ...` starts it from a shell.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn

from bentos.demo.process import free_port
from bentos.demo.servers.postgres import authenticator_dsn
from bentos.demo.servers.postgrest_app import Config, application
from bentos.demo.servers.postgrest_tokens import make_token
from bentos.demo.servers.process import ServerProcess

JWT_SECRET = "tests-jwt-secret-of-at-least-32-characters"
TOKEN = make_token(JWT_SECRET)
"""A token with the role `face_search`."""

_ROOT = Path(__file__).parents[3]
_READY_WITHIN_S = 30


class PostgrestServer(ServerProcess):
    """The stand-in for the database `dsn`."""

    def __init__(
        self,
        dsn: str,
        *,
        jwt_secret: str = JWT_SECRET,
        pool: int = 10,
        pool_acquisition_timeout_s: float = 10,
        major: int = 14,
    ) -> None:
        port = free_port()
        self._arguments = ["--dsn", dsn, "--port", str(port), "--jwt-secret", jwt_secret]
        self._arguments += ["--pool", str(pool), "--major", str(major)]
        self._arguments += ["--pool-acquisition-timeout", str(pool_acquisition_timeout_s)]
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Start and wait until it responds."""
        self._spawn([sys.executable, "-m", "bentos.demo.servers.postgrest", *self._arguments], cwd=_ROOT)
        self._wait_until(self._answers, _READY_WITHIN_S)

    def _answers(self) -> bool:
        try:
            httpx.get(self.url, timeout=5)
        except httpx.TransportError:
            return False
        return True


@contextlib.contextmanager
def postgrest_server(dsn: str, *, pool: int = 10) -> Iterator[str]:
    """Start the stand-in for the database of a superuser's `dsn` and yield its URL; `TOKEN` gives access."""
    with PostgrestServer(authenticator_dsn(dsn), pool=pool).running() as server:
        yield server.url


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True, help="of a role that may become face_search")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jwt-secret", required=True)
    parser.add_argument("--pool", type=int, default=10)
    parser.add_argument("--pool-acquisition-timeout", type=float, default=10)
    parser.add_argument("--major", type=int, default=14, choices=[12, 14])
    given = parser.parse_args()
    config = Config(
        given.dsn,
        given.jwt_secret,
        pool=given.pool,
        pool_acquisition_timeout_s=given.pool_acquisition_timeout,
        major=given.major,
    )
    uvicorn.run(application(config), host="127.0.0.1", port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
