"""How many CPUs this process may use, by the container's limit, and how the runner divides them."""

from __future__ import annotations

import os
from pathlib import Path

from bentos.config.settings import Settings

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_cpus() -> int:
    """The smaller of the CPU affinity and the cgroup's quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(affinity, round(quota))) if quota else affinity


def runner_processes(settings: Settings) -> int:
    """How many runner processes there are."""
    return settings.runner_workers or (1 if settings.fixed_shapes else available_cpus())


def decode_threads(settings: Settings) -> int:
    """How many threads of a runner process decode, where networks run over batches of fixed shapes."""
    return settings.runner_decode_threads or max(1, available_cpus() // runner_processes(settings))


def _cgroup_quota() -> float | None:
    try:
        quota, period = _CGROUP_V2.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = _CGROUP_V1_QUOTA.read_text().strip(), _CGROUP_V1_PERIOD.read_text().strip()
        except OSError:
            return None
    if quota in {"max", "-1"}:
        return None
    return int(quota) / int(period)
