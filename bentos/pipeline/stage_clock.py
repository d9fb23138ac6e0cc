"""Measures how long the stages of the pipeline take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Stage = Literal["decode", "detect", "align", "embed"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class StageClock:
    """Seconds by stage since the last `take`; for one thread at a time."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time of the block to `stage`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] += time.monotonic() - started

    def take(self) -> dict[Stage, float]:
        """Return the seconds, in the order of `STAGES`, and reset them to zero."""
        taken, self._seconds = self._seconds, dict.fromkeys(STAGES, 0.0)
        return taken
