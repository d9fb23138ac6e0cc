"""Keeps the deadline of the request that the current task handles.

The clock is `time.monotonic()`, which all processes of one machine share (CLOCK_MONOTONIC), so that a deadline can be
sent to the runner as a number.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

_current: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin_deadline(seconds: float) -> float:
    """Set the deadline of the current task to `seconds` from now. Returns it, on the monotonic clock."""
    deadline = time.monotonic() + seconds
    _current.set(deadline)
    return deadline


def deadline_within(seconds: float) -> float:
    """`seconds` from now, or the deadline of the current request if that is earlier; on the monotonic clock."""
    own = time.monotonic() + seconds
    current = _current.get()
    return own if current is None else min(own, current)
