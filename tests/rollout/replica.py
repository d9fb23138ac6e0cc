"""A replica of a service: the process of a container, which can be started, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from bentos.demo.process import free_port

TARGETS = {
    "image-search": "bentos.search.service:ImageSearch",
    "image-vectorizer": "bentos.vectorizer.service:ImageVectorizer",
}
_LOWEST_PRIORITY = 19
_numbers = itertools.count(1)


class ReplicaFailed(Exception):
    """A replica did not start or did not end."""


@dataclass
class Replica:
    """A running replica and its port."""

    service: str
    log: Path
    process: subprocess.Popen[bytes]
    port: int
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, service: str, folder: Path, environment: dict[str, str]) -> Replica:
        """Start a replica. Until it is ready it has a low priority, so that it takes no CPU from other replicas."""
        port = free_port()
        log = folder / f"{service}-{next(_numbers)}.log"
        command = [sys.executable, "-m", "bentos.serving", TARGETS[service]]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        replica = cls(service, log, process, port)
        if _may_be_raised():
            replica._set_niceness(_LOWEST_PRIORITY)
        return replica

    async def ready(self, within_s: float = 240) -> float:
        """Wait until /readyz is 200; returns the seconds since the start."""
        async with aiohttp.ClientSession() as session:
            while time.monotonic() - self.started < within_s:
                if self.process.poll() is not None:
                    raise ReplicaFailed(f"{self.log} ends with\n{self.log.read_text()[-2000:]}")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    url = f"http://127.0.0.1:{self.port}/readyz"
                    async with session.get(url, timeout=aiohttp.ClientTimeout(5)) as answer:
                        if answer.status == 200:
                            self._set_niceness(0)
                            return time.monotonic() - self.started
                await asyncio.sleep(0.1)
        raise ReplicaFailed(f"not ready: {self.log}")

    async def stop(self) -> tuple[int, float]:
        """Send SIGTERM, as `docker stop` and a kubelet do; returns the exit status and the duration, s."""
        told = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.process.wait, 60)
        return status, time.monotonic() - told

    def kill(self) -> None:
        """Kill all its processes at once, as a power failure of the node would, and wait until they have ended."""
        family = self._family()
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(10)
        psutil.wait_procs(family, timeout=10)

    def _set_niceness(self, niceness: int) -> None:
        for each in self._family():
            for thread in each.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, thread.id, niceness)

    def _family(self) -> list[psutil.Process]:
        try:
            leader = psutil.Process(self.process.pid)
            return [*leader.children(recursive=True), leader]
        except psutil.NoSuchProcess:
            return []


def _may_be_raised() -> bool:
    """Whether this process may raise the priority of another one, which requires CAP_SYS_NICE."""
    return os.geteuid() == 0
