"""Measures the consecutive stages of a request, from its arrival to its response."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

from bentos.observability.metrics import stage_seconds

OnStage = Callable[[str, float, float], None]
"""Called with a stage that another process has measured, its start on the monotonic clock, and its seconds."""


class Stages:
    """A stopwatch for one request: each stage begins when the previous one ends. `seconds`: of each stage so far."""

    __slots__ = ("_mark", "_on_stage", "_service", "seconds")

    def __init__(self, service: str, on_stage: OnStage | None = None) -> None:
        self._service, self._on_stage = service, on_stage
        self._mark = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """Record that the stage ends now."""
        now = time.perf_counter()
        self._observe(stage, now - self._mark)
        self._mark = now

    def add(self, stage: str, seconds: float, *, began: float) -> None:
        """Record a stage that another process has measured; the start of the current stage moves by its duration."""
        self._observe(stage, seconds)
        if self._on_stage is not None:
            self._on_stage(stage, began, seconds)
        self._mark += seconds

    def close(self) -> None:
        """Record the remaining time as stage `answer`; a request without stages is not recorded."""
        if self.seconds:
            self.end("answer")

    def _observe(self, stage: str, seconds: float) -> None:
        stage_seconds(self._service, stage).observe(seconds)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


_current: ContextVar[Stages | None] = ContextVar("stages", default=None)


def begin_stages(service: str, on_stage: OnStage | None = None) -> Stages:
    """Start the stopwatch of the request that this task handles."""
    stages = Stages(service, on_stage)
    _current.set(stages)
    return stages


def end_stage(stage: str) -> None:
    """Record that the stage of the current request ends now; does nothing outside of a request."""
    stages = _current.get()
    if stages is not None:
        stages.end(stage)


def add_stage(stage: str, seconds: float, *, began: float) -> None:
    """Record a stage of the current request that another process has measured; `began`: on the monotonic clock, s."""
    stages = _current.get()
    if stages is not None:
        stages.add(stage, seconds, began=began)
