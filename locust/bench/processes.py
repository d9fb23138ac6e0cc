"""Reads CPU seconds and memory by role, of all descendants of this process."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from bentos.serving.bentoml_workers import service_of

MEGABYTE = 1024 * 1024
GENERATOR = "load generator"
MILVUS = "milvus"
BASELINE = "plain service"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_s`: seconds of CPU since the start. `rss_mb`, `peak_mb`: resident memory now and at its highest."""

    role: str
    cpu_s: float
    rss_mb: float
    peak_mb: float


def costs(root: psutil.Process | None = None) -> dict[int, Cost]:
    """Every descendant of `root` (default: this process) by its id; one that ends meanwhile is left out."""
    found: dict[int, Cost] = {}
    for process in (root or psutil.Process()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = process.cpu_times()
            rss = process.memory_info().rss / MEGABYTE
            role = role_of(process.cmdline())
            if role == OTHER and (parent := process.parent()) is not None:
                role = role_of(parent.cmdline())  # uvicorn's workers have the command line of multiprocessing
            found[process.pid] = Cost(role, times.user + times.system, rss, _peak_mb(process.pid, rss))
    return found


def role_of(command: list[str]) -> str:
    """The role of a process, by its command line."""
    if service := service_of(command):
        return service
    if command[1:4:2] == ["-m", "serve"]:
        return "bentoml supervisor"
    if "bench.baseline:app" in command:
        return BASELINE
    names = [Path(part).name for part in command[:2]]
    for name, role in {
        "milvus": MILVUS,
        "closed_loop.py": GENERATOR,
        "locust": GENERATOR,
    }.items():
        if name in names:
            return role
    return OTHER


def cpu_spent(before: Mapping[int, Cost], after: Mapping[int, Cost]) -> dict[str, float]:
    """CPU seconds by role between two measurements."""
    spent: dict[str, float] = defaultdict(float)
    for pid, cost in after.items():
        earlier = before.get(pid)
        spent[cost.role] += cost.cpu_s - (earlier.cpu_s if earlier else 0.0)
    return dict(spent)


def memory_peaks(after: Mapping[int, Cost]) -> dict[str, list[float]]:
    """The highest resident memory of each process, megabytes, by role."""
    peaks: dict[str, list[float]] = defaultdict(list)
    for cost in after.values():
        peaks[cost.role].append(round(cost.peak_mb, 1))
    return {role: sorted(found, reverse=True) for role, found in peaks.items()}


def _peak_mb(pid: int, rss_mb: float) -> float:
    """The kernel's peak value, where it has one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return rss_mb
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return rss_mb
