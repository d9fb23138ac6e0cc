"""Measures how long the stages of the pipeline take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import Literal, get_args

Stage = Literal["decode", "detect", "align", "embed"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class StageClock:
    """Seconds by stage since the last `take`; the threads of a process may share it."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._lock = Lock()
        self._thread = local()

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time of the block to `stage`, without the time of the blocks of other stages inside it."""
        outer: float = getattr(self._thread, "inside", 0.0)
        self._thread.inside = 0.0
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            with self._lock:
                self._seconds[stage] += spent - self._thread.inside
            self._thread.inside = outer + spent

    def take(self) -> dict[Stage, float]:
        """Return the seconds, in the order of `STAGES`, and reset them to zero."""
        with self._lock:
            taken, self._seconds = self._seconds, dict.fromkeys(STAGES, 0.0)
        return taken
