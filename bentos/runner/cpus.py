"""How many CPUs this process may use, by the container's limit, and how the runner divides them."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

from bentos.config.settings import Settings

logger = logging.getLogger(__name__)

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")

_GPU_MEMORY = 7 << 30
"""Bytes of a GPU's memory for each runner process; 6.3 GB were measured."""


def available_cpus() -> int:
    """The smaller of the CPU affinity and the cgroup's quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(affinity, round(quota))) if quota else affinity


def runner_processes(settings: Settings) -> int:
    """How many runner processes there are: by default one for each CPU.

    With fixed shapes on a GPU, where each process has decoding threads too, three for four CPUs, and no more than the
    GPU's memory holds; on a CPU, which fixed shapes are for tests, one.
    """
    if settings.runner_workers or not settings.fixed_shapes:
        return settings.runner_workers or available_cpus()
    if settings.is_on_cpu:
        return 1
    memory = gpu_memory()
    most = available_cpus() if memory is None else memory // _GPU_MEMORY
    return max(1, min(most, available_cpus() * 3 // 4))


@cache
def gpu_memory() -> int | None:
    """Bytes of memory of the first GPU; None where they cannot be read."""
    try:
        import pynvml  # noqa: PLC0415 - only where there may be a GPU

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).total)
    except Exception as error:  # noqa: BLE001 - the library's errors are not in one tree
        logger.warning("the size of the GPU's memory cannot be read: %s", type(error).__name__)
        return None


def decode_threads(settings: Settings) -> int:
    """How many threads of a runner process decode, where networks run over batches of fixed shapes."""
    return settings.runner_decode_threads or max(2, available_cpus() // runner_processes(settings))


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
