"""Starts PostgREST's protocol over a real PostgreSQL: the binary that POSTGREST_BIN names, else a stand-in.

`python -m bentos.demo.servers.postgrest CONFIG [--major 12]` starts the stand-in with PostgREST's configuration file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import uvicorn

from bentos.demo.process import free_port
from bentos.demo.servers.postgres import authenticator_dsn
from bentos.demo.servers.postgrest_app import application
from bentos.demo.servers.postgrest_config import read_config, stand_in_config, write_config
from bentos.demo.servers.postgrest_tokens import make_token
from bentos.demo.servers.process import ServerProcess

JWT_SECRET = "tests-jwt-secret-of-at-least-32-characters"
TOKEN = make_token(JWT_SECRET)
"""A token with the role `face_search`."""
SUPPORTED = (12, 13, 14)
"""The major versions of PostgREST that the services work with."""

_ROOT = Path(__file__).parents[3]
_READY_WITHIN_S = 30
_SCHEMA_WITHIN_S = 3
"""How long a binary may take to read the schema; without one it never becomes ready, which some tests want."""


def binary() -> str | None:
    """The program that POSTGREST_BIN names, or None: the stand-in is used."""
    return os.environ.get("POSTGREST_BIN") or None


def major_of_binary() -> int:
    """The major version of the program that POSTGREST_BIN names."""
    return _major_of(str(binary()))


@cache
def _major_of(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.\d+", said)
    if found is None:
        raise RuntimeError(f"POSTGREST_BIN does not print its version: {said!r}")
    return int(found[1])


class PostgrestServer(ServerProcess):
    """PostgREST for the database `dsn`. `major`: the version that the stand-in behaves like; a binary has its own."""

    def __init__(
        self,
        dsn: str,
        *,
        jwt_secret: str = JWT_SECRET,
        pool: int = 10,
        pool_acquisition_timeout_s: int = 10,
        major: int = 14,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._token = make_token(jwt_secret)
        self._values: dict[str, str | int] = {
            "db-uri": dsn,
            "db-schemas": "face_search",
            "db-pool": pool,
            "db-pool-acquisition-timeout": pool_acquisition_timeout_s,
            "jwt-secret": jwt_secret,
            "server-host": "127.0.0.1",
            "server-port": port,
        }
        program = binary()
        stand_in = [sys.executable, "-m", "bentos.demo.servers.postgrest", "--major", str(major)]
        self._program = stand_in if program is None else [program]
        self._is_binary = program is not None
        self._config: Path | None = None

    def start(self) -> None:
        """Start and wait until it responds."""
        self._config = Path(tempfile.mkdtemp(prefix="postgrest-")) / "postgrest.conf"
        write_config(self._config, self._values)
        self._spawn([*self._program, self._config], cwd=_ROOT)
        began = time.monotonic()
        self._wait_until(lambda: self._answers(time.monotonic() - began), _READY_WITHIN_S)

    def stop(self) -> None:
        """See `ServerProcess`; also removes the configuration file."""
        super().stop()
        if self._config is not None:
            shutil.rmtree(self._config.parent, ignore_errors=True)

    def _answers(self, seconds: float) -> bool:
        try:
            answer = httpx.get(self.url, headers={"Authorization": f"Bearer {self._token}"}, timeout=5)
        except httpx.TransportError:
            return False
        reads_schema = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and self._is_binary
        return not reads_schema or seconds > _SCHEMA_WITHIN_S


@contextlib.contextmanager
def postgrest_server(dsn: str, *, pool: int = 10) -> Iterator[str]:
    """Start the server for the database of a superuser's `dsn` and yield its URL; `TOKEN` gives access."""
    with PostgrestServer(authenticator_dsn(dsn), pool=pool).running() as server:
        yield server.url


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(prog="python -m bentos.demo.servers.postgrest", description=__doc__)
    parser.add_argument("config", type=Path, help="a configuration file of PostgREST")
    parser.add_argument("--major", type=int, default=14, choices=SUPPORTED, help="the version to behave like")
    given = parser.parse_args()
    values = read_config(given.config)
    uvicorn.run(
        application(stand_in_config(values, given.major)),
        host=str(values.get("server-host", "127.0.0.1")),
        port=int(values.get("server-port", 3000)),
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
