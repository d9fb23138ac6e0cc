"""A server process that a test may stop, freeze and start again on the same ports."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

_STOPPED_WITHIN_S = 10
_LOOK_EVERY_S = 0.1
_LAST_OF_LOG = 2000


class ServerProcess:
    """Base class of the servers; a subclass implements `start`."""

    _process: subprocess.Popen[bytes] | None = None
    _log: Path | None = None

    def start(self) -> None:
        """Start the server and wait until it can be used."""
        raise NotImplementedError

    def stop(self) -> None:
        """Kill the process and its child processes, as a crash would. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOPPED_WITHIN_S)
            self._process = None

    def freeze(self) -> None:
        """Suspend the process: the kernel still accepts connections, but no request gets a response."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process after `freeze`."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend the process for the duration of the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Run the server for the duration of the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def _spawn(self, command: Sequence[str | Path], log: Path | None = None, **options: Any) -> None:
        """Run the command in its own session; its output is appended to `log`, or goes to this process's output."""
        self._log = log
        with contextlib.ExitStack() as opened:
            output = None if log is None else opened.enter_context(log.open("ab"))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **options,
            )
        atexit.register(self.stop)

    def _wait_until(self, usable: Callable[[], bool], within_s: float) -> None:
        """Wait until the server is ready. Raises `RuntimeError` with the end of the log when it ends or is too slow."""
        deadline = time.monotonic() + within_s
        while not usable():
            if self._ended() or time.monotonic() > deadline:
                self.stop()
                said = "" if self._log is None else self._log.read_text(errors="replace")[-_LAST_OF_LOG:]
                message = f"{type(self).__name__} did not start\n{said}"
                raise RuntimeError(message)
            time.sleep(_LOOK_EVERY_S)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


def free_ports(count: int) -> list[int]:
    """Free ports, all different, because each is bound until the last one is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
