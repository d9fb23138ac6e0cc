"""Runs BentoML as a child process: stops it in the right order on SIGTERM, and ends when it can no longer serve."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bentos.serving.bentoml_workers import problem, replacing_dead_workers
from bentos.serving.drain import PID_FILE, RUN_FOLDER
from bentos.serving.log_lines import is_log_line, json_line, log_line
from bentos.serving.processes import Process, is_alive, process, workers_of

_POLL_S = 0.05
_LOOK_EVERY_S = 1.0
_WITHOUT_WORKERS_S = 20.0
"""BentoML replaces a dead worker within seconds; a service without workers for longer has to be restarted."""
_ARBITER_S = 1.2
"""How long the arbiter may take to end when no request is in progress."""


class Supervisor:
    """Runs `command`, a `bentoml serve`, once.

    `leave_within_s`: how long the serving process may take to end once it was told to.
    """

    def __init__(self, command: Sequence[str], *, leave_within_s: float) -> None:
        self._command = list(command)
        self._leave_within_s = leave_within_s
        self._folder = Path(tempfile.mkdtemp(prefix="face-search-"))
        self._told_to_stop = False
        self._status: int | None = None

    def run(self) -> int:
        """Returns the exit status: 0 after an orderly end that was asked for."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        try:
            self._arbiter = self._start()
            while not self._told_to_stop and not self._ended():
                if not self._serves():
                    return self._fail(f"a service has had no workers for {_WITHOUT_WORKERS_S:g} s")
                time.sleep(_POLL_S)
            if not self._told_to_stop:
                return self._fail(f"BentoML ended by itself with status {self._status}")
            return self._stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, _signal: int, _frame: object) -> None:
        self._told_to_stop = True

    def _start(self) -> int:
        if reason := problem():
            _say("warning", f"a service without workers will not be noticed: {reason}")
        environment = replacing_dead_workers(os.environ)
        started = subprocess.Popen(
            self._command,
            env={**environment, "BENTOML_DO_NOT_TRACK": "True", RUN_FOLDER: str(self._folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._output = _Output(started.stdout or ())
        self._output.start()
        self._seen: dict[str, float] = {}
        self._next_look = 0.0
        self._workers: set[int] = set()
        return started.pid

    def _look(self) -> list[Process]:
        """The living workers, remembered for the end: each is in its own process group."""
        workers = workers_of(self._arbiter)
        self._workers |= {worker.pid for worker in workers}
        return workers

    def _ended(self) -> bool:
        """Whether the arbiter has ended; reaps every dead child, as PID 1 of a container has to."""
        while self._status is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._status = 1
                break
            if pid == 0:
                break
            if pid == self._arbiter:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def _serves(self) -> bool:
        """Whether every service that ever had a worker has one, or had one not long ago."""
        now = time.monotonic()
        if now < self._next_look:
            return True
        self._next_look = now + _LOOK_EVERY_S
        for worker in self._look():
            self._seen[worker.service or ""] = now
        return all(now - last < _WITHOUT_WORKERS_S for last in self._seen.values())

    def _fail(self, what: str) -> int:
        """Log the reason as the last line, because Kubernetes shows the last lines of a container that has failed."""
        self._kill()
        _say("error", f"{self._output.last_words} ({what})" if self._output.last_words else what)
        return 1

    def _stop(self) -> int:
        _say("info", "told to stop")
        serving = self._serving_pid()
        in_time = True
        if serving is not None:
            os.kill(serving, signal.SIGUSR1)
            in_time = self._wait(lambda: not is_alive(serving), self._leave_within_s)
            if not in_time:
                _say("error", "requests are still under way; they are cut off")
        if not self._ended():
            os.kill(self._arbiter, signal.SIGTERM)
            self._wait(lambda: not self._look(), _ARBITER_S)
        self._kill()
        _say("info", "stopped")
        return 0 if in_time else 1

    def _serving_pid(self) -> int | None:
        try:
            pid = int((self._folder / PID_FILE).read_text())
        except (OSError, ValueError):
            return None  # it has not started yet, so no request is in progress
        return pid if is_alive(pid) else None

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._ended() and not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _kill(self) -> None:
        """Kill the processes that are left, and print the rest of their output."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._arbiter, signal.SIGKILL)
        for pid in self._workers:
            left = process(pid)
            if left is not None and left.service is not None:  # otherwise another process has this id now
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._output.join(1)


class _Output(threading.Thread):
    """Prints each line of BentoML's processes as JSON.

    `last_words` is the last line when it is not a log line: the reason why a service refused to start, or the end of a
    traceback. It is empty after a log line, which says nothing about why the process ended.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self._lines = lines
        self.last_words = ""

    def run(self) -> None:
        for line in map(str.rstrip, self._lines):
            _print(json_line(line))
            if line:
                self.last_words = "" if is_log_line(line) else line


def _say(level: str, message: str) -> None:
    _print(log_line(level, __name__, message))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
