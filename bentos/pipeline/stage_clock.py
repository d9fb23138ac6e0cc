"""Measures how long the stages of the pipeline take."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from threading import Lock, local
from typing import Literal, get_args

Stage = Literal["decode", "detect", "align", "embed"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class StageClock:
    """Seconds by stage since the last `take`; the threads of a process may share it.

    `inside`: the seconds of the blocks inside the current one, of each thread.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._lock = Lock()
        self.inside = local()

    def timed(self, stage: Stage) -> AbstractContextManager[None]:
        """Add the time of the block to `stage`, without the time of the blocks of other stages inside it."""
        return _Timed(self, stage)

    def add(self, stage: Stage, seconds: float) -> None:
        """Add time to a stage."""
        with self._lock:
            self._seconds[stage] += seconds

    def take(self) -> dict[Stage, float]:
        """Return the seconds, in the order of `STAGES`, and reset them to zero."""
        with self._lock:
            taken, self._seconds = self._seconds, dict.fromkeys(STAGES, 0.0)
        return taken


class _Timed:
    """One block; a class, because a generator takes twice as long, and an image has some twenty blocks."""

    __slots__ = ("_clock", "_outer", "_stage", "_started")

    def __init__(self, clock: StageClock, stage: Stage) -> None:
        self._clock, self._stage = clock, stage

    def __enter__(self) -> None:
        inside = self._clock.inside
        self._outer: float = getattr(inside, "seconds", 0.0)
        inside.seconds = 0.0
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self._started
        inside = self._clock.inside
        self._clock.add(self._stage, spent - inside.seconds)
        inside.seconds = self._outer + spent
