"""Decides whether a call is sent again after an error, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bentos.client.calls import Call
from bentos.client.errors import ApiError, FaceSearchError, NoAnswer, UnexpectedAnswer

_PASSING = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""The statuses of errors that pass. Every other error would be the same the next time."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is.

    `attempts`: how often a call is sent at most. `first_wait_s` doubles with each attempt, where the service does not
    name a time by `Retry-After`. A wait above `longest_wait_s` is not made: the error is raised at once.
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait_s(self, call: Call[Any], error: FaceSearchError, attempt: int) -> float | None:
        """Seconds until the call is sent again, or None when `error` is to be raised. `attempt`: from 1."""
        if attempt >= self.attempts or not _may_be_repeated(call, error):
            return None
        told = error.retry_after_s if isinstance(error, ApiError | UnexpectedAnswer) else None
        own = self.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        wait = own if told is None else told
        return wait if wait <= self.longest_wait_s else None


def _may_be_repeated(call: Call[Any], error: FaceSearchError) -> bool:
    if isinstance(error, NoAnswer):
        return call.repeatable or not error.sent
    return call.repeatable and isinstance(error, ApiError | UnexpectedAnswer) and error.status in _PASSING
