"""Runs one work of the pipeline to its end."""

from __future__ import annotations

from typing import TypeVar

from bentos.domain.errors import FaceSearchError
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Work
from bentos.pipeline.together import Networks, work_together
from bentos.pipeline.wanted import always_wanted

Result = TypeVar("Result")


def complete(networks: Networks, work: Work[Result]) -> Result:
    """The result of the work; every step that it asks for runs on `networks`."""
    [result] = work_together([work], networks, StageClock(), always_wanted)
    assert not isinstance(result, FaceSearchError)
    return result
