"""Reads how busy the GPU is, where NVIDIA's management library can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

_EVERY_S = 0.1


class GpuUse:
    """Samples while the block of `watched` runs. `name`, `driver`: of the first GPU, empty without one."""

    def __init__(self) -> None:
        self.name = self.driver = ""
        self.percent: float | None = None
        self.memory_mb: float | None = None
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
        """Set `percent`, the mean of the share of time in which a kernel ran, and `memory_mb`, the most in use."""
        self.percent = self.memory_mb = None
        if self._nvml is None:
            yield
            return
        samples: list[tuple[float, float]] = []
        over = Event()

        def sample() -> None:
            while not over.wait(_EVERY_S):
                rates = self._nvml.nvmlDeviceGetUtilizationRates(self._device)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(self._device)
                samples.append((float(rates.gpu), memory.used / 2**20))

        thread = Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if samples:
            self.percent = round(sum(percent for percent, _ in samples) / len(samples), 1)
            self.memory_mb = round(max(memory for _, memory in samples))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
