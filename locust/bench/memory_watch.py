"""Checks whether the memory of every process stays constant under load."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.processes import Cost

_EVERY_S = 5.0
_SETTLED = 0.2
"""The first part of a run, in which caches fill and connections open, is not counted."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident memory of one process, megabytes: after the first part of the run, and at the end."""

    role: str
    pid: int
    settled_mb: float
    last_mb: float

    @property
    def share(self) -> float:
        """0.05 means five percent more than after the first part of the run."""
        return self.last_mb / self.settled_mb - 1 if self.settled_mb else 0.0


class MemoryWatch:
    """Reads the memory of the processes every few seconds, in a thread, while the block runs."""

    def __init__(self, look: Callable[[], Mapping[int, Cost]], every_s: float = _EVERY_S) -> None:
        self._look, self._every_s = look, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[Mapping[int, Cost]] = []

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.samples.append(self._look())

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.samples.append(self._look())


def growths(samples: Sequence[Mapping[int, Cost]]) -> list[Growth]:
    """The growth of each process that ran from the end of the first part to the end of the run."""
    settled = samples[int(len(samples) * _SETTLED) :]
    series: dict[int, list[Cost]] = defaultdict(list)
    for sample in settled:
        for pid, cost in sample.items():
            series[pid].append(cost)
    return [
        Growth(costs[0].role, pid, costs[0].rss_mb, costs[-1].rss_mb)
        for pid, costs in series.items()
        if len(costs) == len(settled)
    ]
