"""When requests are due: an open arrival process, which does not wait for answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Literal

Arrivals = Literal["steady", "poisson"]


def due_times(rps: float, kind: Arrivals, seed: int = 0) -> Iterator[float]:
    """Seconds from the start at which the requests are due, without end; `rps` a second on average.

    `steady`: equally far apart. `poisson`: exponential gaps, as from many independent callers.
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
    """Says how long it is until the next arrival, and how late the caller came to each."""

    def __init__(self, due: Iterator[float], clock: Callable[[], float]) -> None:
        self._due, self._clock = due, clock
        self._started = clock()
        self._next = self._started + next(due)
        self.lateness_s: list[float] = []

    def left_s(self) -> float:
        """Seconds until the next request is due; 0 when it is overdue."""
        return max(0.0, self._next - self._clock())

    def arrived(self) -> None:
        """Note that the request goes out now, and turn to the one after."""
        self.lateness_s.append(max(0.0, self._clock() - self._next))
        self._next = self._started + next(self._due)
