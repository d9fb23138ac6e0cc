"""Reads from the kernel which processes exist, who their parents are, and whether they are alive. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bentos.serving.bentoml_workers import service_of

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One entry of the process table."""

    pid: int
    parent: int
    is_alive: bool
    arguments: tuple[str, ...]

    @property
    def service(self) -> str | None:
        """The BentoML service that the process works for."""
        return service_of(self.arguments)


def process(pid: int) -> Process | None:
    """The process with that id, also when it is dead and not yet reaped; or None."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]  # the name before the last ")" may hold any character
    return Process(pid, int(parent), state not in "ZX", tuple(arguments))


def is_alive(pid: int) -> bool:
    """Whether a process with that id runs."""
    found = process(pid)
    return found is not None and found.is_alive


def workers_of(arbiter: int) -> list[Process]:
    """The living children of BentoML's arbiter that work for a service."""
    found = (process(int(name)) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 names alone
    return [p for p in found if p is not None and p.parent == arbiter and p.is_alive and p.service]
