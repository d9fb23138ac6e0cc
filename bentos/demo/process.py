"""Starts a BentoML service as a child process, waits until it is ready, and stops its whole process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bentos.serving.command import serve_command

_PATIENCE_S = 180.0
_GRACE_S = 15.0


class DidNotStart(Exception):
    """The service ended or was not ready in time; the message contains the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningService:
    """A running service: its URL, its log file and its process."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A free TCP port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def launched(
    target: str, environment: Mapping[str, str], *, log: Path, port: int | None = None
) -> Iterator[RunningService]:
    """Run `bentoml serve target` on `port` until the block ends, without waiting until it is ready.

    `environment` is added to this process's environment. The whole process group is stopped at the end.
    """
    port = port or free_port()
    command = serve_command(target, host="127.0.0.1", port=port)
    with launched_program(command, environment, log=log, port=port) as service:
        yield service


@contextmanager
def launched_program(
    command: Sequence[str], environment: Mapping[str, str], *, log: Path, port: int
) -> Iterator[RunningService]:
    """Run a program that listens on `port`, as `launched` does."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield RunningService(f"http://127.0.0.1:{port}", log, process)
    finally:
        stop(process)


@contextmanager
def serving(
    target: str, environment: Mapping[str, str], *, log: Path, port: int | None = None
) -> Iterator[RunningService]:
    """Run `bentoml serve target` as `launched` does, and wait until it is ready. Raises `DidNotStart`."""
    with launched(target, environment, log=log, port=port) as service:
        wait_until_ready(service)
        yield service


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process group: SIGTERM first, SIGKILL after 15 s."""
    for how, patience in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, how)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def wait_until_ready(service: RunningService) -> None:
    """Return when `/readyz` answers 200. Raises `DidNotStart` when the process ends before, or after three minutes."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise DidNotStart(f"The service ended before it was ready.\n{_end_of(service.log)}")
        try:
            if httpx.get(f"{service.url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise DidNotStart(f"The service is not ready after {_PATIENCE_S:.0f} s.\n{_end_of(service.log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
