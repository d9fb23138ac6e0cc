"""Computes when requests are due, as an open arrival process that does not wait for responses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Literal

Arrivals = Literal["steady", "poisson"]


def due_times(rps: float, kind: Arrivals, seed: int = 0) -> Iterator[float]:
    """The times at which requests are due, in seconds from the start, endless; on average `rps` per second.

    `steady`: at equal intervals. `poisson`: exponential gaps, as from many independent callers.
    """
    if rps <= 0:
        raise ValueError("the arrival rate has to be above 0")
    if kind == "steady":
        number = 0
        while True:
            yield number / rps
            number += 1
    drawn = random.Random(seed)
    due = 0.0
    while True:
        due += drawn.expovariate(rps)
        yield due


class Metronome:
    """Returns the time until the next arrival, and records how late each request was sent."""

    def __init__(self, due: Iterator[float], clock: Callable[[], float]) -> None:
        self._due, self._clock = due, clock
        self._started = clock()
        self._next = self._started + next(due)
        self.lateness_s: list[float] = []

    def left_s(self) -> float:
        """Seconds until the next request is due; 0 when it is overdue."""
        return max(0.0, self._next - self._clock())

    def arrived(self) -> None:
        """Record that the request is sent now, and advance to the next one."""
        self.lateness_s.append(max(0.0, self._clock() - self._next))
        self._next = self._started + next(self._due)
