"""Runs `python -m bentos.reembed` as a process, to its end or until it has stored a given number of vectors."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.swap.packs import ROOT

STARTED = "changing to the face pack"
MOVED = "moved: services of this face pack become ready now"
_SLICE_S = 0.05
_PATIENCE_S = 900.0
_CHILDREN_GONE_WITHIN_S = 20.0


class Job:
    """A running job, which appends to `log`."""

    def __init__(self, environment: dict[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        self._before = len(log.read_text(errors="replace")) if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bentos.reembed", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def ended(self) -> int:
        """Wait for the exit status."""
        return await asyncio.to_thread(self._process.wait, _PATIENCE_S)

    async def killed_at(self, vectors: int, stored: Callable[[], int]) -> int:
        """Send SIGKILL once `stored` has reached the number; returns the number at that time.

        The job is paused repeatedly from its first line on, so that only a few vectors are stored between two checks.
        """
        while STARTED not in self.said():
            assert self._process.poll() is None, f"it ended before: {self.said()[-2000:]}"
            await asyncio.sleep(0.05)
        while True:
            if self._process.poll() is not None:
                assert self.has_moved, f"it ended before: {self.said()[-2000:]}"
                return await asyncio.to_thread(stored)
            self._process.send_signal(signal.SIGSTOP)
            there = await asyncio.to_thread(stored)
            if there >= vectors or self.has_moved:
                break
            self._process.send_signal(signal.SIGCONT)
            await asyncio.sleep(_SLICE_S)
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, _CHILDREN_GONE_WITHIN_S)
        assert not alive, "processes of the job are still running"
        return there

    @property
    def has_moved(self) -> bool:
        """Whether it has moved the alias: with a few photos that can happen before it is caught."""
        return MOVED in self.said()

    def said(self) -> str:
        """The output so far."""
        return self._log.read_text(errors="replace")[self._before :]

    def kill(self) -> None:
        """Kill all processes of the job."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
