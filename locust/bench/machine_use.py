"""Reads how busy the CPUs and the GPU are; the GPU where NVIDIA's management library can be read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, NamedTuple

import psutil

_EVERY_S = 0.1


class _Sample(NamedTuple):
    at: float
    cpu_percent: float
    gpu_percent: float
    gpu_memory_mb: float


class MachineUse:
    """Samples while the block of `watched` runs. `name`, `driver`: of the first GPU, empty without one."""

    def __init__(self) -> None:
        self.name = self.driver = ""
        self._samples: list[_Sample] = []
        self._nvml: Any = None
        try:
            import pynvml  # noqa: PLC0415 - not on every machine

            pynvml.nvmlInit()
            self._device = pynvml.nvmlDeviceGetHandleByIndex(0)
            self.name = _text(pynvml.nvmlDeviceGetName(self._device))
            self.driver = _text(pynvml.nvmlSystemGetDriverVersion())
            self._nvml = pynvml
        except Exception as error:  # noqa: BLE001 - the library's errors are not in one tree
            self.problem = f"{type(error).__name__}: {error}"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample ten times a second."""
        self._samples = []
        over = Event()

        def sample() -> None:
            psutil.cpu_percent()
            while not over.wait(_EVERY_S):
                self._samples.append(_Sample(time.monotonic(), psutil.cpu_percent(), *self._gpu()))

        thread = Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def figures(self, seconds: float) -> dict[str, float]:
        """Of the last `seconds` of the block: mean percent of all CPUs and of the time in which a kernel ran on the
        GPU, and the most memory of the GPU in use.
        """
        last = self._samples[-1].at if self._samples else 0.0
        samples = [each for each in self._samples if each.at > last - seconds]
        found = {"cpu_percent": _mean([each.cpu_percent for each in samples])}
        if self._nvml is not None and samples:
            found["gpu_percent"] = _mean([each.gpu_percent for each in samples])
            found["gpu_memory_mb"] = round(max(each.gpu_memory_mb for each in samples))
        return found

    def memory_of_processes_mb(self) -> list[int]:
        """Megabytes of the GPU's memory that each process holds, the most first."""
        if self._nvml is None:
            return []
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._device)
        return sorted((round((each.usedGpuMemory or 0) / 2**20) for each in processes), reverse=True)

    def _gpu(self) -> tuple[float, float]:
        if self._nvml is None:
            return 0.0, 0.0
        rates = self._nvml.nvmlDeviceGetUtilizationRates(self._device)
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._device)
        return float(rates.gpu), memory.used / 2**20


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(1, len(values)), 1)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
