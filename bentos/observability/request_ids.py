"""Keeps the request id, which links a request to its response and to the log lines of both services."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_current: ContextVar[str] = ContextVar("request_id", default="-")


def current_request_id() -> str:
    """The id of the request that the current task handles, "-" outside of a request."""
    return _current.get()


def begin_request(given: str | None) -> str:
    """Set the current task's request id: the caller's id if it is well-formed, else a new one. Returns it."""
    request_id = given if given and _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    return request_id
