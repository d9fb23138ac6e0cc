"""Reads the memory of a service and of its child processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

MEGABYTE = 1 << 20
Memory = dict[str, int]
"""MiB by process, named by role."""


def memory_of(pid: int) -> Memory:
    """Resident memory of the process and its descendants."""
    parent = psutil.Process(pid)
    held: Memory = {}
    for process in [parent, *parent.children(recursive=True)]:
        try:
            held[f"{_role(process)} {process.pid}"] = process.memory_info().rss // MEGABYTE
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return held


def _role(process: psutil.Process) -> str:
    command = process.cmdline()
    if "--service-name" in command:
        return command[command.index("--service-name") + 1]
    return "arbiter" if "serve" in command else "python"


@dataclass
class Peak:
    """The peak memory of each process while it was watched."""

    memory: Memory = field(default_factory=dict)


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """Measure ten times per second during the block."""
    peak, over = Peak(memory_of(pid)), threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for name, held in memory_of(pid).items():
                peak.memory[name] = max(held, peak.memory.get(name, 0))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
