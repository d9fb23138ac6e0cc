"""Where the time of a request goes: stage after stage, from the door to the answer, without a gap."""

from __future__ import annotations

import time
from contextvars import ContextVar

from bentos.observability.metrics import stage_seconds


class Stages:
    """A stopwatch for one request: each stage begins where the one before ended."""

    __slots__ = ("_mark", "_service", "_staged")

    def __init__(self, service: str) -> None:
        self._service = service
        self._mark = time.perf_counter()
        self._staged = False

    def end(self, stage: str) -> None:
        """The stage is over, now."""
        now = time.perf_counter()
        stage_seconds(self._service, stage).observe(now - self._mark)
        self._mark = now
        self._staged = True

    def add(self, stage: str, seconds: float) -> None:
        """The stage took so long, as another process says; the current one began that much later."""
        stage_seconds(self._service, stage).observe(seconds)
        self._mark += seconds
        self._staged = True

    def close(self) -> None:
        """What is left is the answer; of a request that named no stage, nothing is kept."""
        if self._staged:
            self.end("answer")


_current: ContextVar[Stages | None] = ContextVar("stages", default=None)


def begin_stages(service: str) -> Stages:
    """Start the stopwatch of the request that this task serves."""
    stages = Stages(service)
    _current.set(stages)
    return stages


def end_stage(stage: str) -> None:
    """The stage of the current request is over, now; outside of a request, nothing happens."""
    stages = _current.get()
    if stages is not None:
        stages.end(stage)


def add_stage(stage: str, seconds: float) -> None:
    """The current request was in this stage for so long, as another process says."""
    stages = _current.get()
    if stages is not None:
        stages.add(stage, seconds)
